"""The paper's figures, drawn from records: PNG, SVG, and a CSV file with the numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halpbench.bench import stats
from halpbench.bench.files import write_atomic
from halpbench.bench.records import Record, Series
from halpbench.report import placement, tables

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
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

QUANTITIES = {
    "loss": "training loss",
    "grad_norm": "gradient norm",
    "distance": "distance to the optimum",
    "test_error": "test error",
}

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
    rows: list[Row] = field(default_factory=list)
    animation: Callable[[], FuncAnimation] | None = None


def draw(name: str, records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw a figure of the paper and write its files.

    Parameters
    ----------
    name : str
        One of `FIGURES`.
    records : sequence of Record
        Those of the figure's experiments; skipped ones are left out.
    folder : Path
        Receives ``<picture>.png``, ``.svg``, ``.csv``, ``.txt`` (the caption), and for Figure 2
        ``.gif``.

    Returns
    -------
    list of Path
        The files; none if all records were skipped.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    return draw_with(FIGURES[name], records, folder)


def draw_with(
    pictures: Callable[[Sequence[Record]], Iterator[Picture]],
    records: Sequence[Record],
    folder: Path,
) -> list[Path]:
    """Write the files of the pictures that a function makes of records; see `draw`."""
    usable = [record for record in records if record.skipped is None]
    if not usable:
        return []
    from matplotlib import rc_context

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with rc_context(STYLE):
        for picture in pictures(usable):
            written += _write(picture, folder)
    return written


def _write(picture: Picture, folder: Path) -> list[Path]:
    paths = [folder / f"{picture.name}.{ending}" for ending in ("png", "svg", "csv", "txt")]
    picture.figure.savefig(paths[0], dpi=200)
    # No date: a figure changes only where its numbers do.
    picture.figure.savefig(paths[1], metadata={"Date": None})
    write_atomic(paths[2], tables.as_csv(picture.rows))
    write_atomic(paths[3], picture.caption + "\n")
    if picture.animation is not None:
        paths.append(folder / f"{picture.name}.gif")
        picture.animation().save(paths[-1], writer="pillow", dpi=90)
    return paths


# ---- Figure 1 ------------------------------------------------------------------------------------


def figure_1(records: Sequence[Record]) -> Iterator[Picture]:
    """Linear regression: a column for each treatment of the data."""
    first = records[0]
    yield _curves(
        "fig1",
        records,
        [_treatment(record) for record in records],
        [("grad_norm", "epoch"), ("distance", "epoch"), ("grad_norm", "seconds")],
        f"Linear regression, {first.facts['n_samples']:,} x {first.facts['n_features']}, "
        f"{first.facts['epoch_length']:,} steps an epoch (Figure 1 of the paper). Low-precision "
        "SGD and SVRG stall at a floor that their scale sets; HALP does not. Constants of the "
        "paper: step size 2.5e-6 for SGD and 5e-3 for SVRG and HALP, delta 0.7 at 8 bits and "
        "0.003 at 16 bits, mu 3. Dotted: SGD and LP-SGD with the step sizes that `halpbench tune` "
        "finds. Seconds are medians of repeated runs, on one thread.",
    )


def _treatment(record: Record) -> str:
    if record.case["data"] == "exact":
        return "full gradient on original data"
    return f"data quantized to {record.case['bits']} bits"


# ---- Figure 2 ------------------------------------------------------------------------------------


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


# ---- Figure 4 ------------------------------------------------------------------------------------


def figure_4(records: Sequence[Record]) -> Iterator[Picture]:
    """Multi-class logistic regression: a picture for each data set and number of bits."""
    for record in records:
        name, bits = record.case["problem"]["name"], record.case["bits"]
        figure = new_figure(4.4)
        axes = figure.subplots(2, 3, squeeze=False)
        rows: list[Row] = []
        for series in record.series:
            history = series_rows(record, series)
            rows += history
            for line, against in enumerate(("epoch", "seconds")):
                for column, quantity in enumerate(("loss", "grad_norm", "test_error")):
                    _plot(axes[line, column], series, history, quantity, against)
                    axes[line, column].set_xlabel(against)
                    axes[line, column].locator_params(axis="x", nbins=5)
                    axes[0, column].set_title(QUANTITIES[quantity])
        for line in axes:
            line[1].set_yscale("log")
            # What differs is close to the least value; the start is far above.
            for column, quantity in ((0, "loss"), (2, "test_error")):
                least = min(row[quantity] for row in rows)
                line[column].set_ylim(0.9 * least, 3 * least)
        figure.legend(handles=_legend(record.series), loc="outside upper center", ncols=5)
        yield Picture(
            f"fig4-{name}-{bits}bit",
            figure,
            f"Multi-class logistic regression on {name}, {record.facts['n_samples']:,} samples "
            f"quantized to {bits} bits, {record.facts['epoch_length']:,} steps an epoch (Figure 4 "
            "of the paper). Constants found by `halpbench tune`: "
            f"{_constants(record)}. Seconds on one thread.",
            rows,
        )


def _constants(record: Record) -> str:
    """Return "SGD step size 0.001; ...", the constants that the contenders have."""
    parts = []
    for series in record.series:
        own = ", ".join(
            f"{k.replace('_', ' ')} {v:.2g}" for k, v in series.facts["options"].items()
        )
        parts.append(f"{series.facts['algorithm'].upper()} {own}")
    return "; ".join(parts)


# ---- Figure 5 ------------------------------------------------------------------------------------


CEILING = 1e3  # where gradient norms leave the picture


def figure_5(records: Sequence[Record]) -> Iterator[Picture]:
    """Gradient norm against the condition number, the median and the range of the seeds."""
    figure = new_figure(3.4)
    panels = figure.subplots(1, 2, sharey=True)
    norms: dict[tuple[str, str, str], dict[float, list[float]]] = {}
    for record in records:
        for series in record.series:
            facts = series.facts
            key = (facts["algorithm"], facts["precision"], facts["constants"])
            by_condition = norms.setdefault(key, {})
            # What is not finite has no number in JSON.
            norm = math.inf if facts["grad_norm"] is None else facts["grad_norm"]
            by_condition.setdefault(record.case["condition"], []).append(norm)
    best = _best_mu(norms)
    rows: list[Row] = []
    for axes, precision in zip(panels, ("D8M8", "D16M16"), strict=True):
        theory = {"halp": "mu x 1"}
        lines = [
            (a, p, theory.get(a, "paper")) for a, p, _ in norms if p in (precision, "D64fM64f")
        ]
        curves = {key: norms[key] for key in dict.fromkeys(lines)}
        curves["halp", precision, "tuned"] = best[precision]
        for (algorithm, width, constants), by_condition in curves.items():
            x = sorted(by_condition)
            found = [_spread(min(v, 10 * CEILING) for v in by_condition[c]) for c in x]
            rows += [
                {
                    "algorithm": algorithm,
                    "precision": width,
                    "constants": constants,
                    "condition": condition,
                    **spread,
                }
                for condition, spread in zip(x, found, strict=True)
            ]
            color = COLORS[algorithm]
            style = ":" if constants == "tuned" else "-"
            name = algorithm.upper() + {"mu x 1": ", mu of the theory", "tuned": ", mu tuned"}.get(
                constants, " 64-bit" if width == "D64fM64f" else ""
            )
            _plot_spread(axes, x, found, style, color, name)
        axes.set(xscale="log", yscale="log", xlabel="condition number", ylim=(1e-17, CEILING))
        axes.set_title(PRECISION_NAMES[precision])
        axes.axhline(records[0].facts["grad_norm_start"], color="#555555", linewidth=0.6)
    panels[0].set_ylabel(f"gradient norm after {records[0].case['epochs']} epochs")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    case = records[0].case
    yield Picture(
        "fig5",
        figure,
        f"Gradient norm after {case['epochs']} epochs against the condition number (Figure 5 of "
        f"the paper): least squares, {case['n_samples']:,} x {case['n_features']}, geometric "
        "spectrum, step size 1/(4 L), full gradients on the original data. Lines are medians, "
        f"bands the range of {len({record.case['seed'] for record in records})} seeds; what leaves "
        "the top has diverged, and the thin line is the start. HALP needs more bits as the "
        "condition number grows: with mu the constant of strong convexity (solid), and with the "
        "best multiple of it (dotted).",
        rows,
    )


def _best_mu(
    norms: dict[tuple[str, str, str], dict[float, list[float]]],
) -> dict[str, dict[float, list[float]]]:
    """Return, by precision and condition number, the norms of the mu with the least median."""
    best: dict[str, dict[float, list[float]]] = {}
    for (algorithm, precision, _), by_condition in norms.items():
        if algorithm != "halp":
            continue
        mine = best.setdefault(precision, {})
        for condition, values in by_condition.items():
            middle = sorted(values)[len(values) // 2]
            known = mine.get(condition)
            if known is None or middle < sorted(known)[len(known) // 2]:
                mine[condition] = values
    return best


# ---- Any number of bits --------------------------------------------------------------------------


def figure_bits(records: Sequence[Record]) -> Iterator[Picture]:
    """Gradient norm against the bits of the model."""
    figure = new_figure(3.2)
    axes = figure.subplots()
    norms: dict[tuple[str, str], dict[int, list[float]]] = {}
    for record in records:
        for series in record.series:
            facts = series.facts
            by_bits = norms.setdefault((facts["algorithm"], facts["rounding"]), {})
            norm = math.inf if facts["grad_norm"] is None else facts["grad_norm"]
            by_bits.setdefault(record.case["bits"], []).append(norm)
    rows: list[Row] = []
    for (algorithm, rounding), by_bits in norms.items():
        bits = sorted(by_bits)
        found = [_spread(min(v, 10 * CEILING) for v in by_bits[b]) for b in bits]
        style = "-o" if rounding == "unbiased" else ":s"
        label = f"{algorithm.upper()}, {rounding} rounding"
        _plot_spread(axes, bits, found, style, COLORS[algorithm], label)
        rows += [
            {"algorithm": algorithm, "rounding": rounding, "bits": b, **spread}
            for b, spread in zip(bits, found, strict=True)
        ]
    axes.axhline(records[0].facts["grad_norm_start"], color="#555555", linewidth=0.6)
    axes.annotate(
        "start",
        (1, records[0].facts["grad_norm_start"]),
        ha="right",
        va="bottom",
        xycoords=("axes fraction", "data"),
    )
    case = records[0].case
    axes.set(yscale="log", xlabel="bits of the model", xticks=sorted({r["bits"] for r in rows}))
    axes.set_ylim(top=CEILING)
    axes.set_ylabel(f"gradient norm after {case['epochs']} epochs")
    figure.legend(loc="outside upper center", ncols=3)
    yield Picture(
        "bits",
        figure,
        f"Gradient norm after {case['epochs']} epochs against the bits of the model, simulated: "
        f"least squares, {case['n_samples']} x {case['n_features']}, condition number "
        f"{case['condition']:g}, symmetric range, exact data. LP-SGD and LP-SVRG have the finest "
        "fixed scale that reaches the solution; HALP has mu, the constant of strong convexity; "
        "what leaves the top has diverged. "
        f"Medians and ranges of {len({record.case['seed'] for record in records})} seeds.",
        rows,
    )


# ---- Theory --------------------------------------------------------------------------------------


def figure_theory(records: Sequence[Record]) -> Iterator[Picture]:
    """Bounds and measurements: LP-SVRG by epoch and by scale, HALP by bits."""
    figure = new_figure(4.6)
    problems = list(dict.fromkeys(record.case["problem"] for record in records))
    axes = figure.subplots(len(problems), 3, squeeze=False)
    rows: list[Row] = []
    for line, problem in enumerate(problems):
        mine = [record for record in records if record.case["problem"] == problem]
        svrg = [record for record in mine if record.case["algorithm"] == "lp-svrg"]
        halp = [record for record in mine if record.case["algorithm"] == "halp"]
        rows += _draw_decay(axes[line, 0], [r for r in svrg if r.case["precision"] == "D16M16"])
        rows += _draw_floors(axes[line, 1], svrg)
        rows += _draw_contractions(axes[line, 2], halp)
        axes[line, 0].set_ylabel(f"{problem}\nmean suboptimality")
        axes[line, 1].set_ylabel("floor of the suboptimality")
        axes[line, 2].set_ylabel("contraction an epoch")
    for column, title in enumerate(["LP-SVRG, 16-bit", "LP-SVRG: floor", "HALP: contraction"]):
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
        "option II. Left: LP-SVRG converges linearly to a floor. Middle: the floor grows as the "
        "square of delta. Right: HALP contracts linearly once its bits suffice; above 1 the bound "
        "promises nothing.",
        rows,
    )


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and three standard errors of it."""
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)
    return mean, 3 * math.sqrt(variance / len(values))


