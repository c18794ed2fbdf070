"""Tables from made-up records, whose numbers are known."""

import cProfile
import csv
import io
import json
import math
import pstats

import pytest
from builders import MACHINE, call, epochs, epochs_series, kernel
from msgspec.structs import replace
from rich.console import Console

from halpbench.bench import stats
from halpbench.bench.records import Series
from halpbench.bench.store import Store
from halpbench.report import calls, cells, tables
from halpbench.report import epochs as epoch_tables


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path, "fast-cpu")
    store.add_machine("f", MACHINE)
    for record in (
        kernel("dot", 1000, {"f32": 400, "f64": 800, "i8": 100}),
        kernel("dot", 1000, {"f32": 4000, "i8": 4000}, backend="scalar"),
        kernel("axpy", 4096, {"f32": 400, "i8": 200, "dot i8": 100}),
        call(16, 50, 100),
        kernel("read", 10_000, {"i8": 1_000}),
        kernel("read", 100_000, {"i8": 20_000}),
        kernel("read", 1_000_000, {"i8": 500_000}),
        epochs(),
    ):
        store.add(record)
    return store


def report(store, name):
    return next(r for r in tables.build(store) if r.name == name)


def row(rows, **wanted):
    (found,) = [r for r in rows if wanted.items() <= r.items()]
    return found


def test_kernel_numbers(store):
    rows = report(store, "kernels").data["kernels"]
    i8 = row(rows, op="dot", backend="avx2", dtype="i8")
    assert i8["ns"] == i8["ns_low"] == i8["ns_high"] == 100
    assert i8["gigabytes_per_second"] == 20  # 2,000 bytes in 100 ns
    assert i8["ratio_to_f32"] == 4
    assert row(rows, op="dot", backend="avx2", dtype="f64")["ratio_to_f32"] == 0.5
    assert row(rows, backend="scalar", dtype="i8")["ratio_to_f32"] == 1


def test_epoch_numbers(store):
    """The first epoch warms up; steps and rows are counted; the speedup is of paired samples."""
    rows = report(store, "epochs").data["epochs"]
    i8 = row(rows, contender="HALP D8M8")
    assert i8["repetitions"] == 2
    assert i8["epoch_seconds"] == pytest.approx(1e-4)
    assert i8["inner_ns_per_step"] == 800
    assert i8["full_gradient_ns_per_row"] == 400
    assert i8["inner_gigabytes_per_second"] == pytest.approx(1.25)
    assert i8["inner_speedup_over_f32"] == 4
    assert i8["epoch_speedup_over_f64"] == 8
    assert i8["inner_bound_over_f32"] == 4
    # 100 steps of 1,000 bytes, and 50 rows of 2,000.
    assert i8["bytes_per_epoch"] == 200_000
    assert i8["epoch_bound_over_f64"] == 8
    assert (i8["first_gradient_norm"], i8["last_gradient_norm"]) == (10.0, 0.006)


def test_bandwidth_beside_the_speedup_is_that_of_as_much_memory(store):
    rows = report(store, "epochs").data["epochs"]
    # `bytes` of the made-up records is not the array's size, so rates follow from n: 50 KB of
    # int8 data compare with reading 100 KB in 20,000 ns, 400 KB of float64 with 1 MB in 500,000.
    i8 = row(rows, contender="HALP D8M8")
    assert i8["read_gigabytes_per_second"] == pytest.approx(5.0)
    assert i8["share_of_read"] == pytest.approx(1.25 / 5.0)
    f64 = row(rows, contender="SVRG D64fM64f")
    assert f64["read_gigabytes_per_second"] == pytest.approx(2.0)


def test_convergence_numbers(store):
    data = report(store, "convergence").data
    reached = row(data["reached"], contender="HALP D8M8", gradient_norm=1e-1)
    assert reached["epoch"] == 2
    # The first epoch's nine-fold time counts here.
    assert reached["seconds"] == pytest.approx(10e-4)
    trajectory = [r for r in data["trajectories"] if r["contender"] == "SVRG D64fM64f"]
    assert [r["epoch"] for r in trajectory] == [0, 1, 2, 3]
    assert [r["gradient_norm"] for r in trajectory] == [10.0, 0.5, 0.05, 0.004]
    assert trajectory[0]["seconds"] == 0


