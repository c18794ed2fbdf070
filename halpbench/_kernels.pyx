# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=False
"""Thin wrappers of the C kernels: they check what the kernels do not, and allocate only results.

Arguments that C reads or writes pass through :func:`operand` (arrays, used where they lie) or
:func:`reals` (anything that can be made an array of floats); then ``check_range`` and
``check_apart``. Numbers pass through :func:`real_number`. All are for every module that calls C.
"""

from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.pycapsule cimport PyCapsule_New
from cpython.pythread cimport (
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
    WAIT_LOCK,
)
from libc.math cimport frexp, isfinite, ldexp
from libc.stdint cimport int8_t, int16_t, int64_t, uint64_t
from libc.string cimport memcpy

import json
import operator
import secrets
import sys

import cython
import numpy as np

from halpbench import memory

cdef extern from *:
    """
    extern const char halp_build_info[];
    """
    const char *halp_build_info

cdef tuple NAMES = ("int8", "int16", "float32", "float64")
cdef tuple DTYPES = tuple(map(np.dtype, NAMES))
cdef tuple ROUNDINGS = ("stochastic", "nearest")
cdef char NATIVE_ORDER = b"<" if sys.byteorder == "little" else b">"
cdef size_t RELEASE_GIL_FROM = 32768  # elements: below, taking it back costs more than it gives

# ---- The backend in use --------------------------------------------------------------------------

cdef const halp_backend *_active = halp_best()


class BackendError(ValueError):
    """A backend was asked for that is unknown, not compiled in, or not usable on this CPU."""


cdef const halp_backend *active_backend() noexcept nogil:
    return _active


cdef halp_api _api
_api.version = HALP_VERSION
_api.backend_bytes = sizeof(halp_backend)
_api.active = active_backend
_api.backends = halp_backends
_api.usable = halp_usable
_api.find = halp_find
_api.best = halp_best
_api.rng_init = halp_rng_init
_api.encode_h_i8 = halp_encode_h_i8
_api.encode_h_i16 = halp_encode_h_i16
C_API = PyCapsule_New(&_api, HALP_API_CAPSULE, NULL)  # see kernels/api.h


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
    if not isinstance(name, str):
        raise TypeError(f"the name of a backend is a str, got {type(name).__name__}")
    usable = backends()
    if name not in usable:
        why = "is not supported by this CPU" if name in compiled() else "is not compiled in"
        raise BackendError(f"backend {name!r} {why}; usable here: {', '.join(usable)}")
    _active = halp_find(name.encode())


def build_info():
    """Compiler, flags and instruction sets that the kernels were built with, as a dict."""
    return json.loads((<const char *> halp_build_info).decode())


# ---- Rounding ------------------------------------------------------------------------------------

cdef class Rng:
    """The state of stochastic rounding: a stream of random bits, the same on every backend.

    Threads may share a state: a call of a kernel has it for itself until it returns, and takes
    the bits that follow those of the call before. Which thread comes first is up to the system;
    a state for each thread gives results that do not depend on it.

    Parameters
    ----------
    seed : int, optional
        0 .. 2**64 - 1. By default a fresh one from the operating system.
    rounding : {"stochastic", "nearest"}
        ``"nearest"`` makes every rounding that uses this state deterministic (half rounds up).

    Raises
    ------
    TypeError
        If ``seed`` is no integer.
    ValueError
        For a seed out of range, and other names of ``rounding``.
    """

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock is NULL:
            raise MemoryError("no memory for a lock")

    def __init__(self, seed=None, rounding="stochastic"):
        _check_rounding(rounding)
        cdef uint64_t s = secrets.randbits(64) if seed is None else _seed(seed)
        cdef halp_rounding kind = HALP_STOCHASTIC if rounding == "stochastic" else HALP_NEAREST
        with nogil:
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            halp_rng_init(&self.state, s, kind)
            PyThread_release_lock(self.lock)

    def __dealloc__(self):
        if self.lock is not NULL:
            PyThread_free_lock(self.lock)

    cdef halp_rng *acquire(self) noexcept nogil:
        """Wait for the state, without the GIL; `release` it before taking the GIL back."""
        PyThread_acquire_lock(self.lock, WAIT_LOCK)
        if self.state.lane_bits == 0:  # __init__ has not run
            halp_rng_init(&self.state, 0, HALP_STOCHASTIC)
        return &self.state

    cdef void release(self) noexcept nogil:
        PyThread_release_lock(self.lock)

    @property
    def rounding(self):
        """``"stochastic"`` or ``"nearest"``."""
        return "stochastic" if self.state.rounding == HALP_STOCHASTIC else "nearest"

    def __repr__(self):
        return f"Rng(rounding={self.rounding!r})"

    cdef bytes to_bytes(self):
        cdef halp_rng state
        with nogil:
            memcpy(&state, self.acquire(), sizeof(state))
            self.release()
        return (<char *> &state)[:sizeof(state)]

    def __reduce__(self):
        return _rng_from_bytes, (self.to_bytes(),)

    def copy(self):
        """An independent copy that continues with the same random bits."""
        return _rng_from_bytes(self.to_bytes())


