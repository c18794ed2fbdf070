"""The ceilings of a machine: what is read to measure them, and what is measured."""

import pytest

from halpbench import kernels
from halpbench.bench import ceilings, machine

GIB = 1 << 30
CACHES = [
    {"level": 1, "size_bytes": 32 << 10, "shared_by": "0"},
    {"level": 2, "size_bytes": 1 << 20, "shared_by": "0"},
    {"level": 3, "size_bytes": 32 << 20, "shared_by": "0-3"},
]


def sizes(*arguments):
    return {row["level"]: row["array_bytes"] for row in ceilings.arrays(*arguments)}


def test_one_thread_reads_half_of_each_cache_and_far_more_than_the_last():
    expected = {"L1": 16 << 10, "L2": 256 << 10, "L3": 8 << 20, "DRAM": 256 << 20}
    assert sizes(CACHES, 64 * GIB, 1) == expected
    bigger = [*CACHES[:2], CACHES[2] | {"size_bytes": 12 << 20}]
    assert sizes(bigger, 64 * GIB, 1)["L3"] == 6 << 20


def test_threads_share_the_caches_that_they_share():
    assert sizes(CACHES, 64 * GIB, 4) == {
        "L1": 16 << 10,
        "L2": 256 << 10,
        "L3": 4 << 20,
        "DRAM": 64 << 20,
    }


def test_a_cache_that_the_one_before_would_hide_is_left_out():
    small = [*CACHES[:2], CACHES[2] | {"size_bytes": 3 << 20}]
    assert list(sizes(small, 64 * GIB, 1)) == ["L1", "L2", "DRAM"]


def test_no_caches_are_known():
    assert sizes([], 64 * GIB, 2) == {"DRAM": 128 << 20}


def test_memory_is_bounded_by_what_is_free():
    huge = [{"level": 3, "size_bytes": GIB, "shared_by": "0"}]
    assert sizes(huge, 64 * GIB, 1)["DRAM"] == GIB
    assert sizes(huge, GIB, 1)["DRAM"] == 256 << 20


@pytest.mark.parametrize(
    ("cpus", "count"), [("0", 1), ("0-3", 4), ("0,64", 2), ("0-1,8-11", 6), ("unknown", 1)]
)
def test_sharers(cpus, count):
    assert ceilings.sharers(cpus) == count


def test_everything_is_measured_once(monkeypatch):
    monkeypatch.setattr(ceilings, "WINDOWS", 2)
    monkeypatch.setattr(ceilings, "JOINT_WINDOWS", 2)
    monkeypatch.setattr(ceilings, "LEAST_BYTES", 1 << 20)
    monkeypatch.setattr(ceilings, "MOST_BYTES", 4 << 20)
    monkeypatch.setattr(ceilings, "SLICE_BYTES", 1 << 20)
    here = machine.record()
    here |= {"caches": CACHES[:2], "cpu": here["cpu"] | {"usable_cores": 2}}
    active = kernels.active()
    found = ceilings.measure(here)
    assert kernels.active() == active
    peaks = {(row["backend"], row["dtype"]) for row in found["multiply_add"]}
    assert peaks == {(b, d) for b in kernels.backends() for d in kernels.FAMILIES}
    assert len(found["multiply_add"]) == len(peaks)
    reads = [(row["level"], row["backend"], row["threads"]) for row in found["read"]]
    expected = [(level, b, 1) for b in kernels.backends() for level in ("L1", "L2", "DRAM")]
    expected += [(level, kernels.backends()[0], 2) for level in ("L1", "L2", "DRAM")]
    assert reads == expected
    assert all(row["gigabytes_per_second"] > 0 for row in found["read"])
    assert all(row["giga_per_second"] > 0 for row in found["multiply_add"])