def test_times_of_a_single_run_are_marked(store):
    """One run says nothing of the scatter: no third digit, and a mark with its legend."""
    (table,) = (t for t in report(store, "convergence").tables if t.title.startswith("Time to"))
    lines = {name: times for name, *times in table.rows}
    assert lines["HALP D8M8"] == ["~900 us", "~1.0 ms", "~1.1 ms"]
    assert all(cell == "-" or cell.startswith("~") for times in lines.values() for cell in times)
    assert set(cells.LEGEND) <= set(table.all_notes)


def test_updates_are_compared_with_the_op_beside_them(store):
    rows = report(store, "kernels").data["kernels"]
    i8 = row(rows, op="axpy", dtype="i8")
    assert (i8["ratio_to_f32"], i8["ratio_to_beside"]) == (2, 0.5)
    assert {r["dtype"] for r in rows if r["op"] == "axpy"} == {"f32", "i8"}


def test_calls_are_compared_with_the_other_library(store):
    (line,) = report(store, "kernels").data["calls"]
    assert (line["ns"], line["library_ns"], line["ratio_to_library"]) == (50, 100, 2)


def test_a_library_that_is_not_installed_is_absent(store):
    store.add(call(16, 50, started="2024-05-01T00:00:00+00:00"))
    found = report(store, "kernels")
    text = tables.markdown(found)
    assert "| 16 | i8 | 50.0 | absent | halpbench alone |" in text
    assert "numkong: not installed; `pip install '.[peers]'` adds it." in text
    (line,) = found.data["calls"]
    assert (line["library"], "library_ns" in line) == ("numkong", False)
    summary = tables.markdown(report(store, "summary"))
    assert "numkong" not in summary


def test_who_wins_at_each_size(store):
    """NumPy's float32 dot is the fastest here; of two that are as fast, neither is."""
    times = {"halpbench": 40, "numkong 7": 60, "numpy 2": 20}
    case = {**call(16, 1).case, "dtype": "f32", "libraries": ["numkong 7", "numpy 2"]}
    store.add(replace(call(16, 1), case=case, series=kernel("dot", 16, times).series))
    case |= {"dtype": "f64"}
    store.add(
        replace(call(16, 1), case=case, series=kernel("dot", 16, times | {"numpy 2": 40}).series)
    )
    found = report(store, "kernels")
    text = tables.markdown(found)
    assert "| 16 | i8 | 50.0 | 100 | - | halpbench 2.00 |" in text
    assert "| 16 | f32 | 40.0 | 60.0 | 20.0 | numpy 2.00 |" in text
    assert "| 16 | f64 | 40.0 | 60.0 | 40.0 | halpbench = numpy |" in text
    line = row(found.data["fastest"], dtype="f32")
    assert (line["fastest"], line["second"], line["lead"]) == ("numpy 2", "halpbench", 2)
    assert "not installed" not in text


def test_a_call_without_dtype_is_of_int8(store):
    """As records of earlier versions are."""
    case = {"n": 100, "backend": "avx2", "peer": "", "suite": "full", "tables": ["kernels"]}
    old = call(100, 70).as_dict() | {"schema": 1, "case": case}
    for name in ("id", "plan", "wrong"):
        del old[name]
    with open(store.raw / "call.jsonl", "w") as file:
        file.write(json.dumps(old) + "\n")
    assert "| 100 | i8 | 70.0 |" in tables.markdown(report(store, "kernels"))


@pytest.mark.parametrize(
    ("norms", "expected"),
    [
        ([10.0, 0.5, 0.05, 0.005], 4.0),
        # Half the decades an epoch: as many times slower.
        ([10.0, 1.0, 0.1, 0.01], None),
        ([10.0, 10.0, 10.0], None),
        ([10.0, 5.0, 0.0], 4.0 * 3 / 2),
    ],
)
def test_speedup_to_the_same_norm(store, norms, expected):
    """The epoch's speedup is 4; how many epochs both need for the same norm corrects it."""
    series = (
        epochs_series("SVRG D32fM32f", 400_000, 4, [10.0, 0.5, 0.05, 0.005]),
        epochs_series("HALP D8M8", 100_000, 1, norms),
    )
    store.add(epochs(series, started="2024-02-01T00:00:00+00:00"))
    found = row(report(store, "epochs").data["epochs"], contender="HALP D8M8")
    if norms[-1] == 0.01:
        # float32 needs 2 + log10(0.05 / 0.01) epochs for what takes this one 3.
        expected = 4 * (2 + math.log10(5)) / 3
    assert found["same_norm_speedup_over_f32"] == (expected and pytest.approx(expected))


