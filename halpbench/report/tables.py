"""Tables from raw records: console, Markdown, CSV and JSON."""

import csv
import io
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from halpbench.bench import machine_shape
from halpbench.bench.files import write_atomic
from halpbench.bench.records import SCHEMA, Record, finite
from halpbench.bench.store import Store
from halpbench.report import (
    agreement,
    calls,
    convergence,
    epochs,
    kernels,
    peers,
    placement,
    roofline,
    summary,
)
from halpbench.report.cells import Content, Row, Table
from halpbench.report.placement import OVERVIEWS

CONSOLE_WIDTH = 100


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
        Command that measures the same again.
    notes : list of str
        Cases that were skipped or left out.
    """

    name: str
    data: Mapping[str, list[Row]]
    tables: Sequence[Table]
    machine: Mapping[str, Any]
    command: str
    notes: Sequence[str] = field(default_factory=list)


def build(store: Store, records: Sequence[Record] | None = None) -> list[Report]:
    """Make the reports for which there are records.

    Each is of one machine and build: that of its record which was appended last.

    Parameters
    ----------
    store : Store
    records : sequence of Record, optional
        Those of the store, if they have been read already.
    """
    machines = _machines(store)
    contents = _Contents(store.records() if records is None else records, machines)
    reports = []
    for name in REPORTS:
        shown = [record for record in contents.records if name in _shown_in(record)]
        if not shown:
            continue
        fingerprint = shown[-1].fingerprint
        data, tables = contents.of(name, fingerprint)
        if not data:
            continue
        chosen = contents.latest(name, fingerprint)
        unmeasured = [record for record in chosen if not record.measured]
        tables, notes = _noted(tables, unmeasured if name not in OVERVIEWS else [])
        tables = [replace(table, notes=table.all_notes) for table in tables]
        machine = machines.get(fingerprint, {})
        command = _command(name, chosen[-1].plan.get("suite", "full"))
        reports.append(Report(name, data, tables, machine, command, notes))
    return reports


class _Contents:
    """Rows and tables of each report, made once, for overviews are made of those of the others."""

    def __init__(
        self, records: Sequence[Record], machines: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.records = records
        self._machines = machines
        self._made: dict[tuple[str, str], Content] = {}

    def latest(self, name: str, fingerprint: str) -> list[Record]:
        """Return the last record of each kernel or problem of a report, by first appearance."""
        alike: dict[str, Record] = {}
        for record in self.records:
            if record.fingerprint == fingerprint and name in _shown_in(record):
                alike[describe(record)] = record
        return list(alike.values())

    def of(self, name: str, fingerprint: str) -> Content:
        """Return the rows and tables of a report."""
        if (name, fingerprint) not in self._made:
            self._made[name, fingerprint] = self._make(name, fingerprint)
        return self._made[name, fingerprint]

    def _make(self, name: str, fingerprint: str) -> Content:
        records = [r for r in self.latest(name, fingerprint) if r.measured]
        if name in _MAKERS:
            return _MAKERS[name](records)
        rows = {**self.of("kernels", fingerprint)[0], **self.of("epochs", fingerprint)[0]}
        if name == "roofline":
            return roofline.make(records, self._machines.get(fingerprint, {}), rows)
        return summary.make(rows)


def _noted(tables: Sequence[Table], unmeasured: Sequence[Record]) -> tuple[list[Table], list[str]]:
    """Put skipped cases and wrong results under the tables that they concern.

    The notes that concern no table are returned.
    """
    noted, rest = list(tables), []
    for record in unmeasured:
        what = f"skipped, {record.skipped}" if record.wrong is None else f"WRONG, {record.wrong}"
        note = f"{describe(record)}: {what}"
        concerned = [i for i, table in enumerate(noted) if table.brief and _concerns(record, table)]
        for index in concerned[:1]:
            noted[index] = noted[index].noted(note)
        if not concerned:
            rest.append(note)
    return noted, rest


def _concerns(record: Record, table: Table) -> bool:
    """Tell whether a table would show a record, had it been measured."""
    case = record.case
    if record.kind == "kernel":
        reading = case["op"] == "read"
        return table.title == (kernels.READING if reading else f"{case['op']}, {case['backend']}")
    if record.kind == "call":
        return table.title == calls.TITLE
    words = [f": {case['problem']['name']} ("]
    if record.kind == "epochs":
        words.append(f"{case['data']} data")
    return all(word in table.title for word in words)


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
        *markdown_rows(table.header, table.rows),
        *("", *(f"{note}  " for note in table.notes), ""),
    ]


def markdown_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write the header and the rows of a table as lines of Markdown."""
    # The first column names the row; numbers are read from the right.
    rule = [":--"] + ["--:"] * (len(header) - 1)
    return [_line(header), _line(rule), *map(_line, rows)]


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
            console.print(Text(table.title, style="bold"))
            # Not cropped: half a number is none.
            console.print(_view(table, console), crop=False)
            for note in table.notes:
                console.print(Text(note, style="dim"))
            console.print()
        for note in report.notes:
            console.print(Text(note, style="yellow"))


