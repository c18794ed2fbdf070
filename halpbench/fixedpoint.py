"""Fixed-point arithmetic of the algorithms: representable numbers, and parts of a model.

A model vector is ``scale * k`` with integers ``k`` in the symmetric range
``-(2**(bits-1) - 1) .. 2**(bits-1) - 1`` (De Sa et al. 2018, section 3, whose dom(delta, b) has one
more negative number).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHECKED_BATCHES",
    "GROW_ABOVE",
    "AdaptiveScale",
    "SaturationWarning",
    "bit_centering_scale",
    "check_bits",
    "largest_integer",
    "saturation_warning",
    "split_high_low",
]

# Two bits are the fewest that have a positive integer; 24 are what a float32 has.
BITS = (2, 24)

#: Batches after which an adaptive scale is looked at again.
CHECKED_BATCHES = 256
#: The share of its range of which it is then doubled. At a half, an int8 model has a bit less to
#: round to; close to the whole, it saturates.
GROW_ABOVE = 0.875


class SaturationWarning(UserWarning):
    """The scale of HALP was too small: entries of the model reached an end of their range."""


def saturation_warning(mu: float, epoch: int, entries: int) -> SaturationWarning:
    """Return the warning of a given `mu` that made so many entries saturate in an epoch."""
    return SaturationWarning(
        f"mu = {mu:g} makes the scale too small: in epoch {epoch} {entries} entries of the model "
        "reached an end of their range; take a smaller mu, or none"
    )


def check_bits(bits: int) -> None:
    """Raise TypeError unless `bits` is an integer, ValueError unless it is from 2 to 24."""
    if isinstance(bits, bool) or not isinstance(bits, int | np.integer):
        raise TypeError(f"bits must be an integer, got {bits!r}")
    if not BITS[0] <= bits <= BITS[1]:
        raise ValueError(f"bits must be from {BITS[0]} to {BITS[1]}, got {bits}")


def largest_integer(bits: int) -> int:
    """The largest ``k``: 127 for 8 bits, 32,767 for 16."""
    return int(2 ** (bits - 1) - 1)


def bit_centering_scale(gradient_norm: float, mu: float, bits: int) -> float:
    """The scale of an epoch of HALP: delta = ||g|| / (mu (2**(bits-1) - 1)).

    For a mu-strongly convex loss the minimizer lies within ``||g|| / mu`` of the centre, so that it
    is representable (De Sa et al. 2018, section 4, "bit centering").
    """
    return gradient_norm / (mu * largest_integer(bits))


@dataclass
class AdaptiveScale:
    """The first scale of every epoch of HALP without ``mu``: it follows the displacement seen.

    The range of the first epoch is that of the steps until the scale is looked at, along the
    largest entry of the gradient. A later one is twice the displacement seen in the epoch before,
    as a multiple of that entry, but no more than in the first epoch, and no less than half of the
    one before: option II may have ended an epoch early.

    Parameters
    ----------
    step_size : float
        Of one sample.
    batch_size : int
    epoch_length : int
        Samples an epoch.
    highest : float
        The largest number of units that the model can hold.
    """

    step_size: float
    batch_size: int
    epoch_length: int
    highest: float

    def __post_init__(self) -> None:
        steps = min(self.epoch_length, CHECKED_BATCHES * self.batch_size)
        self._most = self._range = self.step_size * steps

    def first(self, largest_gradient: float) -> float:
        """Return the first scale of the epoch at a full gradient with this largest entry."""
        return self._range * largest_gradient / self.highest

    def learn(self, displacement: float, largest_gradient: float) -> None:
        """Record the largest displacement of an entry that was seen in that epoch."""
        wanted = 2 * displacement / largest_gradient
        self._range = min(self._most, max(wanted, self._range / 2))


def split_high_low(w: NDArray[np.float64], out: NDArray[np.int16]) -> float:
    """Write ``w`` as two int16 vectors, so that integer kernels can multiply it by integer data.

    w is approximated by ``scale * (2**15 high + low)`` to 2**-30 of its largest entry.

    Parameters
    ----------
    w : ndarray of shape (C, d)
    out : ndarray of shape (2 C, >= d)
        Receives the high parts in rows 0 .. C-1 and the low parts in rows C .. 2C-1.

    Returns
    -------
    float
        The scale.
    """
    largest = float(np.abs(w).max(initial=0.0))
    scale = largest / 2**29 or 1.0
    k = np.rint(w / scale).astype(np.int64)
    high = (k + 2**14) >> 15
    rows, columns = w.shape
    out[:rows, :columns] = high
    out[rows:, :columns] = k - (high << 15)
    return scale


def count_saturated(z: NDArray[Any], bits: int) -> int:
    """Count the entries at either end of the range."""
    return int(np.count_nonzero(np.abs(z) == largest_integer(bits)))