def _draw_decay(axes: Axes, records: Sequence[Record]) -> Iterator[Row]:
    for record in records:
        found = [_mean(gaps) for gaps in zip(*record.series[0].facts["gaps"], strict=True)]
        for epoch, (mean, error) in enumerate(found):
            yield {
                **_theory_row(record, "suboptimality"),
                "epoch": epoch,
                "measured": mean,
                "error": error,
                "bound": record.facts["bound"][epoch],
            }
    # The coarsest and the finest scale; more would hide whose bound is whose.
    ordered = sorted(records, key=lambda record: record.case["delta"])
    for record, marker in ((ordered[0], "o"), (ordered[-1], "s")):
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
        axes.errorbar(epochs, means, errors, color=COLORS["lp-svrg"], **style)
    # Three standard errors of a skewed mean can reach below zero.
    axes.set(yscale="log", ylim=(0.3 * _least(ordered[0]), None))


def _least(record: Record) -> float:
    """Return the least mean suboptimality."""
    gaps = record.series[0].facts["gaps"]
    return min(_mean(epoch)[0] for epoch in zip(*gaps, strict=True))


def _draw_floors(axes: Axes, records: Sequence[Record]) -> Iterator[Row]:
    points = []
    for record in sorted(records, key=lambda record: record.case["delta"]):
        # Stationary by then: the second half of the epochs of each run.
        found = [
            sum(g[len(g) // 2 :]) / len(g[len(g) // 2 :]) for g in record.series[0].facts["gaps"]
        ]
        mean, error = _mean(found)
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
        mine = [p for p in points if p[4] == precision]
        axes.errorbar(
            [p[0] for p in mine],
            [p[1] for p in mine],
            [p[2] for p in mine],
            fmt=marker,
            color=COLORS["lp-svrg"],
            markersize=4,
            markerfacecolor="none" if marker == "D" else None,
            label=PRECISION_NAMES[precision],
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
    axes.set(yscale="log", ylim=(0.02, 50))


def _theory_row(record: Record, quantity: str) -> Row:
    case = record.case
    names = ("problem", "algorithm", "precision", "bits", "delta", "gamma", "runs")
    return {"quantity": quantity, **{name: case[name] for name in names}}


# ---- What the figures share ----------------------------------------------------------------------


def _curves(
    name: str,
    records: Sequence[Record],
    titles: Sequence[str],
    panels: Sequence[tuple[str, str]],
    caption: str,
) -> Picture:
    """A column for each record, a row for each (quantity, against what)."""
    figure = new_figure(1.0 + 1.7 * len(panels))
    axes = figure.subplots(len(panels), len(records), sharey="row", squeeze=False)
    rows: list[Row] = []
    for column, record in enumerate(records):
        axes[0, column].set_title(titles[column])
        for series in record.series:
            history = series_rows(record, series)
            rows += history
            for line, (quantity, against) in enumerate(panels):
                _plot(axes[line, column], series, history, quantity, against)
        for line, (_, against) in enumerate(panels):
            axes[line, column].set_xlabel(against)
            axes[line, column].locator_params(axis="x", nbins=5)
            axes[line, column].set_yscale("log")
    for line, (quantity, _) in enumerate(panels):
        axes[line, 0].set_ylabel(QUANTITIES[quantity])
    handles = _legend(s for record in records for s in record.series)
    figure.legend(handles=handles, loc="outside upper center", ncols=5)
    return Picture(name, figure, caption, rows)


def series_rows(record: Record, series: Series) -> list[Row]:
    """Return a row an epoch, the start included; times are sums of the epochs' medians."""
    facts = series.facts
    epochs = len(facts["loss"]) - 1
    inner, full = series.samples_ns["inner"], series.samples_ns["full_gradient"]
    totals = [a + b for a, b in zip(inner, full, strict=True)]
    seconds = [0.0]
    for epoch in range(epochs):
        # Runs follow one another in the samples.
        seconds.append(seconds[-1] + 1e-9 * stats.median(totals[epoch::epochs]).value)
    quantities = [quantity for quantity in QUANTITIES if quantity in facts]
    return [
        {
            "panel": placement.panel(record.case),
            "algorithm": facts["algorithm"],
            "precision": facts["precision"],
            "constants": facts["constants"],
            "epoch": epoch,
            "seconds": seconds[epoch],
            **{quantity: facts[quantity][epoch] for quantity in quantities},
        }
        for epoch in range(epochs + 1)
    ]


def _spread(values: Iterable[float]) -> Row:
    """Return the median of some seeds and the ends of their range."""
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    return {
        "lowest": ordered[0],
        "median": middle,
        "highest": ordered[-1],
        "seeds": len(ordered),
    }


def _plot_spread(
    axes: Axes, x: Sequence[float], found: Sequence[Row], style: str, color: str, label: str
) -> None:
    axes.plot(x, [s["median"] for s in found], style, color=color, markersize=3, label=label)
    low, high = ([s[end] for s in found] for end in ("lowest", "highest"))
    axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def new_figure(height: float) -> Figure:
    """Return a figure as wide as a page's text, of a height in inches."""
    # Not pyplot: nothing global, no display.
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def _plot(axes: Axes, series: Series, history: Sequence[Row], quantity: str, against: str) -> None:
    facts = series.facts
    tuned = _is_dotted(series)
    axes.plot(
        [row[against] for row in history],
        [math.nan if row[quantity] is None else row[quantity] for row in history],
        color=COLORS[facts["algorithm"]],
        linestyle=":" if tuned else DASHES[facts["precision"]],
        linewidth=1.0 if tuned else None,
    )


def _is_dotted(series: Series) -> bool:
    """Tell whether this is a tuned one beside the same with the paper's constants (Figure 1)."""
    return str(series.facts["constants"]) == "tuned beside the paper's"


def _legend(all_series: Iterable[Series]) -> list[Line2D]:
    """One entry for each combination of algorithm and precision, in a fixed order."""
    from matplotlib.lines import Line2D

    keys: set[tuple[str, str]] = set()
    dotted: set[tuple[str, str]] = set()
    for series in all_series:
        key = (series.facts["algorithm"], series.facts["precision"])
        (dotted if _is_dotted(series) else keys).add(key)
    order = sorted(keys, key=lambda k: (list(COLORS).index(k[0]), list(DASHES).index(k[1])))
    handles = [
        Line2D([], [], color=COLORS[a], linestyle=DASHES[p], label=f"{a.upper()} {_width(p)}")
        for a, p in order
    ]
    for algorithm in sorted({a for a, _ in dotted}, key=list(COLORS).index):
        label = f"{algorithm.upper()}, tuned"
        handles.append(Line2D([], [], color=COLORS[algorithm], linestyle=":", label=label))
    return handles


def _width(precision: str) -> str:
    return PRECISION_NAMES.get(precision, precision)


FIGURES: dict[str, Callable[[Sequence[Record]], Iterator[Picture]]] = {
    "fig1": figure_1,
    "fig2": figure_2,
    "fig4": figure_4,
    "fig5": figure_5,
    "bits": figure_bits,
    "theory": figure_theory,
}