def _view(table: Table, console: Console) -> RichTable:
    """Lay out a table: if it is too wide, intervals and words of headings take lines of their own.

    If even that is too wide for the console, so is the table.
    """
    for narrow in (False, True):
        view = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        rows = [[_stacked(cell) if narrow else cell for cell in row] for row in table.rows]
        headings = [name.replace(" ", "\n") if narrow else name for name in table.header]
        for index, column in enumerate(zip(headings, *rows, strict=True)):
            pieces = [piece for cell in column for piece in _pieces(cell, words=index == 0)]
            view.add_column(
                headings[index],
                justify="left" if index == 0 else "right",
                no_wrap=index > 0,
                min_width=max(map(len, pieces), default=0),
            )
        for row in rows:
            # Text, because rich would take an interval in brackets for markup.
            view.add_row(*map(Text, row))
        least = console.measure(view, options=console.options.update(width=_ENDLESS)).minimum
        if least <= console.width:
            return view
    view.width = least
    return view


_ENDLESS = 10_000


def _stacked(cell: str) -> str:
    """Put an interval below its number."""
    return cell.replace(" [", "\n[").replace(" (", "\n(")


def _pieces(cell: str, words: bool) -> list[str]:
    """Split a cell into parts that stay together: its words, or its lines."""
    return cell.split() if words else cell.splitlines()


def origin(machine: Mapping[str, Any]) -> str:
    """Name the machine and the revision of a machine record; empty if there is none."""
    if not machine:
        return ""
    return f"{agreement.at(machine, 'cpu.model')}, revision {agreement.at(machine, 'revision')}"


def describe_machine(report: Report) -> list[str]:
    """Describe the source of a report's numbers, with the command that makes them again."""
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


_MAKERS: dict[str, Callable[[Sequence[Record]], Content]] = {
    "kernels": kernels.make,
    "epochs": epochs.make,
    "convergence": convergence.make,
    "peers": peers.make,
}
# The summary last, where it is read first on a terminal.
REPORTS = ("kernels", "epochs", "convergence", "roofline", "peers", "summary")

# ---- Choosing records -------------------------------------------------------------------------


def _machines(store: Store) -> dict[str, dict[str, Any]]:
    """Return the machine records that are complete enough to be described."""
    machines = store.machines()
    faults = {name: machine_shape.fault(machine) for name, machine in machines.items()}
    for fingerprint, fault in faults.items():
        if fault:
            path = store.raw / "machine.json"
            warnings.warn(f"{path}, machine {fingerprint!r} skipped: {fault}", stacklevel=3)
    return {name: machine for name, machine in machines.items() if not faults[name]}


def _shown_in(record: Record) -> Sequence[str]:
    """Name the reports that a record belongs to."""
    own = placement.tables(record.kind, record.case)
    return own if placement.ACCURACY in own or not own else (*own, *OVERVIEWS)


def _command(report: str, suite: str) -> str:
    """Return the command that measures the same again."""
    if report == "peers":
        return f"halpbench peers --suite {suite}"
    return f"halpbench bench --suite {suite}" + (
        "" if report in OVERVIEWS else f" --tables {report}"
    )


def describe(record: Record) -> str:
    """Name the measurement of a record."""
    case = record.case
    if record.kind in peers.KINDS:
        return peers.describe(record)
    if record.kind == "epochs":
        return f"{case['problem']['name']}, {case['data']} data, {case['backend']}"
    classes = case.get("classes", 1)
    op = case["op"] if record.kind == "kernel" else f"call of dot {case['dtype']}"
    times = f" x {classes}" if classes > 1 else ""
    return f"{op}, {case['n']:,}{times}, {case['backend']}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
