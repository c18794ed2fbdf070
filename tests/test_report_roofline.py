"""The roofline of made-up records on a made-up machine, whose bounds are known."""

import pytest
from msgspec.structs import replace
from test_report_tables import MACHINE as DESCRIBED
from test_report_tables import PROBLEM, STARTED

from halpbench.bench import work
from halpbench.bench.records import Record, Series
from halpbench.bench.store import Store
from halpbench.report import epochs, kernels, roofline, tables

CEILINGS = {
    "read": [
        {
            "level": level,
            "size_bytes": size,
            "array_bytes": 1,
            "backend": "avx2",
            "threads": threads,
            "gigabytes_per_second": speed,
        }
        for level, size, threads, speed in [
            ("L1", 1000, 1, 100.0),
            ("L2", 10_000, 1, 50.0),
            ("DRAM", None, 1, 10.0),
            ("L1", 1000, 2, 200.0),
        ]
    ],
    "multiply_add": [
        {"backend": "avx2", "dtype": dtype, "giga_per_second": speed}
        for dtype, speed in [("i8", 200.0), ("i8i16", 20.0), ("i16", 4.0), ("f32", 50.0)]
    ],
}
MACHINE = DESCRIBED | {"ceilings": CEILINGS}


def kernel(op, n, ns_by_dtype, **changes):
    """A record of ten calls in a sample; `ns_by_dtype`: time of a call."""
    series = tuple(
        Series(
            dtype,
            {"calls": (10 * ns,) * 3},
            {"calls": 10, "bytes": 1, "work": {"calls": work.kernel(op, dtype.split()[-1], n)}},
        )
        for dtype, ns in ns_by_dtype.items()
    )
    case = {"op": op, "n": n, "backend": "avx2", "classes": 1, "dtypes": list(ns_by_dtype)}
    case["beside"] = "dot" if op == "axpy" else ""
    return Record("kernel", case, "f", STARTED, series, **changes)


def steps(contender="HALP D8M8", samples=(900, 100, 100), n=100, data_bytes=10**6):
    """A record of epochs of ten steps on five samples; the first takes longer, as in life."""
    facts = {
        "step_bytes": n,
        "data_bytes": data_bytes,
        "gradient_row_bytes": n,
        "gradient_norms": [1.0] * (len(samples) + 1),
        "diverged": False,
        "work": {
            "inner": work.inner_step("D8M8", n, 1, data_bytes),
            "full_gradient": work.gradient_row(n, n, 1, 5),
        },
    }
    times = {name: tuple(samples) for name in ("inner", "full_gradient", "epoch")}
    problem = {**PROBLEM, "n_classes": 1, "step_size": 0.5}
    case = {"problem": problem, "data": "quantized", "backend": "avx2", "contenders": []}
    shape = {"n_samples": 5, "n_features": n, "epoch_length": 10}
    series = (Series(contender, times, facts),)
    return Record("epochs", case, "f", STARTED, series, shape)


def rows(*records):
    others = {**kernels.make(records)[0], **epochs.make(records)[0]}
    return roofline.make(records, MACHINE, others)[0]["roofline"]


def test_memory_binds_where_it_takes_longer():
    (row,) = rows(kernel("dot", 400, {"i8": 16}))
    # 800 bytes at 100 GB/s, 400 multiply-adds at 200 G/s.
    assert (row["level"], row["binds"]) == ("L1", "L1")
    assert (row["reading_ns"], row["arithmetic_ns"], row["bound_ns"]) == (8.0, 2.0, 8.0)
    assert row["share"] == 0.5
    assert row["multiply_adds_per_byte"] == 0.5
    assert row["gigabytes_per_second"] == 50.0
    assert row["giga_multiply_adds_per_second"] == 25.0


def test_arithmetic_binds_where_it_takes_longer():
    (row,) = rows(kernel("dot", 200, {"i16": 100}))
    assert (row["reading_ns"], row["arithmetic_ns"]) == (8.0, 50.0)
    assert (row["binds"], row["share"]) == ("ops", 0.5)


