"""The two copies of the data that a run reads: one for its inner loop, one for full gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import kernels, memory
from halpbench._kernels import quantize_into
from halpbench.fixedpoint import largest_integer
from halpbench.formats import Format

BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Matrix:
    """Rows of numbers worth ``scale`` each: int8, int16, float32 or float64."""

    values: NDArray[Any]
    scale: float = 1.0


@dataclass(frozen=True)
class TrainingData:
    """``inner`` is read by the inner loop, ``full`` by the passes for the full gradient."""

    inner: Matrix
    full: Matrix


def prepare(x: NDArray[Any], precision: Format, data: str, quantized_bits: int) -> TrainingData:
    """Quantize or convert as the precision and the treatment of the data ask; copy only then.

    ``data="exact"``: full gradients come from ``x`` itself. ``data="quantized"``: they come from
    the numbers that the inner loop reads, which for a float precision are those of ``x`` quantized
    to ``quantized_bits``.

    Raises
    ------
    ValueError
        If ``x`` has entries beyond the range of float32 where the precision asks for it.
    """
    if x.dtype == np.float64 and precision.data.dtype == np.float32:
        limit = float(np.finfo(np.float32).max)
        if (largest := largest_entry(x)) > limit:
            raise ValueError(f"X must lie within +-{limit:.3g} for {precision.name}, got {largest}")
    if precision.is_integer:
        inner = quantize_rows(x, precision.data.bits)
    elif data == "quantized":
        inner = Matrix(_dequantized(quantize_rows(x, quantized_bits), precision.data.dtype))
    elif x.dtype == precision.data.dtype:
        inner = Matrix(x)
    else:
        converted = memory.padded_rows(x.shape[0], x.shape[1], precision.data.dtype)
        for rows in row_blocks(x):
            converted[rows] = x[rows]
        inner = Matrix(converted)
    return TrainingData(inner, inner if data == "quantized" else Matrix(x))


def row_blocks(x: NDArray[Any]) -> list[slice]:
    """Slices of rows of about 16 MiB."""
    step = max(1, BLOCK_BYTES // max(1, x.shape[1] * x.itemsize))
    return [slice(start, min(start + step, len(x))) for start in range(0, len(x), step)]


def largest_entry(x: NDArray[Any]) -> float:
    """The largest absolute value."""
    return max(max(float(x[rows].max()), -float(x[rows].min())) for rows in row_blocks(x))


def quantize_rows(x: NDArray[Any], bits: int) -> Matrix:
    """``x`` to the nearest multiples of its largest entry over 127 (or 32,767); rows padded."""
    scale = largest_entry(x) / largest_integer(bits) or 1.0
    values = memory.padded_rows(x.shape[0], x.shape[1], kernels.INTEGERS[bits])
    nearest = kernels.Rng(0, "nearest")
    if values.flags.c_contiguous:
        for rows in row_blocks(x):
            quantize_into(x[rows].reshape(-1), values[rows].reshape(-1), scale, nearest)
    else:
        for source, target in zip(x, values, strict=True):
            quantize_into(source, target, scale, nearest)
    return Matrix(values, scale)


def _dequantized(quantized: Matrix, dtype: np.dtype) -> NDArray[Any]:
    values = memory.padded_rows(len(quantized.values), quantized.values.shape[1], dtype)
    for rows in row_blocks(values):
        np.multiply(quantized.values[rows], quantized.scale, out=values[rows], casting="same_kind")
    return values
