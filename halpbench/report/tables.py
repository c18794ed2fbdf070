"""Tables from raw records: console, Markdown, CSV and JSON."""

import csv
import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from halpbench.bench import stats
from halpbench.bench.records import SCHEMA, Record, Series, Store, finite, write_atomic

CONSOLE_WIDTH = 100

F32, F64 = "SVRG D32fM32f", "SVRG D64fM64f"

# The first epoch of a contender warms caches and page tables; it counts for convergence only.
WARM_UP_EPOCHS = 1

# Gradient norms of table 3, and the epochs at which it shows them.
TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
SHOWN_EPOCHS = (0, 1, 2, 5, 10, 20, 30, 40)

# A contender that is this much behind the float64 one after the same epochs does not earn its
# speedup; the table marks it.
BEHIND = 10.0

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Text as shown: a header, rows of cells, and notes below. `brief`: shown on the console."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    brief: bool = True


@dataclass(frozen=True)
class Report:
    """One of the three results: numbers for programs, tables for readers.

    Attributes
    ----------
    name : str
        File stem: "kernels", "epochs" or "convergence".
    data : mapping of str to list of rows
        Numbers with units in their names; each list becomes a CSV file.
    tables : list of Table
    machine : mapping
        The machine record of all its measurements.
    command : str
        What measures the same again.
    notes : list of str
        What was skipped or left out.
    """

    name: str
    data: Mapping[str, list[Row]]
    tables: Sequence[Table]
    machine: Mapping[str, Any]
    command: str
    notes: Sequence[str] = field(default_factory=list)


def build(store: Store) -> list[Report]:
    """Make the reports for which there are records.

    Each is of one machine, build and suite: those of its newest record.
    """
    machines = store.machines()
    records = [record for record in store.records() if _well_formed(record)]
    reports = []
    for name, make in _MAKERS.items():
        mine = [record for record in records if name in record.case["tables"]]
        if not mine:
            continue
        newest = max(mine, key=lambda record: record.started)
        alike = [record for record in mine if _origin(record) == _origin(newest)]
        chosen = _latest(alike)
        data, tables = make([record for record in chosen if record.skipped is None])
        notes = [
            f"{_describe(record)}: skipped, {record.skipped}"
            for record in chosen
            if record.skipped is not None
        ]
        fingerprint, suite = _origin(newest)
        command = f"halpbench bench --suite {suite} --tables {name}"
        reports.append(Report(name, data, tables, machines.get(fingerprint, {}), command, notes))
    return reports


def write(store: Store, reports: Sequence[Report]) -> list[Path]:
    """Write each report as Markdown, JSON and CSV below ``store.tables``; return the paths.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    files = {}
    for report in reports:
        files[f"{report.name}.md"] = markdown(report)
        files[f"{report.name}.json"] = json.dumps(as_json(report), indent=1) + "\n"
        for name, rows in report.data.items():
            files[f"{name}.csv"] = as_csv(rows)
    for name, text in files.items():
        write_atomic(store.tables / name, text)
    return [store.tables / name for name in files]


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON data."""
    content: dict[str, Any] = finite(
        {
            "schema": SCHEMA,
            "table": report.name,
            "command": report.command,
            "machine": report.machine,
            "data": report.data,
            "notes": list(report.notes),
        }
    )
    return content