@pytest.mark.parametrize(
    ("norms", "target", "expected"),
    [
        ([10, 1, 0.1], 1, 1),
        ([10, 1, 0.1], 10**-0.5, 1.5),
        ([10, 20, 0.2], 2, 1.5),
        ([10, 1, 5, 0.1], 1, 1),
        ([10, 1], 0.5, None),
        ([10], 10, 0),
    ],
)
def test_epochs_to_a_gradient_norm(norms, target, expected):
    assert epoch_tables.epochs_to(norms, target) == (expected and pytest.approx(expected))


def test_a_contender_that_diverged(store):
    """At once, without a sample; and after two epochs, whose times count."""
    diverged = epochs_series("HALP D8M8", 100_000, 1, [10.0])
    later = epochs_series("HALP D8M16", 200_000, 1, [10.0, 5.0, 4.0])
    for series in (diverged, later):
        series.facts["diverged"] = True
    store.add(epochs((*epochs().series[:2], later, diverged), started="2024-02-01T00:00:00+00:00"))
    found = report(store, "epochs")
    text = tables.markdown(found)
    assert "| HALP D8M8 | diverged |  |  |  |  |  |" in text
    assert "| HALP D8M8 |  |  |  |  |  | diverged | - |" in text
    assert row(found.data["epochs"], contender="HALP D8M16")["epoch_speedup_over_f32"] == 2
    text = tables.markdown(report(store, "convergence"))
    assert "| HALP D8M8 | 1.0e+01 | diverged | diverged |" in text
    assert "| HALP D8M16 | 1.0e+01 | 5.0e+00 | 4.0e+00 |" in text


def test_what_is_not_reached_has_no_time(store):
    series = (
        epochs_series("SVRG D64fM64f", 800_000, 8, [10.0, 0.5, 0.04]),
        epochs_series("HALP D8M8", 100_000, 1, [10.0, 0.9, 0.2]),
    )
    store.add(epochs(series, started="2024-02-01T00:00:00+00:00"))
    found = report(store, "convergence")
    line = row(found.data["reached"], contender="HALP D8M8", gradient_norm=0.1)
    assert (line["epoch"], line["seconds"]) == (None, None)
    assert "| HALP D8M8 | ~900 us | - |" in tables.markdown(found)


def test_targets_are_powers_of_ten_on_the_way(store):
    reached = report(store, "convergence").data["reached"]
    targets = dict.fromkeys(r["gradient_norm"] for r in reached)
    assert list(targets) == pytest.approx([1, 0.1, 0.01])


def test_summary(store):
    found = report(store, "summary")
    text = tables.markdown(found)
    assert "| made-up | avx2 | HALP D8M8 | 4.00 | 4.00 | 8.00 | 3.89 |" in text
    assert "| int8 axpy over int8 dot, elements a second, 4,096 elements | 0.50 |" in text
    assert "| int8 dot over numkong 7, Python call, 16 elements | 2.00 |" in text


def test_another_backend_has_its_own_epochs(store):
    case = {**epochs().case, "backend": "sse41"}
    store.add(replace(epochs(), case=case, started="2024-03-01T00:00:00+00:00"))
    found = report(store, "epochs")
    assert {r["backend"] for r in found.data["epochs"]} == {"avx2", "sse41"}
    shown = [table.title for table in found.tables if table.brief]
    assert len(found.tables) == 2 * len(shown)
    assert all("avx2" in title for title in shown)


def test_markdown_says_where_the_numbers_come_from(store):
    text = tables.markdown(report(store, "epochs"))
    for part in (
        "`halpbench bench --suite full --tables epochs`",
        "`halpbench report`",
        "Fast CPU (zen9), 2 cores, caches L1 32 KiB, 8 GiB",
        "gcc 99",
        "revision abc123",
        "2 repetitions",
        "Data: a generator",
        "made-up (50 x 1,000, 10 classes), quantized data, avx2",
        "| HALP D8M8 | 0.10 | 800 | 400 | 50 KB | 1.25 | 25% |",
        "l2 0.1; step size 0.01; 100 inner steps an epoch; mu 3 (D8M8)",
        "| HALP D8M8 | 4.00 | 4.00 | 4.00 | 4.00 | 8.00 | 6.0e-03 | 3.89 |",
    ):
        assert part in text, part


def test_markdown_rows_have_as_many_cells_as_their_header(store):
    for found in tables.build(store):
        for table in found.tables:
            assert {len(cells) for cells in table.rows} == {len(table.header)}
            assert "|" not in "".join([*table.header, *(c for cells in table.rows for c in cells)])


