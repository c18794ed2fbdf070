"""The suites as data."""

import pytest

from halpbench.bench import operands, suites
from halpbench.bench.cases import CallCase, EpochsCase, KernelCase
from halpbench.bench.records import identity
from halpbench.bench.schema import full_case
from halpbench.report import placement

BACKENDS = ["avx512vnni", "avx2", "scalar"]
CACHES = [32 << 10, 1 << 20, 32 << 20]


def suite(name, **options):
    return suites.suite(name, backends=BACKENDS, cache_bytes=CACHES, **options)


def cases(name, **options):
    return [task.case for task in suite(name, **options)]


@pytest.mark.parametrize("name", suites.SUITES)
def test_no_case_stands_twice(name):
    found = [identity(case.kind, case, "") for case in cases(name)]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", suites.SUITES)
def test_each_table_has_cases_and_each_case_a_table(name):
    shown = [placement.tables(case.kind, full_case(case.kind, case)) for case in cases(name)]
    assert all(shown)
    assert {table for tables in shown for table in tables} == set(placement.TABLES)
    assert {task.plan.suite for task in suite(name)} == {name}


@pytest.mark.parametrize("name", suites.SUITES)
def test_every_table_of_epochs_has_both_baselines(name):
    for case in cases(name):
        if isinstance(case, EpochsCase):
            names = [contender.name for contender in case.contenders]
            assert {"SVRG D64fM64f", "SVRG D32fM32f", "HALP D8M8"} <= set(names)
            assert len(names) == len(set(names))


def test_full_covers_every_backend_and_all_cache_levels():
    dots = [c for c in cases("full") if isinstance(c, KernelCase) and c.op == "dot"]
    assert {case.backend for case in dots} == set(BACKENDS)
    # Two int8 vectors of the shortest fit the first cache; of the longest, no cache at all.
    assert min(case.n for case in dots) * 2 < CACHES[0]
    assert max(case.n for case in dots) * 2 > CACHES[-1]
    assert 100_000 in {case.n for case in dots}


@pytest.mark.parametrize(("name", "seconds"), [("full", 600), ("smoke", 60)])
def test_budgets_leave_time_for_preparation(name, seconds):
    assert sum(task.plan.budget_seconds for task in suite(name)) < seconds * 2 / 3


@pytest.mark.parametrize("name", suites.SUITES)
def test_epochs_run_on_the_best_backend(name):
    found = [case.backend for case in cases(name) if isinstance(case, EpochsCase)]
    assert BACKENDS[0] in found
    assert set(found) <= {BACKENDS[0], "avx2"}


def test_epochs_run_on_avx2_too():
    found = [case for case in cases("full") if isinstance(case, EpochsCase)]
    both = {(c.problem.name, c.data) for c in found if c.backend == "avx2"}
    assert len(both) == 6


def test_without_avx2_the_best_backend_is_alone():
    tasks = suites.suite("full", backends=["neon", "scalar"], cache_bytes=CACHES)
    found = [task.case for task in tasks]
    assert {c.backend for c in found if isinstance(c, EpochsCase)} == {"neon"}


@pytest.mark.parametrize("name", suites.SUITES)
def test_calls_name_the_libraries_that_have_such_a_dot(name):
    found = [c for c in cases(name, libraries=("numkong", "numpy 2")) if isinstance(c, CallCase)]
    assert {(c.dtype, c.libraries) for c in found} == {
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
    assert operands.kernel_bytes(op, dtype, 1, classes) == expected


def test_elements_of_a_call():
    assert operands.kernel_elements("dot", 100) == 100
    assert operands.kernel_elements("ger", 100, 10) == 1000
    assert operands.kernel_elements("accumulate", 100, 10) == 16_000


def test_repeats_fix_the_number_of_rounds():
    assert {(t.plan.at_least, t.plan.at_most) for t in suite("full", repeats=4)} == {(4, 4)}


def test_unknown_caches_are_no_obstacle():
    assert suites.suite("full", backends=["scalar"], cache_bytes=[])


def test_memory_of_the_large_problem():
    """Original and temporary in float64, and copies of 8, 4, 2 and 1 bytes an element."""
    big = max(operands.memory_bytes(c) for c in cases("full") if isinstance(c, EpochsCase))
    assert big == 10_000 * 10_000 * (16 + 8 + 4 + 2 + 1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tiny", {}, "got suite 'tiny'; expected one of full, smoke"),
        ("full", {"repeats": 0}, "got 0 repeats"),
    ],
)
def test_suite_refuses(name, options, message):
    with pytest.raises(ValueError, match=message):
        suite(name, **options)
