"""HALP beside its rivals: gradient norm and test error by epochs and by bits moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from halpbench.bench.records import Record
from halpbench.report.cells import Row
from halpbench.report.paper.curves import QUANTITIES
from halpbench.report.pictures import COLORS, Picture, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Those of the paper have their colours; among the others no two of a panel look alike.
RIVAL_COLORS = COLORS | {
    "saga": "#009E73",
    "l-svrg": "#56B4E9",
    "adam": "#CC79A7",
    "adam-8bit": "#CC79A7",
    "swalp": "#8C6D31",
    "bc-sgd": "#7B3294",
}
FORMAT_DASHES: dict[str, Any] = {
    "float32": "-",
    "int8": "-",
    "bf16": (0, (6, 1.5)),
    "e4m3": (0, (3, 1.5)),
    "e5m2": (0, (1, 1)),
    "mxfp4": (0, (4, 1, 1, 1)),
    "mxfp4-up": (0, (8, 1, 1, 1)),
    "nvfp4": (0, (4, 1, 1, 1, 1, 1)),
    "int4": (0, (1, 3)),
}
# One line of a colour is dashed where two algorithms share it.
SHARED = {"adam-8bit": (0, (1, 1))}
PANELS = {
    "other methods": ("sgd", "saga", "l-svrg", "adam", "adam-8bit"),
    "other formats": ("lp-sgd", "lp-svrg", "swalp"),
    "bit centering": ("bc-sgd", "halp"),
}
# In every panel, to compare with.
ALWAYS = (("svrg", "float32"), ("halp", "int8"))
AGAINST = {"epoch": "epoch", "bits": "bits moved"}


def figure_rivals(records: Sequence[Record]) -> Iterator[Picture]:
    """Draw a picture for each problem: columns by kind of rival, rows by quantity and abscissa."""
    for name in dict.fromkeys(record.case["problem"]["name"] for record in records):
        of_problem = [record for record in records if record.case["problem"]["name"] == name]
        yield _problem(name, of_problem)


def _problem(name: str, records: Sequence[Record]) -> Picture:
    from matplotlib.ticker import NullFormatter

    quantities = [q for q in ("grad_norm", "test_error") if q in records[0].series[0].facts]
    lines = [(quantity, against) for quantity in quantities for against in AGAINST]
    figure = new_figure(1.6 + 1.5 * len(lines))
    axes = figure.subplots(len(lines), len(PANELS), sharex="row", sharey="row", squeeze=False)
    rows = [row for record in records for row in _rows(record)]
    for column, (title, algorithms) in enumerate(PANELS.items()):
        axes[0, column].set_title(title)
        for record in records:
            key = (record.case["algorithm"], record.case["number_format"])
            if key[0] in algorithms or key in ALWAYS:
                for line, (quantity, against) in enumerate(lines):
                    _plot_rival(axes[line, column], record, quantity, against)
        for line, (_, against) in enumerate(lines):
            axes[line, column].set(xlabel=AGAINST[against], yscale="log")
            if against == "bits":
                axes[line, column].set_xscale("log")
                axes[line, column].xaxis.set_minor_formatter(NullFormatter())
            else:
                axes[line, column].locator_params(axis="x", nbins=5, integer=True)
    for line, (quantity, _) in enumerate(lines):
        axes[line, 0].set_ylabel(QUANTITIES[quantity])
        # Diverged runs leave the picture.
        values = [row[quantity] for row in rows if row[quantity] is not None]
        start = max(row[quantity] for row in rows if row["epoch"] == 0)
        finite = [value for value in values if math.isfinite(value)]
        axes[line, 0].set_ylim(0.7 * min(finite), 2 * start)
    _add_legends(figure, records)
    facts, case = records[0].facts, records[0].case
    return Picture(
        f"rivals-{name}",
        figure,
        f"HALP and its rivals on {name}, {facts['n_samples']:,} x {facts['n_features']}, data "
        f"rounded to 8 bits, {case['batch_size']} samples a step, simulated: gradient norm "
        f"{'and test error ' if len(quantities) > 1 else ''}by epochs of two passes, and by the "
        "bits of data, model and state that are read and written (docs/rivals.md). SVRG in "
        "float32 and HALP in int8 are in every column. Left: methods in full precision, and Adam "
        "with its state in 8 bits. Middle: models that are rounded at random in a fixed place. "
        "Right: models that are displacements from a centre; BC-SGD has no variance reduction.",
        rows,
    )


def _rows(record: Record) -> Iterator[Row]:
    facts, case = record.series[0].facts, record.case
    names = [n for n in ("bits", "loss", "grad_norm", "test_error") if n in facts]
    for epoch in range(len(facts["bits"])):
        yield {
            "problem": case["problem"]["name"],
            "algorithm": case["algorithm"],
            "number_format": case["number_format"],
            "step_size": case["step_size"],
            "epoch": epoch,
            **{name: facts[name][epoch] for name in names},
        }


def _plot_rival(axes: Axes, record: Record, quantity: str, against: str) -> None:
    algorithm, number_format = record.case["algorithm"], record.case["number_format"]
    rows = list(_rows(record))
    if against == "bits":  # none at the start, which a logarithm does not show
        rows = rows[1:]
    axes.plot(
        [row[against] for row in rows],
        [math.nan if row[quantity] is None else row[quantity] for row in rows],
        color=RIVAL_COLORS[algorithm],
        linestyle=SHARED.get(algorithm, FORMAT_DASHES[number_format]),
        linewidth=1.1,
    )


def _add_legends(figure: Any, records: Sequence[Record]) -> None:
    """Name algorithms by their colours, and formats of models that are rounded by their dashes."""
    from matplotlib.lines import Line2D

    algorithms = [record.case["algorithm"] for record in records]
    handles = [
        Line2D([], [], color=color, linestyle=SHARED.get(name, "-"), label=name.upper())
        for name, color in RIVAL_COLORS.items()
        if name in algorithms
    ]
    formats = [record.case["number_format"] for record in records]
    handles += [
        Line2D([], [], color="#555555", linestyle=dash, linewidth=1.0, label=name)
        for name, dash in FORMAT_DASHES.items()
        if name in formats and name != "float32"
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=6)