def test_every_table_fits_the_console(store):
    """Also with intervals, which are wider than single numbers."""
    series = tuple(
        replace(s, samples_ns={k: (9, v[1], v[2] * factor) for k, v in s.samples_ns.items()})
        for s, factor in zip(epochs().series, (1, 3, 5), strict=True)
    )
    store.add(epochs(series, started="2024-02-01T00:00:00+00:00"))
    console = Console(width=tables.CONSOLE_WIDTH, file=io.StringIO(), force_terminal=False)
    tables.show(tables.build(store), console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= tables.CONSOLE_WIDTH
    assert "…" not in text, "a cell was cut short"
    assert "~3.2 (2.4-4.0)" in text
    assert "dot, avx2" in text
    assert "dot, scalar" not in text, "the console shows the best backend alone"


@pytest.mark.parametrize("width", [100, 80, 40])
def test_no_console_is_too_narrow_for_a_whole_number(store, width):
    """Neither a cell cut short nor the end of a number on a line of its own."""
    norms = [10.0, *(1.234 * 10.0**-k for k in range(40))]
    names = [f"{name}, batch 8" for name in ("SVRG D64fM64f", "SVRG D32fM32f", "HALP D8M8")]
    series = [epochs_series(name, 400_000, 4, norms) for name in names]
    store.add(epochs(tuple(series), started="2024-02-01T00:00:00+00:00"))
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    reports = tables.build(store)
    tables.show(reports, console)
    text = console.file.getvalue()
    assert "…" not in text
    shown = [table for report in reports for table in report.tables if table.brief]
    words = {
        word
        for table in shown
        for row in [table.header, *table.rows]
        for cell in row
        for word in cell.split()
    }
    assert "1.2e-39" in words
    assert words <= set(text.split())
    if width == 100:
        assert max(map(len, text.splitlines())) <= width


def test_constants_that_all_share_are_said_once():
    def constants(*contenders):
        return cells.constants_of(
            replace(epochs(), case={**epochs().case, "contenders": contenders})
        )

    def halp(precision, mu, batch_size=1):
        of = {"algorithm": "halp", "precision": precision, "mu": mu, "batch_size": batch_size}
        return {**of, "delta": None}

    known = "l2 0.1; step size 0.01; 100 inner steps an epoch"
    same = [halp(p, "adaptive", b) for b in (1, 8) for p in ("D8M16", "D8M8")]
    assert constants(*same) == f"{known}; mu adaptive"
    batches = [halp("D8M8", 3.0, batch_size) for batch_size in (1, 8)]
    assert constants(*batches) == f"{known}; mu 3 (D8M8)"
    differing = [halp("D8M16", 3.0), halp("D8M8", 12.0), halp("D8M8", 12.0, 8)]
    assert constants(*differing) == f"{known}; mu 3 (D8M16), 12 (D8M8)"
    assert constants(halp("D8M8", None)) == known


def test_files(store):
    written = tables.write(store, tables.build(store))
    assert sorted(path.name for path in written) == [
        "bandwidth.csv",
        "calls.csv",
        "convergence.json",
        "convergence.md",
        "epochs.csv",
        "epochs.json",
        "epochs.md",
        "fastest.csv",
        "headline.csv",
        "kernels.csv",
        "kernels.json",
        "kernels.md",
        "reached.csv",
        "summary.csv",
        "summary.json",
        "summary.md",
        "trajectories.csv",
    ]
    content = json.loads((store.tables / "epochs.json").read_text())
    assert content["schema"] == 2
    assert content["machine"] == MACHINE
    assert row(content["data"]["epochs"], contender="HALP D8M8")["inner_speedup_over_f32"] == 4
    with open(store.tables / "kernels.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert row(lines, op="dot", backend="avx2", dtype="i8")["ratio_to_f32"] == "4.0"


def test_making_tables_again_gives_the_same_files(store):
    first = {path: path.read_bytes() for path in tables.write(store, tables.build(store))}
    raw = {path: path.read_bytes() for path in store.raw.iterdir()}
    assert {p: p.read_bytes() for p in tables.write(store, tables.build(store))} == first
    assert {path: path.read_bytes() for path in store.raw.iterdir()} == raw


def test_the_newest_record_of_a_case_counts(store):
    store.add(kernel("dot", 1000, {"f32": 400, "i8": 50}, started="2024-03-01T00:00:00+00:00"))
    rows = report(store, "kernels").data["kernels"]
    assert row(rows, op="dot", backend="avx2", dtype="i8")["ns"] == 50
    assert row(rows, backend="scalar", dtype="i8")["ns"] == 4000, "others stay"


def test_builds_are_not_mixed(store):
    """Records of another build make a report of their own; the suite is of no account."""
    newer = kernel("dot", 7, {"f32": 1, "i8": 1}, fingerprint="g")
    store.add(newer)
    kernels = report(store, "kernels")
    assert {r["n"] for r in kernels.data["kernels"]} == {7}
    assert kernels.machine == {}
    assert "Machine: unknown" in tables.markdown(kernels)
    assert report(store, "epochs").machine == MACHINE
    smoke = dict(newer.case) | {"n": 8}
    store.add(replace(newer, case=smoke, plan={"suite": "smoke"}, id="another"))
    assert {r["n"] for r in report(store, "kernels").data["kernels"]} == {7, 8}
    assert "--suite smoke" in report(store, "kernels").command


def test_skipped_cases_are_named_with_their_reason(store):
    store.add(epochs(series=None, started="2024-02-01T00:00:00+00:00"))
    skipped = replace(
        epochs(), series=(), facts={}, skipped="needs 9 GB", started="2025-01-01T00:00:00+00:00"
    )
    store.add(skipped)
    found = report(store, "epochs")
    assert found.notes == ["made-up, quantized data, avx2: skipped, needs 9 GB"]
    assert "needs 9 GB" in tables.markdown(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "foreign"}, r"Invalid value 'foreign' - at `\$.kind`"),
        ({"case": {"data": "exact"}}, r"missing required field `problem` - at `\$.case`"),
        ({"facts": {}}, "facts lack epoch_length"),
        ({"series": ()}, "got no series of a case that was measured"),
        ({"series": (Series("x", {}, {}),)}, r"field `inner` - at `\$.series\[0\].samples_ns`"),
    ],
)
def test_records_that_lack_fields_are_named_and_left_out(store, change, message):
    store.add(replace(epochs(), started="2030-01-01T00:00:00+00:00", **change))
    with pytest.warns(UserWarning, match=message):
        found = tables.build(store)
    assert [r.name for r in found] == ["kernels", "epochs", "convergence", "summary"]


