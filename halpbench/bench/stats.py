"""Medians, intervals and ratios of raw samples. Seeded: the same samples give the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, in the unit of the samples.

    Attributes
    ----------
    value, low, high : float
        The estimate and the ends of its interval; ``low <= value <= high``.
    count : int
        How many samples (or pairs of samples) it rests on.
    """

    value: float
    low: float
    high: float
    count: int

    def scaled(self, factor: float) -> "Estimate":
        """Return the same estimate in another unit; `factor` is positive."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor, self.count)


def median(samples: Sequence[float], *, seed: int = 0) -> Estimate:
    """Estimate the median of `samples`, with a bootstrap interval.

    Parameters
    ----------
    samples : sequence of float, shape (n_samples,)
    seed : int
        Seed of the resampling.

    Raises
    ------
    ValueError
        If there are no samples, or one is not finite.
    """
    return _bootstrap_median(_checked(samples), seed)


def ratio(baseline: Sequence[float], contender: Sequence[float], *, seed: int = 0) -> Estimate:
    """Estimate how many times faster than `baseline` the `contender` is.

    The median of the paired ratios: sample i of both comes from the same round, so that a slow
    moment of the machine falls on both and cancels. A sample more on one side is left out.

    Parameters
    ----------
    baseline, contender : sequence of float, shape (n_samples,)
        Times of interleaved repetitions, positive, in the same unit.
    seed : int
        Seed of the resampling.

    Raises
    ------
    ValueError
        If there is no pair, or a time is not positive and finite.
    """
    pairs = min(len(baseline), len(contender))
    numerator, denominator = _checked(baseline[:pairs]), _checked(contender[:pairs])
    if (numerator <= 0).any() or (denominator <= 0).any():
        raise ValueError("got a time that is not positive; expected positive times")
    return _bootstrap_median(numerator / denominator, seed)


def _checked(samples: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"got samples of shape {values.shape}; expected at least one, in a list")
    if not np.isfinite(values).all():
        raise ValueError("got a sample that is not finite; expected finite numbers")
    return values


def _bootstrap_median(values: NDArray[np.float64], seed: int) -> Estimate:
    """Take the median of each of many resamplings: the percentile bootstrap (Efron 1979)."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(values.size, size=(RESAMPLES, values.size))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.median(values[draws], axis=1), [tail, 1 - tail])
    middle = float(np.median(values))
    # Interpolated quantiles can miss an end by a rounding error.
    return Estimate(middle, min(float(low), middle), max(float(high), middle), values.size)
