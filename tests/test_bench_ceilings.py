"""The ceilings of a machine: what is measured."""

from halpbench import kernels
from halpbench.bench import ceilings, levels, machine

CACHES = [
    {"level": 1, "size_bytes": 32 << 10, "shared_by": "0"},
    {"level": 2, "size_bytes": 1 << 20, "shared_by": "0"},
]


def test_nothing_to_read_leaves_multiply_adds(monkeypatch):
    monkeypatch.setattr(ceilings, "WINDOWS", 1)
    here = machine.record()
    here |= {"caches": [], "state": here["state"] | {"memory_available_bytes": 0}}
    found = ceilings.measure(here)
    assert found["read"] == []
    assert len(found["multiply_add"]) == len(kernels.backends()) * len(kernels.FAMILIES)


def test_everything_is_measured_once(monkeypatch):
    monkeypatch.setattr(ceilings, "WINDOWS", 2)
    monkeypatch.setattr(levels, "LEAST_BYTES", 4 << 20)
    monkeypatch.setattr(levels, "SET_BYTES", 1 << 20)
    here = machine.record()
    here |= {"caches": CACHES, "cpu": here["cpu"] | {"usable_cores": 2}}
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
    assert {row["array_bytes"] for row in found["read"] if row["level"] == "DRAM"} == {
        4 << 20,
        2 << 20,
    }
    assert all(row["gigabytes_per_second"] > 0 for row in found["read"])
    assert all(row["giga_per_second"] > 0 for row in found["multiply_add"])
