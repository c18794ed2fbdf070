# cython: language_level=3, boundscheck=False, wraparound=False
"""Nearest neighbour by inner product among 8-bit vectors, on the kernels of halpbench."""

from libc.stdint cimport int8_t, int64_t

from halpbench.kernels cimport Rng, halp_api, halp_backend, halp_import

cdef const halp_api *halp = halp_import()


def nearest(const int8_t[:, ::1] rows, const int8_t[::1] x):
    """Return the index of the row whose product with ``x`` is the largest, and the product."""
    if rows.shape[0] == 0 or rows.shape[1] == 0 or rows.shape[1] != x.shape[0]:
        raise ValueError(f"got {rows.shape[0]} x {rows.shape[1]} rows for {x.shape[0]} entries")
    cdef const halp_backend *backend = halp.active()
    cdef int64_t product, largest = 0
    cdef Py_ssize_t i, best = -1
    with nogil:
        for i in range(rows.shape[0]):
            product = backend.dot_i8_any(<size_t> x.shape[0], &x[0], &rows[i, 0])
            if best < 0 or product > largest:
                best, largest = i, product
    return best, largest


def quantize(const float[::1] x, double scale, Rng rng):
    """Return ``x / scale`` rounded at random to 8-bit integers, as bytes."""
    result = bytearray(x.shape[0])
    cdef int8_t[::1] q = memoryview(result).cast("b")
    if x.shape[0]:
        with nogil:  # threads may share the state: each has it for itself for a while
            halp.active().quantize_f32_i8(<size_t> x.shape[0], &x[0], scale, &q[0], rng.acquire())
            rng.release()
    return bytes(result)
