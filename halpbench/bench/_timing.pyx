# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=False
"""Loops in C that time a kernel, a read of memory, or multiply-adds in registers."""

from cpython.mem cimport PyMem_Free
from libc.stdint cimport int8_t, int16_t, int64_t
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import operator

import numpy as np

from halpbench._kernels cimport (
    F32,
    F64,
    HALP_MOST_BATCH,
    HALP_MOST_ROWS,
    HALP_PADDED,
    I8,
    I16,
    Operand,
    Rng,
    active_backend,
    check_apart,
    check_length,
    format_of,
    halp_backend,
    halp_batch_h,
    halp_encode_batch_h,
    halp_format,
    halp_h,
    halp_rng,
    halp_margins,
    halp_update,
    operand,
    reals,
    room_for_h,
    row_pointers,
)

cdef enum Family:
    FAMILY_I8, FAMILY_I8I16, FAMILY_I16, FAMILY_F32, FAMILY_F64

cdef enum Op:
    DOT, GEMV, AXPY, GER, ACCUMULATE, QUANTIZE, DEQUANTIZE

cdef tuple FAMILIES = ("i8", "i8i16", "i16", "f32", "f64")
cdef tuple OPS = ("dot", "gemv", "axpy", "ger", "accumulate", "quantize", "dequantize")
cdef tuple BATCHED = ("margins", "update")


cdef int64_t _now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t> t.tv_sec * 1000000000 + t.tv_nsec


cdef int _one_of(value, tuple names, str name) except -1:
    if not (isinstance(value, str) and value in names):
        raise ValueError(f"got {name} {value!r}; expected one of {', '.join(names)}")
    return names.index(value)


cdef size_t _count(value, str name) except 0:
    number = operator.index(value)
    if not 1 <= number < 1 << 62:
        raise ValueError(f"{name} must be positive, got {number}")
    return number


def time_read(x, repeats):
    """Nanoseconds in which C reads the bytes of an array ``repeats`` times, without the GIL.

    Parameters
    ----------
    x : ndarray of int8, int16, float32 or float64, 1-D and contiguous
    repeats : int
    """
    cdef Operand a = operand(x, "x", 1, False)
    cdef const halp_backend *k = active_backend()
    cdef size_t _, times = _count(repeats, "repeats")
    cdef int64_t start, stop
    with nogil:
        start = _now_ns()
        for _ in range(times):
            k.read(a.view.len, a.data)
        stop = _now_ns()
    return stop - start


def time_peak(dtype, n):
    """Nanoseconds of ``n`` multiply-adds in registers, by the instructions of the dot product.

    Parameters
    ----------
    dtype : {"i8", "i8i16", "i16", "f32", "f64"}
        ``"i8i16"`` multiplies int8 by int16.
    n : int
    """
    cdef const halp_backend *k = active_backend()
    cdef int family = _one_of(dtype, FAMILIES, "dtype")
    cdef size_t products = _count(n, "n")
    cdef int64_t start, stop
    with nogil:
        start = _now_ns()
        if family == FAMILY_I8:
            k.peak_i8(products, 3, -5)
        elif family == FAMILY_I8I16:
            k.peak_i8i16(products, 3, -5)
        elif family == FAMILY_I16:
            k.peak_i16(products, 3, -5)
        elif family == FAMILY_F32:
            k.peak_f32(products, 0.75, 1.25)
        else:
            k.peak_f64(products, 0.75, 1.25)
        stop = _now_ns()
    return stop - start


cdef struct Call:
    # Operands of a repeated call. x: n elements, or for accumulate `block` rows of n; w: rows of n.
    const halp_backend *k
    int family
    size_t n, rows, ldh, block
    void *x
    void *w
    void *h
    halp_h fixed
    halp_rng *rng
    double c[HALP_MOST_ROWS]
    double b64[HALP_MOST_ROWS * HALP_MOST_ROWS]
    float b32[HALP_MOST_ROWS * HALP_MOST_ROWS]
    int64_t sums[HALP_MOST_ROWS]


