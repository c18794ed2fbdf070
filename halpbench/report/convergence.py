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
    """Tabulate the trajectories, and when they first reach powers of ten."""
    trajectories: list[Row] = []
    reached: list[Row] = []
    tables: list[Table] = []
    for record in _once(records):
        targets = _targets(record.series)
        norm_cells, time_cells = [], []
        longest = max(len(series.facts["gradient_norms"]) for series in record.series)
        shown = [epoch for epoch in SHOWN_EPOCHS if epoch < longest]
        for series in record.series:
            norms = series.facts["gradient_norms"]
            label = {
                "problem": record.case["problem"]["name"],
                "data": record.case["data"],
                "contender": series.contender,
                "batch_size": series.facts.get("batch_size", 1),
            }
            elapsed_ns = list(itertools.accumulate(series.samples_ns["epoch"], initial=0))
            seconds = [ns * 1e-9 for ns in elapsed_ns]
            trajectories += [
                {**label, "epoch": epoch, "seconds": time, "gradient_norm": norm}
                for epoch, (time, norm) in enumerate(zip(seconds, norms, strict=True))
            ]
            first = {target: _first_below(norms, target) for target in targets}
            reached += [
                {
                    **label,
                    "gradient_norm": target,
                    "epoch": epoch,
                    "seconds": None if epoch is None else seconds[epoch],
                }
                for target, epoch in first.items()
            ]
            norm_cells.append(
                [
                    series.contender,
                    *(cells.norm(norms[e] if e < len(norms) else None) for e in shown),
                ]
            )
            time_cells.append(
                [
                    series.contender,
                    *("-" if e is None else cells.seconds(seconds[e]) for e in first.values()),
                ]
            )
        title = cells.title_of(record)
        notes = [
            f"Constants: {cells.constants_of(record)}.",
            f"Data: {record.facts.get('source', 'unknown')}. Backend {record.case['backend']}. "
            "One run each, of the same samples.",
        ]
        tables += [
            Table(
                f"Gradient norm after so many epochs: {title}",
                ("contender", *map(str, shown)),
                norm_cells,
                notes,
            ),
            Table(
                f"Time to reach a gradient norm: {title}",
                ("contender", *(f"{target:.0e}" for target in targets)),
                time_cells,
                ["Time of the algorithm alone, at the end of the epoch. -: not reached."],
            ),
        ]
    return {"trajectories": trajectories, "reached": reached}, tables


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


def _first_below(norms: Sequence[float], target: float) -> int | None:
    return next((i for i, norm in enumerate(norms) if norm <= target), None)
