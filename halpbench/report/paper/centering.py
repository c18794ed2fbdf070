"""Bit centering: Figure 2 of the paper, and its animation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from halpbench.bench.records import Record
from halpbench.report.cells import Row
from halpbench.report.pictures import COLORS, Picture, new_figure

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes


def figure_2(records: Sequence[Record]) -> Iterator[Picture]:
    """Bit centering: the grid of representable models, epoch by epoch."""
    record = records[0]
    epochs = _grids(record)
    figure = new_figure(3.9)
    axes = figure.subplots(2, len(epochs), squeeze=False)
    for column, grid in enumerate(epochs):
        axes[0, column].set_title(f"epoch {column + 1}")
        _draw_grid(axes[0, column], record, grid, epochs[0]["reach"], epochs[0]["center"])
        _draw_grid(axes[1, column], record, grid, grid["reach"], grid["center"])
        axes[1, column].set_xlabel(f"scale {grid['scale']:.2g}")
    axes[0, 0].set_ylabel("fixed view")
    axes[1, 0].set_ylabel("view of the grid")
    from matplotlib.lines import Line2D

    marks: dict[str, dict[str, Any]] = {
        "representable": {"marker": ".", "color": "#999999"},
        "centre": {"marker": "P", "color": COLORS["svrg"]},
        "iterates": {"marker": "o", "color": COLORS["halp"], "linestyle": "-", "markersize": 3},
        "optimum": {"marker": "*", "color": COLORS["lp-svrg"], "markersize": 9},
    }
    handles = [Line2D([], [], **{"linestyle": "", **m}, label=k) for k, m in marks.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    rows = [
        {
            "epoch": number,
            "step": step,
            "w1": w[0],
            "w2": w[1],
            "scale": grid["scale"],
        }
        for number, grid in enumerate(epochs, start=1)
        for step, w in enumerate(grid["path"])
    ]
    bits = record.case["bits"]
    yield Picture(
        "fig2",
        figure,
        f"Bit centering (Figure 2 of the paper), from a run of HALP with {bits} bits in two "
        "dimensions. Each epoch the representable models are centred on the last solution, and "
        "their scale follows the gradient norm, so that the same few integers stand for an ever "
        "smaller neighbourhood of the optimum.",
        rows,
        partial(_animation, record, epochs),
    )


def _grids(record: Record) -> list[Row]:
    """Return for each epoch the path, the scale, the centre, and how far the grid reaches."""
    facts = record.series[0].facts
    return [
        {
            "path": path,
            "scale": scale,
            "center": path[0],
            "reach": scale * record.facts["highest"],
        }
        for path, scale in zip(facts["path"], facts["scale"], strict=True)
    ]


def _draw_grid(
    axes: Axes, record: Record, grid: Row, reach: float, middle: Sequence[float], steps: int = -1
) -> None:
    """Draw a grid, its iterates up to a step, the contours of the loss and the optimum."""
    import numpy as np

    half = 1.15 * reach
    optimum, hessian = np.array(record.facts["optimum"]), np.array(record.facts["hessian"])
    x, y = (middle[k] + np.linspace(-half, half, 80) for k in (0, 1))
    offsets = np.stack(np.meshgrid(x, y), axis=-1) - optimum
    loss = np.einsum("xyi,ij,xyj->xy", offsets, hessian, offsets)
    # Levels equally spaced in the distance from the optimum.
    levels = loss.max() * np.linspace(0, 1, 9)[1:] ** 2
    axes.contour(x, y, loss, levels=levels, colors="#bbbbbb", linewidths=0.4)
    units = grid["scale"] * np.arange(-record.facts["highest"], record.facts["highest"] + 1)
    points = np.stack(np.meshgrid(units, units), axis=-1).reshape(-1, 2) + grid["center"]
    size = min(4.0, 60 * grid["reach"] / reach / len(units))
    axes.plot(points[:, 0], points[:, 1], ".", color="#999999", markersize=size, mew=0)
    path = np.array(grid["path"])[: steps if steps >= 0 else None]
    # Iterates of a fixed view crowd together in later epochs.
    radius = 2.5 if grid["reach"] > 0.3 * reach else 1.0
    axes.plot(path[:, 0], path[:, 1], "-o", color=COLORS["halp"], markersize=radius, linewidth=0.6)
    axes.plot(*grid["center"], "P", color=COLORS["svrg"], markersize=5, mew=0)
    axes.plot(*optimum, "*", color=COLORS["lp-svrg"], markersize=8, mew=0)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xticks=[], yticks=[], aspect="equal")
    axes.grid(False)


def _animation(record: Record, epochs: Sequence[Row]) -> FuncAnimation:
    """The same run, iterate by iterate: a fixed view beside one that follows the grid."""
    from matplotlib.animation import FuncAnimation

    figure = new_figure(3.9)
    fixed, near = figure.subplots(1, 2)
    frames = [
        (number, step)
        for number, grid in enumerate(epochs)
        for step in range(1, len(grid["path"]) + 1, 2)
    ]

    def show(frame: tuple[int, int]) -> list[Any]:
        number, step = frame
        grid = epochs[number]
        for axes, view in ((fixed, epochs[0]), (near, grid)):
            axes.clear()
            _draw_grid(axes, record, grid, view["reach"], view["center"], step)
        fixed.set_title("fixed view")
        near.set_title(f"epoch {number + 1}, step {step - 1}, scale {grid['scale']:.2g}")
        return []

    return FuncAnimation(figure, show, frames=frames, interval=120, blit=False)
