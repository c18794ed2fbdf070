"""Gradient norms at the end of runs: by condition number (Figure 5 of the paper) and by bits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING

from halpbench.bench.records import Record
from halpbench.report.cells import Row
from halpbench.report.pictures import ADAPTIVE_COLOR, COLORS, Picture, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ADAPTIVE = "adaptive scale"
CEILING = 1e3  # gradient norms above it leave the picture

Key = tuple[str, str, str]  # algorithm, precision, origin of the constants


def figure_5(records: Sequence[Record]) -> Iterator[Picture]:
    """Gradient norm against the condition number, the median and the range of the seeds."""
    figure = new_figure(3.4)
    panels = figure.subplots(1, 2, sharey=True)
    norms = _norms_by_condition(records)
    best = _best_mu(norms)
    # The start depends on the condition number.
    start = _starts(records, "condition")
    rows: list[Row] = []
    for axes, precision in zip(panels, ("D8M8", "D16M16"), strict=True):
        theory = {"halp": "mu x 1"}
        lines = [
            (a, p, theory.get(a, "paper")) for a, p, _ in norms if p in (precision, "D64fM64f")
        ]
        curves = {key: norms[key] for key in dict.fromkeys(lines)}
        curves["halp", precision, "tuned"] = best[precision]
        if (adaptive := ("halp", precision, ADAPTIVE)) in norms:
            curves[adaptive] = norms[adaptive]
        for key, by_condition in curves.items():
            rows += _draw_norms(axes, key, by_condition)
        axes.set(xscale="log", yscale="log", xlabel="condition number", ylim=(1e-17, CEILING))
        axes.set_title(precision)
        axes.plot(list(start), list(start.values()), color="#555555", linewidth=0.6)
        axes.annotate("start", next(iter(start.items())), va="bottom", fontsize=7)
    rows += [
        {"algorithm": "start", "condition": condition, "median": norm}
        for condition, norm in start.items()
    ]
    panels[0].set_ylabel(f"gradient norm after {records[0].case['epochs']} epochs")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    yield Picture("fig5", figure, _caption_5(records), rows)


def _norms_by_condition(records: Sequence[Record]) -> dict[Key, dict[float, list[float]]]:
    norms: dict[Key, dict[float, list[float]]] = {}
    for record in records:
        for series in record.series:
            facts = series.facts
            key = (facts["algorithm"], facts["precision"], facts["constants"])
            by_condition = norms.setdefault(key, {})
            # Norms that are not finite have no number in JSON.
            norm = math.inf if facts["grad_norm"] is None else facts["grad_norm"]
            by_condition.setdefault(record.case["condition"], []).append(norm)
    return norms


def _draw_norms(axes: Axes, key: Key, by_condition: dict[float, list[float]]) -> list[Row]:
    """Draw a contender's curve with the range of its seeds, and return its rows."""
    algorithm, width, constants = key
    x = sorted(by_condition)
    spreads = [_spread(min(v, 10 * CEILING) for v in by_condition[c]) for c in x]
    style = ":" if constants == "tuned" else "-"
    color = ADAPTIVE_COLOR if constants == ADAPTIVE else COLORS[algorithm]
    name = algorithm.upper() + {
        "mu x 1": ", mu of the theory",
        "tuned": ", mu tuned",
        ADAPTIVE: f", {ADAPTIVE}",
    }.get(constants, " D64fM64f" if width == "D64fM64f" else "")
    _plot_spread(axes, x, spreads, style, color, name)
    return [
        {
            "algorithm": algorithm,
            "precision": width,
            "constants": constants,
            "condition": condition,
            **spread,
        }
        for condition, spread in zip(x, spreads, strict=True)
    ]


def _caption_5(records: Sequence[Record]) -> str:
    case = records[0].case
    return (
        f"Gradient norm after {case['epochs']} epochs against the condition number (Figure 5 of "
        f"the paper): least squares, {case['n_samples']:,} x {case['n_features']}, geometric "
        "spectrum, step size 1/(4 L), full gradients on the original data. Lines are medians, "
        f"bands the range of {len({record.case['seed'] for record in records})} seeds; what leaves "
        "the top has diverged. A run that ends on the line named start has not moved: its steps "
        "are below one unit of the model and round to zero. HALP needs more bits as the condition "
        "number grows: with mu the constant of strong convexity (solid), and with the best "
        "multiple of it (dotted). Adaptive scale: no mu is given, the scale follows the "
        "displacement."
    )


def _starts(records: Sequence[Record], by: str) -> dict[float, float]:
    """Return the median of the gradient norms that runs start from, by a part of their cases."""
    starts: dict[float, list[float]] = {}
    for record in records:
        starts.setdefault(record.case[by], []).append(record.facts["grad_norm_start"])
    return {key: median(starts[key]) for key in sorted(starts)}


def _best_mu(
    norms: dict[Key, dict[float, list[float]]],
) -> dict[str, dict[float, list[float]]]:
    """Return, by precision and condition number, the norms of the mu with the least median."""
    best: dict[str, dict[float, list[float]]] = {}
    for (algorithm, precision, constants), by_condition in norms.items():
        if algorithm != "halp" or constants == ADAPTIVE:
            continue
        by_best = best.setdefault(precision, {})
        for condition, values in by_condition.items():
            middle = sorted(values)[len(values) // 2]
            known = by_best.get(condition)
            if known is None or middle < sorted(known)[len(known) // 2]:
                by_best[condition] = values
    return best


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
        spreads = [_spread(min(v, 10 * CEILING) for v in by_bits[b]) for b in bits]
        style = "-o" if rounding == "unbiased" else ":s"
        label = f"{algorithm.upper()}, {rounding} rounding"
        _plot_spread(axes, bits, spreads, style, COLORS[algorithm], label)
        rows += [
            {"algorithm": algorithm, "rounding": rounding, "bits": b, **spread}
            for b, spread in zip(bits, spreads, strict=True)
        ]
    _start_line(axes, median(record.facts["grad_norm_start"] for record in records))
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
        "what leaves the top has diverged, and what ends on the line named start has not moved. "
        f"Medians and ranges of {len({record.case['seed'] for record in records})} seeds.",
        rows,
    )


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
    axes: Axes, x: Sequence[float], spreads: Sequence[Row], style: str, color: str, label: str
) -> None:
    axes.plot(x, [s["median"] for s in spreads], style, color=color, markersize=3, label=label)
    low, high = ([s[end] for s in spreads] for end in ("lowest", "highest"))
    axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def _start_line(axes: Axes, norm: float) -> None:
    """Draw the gradient norm of the start as a thin line with its name."""
    axes.axhline(norm, color="#555555", linewidth=0.6)
    axes.annotate(
        "start",
        (1, norm),
        xytext=(0, 1.5),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=7,
        xycoords=("axes fraction", "data"),
    )
