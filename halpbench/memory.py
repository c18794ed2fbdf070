"""Arrays laid out for the kernels: aligned, rows padded to cache lines, on huge pages."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

CACHE_LINE = 64
HUGE_PAGE = 2 << 20


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """A zeroed C-contiguous array that starts at a cache line.

    Large ones start at a huge page, and the system is asked to back them with such pages
    (``madvise``), which spares a random row access most of its TLB misses.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype

    Returns
    -------
    ndarray
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    alignment = HUGE_PAGE if nbytes >= HUGE_PAGE else CACHE_LINE
    if nbytes >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        block = mmap.mmap(-1, nbytes + alignment, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        block.madvise(mmap.MADV_HUGEPAGE)
        raw = np.frombuffer(block, np.uint8)
    else:
        raw = np.zeros(nbytes + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes].view(dtype).reshape(shape)
