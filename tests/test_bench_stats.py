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


def test_mean_has_the_interval_of_student():
    found = stats.mean([1.0, 2.0, 3.0])
    assert (found.value, found.count) == (2.0, 3)
    # 4.3027 is the quantile of two degrees of freedom; the standard error is 1 / sqrt(3).
    assert found.high - 2.0 == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert 2.0 - found.low == pytest.approx(found.high - 2.0)
    assert stats.mean([5.0]) == stats.Estimate(5.0, 5.0, 5.0, 1)
    with pytest.raises(ValueError, match="not finite"):
        stats.mean([1.0, math.nan])


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


def test_change_of_known_samples():
    assert stats.change([10, 20, 30], [5, 10, 15, 10]).value == 2
    assert stats.change([8, 8], [10, 10, 10]) == stats.Estimate(0.8, 0.8, 0.8, 2)


def test_change_knows_no_partners():
    """Shuffled samples estimate the same, for nothing pairs them."""
    baseline, contender = [10, 20, 30, 40], [5, 10, 15, 20]
    estimate = stats.change(baseline, contender)
    assert estimate.low < estimate.value == 2 < estimate.high
    assert stats.change(baseline, contender[::-1]).value == 2


@given(times, times)
def test_change_reads_the_same_in_both_directions(one, other):
    there, back = stats.change(one, other), stats.change(other, one)
    assert there.value == pytest.approx(1 / back.value)
    assert there.low <= there.value <= there.high


def test_interval_of_a_change_covers_the_true_one():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        estimate = stats.change(rng.lognormal(0.2, 0.1, 25), rng.lognormal(0, 0.1, 20))
        covered += estimate.low <= math.exp(0.2) <= estimate.high
    assert 180 <= covered <= 199


def test_rank_test_of_known_samples():
    """Without overlap: 2 of the (m + n choose n) equally likely orders are as extreme."""
    assert stats.rank_test([1, 2, 3], [4, 5, 6]) == pytest.approx(2 / math.comb(6, 3))
    assert stats.rank_test(range(9), range(10, 19)) == pytest.approx(2 / math.comb(18, 9))
    assert stats.rank_test([7, 7, 7], [7, 7, 7]) == 1


@given(times)
def test_rank_test_finds_a_run_like_itself(samples):
    assert stats.rank_test(samples, samples) > 0.9


def test_rank_test_errs_as_often_as_it_says():
    rng = np.random.default_rng(3)
    found = sum(stats.rank_test(*rng.lognormal(size=(2, 31))) < 0.05 for _ in range(400))
    assert 8 <= found <= 34  # 20 expected, three standard deviations either way


def test_holm_of_known_p_values():
    """The example of Holm's procedure: 0.01 x 4, 0.013 x 3 and so on, never decreasing."""
    assert stats.holm([0.013, 0.01, 0.9, 0.014]) == pytest.approx([0.04, 0.04, 0.9, 0.04])
    assert stats.holm([0.6, 0.7]) == [1.0, 1.0]
    assert stats.holm([0.03]) == [0.03]
    assert stats.holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_keeps_the_order_and_lies_above(p_values):
    adjusted = stats.holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)
