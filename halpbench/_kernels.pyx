# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=False
"""Thin wrappers of the C kernels: they check what the kernels do not, and allocate only results."""

from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport isfinite
from libc.stdint cimport int8_t, int16_t, int64_t, uint64_t
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import json
import secrets

import numpy as np

from halpbench import memory

cdef extern from *:
    """
    extern const char halp_build_info[];
    """
    const char *halp_build_info

cdef enum:
    I8 = 0
    I16 = 1
    F32 = 2
    F64 = 3

cdef tuple NAMES = ("int8", "int16", "float32", "float64")
cdef size_t RELEASE_GIL_FROM = 32768  # elements: below, taking it back costs more than it gives

# ---- The backend in use --------------------------------------------------------------------------

cdef const halp_backend *_active = halp_best()


class BackendError(ValueError):
    """A backend was asked for that is unknown, not compiled in, or not usable on this CPU."""


cdef const halp_backend *active_backend() noexcept:
    return _active


def compiled():
    """Names of the backends compiled in, best first."""
    cdef size_t i = 0
    names = []
    while halp_backends[i] is not NULL:
        names.append(halp_backends[i].name.decode())
        i += 1
    return names


def backends():
    """Names of the backends usable on this CPU, best first; the last is ``"scalar"``."""
    return [name for name in compiled() if halp_usable(halp_find(name.encode()))]


def active():
    """Name of the backend in use."""
    return _active.name.decode()


def select(name):
    """Make ``name`` the backend in use; see :func:`halpbench.kernels.use`."""
    global _active
    cdef const halp_backend *backend = halp_find(str(name).encode())
    if backend is NULL or not halp_usable(backend):
        why = "is not supported by this CPU" if backend is not NULL else "is not compiled in"
        raise BackendError(f"backend {name!r} {why}; usable here: {', '.join(backends())}")
    _active = backend


def build_info():
    """Compiler, flags and instruction sets that the kernels were built with, as a dict."""
    return json.loads((<const char *> halp_build_info).decode())


# ---- Rounding ------------------------------------------------------------------------------------

cdef class Rng:
    """The state of stochastic rounding: a stream of random bits, the same on every backend.

    Parameters
    ----------
    seed : int, optional
        0 .. 2**64 - 1. By default a fresh one from the operating system.
    rounding : {"stochastic", "nearest"}
        ``"nearest"`` makes every rounding that uses this state deterministic (half rounds up).
    """

    def __init__(self, seed=None, rounding="stochastic"):
        cdef uint64_t s = secrets.randbits(64) if seed is None else _seed(seed)
        if rounding not in ("stochastic", "nearest"):
            raise ValueError(f"rounding must be 'stochastic' or 'nearest', got {rounding!r}")
        halp_rng_init(&self.state, s,
                      HALP_STOCHASTIC if rounding == "stochastic" else HALP_NEAREST)

    @property
    def rounding(self):
        """``"stochastic"`` or ``"nearest"``."""
        return "stochastic" if self.state.rounding == HALP_STOCHASTIC else "nearest"

    def __repr__(self):
        return f"Rng(rounding={self.rounding!r})"

    def __reduce__(self):
        return _rng_from_bytes, ((<char *> &self.state)[:sizeof(self.state)],)

    def copy(self):
        """An independent copy that continues with the same random bits."""
        return _rng_from_bytes((<char *> &self.state)[:sizeof(self.state)])


def _rng_from_bytes(bytes state):
    cdef Rng rng = Rng.__new__(Rng)
    if len(state) != sizeof(rng.state):
        raise ValueError(f"expected {sizeof(rng.state)} bytes of state, got {len(state)}")
    rng.state = (<halp_rng *> <char *> state)[0]
    return rng


cdef uint64_t _seed(seed) except? 0:
    try:
        value = seed.__index__()
    except AttributeError:
        raise TypeError(f"a seed must be an integer, got {type(seed).__name__}") from None
    if not 0 <= value < 1 << 64:
        raise ValueError(f"a seed must be in 0 .. 2**64 - 1, got {value}")
    return value


cdef Rng _rng(rng, rounding):
    if isinstance(rng, Rng):
        return rng
    return Rng(rng, rounding)


# ---- Arguments -----------------------------------------------------------------------------------