def as_csv(rows: Sequence[Row]) -> str:
    """Write rows as CSV with a header; columns in the order of their first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown(report: Report) -> str:
    """Write a report as Markdown, ready to paste."""
    lines = [f"# {report.name.capitalize()}", "", *describe_machine(report), ""]
    for table in report.tables:
        lines += [f"## {table.title}", ""]
        # The first column names the row; numbers are read from the right.
        lines += [_line(table.header), _line([":--"] + ["--:"] * (len(table.header) - 1))]
        lines += [_line(row) for row in table.rows]
        lines += ["", *(f"{note}  " for note in table.notes), ""]
    lines += [f"- {note}" for note in report.notes]
    return "\n".join(lines).rstrip() + "\n"


def show(reports: Sequence[Report], console: Console) -> None:
    """Print the brief tables of the reports."""
    for report in reports:
        for table in report.tables:
            if not table.brief:
                continue
            view = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
            for index, name in enumerate(table.header):
                view.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
            for row in table.rows:
                # Text, because rich would take an interval in brackets for markup.
                view.add_row(*map(Text, row))
            console.print(Text(table.title, style="bold"))
            console.print(view)
            for note in table.notes:
                console.print(Text(note, style="dim"))
            console.print()
        for note in report.notes:
            console.print(Text(note, style="yellow"))


def describe_machine(report: Report) -> list[str]:
    """Say where a report's numbers come from and how to make them again."""
    machine = report.machine
    lines = [f"Command: `{report.command}`; tables from the raw records: `halpbench report`.  "]
    if not machine:
        return [*lines, "Machine: unknown (no machine record belongs to these results)."]
    cpu, system, build = machine["cpu"], machine["system"], machine["build"]
    levels = ", ".join(f"L{c['level']} {c['size_bytes'] >> 10:,} KiB" for c in machine["caches"])
    compiler = build["kernels"].get("compiler", "unknown")
    return [
        *lines,
        f"Machine: {cpu['model']} ({cpu['microarchitecture']}), {cpu['cores']} cores, caches "
        f"{levels or 'unknown'}, {machine['memory_bytes'] / 2**30:.0f} GiB; hypervisor: "
        f"{system['hypervisor']}; governor: {system['governor']}; turbo: {system['turbo']}.  ",
        f"Build: {compiler}; backend {build['active']} of {', '.join(build['backends'])}; "
        f"{machine['python']}; revision {machine['revision']}.  ",
        "One thread. Medians of interleaved repetitions; in brackets 95 % bootstrap intervals.",
    ]


# ---- Table 1 -----------------------------------------------------------------------------------


def kernels(records: Sequence[Record]) -> tuple[dict[str, list[Row]], list[Table]]:
    """Tabulate kernels: time, throughput and ratio to float32 by op, backend, length and dtype."""
    rows: list[Row] = []
    for record in records:
        case = record.case
        times = {s.contender: _per_call(s) for s in record.series}
        for s in record.series:
            estimate = stats.median(times[s.contender])
            row = {
                "op": case["op"],
                "backend": case["backend"],
                "n": case["n"],
                "dtype": s.contender,
                **_columns("ns", estimate),
                "gigabytes_per_second": s.facts["bytes"] / estimate.value,
                "repetitions": estimate.count,
            }
            if "f32" in times:
                ratio = stats.ratio(times["f32"], times[s.contender])
                row |= _columns("ratio_to_f32", ratio)
            rows.append(row)
    bandwidth = [row for row in rows if row["op"] == "read"]
    rows = [row for row in rows if row["op"] != "read"]
    tables = []
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    for backend in backends:
        for op in dict.fromkeys(row["op"] for row in rows):
            mine = [row for row in rows if (row["op"], row["backend"]) == (op, backend)]
            if mine:
                tables.append(_kernel_table(op, backend, mine, brief=backend == backends[0]))
    if bandwidth:
        cells = [[_bytes(row["n"]), _number(row["gigabytes_per_second"])] for row in bandwidth]
        tables.append(Table("Reading memory", ("bytes", "GB/s"), cells))
    return {"kernels": rows, "bandwidth": bandwidth}, tables


def _kernel_table(op: str, backend: str, rows: Sequence[Row], brief: bool) -> Table:
    others = [dtype for dtype in ("f64", "i16", "i8i16", "i8") if _find(rows, dtype=dtype)]
    header = ("elements", "f32 ns", "f32 GB/s", "i8 ns", "i8 GB/s", *(f"{d} x" for d in others))
    cells = []
    for n in sorted({row["n"] for row in rows}):
        line = [f"{n:,}"]
        for dtype in ("f32", "i8"):
            row = _find(rows, n=n, dtype=dtype)
            line += [_number(row["ns"]), _number(row["gigabytes_per_second"])] if row else ["", ""]
        for dtype in others:
            row = _find(rows, n=n, dtype=dtype)
            # The interval of the ratio that matters most; the others are in the CSV file.
            line.append((_ratio if dtype == "i8" else _ratio_alone)(row, "ratio_to_f32"))
        cells.append(line)
    counts = [row["repetitions"] for row in rows]
    note = f"x: times faster than float32. {_span(counts)} repetitions."
    return Table(f"{op}, {backend}", header, cells, [note], brief)


