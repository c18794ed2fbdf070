"""The report as one HTML page that needs no network: tables, figures, machines, provenance."""

from __future__ import annotations

import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from halpbench.bench.files import write_atomic
from halpbench.bench.records import SCHEMA, Record
from halpbench.bench.store import Store, stores
from halpbench.report import (
    agreement,
    cells,
    experiments,
    figures,
    machine,
    tables,
    verdict,
)
from halpbench.report.cells import Row, Table
from halpbench.report.inline import Drawing, drawings
from halpbench.report.tables import Report

# Reports in the order in which a reader wants them, each with an introduction; others follow.
SECTIONS = {
    "summary": (
        "In short",
        "What low precision gains, beside what it could gain at most. Quantized data: all read one "
        "copy of the data, rounded to 8 or 16 bits; exact data: steps read that copy, full "
        "gradients the original. The bound is the ratio of the bytes of data read, the speedup if "
        "reading them were all. A backend is the instruction set that the kernels use.",
    ),
    "epochs": (
        "Speedups",
        "Whole epochs and their inner steps, against SVRG in floating point on the same samples.",
    ),
    "kernels": ("Kernels", "The operations that an inner step is made of, on every backend."),
    "roofline": ("Roofline", "What the machine allows, and the share of it that is reached."),
    "convergence": ("Convergence", "How far each contender comes, by epochs and by seconds."),
    "peers": (
        "Time to accuracy",
        "Whole fits of logistic regression, beside the estimators of other libraries.",
    ),
}

# The units that `cells` writes.
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "%": 1e-2,
    "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9,
}  # fmt: skip
_NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?) ?(%|[a-zA-Z]+\b)?")


@dataclass(frozen=True)
class Results:
    """Records and reports of the machine of a store.

    Attributes
    ----------
    store : Store
    records : list of Record
    reports : list of Report
    damaged : list of str
        Parts that could not be read, each with the reason.
    """

    store: Store
    records: list[Record]
    reports: list[Report]
    damaged: list[str]


class Speedup(NamedTuple):
    """Times as fast as float32, as a number and as text with its interval, and the bound."""

    value: float
    text: str
    bound: float


class Headline(NamedTuple):
    """A contender on a problem: the speedups of its inner steps and of its epochs."""

    problem: str
    contender: str
    inner: Speedup
    epoch: Speedup
    same_norm: cells.Cell


class Layout(NamedTuple):
    """Layout of a table: the columns that hold numbers, and the number of those that name the rows.

    On phones the names stand above the numbers.
    """

    numeric: set[int]
    names: int
    columns: int


class Part(NamedTuple):
    """Part of a section about one machine; its title names the revision that was measured."""

    title: str
    report: Report
    backend: str
    headlines: list[Headline]
    drawings: list[Drawing]


class Section(NamedTuple):
    """A chapter of the page."""

    name: str
    title: str
    intro: str
    parts: list[Part]


class Build(NamedTuple):
    """The records of one fingerprint: their number, and the starts of the first and the last."""

    fingerprint: str
    records: int
    first: str
    last: str


class Source(NamedTuple):
    """Source of records, and missing ones: kinds and reasons with their number."""

    machine: str
    folder: str
    builds: list[Build]
    skipped: list[tuple[str, str, int]]
    damaged: list[str]


class Comparison(NamedTuple):
    """Machines side by side: groups of rows, each with its name and a text for every machine.

    Then, by name, the tables of the peak rates of a machine.
    """

    names: list[str]
    groups: dict[str, dict[str, list[str]]]
    ceilings: list[tuple[str, list[Table]]]


def read(store: Store) -> Results:
    """Read the records of a machine and make its reports; damaged parts are named in warnings."""
    return _read(store, tables.build)


def _read(store: Store, make_reports: Callable[[Store, Sequence[Record]], list[Report]]) -> Results:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        records = store.records()
        reports = make_reports(store, records)
    damaged = list(dict.fromkeys(str(warning.message) for warning in caught))
    for message in damaged:
        warnings.warn(message, stacklevel=3)
    return Results(store, records, reports, damaged)