cdef int _open(object array, str name, Py_buffer *view, int ndim, bint writable) except -1:
    """Fill ``view`` with a C-contiguous buffer of one of the four dtypes; returns which one."""
    cdef int flags = PyBUF_FORMAT | PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0)
    cdef int dtype = -1
    try:
        PyObject_GetBuffer(array, view, flags)
    except TypeError:
        raise TypeError(f"{name} must be an array, got {type(array).__name__}") from None
    except (BufferError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None
    if view.format is not NULL and view.format[0] != 0 and view.format[1] == 0:
        if view.format[0] == b"b":
            dtype = I8
        elif view.format[0] == b"h":
            dtype = I16
        elif view.format[0] == b"f":
            dtype = F32
        elif view.format[0] == b"d":
            dtype = F64
    if dtype < 0:
        if view.format is not NULL and view.format[0] == b"=" and view.itemsize > 1:
            PyBuffer_Release(view)
            raise ValueError(f"{name} must be aligned to its items; use numpy.require")
        got = getattr(array, "dtype", (<bytes> view.format).decode() if view.format else "bytes")
        PyBuffer_Release(view)
        raise TypeError(f"{name} must be int8, int16, float32 or float64, got {got}")
    if view.ndim != ndim:
        got = view.ndim
        PyBuffer_Release(view)
        raise ValueError(f"{name} must have {ndim} dimension(s), got {got}")
    cdef Py_ssize_t expected = view.itemsize
    cdef int axis
    for axis in range(ndim - 1, -1, -1):
        if view.shape[axis] > 1 and view.strides[axis] != expected:
            PyBuffer_Release(view)
            raise ValueError(f"{name} must be C-contiguous; use numpy.ascontiguousarray")
        expected *= view.shape[axis]
    return dtype


cdef int _check_range(Py_buffer *view, int dtype, str name) except -1:
    """-128 and -32768 are outside the symmetric range of the kernels."""
    cdef int lowest = 0
    cdef size_t n = view.len // view.itemsize
    if dtype == I8:
        lowest = _active.lowest_i8(n, <const int8_t *> view.buf)
    elif dtype == I16:
        lowest = _active.lowest_i16(n, <const int16_t *> view.buf)
    if lowest == -128 and dtype == I8 or lowest == -32768:
        raise ValueError(f"{name} must lie in {lowest + 1} .. {-lowest - 1}, got {lowest}")
    return 0


cdef bint _overlap(Py_buffer *x, Py_buffer *y) noexcept:
    cdef size_t x_start = <size_t> x.buf, y_start = <size_t> y.buf
    return x_start < y_start + <size_t> y.len and y_start < x_start + <size_t> x.len


cdef int _same(Py_ssize_t got, Py_ssize_t expected, str what) except -1:
    if got != expected:
        raise ValueError(f"{what}: got {got}, expected {expected}")
    return 0


cdef int _pair(int x, int w) except -1:
    """The kernel family for data x and model w: their common dtype, or int8 data, int16 model."""
    if x == w or (x == I8 and w == I16):
        return 0
    raise TypeError(f"no kernel for {NAMES[x]} data with a {NAMES[w]} model; equal dtypes, "
                    "or int8 data with an int16 model")


cdef double _finite(value, str name) except? -1:
    cdef double number = value
    if not isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


# ---- dot and gemv --------------------------------------------------------------------------------

cdef object _dot(Py_buffer *x, int tx, Py_buffer *y, int ty):
    cdef size_t n = x.shape[0]
    cdef const halp_backend *k = _active
    cdef int64_t exact
    cdef double real
    cdef float single
    if tx == I8 and ty == I8:
        if n < RELEASE_GIL_FROM:
            exact = k.dot_i8_any(n, <const int8_t *> x.buf, <const int8_t *> y.buf)
        else:
            with nogil:
                exact = k.dot_i8_any(n, <const int8_t *> x.buf, <const int8_t *> y.buf)
        return exact
    if tx == F32 and ty == F32:
        if n < RELEASE_GIL_FROM:
            single = k.dot_f32(n, <const float *> x.buf, <const float *> y.buf)
        else:
            with nogil:
                single = k.dot_f32(n, <const float *> x.buf, <const float *> y.buf)
        return single
    if tx == F64 and ty == F64:
        with nogil:
            real = k.dot_f64(n, <const double *> x.buf, <const double *> y.buf)
        return real
    if tx == I16 and ty == I8:
        x, y, tx, ty = y, x, ty, tx
    _pair(tx, ty)
    _check_range(x, tx, "x")
    _check_range(y, ty, "y")
    with nogil:
        if tx == I8:
            exact = k.dot_i8i16(n, <const int8_t *> x.buf, <const int16_t *> y.buf)
        else:
            exact = k.dot_i16(n, <const int16_t *> x.buf, <const int16_t *> y.buf)
    return exact


def dot(x, y):
    """Dot product of two vectors.

    Parameters
    ----------
    x, y : ndarray of shape (n,), C-contiguous; may be read-only
        Both int8, int16, float32 or float64, or one int8 and the other int16. With an int16
        argument both keep the symmetric range (no -128, no -32768); two int8 need not.

    Returns
    -------
    int or float
        Exact for integers.

    Raises
    ------
    TypeError
        For other dtypes.
    ValueError
        For other shapes, arrays that are not contiguous, integers out of range.
    """
    cdef Py_buffer a, b
    cdef int tx, ty
    tx = _open(x, "x", &a, 1, False)
    try:
        ty = _open(y, "y", &b, 1, False)
        try:
            if a.shape[0] != b.shape[0]:
                raise ValueError(f"x and y must have equal lengths, got {a.shape[0]} "
                                 f"and {b.shape[0]}")
            return _dot(&a, tx, &b, ty)
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)


