"""Time to accuracy: the best fit after so many seconds, as staircases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from halpbench.report.cells import Row
from halpbench.report.peers import OURS, shape
from halpbench.report.pictures import COLORS, Picture, new_figure
from halpbench.report.tables import Report

# A colour for each library, a marker for each of its solvers.
LIBRARY_COLORS = {
    "halpbench": COLORS["halp"],
    "scikit-learn": "#0072B2",
    "liblinear": "#56B4E9",
    "intelex": "#000000",
    "snapml": "#009E73",
    "skglm": "#CC79A7",
}
MARKERS = "osv^D"
# Quantities that are drawn, and the names of their axes.
QUANTITIES = {"grad_norm": "gradient norm", "suboptimality": "f - f*"}


def time_to_accuracy(report: Report) -> Iterator[Picture]:
    """Draw the best accuracy of each problem after so many seconds of a fit."""
    fits = [row for row in report.data["fits"] if row["repetitions"]]
    if not fits:
        return
    problems = list(dict.fromkeys(row["problem"] for row in fits))
    figure = new_figure(0.9 + 1.9 * len(problems))
    axes = figure.subplots(len(problems), 2, sharex="row", squeeze=False)
    shapes = {row["problem"]: shape(row) for row in fits}
    looks = _looks(dict.fromkeys(row["contender"] for row in fits))
    rows: list[Row] = []
    seen: dict[str, Any] = {}
    for line, problem in zip(axes, problems, strict=True):
        for name, (color, marker) in looks.items():
            attempts = [
                row for row in fits if (row["problem"], row["contender"]) == (problem, name)
            ]
            for place, quantity in zip(line, QUANTITIES, strict=True):
                best = list(_best_so_far(attempts, quantity))
                about = {"problem": problem, "contender": name, "quantity": quantity}
                rows += [{**about, "seconds": time, "best": value} for time, value in best]
                (drawn,) = place.plot(
                    [time for time, _ in best],
                    [value for _, value in best],
                    color=color,
                    drawstyle="steps-post",
                    marker=marker,
                    markersize=3,
                    markerfacecolor="none",
                    linewidth=2.0 if name == OURS else 0.8,
                )
                seen.setdefault(name, drawn)
        for place, label in zip(line, QUANTITIES.values(), strict=True):
            place.set(xscale="log", yscale="log", xlabel="seconds of a fit", ylabel=label)
            place.set_title(f"{problem}, {shapes[problem]}", fontsize=7)
    figure.legend(seen.values(), seen.keys(), loc="outside upper center", ncols=4)
    yield Picture(
        "peers",
        figure,
        "The least gradient norm, and the least loss above the minimum (f - f*), that whole fits "
        "reached within so many seconds, one core each: a mark for each fit that came further than "
        "all quicker ones of the same contender. Every tolerance is a fit of its own, from the "
        "start.",
        rows,
    )


def _best_so_far(fits: Sequence[Row], quantity: str) -> Iterator[tuple[float, float]]:
    """Yield seconds and value of each fit that is better than all quicker ones."""
    least = math.inf
    for row in sorted(fits, key=lambda row: row["seconds"]):
        value = row[quantity]
        if value is not None and 0 < value < least:
            least = value
            yield row["seconds"], value


def _looks(contenders: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Give each contender the colour of its library, and a marker of its own among these."""
    looks: dict[str, tuple[str, str]] = {}
    for name in contenders:
        color = LIBRARY_COLORS.get(name.split()[0], "#999999")
        siblings = sum(other == color for other, _ in looks.values())
        looks[name] = (color, MARKERS[siblings % len(MARKERS)])
    return looks
