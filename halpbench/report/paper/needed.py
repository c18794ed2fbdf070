"""Bits that HALP needs, and floors of LP-SVRG by dimension: the figure of docs/bits.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from halpbench.bench.records import Record
from halpbench.report.cells import Row
from halpbench.report.pictures import COLORS, Picture, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Light to dark with the dimension or the condition number, and readable in grey.
SHADES = ("#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08519c", "#08306b")


def figure_needed_bits(records: Sequence[Record]) -> Iterator[Picture]:
    """Bits against condition number and dimension; floors against the dimension."""
    figure = new_figure(3.2)
    by_condition, by_dimension, floors = figure.subplots(1, 3)
    rows: list[Row] = []
    for record in records:
        facts = record.series[0].facts
        if record.case["delta"]:
            rows += _draw_floors(floors, facts)
        else:
            rows += _draw_bits(by_condition, by_dimension, facts)
    by_condition.set(
        xscale="log", xlabel="condition number", ylabel="bits for a contraction of 1/2"
    )
    by_dimension.set(xscale="log", xlabel="dimension")
    floors.set(xscale="log", yscale="log", xlabel="dimension", ylabel="floor of LP-SVRG")
    for axes in (by_condition, by_dimension):
        axes.set_ylim(2, 30)  # room for the legend
        axes.locator_params(axis="y", integer=True)
    for axes in (by_condition, by_dimension, floors):
        axes.legend(fontsize=6)
    yield Picture("needed-bits", figure, _caption(records), rows)


def _draw_bits(by_condition: Axes, by_dimension: Axes, facts: dict[str, list[float]]) -> list[Row]:
    rows: list[Row] = [
        {"quantity": "bits", "condition": kappa, "dimension": d, "bits": bits}
        for kappa, d, bits in zip(facts["kappa"], facts["d"], facts["bits"], strict=True)
    ]
    for color, d in zip(SHADES, sorted({row["dimension"] for row in rows}), strict=False):
        line = [row for row in rows if row["dimension"] == d]
        x, y = [row["condition"] for row in line], [row["bits"] for row in line]
        by_condition.plot(x, y, color=color, label=f"d = {d:,}")
    decades = [k for k in sorted({row["condition"] for row in rows}) if math.log10(k) % 1 == 0]
    for color, kappa in zip(SHADES, decades, strict=False):
        line = [row for row in rows if row["condition"] == kappa]
        x, y = [row["dimension"] for row in line], [row["bits"] for row in line]
        by_dimension.plot(x, y, "-o", color=color, markersize=3, label=f"kappa = {kappa:,.0f}")
    return rows


def _draw_floors(axes: Axes, facts: dict[str, list[float | None]]) -> list[Row]:
    names = {"bound": "Theorem 1", "free": "without d", "predicted": "predicted"}
    looks = {"bound": ("--", "#555555"), "free": (":", "#009E73")}
    for quantity, label in names.items():
        points = [(d, v) for d, v in zip(facts["d"], facts[quantity], strict=True) if v is not None]
        style, color = looks.get(quantity, ("-o", COLORS["lp-svrg"]))
        axes.plot(*zip(*points, strict=True), style, color=color, markersize=3, label=label)
    return [
        {"quantity": f"floor, {label}", "dimension": d, "floor": value}
        for quantity, label in names.items()
        for d, value in zip(facts["d"], facts[quantity], strict=True)
        if value is not None
    ]


def _caption(records: Sequence[Record]) -> str:
    floors = next((record for record in records if record.case["delta"]), None)
    text = (
        "Bits at which Theorem 2 of docs/theory.md promises that an epoch of HALP halves the "
        "expected suboptimality, given its centre: against the condition number L / mu (left) and "
        "the dimension (middle). One bit for each doubling of the condition number, one for four "
        "times the dimension; a run needs fewer. "
    )
    if floors is not None:
        text += (
            "Right: floors of LP-SVRG for ridge regression whose features fade as j^-1.5, L / mu = "
            f"{floors.case['conditions'][0]:g}, delta = {floors.case['delta']:g}: Theorem 1, which "
            "grows with d; a bound in the manner of Li and De Sa (2019), where the L1 smoothness "
            "takes its place, each with the step size and epoch length that it asks for; and "
            "what `halpbench.theory.predict` expects, with those of Theorem 1."
        )
    return text
