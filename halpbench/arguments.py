"""Checks of arguments, with messages that name them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halpbench._kernels import real_number

__all__ = ["count", "one_of", "positive", "real_array", "reals"]


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of `allowed`; raise ValueError otherwise."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def positive(name: str, value: float) -> float:
    """Return `value` as a float, checked by `real_number`, with its errors."""
    return real_number(value, name, positive=True)


def real_array(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return `value` in float64, of whatever shape; a copy only where it is of another type.

    Raises
    ------
    TypeError
        If its entries are no real numbers: complex ones, booleans and texts are not.
    ValueError
        If its rows differ in length.
    """
    given = np.asarray(value)
    if given.dtype.kind not in "fiuO":
        raise TypeError(f"{name} must be real, got {given.dtype}")
    if given.dtype.kind == "O":
        entries = [real_number(entry, name) for entry in given.ravel()]
        return np.array(entries, np.float64).reshape(given.shape)
    return np.asarray(given, np.float64)


def reals(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a copy of `value` in float64.

    Raises
    ------
    TypeError
        If its entries are no real numbers.
    ValueError
        If it has another shape, or entries that are not finite.
    """
    array = real_array(name, value).copy()
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite and of shape {shape}, got {array.shape}")
    return array


def count(name: str, value: int, least: int, most: int | None = None) -> int:
    """Return `value` as an int; TypeError if it is none, ValueError if it is out of range."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {_shown(value)}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be from {least} to {most}, got {_shown(value)}")
    return int(value)


def _shown(value: int) -> str:
    """Return the digits, or only their number where Python may refuse to print them."""
    bits = int(value).bit_length()
    return str(value) if bits <= 128 else f"one of {bits} bits"