@pytest.mark.parametrize(
    ("n", "level", "bandwidth"), [(500, "L1", 100), (501, "L2", 50), (6000, "DRAM", 10)]
)
def test_operands_are_read_from_the_nearest_level_that_holds_them(n, level, bandwidth):
    (row,) = rows(kernel("dot", n, {"i8": 1000}))
    assert row["level"] == level
    assert row["reading_ns"] == pytest.approx(2 * n / bandwidth)


def test_a_step_is_bound_by_the_level_that_takes_longest():
    inner, gradient = rows(steps())
    # The row from memory: 100 bytes at 10 GB/s. Near: 100 + 2 x 100 + 200 bytes at 100 GB/s.
    assert (inner["level"], inner["bytes"], inner["bound_ns"]) == ("DRAM", 100, 10.0)
    assert inner["ns"] == 10.0  # of ten steps, without the first epoch
    assert inner["share"] == 1.0
    assert gradient["ns"] == 20.0
    assert (gradient["arithmetic_ns"], gradient["binds"]) == (20.0, "ops")
    assert gradient["share"] == 1.0


def test_what_comes_from_one_level_adds_up():
    inner, _ = rows(steps(data_bytes=1000))
    assert (inner["level"], inner["bytes"], inner["bound_ns"]) == ("L1", 600, 6.0)


def test_several_types_of_multiply_adds_take_turns():
    record = kernel("dot", 100, {"i8": 100})
    both = {"calls": {"reads": [[10, 10]], "multiply_adds": {"i16": 8, "f32": 100}}}
    series = replace(record.series[0], facts=record.series[0].facts | {"work": both})
    (row,) = rows(replace(record, series=(series,)))
    assert row["arithmetic_ns"] == 4.0
    assert row["dtypes"] == "i16+f32"


def test_the_other_op_beside_a_kernel_is_not_taken_for_it():
    assert [row["contender"] for row in rows(kernel("axpy", 10, {"i8": 5, "dot i8": 3}))] == ["i8"]


def test_reading_alone_and_what_has_no_epoch_are_left_out():
    assert roofline.make([kernel("read", 10, {"i8": 5})], MACHINE, {}) == ({}, [])
    assert roofline.make([steps(samples=())], MACHINE, {}) == ({}, [])


def test_without_ceilings_there_is_no_roofline():
    record = kernel("dot", 10, {"i8": 5})
    assert roofline.make([record], DESCRIBED, kernels.make([record])[0]) == ({}, [])
    others = [row for row in CEILINGS["multiply_add"] if row["dtype"] == "f32"]
    for some in ([], others):
        machine = {"ceilings": CEILINGS | {"multiply_add": some}}
        assert roofline.make([record], machine, kernels.make([record])[0]) == ({}, [])


def test_old_records_without_counts_are_left_out():
    old = Series("i8", {"calls": (10, 10)}, {"calls": 1, "bytes": 2})
    record = replace(kernel("dot", 10, {"i8": 5}), series=(old,))
    assert roofline.make([record], MACHINE, kernels.make([record])[0]) == ({}, [])


def test_tables():
    records = [kernel("dot", 400, {"f32": 32, "i8": 16}), steps()]
    others = {**kernels.make(records)[0], **epochs.make(records)[0]}
    calls, solvers = roofline.make(records, MACHINE, others)[1]
    assert calls.header == ("elements", "f32", "i8")
    assert calls.rows == [["dot, 400", "200% L2", "50% L1"]]
    assert solvers.rows == [
        ["made-up", "quantized", "HALP D8M8", "10.0", "100% DRAM", "20.0", "100% ops"]
    ]
    assert any("round" in note for note in solvers.notes)


def test_the_report_is_built_where_ceilings_were_measured(tmp_path):
    store = Store(tmp_path, "cpu")
    store.add(kernel("dot", 400, {"i8": 16}))
    assert "roofline" not in [report.name for report in tables.build(store)]
    store.add_machine("f", MACHINE)
    (report,) = [report for report in tables.build(store) if report.name == "roofline"]
    assert report.machine == MACHINE
    assert report.command == "halpbench bench --suite full"
    assert len(report.data["roofline"]) == 1
