"""Interleaving and budgets, on a clock that only the tests move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from halpbench.bench import clock


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def orders(contenders, rounds, seed=0):
    return list(
        clock.rounds(contenders, at_least=rounds, at_most=rounds, budget_seconds=0, seed=seed)
    )


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 99))
def test_each_round_holds_each_contender_once(contenders, rounds, seed):
    names = [f"c{i}" for i in range(contenders)]
    seen = orders(names, rounds, seed)
    assert len(seen) == rounds
    assert all(sorted(order) == names for order in seen)


def test_every_second_round_is_the_reverse_of_the_one_before():
    seen = orders("ABCDE", 10)
    assert all(b == a[::-1] for a, b in zip(seen[::2], seen[1::2], strict=True))
    assert len({tuple(order) for order in seen[::2]}) > 1, "pairs are shuffled anew"


def test_the_seed_decides_the_order():
    assert orders("ABCDE", 8, seed=3) == orders("ABCDE", 8, seed=3)
    assert orders("ABCDE", 8, seed=3) != orders("ABCDE", 8, seed=4)


def counted(round_seconds, **bounds):
    """Number of rounds when each takes `round_seconds`."""
    now = Clock()
    done = 0
    for _ in clock.rounds("AB", clock=now, **bounds):
        now.now += round_seconds
        done += 1
    return done


@pytest.mark.parametrize(
    ("round_seconds", "expected"),
    [
        (1.0, 10),  # the budget allows exactly ten
        (3.0, 3),  # a fourth would end after 12 seconds
        (60.0, 2),  # far over the budget, yet at least two
        (0.1, 20),  # at most twenty
    ],
)
def test_budget(round_seconds, expected):
    assert counted(round_seconds, at_least=2, at_most=20, budget_seconds=10.0) == expected


def test_bounds_are_checked():
    with pytest.raises(ValueError, match="expected 1 <= at_least <= at_most"):
        next(clock.rounds("AB", at_least=0, at_most=3, budget_seconds=1))
    with pytest.raises(ValueError, match="at_least=4, at_most=3"):
        next(clock.rounds("AB", at_least=4, at_most=3, budget_seconds=1))


@given(st.integers(1, 10**9), st.integers(0, 10**6), st.integers(10**3, 10**8))
def test_calls_take_about_the_target(ns_per_call, overhead_ns, target_ns):
    calls = clock.calls_for(lambda calls: overhead_ns + calls * ns_per_call, target_ns)
    assert calls >= 1
    # Never far more than asked for, whatever a single call costs.
    assert calls == 1 or calls * ns_per_call <= 2 * target_ns


def test_calls_of_something_too_fast_to_see():
    """A timer that reads zero at first must not divide by zero or loop forever."""
    assert clock.calls_for(lambda calls: calls // 1000, 1_000) > 100_000


def test_blas_is_held_to_one_thread():
    with clock.one_thread():
        assert all(pool["num_threads"] == 1 for pool in threadpool_info())
