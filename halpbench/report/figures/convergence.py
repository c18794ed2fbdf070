"""Gradient norms against epochs and against seconds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from halpbench.report.figures.looks import LOOKS
from halpbench.report.pictures import Picture, new_figure
from halpbench.report.tables import Report


def convergence_curves(report: Report) -> Iterator[Picture]:
    """Draw the gradient norm of each problem against epochs and against seconds."""
    rows = [row for row in report.data["trajectories"] if row["batch_size"] == 1]
    if not rows:
        return
    problems = list(dict.fromkeys((row["problem"], row["data"]) for row in rows))
    figure = new_figure(0.6 + 1.9 * len(problems))
    axes = figure.subplots(len(problems), 2, sharey="row", squeeze=False)
    seen: dict[str, Any] = {}
    for line, (problem, data) in enumerate(problems):
        trajectories = [row for row in rows if (row["problem"], row["data"]) == (problem, data)]
        for name in dict.fromkeys(row["contender"] for row in trajectories):
            color, dashes, marker = LOOKS.get(name, ("#CC79A7", "-", "."))
            history = [row for row in trajectories if row["contender"] == name]
            norms = [row["gradient_norm"] or math.nan for row in history]
            for place, against in zip(axes[line], ("epoch", "seconds"), strict=True):
                (seen[name],) = place.plot(
                    [row[against] for row in history],
                    norms,
                    color=color,
                    linestyle=dashes,
                    marker=marker,
                    markersize=3,
                    markevery=max(1, len(history) // 8),
                    markerfacecolor="none",
                )
        axes[line, 0].set_title(f"{problem}, {data} data", fontsize=7)
        axes[line, 0].set_ylabel("gradient norm")
        axes[line, 0].set_yscale("log")
        axes[line, 0].set_xlabel("epochs")
        axes[line, 0].locator_params(axis="x", integer=True)
        axes[line, 1].set_xlabel("seconds")
        # The start is at 0 seconds, which a logarithm does not show; the race is what counts.
        axes[line, 1].set_xlim(left=0)
    figure.legend(seen.values(), seen.keys(), loc="outside upper center", ncols=4)
    yield Picture(
        "convergence",
        figure,
        "Gradient norm against epochs, and against the seconds that the algorithm itself took: one "
        "run each, of the same samples, one a step. Where a line ends below others it has diverged "
        "or run all its epochs.",
        rows,
    )
