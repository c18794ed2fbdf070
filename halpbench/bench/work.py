"""Least work of a kernel, or of a step of a solver: bytes to read, and multiply-adds.

The counts are lower bounds. Bytes are those of the operands, once for each pass over them that the
order of the computation forces; not the random bits of rounding, nor the results, which are written
while more is read. Multiply-adds are those of the definition, in the precision that it asks for.

A work is JSON data: ``"reads"``, pairs of the bytes of an array, which tell the cache that holds
it, and the bytes read of it; and ``"multiply_adds"``, counts by dtype.
"""

from typing import Any

from halpbench.bench.cases import DTYPE_OF, ELEMENT_BYTES
from halpbench.bench.operands import operand_bytes

Work = dict[str, Any]

# An update w - (c x + h) of an element: c x and k h for floats, c x and 2^exponent h for int16
# models; for int8 models h is merely added.
UPDATE = {"f64": 2, "f32": 2, "i16": 2, "i8i16": 2, "i8": 1}

# The full gradient of an element of the data: the margin, and the sum. Of integer data the model
# has two parts of 15 bits, and so have the weights of the sum over int8; that over int16 is one of
# float32.
GRADIENT = {
    8: {"f64": 2},
    4: {"f32": 2},
    2: {"i16": 2, "f32": 1},
    1: {"i8i16": 4},
}


def kernel(op: str, dtype: str, n: int, classes: int = 1) -> Work:
    """Count the work of a call of a kernel on arrays of its own."""
    read = operand_bytes(op, dtype, n, classes)
    each = {"dot": 1, "gemv": 1, "axpy": UPDATE[dtype], "ger": UPDATE[dtype]}.get(op)
    counts = {dtype: each * n * classes} if each else {}
    return {"reads": [[read, read]], "multiply_adds": counts}


def inner_step(precision: str, n: int, classes: int, data_bytes: int) -> Work:
    """Count the work of a step: a row of the data, and the model twice, with the constant h.

    The row comes from where the data are; model, h and row are then near for the update.
    """
    dtype = DTYPE_OF[precision]
    x, w, h = ELEMENT_BYTES[dtype]
    row, model, constant = n * x, n * classes * w, n * classes * h
    return {
        "reads": [[data_bytes, row], [row + model + constant, row + 2 * model + constant]],
        "multiply_adds": {dtype: n * classes * (1 + UPDATE[dtype])},
    }


def gradient_row(row_bytes: int, n: int, classes: int, n_samples: int) -> Work:
    """Count the work of the full gradient for one row of the data."""
    per_element = GRADIENT[row_bytes // n]
    return {
        "reads": [[row_bytes * n_samples, row_bytes]],
        "multiply_adds": {dtype: count * n * classes for dtype, count in per_element.items()},
    }
