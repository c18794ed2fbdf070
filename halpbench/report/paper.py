"""The paper's figures, drawn from records: PNG, SVG, and a CSV file with the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halpbench.bench.records import Record, Series, write_atomic
from halpbench.report import tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's colours, which the colour-blind tell apart, one an algorithm in every picture.
COLORS = {
    "sgd": "#999999",
    "lp-sgd": "#E69F00",
    "svrg": "#000000",
    "lp-svrg": "#0072B2",
    "halp": "#D55E00",
}
# Full precision solid and dashed; low precision by the bits of the model.
DASHES: dict[str, Any] = {
    "D64fM64f": "-",
    "D32fM32f": (0, (4, 1.5)),
    "D8M8": "-",
    "D8M16": (0, (1, 1)),
    "D16M16": (0, (5, 1, 1, 1)),
}
PRECISION_NAMES = {"D64fM64f": "64-bit", "D32fM32f": "32-bit", "D8M8": "8-bit", "D16M16": "16-bit"}

WIDTH = 7.0  # inches: a page's text
STYLE: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "legend.fontsize": 7.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "lines.linewidth": 1.3,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    # Text stays text, and the same records give the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "halpbench",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A figure with its caption, and the rows behind it."""

    name: str
    figure: Figure
    caption: str
    rows: list[Row]


def draw(name: str, records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw a figure of the paper and write its files.

    Parameters
    ----------
    name : str
        One of `FIGURES`.
    records : sequence of Record
        Those of the figure's experiments; skipped ones are left out.
    folder : Path
        Receives ``<picture>.png``, ``.svg``, ``.csv`` and ``.txt``, the caption.

    Returns
    -------
    list of Path
        The files; none if all records were skipped.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    usable = [record for record in records if record.skipped is None]
    if not usable:
        return []
    from matplotlib import rc_context

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with rc_context(STYLE):
        for picture in FIGURES[name](usable):
            written += _write(picture, folder)
    return written


def _write(picture: Picture, folder: Path) -> list[Path]:
    paths = [folder / f"{picture.name}.{ending}" for ending in ("png", "svg", "csv", "txt")]
    picture.figure.savefig(paths[0], dpi=200)
    # No date: a figure changes only where its numbers do.
    picture.figure.savefig(paths[1], metadata={"Date": None})
    write_atomic(paths[2], tables.as_csv(picture.rows))
    write_atomic(paths[3], picture.caption + "\n")
    return paths


# ---- Figure 1 ------------------------------------------------------------------------------------


def figure_1(records: Sequence[Record]) -> Iterator[Picture]:
    """Linear regression: a column for each treatment of the data."""
    figure = _new_figure(6.6)
    axes = figure.subplots(3, len(records), sharey="row", squeeze=False)
    rows: list[Row] = []
    for column, record in enumerate(records):
        axes[0, column].set_title(_treatment(record))
        for series in record.series:
            history = series_rows(record, series)
            rows += history
            for line, (quantity, against) in enumerate(
                [("grad_norm", "epoch"), ("distance", "epoch"), ("grad_norm", "seconds")]
            ):
                _plot(axes[line, column], series, history, quantity, against)
        axes[0, column].set_xlabel("epoch")
        axes[1, column].set_xlabel("epoch")
        axes[2, column].set_xlabel("seconds")
        axes[2, column].set_xscale("log")
    for line, label in enumerate(["gradient norm", "distance to the optimum", "gradient norm"]):
        axes[line, 0].set_ylabel(label)
        axes[line, 0].set_yscale("log")
    handles = _legend(s for record in records for s in record.series)
    figure.legend(handles=handles, loc="outside upper center", ncols=5)
    first = records[0]
    yield Picture(
        "fig1",
        figure,
        "Linear regression, "
        f"{first.facts['n_samples']:,} x {first.facts['n_features']}, "
        f"{first.facts['epoch_length']:,} steps an epoch (Figure 1 of the paper). Low-precision "
        "SGD and SVRG stall at a floor that their scale sets; HALP does not. Constants of the "
        "paper (SGD 2.5e-6, SVRG and HALP 5e-3, delta 0.7 at 8 bits and 0.003 at 16 bits, mu 3); "
        "thin dotted lines: SGD and LP-SGD with a step size tuned by `halpbench tune`.",
        rows,
    )


def _treatment(record: Record) -> str:
    if record.case["data"] == "exact":
        return "original data in the full gradient"
    return f"data quantized to {record.case['bits']} bits"


# ---- What the figures share ----------------------------------------------------------------------


def series_rows(record: Record, series: Series) -> list[Row]:
    """Return a row an epoch, the start included; times are sums of the epochs' own."""
    seconds = [0.0]
    for inner, full in zip(
        series.samples_ns["inner"], series.samples_ns["full_gradient"], strict=True
    ):
        seconds.append(seconds[-1] + 1e-9 * (inner + full))
    facts = series.facts
    quantities = [q for q in ("loss", "grad_norm", "distance", "test_error") if q in facts]
    return [
        {
            "panel": record.case["panel"],
            "algorithm": facts["algorithm"],
            "precision": facts["precision"],
            "constants": facts["constants"],
            "epoch": epoch,
            "seconds": seconds[epoch],
            **{quantity: facts[quantity][epoch] for quantity in quantities},
        }
        for epoch in range(len(seconds))
    ]


def _new_figure(height: float) -> Figure:
    # Not pyplot: nothing global, no display.
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def _plot(axes: Axes, series: Series, history: Sequence[Row], quantity: str, against: str) -> None:
    facts = series.facts
    secondary = facts["constants"] == "tuned" and facts["algorithm"] in ("sgd", "lp-sgd")
    axes.plot(
        [row[against] for row in history],
        [math.nan if row[quantity] is None else row[quantity] for row in history],
        color=COLORS[facts["algorithm"]],
        linestyle=":" if secondary else DASHES[facts["precision"]],
        linewidth=1.0 if secondary else None,
    )


def _legend(all_series: Iterable[Series]) -> list[Line2D]:
    """One entry for each combination of algorithm, precision and constants, in a fixed order."""
    from matplotlib.lines import Line2D

    labels = {}
    for series in all_series:
        facts = series.facts
        algorithm, precision = facts["algorithm"], facts["precision"]
        label = f"{algorithm.upper()} {PRECISION_NAMES.get(precision, precision)}"
        labels[algorithm, precision] = label
    order = sorted(labels, key=lambda k: (list(COLORS).index(k[0]), list(DASHES).index(k[1])))
    return [
        Line2D([], [], color=COLORS[a], linestyle=DASHES[p], label=labels[a, p]) for a, p in order
    ]


FIGURES: dict[str, Callable[[Sequence[Record]], Iterator[Picture]]] = {
    "fig1": figure_1,
}