def _per_call(series: Series) -> list[float]:
    return [ns / series.facts["calls"] for ns in series.samples_ns["calls"]]


# ---- Table 2 -----------------------------------------------------------------------------------


def epochs(records: Sequence[Record]) -> tuple[dict[str, list[Row]], list[Table]]:
    """Tabulate epochs: inner and full-gradient time, speedups, bandwidth and gradient norms."""
    reads = [r for r in records if r.kind == "kernel" and r.case["op"] == "read"]
    rows: list[Row] = []
    tables: list[Table] = []
    for record in records:
        if record.kind == "epochs":
            mine = [_epoch_row(record, series, reads) for series in record.series]
            rows += mine
            tables += _epoch_tables(record, mine)
    return {"epochs": rows}, tables


def _epoch_row(record: Record, series: Series, reads: Sequence[Record]) -> Row:
    steps, n_samples = record.facts["epoch_length"], record.facts["n_samples"]
    inner, gradient, epoch = (
        stats.median(_timed(series, name)) for name in ("inner", "full_gradient", "epoch")
    )
    norms = series.facts["gradient_norms"]
    row = {
        "problem": record.case["problem"]["name"],
        "data": record.case["data"],
        "contender": series.contender,
        **_columns("epoch_seconds", epoch.scaled(1e-9)),
        **_columns("inner_ns_per_step", inner.scaled(1 / steps)),
        **_columns("full_gradient_ns_per_row", gradient.scaled(1 / n_samples)),
        "bytes_per_step": series.facts["step_bytes"],
        "data_bytes": series.facts["data_bytes"],
        "inner_gigabytes_per_second": series.facts["step_bytes"] * steps / inner.value,
        "epochs": len(norms) - 1,
        "first_gradient_norm": norms[0],
        "last_gradient_norm": norms[-1],
        "repetitions": epoch.count,
    }
    bandwidth = _read_bandwidth(reads, series.facts["data_bytes"])
    if bandwidth is not None:
        row["read_gigabytes_per_second"] = bandwidth
        row["share_of_read"] = row["inner_gigabytes_per_second"] / bandwidth
    by_name = {s.contender: s for s in record.series}
    for short, name in (("f32", F32), ("f64", F64)):
        if name in by_name:
            row[f"byte_ratio_to_{short}"] = (
                by_name[name].facts["step_bytes"] / series.facts["step_bytes"]
            )
            for part in ("inner", "epoch"):
                ratio = stats.ratio(_timed(by_name[name], part), _timed(series, part))
                row |= _columns(f"{part}_speedup_over_{short}", ratio)
    if F64 in by_name:
        row["behind"] = _is_behind(norms, by_name[F64].facts["gradient_norms"])
    return row


