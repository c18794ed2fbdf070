"""A machine record in words."""

import json

import pytest

from halpbench.bench import machine as bench_machine
from halpbench.bench import machine_shape
from halpbench.report import machine

CEILINGS = {
    "read": [
        {
            "level": level,
            "size_bytes": None,
            "backend": backend,
            "threads": threads,
            "gigabytes_per_second": speed,
        }
        for level, backend, threads, speed in [
            ("L1", "fast", 1, 300.0),
            ("DRAM", "fast", 1, 20.0),
            ("L1", "slow", 1, 30.0),
            ("DRAM", "slow", 1, 19.0),
            ("DRAM", "fast", 4, 41.0),
        ]
    ],
    "multiply_add": [
        {"backend": "fast", "dtype": "i8", "giga_per_second": 220.0},
        {"backend": "slow", "dtype": "i8", "giga_per_second": 4.0},
    ],
}


@pytest.fixture(scope="module")
def here():
    return bench_machine.record()


def test_every_group_has_lines_and_names_the_facts(here):
    groups = dict(machine.describe(here))
    assert list(groups) == ["CPU", "System", "Build", "Python"]
    text = " ".join(line for lines in groups.values() for line in lines.values())
    for fact in (here["cpu"]["model"], here["revision"], here["system"]["kernel"], here["python"]):
        assert fact in text
    for backend in here["build"]["backends"]:
        assert backend in groups["Build"]["usable"]


def test_a_record_has_what_is_expected_of_one(here):
    measured = here | {"ceilings": CEILINGS}
    assert machine_shape.fault(json.loads(json.dumps(measured))) == ""


def test_a_machine_of_which_little_is_known(tmp_path):
    record = bench_machine.record(tmp_path)
    assert machine_shape.fault(record) == ""
    groups = dict(machine.describe(record))
    assert groups["CPU"]["caches"] == "unknown"
    assert "turbo unknown" in groups["System"]["governor"]


def test_sizes_of_caches(here):
    caches = [{"level": 3, "size_bytes": 480 << 20, "shared_by": "0-1"}]
    groups = dict(machine.describe(here | {"caches": caches, "memory_bytes": 3 << 29}))
    assert groups["CPU"]["caches"] == "L3 480 MiB (CPUs 0-1)"
    assert groups["CPU"]["memory"].startswith("1.5 GiB, ")


def test_tables_of_ceilings(here):
    reads, peaks = machine.ceilings(here | {"ceilings": CEILINGS})
    assert reads.header == ("read GB/s", "fast", "slow", "4 threads")
    assert reads.rows == [["L1", "300", "30.0", ""], ["DRAM", "20.0", "19.0", "41.0"]]
    assert reads.notes == ["4 threads: with fast."]
    assert peaks.rows == [["i8", "220", "4.00"]]


def test_no_ceilings_no_tables(here):
    assert machine.ceilings(here) == []
