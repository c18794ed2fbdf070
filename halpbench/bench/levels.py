"""Lengths of vectors whose operands fill one cache of this machine, or leave them all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halpbench.bench.clock import Timer
from halpbench.bench.operands import operand_bytes

# Part of a cache that is filled: half of it, but no more than eight times the cache before, for the
# last one may be shared with others.
OF_A_CACHE, MOST_RATIO = 2, 8
# Beyond the caches: operands that are worked on in turn, together at least twice the last cache.
OF_MEMORY, SET_BYTES, LEAST_BYTES = 2, 32 << 20, 128 << 20
DRAM = "DRAM"


@dataclass(frozen=True)
class Level:
    """A place in the hierarchy of memory, and how operands are kept there.

    Attributes
    ----------
    name : str
        "L1", "L2" and so on, or "DRAM".
    set_bytes : int
        Bytes that the operands of a kernel fill.
    sets : int
        Sets of operands, which have their turns call by call; one for a cache.
    """

    name: str
    set_bytes: int
    sets: int = 1


def of(caches: Sequence[Mapping[str, Any]], available: int, threads: int = 1) -> list[Level]:
    """List the levels of a machine, nearest first.

    Memory beyond the caches is left out where a quarter of what is free cannot hold twice the last
    cache: data that are read again would still be cached.

    Parameters
    ----------
    caches : sequence of mapping
        See `machine.caches`.
    available : int
        Bytes of free memory.
    threads : int
        Threads that work at once, each on operands of its own, which share the shared caches.
    """
    levels = []
    before = 0
    for cache in caches:
        share = cache["size_bytes"] // min(threads, sharers(cache["shared_by"]))
        size = share // OF_A_CACHE
        size = min(size, MOST_RATIO * before) if before else size
        if size > before:
            levels.append(Level(f"L{cache['level']}", size))
        before = share
    last = caches[-1]["size_bytes"] if caches else 0
    beyond = max(OF_MEMORY * last, LEAST_BYTES)
    if beyond <= available // 4:
        levels.append(Level(DRAM, SET_BYTES, -(-beyond // (threads * SET_BYTES))))
    return levels


def sharers(cpus: str) -> int:
    """Count the CPUs of a list as Linux writes it, "0-3,8"; one where there is none."""
    count = 0
    for part in cpus.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            count += int(last or first) - int(first) + 1
    return max(count, 1)


def length(level: Level, op: str, dtype: str, classes: int = 1) -> int:
    """Return how many elements the vectors have: whole groups of 64, at least one."""
    n = level.set_bytes // operand_bytes(op, dtype, 1, classes)
    return max(n - n % 64, 64)


def in_turn(timers: Iterator[Timer], level: Level) -> Timer:
    """Make one timer of those of the sets of operands: each call is one of the next of them.

    Parameters
    ----------
    timers : iterator of callables
        Goes round the sets without end. Each makes a number of calls and returns their nanoseconds.
    level : Level
    """
    if level.sets == 1:
        return next(timers)
    return lambda calls: sum(next(timers)(1) for _ in range(calls))
