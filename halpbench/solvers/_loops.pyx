# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=False
"""The inner loop and the full-gradient pass of kernels/, behind checks of every argument."""

from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t

import math

import numpy as np

from halpbench._kernels cimport Rng, active_backend

# DMGC name -> format, dtype of the data, dtype of the model.
FORMATS = {
    "D64fM64f": (HALP_F64, "float64", "float64"),
    "D32fM32f": (HALP_F32, "float32", "float32"),
    "D16M16": (HALP_I16, "int16", "int16"),
    "D8M16": (HALP_I8I16, "int8", "int16"),
    "D8M8": (HALP_I8, "int8", "int8"),
}
DATA = ("int8", "int16", "float32", "float64")  # in the order of halp_data


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


cdef const halp_loss *_loss(code, outputs) except NULL:
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"loss must be the integer code of a loss, got {code!r}")
    if not 0 <= code < HALP_LOSS_COUNT:
        raise ValueError(f"loss must be from 0 to {HALP_LOSS_COUNT - 1}, got {code}")
    if halp_losses[<int> code].name == b"logistic" and outputs != 1:
        raise ValueError(f"the logistic loss has one output, got {outputs}")
    return &halp_losses[<int> code]


cdef size_t _target_count(const halp_loss *loss, outputs):
    return outputs if loss == &halp_losses[HALP_SQUARED] else 1


def _checked_targets(targets, name, int loss, outputs):
    """Refuse labels that are no class of the softmax."""
    if halp_losses[loss].name == b"softmax" and len(targets):
        low, high = targets.min(), targets.max()
        if not 0 <= low <= high <= outputs - 1 or (targets != np.floor(targets)).any():
            raise ValueError(f"{name} must be labels from 0 to {outputs - 1}, got {low} to {high}")


def _positive(str name, double value):
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and positive, got {value}")
    return value


cdef class InnerLoop:
    """One epoch's inner loop; ``run`` goes on from where it stopped.

    Parameters
    ----------
    precision : str
        DMGC name, which fixes the dtypes of ``x`` and ``z``.
    loss : int
        0: squared loss; 1: softmax; 2: logistic, one output.
    x : ndarray of shape (N, n)
        Rows of data.
    z : ndarray of shape (C, n)
        The model, changed in place. Either of x and z may have more columns, for padding.
    centred : bool
        Whether ``z`` is a displacement from the centre (SVRG, HALP) or the model itself.
    h : ndarray of shape (C, at most n), float64, optional
        What every step subtracts, in units of ``scale_z``.
    reference : ndarray of shape (N, C), float64, optional
        Of the loss at the centre (centred), or what is subtracted from the derivative.
    scale_x, scale_z : float
        Values of one unit.
    step_size, l2 : float
    fold_every : int
        Steps between two foldings of the l2 factor into ``z``; 0 for never.
    rng : Rng
        Of integer models.

    Raises
    ------
    TypeError
        For arrays of other dtypes.
    ValueError
        For other shapes, strides and numbers, and where the loss needs a reference and has none.
    """

    cdef object _keep
    cdef halp_loop loop
    cdef Py_ssize_t n_samples

    def __cinit__(self):
        self._keep = None

    def __init__(self, str precision, loss, x, z, *, bint centred, reference=None, h=None,
                 double scale_x=1.0, double scale_z=1.0, double step_size, double l2=0.0,
                 int64_t fold_every=0, Rng rng=None):
        if self._keep is not None:
            raise RuntimeError("an InnerLoop is initialized once")
        if precision not in FORMATS:
            raise ValueError(f"precision must be one of {', '.join(FORMATS)}, got {precision!r}")
        code, data, model = FORMATS[precision]
        cdef halp_loop *loop = &self.loop
        loop.backend = active_backend()
        loop.format = code
        loop.x = _address(x, "x", data, None, None)
        loop.z = <void *> _address(z, "z", model, None, None, True)
        self.n_samples = x.shape[0]
        loop.n, loop.outputs = min(x.shape[1], z.shape[1]), z.shape[0]
        loop.row_bytes, loop.ldz = x.strides[0], z.strides[0] // z.itemsize
        loop.loss = _loss(loss, z.shape[0])
        if not z.size or not x.size:
            raise ValueError(f"x and z must not be empty, got {x.shape} and {z.shape}")
        if np.may_share_memory(x, z):
            raise ValueError("x and z must not overlap")
        loop.centred = centred
        loop.reference = NULL
        if reference is not None:
            loop.reference = <const double *> _address(
                reference, "reference", "float64", x.shape[0], z.shape[0])
            if not reference.flags.c_contiguous:
                raise ValueError("reference must be C-contiguous")
        elif not centred or loop.loss.needs_reference:
            raise ValueError(f"the {loop.loss.name.decode()} loss needs a reference")
        loop.targets = NULL
        loop.h = NULL
        whole = None
        if h is not None:
            _address(h, "h", "float64", z.shape[0], None)
            if h.shape[1] > loop.n:
                raise ValueError(f"h must have at most {loop.n} columns, got {h.shape[1]}")
            whole = np.zeros((z.shape[0], loop.n))
            whole[:, :h.shape[1]] = h
            loop.h = <const double *> <size_t> whole.ctypes.data
        if rng is None and "int" in model:
            raise ValueError(f"an integer model ({precision}) needs an rng")
        loop.rng = NULL if rng is None else &rng.state
        loop.scale_x, loop.scale_z = _positive("scale_x", scale_x), _positive("scale_z", scale_z)
        loop.step_size = _positive("step_size", step_size)
        if not (l2 >= 0 and step_size * l2 < 1):
            raise ValueError(f"l2 must be from 0 to below 1 / step_size, got {l2}")
        if fold_every < 0:
            raise ValueError(f"fold_every must not be negative, got {fold_every}")
        loop.l2, loop.fold_every = l2, fold_every
        self._keep = (x, z, whole, reference, rng)
        if not halp_loop_begin(loop):
            raise MemoryError

    def __dealloc__(self):
        halp_loop_end(&self.loop)

    @property
    def rho(self):
        """What the model is to be multiplied by."""
        return self.loop.rho

    def run(self, const int32_t[::1] samples):
        """Take a step for each of ``samples``; return how many were taken.

        Fewer than asked for means that the next step was not finite: the run has diverged.
        """
        cdef int64_t count = samples.shape[0], t
        cdef int32_t lowest = 0, highest = 0
        with nogil:
            for t in range(count):
                lowest = min(lowest, samples[t])
                highest = max(highest, samples[t])
        if count and not 0 <= lowest <= highest < self.n_samples:
            raise ValueError(f"samples must be from 0 to {self.n_samples - 1}, got {lowest} to "
                             f"{highest}")
        if count:
            with nogil:
                count = halp_loop_run(&self.loop, &samples[0], count)
        return count


