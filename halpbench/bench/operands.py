"""Bytes and multiply-adds of kernels, and the memory that a case needs."""

from halpbench.bench.cases import (
    DTYPE_OF,
    ELEMENT_BYTES,
    CallCase,
    Case,
    EpochsCase,
    KernelCase,
)
from halpbench.bench.timing import BLOCK_ROWS


def operand_bytes(op: str, dtype: str, n: int, classes: int = 1) -> int:
    """Count the bytes of a kernel's operands; a row that classes share counts once."""
    x, w, h = ELEMENT_BYTES[dtype]
    if op == "read":
        return n
    if op in ("dot", "gemv"):
        return n * (x + classes * w)
    if op in ("quantize", "dequantize"):
        return n * (x + 4)  # of or to float32
    if op == "accumulate":
        return n * (BLOCK_ROWS * x + classes * 8)  # into float64
    return n * (x + classes * (h + w))


def kernel_bytes(op: str, dtype: str, n: int, classes: int = 1) -> int:
    """Count the bytes that a call reads and writes; updated operands count twice."""
    updated = {"axpy": ELEMENT_BYTES[dtype][1], "ger": ELEMENT_BYTES[dtype][1], "accumulate": 8}
    return operand_bytes(op, dtype, n, classes) + n * classes * updated.get(op, 0)


def kernel_elements(op: str, n: int, classes: int = 1) -> int:
    """Count the multiply-adds of a call, or the conversions."""
    return n * classes * (BLOCK_ROWS if op == "accumulate" else 1)


def memory_bytes(case: Case) -> int:
    """Count the bytes that must be free for a case.

    The largest contender of a kernel, or both vectors of a call, and 8 bytes an element while they
    are filled; of a problem the original in float64, one temporary of its size, and a copy for
    each width.
    """
    if isinstance(case, KernelCase):
        largest = max(kernel_bytes(case.op, dtype, case.n, case.classes) for dtype in case.dtypes)
        return 8 * case.n + largest
    if isinstance(case, CallCase):
        return 8 * case.n + kernel_bytes("dot", case.dtype, case.n)
    if isinstance(case, EpochsCase):
        widths = {ELEMENT_BYTES[DTYPE_OF[c.precision]][0] for c in case.contenders}
        return case.problem.n_samples * case.problem.n_features * (16 + sum(widths))
    return 0
