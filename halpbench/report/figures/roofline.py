"""Kernels and steps of solvers below the measured roofs of the machine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from halpbench.report import cells
from halpbench.report.cells import Row
from halpbench.report.figures.looks import DTYPES
from halpbench.report.pictures import Picture, new_figure
from halpbench.report.tables import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A marker for the level of memory that the operands are read from.
LEVEL_MARKERS = {"L1": "o", "L2": "s", "L3": "^", "L4": "v", "DRAM": "D"}
ROOFS_APART = 1.2  # closer ones share a label
# Where the name of a mark may stand, best first: points to the right and up, and the side of the
# name that lies there.
SPOTS = tuple((x, y, side) for y in (2, -6, 9, -13) for x, side in ((3, "left"), (-3, "right")))


def roofline_panels(report: Report) -> Iterator[Picture]:
    """Draw kernels and steps of solvers below the measured roofs, a line of panels a backend."""
    rows = report.data["roofline"]
    # Backends on which solvers ran, or else the first one: the table has the others.
    backends = list(dict.fromkeys(row["backend"] for row in rows if row["part"] != "calls"))
    backends = backends or [rows[0]["backend"]]
    rows = [row for row in rows if row["backend"] in backends and row.get("data") != "exact"]
    letters = _letters(rows)
    figure = new_figure(0.9 + 2.5 * len(backends))
    axes = figure.subplots(len(backends), 2, sharex=True, sharey=True, squeeze=False)
    intensities = [row["multiply_adds_per_byte"] for row in rows]
    span = min(intensities) / 2, max(*intensities, 4) * 2
    lowest = min(row["giga_multiply_adds_per_second"] for row in rows) / 1.5
    peaks = report.machine["ceilings"]["multiply_add"]
    highest = max(row["giga_per_second"] for row in peaks if row["backend"] in backends)
    named: list[tuple[Axes, list[Row]]] = []
    for line, backend in zip(axes, backends, strict=True):
        for place, steps in zip(line, (False, True), strict=True):
            place.set_xscale("log", base=2)
            place.set_yscale("log")
            place.set_xlim(*span)
            place.set_ylim(lowest, 2 * highest)
            place.xaxis.set_major_formatter(_fraction)
            place.set_title(f"{'steps of solvers' if steps else 'kernels'}, {backend}")
            _roofs(place, report.machine["ceilings"], backend, span, lowest)
            selected = [
                row
                for row in rows
                if row["backend"] == backend and (row["part"] != "calls") == steps
            ]
            _below_roof(place, selected)
            named.append((place, selected))
    figure.supxlabel("multiply-adds for each byte read", fontsize=8)
    figure.supylabel("billions of multiply-adds a second", fontsize=8)
    figure.legend(handles=_roofline_legend(rows), loc="outside upper center", ncols=len(DTYPES) + 1)
    figure.draw_without_rendering()  # only then it is known which names would cover each other
    for place, selected in named:
        _name_marks(place, selected, letters)
    yield Picture(
        "roofline",
        figure,
        "Multiply-adds a second against multiply-adds for each byte read from the level of memory "
        "that takes longest. Sloping: the measured bandwidth of each level, read by one thread. "
        "Level: the measured multiply-adds a second of each type. The roof over a mark is the line "
        "of its own level and type. Hollow marks: updates and inner steps, which also round. "
        "The name of a kernel stands at the highest of its marks of a type, which differ in size, "
        "if there is room for it; "
        f"steps of solvers, data quantized, have the letter of the problem: {_key(letters)}.",
        report.data["roofline"],
    )


def _letters(rows: Sequence[Row]) -> dict[str, str]:
    """Give each problem that steps were taken on a letter."""
    problems = dict.fromkeys(row["what"] for row in rows if row["part"] != "calls")
    return {problem: chr(ord("A") + index % 26) for index, problem in enumerate(problems)}


def _key(letters: Mapping[str, str]) -> str:
    return ", ".join(f"{letter} {problem}" for problem, letter in letters.items()) or "none ran"


def _roofs(
    axes: Axes, ceilings: Any, backend: str, span: tuple[float, float], lowest: float
) -> None:
    reads = [row for row in ceilings["read"] if row["backend"] == backend and row["threads"] == 1]
    peaks = [row for row in ceilings["multiply_add"] if row["backend"] == backend]
    highest = max(row["giga_per_second"] for row in peaks)
    fastest = max(row["gigabytes_per_second"] for row in reads)
    for row in reads:
        bandwidth = row["gigabytes_per_second"]
        ends = [span[0], min(highest / bandwidth, span[1])]
        axes.plot(ends, [end * bandwidth for end in ends], color="0.5", linewidth=0.8)
        start = max(span[0], lowest / bandwidth) * 1.1
        axes.text(
            start,
            start * bandwidth,
            f"{row['level']} {cells.number(bandwidth)} GB/s",
            rotation=math.degrees(math.atan(bandwidth)),
            transform_rotates_text=True,
            rotation_mode="anchor",
            va="bottom",
            fontsize=5.5,
            color="0.35",
        )
    labels: list[tuple[float, list[str]]] = []
    for row in sorted(peaks, key=lambda row: -row["giga_per_second"]):
        peak = row["giga_per_second"]
        axes.plot(
            [peak / fastest, span[1]],
            [peak, peak],
            color=DTYPES[row["dtype"]][0],
            linewidth=0.8,
            linestyle="--",
        )
        # Lines that lie close together share a label.
        if labels and labels[-1][0] < ROOFS_APART * peak:
            labels[-1][1].append(row["dtype"])
        else:
            labels.append((peak, [row["dtype"]]))
    for peak, dtypes in labels:
        axes.annotate(
            ", ".join(dtypes),
            (span[1], peak),
            xytext=(-2, 1.5),
            textcoords="offset points",
            ha="right",
            fontsize=5.5,
        )


def _fraction(value: float, _: int | None = None) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"


def _place(row: Row) -> tuple[float, float]:
    return row["multiply_adds_per_byte"], row["giga_multiply_adds_per_second"]


def _below_roof(axes: Axes, rows: Sequence[Row]) -> None:
    for row in rows:
        color = DTYPES[row["dtypes"].split("+")[0]][0]
        hollow = row["part"] == "inner" or row["what"] in ("axpy", "ger")
        axes.plot(
            *_place(row),
            color=color,
            marker=LEVEL_MARKERS.get(row["level"], "*"),
            markersize=4,
            markeredgewidth=0.8,
            markerfacecolor="white" if hollow else color,
        )


def _name_marks(axes: Axes, rows: Sequence[Row], letters: Mapping[str, str]) -> None:
    """Write a name at the highest of the marks that differ in size alone.

    No name covers another one, or the label of a level roof: those without room are left out.
    Marks and the labels of sloping roofs are covered where there is no better spot.
    """
    level = [text for text in axes.texts if not text.get_rotation()]
    taken = [text.get_window_extent() for text in level]
    better_free = [text.get_window_extent() for text in axes.texts if text not in level]
    better_free += [line.get_window_extent() for line in axes.lines if line.get_marker() != "None"]
    highest: dict[tuple[str, str, str], Row] = {}
    for row in sorted(rows, key=lambda row: -row["giga_multiply_adds_per_second"]):
        highest.setdefault((row["what"], row["dtypes"], row["part"]), row)
    for row in highest.values():
        boxes = {}
        for right, up, side in SPOTS:
            name = axes.annotate(
                letters.get(row["what"]) or row["what"],
                _place(row),
                xytext=(right, up),
                textcoords="offset points",
                ha=side,
                fontsize=5,
                in_layout=False,
            )
            boxes[name] = name.get_window_extent()
        free = [name for name, box in boxes.items() if not box.count_overlaps(taken)]
        best = min(free, key=lambda name: boxes[name].count_overlaps(better_free), default=None)
        for name in boxes.keys() - {best}:
            name.remove()
        taken += [boxes[best]] if best else []


def _roofline_legend(rows: Sequence[Row]) -> list[Any]:
    from matplotlib.lines import Line2D

    dtypes = [Line2D([], [], color=DTYPES[name][0], label=name) for name in DTYPES]
    levels = [
        Line2D([], [], color="0.3", marker=marker, linestyle="", markersize=4, label=f"in {level}")
        for level, marker in LEVEL_MARKERS.items()
        if any(row["level"] == level for row in rows)
    ]
    hollow = Line2D(
        [],
        [],
        color="0.3",
        marker="o",
        linestyle="",
        markersize=4,
        markerfacecolor="white",
        label="with an update",
    )
    return [*dtypes, *levels, hollow]
