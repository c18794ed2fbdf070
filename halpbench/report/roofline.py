"""Roofline: kernels and steps of solvers beside the bounds of the machine.

The model is that of Williams, Waterman and Patterson, "Roofline: an insightful visual performance
model for multicore architectures", CACM 52(4), 2009, with a roof for each level of memory.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halpbench.bench import stats
from halpbench.bench.records import Record, Series
from halpbench.report import cells, epochs
from halpbench.report.cells import Content, Row, Table

ARITHMETIC = "ops"
# Headers by part of an epoch: the time, and the share of the bound.
PARTS = {"inner": ("inner ns", "share"), "full_gradient": ("gradient ns", "share")}
PART_COLUMNS = {"inner": "inner_ns_per_step", "full_gradient": "full_gradient_ns_per_row"}
Rows = Mapping[str, Sequence[Row]]
LEGEND = [
    "Share of the bound: the least time that reading the operands and multiplying them can take,",
    "by the measured ceilings of this machine, over the time taken. Then what binds: the level of",
    "memory that holds the operands, or ops, the multiply-adds of the type on this backend.",
]
UPDATES = [
    "Updates (axpy, ger) of integers also round at random, which costs several instructions an",
    "element; the bound counts none of them, so that their share is low where arithmetic matters.",
]


def make(records: Sequence[Record], machine: Mapping[str, Any], rows: Rows) -> Content:
    """Tabulate the share of its bound that each kernel and each step of a solver reaches.

    The times are those of the rows of the other tables, by name: "kernels" and "epochs".

    Returns nothing where the ceilings of the machine were not measured, or the work not recorded.
    """
    ceilings = machine.get("ceilings")
    shares = [row for record in records for row in _rows(record, ceilings, rows)]
    if not shares:
        return {}, []
    tables = []
    best = shares[0]["backend"]
    for backend in dict.fromkeys(row["backend"] for row in shares):
        own = [row for row in shares if row["backend"] == backend]
        called = [row for row in own if row["part"] == "calls"]
        if called:
            tables.append(_kernel_table(backend, called, brief=backend == best))
        steps = [row for row in own if row["part"] != "calls"]
        if steps:
            tables.append(_step_table(backend, steps, brief=backend == best))
    return {"roofline": shares}, tables


def _rows(record: Record, ceilings: Mapping[str, Any] | None, rows: Rows) -> Iterator[Row]:
    if ceilings is None:
        return
    backend = record.case.get("backend")
    speeds = {
        row["dtype"]: row["giga_per_second"]
        for row in ceilings["multiply_add"]
        if row["backend"] == backend
    }
    levels = [row for row in ceilings["read"] if row["backend"] == backend and row["threads"] == 1]
    if not speeds or not levels:
        return
    for series in record.series:
        if series.contender == f"{record.case.get('beside')} i8":
            continue  # has a case of its own
        for part, work in series.facts.get("work", {}).items():
            taken = _time(record, series, part, rows)
            measured = work["multiply_adds"].keys() <= speeds.keys()
            if taken is not None and work["multiply_adds"] and measured:
                yield {
                    **_name(record, series),
                    "part": part,
                    "backend": backend,
                    **cells.columns("ns", taken),
                    "repetitions": taken.count,
                    **_bound(work, levels, speeds, taken.value),
                }


def _name(record: Record, series: Series) -> Row:
    case = record.case
    if record.kind == "kernel":
        return {
            "what": case["op"],
            "n": case["n"],
            "classes": case["classes"],
            "contender": series.contender,
        }
    return {
        "what": case["problem"]["name"],
        "data": case["data"],
        "n": record.facts["n_features"],
        "classes": case["problem"]["n_classes"],
        "contender": series.contender,
    }


def _time(record: Record, series: Series, part: str, rows: Rows) -> stats.Estimate | None:
    """Return the nanoseconds of the unit of the work: a call, a step, a row."""
    case = record.case
    if part == "calls":
        table, name = "kernels", "ns"
        key = {"op": case["op"], "n": case["n"], "classes": case["classes"]}
        key |= {"dtype": series.contender}
    else:
        table, name = "epochs", PART_COLUMNS[part]
        key = {"problem": case["problem"]["name"], "data": case["data"]}
        key |= {"contender": series.contender}
    row = cells.find(rows.get(table, ()), backend=case["backend"], **key)
    if row is not None:
        return None if row.get(name) is None else cells.estimate(row, name)
    # Epochs that have no row, because they are too short for a table of their own.
    if part == "calls" or not series.samples_ns[part]:
        return None
    count = record.facts["epoch_length" if part == "inner" else "n_samples"]
    return stats.median(epochs.timed(series, part)).scaled(1 / count)


def _bound(
    work: Mapping[str, Any],
    levels: Sequence[Mapping[str, Any]],
    speeds: Mapping[str, float],
    taken_ns: float,
) -> Row:
    """Find the least time for some work, and its bottleneck; levels are read at the same time."""
    read: dict[str, int] = {}
    for array_bytes, count in work["reads"]:
        holding = [row for row in levels if array_bytes <= (row["size_bytes"] or math.inf)]
        level = (holding or levels[-1:])[0]["level"]  # the nearest
        read[level] = read.get(level, 0) + count
    reading = {
        row["level"]: read[row["level"]] / row["gigabytes_per_second"]
        for row in levels
        if row["level"] in read
    }
    arithmetic = sum(count / speeds[dtype] for dtype, count in work["multiply_adds"].items())
    slowest = max(reading, key=lambda level: reading[level])
    bound = max(reading[slowest], arithmetic)
    multiply_adds = sum(work["multiply_adds"].values())
    return {
        "level": slowest,
        "bytes": read[slowest],
        "multiply_adds": multiply_adds,
        "dtypes": "+".join(work["multiply_adds"]),
        "multiply_adds_per_byte": multiply_adds / read[slowest],
        "gigabytes_per_second": read[slowest] / taken_ns,
        "giga_multiply_adds_per_second": multiply_adds / taken_ns,
        "reading_ns": reading[slowest],
        "arithmetic_ns": arithmetic,
        "bound_ns": bound,
        "binds": slowest if reading[slowest] >= arithmetic else ARITHMETIC,
        "share": bound / taken_ns,
    }


def _kernel_table(backend: str, rows: Sequence[Row], brief: bool) -> Table:
    dtypes = list(dict.fromkeys(row["contender"] for row in rows))
    lines = []
    for what, n, classes in dict.fromkeys((row["what"], row["n"], row["classes"]) for row in rows):
        times = f" x {classes}" if classes > 1 else ""
        line = [f"{what}, {n:,}{times}"]
        for dtype in dtypes:
            line.append(_share(cells.find(rows, what=what, n=n, classes=classes, contender=dtype)))
        lines.append(line)
    title = f"Share of the bound: kernels, {backend}"
    return Table(title, ("elements", *dtypes), lines, [*LEGEND, *UPDATES], brief)


def _step_table(backend: str, rows: Sequence[Row], brief: bool) -> Table:
    lines = []
    for problem, data, contender in dict.fromkeys(
        (row["what"], row["data"], row["contender"]) for row in rows
    ):
        line = [problem, data, contender]
        for part in PARTS:
            row = cells.find(rows, what=problem, data=data, contender=contender, part=part)
            line += [cells.plain(row, "ns"), _share(row)]
        lines.append(line)
    header = ("problem", "data", "contender", *(name for part in PARTS.values() for name in part))
    title = f"Share of the bound: solvers, {backend}"
    notes = [*LEGEND, *UPDATES, "ns: of an inner step, and of the full gradient for a row of data."]
    return Table(title, header, lines, notes, brief)


def _share(row: Row | None) -> cells.Cell:
    if row is None:
        return cells.Cell("")
    return cells.share(row["share"], cells.estimate(row, "ns"), f" {row['binds']}")