def gemv(x, w):
    """Dot products of one vector with the rows of a matrix: ``w @ x``.

    Parameters
    ----------
    x : ndarray of shape (n,)
        The data row: int8, int16, float32 or float64.
    w : ndarray of shape (m, n)
        The model, of the same dtype; or int16 where ``x`` is int8.

    Returns
    -------
    ndarray of shape (m,)
        int64 (exact) for integers, else of the dtype of ``x``.

    Raises
    ------
    TypeError, ValueError
        As :func:`dot`.
    """
    cdef Py_buffer a, b
    cdef const halp_backend *k = _active
    cdef int tx, ty
    cdef size_t n, m
    cdef int64_t[::1] exact
    cdef float[::1] single
    cdef double[::1] real
    tx = _open(x, "x", &a, 1, False)
    try:
        ty = _open(w, "w", &b, 2, False)
        try:
            _pair(tx, ty)
            _same(b.shape[1], a.shape[0], "columns of w")
            _check_range(&a, tx, "x")
            _check_range(&b, ty, "w")
            n, m = a.shape[0], b.shape[0]
            if tx == F32:
                out = np.zeros(m, np.float32)
                if m:
                    single = out
                    with nogil:
                        k.gemv_f32(n, <const float *> a.buf, <const float *> b.buf, n, m,
                                   &single[0])
                return out
            if tx == F64:
                out = np.zeros(m, np.float64)
                if m:
                    real = out
                    with nogil:
                        k.gemv_f64(n, <const double *> a.buf, <const double *> b.buf, n, m,
                                   &real[0])
                return out
            out = np.zeros(m, np.int64)
            if m:
                exact = out
                with nogil:
                    if ty == I8:
                        k.gemv_i8(n, <const int8_t *> a.buf, <const int8_t *> b.buf, n, m,
                                  &exact[0])
                    elif tx == I8:
                        k.gemv_i8i16(n, <const int8_t *> a.buf, <const int16_t *> b.buf, n, m,
                                     &exact[0])
                    else:
                        k.gemv_i16(n, <const int16_t *> a.buf, <const int16_t *> b.buf, n, m,
                                   &exact[0])
            return out
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)


# ---- axpy and ger --------------------------------------------------------------------------------

cdef int _update(Py_buffer *w, int tw, Py_buffer *x, int tx, size_t rows, const double *c,
                 object h, Rng rng) except -1:
    """Rows of w <- w - (c x + h); everything has been checked but h."""
    cdef size_t n = x.shape[0]
    cdef size_t padded = HALP_PADDED(n)
    cdef const halp_backend *k = _active
    cdef const double[:, ::1] h_f64
    cdef const float[:, ::1] h_f32
    cdef const double *h64 = NULL
    cdef const float *h32 = NULL
    cdef int16_t *encoded = NULL
    cdef halp_h fixed
    cdef size_t r
    if n == 0 or rows == 0:
        return 0
    if _overlap(x, w) and (x.buf != w.buf or x.len != w.len):
        raise ValueError("x and z overlap; give a copy of x")
    if tw == F32:
        for r in range(rows):
            if not isfinite(<float> c[r]):
                raise ValueError(f"c must be finite in float32, got {c[r]}")
    if h is not None:
        h = np.asarray(h)
        if h.dtype.kind not in "fiu":
            raise TypeError(f"h must be real, got {h.dtype}")
        expected = tuple(w.shape[axis] for axis in range(w.ndim))
        if h.shape != expected:
            raise ValueError(f"h must have shape {expected}, got {h.shape}")
        with np.errstate(over="ignore"):  # refused below
            h = np.ascontiguousarray(h, np.float32 if tw == F32 else np.float64).reshape(rows, n)
        if not np.isfinite(h).all():
            raise ValueError("h must be finite")
        if tw == F32:
            h_f32 = h
            h32 = &h_f32[0, 0]
        else:
            h_f64 = h
            h64 = &h_f64[0, 0]
    if tw == F32:
        with nogil:
            k.ger_f32(n, <float *> w.buf, n, rows, <const float *> x.buf, c, h32, n, 1, NULL)
        return 0
    if tw == F64:
        with nogil:
            k.ger_f64(n, <double *> w.buf, n, rows, <const double *> x.buf, c, h64, n, 1, NULL)
        return 0
    fixed.values = NULL
    fixed.exponent = 13 if tw == I8 else 0
    fixed.wide = 0
    if h64 is not NULL:
        encoded = <int16_t *> PyMem_Malloc(rows * padded * sizeof(int16_t))
        if encoded is NULL:
            raise MemoryError(f"no memory for {rows} x {padded} fixed-point numbers")
        if tw == I8:
            fixed = halp_encode_h_i8(n, rows, h64, 1.0, NULL, encoded)
        else:
            fixed = halp_encode_h_i16(
                n, rows, h64, 1.0, HALP_FRACTION_I8I16 if tx == I8 else HALP_FRACTION_I16, encoded)
    with nogil:
        if tw == I8:
            k.ger_i8(n, <int8_t *> w.buf, n, rows, <const int8_t *> x.buf, c, fixed, padded,
                     &rng.state, NULL)
        elif tx == I8:
            k.ger_i8i16(n, <int16_t *> w.buf, n, rows, <const int8_t *> x.buf, c, fixed, padded,
                        &rng.state, NULL)
        else:
            k.ger_i16(n, <int16_t *> w.buf, n, rows, <const int16_t *> x.buf, c, fixed, padded,
                      &rng.state, NULL)
    PyMem_Free(encoded)
    return 0


