"""Bounds beside measurements, the theory of docs/theory.md."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from halpbench.bench.records import Record
from halpbench.report.cells import Row
from halpbench.report.pictures import COLORS, Picture, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def figure_theory(records: Sequence[Record]) -> Iterator[Picture]:
    """Bounds and measurements: LP-SVRG by epoch and by scale, HALP by bits."""
    figure = new_figure(4.6)
    problems = list(dict.fromkeys(record.case["problem"] for record in records))
    axes = figure.subplots(len(problems), 3, squeeze=False)
    rows: list[Row] = []
    for line, problem in enumerate(problems):
        runs = [record for record in records if record.case["problem"] == problem]
        svrg = [record for record in runs if record.case["algorithm"] == "lp-svrg"]
        halp = [record for record in runs if record.case["algorithm"] == "halp"]
        rows += _draw_decay(axes[line, 0], [r for r in svrg if r.case["precision"] == "D16M16"])
        rows += _draw_floors(axes[line, 1], svrg)
        rows += _draw_contractions(axes[line, 2], halp)
        axes[line, 0].set_ylabel(f"{problem}\nmean suboptimality")
        axes[line, 0].locator_params(axis="x", integer=True)
        axes[line, 1].set_ylabel("floor of the suboptimality")
        axes[line, 2].set_ylabel("contraction an epoch")
    for column, title in enumerate(["LP-SVRG D16M16", "LP-SVRG: floor", "HALP: contraction"]):
        axes[0, column].set_title(title)
    for column, label in enumerate(["epoch", "delta", "bits of the model"]):
        axes[-1, column].set_xlabel(label)
    from matplotlib.lines import Line2D

    figure.legend(
        handles=[
            Line2D([], [], color="#555555", linestyle="--", label="bound"),
            Line2D([], [], color=COLORS["lp-svrg"], marker="o", markersize=3, label="LP-SVRG"),
            Line2D([], [], color=COLORS["halp"], marker="o", markersize=3, label="HALP, simulated"),
            Line2D([], [], color=COLORS["halp"], marker="D", linestyle="", label="HALP, compiled"),
        ],
        loc="outside upper center",
        ncols=4,
    )
    case = records[0].case
    yield Picture(
        "theory",
        figure,
        "Bounds of docs/theory.md (dashed) and measurements (means and three standard errors over "
        f"{case['runs']} seeds; {case['runs'] // 2} where simulated), gamma = {case['gamma']:g}, "
        "option II. Left: LP-SVRG converges linearly to a floor; a bound has the marker of the "
        "measurement that it bounds, circles for the finest delta and squares for the coarsest, "
        "and one that rises has a floor above the start. Middle: the floor grows as the square "
        "of delta; one bound serves both precisions. Right: HALP contracts linearly once its bits "
        "suffice; above the line at 1 the bound promises nothing.",
        rows,
    )


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and three standard errors of it."""
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)
    return mean, 3 * math.sqrt(variance / len(values))


def _draw_decay(axes: Axes, records: Sequence[Record]) -> Iterator[Row]:
    for record in records:
        averages = [_mean(gaps) for gaps in zip(*record.series[0].facts["gaps"], strict=True)]
        for epoch, (mean, error) in enumerate(averages):
            yield {
                **_theory_row(record, "suboptimality"),
                "epoch": epoch,
                "measured": mean,
                "error": error,
                "bound": record.facts["bound"][epoch],
            }
    # The coarsest and the finest scale; more would hide whose bound is whose.
    ordered = sorted(records, key=lambda record: record.case["delta"])
    for record, marker, side in ((ordered[0], "o", "top"), (ordered[-1], "s", "bottom")):
        means, errors = zip(
            *(_mean(gaps) for gaps in zip(*record.series[0].facts["gaps"], strict=True)),
            strict=True,
        )
        label = f"delta $2^{{{round(math.log2(record.case['delta']))}}}$"
        epochs = range(len(means))
        at = (epochs[-1], 1.5 * means[-1])
        axes.annotate(label, at, ha="right", va="bottom", fontsize=7, color=COLORS["lp-svrg"])
        style: dict[str, Any] = {"marker": marker, "markersize": 3, "linewidth": 0.8}
        axes.plot(epochs, record.facts["bound"], "--", color="#555555", **style)
        at = (epochs[-1], record.facts["bound"][-1])
        axes.annotate(
            f"bound, {label}",
            at,
            xytext=(0, 3 if side == "bottom" else -4),
            textcoords="offset points",
            ha="right",
            va=side,
            fontsize=7,
            color="#555555",
        )
        axes.errorbar(epochs, means, errors, color=COLORS["lp-svrg"], **style)
    # Three standard errors of a skewed mean can reach below zero.
    highest = max(ordered[-1].facts["bound"])
    axes.set(yscale="log", ylim=(0.3 * _least(ordered[0]), 8 * highest))


