"""The hand-vectorized kernels from Python: dot products, fused updates, quantization.

The functions take NumPy arrays (or anything else with a buffer), check them, and call C on the
backend in use: the best one that this CPU has, or the one named by ``HALPBENCH_ISA`` or
:func:`use`. Integer results have the same bits on every backend.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from halpbench import _kernels, formats, memory
from halpbench._kernels import (
    BackendError,
    Rng,
    accumulate,
    active,
    axpy,
    backends,
    build_info,
    compiled,
    dot,
    gemv,
    ger,
    margins,
    time_peak,
    time_read,
    update,
)

__all__ = [
    "BackendError",
    "BatchTimer",
    "KernelTimer",
    "Rng",
    "accumulate",
    "active",
    "axpy",
    "backends",
    "build_info",
    "compiled",
    "dequantize",
    "dot",
    "gemv",
    "ger",
    "margins",
    "quantize",
    "time_kernel",
    "time_peak",
    "time_read",
    "update",
    "use",
]

INTEGERS = {bits: number.dtype for bits, number in formats.INTEGERS.items()}


class use:  # noqa: N801 - used as a function, and as a context manager
    """Choose the backend, for good or for the length of a ``with`` block.

    Parameters
    ----------
    name : str
        One of :func:`backends`.

    Raises
    ------
    BackendError
        A ``ValueError`` that lists the usable ones. The choice is then unchanged.

    Examples
    --------
    >>> from halpbench import kernels
    >>> with kernels.use("scalar"):
    ...     kernels.active()
    'scalar'
    """

    def __init__(self, name: str) -> None:
        self._before = active()
        _kernels.select(name)

    def __enter__(self) -> use:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _kernels.select(self._before)


def quantize(
    x: ArrayLike,
    bits: int = 8,
    scale: float | None = None,
    rounding: str = "stochastic",
    rng: int | Rng | None = None,
) -> tuple[NDArray[Any], float]:
    """Round ``x / scale`` to integers of the symmetric range.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    bits : {8, 16}
    scale : float, optional
        The value of one unit; by default the least that makes nothing saturate,
        ``max |x| / (2**(bits-1) - 1)`` (1 where ``x`` is all zero).
    rounding : {"stochastic", "nearest"}
        Stochastic: ``E q = x / scale`` (De Sa et al. 2018, section 3). Nearest: half rounds up.
    rng : int or Rng, optional
        Seed or state of the stochastic rounding.

    Returns
    -------
    q : ndarray of int8 or int16, of the shape of ``x``
    scale : float

    Raises
    ------
    TypeError
        If ``x`` is not float32 or float64.
    ValueError
        If ``bits`` is neither 8 nor 16, ``scale`` is not finite and positive, or ``x`` has NaN or
        infinite entries.
    """
    x = np.asarray(x, order="C")
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(f"x must be float32 or float64, got {x.dtype}")
    if bits not in INTEGERS:
        raise ValueError(f"bits must be 8 or 16, got {bits!r}")
    largest = max(float(x.max()), -float(x.min())) if x.size else 0.0
    if not np.isfinite(largest):
        raise ValueError("x must be finite")
    if scale is None:
        scale = largest / (2 ** (bits - 1) - 1) or 1.0
    scale = _positive(scale)
    state = rng if isinstance(rng, Rng) else Rng(0 if rounding == "nearest" else rng, rounding)
    q = np.empty(x.shape, INTEGERS[bits])
    _kernels.quantize_into(x.reshape(-1), q.reshape(-1), scale, state)
    return q, scale


def dequantize(
    q: NDArray[Any], scale: float, dtype: DTypeLike = np.float32
) -> NDArray[np.floating[Any]]:
    """``q * scale`` as ``dtype``.

    Parameters
    ----------
    q : ndarray of int8 or int16, any shape
    scale : float
        The value of one unit: finite and positive.
    dtype : float32 or float64

    Raises
    ------
    TypeError
        For other dtypes.
    ValueError
        For other scales.
    """
    q = np.asarray(q, order="C")
    if q.dtype not in INTEGERS.values():
        raise TypeError(f"q must be int8 or int16, got {q.dtype}")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
    x = np.empty(q.shape, dtype)
    _kernels.dequantize_into(q.reshape(-1), x.reshape(-1), _positive(scale))
    return x


def _positive(scale: float) -> float:
    scale = float(scale)
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, got {scale}")
    return scale


FAMILIES = {  # kernel family -> dtypes of data, model and h
    row.family: (row.data.dtype.type, row.model.dtype.type, row.constant.type)
    for row in formats.FORMATS.values()
}

TIMED = ("dot", "axpy", "gemv", "ger", "accumulate", "quantize", "dequantize", "read")

BATCHED = ("margins", "update")

# Rows of data whose sum `KernelTimer` takes at once, as the full-gradient pass over floats does.
BLOCK_ROWS = 16


class KernelTimer:
    """A kernel with operands of its own, timed by repeating it in C.

    Parameters
    ----------
    op : {"dot", "axpy", "gemv", "ger", "accumulate", "quantize", "dequantize", "read"}
        ``"accumulate"`` is of `BLOCK_ROWS` rows; ``"read"`` only streams ``n`` bytes: memory
        bandwidth.
    dtype : {"i8", "i16", "i8i16", "f32", "f64"}
        ``"i8i16"`` is int8 data with an int16 model. Quantization is from or to float32.
    n : int
        Elements of a vector.
    classes : int
        Rows of the model, for ``"gemv"``, ``"ger"`` and ``"accumulate"``; at most 64.

    Raises
    ------
    ValueError
        For unknown names and sizes below 1.
    """

    def __init__(self, op: str, dtype: str, n: int, classes: int = 1) -> None:
        quantization = op in ("quantize", "dequantize")
        absent = ("i8i16",) if op == "accumulate" else ("i8i16", "f32", "f64") * quantization
        if dtype not in FAMILIES or dtype in absent:
            raise ValueError(f"no kernel {op!r} for dtype {dtype!r}; dtypes: {', '.join(FAMILIES)}")
        if op not in TIMED:
            raise ValueError(f"unknown op {op!r}; ops: {', '.join(TIMED)}")
        if n < 1 or not 1 <= classes <= 64:
            raise ValueError(f"n and classes must be positive, got {n}, {classes}")
        rows = classes if op in ("gemv", "ger", "accumulate") else 1
        data, model, constant = FAMILIES[dtype]
        if op == "read":
            data = model = np.int8
        elif op == "accumulate":
            model = np.float64
        # Not at the same place of a page: loads that follow a store at the same address modulo
        # 4 KiB wait for it.
        x = _placed((n * BLOCK_ROWS if op == "accumulate" else n,), data, 0)
        w = _placed((rows, n), model, 1344)
        has_h = op in ("axpy", "ger") or quantization
        padded = -(-n // 64) * 64 if has_h else 64
        h = _placed((rows, padded), np.float32 if quantization else constant, 2688)
        x[...] = np.resize(np.random.default_rng(0).integers(-100, 101, 4096).astype(data), x.size)
        w[...] = 1
        h[...] = 0 if np.issubdtype(h.dtype, np.integer) else 1e-6
        self._what = op, dtype
        self._operands = x, w, h

    def __call__(self, repeats: int) -> int:
        """Call the kernel of the backend in use so many times; return the nanoseconds of all."""
        if repeats < 1:
            raise ValueError(f"repeats must be positive, got {repeats}")
        if self._what[0] == "read":
            return time_read(self._operands[0], repeats)
        return int(_kernels.time_calls(*self._what, *self._operands, repeats))


class BatchTimer:
    """A kernel of batches with operands of its own, timed by repeating it in C.

    Parameters
    ----------
    op : {"margins", "update"}
    dtype : {"i8", "i16", "i8i16", "f32", "f64"}
        ``"i8i16"`` is int8 data with an int16 model.
    n : int
        Columns.
    classes : int
        Rows of the model.
    rows : int
        Samples of the batch, at most 64.

    Raises
    ------
    ValueError
        For unknown names and sizes that do not fit.
    """

    def __init__(self, op: str, dtype: str, n: int, classes: int, rows: int) -> None:
        if op not in BATCHED or dtype not in FAMILIES:
            raise ValueError(
                f"no kernel {op!r} for dtype {dtype!r}; ops: {', '.join(BATCHED)}; dtypes: "
                f"{', '.join(FAMILIES)}"
            )
        if n < 1 or classes < 1 or not 1 <= rows <= 64:
            raise ValueError(f"n, classes and rows must be positive, got {n}, {classes}, {rows}")
        data, model, _ = FAMILIES[dtype]
        x, w = _placed((rows, n), data, 0), _placed((classes, n), model, 1344)
        values = np.random.default_rng(0).integers(-100, 101, 4096).astype(data)
        x[...] = np.resize(values, x.shape)
        self._what = op, x, w

    def __call__(self, repeats: int) -> int:
        """Call the kernel of the backend in use so many times; return the nanoseconds of all."""
        if repeats < 1:
            raise ValueError(f"repeats must be positive, got {repeats}")
        return _kernels.time_batch(*self._what, 1e-4, 1e-3, repeats)


def time_kernel(op: str, dtype: str, n: int, repeats: int, classes: int = 1) -> int:
    """Time a kernel by repeating it in C, free of the cost of a Python call.

    Parameters
    ----------
    op, dtype, n, classes
        As of :class:`KernelTimer`.
    repeats : int
        Calls to make, on the same arrays.

    Returns
    -------
    int
        Nanoseconds for all calls.

    Raises
    ------
    ValueError
        For unknown names and sizes below 1.
    """
    return KernelTimer(op, dtype, n, classes)(repeats)


def _placed(shape: tuple[int, ...], dtype: DTypeLike, offset: int) -> NDArray[Any]:
    """Return a zeroed array that starts ``offset`` bytes behind a page boundary."""
    count = int(np.prod(shape))
    page = 4096 // np.dtype(dtype).itemsize
    block = memory.empty((count + 2 * page,), dtype)
    start = (-block.ctypes.data % 4096 + offset) // block.itemsize
    return block[start : start + count].reshape(shape)


if "HALPBENCH_ISA" in os.environ:
    use(os.environ["HALPBENCH_ISA"])
