"""Medians and ratios against known answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halpbench.bench import stats

times = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=30)


def test_median_of_known_samples():
    estimate = stats.median([5, 1, 4, 2, 3])
    assert estimate.value == 3
    assert estimate.count == 5
    assert 1 <= estimate.low < 3 < estimate.high <= 5


def test_equal_samples_leave_no_interval():
    assert stats.median([7, 7, 7]) == stats.Estimate(7, 7, 7, 3)


def test_interval_covers_the_median_of_the_distribution():
    """95 % intervals of 200 known experiments: the true median is inside nearly always."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        estimate = stats.median(rng.normal(10, 1, size=25))
        covered += estimate.low <= 10 <= estimate.high
    # The percentile bootstrap of a median covers slightly less or more than it says.
    assert 180 <= covered <= 199


def test_ratio_is_paired():
    """A drift that falls on both alike does not widen the interval."""
    baseline = [10, 20, 30, 40]
    contender = [5, 10, 15, 20]
    assert stats.ratio(baseline, contender) == stats.Estimate(2, 2, 2, 4)


def test_ratio_leaves_out_what_has_no_partner():
    assert stats.ratio([10, 10, 99], [5, 5]).count == 2


@given(times)
def test_interval_holds_the_value_and_stays_within_the_samples(samples):
    estimate = stats.median(samples)
    assert min(samples) <= estimate.low <= estimate.value <= estimate.high <= max(samples)


@given(times)
def test_same_samples_give_the_same_numbers(samples):
    assert stats.median(samples) == stats.median(list(samples))


def test_scaled_changes_the_unit_of_all_three():
    assert stats.Estimate(2, 1, 3, 9).scaled(10) == stats.Estimate(20, 10, 30, 9)


@pytest.mark.parametrize("samples", [[], [1, math.nan], [math.inf], [[1, 2]]])
def test_median_refuses(samples):
    with pytest.raises(ValueError, match="expected"):
        stats.median(samples)


@pytest.mark.parametrize(("baseline", "contender"), [([], [1]), ([1], [0]), ([-1], [1])])
def test_ratio_refuses(baseline, contender):
    with pytest.raises(ValueError, match="expected"):
        stats.ratio(baseline, contender)