def axpy(z, x, c, h=None, rng=None, rounding="stochastic"):
    """Fused update ``z -= round(c * x + h)``, in place.

    The step of SVRG and HALP (De Sa et al. 2018, Algorithm 2). An integer ``z`` is rounded
    stochastically, ``E z = z - (c x + h)`` to 2**-8 of a unit, and saturates at the ends of its
    symmetric range.

    Parameters
    ----------
    z : ndarray of shape (n,), writable
        int8, int16, float32 or float64.
    x : ndarray of shape (n,)
        Of the dtype of ``z``; or int8 where ``z`` is int16.
    c : float
        In units of ``z`` per unit of ``x``. Beyond +-255 (int8), +-2**14 (int16) it saturates.
    h : array_like of shape (n,), optional
        In units of ``z``; held as 16-bit fixed point for an integer ``z``.
    rng : int, Rng, optional
        Seed, or state that goes on from call to call.
    rounding : {"stochastic", "nearest"}
        Ignored where ``rng`` is a state, which has its own.

    Raises
    ------
    TypeError
        For other dtypes.
    ValueError
        For shapes that differ, arrays that are not contiguous, integers out of range, a ``c`` or
        ``h`` that is not finite, or an ``x`` that overlaps with ``z`` (``x`` may be ``z`` itself).
        ``z`` is then unchanged.
    """
    cdef Py_buffer a, b
    cdef int tz, tx
    cdef double step = _finite(c, "c")
    cdef Rng state = None
    tz = _open(z, "z", &b, 1, True)
    try:
        tx = _open(x, "x", &a, 1, False)
        try:
            _pair(tx, tz)
            _same(a.shape[0], b.shape[0], "length of x")
            _check_range(&a, tx, "x")
            _check_range(&b, tz, "z")
            if tz == I8 or tz == I16:
                state = _rng(rng, rounding)
            _update(&b, tz, &a, tx, 1, &step, h, state)
        finally:
            PyBuffer_Release(&a)
    finally:
        PyBuffer_Release(&b)


def ger(z, x, c, h=None, rng=None, rounding="stochastic"):
    """Fused updates of several rows that share ``x``: ``z[r] -= round(c[r] * x + h[r])``, in place.

    Parameters
    ----------
    z : ndarray of shape (m, n), writable
    x : ndarray of shape (n,)
    c : array_like of shape (m,)
    h : array_like of shape (m, n), optional
    rng, rounding
        As for :func:`axpy`, which also says more about the others.

    Raises
    ------
    TypeError, ValueError
        As :func:`axpy`.
    """
    cdef Py_buffer a, b
    cdef int tz, tx
    cdef Rng state = None
    steps = np.ascontiguousarray(c, np.float64)
    cdef const double[::1] c_view
    tz = _open(z, "z", &b, 2, True)
    try:
        tx = _open(x, "x", &a, 1, False)
        try:
            _pair(tx, tz)
            _same(a.shape[0], b.shape[1], "length of x")
            if steps.shape != (b.shape[0],):
                raise ValueError(f"c must have shape {(b.shape[0],)}, got {steps.shape}")
            if not np.isfinite(steps).all():
                raise ValueError("c must be finite")
            _check_range(&a, tx, "x")
            _check_range(&b, tz, "z")
            if tz == I8 or tz == I16:
                state = _rng(rng, rounding)
            c_view = steps
            if b.shape[0]:
                _update(&b, tz, &a, tx, b.shape[0], &c_view[0], h, state)
        finally:
            PyBuffer_Release(&a)
    finally:
        PyBuffer_Release(&b)


# ---- accumulate ----------------------------------------------------------------------------------

def accumulate(g, x, b):
    """Sum of the full gradient: ``g += b.T @ x``, in place.

    Rows go in blocks of 64. A block is summed in the precision of ``x`` (int16: in float32; int8:
    in integers, with ``b`` rounded to 2**-28 of the largest of its column and block), and added
    to ``g``.

    Parameters
    ----------
    g : ndarray of shape (C, n), float64, writable
    x : ndarray of shape (N, n)
        int8, int16, float32 or float64.
    b : array_like of shape (N, C)
        Finite, also in float32 unless ``x`` is int8 or float64.

    Raises
    ------
    TypeError
        For other dtypes.
    ValueError
        For shapes that do not fit, arrays that are not contiguous, integers out of range, a ``b``
        that is not finite, or an ``x`` that overlaps with ``g``. ``g`` is then unchanged.
    """
    cdef const halp_backend *k = _active
    cdef Py_buffer a, e
    cdef const double[:, ::1] b64
    cdef const float[:, ::1] b32
    cdef size_t row, rows, total, n, count
    cdef int tx
    if _open(g, "g", &a, 2, True) != F64:
        PyBuffer_Release(&a)
        raise TypeError(f"g must be float64, got {g.dtype}")
    try:
        tx = _open(x, "x", &e, 2, False)
        try:
            _same(e.shape[1], a.shape[1], "columns of x")
            _check_range(&e, tx, "x")
            if _overlap(&e, &a):
                raise ValueError("x and g overlap; give a copy of x")
            n, count, total = a.shape[1], a.shape[0], e.shape[0]
            with np.errstate(over="ignore"):  # refused below
                weights = np.ascontiguousarray(b, np.float64 if tx in (I8, F64) else np.float32)
            expected = (e.shape[0], a.shape[0])
            if weights.shape != expected:
                raise ValueError(f"b must have shape {expected}, got {weights.shape}")
            if not np.isfinite(weights).all():
                raise ValueError("b must be finite")
            if not n or not weights.size:
                return
            if tx in (I8, F64):
                b64 = weights
            else:
                b32 = weights
            with nogil:
                row = 0
                while row < total:
                    rows = min(<size_t> HALP_MOST_ROWS, total - row)
                    if tx == I8:
                        k.accumulate_i8(rows, n, <const int8_t *> e.buf + row * n, n, count,
                                        &b64[row, 0], <double *> a.buf, n, NULL)
                    elif tx == I16:
                        k.accumulate_i16(rows, n, <const int16_t *> e.buf + row * n, n, count,
                                         &b32[row, 0], <double *> a.buf, n, NULL)
                    elif tx == F32:
                        k.accumulate_f32(rows, n, <const float *> e.buf + row * n, n, count,
                                         &b32[row, 0], <double *> a.buf, n, NULL)
                    else:
                        k.accumulate_f64(rows, n, <const double *> e.buf + row * n, n, count,
                                         &b64[row, 0], <double *> a.buf, n, NULL)
                    row += rows
        finally:
            PyBuffer_Release(&e)
    finally:
        PyBuffer_Release(&a)


