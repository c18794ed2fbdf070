"""Checks of arguments, with messages that name them."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["count", "one_of", "positive"]


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of `allowed`; raise ValueError otherwise."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def positive(name: str, value: float) -> float:
    """Return `value` as a float if it is finite and positive; raise ValueError otherwise."""
    value = float(value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and positive, got {value}")
    return value


def count(name: str, value: int, least: int) -> int:
    """Return `value` as an int; raise TypeError unless it is one, ValueError if it is too small."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)
