"""Dot products called from Python, ours and those of other libraries: who wins at each size."""

from collections.abc import Sequence

from halpbench.bench import stats
from halpbench.bench.records import Record
from halpbench.report import cells
from halpbench.report.cells import Content, Row, Table

OURS = "halpbench"
DTYPES = ("i8", "f32", "f64")


def make(records: Sequence[Record]) -> Content:
    """Tabulate the time of a call by dtype and length, and which library's is the least."""
    measured = sorted(
        (record for record in records if record.kind == "call"),
        key=lambda record: (DTYPES.index(_dtype(record)), record.case["n"]),
    )
    rows = [row for record in measured for row in _rows(record)]
    winners = [_winner(record) for record in measured]
    return {"calls": rows, "fastest": winners}, [_table(measured, rows, winners)] if rows else []


def _dtype(record: Record) -> str:
    return str(record.case.get("dtype", "i8"))


def _rows(record: Record) -> list[Row]:
    """Return a row for each other library, or one without any; an absent one has no time."""
    times = {series.contender: cells.per_call(series) for series in record.series}
    ours = stats.median(times[OURS])
    rows = []
    peers = [peer for peer in (*record.case.get("peers", ()), *times) if peer != OURS]
    for peer in dict.fromkeys(peers or [None]):
        row = {
            "n": record.case["n"],
            "dtype": _dtype(record),
            "backend": record.case["backend"],
            "peer": peer,
            **cells.columns("ns", ours),
            "repetitions": ours.count,
        }
        if peer in times:
            row |= cells.columns("peer_ns", stats.median(times[peer]))
            row |= cells.columns("ratio_to_peer", stats.ratio(times[peer], times[OURS]))
        rows.append(row)
    return rows


def _winner(record: Record) -> Row:
    """Name the fastest, and its speedup over the one after it."""
    times = {series.contender: cells.per_call(series) for series in record.series}
    first, *others = sorted(times, key=lambda name: stats.median(times[name]).value)
    row: Row = {"n": record.case["n"], "dtype": _dtype(record), "fastest": first}
    if others:
        row["second"] = others[0]
        row |= cells.columns("lead", stats.ratio(times[others[0]], times[first]))
    return row


def _table(records: Sequence[Record], rows: Sequence[Row], winners: Sequence[Row]) -> Table:
    peers = list(dict.fromkeys(row["peer"] for row in rows if row["peer"]))
    shown = []
    for winner in winners:
        key = {"dtype": winner["dtype"], "n": winner["n"]}
        line = [f"{winner['n']:,}", winner["dtype"], cells.plain(cells.find(rows, **key), "ns")]
        for peer in peers:
            row = cells.find(rows, **key, peer=peer)
            line.append("-" if row is None else cells.plain(row, "peer_ns") or "absent")
        shown.append([*line, _lead(winner)])
    notes = [
        "Nanoseconds of a Python call, checks of the arguments included (ours also refuse -128).",
        "fastest: by how much, over the second; names joined by = where the interval has 1 in it.",
        "-: has no such dot product that is right (NumPy's of integers wraps around).",
        f"Backend {rows[0]['backend']}, {cells.span([row['repetitions'] for row in rows])} "
        f"repetitions; {records[0].facts.get('blas', 'BLAS held to one thread')}.",
    ]
    absent = [
        peer for peer in peers if not any(row.get("peer_ns") for row in rows if row["peer"] == peer)
    ]
    if absent:
        notes.append(f"{', '.join(absent)}: not installed; `pip install '.[peers]'` adds it.")
    header = ("elements", "dtype", f"{OURS} ns", *(f"{peer} ns" for peer in peers), "fastest")
    return Table("Calls of the dot from Python: who wins", header, shown, notes)


def _lead(winner: Row) -> str:
    name = winner["fastest"].split()[0]
    if "second" not in winner:
        return f"{name} alone"
    if winner["lead_low"] <= 1:
        return f"{name} = {winner['second'].split()[0]}"
    return f"{name} {cells.interval(winner, 'lead')}"
