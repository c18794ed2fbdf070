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

from halpbench.bench.records import SCHEMA, Record, Store, finite, write_atomic
from halpbench.report import convergence, epochs, kernels, peers, roofline, shapes, summary
from halpbench.report.cells import Content, Row, Table

CONSOLE_WIDTH = 100

# Reports of all that `halpbench bench` has measured, whichever tables were asked for.
OVERVIEWS = ("summary", "roofline")

_Maker = Callable[[Sequence[Record], Mapping[str, Any]], Content]


@dataclass(frozen=True)
class Report:
    """One of the results: numbers for programs, tables for readers.

    Attributes
    ----------
    name : str
        File stem: "kernels", "epochs", "convergence", "summary", "roofline" or "peers".
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
    machines = _machines(store)
    records = [record for record in store.records() if well_formed(record)]
    reports = []
    for name, make in _MAKERS.items():
        mine = [record for record in records if name in _shown_in(record)]
        if not mine:
            continue
        newest = max(mine, key=lambda record: record.started)
        alike = [record for record in mine if _origin(record) == _origin(newest)]
        chosen = _latest(alike)
        fingerprint, suite = _origin(newest)
        machine = machines.get(fingerprint, {})
        data, tables = make([record for record in chosen if record.skipped is None], machine)
        if not data:
            continue
        notes = [
            f"{describe(record)}: skipped, {record.skipped}"
            for record in chosen
            if record.skipped is not None and name not in OVERVIEWS
        ]
        reports.append(Report(name, data, tables, machine, _command(name, suite), notes))
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
        lines += markdown_table(table)
    lines += [f"- {note}" for note in report.notes]
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(table: Table) -> list[str]:
    """Write a table as lines of Markdown, its title above and its notes below."""
    return [
        *(f"## {table.title}", ""),
        # The first column names the row; numbers are read from the right.
        *(_line(table.header), _line([":--"] + ["--:"] * (len(table.header) - 1))),
        *(_line(row) for row in table.rows),
        *("", *(f"{note}  " for note in table.notes), ""),
    ]


def show(reports: Sequence[Report], console: Console) -> None:
    """Print the brief tables of the reports, and once where they come from."""
    for number, report in enumerate(reports):
        if number == 0 and report.machine:
            for line in describe_machine(report)[1:]:
                console.print(Text(line.rstrip(), style="dim"))
            console.print()
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
        f"Build: {compiler}; backends {', '.join(build['backends'])}; "
        f"{machine['python']}; revision {machine['revision']}.  ",
        "One thread. Medians of interleaved repetitions; in brackets 95 % bootstrap intervals.",
    ]


def _of_records(make: Callable[[Sequence[Record]], Content]) -> _Maker:
    """Turn what makes content of records alone into what is also given the machine."""
    return lambda records, machine: make(records)


_MAKERS: dict[str, _Maker] = {
    "kernels": _of_records(kernels.make),
    "epochs": _of_records(epochs.make),
    "convergence": _of_records(convergence.make),
    "roofline": roofline.make,
    "peers": _of_records(peers.make),
    "summary": _of_records(summary.make),  # last, where it is read first on a terminal
}

# ---- Choosing records -------------------------------------------------------------------------


def well_formed(record: Record) -> bool:
    """Tell whether a record has what the tables read; one that has not is named in a warning."""
    fault = shapes.fault(record)
    if fault:
        where = record.origin or f"record of {record.started}"
        warnings.warn(f"{where} skipped: {fault}", stacklevel=3)
    return not fault


def _machines(store: Store) -> dict[str, dict[str, Any]]:
    """Return the machine records that have what is said of them."""
    found = store.machines()
    for fingerprint, machine in found.items():
        fault = shapes.misfit(machine, shapes.MACHINE, "machine")
        if fault:
            path = store.raw / "machine.json"
            warnings.warn(f"{path}, machine {fingerprint!r} skipped: {fault}", stacklevel=3)
            found = {name: other for name, other in found.items() if name != fingerprint}
    return found


def _shown_in(record: Record) -> Sequence[str]:
    """Name the reports that a record belongs to."""
    return ("peers",) if record.kind in peers.KINDS else (*record.case["tables"], *OVERVIEWS)


def _command(report: str, suite: str) -> str:
    """Return what measures the same again."""
    if report == "peers":
        return f"halpbench peers --suite {suite}"
    return f"halpbench bench --suite {suite}" + (
        "" if report in OVERVIEWS else f" --tables {report}"
    )


def _origin(record: Record) -> tuple[str, str]:
    """Return what the records of a report have in common: machine and build, and the suite."""
    return record.fingerprint, record.case["suite"]


def _latest(records: Sequence[Record]) -> list[Record]:
    """Keep the last record of each kernel or problem, in the order of first appearance."""
    found: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: record.started):
        found[describe(record)] = record
    return list(found.values())


def describe(record: Record) -> str:
    """Name what a record measured."""
    case = record.case
    if record.kind in peers.KINDS:
        return peers.describe(record)
    if record.kind == "epochs":
        return f"{case['problem']['name']}, {case['data']} data, {case['backend']}"
    op = case["op"] if record.kind == "kernel" else f"call of dot {case.get('dtype', 'i8')}"
    return f"{op}, {case['n']:,}, {case['backend']}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
