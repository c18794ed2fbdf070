"""Time to accuracy of our estimator and those of libraries: to a gradient norm, and to a loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from halpbench.bench import stats
from halpbench.bench.records import Record
from halpbench.report import cells
from halpbench.report.cells import Content, Row, Table

KINDS = ("optimum", "fits")
OURS = "halpbench"

TIMES = ("seconds", "seconds_low", "seconds_high", "cpu_seconds", "tol", "repetitions")

# Quantity that fits reach, and the name of its levels in a plan.
LEVELS = {"grad_norm": "grad_norms", "suboptimality": "suboptimalities"}


def make(records: Sequence[Record]) -> Content:
    """Tabulate all fits, the least time to each level, and ours beside the best of the others."""
    solved = {record.case["problem"]["name"]: record for record in records if not _is_fits(record)}
    fits: list[Row] = []
    reached: list[Row] = []
    tables: list[Table] = []
    for name, optimum in solved.items():
        own = [r for r in records if _is_fits(r) and r.case["problem"]["name"] == name]
        if not own:
            continue
        # The last measurement of a contender at a tolerance counts.
        rows = list({(row["contender"], row["tol"]): row for row in _fits(own)}.values())
        times = list(_times(rows, own[-1]))
        fits += rows
        reached += times
        tables += _tables(rows, times, own, optimum)
    if reached:
        tables.insert(0, _summary(reached, fits))
    return {"fits": fits, "time_to_accuracy": reached}, tables


def describe(record: Record) -> str:
    """Name the measurement of a record."""
    name: str = record.case["problem"]["name"]
    if not _is_fits(record):
        return f"{name}, reference solution"
    contenders = ", ".join(contender for contender, _ in record.case["contenders"])
    return f"{name}, tolerance {record.case['tol']:.0e}, {contenders}"


def _is_fits(record: Record) -> bool:
    return record.kind == "fits"


def _fits(records: Sequence[Record]) -> Iterator[Row]:
    """Yield a row for each contender and tolerance, in the order in which they were measured."""
    for record in records:
        libraries = dict(record.case["contenders"])
        for series in record.series:
            samples = series.samples_ns
            row: Row = {
                "problem": record.case["problem"]["name"],
                "contender": series.contender,
                "library": libraries[series.contender],
                "tol": record.case["tol"],
                "repetitions": len(samples["fit"]),
                **{name: record.case["problem"][name] for name in ("n_samples", "n_features")},
            }
            if samples["fit"]:
                row |= cells.columns("seconds", stats.median(samples["fit"]).scaled(1e-9))
                row["cpu_seconds"] = float(np.median(samples["cpu"])) * 1e-9
            facts = ("loss", "grad_norm", "suboptimality", "peak_bytes", "failed")
            yield row | {name: series.facts.get(name) for name in facts}


def _times(rows: Sequence[Row], record: Record) -> Iterator[Row]:
    """Yield the quickest fit of each contender that reached each level, if there is one."""
    for contender, _ in record.case["contenders"]:
        own = [row for row in rows if row["contender"] == contender]
        for quantity, levels in LEVELS.items():
            for level in record.plan[levels] if own else ():
                there = [
                    row
                    for row in own
                    if row["repetitions"] and row[quantity] is not None and row[quantity] <= level
                ]
                best = min(there, key=lambda row: row["seconds"], default=None)
                yield {
                    "problem": record.case["problem"]["name"],
                    "contender": contender,
                    "quantity": quantity,
                    "level": level,
                    **{name: best[name] if best else None for name in TIMES},
                }


def _tables(
    rows: Sequence[Row], times: Sequence[Row], records: Sequence[Record], optimum: Record
) -> tuple[Table, Table]:
    """Show a problem: a line for each contender that took part, and notes on the others."""
    case, plan = records[-1].case, records[-1].plan
    problem = case["problem"]
    norm_cells, loss_cells = [], []
    for contender in dict.fromkeys(row["contender"] for row in times):
        done = [row for row in rows if row["contender"] == contender and row["repetitions"]]
        norms, losses = (
            [
                _seconds(cells.find(times, contender=contender, quantity=quantity, level=level))
                for level in plan[levels]
            ]
            for quantity, levels in LEVELS.items()
        )
        peaks = [row["peak_bytes"] for row in done if row["peak_bytes"] is not None]
        wall, cpu = (sum(row[name] for row in done) for name in ("seconds", "cpu_seconds"))
        about = [
            cells.Cell(f"{cpu / wall:.2f}", cpu / wall) if done else "",
            cells.span([row["repetitions"] for row in done]) if done else "",
            cells.size(max(peaks)) if peaks else "unknown",
        ]
        norm_cells.append([contender, *norms, *about])
        loss_cells.append([contender, *losses])
    title = (
        f"{problem['name']} ({problem['n_samples']:,} x {problem['n_features']:,}, "
        f"{problem['n_classes']} classes), l2 {problem['l2']:g}"
    )
    tolerances = sorted(record.case["tol"] for record in records)
    failed = [row for row in rows if row["failed"]]
    absent: dict[str, list[str]] = {}
    for name, reason in records[-1].facts["absent"].items():
        absent.setdefault(reason, []).append(name)
    libraries = dict.fromkeys(library for _, library in case["contenders"] if library)
    notes = [
        f"The quickest fit that got there, of tolerances {tolerances[-1]:.0e} to "
        f"{tolerances[0]:.0e}; -: none within {plan['budget_seconds']:g} s.",
        "cpu: processor time over time on the clock. fits: at each tolerance; their median counts.",
        "memory: peak of the fits above the data.",
        *(f"{row['contender']}, tolerance {row['tol']:.0e}: {row['failed']}." for row in failed),
        *(f"Absent, {reason}: {', '.join(names)}." for reason, names in absent.items()),
    ]
    return (
        Table(
            f"Time to a norm of the gradient: {title}",
            ("contender", *_levels(plan, "grad_norm"), "cpu", "fits", "memory"),
            norm_cells,
            notes,
        ),
        Table(
            f"Time to a loss so far above the least one: {title}",
            ("contender", *_levels(plan, "suboptimality")),
            loss_cells,
            [
                f"The least loss is known to {optimum.facts['error_bound']:.0e}.",
                f"Data: {optimum.facts['source']}. Libraries: {', '.join(libraries)}.",
            ],
            brief=False,
        ),
    )


def _levels(plan: Mapping[str, Any], quantity: str) -> list[str]:
    return [f"{level:.0e}" for level in plan[LEVELS[quantity]]]


def _summary(times: Sequence[Row], fits: Sequence[Row]) -> Table:
    """Set our time beside that of the best of the others, problem by problem, level by level."""
    lines = []
    norms = [row for row in times if row["quantity"] == "grad_norm"]
    for problem, level in dict.fromkeys((row["problem"], row["level"]) for row in norms):
        alike = [row for row in norms if (row["problem"], row["level"]) == (problem, level)]
        ours = next((row for row in alike if row["contender"] == OURS), None)
        others = [row for row in alike if row is not ours and row["seconds"] is not None]
        best = min(others, key=lambda row: row["seconds"], default=None)
        lines.append(
            [
                problem,
                f"{level:.0e}",
                _seconds(ours),
                _seconds(best),
                best["contender"] if best else "-",
                times_as_fast(ours, best),
            ]
        )
    return Table(
        "In short: time to a gradient norm, one thread",
        ("problem", "norm", "halpbench", "best other", "which", "times as fast"),
        lines,
        [
            "Below 1, the other is faster.",
            "Samples x features: "
            + ", ".join(dict.fromkeys(f"{row['problem']} {shape(row)}" for row in fits))
            + ".",
        ],
    )


def shape(row: Row) -> str:
    """Write the samples and features of the problem of a fit."""
    return f"{row['n_samples']:,} x {row['n_features']:,}"


def times_as_fast(row: Row | None, baseline: Row | None) -> cells.Cell:
    """Write how many times as fast a fit is as another, with the digits that both times have."""
    if baseline is None or row is None or row["seconds"] is None:
        return cells.Cell("-")
    ours, other = cells.estimate(row, "seconds"), cells.estimate(baseline, "seconds")
    ratio = stats.Estimate(
        other.value / ours.value,
        other.low / ours.high,
        other.high / ours.low,
        min(ours.count, other.count),
    )
    return cells.plain({**cells.columns("ratio", ratio), "repetitions": ratio.count}, "ratio")


def _seconds(row: Row | None) -> cells.Cell:
    return cells.time(row, "seconds") or cells.Cell("-")
