"""Table 3: gradient norm by epoch, and seconds to reach given gradient norms."""

import itertools
import math
from collections.abc import Iterator, Sequence

from halpbench.bench.records import Record, Series
from halpbench.report import cells
from halpbench.report.cells import Content, Row, Table

SHOWN_EPOCHS = (0, 1, 2, 5, 10, 15, 20, 30, 40)

# Largest number of powers of ten: the smallest that any contender reaches.
MOST_TARGETS = 8


def make(records: Sequence[Record]) -> Content:
    """Tabulate the trajectories, and the epochs in which they first reach powers of ten."""
    trajectories: list[Row] = []
    reached: list[Row] = []
    tables: list[Table] = []
    for record in _once(records):
        targets = _targets(record.series)
        by_series = [_trajectory(record, series) for series in record.series]
        firsts = [_reached(trajectory, targets) for trajectory in by_series]
        trajectories += itertools.chain.from_iterable(by_series)
        reached += itertools.chain.from_iterable(firsts)
        tables += [_norm_table(record, by_series), _time_table(record, firsts, targets)]
    return {"trajectories": trajectories, "reached": reached}, tables


def _trajectory(record: Record, series: Series) -> list[Row]:
    """Return a row for each epoch of a contender, the start included."""
    elapsed_ns = itertools.accumulate(series.samples_ns["epoch"], initial=0)
    norms = series.facts["gradient_norms"]
    return [
        {
            "problem": record.case["problem"]["name"],
            "data": record.case["data"],
            "contender": series.contender,
            "batch_size": series.facts.get("batch_size", 1),
            "epoch": epoch,
            "seconds": ns * 1e-9,
            "gradient_norm": norm,
        }
        for epoch, (ns, norm) in enumerate(zip(elapsed_ns, norms, strict=True))
    ]


def _reached(trajectory: Sequence[Row], targets: Sequence[float]) -> list[Row]:
    """Return a row for each gradient norm, with the first epoch that reaches it."""
    rows = []
    for target in targets:
        first = next((row for row in trajectory if row["gradient_norm"] <= target), None)
        rows.append(
            {name: trajectory[0][name] for name in ("problem", "data", "contender", "batch_size")}
            | {
                "gradient_norm": target,
                "epoch": None if first is None else first["epoch"],
                "seconds": None if first is None else first["seconds"],
            }
        )
    return rows


def _norm_table(record: Record, trajectories: Sequence[Sequence[Row]]) -> Table:
    longest = max(len(trajectory) for trajectory in trajectories)
    shown = [epoch for epoch in SHOWN_EPOCHS if epoch < longest]
    lines = []
    for trajectory in trajectories:
        norms = [row["gradient_norm"] for row in trajectory]
        line = [cells.norm(norms[epoch] if epoch < len(norms) else None) for epoch in shown]
        lines.append([trajectory[0]["contender"], *line])
    return Table(
        f"Gradient norm after so many epochs: {cells.title_of(record)}",
        ("contender", *map(str, shown)),
        lines,
        [
            f"Constants: {cells.constants_of(record)}.",
            f"Data: {record.facts.get('source', 'unknown')}. Backend {record.case['backend']}. "
            "One run each, of the same samples.",
        ],
    )


def _time_table(record: Record, firsts: Sequence[Sequence[Row]], targets: Sequence[float]) -> Table:
    lines = []
    for series, rows in zip(record.series, firsts, strict=True):
        times = ("-" if row["epoch"] is None else _once_measured(row["seconds"]) for row in rows)
        lines.append([series.contender, *times])
    return Table(
        f"Time to reach a gradient norm: {cells.title_of(record)}",
        ("contender", *(f"{target:.0e}" for target in targets)),
        lines,
        ["Time of the algorithm alone, at the end of the epoch. -: not reached."],
    )


def _once(records: Sequence[Record]) -> Iterator[Record]:
    """Yield the epochs of each problem on one backend: integers are the same on every one."""
    backends: dict[tuple[str, str], str] = {}
    for record in records:
        if record.kind == "epochs":
            case = record.case
            key = (case["problem"]["name"], case["data"])
            if backends.setdefault(key, case["backend"]) == case["backend"]:
                yield record


def _targets(all_series: Sequence[Series]) -> list[float]:
    """List the powers of ten between the start and the least gradient norm of all."""
    norms = [norm for series in all_series for norm in series.facts["gradient_norms"] if norm > 0]
    if not norms:
        return []
    start = max(series.facts["gradient_norms"][0] for series in all_series)
    powers = range(math.ceil(math.log10(start)) - 1, math.ceil(math.log10(min(norms))) - 1, -1)
    return [10.0**power for power in powers][-MOST_TARGETS:]


def _once_measured(value: float) -> cells.Cell:
    """Write a time of a single run: nothing is known of its scatter."""
    return cells.time({"seconds": value, "repetitions": 1}, "seconds")