def _epoch_tables(record: Record, rows: Sequence[Row]) -> list[Table]:
    facts, problem = record.facts, record.case["problem"]
    classes = f", {problem['n_classes']} classes" if problem["n_classes"] > 1 else ""
    title = (
        f"{problem['name']} ({facts['n_samples']:,} x {facts['n_features']:,}{classes}), "
        f"{record.case['data']} data"
    )
    times = [
        [
            row["contender"],
            _number(row["epoch_seconds"] * 1e3),
            _number(row["inner_ns_per_step"]),
            _number(row["full_gradient_ns_per_row"]),
            _bytes(row["data_bytes"]),
            _ratio_alone(row, "byte_ratio_to_f32"),
            _number(row["inner_gigabytes_per_second"]),
            f"{row['share_of_read']:.0%}" if "share_of_read" in row else "",
        ]
        for row in rows
    ]
    count = rows[0]["epochs"]
    speedups = [
        [
            row["contender"] + (" *" if row.get("behind") else ""),
            _ratio(row, "inner_speedup_over_f32"),
            _ratio(row, "epoch_speedup_over_f32"),
            _ratio(row, "inner_speedup_over_f64"),
            _ratio(row, "epoch_speedup_over_f64"),
            _norm(row["last_gradient_norm"]),
        ]
        for row in rows
    ]
    notes = [
        f"Times faster than float32 and float64; gradient norm after {count} epochs, "
        f"{_norm(rows[0]['first_gradient_norm'])} at the start."
    ]
    if any(row.get("behind") for row in rows):
        notes.append(
            f"* gradient norm over {BEHIND:g} times that of {F64} after the same epochs: "
            "no speedup to speak of."
        )
    return [
        Table(
            f"Epochs: {title}",
            (
                "contender",
                "epoch ms",
                "inner ns/step",
                "gradient ns/row",
                "data",
                "bytes x",
                "inner GB/s",
                "of read",
            ),
            times,
            [
                f"{facts['epoch_length']:,} inner steps an epoch, {rows[0]['repetitions']} "
                f"repetitions, backend {facts['backend']}, data: {facts.get('source', 'unknown')}.",
                "bytes x: speedup over float32 of an inner step if reading the data were all; "
                "of read: share of the measured speed of reading as much memory.",
            ],
        ),
        Table(
            f"Speedups: {title}",
            (
                "contender",
                "inner, f32",
                "epoch, f32",
                "inner, f64",
                "epoch, f64",
                "grad norm",
            ),
            speedups,
            notes,
        ),
    ]


def _timed(series: Series, name: str) -> tuple[int, ...]:
    samples = series.samples_ns[name]
    return samples[WARM_UP_EPOCHS:] if len(samples) > WARM_UP_EPOCHS else samples


def _read_bandwidth(reads: Sequence[Record], data_bytes: int) -> float | None:
    """Find the measured GB/s of reading the smallest array that is no smaller than the data."""
    if not reads:
        return None
    by_size = {record.case["n"]: record.series[0] for record in reads}
    size = min((n for n in by_size if n >= data_bytes), default=max(by_size))
    return float(size / stats.median(_per_call(by_size[size])).value)


def _is_behind(norms: Sequence[float | None], reference: Sequence[float | None]) -> bool:
    mine, best = norms[-1], reference[-1]
    return mine is None or (best is not None and mine > BEHIND * best)


# ---- Table 3 -----------------------------------------------------------------------------------


def convergence(records: Sequence[Record]) -> tuple[dict[str, list[Row]], list[Table]]:
    """Tabulate convergence: gradient norm by epoch, and seconds to reach given gradient norms."""
    trajectories: list[Row] = []
    reached: list[Row] = []
    tables: list[Table] = []
    for record in records:
        label = {"problem": record.case["problem"]["name"], "data": record.case["data"]}
        norm_cells, time_cells = [], []
        for series in record.series:
            norms = series.facts["gradient_norms"]
            seconds = [0.0]
            for ns in series.samples_ns["epoch"]:
                seconds.append(seconds[-1] + ns * 1e-9)
            label |= {"contender": series.contender}
            trajectories += [
                {**label, "epoch": epoch, "seconds": time, "gradient_norm": norm}
                for epoch, (time, norm) in enumerate(zip(seconds, norms, strict=True))
            ]
            first = {target: _first_below(norms, target) for target in TARGETS}
            reached += [
                {
                    **label,
                    "gradient_norm": target,
                    "epoch": epoch,
                    "seconds": None if epoch is None else seconds[epoch],
                }
                for target, epoch in first.items()
            ]
            shown = [epoch for epoch in SHOWN_EPOCHS if epoch < len(norms)]
            norm_cells.append([series.contender, *(_norm(norms[epoch]) for epoch in shown)])
            time_cells.append(
                [
                    series.contender,
                    *("-" if e is None else _seconds(seconds[e]) for e in first.values()),
                ]
            )
        title = f"{label['problem']}, {label['data']} data"
        note = f"Data: {record.facts.get('source', 'unknown')}. One run each, the same samples."
        tables += [
            Table(
                f"Gradient norm by epoch: {title}",
                ("contender", *map(str, shown)),
                norm_cells,
                [note],
            ),
            Table(
                f"Time to reach a gradient norm: {title}",
                ("contender", *(f"{target:.0e}" for target in TARGETS)),
                time_cells,
                ["-: not reached."],
            ),
        ]
    return {"trajectories": trajectories, "reached": reached}, tables


