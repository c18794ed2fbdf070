"""Medians, intervals, ratios and tests. Seeded: the same samples give the same numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
# Below this number the range of the samples covers the median less than 95 % of the time
# (1 - 2^(1-n)), so that no interval can: the range is all there is.
FEW = 6


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, in the unit of the samples.

    Attributes
    ----------
    value, low, high : float
        The estimate and the ends of its interval; ``low <= value <= high``.
    count : int
        Number of samples (or pairs of samples) that it rests on.
    """

    value: float
    low: float
    high: float
    count: int

    @property
    def few(self) -> bool:
        """Tell whether the interval is no more than the range of a few samples."""
        return self.count < FEW

    @property
    def unsure(self) -> bool:
        """Tell whether there are few samples, and not the same one each time."""
        return self.count == 1 or (self.few and self.low < self.high)

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


def mean(samples: Sequence[float]) -> Estimate:
    """Estimate the mean of a few samples, with the interval of Student's t.

    The interval of a single sample is empty: nothing is known of its scatter.

    Parameters
    ----------
    samples : sequence of float, shape (n_samples,)

    Raises
    ------
    ValueError
        If there are no samples, or one is not finite.
    """
    values = _checked(samples)
    middle = float(values.mean())
    if values.size == 1:
        return Estimate(middle, middle, middle, 1)
    from scipy.stats import t

    quantile = float(t.ppf((1 + CONFIDENCE) / 2, values.size - 1))
    half = quantile * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Estimate(middle, middle - half, middle + half, values.size)


def ratio(baseline: Sequence[float], contender: Sequence[float], *, seed: int = 0) -> Estimate:
    """Estimate how many times as fast as `baseline` the `contender` is.

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
    return _bootstrap_median(_positive(baseline[:pairs]) / _positive(contender[:pairs]), seed)


def change(baseline: Sequence[float], contender: Sequence[float], *, seed: int = 0) -> Estimate:
    """Estimate how many times larger the median of `baseline` is, of samples without partners.

    As `ratio`, but for two runs: nothing pairs their samples, so that each is resampled by itself.
    The count is that of the smaller one.

    Parameters
    ----------
    baseline, contender : sequence of float, shape (n_samples,)
        Times of two runs, positive, in the same unit; not necessarily as many.
    seed : int
        Seed of the resampling.

    Raises
    ------
    ValueError
        If there are no samples, or one is not positive and finite.
    """
    numerator, denominator = _positive(baseline), _positive(contender)
    rng = np.random.default_rng(seed)
    ratios = _resampled_medians(numerator, rng) / _resampled_medians(denominator, rng)
    middle = float(np.median(numerator) / np.median(denominator))
    return _percentiles(middle, ratios, min(numerator.size, denominator.size))


def rank_test(one: Sequence[float], other: Sequence[float]) -> float:
    """Test whether two runs have samples of the same size: Mann and Whitney (1947), two-sided.

    Asks nothing of the distribution of the samples but that they are independent.

    Parameters
    ----------
    one, other : sequence of float, shape (n_samples,)

    Returns
    -------
    float
        The p-value: how likely ranks this different are if both runs are alike. Exact unless
        samples are equal to each other or more than 30 on both sides.

    Raises
    ------
    ValueError
        If there are no samples, or one is not finite.
    """
    from scipy.stats import mannwhitneyu

    x, y = _checked(one), _checked(other)
    exact = min(x.size, y.size) <= 30 and np.unique(np.concatenate([x, y])).size == x.size + y.size
    return float(mannwhitneyu(x, y, method="exact" if exact else "asymptotic").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm 1979), in the order given.

    Calling significant what stays below 0.05 errs in 5 % of the families of tests, however many
    tests a family has and however they depend on each other.
    """
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def _checked(samples: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"got samples of shape {values.shape}; expected at least one, in a list")
    if not np.isfinite(values).all():
        raise ValueError("got a sample that is not finite; expected finite numbers")
    return values


def _positive(times: Sequence[float]) -> NDArray[np.float64]:
    values = _checked(times)
    if (values <= 0).any():
        raise ValueError("got a time that is not positive; expected positive times")
    return values


def _bootstrap_median(values: NDArray[np.float64], seed: int) -> Estimate:
    """Take the median of each of many resamplings: the percentile bootstrap (Efron 1979).

    The interval of fewer than `FEW` samples is their range.
    """
    if values.size < FEW:
        return Estimate(
            float(np.median(values)), float(values.min()), float(values.max()), values.size
        )
    medians = _resampled_medians(values, np.random.default_rng(seed))
    return _percentiles(float(np.median(values)), medians, values.size)


def _resampled_medians(
    values: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    draws = rng.integers(values.size, size=(RESAMPLES, values.size))
    medians: NDArray[np.float64] = np.median(values[draws], axis=1)
    return medians


def _percentiles(middle: float, resampled: NDArray[np.float64], count: int) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    # Interpolated quantiles can miss an end by a rounding error.
    return Estimate(middle, min(float(low), middle), max(float(high), middle), count)
