"""Dot products called from Python, ours and those of other libraries: the fastest by size."""

from collections.abc import Sequence

import numpy as np

from halpbench.bench import stats
from halpbench.bench.records import Record
from halpbench.report import cells
from halpbench.report.cells import Content, Row, Table

OURS = "halpbench"
DTYPES = ("i8", "f32", "f64")
TITLE = "Calls of the dot from Python: who wins"


def make(records: Sequence[Record]) -> Content:
    """Tabulate the time of a call by dtype and length, and the fastest library."""
    measured = sorted(
        (record for record in records if record.kind == "call"),
        key=lambda record: (DTYPES.index(record.case["dtype"]), record.case["n"]),
    )
    rows = [row for record in measured for row in _rows(record)]
    winners = [_winner(record) for record in measured]
    return {"calls": rows, "fastest": winners}, [_table(measured, rows, winners)] if rows else []


def _rows(record: Record) -> list[Row]:
    """Return a row for each other library, or one without any; an absent one has no time."""
    times = {series.contender: cells.per_call(series) for series in record.series}
    ours = stats.median(times[OURS])
    rows = []
    libraries = [name for name in (*record.case["libraries"], *times) if name != OURS]
    for library in dict.fromkeys(libraries or [None]):
        row = {
            "n": record.case["n"],
            "dtype": record.case["dtype"],
            "backend": record.case["backend"],
            "library": library,
            **cells.columns("ns", ours),
            "repetitions": ours.count,
        }
        if library in times:
            row |= cells.columns("library_ns", stats.median(times[library]))
            row |= cells.columns("ratio_to_library", stats.ratio(times[library], times[OURS]))
        rows.append(row)
    return rows


def _winner(record: Record) -> Row:
    """Name the fastest, and its speedup over the one after it."""
    times = {series.contender: cells.per_call(series) for series in record.series}
    first, *others = sorted(times, key=lambda name: float(np.median(times[name])))
    row: Row = {"n": record.case["n"], "dtype": record.case["dtype"], "fastest": first}
    if others:
        lead = stats.ratio(times[others[0]], times[first])
        row |= {"second": others[0], **cells.columns("lead", lead), "repetitions": lead.count}
    return row


def _table(records: Sequence[Record], rows: Sequence[Row], winners: Sequence[Row]) -> Table:
    libraries = list(dict.fromkeys(row["library"] for row in rows if row["library"]))
    shown = []
    for winner in winners:
        key = {"dtype": winner["dtype"], "n": winner["n"]}
        n = cells.Cell(f"{winner['n']:,}", winner["n"])
        line = [n, winner["dtype"], cells.plain(cells.find(rows, **key), "ns")]
        for library in libraries:
            row = cells.find(rows, **key, library=library)
            line.append("-" if row is None else cells.plain(row, "library_ns") or "absent")
        shown.append([*line, _lead(winner)])
    notes = [
        "Nanoseconds of a Python call, checks of the arguments included (ours also refuse -128).",
        "fastest: by how much, over the second; names joined by = where the interval has 1 in it.",
        "-: has no such dot product that is right (NumPy's of integers wraps around).",
        f"Backend {rows[0]['backend']}, {cells.span([row['repetitions'] for row in rows])} "
        f"repetitions; {records[0].facts.get('blas', 'BLAS held to one thread')}.",
    ]
    present = {row["library"] for row in rows if row.get("library_ns")}
    absent = [library for library in libraries if library not in present]
    if absent:
        notes.append(f"{', '.join(absent)}: not installed; `pip install '.[peers]'` adds it.")
    header = (
        "elements",
        "dtype",
        f"{OURS} ns",
        *(f"{library} ns" for library in libraries),
        "fastest",
    )
    return Table(TITLE, header, shown, notes)


def _lead(winner: Row) -> str:
    name = winner["fastest"].split()[0]
    if "second" not in winner:
        return f"{name} alone"
    if winner["lead_low"] <= 1:
        return f"{name} = {winner['second'].split()[0]}"
    return f"{name} {cells.interval(winner, 'lead')}"