def test_no_records_make_no_reports(tmp_path):
    assert tables.build(Store(tmp_path, "none")) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12_345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.01, "0.01")],
)
def test_numbers(value, expected):
    assert cells.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (4.56e-5, "45.6 us"), (3e-8, "30.0 ns"), (0, "0.00 ns")],
)
def test_seconds(value, expected):
    assert cells.seconds(value) == expected


# ---- Scatter -------------------------------------------------------------------------------------


def columns(value, low, high, count=stats.FEW):
    return {**cells.columns("x", stats.Estimate(value, low, high, count)), "repetitions": count}


@pytest.mark.parametrize(
    ("row", "plain", "interval", "time"),
    [
        (columns(1.234, 1.2, 1.3), "1.23", "1.23 [1.20-1.30]", "1.23 ms"),
        # The ends are more than a quarter apart: two digits.
        (columns(1.301, 1.1, 1.5), "~1.3", "~1.3 [1.1-1.5]", "~1.3 ms"),
        # More than a factor of two: a speedup of 126 on a busy machine is none.
        (columns(126.0, 24.0, 310.0, 31), "~?", "~24-310", "~?"),
        (columns(900.0, 700.0, 2100.0), "~?", "~700-2,100", "~?"),
        # Fewer than six samples have a range and no interval.
        (columns(3.2, 2.9, 3.4, 5), "~3.2", "~3.2 (2.9-3.4)", "~3.2 ms"),
        (columns(3.21, 3.2, 3.22, 2), "~3.2", "~3.2 (3.2-3.2)", "~3.2 ms"),
        (columns(5.0, 5.0, 5.0, 1), "~5.0", "~5.0", "~5.0 ms"),
        # A contender against itself.
        (columns(1.0, 1.0, 1.0, 2), "1.00", "1.00", "1.00 ms"),
        (columns(123_456.0, 110_000.0, 150_000.0), "~120,000", None, "~120 s"),
        (columns(1.0, 0.0, 1.5), "~?", "~0-1.5", "~?"),
    ],
)
def test_a_cell_says_how_certain_it_is(row, plain, interval, time):
    assert cells.plain(row, "x") == plain
    assert interval is None or cells.interval(row, "x") == interval
    assert time is None or cells.time(row, "x", 1e-3) == time


