"""The hand-vectorized kernels from Python: dot products, fused updates, quantization.

The functions take NumPy arrays (or anything else with a buffer or the array interface), check them,
and call C on the backend in use: the best one that this CPU has, or the one named by
``HALPBENCH_ISA`` or :func:`use`. Integer results have the same bits on every backend.

All functions may be called from several threads at once, and release the GIL during long work.
Arrays that one thread writes (``z``, ``g``) must not be touched by another one meanwhile; a shared
:class:`Rng` serves one call after another. The backend in use belongs to the process: a call keeps
the one that it began with, :func:`use` changes it for all threads.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from halpbench import _kernels, formats
from halpbench._kernels import (
    BackendError,
    Constant,
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
    real_number,
    rounding_state,
    update,
)

__all__ = [
    "BackendError",
    "Constant",
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
    TypeError
        If ``name`` is no str.
    BackendError
        A ``ValueError`` that lists the usable ones. The choice is then unchanged.

    Notes
    -----
    The choice is one of the process. Blocks of several threads may overlap: the choice made last
    holds, and after the last block the backend is again what it was before the first.

    Examples
    --------
    >>> from halpbench import kernels
    >>> with kernels.use("scalar"):
    ...     kernels.active()
    'scalar'
    """

    _lock: ClassVar[threading.RLock] = threading.RLock()
    # Names in the order of their choice, the last one in use, each with what gives its object as
    # long as there is one. Without an object a choice is for good, or the initial one.
    _choices: ClassVar[list[tuple[str, Callable[[], use | None]]]] = [(active(), lambda: None)]

    def __init__(self, name: str) -> None:
        with self._lock:
            _kernels.select(name)
            if len(self._choices) > 1 and self._choices[-1][1]() is self._choices[-2][1]() is None:
                del self._choices[-2]
            self._choices.append((name, weakref.ref(self)))

    def __enter__(self) -> use:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            place = next(i for i, (_, made_by) in enumerate(self._choices) if made_by() is self)
            end = place + 1
            while end < len(self._choices) and self._choices[end][1]() is None:
                end += 1  # chosen within the block
            del self._choices[place:end]
            _kernels.select(self._choices[-1][0])


def quantize(
    x: ArrayLike,
    bits: int = 8,
    scale: float | None = None,
    rounding: str | None = None,
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
    rounding : {"stochastic", "nearest"}, optional
        Stochastic: ``E q = x / scale`` (De Sa et al. 2018, section 3). Nearest: half rounds up. By
        default that of ``rng`` where it is a state, else stochastic.
    rng : int or Rng, optional
        Seed or state of the stochastic rounding.

    Returns
    -------
    q : ndarray of int8 or int16, of the shape of ``x``
    scale : float

    Raises
    ------
    TypeError
        If ``x`` is not float32 or float64, or ``scale`` is no real number.
    ValueError
        If ``bits`` is neither 8 nor 16, ``scale`` is not finite and positive, ``x`` has NaN or
        infinite entries, or ``rounding`` is not that of the state ``rng``.
    """
    x = np.require(x, None, ["C", "A"])
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(f"x must be float32 or float64, got {x.dtype}")
    if not isinstance(bits, int | np.integer) or bits not in INTEGERS:
        raise ValueError(f"bits must be 8 or 16, got {bits!r}")
    bits = int(bits)  # 2**15 has no room in a NumPy integer of 8 bits
    largest = max(float(x.max()), -float(x.min())) if x.size else 0.0
    if not np.isfinite(largest):
        raise ValueError("x must be finite")
    unit = _least_scale(largest, bits) if scale is None else real_number(scale, "scale", True)
    state = rounding_state(rng, rounding)
    q = np.empty(x.shape, INTEGERS[bits])
    _kernels.quantize_into(x.reshape(-1), q.reshape(-1), unit, state)
    return q, unit


def _least_scale(largest: float, bits: int) -> float:
    """Return the least scale at which ``largest`` does not saturate; 1 for 0."""
    top = 2 ** (bits - 1) - 1
    scale = largest / top
    if largest > 0 and scale * top < largest and scale < np.finfo(np.float64).tiny:
        scale = float(np.nextafter(scale, np.inf))  # subnormal numbers are that far apart
    return scale or 1.0


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
        For other dtypes, and if ``scale`` is no real number.
    ValueError
        For other scales.
    """
    q = np.require(q, None, ["C", "A"])
    if q.dtype not in INTEGERS.values():
        raise TypeError(f"q must be int8 or int16, got {q.dtype}")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
    x = np.empty(q.shape, dtype)
    _kernels.dequantize_into(q.reshape(-1), x.reshape(-1), scale)
    return x


FAMILIES = {  # kernel family -> dtypes of data, model and h
    row.family: (row.data.dtype.type, row.model.dtype.type, row.constant.type)
    for row in formats.FORMATS.values()
}

if os.environ.get("HALPBENCH_ISA"):
    try:
        use(os.environ["HALPBENCH_ISA"])
    except BackendError as error:
        raise BackendError(f"HALPBENCH_ISA: {error}") from None
