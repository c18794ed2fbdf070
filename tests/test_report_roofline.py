"""The roofline of made-up records on a made-up machine, whose bounds are known."""

import pytest
from builders import CEILINGS, MACHINE, MACHINE_WITH_CEILINGS, counted_kernel, counted_steps
from msgspec.structs import replace

from halpbench.bench.records import Series
from halpbench.bench.store import Store
from halpbench.report import epochs, kernels, roofline, tables


def rows(*records):
    others = {**kernels.make(records)[0], **epochs.make(records)[0]}
    return roofline.make(records, MACHINE_WITH_CEILINGS, others)[0]["roofline"]


def test_memory_binds_where_it_takes_longer():
    (row,) = rows(counted_kernel("dot", 400, {"i8": 16}))
    # 800 bytes at 100 GB/s, 400 multiply-adds at 200 G/s.
    assert (row["level"], row["binds"]) == ("L1", "L1")
    assert (row["reading_ns"], row["arithmetic_ns"], row["bound_ns"]) == (8.0, 2.0, 8.0)
    assert row["share"] == 0.5
    assert row["multiply_adds_per_byte"] == 0.5
    assert row["gigabytes_per_second"] == 50.0
    assert row["giga_multiply_adds_per_second"] == 25.0


def test_arithmetic_binds_where_it_takes_longer():
    (row,) = rows(counted_kernel("dot", 200, {"i16": 100}))
    assert (row["reading_ns"], row["arithmetic_ns"]) == (8.0, 50.0)
    assert (row["binds"], row["share"]) == ("ops", 0.5)


@pytest.mark.parametrize(
    ("n", "level", "bandwidth"), [(500, "L1", 100), (501, "L2", 50), (6000, "DRAM", 10)]
)
def test_operands_are_read_from_the_nearest_level_that_holds_them(n, level, bandwidth):
    (row,) = rows(counted_kernel("dot", n, {"i8": 1000}))
    assert row["level"] == level
    assert row["reading_ns"] == pytest.approx(2 * n / bandwidth)


def test_a_step_is_bound_by_the_level_that_takes_longest():
    inner, gradient = rows(counted_steps())
    # The row from memory: 100 bytes at 10 GB/s. Near: 100 + 2 x 100 + 200 bytes at 100 GB/s.
    assert (inner["level"], inner["bytes"], inner["bound_ns"]) == ("DRAM", 100, 10.0)
    assert inner["ns"] == 10.0  # of ten steps, without the first epoch
    assert inner["share"] == 1.0
    assert gradient["ns"] == 20.0
    assert (gradient["arithmetic_ns"], gradient["binds"]) == (20.0, "ops")
    assert gradient["share"] == 1.0


def test_what_comes_from_one_level_adds_up():
    inner, _ = rows(counted_steps(data_bytes=1000))
    assert (inner["level"], inner["bytes"], inner["bound_ns"]) == ("L1", 600, 6.0)


def test_several_types_of_multiply_adds_take_turns():
    record = counted_kernel("dot", 100, {"i8": 100})
    both = {"calls": {"reads": [[10, 10]], "multiply_adds": {"i16": 8, "f32": 100}}}
    series = replace(record.series[0], facts=record.series[0].facts | {"work": both})
    (row,) = rows(replace(record, series=(series,)))
    assert row["arithmetic_ns"] == 4.0
    assert row["dtypes"] == "i16+f32"


def test_the_other_op_beside_a_kernel_is_not_taken_for_it():
    assert [
        row["contender"] for row in rows(counted_kernel("axpy", 10, {"i8": 5, "dot i8": 3}))
    ] == ["i8"]


def test_reading_alone_and_what_has_no_epoch_are_left_out():
    assert roofline.make([counted_kernel("read", 10, {"i8": 5})], MACHINE_WITH_CEILINGS, {}) == (
        {},
        [],
    )
    assert roofline.make([counted_steps(samples=())], MACHINE_WITH_CEILINGS, {}) == ({}, [])


def test_without_ceilings_there_is_no_roofline():
    record = counted_kernel("dot", 10, {"i8": 5})
    assert roofline.make([record], MACHINE, kernels.make([record])[0]) == ({}, [])
    others = [row for row in CEILINGS["multiply_add"] if row["dtype"] == "f32"]
    for some in ([], others):
        machine = {"ceilings": CEILINGS | {"multiply_add": some}}
        assert roofline.make([record], machine, kernels.make([record])[0]) == ({}, [])


def test_old_records_without_counts_are_left_out():
    old = Series("i8", {"calls": (10, 10)}, {"calls": 1, "bytes": 2})
    record = replace(counted_kernel("dot", 10, {"i8": 5}), series=(old,))
    assert roofline.make([record], MACHINE_WITH_CEILINGS, kernels.make([record])[0]) == ({}, [])


def test_tables():
    records = [counted_kernel("dot", 400, {"f32": 32, "i8": 16}), counted_steps()]
    others = {**kernels.make(records)[0], **epochs.make(records)[0]}
    calls, solvers = roofline.make(records, MACHINE_WITH_CEILINGS, others)[1]
    assert calls.header == ("elements", "f32", "i8")
    assert calls.rows == [["dot, 400", "200% L2", "50% L1"]]
    assert solvers.rows == [
        ["made-up", "quantized", "HALP D8M8", "10.0", "100% DRAM", "20.0", "100% ops"]
    ]
    assert any("round" in note for note in solvers.notes)


def test_the_report_is_built_where_ceilings_were_measured(tmp_path):
    store = Store(tmp_path, "cpu")
    store.add(counted_kernel("dot", 400, {"i8": 16}))
    assert "roofline" not in [report.name for report in tables.build(store)]
    store.add_machine("f", MACHINE_WITH_CEILINGS)
    (report,) = [report for report in tables.build(store) if report.name == "roofline"]
    assert report.machine == MACHINE_WITH_CEILINGS
    assert report.command == "halpbench bench --suite full"
    assert len(report.data["roofline"]) == 1