cdef class GradientPass:
    """Loss, gradient and reference of the whole data set, a block of rows at a time.

    Integer data give the same bits on every backend, and so do floats unless ``fused``.

    Parameters
    ----------
    x : ndarray of shape (N, n), int8, int16, float32 or float64
    w : ndarray of shape (C, n)
        The model in the dtype of ``x`` for floats. For integer data int16 of shape (2 C, n): the
        high and the low 15 bits of w / scale_w, one after the other, all rows high first.
    targets : ndarray of shape (N, C) (squared loss) or (N, 1) (labels), float64
    loss : int
        As for :class:`InnerLoop`.
    fused : bool
        Let floats use fused multiply-adds and any order: what the full-precision baselines do.
    gradient : ndarray of shape (C, n), float64
        Receives sum_i derivative_i x_i / scale_x; zeroed by the caller.
    reference : ndarray of shape (N, C), float64, optional
        Receives the softmax (or the margin, for the squared loss) of every sample.
    scale_x, scale_w : float
        Values of one unit of integer data, and of the low part of ``w``.

    Raises
    ------
    TypeError
        For arrays of other dtypes.
    ValueError
        For other shapes and strides.
    """

    cdef object _keep
    cdef halp_pass data_pass
    cdef Py_ssize_t n_samples

    def __cinit__(self):
        self._keep = None

    def __init__(self, x, w, targets, loss, *, bint fused, gradient, reference=None,
                 double scale_x=1.0, double scale_w=1.0):
        if self._keep is not None:
            raise RuntimeError("a GradientPass is initialized once")
        name = getattr(getattr(x, "dtype", None), "name", type(x).__name__)
        if name not in DATA:
            raise TypeError(f"x must be of {', '.join(DATA)}, got {name}")
        cdef halp_pass *data_pass = &self.data_pass
        cdef bint integers = name.startswith("int")
        data_pass.backend = active_backend()
        data_pass.data = DATA.index(name)
        data_pass.fused = fused
        data_pass.x = _address(x, "x", name, None, None)
        data_pass.gradient = <double *> _address(gradient, "gradient", "float64", None, x.shape[1],
                                                 True)
        rows, outputs = x.shape[0], gradient.shape[0]
        if not x.size or not outputs:
            raise ValueError(f"x and gradient must not be empty, got {x.shape} and "
                             f"{gradient.shape}")
        data_pass.loss = _loss(loss, outputs)
        data_pass.target_count = _target_count(data_pass.loss, outputs)
        self.n_samples = rows
        data_pass.n, data_pass.outputs = x.shape[1], outputs
        data_pass.ldx = x.strides[0] // x.itemsize
        data_pass.ldg = gradient.strides[0] // gradient.itemsize
        data_pass.w = _address(w, "w", "int16" if integers else name,
                               2 * outputs if integers else outputs, x.shape[1])
        data_pass.ldw = w.strides[0] // w.itemsize
        data_pass.targets = <const double *> _address(targets, "targets", "float64", rows,
                                                      data_pass.target_count)
        if not targets.flags.c_contiguous:
            raise ValueError("targets must be C-contiguous")
        _checked_targets(targets, "targets", loss, outputs)
        data_pass.reference = NULL
        if reference is not None:
            data_pass.reference = <double *> _address(reference, "reference", "float64", rows,
                                                      outputs, True)
            if not reference.flags.c_contiguous:
                raise ValueError("reference must be C-contiguous")
        for out in (gradient, reference):
            if out is not None and any(np.may_share_memory(out, a) for a in (x, w, targets)):
                raise ValueError("gradient and reference must not overlap with x, w or targets")
        data_pass.scale_x = _positive("scale_x", scale_x)
        data_pass.scale_w = _positive("scale_w", scale_w)
        self._keep = (x, w, targets, gradient, reference)
        if not halp_pass_begin(data_pass):
            raise MemoryError

    def __dealloc__(self):
        halp_pass_end(&self.data_pass)

    @property
    def loss(self):
        """Sum of the losses of the samples so far."""
        return self.data_pass.total_loss

    def run(self, Py_ssize_t start, Py_ssize_t stop):
        """Add the rows ``start`` to ``stop`` to the loss and the gradient."""
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"rows must be within 0 .. {self.n_samples}, got {start} .. {stop}")
        with nogil:
            halp_pass_run(&self.data_pass, start, stop)


def norm(const double[:, ::1] v):
    """Euclidean norm, summed in the same order on every CPU."""
    cdef double total = 0.0
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(v.shape[0]):
            for j in range(v.shape[1]):
                total += v[i, j] * v[i, j]
    return sqrt(total)