def _rng_from_bytes(bytes state not None):
    cdef Rng rng = Rng.__new__(Rng)
    if len(state) != sizeof(rng.state):
        raise ValueError(f"expected {sizeof(rng.state)} bytes of state, got {len(state)}")
    rng.state = (<halp_rng *> <char *> state)[0]
    cdef int lane_bits = rng.state.lane_bits, fraction = rng.state.lane_fraction
    if not (
        lane_bits in (16, 32)
        and 0 <= fraction <= lane_bits
        and rng.state.blocks_left <= HALP_BLOCKS_PER_POOL  # below 0 behind a large batch
        and rng.state.rounding in (HALP_STOCHASTIC, HALP_NEAREST)
    ):
        raise ValueError("these bytes are no state of an Rng")
    halp_rng_recut(&rng.state, lane_bits, fraction)
    return rng


cdef uint64_t _seed(seed) except? 0:
    try:
        value = operator.index(None if isinstance(seed, bool) else seed)
    except TypeError:
        raise TypeError(f"a seed must be an integer, got {type(seed).__name__}") from None
    if not 0 <= value < 1 << 64:
        got = value if value.bit_length() <= 128 else f"one of {value.bit_length()} bits"
        raise ValueError(f"a seed must be in 0 .. 2**64 - 1, got {got}")
    return value


cdef int _check_rounding(rounding) except -1:
    if not (isinstance(rounding, str) and rounding in ROUNDINGS):
        raise ValueError(f"rounding must be 'stochastic' or 'nearest', got {rounding!r}")
    return 0


cdef int check_rounding(rng, rounding) except -1:
    """Check what says how to round, also where nothing is rounded."""
    if rounding is not None:
        _check_rounding(rounding)
    if isinstance(rng, Rng):
        if rounding is not None and rounding != rng.rounding:
            raise ValueError(f"got rounding={rounding!r} and an Rng that rounds {rng.rounding!r}; "
                             "leave it out, or make another Rng")
    elif rng is not None:
        _seed(rng)
    return 0


cpdef Rng rounding_state(rng, rounding):
    """The state that ``rng`` is, or one made from a seed; a checked pair of arguments."""
    check_rounding(rng, rounding)
    if isinstance(rng, Rng):
        return rng
    return Rng(rng, rounding or "stochastic")


# ---- Arguments -----------------------------------------------------------------------------------

@cython.final
@cython.freelist(16)
cdef class Operand:
    """An array of one of the four dtypes, C-contiguous and aligned, held where it lies."""

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cdef tuple shape(self):
        return tuple([self.view.shape[axis] for axis in range(self.view.ndim)])


cdef int _dtype_of(const Py_buffer *view) noexcept:
    """Code of a buffer's dtype in the byte order of this machine; -1 if it is none of the four."""
    cdef const char *code = view.format
    if code is NULL:
        return -1
    if code[0] == b"@" or code[0] == b"=" or code[0] == NATIVE_ORDER:
        code += 1
    if code[0] == 0 or code[1] != 0:
        return -1
    if code[0] == b"b":
        return I8
    if code[0] == b"h" and view.itemsize == 2:
        return I16
    if code[0] == b"f" and view.itemsize == 4:
        return F32
    if code[0] == b"d" and view.itemsize == 8:
        return F64
    return -1


cdef bint _contiguous(const Py_buffer *view) noexcept:
    cdef Py_ssize_t expected = view.itemsize
    cdef int axis
    if view.strides is NULL or view.len == 0:
        return True
    for axis in range(view.ndim - 1, -1, -1):
        if view.shape[axis] > 1 and view.strides[axis] != expected:
            return False
        expected *= view.shape[axis]
    return True


cdef object _with_buffer(array, str name, bint writable):
    """``array``, or an ndarray of the same memory; of a copy where it is only read."""
    if isinstance(array, type):
        pass
    elif hasattr(array, "__array_interface__") or hasattr(array, "__array_struct__"):
        return np.asarray(array)
    elif hasattr(array, "__array__"):
        if not writable:
            return np.asarray(array)
        raise TypeError(f"{name} is written to and must be an array that has a buffer, got "
                        f"{type(array).__name__}")
    raise TypeError(f"{name} must be an array, got {type(array).__name__}")