cdef inline void _dot(Call *t) noexcept nogil:
    if t.family == FAMILY_I8:
        t.sums[0] += t.k.dot_i8(t.n, <int8_t *> t.x, <int8_t *> t.w)
    elif t.family == FAMILY_I8I16:
        t.sums[0] += t.k.dot_i8i16(t.n, <int8_t *> t.x, <int16_t *> t.w)
    elif t.family == FAMILY_I16:
        t.sums[0] += t.k.dot_i16(t.n, <int16_t *> t.x, <int16_t *> t.w)
    elif t.family == FAMILY_F32:
        t.c[0] += t.k.dot_f32(t.n, <float *> t.x, <float *> t.w)
    else:
        t.c[0] += t.k.dot_f64(t.n, <double *> t.x, <double *> t.w)


cdef inline void _gemv(Call *t) noexcept nogil:
    if t.family == FAMILY_I8:
        t.k.gemv_i8(t.n, <int8_t *> t.x, <int8_t *> t.w, t.n, t.rows, t.sums)
    elif t.family == FAMILY_I8I16:
        t.k.gemv_i8i16(t.n, <int8_t *> t.x, <int16_t *> t.w, t.n, t.rows, t.sums)
    elif t.family == FAMILY_I16:
        t.k.gemv_i16(t.n, <int16_t *> t.x, <int16_t *> t.w, t.n, t.rows, t.sums)
    elif t.family == FAMILY_F32:
        t.k.gemv_f32(t.n, <float *> t.x, <float *> t.w, t.n, t.rows, <float *> t.sums)
    else:
        t.k.gemv_f64(t.n, <double *> t.x, <double *> t.w, t.n, t.rows, <double *> t.sums)


cdef inline void _ger(Call *t) noexcept nogil:
    if t.family == FAMILY_I8:
        t.k.ger_i8(t.n, <int8_t *> t.w, t.n, t.rows, <int8_t *> t.x, t.c, t.fixed, t.ldh, t.rng,
                   NULL)
    elif t.family == FAMILY_I8I16:
        t.k.ger_i8i16(t.n, <int16_t *> t.w, t.n, t.rows, <int8_t *> t.x, t.c, t.fixed, t.ldh,
                      t.rng, NULL)
    elif t.family == FAMILY_I16:
        t.k.ger_i16(t.n, <int16_t *> t.w, t.n, t.rows, <int16_t *> t.x, t.c, t.fixed, t.ldh,
                    t.rng, NULL)
    elif t.family == FAMILY_F32:
        t.k.ger_f32(t.n, <float *> t.w, t.n, t.rows, <float *> t.x, t.c, <float *> t.h, t.ldh, 1,
                    NULL)
    else:
        t.k.ger_f64(t.n, <double *> t.w, t.n, t.rows, <double *> t.x, t.c, <double *> t.h, t.ldh,
                    1, NULL)


cdef inline void _accumulate(Call *t) noexcept nogil:
    if t.family == FAMILY_I8:
        t.k.accumulate_i8(t.block, t.n, <int8_t *> t.x, t.n, t.rows, t.b64, <double *> t.w, t.n,
                          NULL)
    elif t.family == FAMILY_I16:
        t.k.accumulate_i16(t.block, t.n, <int16_t *> t.x, t.n, t.rows, t.b32, <double *> t.w, t.n,
                           NULL)
    elif t.family == FAMILY_F32:
        t.k.accumulate_f32(t.block, t.n, <float *> t.x, t.n, t.rows, t.b32, <double *> t.w, t.n,
                           NULL)
    else:
        t.k.accumulate_f64(t.block, t.n, <double *> t.x, t.n, t.rows, t.b64, <double *> t.w, t.n,
                           NULL)


cdef inline void _convert(Call *t, bint back) noexcept nogil:
    if back and t.family == FAMILY_I8:
        t.k.dequantize_i8_f32(t.n, <int8_t *> t.x, 0.01, <float *> t.h)
    elif back:
        t.k.dequantize_i16_f32(t.n, <int16_t *> t.x, 1e-4, <float *> t.h)
    elif t.family == FAMILY_I8:
        t.k.quantize_f32_i8(t.n, <float *> t.h, 0.01, <int8_t *> t.w, t.rng)
    else:
        t.k.quantize_f32_i16(t.n, <float *> t.h, 1e-4, <int16_t *> t.w, t.rng)


