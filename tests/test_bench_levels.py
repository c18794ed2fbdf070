"""Lengths for each level of memory, and operands that take turns."""

import itertools

import pytest

from halpbench.bench import levels
from halpbench.bench.cases import DTYPES
from halpbench.bench.levels import Level
from halpbench.bench.operands import operand_bytes

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def caches(*sizes):
    """Caches of one core, but the last, which four share."""
    shared = ["0"] * (len(sizes) - 1) + ["0-3"]
    return [
        {"level": i, "size_bytes": size, "shared_by": cpus}
        for i, (size, cpus) in enumerate(zip(sizes, shared, strict=True), start=1)
    ]


def test_half_of_each_cache_and_memory_beyond():
    found = levels.of(caches(32 * KIB, 512 * KIB, 32 * MIB), 16 * GIB)
    assert [(each.name, each.set_bytes) for each in found] == [
        ("L1", 16 * KIB),
        ("L2", 256 * KIB),
        ("L3", 4 * MIB),  # eight times the L2: the L3 may be shared
        ("DRAM", 32 * MIB),
    ]
    assert [each.sets for each in found[:3]] == [1, 1, 1]
    assert found[-1].sets * found[-1].set_bytes == 128 * MIB


def test_threads_share_what_caches_they_share():
    found = levels.of(caches(32 * KIB, 512 * KIB, 16 * MIB), 16 * GIB, threads=8)
    assert [(each.name, each.set_bytes) for each in found[:3]] == [
        ("L1", 16 * KIB),
        ("L2", 256 * KIB),
        ("L3", 2 * MIB),
    ]
    assert found[-1].sets == 1


@pytest.mark.parametrize(
    ("cpus", "count"), [("0", 1), ("0-3", 4), ("0,64", 2), ("0-1,8-11", 6), ("unknown", 1)]
)
def test_sharers(cpus, count):
    assert levels.sharers(cpus) == count


def test_memory_takes_twice_the_last_cache():
    beyond = levels.of(caches(48 * KIB, 2 * MIB, 480 * MIB), 16 * GIB)[-1]
    assert beyond.sets * beyond.set_bytes == 960 * MIB


def test_memory_that_cannot_hold_twice_the_last_cache_is_left_out():
    names = [each.name for each in levels.of(caches(48 * KIB, 2 * MIB, 480 * MIB), 3 * GIB)]
    assert names == ["L1", "L2", "L3"]


def test_a_cache_that_is_hardly_larger_than_the_one_before_is_left_out():
    names = [each.name for each in levels.of(caches(64 * KIB, 100 * KIB), 0)]
    assert names == ["L1"]


def test_unknown_caches_leave_memory():
    assert [each.name for each in levels.of([], 16 * GIB)] == ["DRAM"]


@pytest.mark.parametrize("op", ["dot", "axpy", "gemv", "ger"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [1, 10])
def test_operands_fill_what_they_should_and_no_more(op, dtype, classes):
    level = Level("L2", 100_000)
    n = levels.length(level, op, dtype, classes)
    assert n % 64 == 0
    assert operand_bytes(op, dtype, n, classes) <= 100_000
    assert operand_bytes(op, dtype, n + 64, classes) > 100_000


def test_a_vector_has_at_least_a_group():
    assert levels.length(Level("L1", 100), "ger", "f64", 10) == 64


def test_sets_have_their_turns_whoever_calls():
    used = []

    def timer(name):
        return lambda calls: used.append((name, calls)) or 10 * calls

    sets = itertools.cycle([timer(name) for name in "abc"])
    ours, theirs = (levels.in_turn(sets, Level("DRAM", 1, 3)) for _ in range(2))
    assert ours(2) == 20
    assert theirs(1) == 10
    assert ours(1) == 10
    assert used == [("a", 1), ("b", 1), ("c", 1), ("a", 1)]


def test_one_set_is_called_many_times_in_a_row():
    assert levels.in_turn(iter([lambda calls: 7 * calls]), Level("L1", 1))(1000) == 7000