def _first_below(norms: Sequence[float | None], target: float) -> int | None:
    return next((i for i, norm in enumerate(norms) if norm is not None and norm <= target), None)


_MAKERS: dict[str, Callable[[Sequence[Record]], tuple[dict[str, list[Row]], list[Table]]]] = {
    "kernels": kernels,
    "epochs": epochs,
    "convergence": convergence,
}

# ---- Choosing records, formatting numbers ------------------------------------------------------


def _well_formed(record: Record) -> bool:
    """Tell whether a record has what the tables read; one that has not is named in a warning."""
    needs = _NEEDS.get(record.kind)
    lacks: set[str] = {"a known kind"}
    if needs is not None:
        lacks = needs.case - set(record.case)
        if record.skipped is None:
            lacks |= needs.facts - set(record.facts)
            lacks |= set() if record.series else {"series"}
            for series in record.series:
                lacks |= needs.samples - set(series.samples_ns)
                lacks |= needs.series_facts - set(series.facts)
    if lacks:
        missing = ", ".join(sorted(lacks))
        warnings.warn(f"record of {record.started} skipped: it lacks {missing}", stacklevel=3)
    return not lacks


@dataclass(frozen=True)
class _Needs:
    """Names that the tables look up in a record."""

    case: set[str]
    facts: set[str]
    samples: set[str]
    series_facts: set[str]


_NEEDS = {
    "kernel": _Needs(
        {"suite", "tables", "op", "n", "backend"}, set(), {"calls"}, {"calls", "bytes"}
    ),
    "epochs": _Needs(
        {"suite", "tables", "problem", "data"},
        {"epoch_length", "n_samples", "n_features", "backend"},
        {"inner", "full_gradient", "epoch"},
        {"data_bytes", "step_bytes", "gradient_norms"},
    ),
}


def _origin(record: Record) -> tuple[str, str]:
    """Return what the records of a report have in common: machine and build, and the suite."""
    return record.fingerprint, record.case["suite"]


def _latest(records: Sequence[Record]) -> list[Record]:
    """Keep the last record of each kernel or problem, in the order of first appearance."""
    found: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: record.started):
        found[_describe(record)] = record
    return list(found.values())


def _describe(record: Record) -> str:
    case = record.case
    if record.kind == "kernel":
        return f"{case['op']}, {case['n']:,}, {case['backend']}"
    return f"{case['problem']['name']}, {case['data']} data"


def _find(rows: Sequence[Row], **wanted: object) -> Row | None:
    return next((row for row in rows if wanted.items() <= row.items()), None)


def _columns(name: str, estimate: stats.Estimate) -> Row:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def _ratio(row: Row | None, name: str) -> str:
    if row is None or name not in row:
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    # A contender against itself is 1 without doubt.
    return _number(row[name]) + (f" [{_number(low)}-{_number(high)}]" if low < high else "")


def _ratio_alone(row: Row | None, name: str) -> str:
    return "" if row is None or name not in row else f"{row[name]:.2f}"


def _number(value: float) -> str:
    """Write three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _norm(value: float | None) -> str:
    return "diverged" if value is None else f"{value:.1e}"


def _seconds(value: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{_number(value * factor)} {unit}"
    return f"{_number(value * 1e6)} us"


def _bytes(value: float) -> str:
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"