cdef int64_t _repeat(Call *t, int op, size_t repeats) noexcept nogil:
    cdef int64_t start = _now_ns()
    cdef size_t i, r
    for i in range(repeats):
        for r in range(t.rows):
            t.c[r] = 1e-3 if i & 1 else -1e-3
        if op == DOT:
            _dot(t)
        elif op == GEMV:
            _gemv(t)
        elif op == ACCUMULATE:
            _accumulate(t)
        elif op == QUANTIZE or op == DEQUANTIZE:
            _convert(t, op == DEQUANTIZE)
        else:
            _ger(t)
    return _now_ns() - start


cdef int _check(int op, int family, Operand x, Operand w, Operand h) except -1:
    """The dtypes and shapes that a call of this kernel reads and writes."""
    cdef int data = (I8, I8, I16, F32, F64)[family], model = (I8, I16, I16, F32, F64)[family]
    cdef int constant = I16 if model == I8 else model
    if op == ACCUMULATE:
        model = F64
    if op == QUANTIZE or op == DEQUANTIZE:
        constant = F32
    if (x.dtype, w.dtype) != (data, model):
        raise TypeError(f"x and w do not have the dtypes of {OPS[op]} {FAMILIES[family]}")
    if not 1 <= w.rows <= HALP_MOST_ROWS or w.columns == 0:
        raise ValueError(f"w must have 1 to {HALP_MOST_ROWS} rows, got {w.rows} x {w.columns}")
    if op == ACCUMULATE:
        if x.columns % w.columns or not 1 <= x.columns // w.columns <= HALP_MOST_ROWS:
            raise ValueError(f"x must have 1 to {HALP_MOST_ROWS} times {w.columns} elements, "
                             f"got {x.columns}")
    else:
        check_length(x.columns, w.columns, "length of x")
    check_apart(x, w)
    if op in (AXPY, GER, QUANTIZE, DEQUANTIZE):
        if h.dtype != constant:
            raise TypeError(f"h does not have the dtype of {OPS[op]} {FAMILIES[family]}")
        check_length(h.rows, w.rows, "rows of h")
        check_length(h.columns, HALP_PADDED(w.columns), "columns of h")
        check_apart(h, w)
        check_apart(x, h)
    return 0


def time_calls(op, dtype, x, w, h, repeats):
    """Nanoseconds that ``repeats`` calls of a kernel take in C; see ``timing.KernelTimer``.

    Parameters
    ----------
    op : {"dot", "gemv", "axpy", "ger", "accumulate", "quantize", "dequantize"}
    dtype : {"i8", "i8i16", "i16", "f32", "f64"}
    x : ndarray of shape (n,)
        Of the kernel's data; for accumulate a block of at most 64 rows, one after another.
    w : ndarray of shape (rows, n), writable
        Of the kernel's model; for accumulate g.
    h : ndarray of shape (rows, n padded to groups of 64), writable
        Of the kernel's constant; for quantize and dequantize float32. Others do not look at it.
    repeats : int
    """
    cdef int kind = _one_of(op, OPS, "op"), family = _one_of(dtype, FAMILIES, "dtype")
    cdef Operand a = operand(x, "x", 1, False), b = operand(w, "w", 2, True)
    cdef Operand e = operand(h, "h", 2, True)
    cdef size_t times = _count(repeats, "repeats"), i
    cdef Rng rng = Rng(0)
    cdef int64_t elapsed
    cdef Call t
    if family not in (FAMILY_I8, FAMILY_I16) and kind in (QUANTIZE, DEQUANTIZE) or (
        family == FAMILY_I8I16 and kind == ACCUMULATE
    ):
        raise ValueError(f"no kernel {op!r} for dtype {dtype!r}")
    _check(kind, family, a, b, e)
    t.k, t.family, t.rng = active_backend(), family, &rng.state
    t.x, t.w, t.h = a.data, b.data, e.data
    t.n, t.rows, t.ldh, t.block = b.columns, b.rows, e.columns, a.columns // b.columns
    t.fixed.values = <const int16_t *> e.data
    t.fixed.exponent = 13 if family == FAMILY_I8 else 0
    t.fixed.wide = 0
    memset(t.sums, 0, sizeof(t.sums))
    for i in range(<size_t> HALP_MOST_ROWS * HALP_MOST_ROWS):
        t.b64[i] = t.b32[i] = 1e-3 if i & 1 else -1e-3
    with nogil:
        elapsed = _repeat(&t, kind, times)
    return elapsed


