"""The ceilings of a machine: what is measured."""

from halpbench import kernels
from halpbench.bench import ceilings, machine

CACHES = [
    {"level": 1, "size_bytes": 32 << 10, "shared_by": "0"},
    {"level": 2, "size_bytes": 1 << 20, "shared_by": "0"},
]


def test_nothing_to_read_leaves_multiply_adds():
    here = machine.record()
    here |= {"caches": [], "state": here["state"] | {"memory_available_bytes": 0}}
    measured = ceilings.measure(here, windows=1)
    assert measured["read"] == []
    assert len(measured["multiply_add"]) == len(kernels.backends()) * len(kernels.FAMILIES)


def test_everything_is_measured_once():
    here = machine.record()
    here |= {"caches": CACHES, "cpu": here["cpu"] | {"usable_cores": 2}}
    here["state"] |= {"memory_available_bytes": 1 << 30}
    active = kernels.active()
    measured = ceilings.measure(here, windows=2)
    assert kernels.active() == active
    peaks = {(row["backend"], row["dtype"]) for row in measured["multiply_add"]}
    assert peaks == {(b, d) for b in kernels.backends() for d in kernels.FAMILIES}
    assert len(measured["multiply_add"]) == len(peaks)
    reads = [(row["level"], row["backend"], row["threads"]) for row in measured["read"]]
    expected = [(level, b, 1) for b in kernels.backends() for level in ("L1", "L2", "DRAM")]
    expected += [(level, kernels.backends()[0], 2) for level in ("L1", "L2", "DRAM")]
    assert reads == expected
    assert {row["array_bytes"] for row in measured["read"] if row["level"] == "DRAM"} == {
        128 << 20,
        64 << 20,
    }
    assert all(row["gigabytes_per_second"] > 0 for row in measured["read"])
    assert all(row["giga_per_second"] > 0 for row in measured["multiply_add"])