cdef Operand operand(array, str name, int ndim, bint writable):
    """A checked array: one of the four dtypes, ``ndim`` dimensions, C-contiguous, aligned.

    It may be anything with a buffer or the array interface. The values are not looked at.
    """
    cdef Operand self = Operand.__new__(Operand)
    cdef int flags = PyBUF_FORMAT | PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0)
    self.name = name
    expected = "must be int8, int16, float32 or float64"
    try:
        try:
            PyObject_GetBuffer(array, &self.view, flags)
        except TypeError:
            PyObject_GetBuffer(_with_buffer(array, name, writable), &self.view, flags)
    except (BufferError, ValueError) as error:
        dtype = getattr(array, "dtype", None)
        if isinstance(dtype, np.dtype) and dtype not in DTYPES:
            raise TypeError(f"{name} {expected}, got {dtype}") from None
        raise ValueError(f"{name}: {error}") from None
    self.held = True
    self.dtype = _dtype_of(&self.view)
    if self.dtype < 0:
        got = getattr(array, "dtype", None) or (
            (<bytes> self.view.format).decode() if self.view.format else "bytes"
        )
        raise TypeError(f"{name} {expected}, got {got}")
    if self.view.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s), got {self.view.ndim}")
    if not _contiguous(&self.view):
        raise ValueError(f"{name} must be C-contiguous; use numpy.ascontiguousarray")
    if <size_t> self.view.buf % self.view.itemsize:
        raise ValueError(f"{name} must be aligned to its items; use numpy.require")
    self.data = self.view.buf
    self.rows = self.view.shape[0] if ndim == 2 else 1
    self.columns = self.view.shape[ndim - 1]
    return self


cdef bint overlap(Operand x, Operand y) noexcept:
    """True if two arrays share memory: exact, since both are contiguous."""
    cdef size_t x_start = <size_t> x.data, y_start = <size_t> y.data
    return x_start < y_start + <size_t> y.view.len and y_start < x_start + <size_t> x.view.len


cdef int check_apart(Operand x, Operand output) except -1:
    """Refuse to read what is being written."""
    if overlap(x, output):
        raise ValueError(f"{x.name} and {output.name} overlap; give a copy of {x.name}")
    return 0


cdef int check_range(Operand x) except -1:
    """Refuse -128 and -32768, which are outside the symmetric range of the kernels."""
    cdef const halp_backend *k = _active
    cdef int lowest = 0
    cdef size_t n = x.rows * x.columns
    if x.dtype == I8:
        lowest = k.lowest_i8(n, <const int8_t *> x.data)
    elif x.dtype == I16:
        lowest = k.lowest_i16(n, <const int16_t *> x.data)
    if lowest == -128 and x.dtype == I8 or lowest == -32768:
        raise ValueError(f"{x.name} must lie in {lowest + 1} .. {-lowest - 1}, got {lowest}")
    return 0


cdef int check_length(size_t got, size_t expected, str what) except -1:
    if got != expected:
        raise ValueError(f"{what}: got {got}, expected {expected}")
    return 0


cdef int check_pair(Operand x, Operand w) except -1:
    """The kernel family for data x and model w: their common dtype, or int8 data, int16 model."""
    if x.dtype == w.dtype or (x.dtype == I8 and w.dtype == I16):
        return 0
    raise TypeError(f"no kernel for {NAMES[x.dtype]} data with a {NAMES[w.dtype]} model; equal "
                    "dtypes, or int8 data with an int16 model")


cpdef double real_number(value, str name, bint positive=False) except? -1:
    """A finite real number as a double: no bool, no complex number, no text, no array.

    Raises
    ------
    TypeError
        For what is no real number.
    ValueError
        For arrays, and for what is not finite as a double, or not positive if it has to be.
    """
    cdef double number
    expected = f"{name} must be finite and positive" if positive else f"{name} must be finite"
    if type(value) is float or type(value) is int:
        pass
    else:
        array = np.asarray(value)
        if array.ndim:
            raise ValueError(f"{name} must be a number, got an array of shape {array.shape}")
        if array.dtype.kind not in "fiuO":
            raise TypeError(f"{name} must be a real number, got {type(value).__name__}")
        value = array[()]
        if array.dtype.kind == "O" and isinstance(value, (bool, np.generic)):
            return real_number(np.asarray(value), name, positive)
    try:
        number = value
    except TypeError:
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}") from None
    except OverflowError:
        raise ValueError(f"{expected}, got an integer beyond all doubles") from None
    if not isfinite(number) or (positive and number <= 0):
        raise ValueError(f"{expected}, got {number}")
    return number