# ---- quantize and dequantize ---------------------------------------------------------------------

def quantize_into(x, q, double scale, Rng rng):
    """``q <- round(x / scale)``; 1-D contiguous views of equal length, checked by the caller."""
    cdef Py_buffer a, b
    cdef const halp_backend *k = _active
    cdef int tx, tq
    cdef size_t n
    tx = _open(x, "x", &a, 1, False)
    try:
        tq = _open(q, "q", &b, 1, True)
        try:
            _same(b.shape[0], a.shape[0], "length of q")
            if tx not in (F32, F64) or tq not in (I8, I16):
                raise TypeError(f"cannot quantize {NAMES[tx]} to {NAMES[tq]}")
            n = a.shape[0]
            with nogil:
                if tx == F32 and tq == I8:
                    k.quantize_f32_i8(n, <const float *> a.buf, scale, <int8_t *> b.buf,
                                      &rng.state)
                elif tx == F32:
                    k.quantize_f32_i16(n, <const float *> a.buf, scale, <int16_t *> b.buf,
                                       &rng.state)
                elif tq == I8:
                    k.quantize_f64_i8(n, <const double *> a.buf, scale, <int8_t *> b.buf,
                                      &rng.state)
                else:
                    k.quantize_f64_i16(n, <const double *> a.buf, scale, <int16_t *> b.buf,
                                       &rng.state)
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)


def dequantize_into(q, x, double scale):
    """``x <- q * scale``; 1-D contiguous views of equal length, checked by the caller."""
    cdef Py_buffer a, b
    cdef const halp_backend *k = _active
    cdef int tx, tq
    cdef size_t n
    tq = _open(q, "q", &a, 1, False)
    try:
        tx = _open(x, "x", &b, 1, True)
        try:
            _same(b.shape[0], a.shape[0], "length of x")
            if tx not in (F32, F64) or tq not in (I8, I16):
                raise TypeError(f"cannot dequantize {NAMES[tq]} to {NAMES[tx]}")
            n = a.shape[0]
            with nogil:
                if tx == F32 and tq == I8:
                    k.dequantize_i8_f32(n, <const int8_t *> a.buf, scale, <float *> b.buf)
                elif tx == F32:
                    k.dequantize_i16_f32(n, <const int16_t *> a.buf, scale, <float *> b.buf)
                elif tq == I8:
                    k.dequantize_i8_f64(n, <const int8_t *> a.buf, scale, <double *> b.buf)
                else:
                    k.dequantize_i16_f64(n, <const int16_t *> a.buf, scale, <double *> b.buf)
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)


# ---- Batches -------------------------------------------------------------------------------------

cdef halp_format _format_of(int tx, int tw) except HALP_FORMAT_COUNT:
    _pair(tx, tw)
    if tx != tw:
        return HALP_I8I16
    return (HALP_I8, HALP_I16, HALP_F32, HALP_F64)[tx]


cdef const void **_row_pointers(const Py_buffer *x) except NULL:
    """Where each row of a batch starts; to be freed."""
    cdef Py_ssize_t b, rows = x.shape[0]
    cdef const void **pointers = <const void **> PyMem_Malloc((rows + 1) * sizeof(void *))
    if pointers is NULL:
        raise MemoryError(f"no memory for {rows} pointers")
    for b in range(rows):
        pointers[b] = <const char *> x.buf + b * x.shape[1] * x.itemsize
    return pointers


def margins(x, w, out=None):
    """Dot products of the rows of a batch with the rows of a model: ``x @ w.T``.

    Parameters
    ----------
    x : ndarray of shape (B, n), C-contiguous; may be read-only
        The batch: int8, int16, float32 or float64. Integers may use their whole range.
    w : ndarray of shape (C, n), C-contiguous; may be read-only
        The model, of the same dtype; or int16 where ``x`` is int8. Integers keep the symmetric
        range.
    out : ndarray of shape (B, C), float64, C-contiguous, optional
        Where the result goes.

    Returns
    -------
    ndarray of shape (B, C), float64
        ``out`` if it is given. Exact for integers below 2**22 columns. Floats are summed in their
        own precision over 1,024 columns at a time, and these sums in float64.

    Raises
    ------
    TypeError
        For other dtypes.
    ValueError
        For shapes that do not fit, arrays that are not contiguous, a ``w`` out of range, or an
        ``out`` that overlaps with ``x`` or ``w``; it is then unchanged.
    """
    cdef Py_buffer a, b, o
    cdef const halp_backend *k = _active
    cdef halp_format form
    cdef const void **rows = NULL
    cdef int tx, tw
    tx = _open(x, "x", &a, 2, False)
    try:
        tw = _open(w, "w", &b, 2, False)
        try:
            form = _format_of(tx, tw)
            _same(b.shape[1], a.shape[1], "columns of w")
            _check_range(&b, tw, "w")
            result = np.empty((a.shape[0], b.shape[0])) if out is None else out
            if _open(result, "out", &o, 2, True) != F64:
                PyBuffer_Release(&o)
                raise TypeError(f"out must be float64, got {out.dtype}")
            try:
                if o.shape[0] != a.shape[0] or o.shape[1] != b.shape[0]:
                    raise ValueError(f"out must have shape {(a.shape[0], b.shape[0])}, "
                                     f"got {(o.shape[0], o.shape[1])}")
                if _overlap(&a, &o) or _overlap(&b, &o):
                    raise ValueError("out overlaps with x or w; give another array")
                rows = _row_pointers(&a)
                with nogil:
                    k.family[<int> form].margins(a.shape[1], a.shape[0], rows, b.buf, b.shape[1],
                                                 b.shape[0], <double *> o.buf)
                return result
            finally:
                PyBuffer_Release(&o)
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)
        PyMem_Free(rows)


