"""Times of the kernels, free of the cost of a Python call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from halpbench import memory
from halpbench.bench._timing import time_batch, time_calls, time_peak, time_read
from halpbench.kernels import FAMILIES

__all__ = [
    "BATCHED",
    "BLOCK_ROWS",
    "TIMED",
    "BatchTimer",
    "KernelTimer",
    "time_kernel",
    "time_peak",
    "time_read",
]

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
        if self._what[0] == "read":
            return time_read(self._operands[0], repeats)
        return time_calls(*self._what, *self._operands, repeats)


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
        return time_batch(*self._what, 1e-4, 1e-3, repeats)


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
