"""The suites as data."""

from dataclasses import asdict

import pytest

from halpbench.bench import cases
from halpbench.bench.cases import CallCase, EpochsCase, KernelCase
from halpbench.bench.records import identity

BACKENDS = ["avx512vnni", "avx2", "scalar"]
CACHES = [32 << 10, 1 << 20, 32 << 20]


def suite(name, **options):
    return cases.suite(name, backends=BACKENDS, cache_bytes=CACHES, **options)


@pytest.mark.parametrize("name", cases.SUITES)
def test_no_case_stands_twice(name):
    found = [identity(case.kind, asdict(case), "") for case in suite(name)]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", cases.SUITES)
@pytest.mark.parametrize("table", cases.TABLES)
def test_each_table_gets_its_own_cases_only(name, table):
    found = suite(name, tables=[table])
    assert found
    assert all(table in case.tables and case.suite == name for case in found)


@pytest.mark.parametrize("name", cases.SUITES)
def test_every_table_of_epochs_has_both_baselines(name):
    for case in suite(name):
        if isinstance(case, EpochsCase):
            names = [contender.name for contender in case.contenders]
            assert {"SVRG D64fM64f", "SVRG D32fM32f", "HALP D8M8"} <= set(names)
            assert len(names) == len(set(names))


def test_full_covers_every_backend_and_all_cache_levels():
    dots = [c for c in suite("full") if isinstance(c, KernelCase) and c.op == "dot"]
    assert {case.backend for case in dots} == set(BACKENDS)
    # Two int8 vectors of the shortest fit the first cache; of the longest, no cache at all.
    assert min(case.n for case in dots) * 2 < CACHES[0]
    assert max(case.n for case in dots) * 2 > CACHES[-1]
    assert 100_000 in {case.n for case in dots}


@pytest.mark.parametrize(("name", "seconds"), [("full", 600), ("smoke", 60)])
def test_budgets_leave_time_for_preparation(name, seconds):
    assert sum(case.budget_seconds for case in suite(name)) < seconds * 2 / 3


@pytest.mark.parametrize("name", cases.SUITES)
def test_epochs_run_on_the_best_backend(name):
    found = [case.backend for case in suite(name) if isinstance(case, EpochsCase)]
    assert BACKENDS[0] in found
    assert set(found) <= {BACKENDS[0], "avx2"}


def test_epochs_run_on_avx2_too_and_converge_once():
    found = [case for case in suite("full") if isinstance(case, EpochsCase)]
    both = {(c.problem.name, c.data) for c in found if c.backend == "avx2"}
    assert len(both) == 6
    assert {c.backend for c in found if "convergence" in c.tables} == {BACKENDS[0]}


def test_without_avx2_the_best_backend_is_alone():
    found = cases.suite("full", backends=["neon", "scalar"], cache_bytes=CACHES)
    assert {c.backend for c in found if isinstance(c, EpochsCase)} == {"neon"}


@pytest.mark.parametrize("name", cases.SUITES)
def test_calls_name_the_peers_that_have_such_a_dot(name):
    found = [c for c in suite(name, peers=("numkong", "numpy 2")) if isinstance(c, CallCase)]
    assert {(c.dtype, c.peers) for c in found} == {
        ("i8", ("numkong",)),
        ("f32", ("numkong", "numpy 2")),
        ("f64", ("numkong", "numpy 2")),
    }
    assert {(16, "i8"), (100_000, "f32")} <= {(c.n, c.dtype) for c in found}


@pytest.mark.parametrize(
    ("op", "dtype", "classes", "expected"),
    [
        ("dot", "i8", 1, 2),
        ("dot", "i8i16", 1, 3),
        ("gemv", "f32", 10, 44),
        ("axpy", "f64", 1, 32),
        ("axpy", "i8", 1, 5),
        ("ger", "i8i16", 10, 61),
        ("accumulate", "i8", 10, 16 + 160),
        ("quantize", "i8", 1, 5),
        ("dequantize", "i16", 1, 6),
        ("read", "i8", 1, 1),
    ],
)
def test_bytes_of_an_element(op, dtype, classes, expected):
    assert cases.kernel_bytes(op, dtype, 1, classes) == expected


def test_elements_of_a_call():
    assert cases.kernel_elements("dot", 100) == 100
    assert cases.kernel_elements("ger", 100, 10) == 1000
    assert cases.kernel_elements("accumulate", 100, 10) == 16_000


def test_repeats_fix_the_number_of_rounds():
    assert {(c.at_least, c.at_most) for c in suite("full", repeats=4)} == {(4, 4)}


def test_unknown_caches_are_no_obstacle():
    assert cases.suite("full", backends=["scalar"], cache_bytes=[])


def test_memory_of_the_large_problem():
    """Original and temporary in float64, and copies of 8, 4, 2, 1 and 1 bytes an element."""
    big = max(c.bytes_needed for c in suite("full") if isinstance(c, EpochsCase))
    assert big == 10_000 * 10_000 * (16 + 8 + 4 + 2 + 1 + 1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tiny", {}, "got suite 'tiny'; expected one of full, smoke"),
        ("full", {"tables": ["speed"]}, r"got tables \['speed'\]"),
        ("full", {"tables": []}, r"got tables \[\]"),
        ("full", {"repeats": 0}, "got 0 repeats"),
    ],
)
def test_suite_refuses(name, options, message):
    with pytest.raises(ValueError, match=message):
        suite(name, **options)