cdef _batch_constant(h, Py_buffer *w, int tw, halp_format form, halp_batch_h *fixed, Rng rng):
    """Fill ``fixed`` with the h of an update; returns the array that holds its values."""
    cdef size_t count = w.shape[0], n = w.shape[1]
    cdef const double[:, ::1] view
    cdef Py_buffer held
    cdef const double *start = NULL
    fixed.values, fixed.ld, fixed.exponent, fixed.factor = NULL, n, 0, 1.0
    if h is not None:
        h = np.asarray(h)
        if h.dtype.kind not in "fiu":
            raise TypeError(f"h must be real, got {h.dtype}")
        if h.shape != (count, n):
            raise ValueError(f"h must have shape {(count, n)}, got {h.shape}")
        with np.errstate(over="ignore"):  # refused below
            # A copy: the floating-point kernels read h while they write w, which it may be part of.
            h = np.array(h, np.float32 if tw == F32 else np.float64, order="C")
        if not np.isfinite(h).all():
            raise ValueError("h must be finite")
    if tw == F32 or tw == F64:
        if h is not None and h.size:
            PyObject_GetBuffer(h, &held, PyBUF_STRIDES)
            fixed.values = held.buf
            PyBuffer_Release(&held)
        return h
    if h is None or not h.size:
        fixed[0] = halp_encode_batch_h(form, n, count, NULL, 1.0, NULL, NULL)
        return None
    view = h
    start = &view[0, 0]
    values = memory.empty((count, HALP_PADDED(n)), np.int32 if form == HALP_I16 else np.int16)
    PyObject_GetBuffer(values, &held, PyBUF_STRIDES | PyBUF_WRITABLE)
    with nogil:
        fixed[0] = halp_encode_batch_h(form, n, count, start, 1.0, &rng.state, held.buf)
    PyBuffer_Release(&held)
    return values


def update(w, x, c, h=None, rng=None, rounding="stochastic"):
    """Fused update by a batch, rounded once: ``w -= round(c.T @ x + h)``, in place.

    A step of SVRG and HALP (De Sa et al. 2018, Algorithm 2) on several samples, all at the same
    model. An integer ``w`` is rounded stochastically, so that ``E w = w - (c.T @ x + h)`` wherever
    nothing saturates, and saturates at the ends of its symmetric range. The coefficients of an
    output are first rounded at random to multiples of a power of two, the finest at which their
    magnitudes add up to at most 124 (int8 ``x``) or 2**14 (int16); those of an output that no power
    holds saturate.

    Parameters
    ----------
    w : ndarray of shape (C, n), C-contiguous, writable
        The model: int8, int16, float32 or float64. Integers keep the symmetric range.
    x : ndarray of shape (B, n), C-contiguous; may be read-only
        The batch, 1 to 64 rows: of the dtype of ``w``, or int8 where ``w`` is int16. Integers may
        use their whole range.
    c : array_like of shape (B, C)
        Coefficients, in units of ``w`` per unit of ``x``.
    h : array_like of shape (C, n), optional
        In units of ``w``, for the batch as a whole. For an integer ``w`` it is rounded at random
        to fixed point first, by draws of ``rng`` before the others.
    rng : int, Rng, optional
        Seed, or state that goes on from call to call; for an integer ``w``.
    rounding : {"stochastic", "nearest"}
        Ignored where ``rng`` is a state, which has its own.

    Raises
    ------
    TypeError
        For other dtypes.
    ValueError
        For shapes that do not fit, arrays that are not contiguous, more than 64 rows or none, a
        ``w`` out of range, a ``c`` or ``h`` that is not finite, or an ``x`` that overlaps with
        ``w``. ``w`` is then unchanged.

    Notes
    -----
    kernels/family.h defines the bits, which are the same on every backend for integers.
    """
    cdef Py_buffer a, b
    cdef const halp_backend *k = _active
    cdef const double[:, ::1] c_view
    cdef const void **rows = NULL
    cdef Rng state = None
    cdef halp_update batch
    cdef halp_format form
    cdef int tx, tw
    tw = _open(w, "w", &b, 2, True)
    try:
        tx = _open(x, "x", &a, 2, False)
        try:
            form = _format_of(tx, tw)
            _same(a.shape[1], b.shape[1], "columns of x")
            if not 1 <= a.shape[0] <= HALP_MOST_BATCH:
                raise ValueError(f"x must have 1 to {HALP_MOST_BATCH} rows, got {a.shape[0]}")
            if _overlap(&a, &b):
                raise ValueError("x and w overlap; give a copy of x")
            c = np.array(c, np.float64, order="C")  # a copy: it may be part of w
            if c.shape != (a.shape[0], b.shape[0]):
                raise ValueError(f"c must have shape {(a.shape[0], b.shape[0])}, got {c.shape}")
            with np.errstate(over="ignore"):  # refused here
                if not np.isfinite(c.astype(np.float32) if tw == F32 else c).all():
                    raise ValueError("c must be finite" + " in float32" * (tw == F32))
            _check_range(&b, tw, "w")
            if tw == I8 or tw == I16:
                state = _rng(rng, rounding)
                batch.rng = &state.state
            held = _batch_constant(h, &b, tw, form, &batch.h, state)
            if not b.len:
                return
            c_view = c
            rows = _row_pointers(&a)
            batch.n, batch.rows, batch.count = a.shape[1], a.shape[0], b.shape[0]
            batch.x, batch.w, batch.ldw, batch.c = rows, b.buf, b.shape[1], &c_view[0, 0]
            batch.next, batch.next_rows = NULL, 0
            with nogil:
                k.family[<int> form].update(&batch)
            del held
        finally:
            PyBuffer_Release(&a)
    finally:
        PyBuffer_Release(&b)
        PyMem_Free(rows)