def test_a_cell_has_its_value():
    row = columns(126.0, 24.0, 310.0)
    assert cells.plain(row, "x").value == cells.interval(row, "x").value == 126.0
    assert cells.time(row, "x", 1e-3).value == pytest.approx(0.126)
    assert (cells.number(12_345.6).value, cells.size(50_000).value) == (12_345.6, 50_000)
    assert cells.share(0.25, cells.estimate(columns(9, 9, 9), "x"), " L1") == "25% L1"
    assert cells.share(0.25, cells.estimate(columns(9, 8, 15), "x"), " L1") == "~25% L1"
    assert cells.share(0.25, cells.estimate(columns(9, 4, 15), "x"), " L1") == "~?"
    assert cells.norm(None).value is None
    assert cells.plain(None, "x").value is None


def test_the_mark_is_explained_under_the_tables_that_have_it(store):
    """Half of the samples are disturbed: the ratio of the smoke run is not told as a fact."""
    f32, i8 = kernel("dot", 50, {"f32": 400, "i8": 100}).series
    disturbed = replace(i8, samples_ns={"calls": (10, 1000, 10, 1000, 10, 1000, 10)})
    calm = replace(f32, samples_ns={"calls": (4000,) * 7})
    store.add(replace(kernel("dot", 50, {"f32": 400, "i8": 100}), series=(calm, disturbed)))
    shown = {table.title: table for table in report(store, "kernels").tables}
    text = "\n".join(tables.markdown_table(shown["dot, avx2"]))
    assert "| ~4.0-400 |" in text
    assert "400 [" not in text
    assert "~?, ~a-b: they scatter so much that nothing, or this interval alone" in text
    assert not any("scatter" in note for note in shown["axpy, avx2"].notes)


def test_what_was_not_measured_stands_under_its_table(store):
    for n, why in ((2000, {"skipped": "no memory"}), (3000, {"wrong": "got 1, expected 2"})):
        store.add(replace(kernel("dot", n, {"i8": 1}), series=(), **why))
    store.add(replace(call(99, 1), series=(), wrong="got 3, expected 4"))
    found = report(store, "kernels")
    notes = {table.title: table.notes for table in found.tables}
    assert notes["dot, avx2"][-2:] == [
        "dot, 2,000, avx2: skipped, no memory",
        "dot, 3,000, avx2: WRONG, got 1, expected 2",
    ]
    assert "call of dot i8, 99, avx2: WRONG, got 3, expected 4" in notes[calls.TITLE]
    assert found.notes == []
    assert not any("memory" in note for note in notes["axpy, avx2"])


def test_a_kernel_that_became_wrong_has_no_older_time(store):
    store.add(replace(kernel("axpy", 4096, {"i8": 1}), series=(), wrong="got 1, expected 2"))
    assert not [r for r in report(store, "kernels").data["kernels"] if r["op"] == "axpy"]


def test_nothing_is_resampled_twice(store):
    """The overviews are made of the rows of the other tables, without samples of their own."""
    profile = cProfile.Profile()
    profile.runcall(tables.build, store)
    resampled = sum(
        count
        for (_, _, name), (count, *_) in pstats.Stats(profile).stats.items()
        if name == "_bootstrap_median"
    )
    times, ratios = 0, 0
    for r in report(store, "kernels").data["kernels"] + report(store, "kernels").data["bandwidth"]:
        times += 1
        ratios += ("ratio_to_f32" in r) + ("ratio_to_beside" in r)
    for _ in report(store, "kernels").data["calls"]:
        times, ratios = times + 2, ratios + 2  # both libraries; ours over it, and the lead
    for _ in report(store, "epochs").data["epochs"]:
        times, ratios = times + 3, ratios + 4  # inner, gradient, epoch; two parts over two others
    assert resampled == times + ratios


def test_the_clock_does_not_decide_what_is_newest(store):
    store.add(kernel("dot", 1000, {"f32": 1, "i8": 1}, started="1999-01-01T00:00:00+00:00"))
    rows = report(store, "kernels").data["kernels"]
    assert row(rows, op="dot", backend="avx2", dtype="i8")["ns"] == 1
    store.add(kernel("dot", 7, {"i8": 1}, fingerprint="g", started="1998-01-01T00:00:00+00:00"))
    assert {r["n"] for r in report(store, "kernels").data["kernels"]} == {7}
