"""Order of the contenders: interleaved rounds within a time budget, on one thread."""

import random
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

# Makes a number of calls and returns their nanoseconds.
Timer = Callable[[int], int]


def rounds(
    contenders: Sequence[str],
    *,
    at_least: int,
    at_most: int,
    budget_seconds: float,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[str]]:
    """Yield the order of the contenders for one round after another.

    Rounds come in pairs: a shuffled order, then its reverse (A B C, C B A), so that a steady drift
    of the machine's speed falls on all alike and none always runs after the same neighbour.
    After `at_least` rounds no round begins that would end after the budget, judged by the
    slowest round so far.

    Parameters
    ----------
    contenders : sequence of str
    at_least, at_most : int
        Bounds on the number of rounds; ``1 <= at_least <= at_most``.
    budget_seconds : float
        Time that the rounds may take, once `at_least` of them are done.
    seed : int
        Seed of the shuffles.
    clock : callable
        Returns seconds; another clock serves tests.

    Raises
    ------
    ValueError
        If the bounds are not as stated.
    """
    if not 1 <= at_least <= at_most:
        raise ValueError(
            f"got at_least={at_least}, at_most={at_most}; expected 1 <= at_least <= at_most"
        )
    shuffle = random.Random(seed).shuffle
    order = list(contenders)
    begin, slowest = clock(), 0.0
    for index in range(at_most):
        start = clock()
        if index >= at_least and start + slowest > begin + budget_seconds:
            return
        if index % 2 == 0:
            shuffle(order)
            yield list(order)
        else:
            yield order[::-1]
        slowest = max(slowest, clock() - start)


def calls_for(measure: Timer, target_ns: int) -> int:
    """Find how many calls in a row take about `target_ns`, so that the timer's grain is small.

    Parameters
    ----------
    measure : callable
        Takes a number of calls, makes them, returns the elapsed nanoseconds.
    target_ns : int

    Returns
    -------
    int
        At least 1.
    """
    calls = 1
    while True:
        elapsed_ns = max(measure(calls), 1)
        if elapsed_ns >= target_ns / 10:
            return max(1, round(calls * target_ns / elapsed_ns))
        # Not further than tenfold at once: a first call that is cold says little about the rest.
        calls *= min(10, max(2, target_ns // elapsed_ns))


def call_timer(function: Callable[..., object], arguments: Sequence[object]) -> Timer:
    """Return a timer of calls from Python."""
    names = [f"a{index}" for index in range(len(arguments))]
    statement = timeit.Timer(
        f"function({', '.join(names)})",
        globals={"function": function, **dict(zip(names, arguments, strict=True))},
    )
    return lambda calls: round(statement.timeit(calls) * 1e9)


def one_thread() -> AbstractContextManager[object]:
    """Hold BLAS and OpenMP to one thread while contenders are timed."""
    from threadpoolctl import threadpool_limits

    context: AbstractContextManager[object] = threadpool_limits(limits=1)
    return context