def read_experiments(root: Path) -> list[Results]:
    """Read the records of the paper's experiments and of deep learning below a results directory.

    They are in its folders ``paper`` and ``deep``, if these are there.
    """
    parts = (root / "paper", root / "deep")
    return [_read(store, lambda *_: []) for part in parts for store in stores(part)]


def by_time(results: Sequence[Results]) -> list[Results]:
    """Return the machines that have records, the one measured last at the end."""
    return sorted(
        (each for each in results if each.records),
        key=lambda each: max(record.started for record in each.records),
    )


def newest(results: Sequence[Results]) -> list[Results]:
    """Return the machines measured with the newest code, that of the machine measured last.

    Numbers of older code stand in no table and no claim beside those of newer code.
    """
    measured = by_time(results)
    return [each for each in results if each.records and _code(each) == _code(measured[-1])]


def _code(machine_results: Results) -> str:
    """Return the code that the epochs of a machine were measured with, else its other reports."""
    machines = {report.name: report.machine for report in machine_results.reports}
    first = machines.get("epochs") or next(iter(machines.values()), {})
    return str(agreement.at(first, "build.code"))


def write(root: Path, results: Sequence[Results], others: Sequence[Results] | None = None) -> Path:
    """Write ``report.html`` below a results directory.

    Parameters
    ----------
    root : Path
    results : sequence of Results
        One for each machine.
    others : sequence of Results, optional
        As `read_experiments` returns them; read if they are not given.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path = root / "report.html"
    others = read_experiments(root) if others is None else others
    write_atomic(path, render(results, others))
    return path


def render(results: Sequence[Results], others: Sequence[Results] = ()) -> str:
    """Return the page, with the experiments of `others`; equal records give equal text."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": cells.number,
        "sort_value": sort_value,
        "layout": _layout,
        "scale": _scale,
    }
    comparable = newest(results)
    sources = [_source(machine_results) for machine_results in [*results, *others]]
    prefixes = (f"d{number}-" for number in itertools.count())
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        claims=verdict.claims(
            [
                (machine_results.store.machine, machine_results.reports)
                for machine_results in comparable
            ]
        ),
        sections=list(_sections(by_time(results)[::-1], prefixes)),
        experiments=[
            (machine_results.store.machine, _experiments(machine_results, prefixes))
            for machine_results in others
            if machine_results.records
        ],
        machines=_comparison(results),
        across=_across(comparable) if len(comparable) > 1 else None,
        sources=sources,
        dates=_ends([day for source in sources for build in source.builds for day in build[2:]]),
        schema=SCHEMA,
        several=len(results) > 1,
    )


def sort_value(cell: str) -> float | None:
    """Return the sort key of a cell: its number; of text, the leading one, without prefix.

    None for cells without a number, such as "-" and "diverged".
    """
    if isinstance(cell, cells.Cell) and cell.value is not None:
        return cell.value
    number = _NUMBER.match(cell)
    if number is None:
        return None
    return float(number[1].replace(",", "")) * _UNITS.get(number[2] or "", 1.0)


def _layout(table: Table) -> Layout:
    numeric = {
        column
        for row in table.rows
        for column, cell in enumerate(row)
        if sort_value(cell) is not None
    }
    columns = len(table.header)
    # Names come first; a table without numbers has one of them.
    names = max(1, min(numeric)) if numeric else 1
    return Layout(numeric, min(names, columns), max(1, columns - names))


def _scale(headlines: Sequence[Headline]) -> float:
    """Return the speedup at the right end of the bars."""
    speedups = [speedup for line in headlines for speedup in (line.inner, line.epoch)]
    return 1.05 * max(1.0, *(max(s.value, s.bound) for s in speedups))


def _sections(results: Sequence[Results], prefixes: Iterator[str]) -> Iterator[Section]:
    names = dict.fromkeys(
        [*SECTIONS, *(r.name for machine_results in results for r in machine_results.reports)]
    )
    for name in names:
        title, intro = SECTIONS.get(name, (name.capitalize(), ""))
        parts = [
            Part(
                f"{machine_results.store.machine}, {_revision(report.machine)}",
                report,
                *(_headlines(machine_results.reports) if name == "summary" else ("", [])),
                drawings(partial(figures.pictures, report), prefixes),
            )
            for machine_results in results
            for report in machine_results.reports
            if report.name == name
        ]
        if parts:
            yield Section(name, title, intro, parts)