# ---- Timing --------------------------------------------------------------------------------------

cdef tuple FAMILIES = ("i8", "i8i16", "i16", "f32", "f64")


cdef int64_t _now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


def time_read(x, size_t repeats):
    """Nanoseconds in which C reads the bytes of an array ``repeats`` times, without the GIL.

    Parameters
    ----------
    x : ndarray of int8, int16, float32 or float64, 1-D and contiguous
    repeats : int
    """
    cdef const halp_backend *k = _active
    cdef Py_buffer a
    cdef size_t _
    cdef int64_t start, stop
    _open(x, "x", &a, 1, False)
    try:
        with nogil:
            start = _now_ns()
            for _ in range(repeats):
                k.read(a.len, a.buf)
            stop = _now_ns()
        return stop - start
    finally:
        PyBuffer_Release(&a)


def time_peak(str dtype, size_t n):
    """Nanoseconds of ``n`` multiply-adds in registers, by the instructions of the dot product.

    Parameters
    ----------
    dtype : {"i8", "i8i16", "i16", "f32", "f64"}
        ``"i8i16"`` multiplies int8 by int16.
    n : int
    """
    cdef const halp_backend *k = _active
    cdef int64_t start, stop
    cdef int family
    if dtype not in FAMILIES:
        raise ValueError(f"got dtype {dtype!r}; expected one of {', '.join(FAMILIES)}")
    family = FAMILIES.index(dtype)
    with nogil:
        start = _now_ns()
        if family == 0:
            k.peak_i8(n, 3, -5)
        elif family == 1:
            k.peak_i8i16(n, 3, -5)
        elif family == 2:
            k.peak_i16(n, 3, -5)
        elif family == 3:
            k.peak_f32(n, 0.75, 1.25)
        else:
            k.peak_f64(n, 0.75, 1.25)
        stop = _now_ns()
    return stop - start