def _least(record: Record) -> float:
    """Return the least mean suboptimality."""
    gaps = record.series[0].facts["gaps"]
    return min(_mean(epoch)[0] for epoch in zip(*gaps, strict=True))


def _draw_floors(axes: Axes, records: Sequence[Record]) -> Iterator[Row]:
    points = []
    for record in sorted(records, key=lambda record: record.case["delta"]):
        # Stationary by then: the second half of the epochs of each run.
        floors = [
            sum(g[len(g) // 2 :]) / len(g[len(g) // 2 :]) for g in record.series[0].facts["gaps"]
        ]
        mean, error = _mean(floors)
        bound = record.facts["noise"] / (1 - record.case["gamma"])
        points.append((record.case["delta"], mean, error, bound, record.case["precision"]))
        yield {
            **_theory_row(record, "floor"),
            "measured": mean,
            "error": error,
            "bound": bound,
        }
    axes.plot([p[0] for p in points], [p[3] for p in points], "--", color="#555555")
    for precision, marker in (("D8M8", "D"), ("D16M16", "o")):
        marked = [p for p in points if p[4] == precision]
        axes.errorbar(
            [p[0] for p in marked],
            [p[1] for p in marked],
            [p[2] for p in marked],
            fmt=marker,
            color=COLORS["lp-svrg"],
            markersize=4,
            markerfacecolor="none" if marker == "D" else None,
            label=precision,
        )
    axes.set(xscale="log", yscale="log")
    axes.legend()


def _draw_contractions(axes: Axes, records: Sequence[Record]) -> Iterator[Row]:
    drawn: dict[bool, list[tuple[float, ...]]] = {True: [], False: []}
    for record in sorted(records, key=lambda record: record.case["bits"]):
        ratios = [
            after / before
            for gaps in record.series[0].facts["gaps"]
            for before, after in itertools.pairwise(gaps)
        ]
        mean, error = _mean(ratios)
        bound = record.facts["contraction_bound"]
        drawn[record.case["precision"] is None].append((record.case["bits"], mean, error, bound))
        yield {
            **_theory_row(record, "contraction"),
            "measured": mean,
            "error": error,
            "bound": bound,
        }
    bits, means, errors, bounds = zip(*drawn[True], strict=True)
    axes.plot(bits, bounds, "--", color="#555555")
    axes.errorbar(bits, means, errors, fmt="-o", color=COLORS["halp"], markersize=3)
    for b, mean, error, _ in drawn[False]:
        axes.errorbar([b], [mean], [error], fmt="D", color=COLORS["halp"], markersize=5)
    axes.axhline(1, color="#999999", linewidth=0.6)
    axes.annotate(
        "no progress",
        (1, 1),
        ha="right",
        va="bottom",
        xycoords=("axes fraction", "data"),
        fontsize=7,
    )
    axes.set(yscale="log", ylim=(0.02, 50))


def _theory_row(record: Record, quantity: str) -> Row:
    case = record.case
    names = ("problem", "algorithm", "precision", "bits", "delta", "gamma", "runs")
    return {"quantity": quantity, **{name: case[name] for name in names}}