cdef Operand reals(value, str name, tuple shape, int dtype, Operand output):
    """A checked array of floats, of a given shape, that shares no memory with ``output``.

    ``value`` may be all that NumPy makes real numbers of. It is copied where it has another
    dtype or layout, or where it overlaps with the output.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiuO":
        raise TypeError(f"{name} must be real, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if array.dtype.kind == "O":
        flat = [real_number(element, name) for element in array.ravel()]
        array = np.array(flat, np.float64).reshape(shape)
    given = array
    if array.dtype != DTYPES[dtype]:
        with np.errstate(over="ignore"):  # refused below
            array = array.astype(DTYPES[dtype])
    cdef Operand checked = operand(np.require(array, None, ["C", "A"]), name, len(shape), False)
    if overlap(checked, output):
        checked = operand(array.copy(), name, len(shape), False)
    finite = np.isfinite(array)
    if not finite.all():
        within = " in float32" if dtype == F32 else ""
        raise ValueError(f"{name} must be finite{within}, got {given[~finite][0]}")
    return checked


# ---- dot and gemv --------------------------------------------------------------------------------

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
    cdef Operand a = operand(x, "x", 1, False), b = operand(y, "y", 1, False)
    cdef const halp_backend *k = _active
    cdef size_t n = a.columns
    cdef int64_t exact
    cdef double real
    cdef float single
    if n != b.columns:
        raise ValueError(f"x and y must have equal lengths, got {n} and {b.columns}")
    if a.dtype == I8 and b.dtype == I8:
        if n < RELEASE_GIL_FROM:
            exact = k.dot_i8_any(n, <const int8_t *> a.data, <const int8_t *> b.data)
        else:
            with nogil:
                exact = k.dot_i8_any(n, <const int8_t *> a.data, <const int8_t *> b.data)
        return exact
    if a.dtype == F32 and b.dtype == F32:
        if n < RELEASE_GIL_FROM:
            single = k.dot_f32(n, <const float *> a.data, <const float *> b.data)
        else:
            with nogil:
                single = k.dot_f32(n, <const float *> a.data, <const float *> b.data)
        return single
    if a.dtype == F64 and b.dtype == F64:
        with nogil:
            real = k.dot_f64(n, <const double *> a.data, <const double *> b.data)
        return real
    if a.dtype == I16 and b.dtype == I8:
        a, b = b, a
    check_pair(a, b)
    check_range(a)
    check_range(b)
    with nogil:
        if a.dtype == I8:
            exact = k.dot_i8i16(n, <const int8_t *> a.data, <const int16_t *> b.data)
        else:
            exact = k.dot_i16(n, <const int16_t *> a.data, <const int16_t *> b.data)
    return exact


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
    cdef Operand a = operand(x, "x", 1, False), b = operand(w, "w", 2, False), out
    cdef const halp_backend *k = _active
    cdef size_t n = a.columns, m = b.rows
    cdef int64_t[::1] exact
    check_pair(a, b)
    check_length(b.columns, n, "columns of w")
    check_range(a)
    check_range(b)
    if a.dtype == F32 or a.dtype == F64:
        sums = np.zeros(m, DTYPES[a.dtype])
        out = operand(sums, "result", 1, True)
        with nogil:
            if a.dtype == F32:
                k.gemv_f32(n, <const float *> a.data, <const float *> b.data, n, m,
                           <float *> out.data)
            else:
                k.gemv_f64(n, <const double *> a.data, <const double *> b.data, n, m,
                           <double *> out.data)
        return sums
    sums = np.zeros(m, np.int64)
    if m == 0:
        return sums
    exact = sums
    with nogil:
        if b.dtype == I8:
            k.gemv_i8(n, <const int8_t *> a.data, <const int8_t *> b.data, n, m, &exact[0])
        elif a.dtype == I8:
            k.gemv_i8i16(n, <const int8_t *> a.data, <const int16_t *> b.data, n, m, &exact[0])
        else:
            k.gemv_i16(n, <const int16_t *> a.data, <const int16_t *> b.data, n, m, &exact[0])
    return sums


# ---- axpy and ger --------------------------------------------------------------------------------

cdef int _update(Operand z, Operand x, const double *c, Operand h, rng, rounding) except -1:
    """Rows of z <- z - (c x + h); c and h have been checked, and rng and rounding."""
    check_pair(x, z)
    check_length(x.columns, z.columns, "length of x")
    if x.data != z.data or x.view.len != z.view.len:
        check_apart(x, z)
    check_range(x)
    check_range(z)
    if x.columns == 0 or z.rows == 0:
        return 0
    if z.dtype == F32 or z.dtype == F64:
        return _update_floats(z, x, c, h)
    return _update_integers(z, x, c, h, rounding_state(rng, rounding))


cdef int _update_floats(Operand z, Operand x, const double *c, Operand h) except -1:
    cdef size_t n = x.columns, rows = z.rows, r
    cdef const halp_backend *k = _active
    cdef const void *constant = NULL if h is None else h.data
    if z.dtype == F64:
        with nogil:
            k.ger_f64(n, <double *> z.data, n, rows, <const double *> x.data, c,
                      <const double *> constant, n, 1, NULL)
        return 0
    for r in range(rows):
        if not isfinite(<float> c[r]):
            raise ValueError(f"c must be finite in float32, got {c[r]}")
    with nogil:
        k.ger_f32(n, <float *> z.data, n, rows, <const float *> x.data, c,
                  <const float *> constant, n, 1, NULL)
    return 0


cdef int _update_integers(Operand z, Operand x, const double *c, Operand h, Rng rng) except -1:
    cdef size_t n = x.columns, rows = z.rows, padded = HALP_PADDED(n)
    cdef const halp_backend *k = _active
    cdef int fraction = HALP_FRACTION_I8I16 if x.dtype == I8 else HALP_FRACTION_I16
    cdef int16_t *encoded = NULL
    cdef halp_rng *state
    cdef halp_h fixed
    fixed.values = NULL
    fixed.exponent = 13 if z.dtype == I8 else 0
    fixed.wide = 0
    if h is not None:
        encoded = <int16_t *> PyMem_Malloc(rows * padded * sizeof(int16_t))
        if encoded is NULL:
            raise MemoryError(f"no memory for {rows} x {padded} fixed-point numbers")
        if z.dtype == I8:
            fixed = halp_encode_h_i8(n, rows, <const double *> h.data, 1.0, NULL, encoded)
        else:
            fixed = halp_encode_h_i16(n, rows, <const double *> h.data, 1.0, fraction, NULL,
                                      encoded)
    with nogil:
        state = rng.acquire()
        if z.dtype == I8:
            k.ger_i8(n, <int8_t *> z.data, n, rows, <const int8_t *> x.data, c, fixed, padded,
                     state, NULL)
        elif x.dtype == I8:
            k.ger_i8i16(n, <int16_t *> z.data, n, rows, <const int8_t *> x.data, c, fixed, padded,
                        state, NULL)
        else:
            k.ger_i16(n, <int16_t *> z.data, n, rows, <const int16_t *> x.data, c, fixed, padded,
                      state, NULL)
        rng.release()
    PyMem_Free(encoded)
    return 0


cdef Operand _constant(h, Operand z):
    """The h of an update of z, or None: in the precision in which C takes it."""
    return None if h is None else reals(h, "h", z.shape(), F32 if z.dtype == F32 else F64, z)


def axpy(z, x, c, h=None, rng=None, rounding=None):
    """Fused update ``z -= round(c * x + h)``, in place.

    The step of SVRG and HALP (De Sa et al. 2018, Algorithm 2). An integer ``z`` is rounded
    stochastically, ``E z = z - (c x + h)`` to 2**-8 of a unit, and saturates at the ends of its
    symmetric range; so does a step ``c x + h`` of an int16 ``z`` beyond +-32768 units.

    Parameters
    ----------
    z : ndarray of shape (n,), writable
        int8, int16, float32 or float64.
    x : ndarray of shape (n,)
        Of the dtype of ``z``; or int8 where ``z`` is int16.
    c : float
        In units of ``z`` per unit of ``x``. Beyond +-255 (int8), +-2**14 (int16) it saturates.
    h : array_like of shape (n,), optional
        In units of ``z``; held as 16-bit fixed point for an integer ``z``, beyond +-127 (int8),
        +-8191 (int16 data) or +-32767 (int8 data, int16 model) it saturates. It may overlap with
        ``z``: its values are those before the call.
    rng : int, Rng, optional
        Seed, or state that goes on from call to call; for an integer ``z``.
    rounding : {"stochastic", "nearest"}, optional
        By default that of ``rng`` where it is a state, else stochastic.

    Raises
    ------
    TypeError
        For other dtypes, and numbers that are not real.
    ValueError
        For shapes that differ, arrays that are not contiguous, integers out of range, a ``c`` or
        ``h`` that is not finite, an ``x`` that overlaps with ``z`` (``x`` may be ``z`` itself), or
        a ``rounding`` that is not that of the state ``rng``. ``z`` is then unchanged.
    """
    cdef double step = real_number(c, "c")
    cdef Operand model = operand(z, "z", 1, True), data = operand(x, "x", 1, False)
    check_rounding(rng, rounding)
    _update(model, data, &step, _constant(h, model), rng, rounding)


def ger(z, x, c, h=None, rng=None, rounding=None):
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
    cdef Operand model = operand(z, "z", 2, True), data = operand(x, "x", 1, False)
    cdef Operand steps = reals(c, "c", (model.rows,), F64, model)
    check_rounding(rng, rounding)
    _update(model, data, <const double *> steps.data, _constant(h, model), rng, rounding)


# ---- accumulate ----------------------------------------------------------------------------------

def accumulate(g, x, b):
    """Sum of the full gradient: ``g += b.T @ x``, in place.

    Rows go in blocks of 64. A block is summed in the precision of ``x`` (int16: in float32; int8:
    in integers, with ``b`` rounded to 2**-28 of the largest of its column and block), and added
    to ``g``. A ``b`` whose largest magnitude is outside 2**-65 .. 2**64 is brought to 1 first, by
    a power of two, where that is in float32.

    Parameters
    ----------
    g : ndarray of shape (C, n), float64, writable
    x : ndarray of shape (N, n)
        int8, int16, float32 or float64.
    b : array_like of shape (N, C)
        Finite. It may overlap with ``g``: its values are those before the call.

    Raises
    ------
    TypeError
        For other dtypes.
    ValueError
        For shapes that do not fit, arrays that are not contiguous, integers out of range, a ``b``
        that is not finite, or an ``x`` that overlaps with ``g``. ``g`` is then unchanged.
    """
    cdef Operand sums = operand(g, "g", 2, True), data = operand(x, "x", 2, False), weights, part
    cdef size_t row = 0, rows, i
    cdef int exponent = 0
    if sums.dtype != F64:
        raise TypeError(f"g must be float64, got {NAMES[sums.dtype]}")
    check_length(data.columns, sums.columns, "columns of x")
    weights = reals(b, "b", (data.rows, sums.rows), F64, sums)
    check_apart(data, sums)
    check_range(data)
    if data.view.len == 0 or sums.rows == 0:
        return
    if data.dtype == I16 or data.dtype == F32:
        weights = _in_float32(weights, &exponent)
    part = sums
    if exponent:
        part = operand(np.zeros((sums.rows, sums.columns)), "g", 2, True)
    with nogil:
        while row < data.rows:
            rows = min(<size_t> HALP_MOST_ROWS, data.rows - row)
            _accumulate_block(part, data, weights, row, rows)
            row += rows
        if exponent:
            for i in range(sums.rows * sums.columns):
                (<double *> sums.data)[i] += ldexp((<const double *> part.data)[i], exponent)


cdef Operand _in_float32(Operand b, int *exponent):
    """b / 2^exponent in float32; an exponent other than 0 only where b is all tiny, or huge."""
    array = <object> b.view.obj
    frexp(max(array.max(), -array.min()), exponent)
    if -64 <= exponent[0] <= 64:  # a block of int16 data then stays below 2^(64 + 15 + 6)
        exponent[0] = 0
    else:
        array = np.ldexp(array, -exponent[0])
    return operand(array.astype(np.float32), b.name, 2, False)


cdef void _accumulate_block(Operand g, Operand x, Operand b, size_t row,
                            size_t rows) noexcept nogil:
    cdef const halp_backend *k = _active
    cdef size_t n = g.columns, count = g.rows
    cdef const char *x_row = <const char *> x.data + row * n * x.view.itemsize
    cdef const char *b_row = <const char *> b.data + row * count * b.view.itemsize
    cdef double *out = <double *> g.data
    if x.dtype == I8:
        k.accumulate_i8(rows, n, <const int8_t *> x_row, n, count, <const double *> b_row, out, n,
                        NULL)
    elif x.dtype == I16:
        k.accumulate_i16(rows, n, <const int16_t *> x_row, n, count, <const float *> b_row, out, n,
                         NULL)
    elif x.dtype == F32:
        k.accumulate_f32(rows, n, <const float *> x_row, n, count, <const float *> b_row, out, n,
                         NULL)
    else:
        k.accumulate_f64(rows, n, <const double *> x_row, n, count, <const double *> b_row, out, n,
                         NULL)


# ---- quantize and dequantize ---------------------------------------------------------------------

def quantize_into(x, q, scale, Rng rng not None):
    """``q <- round(x / scale)``; 1-D contiguous arrays of equal length, ``x`` finite."""
    cdef Operand a = operand(x, "x", 1, False), b = operand(q, "q", 1, True)
    cdef const halp_backend *k = _active
    cdef double unit = real_number(scale, "scale", True)
    cdef halp_rng *state
    cdef size_t n = a.columns
    check_length(b.columns, n, "length of q")
    if a.dtype not in (F32, F64) or b.dtype not in (I8, I16):
        raise TypeError(f"cannot quantize {NAMES[a.dtype]} to {NAMES[b.dtype]}")
    check_apart(a, b)
    with nogil:
        state = rng.acquire()
        if a.dtype == F32 and b.dtype == I8:
            k.quantize_f32_i8(n, <const float *> a.data, unit, <int8_t *> b.data, state)
        elif a.dtype == F32:
            k.quantize_f32_i16(n, <const float *> a.data, unit, <int16_t *> b.data, state)
        elif b.dtype == I8:
            k.quantize_f64_i8(n, <const double *> a.data, unit, <int8_t *> b.data, state)
        else:
            k.quantize_f64_i16(n, <const double *> a.data, unit, <int16_t *> b.data, state)
        rng.release()


def dequantize_into(q, x, scale):
    """``x <- q * scale``; 1-D contiguous arrays of equal length."""
    cdef Operand a = operand(q, "q", 1, False), b = operand(x, "x", 1, True)
    cdef const halp_backend *k = _active
    cdef double unit = real_number(scale, "scale", True)
    cdef size_t n = a.columns
    check_length(b.columns, n, "length of x")
    if b.dtype not in (F32, F64) or a.dtype not in (I8, I16):
        raise TypeError(f"cannot dequantize {NAMES[a.dtype]} to {NAMES[b.dtype]}")
    check_apart(a, b)
    with nogil:
        if b.dtype == F32 and a.dtype == I8:
            k.dequantize_i8_f32(n, <const int8_t *> a.data, unit, <float *> b.data)
        elif b.dtype == F32:
            k.dequantize_i16_f32(n, <const int16_t *> a.data, unit, <float *> b.data)
        elif a.dtype == I8:
            k.dequantize_i8_f64(n, <const int8_t *> a.data, unit, <double *> b.data)
        else:
            k.dequantize_i16_f64(n, <const int16_t *> a.data, unit, <double *> b.data)


# ---- Batches -------------------------------------------------------------------------------------

cdef halp_format format_of(Operand x, Operand w) except HALP_FORMAT_COUNT:
    check_pair(x, w)
    if x.dtype != w.dtype:
        return HALP_I8I16
    return (HALP_I8, HALP_I16, HALP_F32, HALP_F64)[x.dtype]


cdef const void **row_pointers(Operand x) except NULL:
    """Start of each row of a batch; to be freed."""
    cdef size_t b
    cdef const void **pointers = <const void **> PyMem_Malloc((x.rows + 1) * sizeof(void *))
    if pointers is NULL:
        raise MemoryError(f"no memory for {x.rows} pointers")
    for b in range(x.rows):
        pointers[b] = <const char *> x.data + b * x.columns * x.view.itemsize
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
        Array for the result.

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
    cdef Operand batch = operand(x, "x", 2, False), model = operand(w, "w", 2, False), sums
    cdef const halp_backend *k = _active
    cdef halp_format form = format_of(batch, model)
    cdef halp_margins all
    check_length(model.columns, batch.columns, "columns of w")
    result = np.empty((batch.rows, model.rows)) if out is None else out
    sums = operand(result, "out", 2, True)
    if sums.dtype != F64:
        raise TypeError(f"out must be float64, got {NAMES[sums.dtype]}")
    if sums.rows != batch.rows or sums.columns != model.rows:
        raise ValueError(f"out must have shape {(batch.rows, model.rows)}, got {sums.shape()}")
    check_apart(batch, sums)
    check_apart(model, sums)
    check_range(model)
    all.n, all.rows, all.count = batch.columns, batch.rows, model.rows
    all.w, all.ldw, all.sums = model.data, model.columns, <double *> sums.data
    all.next, all.next_rows = NULL, 0
    all.x = row_pointers(batch)
    with nogil:
        k.family[<int> form].margins(&all)
    PyMem_Free(<void *> all.x)
    return result


cdef Operand room_for_h(size_t rows, size_t columns, halp_format form):
    """Room for the fixed-point h of an update."""
    values = memory.empty((rows, HALP_PADDED(columns)), np.int32 if form == HALP_I16 else np.int16)
    return operand(values.view(np.int16), "h", 2, True)


@cython.final
cdef class Constant:
    """The ``h`` of updates of an integer model, rounded to fixed point once for all of them.

    It stays the same for an epoch of SVRG or HALP, and :func:`update` would round it at every call.

    Parameters
    ----------
    h : array_like of shape (C, n)
        In units of the model, for a batch as a whole.
    data, model : dtype
        Of ``x`` and ``w``: int8 or int16; int16 data have an int16 model.
    rng : int, Rng, optional
        Seed or state of the stochastic rounding.
    rounding : {"stochastic", "nearest"}, optional
        By default that of ``rng`` where it is a state, else stochastic.

    Raises
    ------
    TypeError
        For other dtypes, and numbers that are not real.
    ValueError
        For an ``h`` of other dimensions or one that is not finite, and a ``rounding`` that is not
        that of the state ``rng``.
    """
    cdef halp_format form
    cdef halp_batch_h h
    cdef Operand values
    cdef size_t rows, columns

    def __init__(self, h, data, model, rng=None, rounding=None):
        cdef Rng state = rounding_state(rng, rounding)
        cdef Operand given
        shape, pair = np.shape(h), (np.dtype(data).name, np.dtype(model).name)
        forms = {("int8", "int8"): HALP_I8, ("int8", "int16"): HALP_I8I16,
                 ("int16", "int16"): HALP_I16}
        if pair not in forms:
            raise TypeError(f"no integer kernel for {pair[0]} data with a {pair[1]} model")
        if len(shape) != 2:
            raise ValueError(f"h must have 2 dimensions, got {len(shape)}")
        self.form, self.rows, self.columns = forms[pair], shape[0], shape[1]
        self.values = room_for_h(self.rows, self.columns, self.form)
        given = reals(h, "h", shape, F64, self.values)
        with nogil:
            self.h = halp_encode_batch_h(self.form, self.columns, self.rows,
                                         <const double *> given.data, 1.0, state.acquire(),
                                         self.values.data)
            state.release()

    cdef int check(self, halp_format form, Operand model) except -1:
        """Refuse a model of other numbers, or of another shape."""
        if self.values is None or self.form != form:
            raise TypeError("the Constant is of other data, or of another model")
        if self.rows != model.rows or self.columns != model.columns:
            raise ValueError(f"h must have shape {model.shape()}, got {(self.rows, self.columns)}")
        return 0


def update(w, x, c, h=None, rng=None, rounding=None):
    """Fused update by a batch, rounded once: ``w -= round(c.T @ x + h)``, in place.

    A step of SVRG and HALP (De Sa et al. 2018, Algorithm 2) on several samples, all at the same
    model. An integer ``w`` is rounded stochastically, so that ``E w = w - (c.T @ x + h)`` wherever
    nothing saturates, and saturates at the ends of its symmetric range; so does the step that is
    subtracted, at +-128 (int8) or +-32768 (int16) units. The coefficients of an
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
    h : array_like of shape (C, n) or Constant, optional
        In units of ``w``, for the batch as a whole; as ``c``, it may overlap with ``w``. For an
        integer ``w`` it is rounded at random to fixed point first, by draws of ``rng`` before the
        others; a :class:`Constant` has been.
    rng : int, Rng, optional
        Seed, or state that goes on from call to call; for an integer ``w``.
    rounding : {"stochastic", "nearest"}, optional
        By default that of ``rng`` where it is a state, else stochastic.

    Raises
    ------
    TypeError
        For other dtypes, and numbers that are not real.
    ValueError
        For shapes that do not fit, arrays that are not contiguous, more than 64 rows or none, a
        ``w`` out of range, a ``c`` or ``h`` that is not finite, an ``x`` that overlaps with
        ``w``, or a ``rounding`` that is not that of the state ``rng``. ``w`` is then unchanged.

    Notes
    -----
    kernels/family.h defines the bits, which are the same on every backend for integers.
    """
    cdef Operand model = operand(w, "w", 2, True), batch = operand(x, "x", 2, False)
    cdef Operand coefficients, constant, encoded = None
    cdef const halp_backend *k = _active
    cdef halp_format form = format_of(batch, model)
    cdef halp_update step
    cdef Rng state = None
    cdef Constant fixed = h if isinstance(h, Constant) else None
    check_length(batch.columns, model.columns, "columns of x")
    if not 1 <= batch.rows <= HALP_MOST_BATCH:
        raise ValueError(f"x must have 1 to {HALP_MOST_BATCH} rows, got {batch.rows}")
    check_apart(batch, model)
    coefficients = reals(c, "c", (batch.rows, model.rows), F64, model)
    if model.dtype == F32:
        reals(c, "c", (batch.rows, model.rows), F32, model)  # finite there, too
    if fixed is not None:
        fixed.check(form, model)
    constant = _constant(None if fixed is not None else h, model)
    check_rounding(rng, rounding)
    check_range(model)
    if model.view.len == 0:
        return
    step.n, step.rows, step.count = batch.columns, batch.rows, model.rows
    step.w, step.ldw, step.c = model.data, model.columns, <const double *> coefficients.data
    step.next, step.next_rows, step.rng = NULL, 0, NULL
    step.h.values, step.h.ld, step.h.exponent, step.h.factor = NULL, model.columns, 0, 1.0
    if model.dtype == I8 or model.dtype == I16:
        state = rounding_state(rng, rounding)
        if constant is not None:
            encoded = room_for_h(model.rows, model.columns, form)
    elif constant is not None:
        step.h.values = constant.data
    if fixed is not None:
        step.h = fixed.h
    step.x = row_pointers(batch)
    with nogil:
        _update_batch(k, form, &step, constant, encoded, fixed is not None, state)
    PyMem_Free(<void *> step.x)


cdef void _update_batch(const halp_backend *k, halp_format form, halp_update *step,
                        Operand constant, Operand encoded, bint has_h,
                        Rng rng) noexcept nogil:
    """Round h unless it has been, and the update, as one use of the random state."""
    if rng is not None:
        step.rng = rng.acquire()
        if has_h:
            pass
        elif constant is None:
            step.h = halp_encode_batch_h(form, step.n, step.count, NULL, 1.0, NULL, NULL)
        else:
            step.h = halp_encode_batch_h(form, step.n, step.count, <const double *> constant.data,
                                         1.0, step.rng, encoded.data)
    k.family[<int> form].update(step)
    if rng is not None:
        rng.release()