cdef halp_batch_h _encoded(halp_format form, Operand w, Operand h, Operand room, Rng rng):
    """The constant of an update, as its kernel reads it; integers keep it in ``room``."""
    cdef halp_batch_h constant
    if w.dtype == I8 or w.dtype == I16:
        return halp_encode_batch_h(form, w.columns, w.rows, <const double *> h.data, 1.0,
                                   &rng.state, room.data)
    constant.values, constant.ld, constant.exponent, constant.factor = h.data, w.columns, 0, 1.0
    return constant


cdef int64_t _repeat_batch(const halp_backend *k, halp_format form, bint updates,
                           halp_update *batch, double *sums, size_t repeats) noexcept nogil:
    cdef const double *c = batch.c
    cdef halp_margins products
    cdef size_t i
    cdef int64_t start
    products.n, products.rows, products.count = batch.n, batch.rows, batch.count
    products.x, products.w, products.ldw, products.sums = batch.x, batch.w, batch.ldw, sums
    products.next, products.next_rows = NULL, 0
    start = _now_ns()
    for i in range(repeats):
        batch.c = c + (i & 1) * batch.rows * batch.count
        if updates:
            k.family[<int> form].update(batch)
        else:
            k.family[<int> form].margins(&products)
    return _now_ns() - start


def time_batch(op, x, w, c, h, repeats):
    """Nanoseconds that ``repeats`` calls of a kernel of batches take; see ``timing.BatchTimer``.

    Parameters
    ----------
    op : {"margins", "update"}
    x : ndarray of shape (B, n)
        Of the kernel's data, B at most 64.
    w : ndarray of shape (C, n), writable
        Of the kernel's model.
    c, h : float
        All coefficients are ``c`` or, in every other call, ``-c``; all of the constant is ``h``.
    repeats : int
    """
    cdef bint updates = _one_of(op, BATCHED, "op")
    cdef Operand data = operand(x, "x", 2, False), model = operand(w, "w", 2, True)
    cdef Operand coefficients, constant, room, sums
    cdef halp_format form = format_of(data, model)
    cdef size_t times = _count(repeats, "repeats")
    cdef const halp_backend *k = active_backend()
    cdef Rng rng = Rng(0)
    cdef halp_update batch
    cdef int64_t elapsed
    check_length(data.columns, model.columns, "columns of x")
    if not 1 <= data.rows <= HALP_MOST_BATCH or model.view.len == 0:
        raise ValueError(f"x must have 1 to {HALP_MOST_BATCH} rows and w at least one element, got "
                         f"{data.shape()} and {model.shape()}")
    check_apart(data, model)
    shape = (data.rows, model.rows)
    coefficients = reals(np.multiply.outer((c, -c), np.ones(shape)), "c", (2, *shape), F64, model)
    constant = reals(np.full(model.shape(), h, np.float64), "h", model.shape(),
                     F32 if model.dtype == F32 else F64, model)
    room = room_for_h(model.rows, model.columns, form)
    sums = operand(np.empty(shape), "sums", 2, True)
    batch.h = _encoded(form, model, constant, room, rng)
    batch.n, batch.rows, batch.count = data.columns, data.rows, model.rows
    batch.w, batch.ldw, batch.c = model.data, model.columns, <const double *> coefficients.data
    batch.next, batch.next_rows, batch.rng = NULL, 0, &rng.state
    batch.x = row_pointers(data)
    with nogil:
        elapsed = _repeat_batch(k, form, updates, &batch, <double *> sums.data, times)
    PyMem_Free(<void *> batch.x)
    return elapsed