def _headlines(reports: Sequence[Report]) -> tuple[str, list[Headline]]:
    """Return the machine's best backend, and HALP on quantized data with it."""
    rows = verdict.halp_rows(reports)
    return rows[0]["backend"] if rows else "", [
        Headline(
            row["problem"],
            row["contender"],
            _speedup(row, "inner"),
            _speedup(row, "epoch"),
            cells.plain(row, "same_norm_speedup_over_f32"),
        )
        for row in rows
    ]


def _speedup(row: Row, part: str) -> Speedup:
    name = f"{part}_speedup_over_f32"
    return Speedup(row[name], cells.interval(row, name), row[f"{part}_bound_over_f32"])


def _across(results: Sequence[Results]) -> Table:
    """Lay the machines' speedups of epochs side by side: ratios, which alone may be compared."""
    headlines = [_headlines(machine_results.reports) for machine_results in results]
    columns = [
        {(line.problem, line.contender): line.epoch.text for line in lines}
        for _, lines in headlines
    ]
    names = dict.fromkeys(key for column in columns for key in column)
    header = [
        f"{machine_results.store.machine}, {backend}"
        for machine_results, (backend, _) in zip(results, headlines, strict=True)
    ]
    return Table(
        "Epochs of HALP over SVRG in float32, machine by machine",
        ("problem", "contender", *header),
        [[*key, *(column.get(key, "-") for column in columns)] for key in names],
        ["Times as fast on each machine's best backend, data quantized; -: not measured."],
    )


def _experiments(machine_results: Results, prefixes: Iterator[str]) -> list[Drawing]:
    """Draw the experiments of a machine; each caption names the revision that was measured."""
    machines = machine_results.store.machines()

    def draw(make: experiments.Make, fingerprint: str) -> list[Drawing]:
        end = f" Measured at {_revision(machines.get(fingerprint, {}))}."
        drawn = drawings(make, prefixes)
        return [drawing._replace(caption=drawing.caption + end) for drawing in drawn]

    return experiments.each(machine_results.records, draw)


def _revision(machine: Mapping[str, Any]) -> str:
    return f"revision {agreement.at(machine, 'revision')}"


def _comparison(results: Sequence[Results]) -> Comparison:
    """Lay the machine records of the reports side by side."""
    columns: list[tuple[str, list[machine.Group], list[Table]]] = []
    for machine_results in results:
        for report in machine_results.reports:
            if report.machine:
                column = (
                    machine_results.store.machine,
                    machine.describe(report.machine),
                    machine.ceilings(report.machine),
                )
                if column not in columns:
                    columns.append(column)
    groups: dict[str, dict[str, list[str]]] = {}
    for _, described, _ in columns:
        for title, lines in described:
            for name, text in lines.items():
                groups.setdefault(title, {}).setdefault(name, []).append(text)
    ceilings = [(name, shown) for name, _, shown in columns if shown]
    return Comparison([name for name, _, _ in columns], groups, ceilings)


def _ends(times: Sequence[str]) -> list[str]:
    """Return the first and the last day of ISO 8601 times."""
    return [min(times)[:10], max(times)[:10]] if times else []


def _source(machine_results: Results) -> Source:
    by_build: dict[str, list[Record]] = {}
    for record in machine_results.records:
        by_build.setdefault(record.fingerprint, []).append(record)
    builds = []
    for fingerprint, records in by_build.items():
        started = [record.started for record in records]
        builds.append(Build(fingerprint, len(records), min(started), max(started)))
    skipped = Counter((r.kind, r.skipped) for r in machine_results.records if r.skipped is not None)
    return Source(
        machine_results.store.machine,
        str(machine_results.store.raw),
        builds,
        [(kind, reason, count) for (kind, reason), count in skipped.items()],
        machine_results.damaged,
    )