def time_calls(str op, str dtype, x, w, h, size_t repeats):
    """Nanoseconds that ``repeats`` calls of a kernel take in C; see ``kernels.time_kernel``.

    ``x`` (n), ``w`` (rows, n) and ``h`` (rows, padded n) are arrays of the kernel's own types. For
    accumulate ``x`` is a block of at most 64 rows, one after another, and ``w`` is g.
    """
    cdef const halp_backend *k = _active
    cdef Py_buffer a, b, e
    cdef size_t n, rows, r, ldh, ldw, block
    cdef int64_t start, stop
    cdef int64_t sums[64]
    cdef double c[64]
    cdef double b64[64 * 64]
    cdef float b32[64 * 64]
    cdef double sink = 0
    cdef halp_h fixed
    cdef Rng rng = Rng(0)
    cdef int kind = (
        "dot", "gemv", "axpy", "ger", "quantize", "dequantize", "accumulate"
    ).index(op)
    cdef int family = FAMILIES.index(dtype)
    _open(x, "x", &a, 1, False)
    _open(w, "w", &b, 2, True)
    _open(h, "h", &e, 2, False)
    n, rows, ldw, ldh = a.shape[0], b.shape[0], b.shape[1], e.shape[1]
    block = n // ldw
    for r in range(64 * 64):
        b64[r] = b32[r] = 1e-3 if r & 1 else -1e-3
    fixed.values = <const int16_t *> e.buf
    fixed.exponent = 13 if family == 0 else 0
    fixed.wide = 0
    memset(sums, 0, sizeof(sums))
    try:
        if rows > 64:
            raise ValueError(f"at most 64 rows, got {rows}")
        if kind == 6 and not 1 <= block <= 64:
            raise ValueError(f"at most 64 rows of data, got {block}")
        with nogil:
            start = _now_ns()
            for r in range(repeats):
                for j in range(rows):
                    c[j] = 1e-3 if (r & 1) else -1e-3
                if kind == 0:
                    if family == 0:
                        sums[0] += k.dot_i8(n, <int8_t *> a.buf, <int8_t *> b.buf)
                    elif family == 1:
                        sums[0] += k.dot_i8i16(n, <int8_t *> a.buf, <int16_t *> b.buf)
                    elif family == 2:
                        sums[0] += k.dot_i16(n, <int16_t *> a.buf, <int16_t *> b.buf)
                    elif family == 3:
                        sink += k.dot_f32(n, <float *> a.buf, <float *> b.buf)
                    else:
                        sink += k.dot_f64(n, <double *> a.buf, <double *> b.buf)
                elif kind == 1:
                    if family == 0:
                        k.gemv_i8(n, <int8_t *> a.buf, <int8_t *> b.buf, n, rows, sums)
                    elif family == 1:
                        k.gemv_i8i16(n, <int8_t *> a.buf, <int16_t *> b.buf, n, rows, sums)
                    elif family == 2:
                        k.gemv_i16(n, <int16_t *> a.buf, <int16_t *> b.buf, n, rows, sums)
                    elif family == 3:
                        k.gemv_f32(n, <float *> a.buf, <float *> b.buf, n, rows, <float *> sums)
                    else:
                        k.gemv_f64(n, <double *> a.buf, <double *> b.buf, n, rows, <double *> sums)
                elif kind == 2 or kind == 3:
                    if family == 0:
                        k.ger_i8(n, <int8_t *> b.buf, n, rows, <int8_t *> a.buf, c, fixed, ldh,
                                 &rng.state, NULL)
                    elif family == 1:
                        k.ger_i8i16(n, <int16_t *> b.buf, n, rows, <int8_t *> a.buf, c, fixed, ldh,
                                    &rng.state, NULL)
                    elif family == 2:
                        k.ger_i16(n, <int16_t *> b.buf, n, rows, <int16_t *> a.buf, c, fixed, ldh,
                                  &rng.state, NULL)
                    elif family == 3:
                        k.ger_f32(n, <float *> b.buf, n, rows, <float *> a.buf, c,
                                  <float *> e.buf, ldh, 1, NULL)
                    else:
                        k.ger_f64(n, <double *> b.buf, n, rows, <double *> a.buf, c,
                                  <double *> e.buf, ldh, 1, NULL)
                elif kind == 4:
                    if family == 0:
                        k.quantize_f32_i8(n, <float *> e.buf, 0.01, <int8_t *> b.buf, &rng.state)
                    else:
                        k.quantize_f32_i16(n, <float *> e.buf, 1e-4, <int16_t *> b.buf, &rng.state)
                elif kind == 5:
                    if family == 0:
                        k.dequantize_i8_f32(n, <int8_t *> a.buf, 0.01, <float *> e.buf)
                    else:
                        k.dequantize_i16_f32(n, <int16_t *> a.buf, 1e-4, <float *> e.buf)
                else:
                    if family == 0:
                        k.accumulate_i8(block, ldw, <int8_t *> a.buf, ldw, rows, b64,
                                        <double *> b.buf, ldw, NULL)
                    elif family == 2:
                        k.accumulate_i16(block, ldw, <int16_t *> a.buf, ldw, rows, b32,
                                         <double *> b.buf, ldw, NULL)
                    elif family == 3:
                        k.accumulate_f32(block, ldw, <float *> a.buf, ldw, rows, b32,
                                         <double *> b.buf, ldw, NULL)
                    else:
                        k.accumulate_f64(block, ldw, <double *> a.buf, ldw, rows, b64,
                                         <double *> b.buf, ldw, NULL)
            stop = _now_ns()
        return stop - start
    finally:
        PyBuffer_Release(&a)
        PyBuffer_Release(&b)
        PyBuffer_Release(&e)


def time_batch(str op, x, w, double c, double h, size_t repeats):
    """Nanoseconds that ``repeats`` calls of margins or update take in C; see ``BatchTimer``.

    ``x`` (B, n) and ``w`` (C, n) are of the format's own types, B at most 64. All coefficients are
    ``c`` or, in every other call, ``-c``; all of the constant is ``h``.
    """
    cdef Py_buffer a, b
    cdef const halp_backend *k = _active
    cdef const void **rows = NULL
    cdef Rng state = Rng(0)
    cdef halp_update batch
    cdef halp_format form
    cdef double[:, :, ::1] steps
    cdef double[:, ::1] sums
    cdef int tx, tw
    cdef size_t r
    cdef int64_t start, stop
    cdef bint is_update = ("margins", "update").index(op)
    tx = _open(x, "x", &a, 2, False)
    try:
        tw = _open(w, "w", &b, 2, True)
        try:
            form = _format_of(tx, tw)
            _same(a.shape[1], b.shape[1], "columns of x")
            if not (1 <= a.shape[0] <= HALP_MOST_BATCH and b.len):
                raise ValueError(f"got {a.shape[0]} x {b.shape[0]} rows; expected 1 to "
                                 f"{HALP_MOST_BATCH} x 1 or more")
            sums = np.empty((a.shape[0], b.shape[0]))
            steps = np.stack([np.full((a.shape[0], b.shape[0]), each) for each in (c, -c)])
            held = _batch_constant(np.full((b.shape[0], b.shape[1]), h), &b, tw, form, &batch.h,
                                   state)
            rows = _row_pointers(&a)
            batch.n, batch.rows, batch.count = a.shape[1], a.shape[0], b.shape[0]
            batch.x, batch.w, batch.ldw, batch.rng = rows, b.buf, b.shape[1], &state.state
            batch.next, batch.next_rows = NULL, 0
            with nogil:
                start = _now_ns()
                for r in range(repeats):
                    batch.c = &steps[r & 1, 0, 0]
                    if is_update:
                        k.family[<int> form].update(&batch)
                    else:
                        k.family[<int> form].margins(batch.n, batch.rows, rows, b.buf, batch.ldw,
                                                     batch.count, &sums[0, 0])
                stop = _now_ns()
            del held
            return stop - start
        finally:
            PyBuffer_Release(&b)
    finally:
        PyBuffer_Release(&a)
        PyMem_Free(rows)
