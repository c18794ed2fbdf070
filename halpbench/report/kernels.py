"""Table 1: kernels on every backend, calls from Python, and the speed of memory."""

from collections.abc import Sequence

from halpbench.bench import stats
from halpbench.bench.records import Record
from halpbench.report import calls, cells
from halpbench.report.cells import Content, Row, Table

LEGEND = (
    "i8, i16, f32, f64: data and model; i8i16: int8 data, int16 model. x: times as fast as float32."
)


READING = "Reading memory"


def make(records: Sequence[Record]) -> Content:
    """Tabulate time, throughput and ratio to float32 by op, backend, length and dtype."""
    measured = [record for record in records if record.kind == "kernel"]
    reads = [row for record in measured if cells.read_only(record) for row in _rows(record)]
    rows = [row for record in measured if not cells.read_only(record) for row in _rows(record)]
    tables = []
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    for backend in backends:
        for op in dict.fromkeys(row["op"] for row in rows):
            shown = [row for row in rows if (row["op"], row["backend"]) == (op, backend)]
            if shown:
                tables.append(_kernel_table(op, backend, shown, brief=backend == backends[0]))
    call_data, call_tables = calls.make(records)
    tables += call_tables
    if reads:
        lines = [[cells.size(row["n"]), cells.plain(row, "gigabytes_per_second")] for row in reads]
        note = f"One thread, backend {reads[0]['backend']}."
        tables.append(Table(READING, ("bytes", "GB/s"), lines, [note]))
    return {"kernels": rows, **call_data, "bandwidth": reads}, tables


def _rows(record: Record) -> list[Row]:
    case = record.case
    times = {series.contender: cells.per_call(series) for series in record.series}
    beside = f"{case['beside']} i8"
    rows: list[Row] = []
    for series in record.series:
        if series.contender == beside:
            continue
        estimate = stats.median(times[series.contender])
        row: Row = {
            "op": case["op"],
            "backend": case["backend"],
            "n": case["n"],
            "classes": case["classes"],
            "dtype": series.contender,
            **cells.columns("ns", estimate),
            **_throughput(series.facts["bytes"], estimate),
            "repetitions": estimate.count,
        }
        if "f32" in times:
            ratio = stats.ratio(times["f32"], times[series.contender])
            row |= cells.columns("ratio_to_f32", ratio)
        if series.contender == "i8" and beside in times:
            row["beside"] = case["beside"]
            row |= cells.columns("ratio_to_beside", stats.ratio(times[beside], times["i8"]))
        rows.append(row)
    return rows


def _throughput(count: float, ns: stats.Estimate) -> Row:
    """Return GB/s from the bytes and the nanoseconds of a call."""
    name = "gigabytes_per_second"
    return {
        name: count / ns.value,
        f"{name}_low": count / ns.high,
        f"{name}_high": count / ns.low if ns.low > 0 else None,
    }


def _kernel_table(op: str, backend: str, rows: Sequence[Row], brief: bool) -> Table:
    others = [dtype for dtype in ("f64", "i16", "i8i16", "i8") if cells.find(rows, dtype=dtype)]
    beside = next((row["beside"] for row in rows if "beside" in row), None)
    header = ["elements", "f32", "f32 GB/s", "i8", "i8 GB/s", *(f"{d} x" for d in others)]
    header += [f"i8 / {beside}"] if beside else []
    shown = []
    for n, classes in sorted({(row["n"], row["classes"]) for row in rows}):
        line = [cells.Cell(f"{n:,}" + (f" x {classes}" if classes > 1 else ""), n)]
        by_dtype = {d: cells.find(rows, n=n, classes=classes, dtype=d) for d in ("f32", *others)}
        for dtype in ("f32", "i8"):
            row = by_dtype.get(dtype)
            line += [cells.time(row, "ns", 1e-9), cells.plain(row, "gigabytes_per_second")]
        for dtype in others:
            # The interval of the ratio that matters most; the others are in the CSV file.
            write = cells.interval if dtype == "i8" else cells.plain
            line.append(write(by_dtype[dtype], "ratio_to_f32"))
        if beside:
            line.append(cells.plain(by_dtype.get("i8"), "ratio_to_beside"))
        shown.append(line)
    notes = [LEGEND]
    if beside:
        notes.append(f"i8 / {beside}: elements a second, against the int8 {beside} of that length.")
    notes.append(f"Backend {backend}, {cells.span([r['repetitions'] for r in rows])} repetitions.")
    return Table(f"{op}, {backend}", tuple(header), shown, notes, brief)
