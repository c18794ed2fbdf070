"""Rows of numbers: their scale, their padding in memory, their blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from halpbench import memory
from halpbench._kernels import Rng, quantize_into
from halpbench.fixedpoint import largest_integer
from halpbench.formats import Number

__all__ = ["BLOCK_ELEMENTS", "Rows"]

# Elements of a block: large enough that Python's cost per block vanishes, small enough that the
# block, in float64, is still in the cache when it is read the second time. The partition must not
# depend on the number of threads, because the partial sums follow it.
BLOCK_ELEMENTS = 1 << 18

INTERRUPTIBLE_BYTES = 1 << 27  # of data between two chances for Ctrl-C: some tens of milliseconds

# Integer kernels read groups of 64, floats whole cache lines; what is beyond the columns is zero.
GROUP = 64
CACHE_LINE = 64


class Rows:
    """Rows of numbers worth ``scale`` each.

    Parameters
    ----------
    values : ndarray of shape (N, d)
        int8, int16, float32 or float64, of any strides; kept without a copy.
    scale : float
        The value of one unit.
    padded : ndarray of shape (N, at least d), optional
        The same rows with the padding behind them in memory, for compiled loops; by default
        ``values``.
    """

    def __init__(
        self, values: NDArray[Any], scale: float = 1.0, *, padded: NDArray[Any] | None = None
    ) -> None:
        self.values = values
        self.scale = scale
        self.padded = values if padded is None else padded
        self.block_elements = BLOCK_ELEMENTS

    @classmethod
    def zeros(cls, count: int, columns: int, dtype: DTypeLike, scale: float = 1.0) -> Rows:
        """Rows of zeros that start at cache lines, padded to whole groups of elements.

        A row alone has no padding: nothing follows that would have to be aligned.
        """
        dtype = np.dtype(dtype)
        step = CACHE_LINE // dtype.itemsize if dtype.kind == "f" else GROUP
        padded = memory.empty((count, -(-columns // step) * step), dtype)
        values = padded[:, :columns]
        return cls(values, scale, padded=padded if count > 1 else values)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def columns(self) -> int:
        """Number of columns, padding left out."""
        return int(self.values.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the values."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the values, padding left out."""
        return int(self.values.nbytes)

    @property
    def is_integer(self) -> bool:
        """True if the values are integers worth ``scale``."""
        return self.dtype.kind == "i"

    # ---- Parts of them -------------------------------------------------------------------------

    def blocks(self, elements: int | None = None) -> list[slice]:
        """Slices of rows that hold so many elements each (`block_elements`), at least one row."""
        step = max(1, (elements or self.block_elements) // self.columns)
        return [slice(start, min(start + step, len(self))) for start in range(0, len(self), step)]

    def in_float64(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield (slice, rows in float64) block by block; a view where they are that already."""
        for rows in self.blocks():
            yield rows, self.values[rows].astype(np.float64, copy=False)

    def visits_between_signals(self, outputs: int) -> int:
        """Rows that compiled code may visit, for so many outputs, before Ctrl-C has a chance."""
        return max(1, INTERRUPTIBLE_BYTES // (self.padded.strides[0] * (1 + outputs)))

    # ---- Other numbers for the same rows -------------------------------------------------------

    def largest(self) -> float:
        """The largest absolute value, in units."""
        blocks = (self.values[rows] for rows in self.blocks())
        return max(max(float(block.max()), -float(block.min())) for block in blocks)

    def quantized(self, number: Number) -> Rows:
        """Float rows to the nearest multiples of their largest entry over 127 (or 32,767)."""
        x, scale = self.values, self.largest() / largest_integer(number.bits) or 1.0
        result = Rows.zeros(len(self), self.columns, number.dtype, scale)
        nearest = Rng(0, "nearest")
        if result.values.flags.c_contiguous:
            for rows in self.blocks():
                quantize_into(x[rows].reshape(-1), result.values[rows].reshape(-1), scale, nearest)
        else:
            for source, target in zip(x, result.values, strict=True):
                quantize_into(source, target, scale, nearest)
        return result

    def converted(self, dtype: DTypeLike) -> Rows:
        """Their values, scale included, as floats; themselves where they are that already."""
        if self.dtype == dtype and self.scale == 1:
            return self
        result = Rows.zeros(len(self), self.columns, dtype)
        for rows in self.blocks():
            if self.is_integer:
                np.multiply(
                    self.values[rows], self.scale, out=result.values[rows], casting="same_kind"
                )
            else:
                result.values[rows] = self.values[rows]
        return result
