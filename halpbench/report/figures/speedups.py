"""Speedups of inner steps and epochs over SVRG in float32, as bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from halpbench.report.cells import Row
from halpbench.report.figures.looks import LOOKS
from halpbench.report.pictures import Picture, new_figure
from halpbench.report.tables import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Bars have no dashes: share of white in the colour, and the hatching.
SHADES = {
    "HALP D16M16": (0.35, "////"),
    "HALP D8M16": (0.65, "xxxx"),
    "HALP D8M8": (1.0, ""),
}
BARS = tuple(SHADES)


def speedup_bars(report: Report) -> Iterator[Picture]:
    """Draw a panel for each problem and backend: bars for the inner step and the whole epoch."""
    rows = [row for row in report.data["epochs"] if row["repetitions"] and row["best_batch"]]
    if not any(row["plain"] in BARS for row in rows):
        return
    problems = list(dict.fromkeys((row["problem"], row["data"]) for row in rows))
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    columns = min(len(problems), 2)
    lines = -(-len(problems) // columns) * len(backends)
    figure = new_figure(1.0 + 1.7 * lines)
    axes = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    panels = [(problem, backend) for backend in backends for problem in problems]
    for place, ((problem, data), backend) in zip(axes, panels, strict=False):
        selected = [
            row
            for row in rows
            if (row["problem"], row["data"], row["backend"]) == (problem, data, backend)
        ]
        _bars(place, selected)
        place.set_title(f"{problem}, {data} data, {backend}", fontsize=7)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    figure.supylabel("times as fast as SVRG in float32", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    yield Picture(
        "speedups",
        figure,
        "Times as fast as SVRG in float32, of an inner step and of a whole epoch, each with its "
        "fastest batch size; 95 % intervals. Dashed: the ratio of the bytes read, which is the "
        "bound where reading the data is all.",
        rows,
    )


def _bars(axes: Axes, rows: Sequence[Row]) -> None:
    from matplotlib.colors import to_rgb

    width = 0.8 / len(BARS)
    for index, name in enumerate(BARS):
        row = next((row for row in rows if row["plain"] == name), None)
        if row is None or row.get("inner_speedup_over_f32") is None:
            continue
        places = [group + (index - (len(BARS) - 1) / 2) * width for group in (0, 1)]
        values = [row[f"{part}_speedup_over_f32"] for part in ("inner", "epoch")]
        errors = [
            [
                row[f"{part}_speedup_over_f32"] - row[f"{part}_speedup_over_f32_low"],
                row[f"{part}_speedup_over_f32_high"] - row[f"{part}_speedup_over_f32"],
            ]
            for part in ("inner", "epoch")
        ]
        bounds = [row[f"{part}_bound_over_f32"] for part in ("inner", "epoch")]
        strength, hatch = SHADES[name]
        color = LOOKS[name][0]
        axes.bar(
            places,
            values,
            width * 0.92,
            yerr=list(zip(*errors, strict=True)),
            color=[1 - strength * (1 - part) for part in to_rgb(color)],
            edgecolor=color,
            linewidth=0.6,
            hatch=hatch,
            label=name,
            error_kw={"elinewidth": 0.8},
        )
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                f"{value:.1f}",
                (place, 0),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=6,
                bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "linewidth": 0},
            )
        axes.hlines(
            bounds,
            [place - width * 0.46 for place in places],
            [place + width * 0.46 for place in places],
            color="black",
            linewidth=1.0,
            linestyle=(0, (2, 1)),
            label="ratio of bytes read" if index == len(BARS) - 1 else "_unlisted",
        )
    axes.axhline(1, color="black", linewidth=0.6)
    axes.set_xticks([0, 1], ["inner step", "whole epoch"])
    axes.grid(visible=False, axis="x")
    axes.set_axisbelow(True)
