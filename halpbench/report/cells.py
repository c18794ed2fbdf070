"""Parts of tables: rows of numbers for programs, cells of text and value for readers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from halpbench.bench import stats
from halpbench.bench.records import Record, Series

Row = dict[str, Any]

# Ends of an interval whose ratio is above ROUGH allow two digits; above WIDE no number at all.
ROUGH, WIDE = 1.25, 2.0
MARK = "~"


class Cell(str):
    """Text as shown, and the number behind it.

    Attributes
    ----------
    value : float or None
        The number, in the unit of its column's rows; None for text alone.
    """

    value: float | None

    def __new__(cls, text: str, value: float | None = None) -> Cell:
        """Make a cell of a text and a number."""
        cell = super().__new__(cls, text)
        cell.value = value
        return cell


@dataclass(frozen=True)
class Table:
    """Cells as shown: a header, rows of cells, and notes below. `brief`: shown on the console."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    brief: bool = True

    @property
    def all_notes(self) -> list[str]:
        """Notes, with the legend of the mark if a cell has one."""
        marked = any(MARK in cell for row in self.rows for cell in row)
        return [*self.notes, *(LEGEND if marked else ())]

    def noted(self, *notes: str) -> Table:
        """Return the table with more notes."""
        return replace(self, notes=[*self.notes, *notes])


UNKNOWN = f"{MARK}?"
LEGEND = (
    f"{MARK}: fewer than {stats.FEW} samples, whose range stands in parentheses, or samples that "
    "scatter.",
    f"{UNKNOWN}, {MARK}a-b: they scatter so much that nothing, or this interval alone, is known.",
)

# Result of a maker of tables: lists of rows by name, and the tables that show them.
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


def estimate(row: Row, name: str, count: int | None = None) -> stats.Estimate:
    """Return the estimate that `columns` put into a row; the count is that of its repetitions."""
    count = row.get("repetitions", stats.FEW) if count is None else count
    value = row[name]
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return stats.Estimate(
        value, value if low is None else low, value if high is None else high, count
    )


def find(rows: Sequence[Row], **wanted: object) -> Row | None:
    """Return the first row with these values; None if there is none."""
    return next((row for row in rows if wanted.items() <= row.items()), None)


def interval(row: Row | None, name: str) -> Cell:
    """Write the number in a column with its interval; nothing where there is no number."""
    if row is None or row.get(name) is None:
        return Cell("")
    return with_interval(estimate(row, name))


def with_interval(number: stats.Estimate) -> Cell:
    """Write a number with its interval, or with the range of few samples."""
    if _wide(number):
        return Cell(f"{MARK}{rough(number.low)}-{rough(number.high)}", number.value)
    text = str(_certain(number, _number, rough))
    # A contender against itself is 1 without doubt.
    if number.low < number.high:
        write = rough if MARK in text else _number
        ends = f"{write(number.low)}-{write(number.high)}"
        text += f" ({ends})" if number.few else f" [{ends}]"
    return Cell(text, number.value)


def plain(row: Row | None, name: str) -> Cell:
    """Write the number in a column alone; nothing where there is none."""
    if row is None or row.get(name) is None:
        return Cell("")
    return _certain(estimate(row, name), _number, rough)


def speedups(row: Row) -> list[Cell | str]:
    """Write the speedups of a step, of an epoch over both floats, and to the same gradient norm."""
    return [
        plain(row, "inner_speedup_over_f32"),
        plain(row, "epoch_speedup_over_f32"),
        plain(row, "epoch_speedup_over_f64"),
        plain(row, "same_norm_speedup_over_f32") or "-",
    ]


def time(row: Row | None, name: str, seconds_each: float = 1.0) -> Cell:
    """Write the time in a column in the unit that suits it; nothing where there is none."""
    if row is None or row.get(name) is None:
        return Cell("")
    return _certain(estimate(row, name).scaled(seconds_each), seconds, _rough_seconds)


def _certain(
    number: stats.Estimate, write: Callable[[float], str], rough: Callable[[float], str]
) -> Cell:
    """Write as many digits as the interval allows: three, two, or none."""
    if _wide(number):
        return Cell(UNKNOWN, number.value)
    if number.unsure or number.high > ROUGH * number.low:
        return Cell(f"{MARK}{rough(number.value)}", number.value)
    return Cell(write(number.value), number.value)


def _wide(number: stats.Estimate) -> bool:
    return number.high > WIDE * number.low


def number(value: float) -> Cell:
    """Write three significant digits."""
    return Cell(_number(value), value)


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def rough(value: float) -> str:
    """Write two significant digits."""
    if value <= 0:
        return f"{value:.0f}"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def norm(value: float | None) -> Cell:
    """Write a gradient norm."""
    return Cell("diverged" if value is None else f"{value:.1e}", value)


def seconds(value: float) -> Cell:
    """Write a time in the unit that suits it."""
    return Cell(_in_unit(value, _number), value)


def _rough_seconds(value: float) -> str:
    return _in_unit(value, rough)


def _in_unit(value: float, write: Callable[[float], str]) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if value * factor >= 1:
            return f"{write(value * factor)} {unit}"
    return f"{write(value * 1e9)} ns"


def size(value: float) -> Cell:
    """Write a number of bytes in the unit that suits it."""
    scaled = value
    for unit in ("B", "KB", "MB"):
        if scaled < 1000:
            return Cell(f"{scaled:.3g} {unit}", value)
        scaled /= 1000
    return Cell(f"{scaled:.3g} GB", value)


def share(value: float, of: stats.Estimate, after: str = "") -> Cell:
    """Write a share in percent, with the certainty of the number that it is a share of."""
    if _wide(of):
        return Cell(UNKNOWN, value)
    mark = MARK if of.unsure or of.high > ROUGH * of.low else ""
    return Cell(f"{mark}{value:.0%}{after}", value)


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
    parts = [
        f"l2 {problem['l2']:g}",
        f"step size {problem['step_size']:g}",
        f"{record.facts['epoch_length']:,} inner steps an epoch",
        *(_by_precision(record.case["contenders"], name) for name in ("mu", "delta")),
    ]
    return "; ".join(filter(None, parts))


def _by_precision(contenders: Sequence[Mapping[str, Any]], name: str) -> str:
    """Write a constant once where all have the same, otherwise beside each precision."""
    values: dict[str, str] = {}
    for contender in contenders:
        value = contender.get(name)
        if value is not None:
            text = value if isinstance(value, str) else f"{value:g}"
            values[f"{text} ({contender['precision']})"] = text
    if len(values) > 1 and len(set(values.values())) == 1:
        values = dict.fromkeys(values.values(), "")
    return f"{name} {', '.join(values)}" if values else ""
