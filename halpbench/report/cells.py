"""What the tables are made of: rows of numbers for programs, cells of text for readers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halpbench.bench import stats
from halpbench.bench.records import Record, Series

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Text as shown: a header, rows of cells, and notes below. `brief`: shown on the console."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    brief: bool = True


# What a maker of tables returns: lists of rows by name, and the tables that show them.
Content = tuple[dict[str, list[Row]], list[Table]]


def per_call(series: Series) -> list[float]:
    """Return the nanoseconds of a call, from samples of many calls each."""
    return [ns / series.facts["calls"] for ns in series.samples_ns["calls"]]


def backends(records: Sequence[Record]) -> list[str]:
    """List the backends of records, in the order of their first appearance: best first."""
    return list(dict.fromkeys(record.case["backend"] for record in records))


def columns(name: str, estimate: stats.Estimate) -> Row:
    """Return an estimate and the ends of its interval as three columns."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def find(rows: Sequence[Row], **wanted: object) -> Row | None:
    """Return the first row with these values; None if there is none."""
    return next((row for row in rows if wanted.items() <= row.items()), None)


def interval(row: Row | None, name: str) -> str:
    """Write the number in a column with its interval; nothing where there is no number."""
    if row is None or row.get(name) is None:
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    # A contender against itself is 1 without doubt.
    return number(row[name]) + (f" [{number(low)}-{number(high)}]" if low < high else "")


def plain(row: Row | None, name: str) -> str:
    """Write the number in a column alone; nothing where there is none."""
    return "" if row is None or row.get(name) is None else number(row[name])


def number(value: float) -> str:
    """Write three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def norm(value: float | None) -> str:
    """Write a gradient norm."""
    return "diverged" if value is None else f"{value:.1e}"


def seconds(value: float) -> str:
    """Write a time in the unit that suits it."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if value * factor >= 1:
            return f"{number(value * factor)} {unit}"
    return f"{number(value * 1e9)} ns"


def size(value: float) -> str:
    """Write a number of bytes in the unit that suits it."""
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def span(counts: Sequence[int]) -> str:
    """Write the range of some counts."""
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def read_only(record: Record) -> bool:
    """Tell whether a record holds the speed of merely reading memory."""
    return record.kind == "kernel" and record.case["op"] == "read"


def title_of(record: Record) -> str:
    """Name a problem, its shape and the treatment of its data."""
    facts, problem = record.facts, record.case["problem"]
    classes = f", {problem['n_classes']} classes" if problem["n_classes"] > 1 else ""
    return (
        f"{problem['name']} ({facts['n_samples']:,} x {facts['n_features']:,}{classes}), "
        f"{record.case['data']} data"
    )


def constants_of(record: Record) -> str:
    """Write the constants that make the measurement: l2, step size, epoch length, mu, delta."""
    problem: Mapping[str, Any] = record.case["problem"]
    options: dict[str, list[str]] = {}
    for contender in record.case["contenders"]:
        for name, value in contender["options"]:
            options.setdefault(name, []).append(f"{value:g} ({contender['precision']})")
    parts = [
        f"l2 {problem['l2']:g}",
        f"step size {problem['step_size']:g}",
        f"{record.facts['epoch_length']:,} inner steps an epoch",
        *(f"{name} {', '.join(values)}" for name, values in options.items()),
    ]
    return "; ".join(parts)
