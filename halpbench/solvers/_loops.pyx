# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=False
"""The inner loop and the full-gradient pass of kernels/, behind checks of every argument."""

from libc.math cimport sqrt
from libc.stdint cimport INT64_MAX, UINT64_MAX, int32_t, int64_t

import numpy as np

from halpbench._kernels cimport (
    HALP_FORMAT_COUNT,
    HALP_MOST_BATCH,
    Rng,
    active_backend,
    halp_backend,
    halp_format_names,
    halp_loss,
    real_number,
)

from halpbench import formats
from halpbench.arguments import count as integer

_CODES = {halp_format_names[code].decode(): code for code in range(HALP_FORMAT_COUNT)}

# DMGC name -> format, dtype of the data, dtype of the model; and from these dtypes to the format.
FORMATS = {
    name: (_CODES[row.family], row.data.dtype.name, row.model.dtype.name)
    for name, row in formats.FORMATS.items()
}
PASS_FORMATS = {(data, model): code for code, data, model in FORMATS.values()}


cdef const void *_address(array, str name, dtype, rows, columns, bint output=False) except? NULL:
    """Address of a matrix with rows of adjacent elements, checked; None: any number of them."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be an ndarray, got {type(array).__name__}")
    if array.dtype != dtype:
        raise TypeError(f"{name} must be of {dtype}, got {array.dtype}")
    expected = (rows, columns)
    if array.ndim != 2 or any(
        e is not None and e != got for e, got in zip(expected, array.shape)
    ):
        shape = ", ".join("any" if e is None else str(e) for e in expected)
        raise ValueError(f"{name} must have the shape ({shape}), got {array.shape}")
    if array.size and (
        array.shape[1] > 1 and array.strides[1] != array.itemsize
        or array.strides[0] < array.shape[1] * array.itemsize and array.shape[0] > 1
        or array.strides[0] % array.itemsize
        or array.ctypes.data % array.itemsize
    ):
        raise ValueError(f"{name} must have aligned rows of adjacent elements, got strides "
                         f"{array.strides}")
    if output and not array.flags.writeable:
        raise ValueError(f"{name} is written to, and must not be read-only")
    return <const void *> <size_t> array.ctypes.data


cdef size_t _row_bytes(array):
    """Bytes from row to row of a checked matrix; NumPy leaves those of a row alone undefined."""
    return array.strides[0] if array.shape[0] > 1 else array.shape[1] * array.itemsize


cdef const halp_loss *_loss(const halp_backend *backend, code, outputs) except NULL:
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"loss must be the integer code of a loss, got {code!r}")
    if not 0 <= code < HALP_LOSS_COUNT:
        raise ValueError(f"loss must be from 0 to {HALP_LOSS_COUNT - 1}, got {code}")
    cdef const halp_loss *loss = &backend.losses[<int> code]
    if loss.binary and outputs != 1:
        raise ValueError(f"the {loss.name.decode()} loss has one output, got {outputs}")
    return loss


cdef size_t _target_count(const halp_loss *loss, size_t outputs):
    return 1 if loss.takes_labels else outputs


cdef const double *_doubles(array, str name, rows, columns, bint output=False) except? NULL:
    """Address of a C-contiguous matrix of float64; None for none."""
    if array is None:
        return NULL
    address = <const double *> _address(array, name, "float64", rows, columns, output)
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous, got strides {array.strides}")
    return address


cdef int _check_apart(output, array, str message) except -1:
    """Refuse to read what is being written."""
    if array is not None and np.may_share_memory(output, array):
        raise ValueError(message)
    return 0


cdef int _check_labels(targets, const halp_loss *loss, outputs) except -1:
    """Refuse labels that are no class."""
    classes = 2 if loss.binary else outputs
    if not loss.takes_labels or not targets.size:
        return 0
    low, high = targets.min(), targets.max()
    if not 0 <= low <= high <= classes - 1 or (targets != np.floor(targets)).any():
        raise ValueError(f"targets must be labels from 0 to {classes - 1}, got {low} to {high}")
    return 0


cdef class InnerLoop:
    """One epoch's inner loop; ``run`` goes on from where it stopped.

    Parameters
    ----------
    precision : str
        DMGC name, which fixes the dtypes of ``x`` and ``z``.
    loss : int
        Its code in ``halpbench/losses.py``.
    x : ndarray of shape (N, n)
        Rows of data.
    z : ndarray of shape (C, n)
        The model, changed in place. Either of x and z may have more columns, for padding.
    h : ndarray of shape (C, at most n), float64, optional
        Constant that every sample subtracts, in units of ``scale_z``.
    reference : ndarray of shape (N, C), float64, optional
        Of the loss at the centre, see :class:`GradientPass`: of algorithms with variance reduction.
    origin : ndarray of shape and dtype of ``z``, optional
        The value that ``z`` has at the centre; by default 0.
    margins : ndarray of shape (N, C), float64, optional
        Of the origin; goes with it.
    targets : ndarray of shape (N, C) (values) or (N, 1) (labels), float64, optional
        Of algorithms without variance reduction.
    scale_x, scale_z : float
        Values of one unit.
    step_size, l2 : float
        Of one sample; ``batch_size * step_size * l2`` must be below 1.
    batch_size : int
        Samples a step, 1 to 64.
    samples : int
        Number that will be taken altogether.
    grows : bool
        Double ``scale_z`` whenever ``z`` has used 7/8 of its range. Integer models without origin.
    rng : Rng
        Of integer models. Threads may share it: each ``run`` has it for itself.

    Raises
    ------
    TypeError
        For arrays of other dtypes.
    ValueError
        For other shapes, strides and numbers, and where the loss needs a reference and has none.
    """

    cdef object _keep
    cdef Rng _rng
    cdef halp_loop loop
    cdef Py_ssize_t n_samples

    def __cinit__(self):
        self._keep = None

    def __init__(self, str precision, loss, x, z, *, h=None, reference=None, origin=None,
                 margins=None, targets=None, scale_x=1.0, scale_z=1.0, step_size, l2=0.0,
                 batch_size=1, samples, bint grows=False, Rng rng=None):
        if self._keep is not None:
            raise RuntimeError("an InnerLoop is initialized once")
        cdef halp_loop *loop = &self.loop
        cdef bint begun
        loop.backend = active_backend()
        self._set_arrays(precision, x, z, origin)
        loop.loss = _loss(loop.backend, loss, z.shape[0])
        self._set_samples(reference, margins, targets)
        self._set_numbers(scale_x, scale_z, step_size, l2, batch_size, samples)
        whole = self._padded_h(h)
        integers = z.dtype.kind == "i"
        if rng is None and integers:
            raise ValueError(f"an integer model ({precision}) needs an rng")
        if grows and (not integers or origin is not None):
            raise ValueError("grows is for integer models without an origin")
        loop.grows = grows
        loop.rng, self._rng = NULL if rng is None else &rng.state, rng
        for a in (x, origin, reference, margins, targets):
            _check_apart(z, a, "z must not overlap with any other array")
        self._keep = (x, z, origin, whole, reference, margins, targets)
        with nogil:
            self._acquire_rng()
            begun = halp_loop_begin(loop)
            self._release_rng()
        if not begun:
            raise MemoryError

    cdef void _acquire_rng(self) noexcept nogil:
        if self._rng is not None:
            self._rng.acquire()

    cdef void _release_rng(self) noexcept nogil:
        if self._rng is not None:
            self._rng.release()

    cdef _set_arrays(self, str precision, x, z, origin):
        if precision not in FORMATS:
            raise ValueError(f"precision must be one of {', '.join(FORMATS)}, got {precision!r}")
        code, data, model = FORMATS[precision]
        self.loop.format = code
        self.loop.x = _address(x, "x", data, None, None)
        self.loop.z = <void *> _address(z, "z", model, None, None, True)
        if not z.size or not x.size:
            raise ValueError(f"x and z must not be empty, got {x.shape} and {z.shape}")
        self.loop.origin = NULL
        if origin is not None:
            self.loop.origin = _address(origin, "origin", model, z.shape[0], z.shape[1])
            if _row_bytes(origin) != _row_bytes(z):
                raise ValueError(f"origin must have the strides of z, {z.strides}, got "
                                 f"{origin.strides}")
        self.n_samples = x.shape[0]
        self.loop.n, self.loop.outputs = min(x.shape[1], z.shape[1]), z.shape[0]
        self.loop.row_bytes, self.loop.ldz = _row_bytes(x), _row_bytes(z) // z.itemsize

    cdef _set_samples(self, reference, margins, targets):
        cdef halp_loop *loop = &self.loop
        rows, outputs = self.n_samples, loop.outputs
        loop.target_count = _target_count(loop.loss, outputs)
        loop.reference = _doubles(reference, "reference", rows, outputs)
        loop.margins = _doubles(margins, "margins", rows, outputs)
        loop.targets = _doubles(targets, "targets", rows, loop.target_count)
        if (loop.margins is NULL) != (loop.origin is NULL):
            raise ValueError("origin and margins go together")
        if targets is not None:
            if any(a is not None for a in (reference, margins)):
                raise ValueError("targets exclude a reference, an origin and margins")
            _check_labels(targets, loop.loss, outputs)
        elif loop.loss.needs_reference and reference is None:
            raise ValueError(f"the {loop.loss.name.decode()} loss needs a reference, or targets")

    cdef _set_numbers(self, scale_x, scale_z, step_size, l2, batch_size, samples):
        cdef halp_loop *loop = &self.loop
        loop.batch_size = integer("batch_size", batch_size, 1, HALP_MOST_BATCH)
        loop.samples = integer("samples", samples, 0, INT64_MAX)
        loop.scale_x = real_number(scale_x, "scale_x", True)
        loop.scale_z = real_number(scale_z, "scale_z", True)
        loop.step_size = real_number(step_size, "step_size", True)
        loop.l2 = real_number(l2, "l2")
        if not (loop.l2 >= 0 and loop.batch_size * loop.step_size * loop.l2 < 1):
            raise ValueError("l2 must be from 0 to below 1 / (batch_size * step_size), got "
                             f"{l2}, {batch_size} and {step_size}")

    cdef _padded_h(self, h):
        self.loop.h = NULL
        if h is None:
            return None
        _address(h, "h", "float64", self.loop.outputs, None)
        if h.shape[1] > self.loop.n:
            raise ValueError(f"h must have at most {self.loop.n} columns, got {h.shape[1]}")
        whole = np.zeros((self.loop.outputs, self.loop.n))
        whole[:, :h.shape[1]] = h
        self.loop.h = _doubles(whole, "h", None, None)
        return whole

    def __dealloc__(self):
        halp_loop_end(&self.loop)

    @property
    def rho(self):
        """Factor of the model; 1 for integers."""
        return self.loop.rho

    @property
    def scale_z(self):
        """Value of one unit of the model."""
        return self.loop.scale_z

    @property
    def reach(self):
        """Largest absolute value of an entry that was seen at a check, every 256 steps."""
        return self.loop.reach

    @property
    def saturated(self):
        """The most entries that stood at an end of their range at a check."""
        return self.loop.saturated

    def run(self, const int32_t[::1] samples):
        """Take steps on ``samples``; return how many samples were taken.

        Every ``batch_size`` of them make a step, the last ones too if they are fewer. Fewer than
        asked for means that the next step was not finite: the run has diverged.
        """
        cdef int64_t count = samples.shape[0], t
        cdef int32_t lowest = 0, highest = 0
        _check_apart(self._keep[1], samples, "samples must not overlap with z")
        with nogil:
            for t in range(count):
                lowest = min(lowest, samples[t])
                highest = max(highest, samples[t])
        if count and not 0 <= lowest <= highest < self.n_samples:
            raise ValueError(f"samples must be from 0 to {self.n_samples - 1}, got {lowest} to "
                             f"{highest}")
        if count:
            with nogil:
                self._acquire_rng()
                count = halp_loop_run(&self.loop, &samples[0], count)
                self._release_rng()
        return count

    def inspect(self):
        """Check now how much of its range the model uses."""
        with nogil:
            halp_loop_inspect(&self.loop)


cdef class GradientPass:
    """Loss, gradient and reference of the whole data set, a block of rows at a time.

    Integer data give the same bits on every backend, and so do floats unless ``fused``.

    Parameters
    ----------
    x : ndarray of shape (N, n), int8, int16, float32 or float64
    targets : ndarray of shape (N, C) (values) or (N, 1) (labels), float64
    loss : int
        As for :class:`InnerLoop`.
    outputs : int
        C.
    gradient : ndarray of shape (C, n), float64, optional
        Of sum_i derivative_i x_i / scale_x. Floats: added to, zeroed by the caller. Integers: kept
        from pass to pass, zero to begin with, and optional.
    reference : ndarray of shape (N, C), float64, optional
        Receives what the change of the loss needs to know of every sample: see kernels/losses.h.
    margins, added : ndarray of shape (N, C), float64
        Integers: kept from pass to pass; ``added`` is what the gradient holds of each sample, zero
        to begin with, and goes with ``gradient``.
    scale_x : float
        Value of one unit of integer data.
    fused : bool
        Let floats use fused multiply-adds and any order: what the full-precision baselines do.

    Raises
    ------
    TypeError
        For arrays of other dtypes.
    ValueError
        For other shapes and strides.
    """

    cdef object _keep, _x, _w
    cdef halp_pass data_pass
    cdef Py_ssize_t n_samples

    def __cinit__(self):
        self._keep = None

    def __init__(self, x, targets, loss, Py_ssize_t outputs, *, gradient=None, reference=None,
                 margins=None, added=None, scale_x=1.0, bint fused=False):
        if self._keep is not None:
            raise RuntimeError("a GradientPass is initialized once")
        cdef halp_pass *data_pass = &self.data_pass
        data_pass.backend = active_backend()
        data_pass.fused = fused
        name = getattr(getattr(x, "dtype", None), "name", type(x).__name__)
        if name not in ("int8", "int16", "float32", "float64"):
            raise TypeError(f"x must be of int8, int16, float32 or float64, got {name}")
        data_pass.x = _address(x, "x", name, None, None)
        if not x.size or outputs < 1:
            raise ValueError(f"x and outputs must not be empty, got {x.shape} and {outputs}")
        rows, columns = x.shape
        data_pass.loss = _loss(data_pass.backend, loss, outputs)
        data_pass.target_count = _target_count(data_pass.loss, outputs)
        data_pass.n, data_pass.outputs = columns, outputs
        data_pass.ldx = _row_bytes(x) // x.itemsize
        if targets is None:
            raise TypeError("targets must be an ndarray, got None")
        data_pass.targets = _doubles(targets, "targets", rows, data_pass.target_count)
        _check_labels(targets, data_pass.loss, outputs)
        integers = x.dtype.kind == "i"
        if integers != (margins is not None) or integers and (added is None) != (gradient is None):
            raise ValueError("margins, and added where there is a gradient, go with integers")
        if gradient is None and not integers:
            raise ValueError("floats need a gradient")
        data_pass.gradient = <double *> _doubles(gradient, "gradient", outputs, columns, True)
        data_pass.ldg = columns
        data_pass.reference = <double *> _doubles(reference, "reference", rows, outputs, True)
        data_pass.margins = <double *> _doubles(margins, "margins", rows, outputs, True)
        data_pass.added = <double *> _doubles(added, "added", rows, outputs, True)
        data_pass.scale_x = real_number(scale_x, "scale_x", True)
        data_pass.w = NULL
        kept = [a for a in (gradient, reference, margins, added) if a is not None]
        for i, out in enumerate(kept):
            if any(np.may_share_memory(out, a) for a in (x, targets, *kept[:i])):
                raise ValueError("arrays that are written to must not overlap with any other")
        self.n_samples = rows
        self._x, self._keep = x, (targets, *kept)
        if not halp_pass_begin(data_pass):
            raise MemoryError

    def __dealloc__(self):
        halp_pass_end(&self.data_pass)

    @property
    def loss(self):
        """Sum of the losses of the samples since ``at``."""
        return self.data_pass.total_loss

    @property
    def rounding(self):
        """Integers: sum of unit^2 over the changes, since ``at``.

        A quarter of it, times ||x||^2, bounds the variance of what rounding has added.
        """
        return self.data_pass.rounding

    def at(self, w, *, scale_w=1.0, bint moves=False, seed=0):
        """Say of which model the next rows are.

        Parameters
        ----------
        w : ndarray of shape (C, n)
            Of the dtype of ``x``; int16 too for int8 data. Either of x and w may have more columns,
            for padding.
        scale_w : float
            Value of one unit of an integer model.
        moves : bool
            The margins move by those of ``w``, instead of being them. Integers.
        seed : int
            Of the rounding of integers: another one for each pass.
        """
        cdef halp_pass *data_pass = &self.data_pass
        cdef const void *address
        cdef double scale
        dtypes = self._x.dtype.name, getattr(getattr(w, "dtype", None), "name", "")
        if dtypes not in PASS_FORMATS:
            raise TypeError(f"w must suit x of {dtypes[0]}, got {dtypes[1] or type(w).__name__}")
        if moves and self._x.dtype.kind != "i":
            raise ValueError("margins of integers can move, got floats")
        address = _address(w, "w", dtypes[1], data_pass.outputs, None)
        for out in self._keep[1:]:
            _check_apart(out, w, "w must not overlap with arrays that are written to")
        scale = real_number(scale_w, "scale_w", True)
        data_pass.seed = integer("seed", seed, 0, UINT64_MAX)
        self._w, data_pass.w = w, address
        data_pass.n = min(self._x.shape[1], w.shape[1])
        data_pass.ldw = _row_bytes(w) // w.itemsize
        data_pass.format = PASS_FORMATS[dtypes]
        data_pass.scale_w, data_pass.moves = scale, moves
        data_pass.total_loss = data_pass.rounding = 0.0

    def run(self, start, stop):
        """Add the rows ``start`` to ``stop`` to the loss and the gradient."""
        if self.data_pass.w is NULL:
            raise ValueError("at() must say of which model the rows are")
        cdef size_t begin = integer("start", start, 0, self.n_samples)
        cdef size_t end = integer("stop", stop, 0, self.n_samples)
        if begin > end:
            raise ValueError(f"start must not be behind stop, got {start} and {stop}")
        with nogil:
            halp_pass_run(&self.data_pass, begin, end)


def norm(const double[:, ::1] v not None):
    """Euclidean norm, summed in the same order on every CPU."""
    cdef double total = 0.0
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(v.shape[0]):
            for j in range(v.shape[1]):
                total += v[i, j] * v[i, j]
    return sqrt(total)
