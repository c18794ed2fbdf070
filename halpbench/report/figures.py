"""The benchmark's figures, drawn from the tables' numbers."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halpbench.bench.files import write_atomic
from halpbench.report import cells
from halpbench.report.cells import Row
from halpbench.report.paper import COLORS, DASHES, STYLE, Picture
from halpbench.report.tables import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A contender's colour is its algorithm's, as in the paper's figures; dashes and markers tell its
# precisions apart.
LOOKS: dict[str, tuple[str, Any, str]] = {
    "SVRG D64fM64f": (COLORS["svrg"], DASHES["D64fM64f"], "o"),
    "SVRG D32fM32f": (COLORS["svrg"], DASHES["D32fM32f"], "s"),
    "HALP D16M16": (COLORS["halp"], DASHES["D16M16"], "^"),
    "HALP D8M16": (COLORS["halp"], DASHES["D8M16"], "v"),
    "HALP D8M8": (COLORS["halp"], DASHES["D8M8"], "D"),
    "LP-SVRG D16M16": (COLORS["lp-svrg"], DASHES["D16M16"], "x"),
    "LP-SVRG D8M8": (COLORS["lp-svrg"], DASHES["D8M8"], "+"),
}
# Bars have no dashes: how much of the colour is left in white, and the hatching.
SHADES = {
    "HALP D16M16": (0.35, "////"),
    "HALP D8M16": (0.65, "xxxx"),
    "HALP D8M8": (1.0, ""),
}
BARS = tuple(SHADES)
# Types of data and model, in more of Okabe and Ito's colours.
DTYPES = {
    "f64": ("#000000", "o"),
    "f32": ("#0072B2", "s"),
    "i16": ("#009E73", "^"),
    "i8i16": ("#CC79A7", "v"),
    "i8": ("#D55E00", "D"),
}

# Of time to accuracy: a colour for each library, a marker for each of its solvers.
LIBRARY_COLORS = {
    "halpbench": COLORS["halp"],
    "scikit-learn": "#0072B2",
    "liblinear": "#56B4E9",
    "intelex": "#000000",
    "snapml": "#009E73",
    "skglm": "#CC79A7",
}
MARKERS = "osv^D"

# Of the roofline: a marker for the level of memory that the operands are read from.
LEVEL_MARKERS = {"L1": "o", "L2": "s", "L3": "^", "L4": "v", "DRAM": "D"}
ROOFS_APART = 1.2  # closer ones share a label


def draw(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Draw what the reports hold, as PNG and SVG.

    Parameters
    ----------
    reports : sequence of Report
    folder : Path
        Receives ``<picture>.png`` and ``.svg``.

    Returns
    -------
    list of Path
        The files; none if there is nothing to draw.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    from matplotlib import rc_context

    written = []
    with rc_context(STYLE):
        for report in reports:
            for picture in pictures(report):
                written += _write(picture.figure, folder / picture.name)
    return written


def pictures(report: Report) -> Iterator[Picture]:
    """Make the figures of a report; to be used in the context of `paper.STYLE`."""
    if report.name in _MAKERS:
        yield from _MAKERS[report.name](report)


def _write(figure: Figure, stem: Path) -> list[Path]:
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=200)
    png.parent.mkdir(parents=True, exist_ok=True)
    png.write_bytes(picture.getvalue())
    text = io.StringIO()
    # No date: a figure changes only where its numbers do.
    figure.savefig(text, format="svg", metadata={"Date": None})
    write_atomic(svg, text.getvalue())
    return [png, svg]


def speedups(report: Report) -> Iterator[Picture]:
    """Draw a panel for each problem and backend: bars for the inner step and the whole epoch."""
    rows = [row for row in report.data["epochs"] if row["repetitions"]]
    if not any(row["contender"] in BARS for row in rows):
        return
    problems = list(dict.fromkeys((row["problem"], row["data"]) for row in rows))
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    columns = min(len(problems), 2)
    lines = -(-len(problems) // columns) * len(backends)
    figure = _new_figure(1.0 + 1.7 * lines)
    axes = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    panels = [(problem, backend) for backend in backends for problem in problems]
    for place, ((problem, data), backend) in zip(axes, panels, strict=False):
        mine = [
            row
            for row in rows
            if (row["problem"], row["data"], row["backend"]) == (problem, data, backend)
        ]
        _bars(place, mine)
        place.set_title(f"{problem}, {data} data, {backend}", fontsize=7)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    figure.supylabel("times as fast as SVRG in float32", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    yield Picture(
        "speedups",
        figure,
        "Times as fast as SVRG in float32, of an inner step and of a whole epoch, with 95 % "
        "intervals. Dashed: the ratio of the bytes read, which is the bound where reading the data "
        "is all.",
    )


def _bars(axes: Axes, rows: Sequence[Row]) -> None:
    from matplotlib.colors import to_rgb

    width = 0.8 / len(BARS)
    for index, name in enumerate(BARS):
        row = next((row for row in rows if row["contender"] == name), None)
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


def convergence(report: Report) -> Iterator[Picture]:
    """Draw the gradient norm of each problem against epochs and against seconds."""
    rows = report.data["trajectories"]
    if not rows:
        return
    problems = list(dict.fromkeys((row["problem"], row["data"]) for row in rows))
    figure = _new_figure(0.6 + 1.9 * len(problems))
    axes = figure.subplots(len(problems), 2, sharey="row", squeeze=False)
    seen: dict[str, Any] = {}
    for line, (problem, data) in enumerate(problems):
        mine = [row for row in rows if (row["problem"], row["data"]) == (problem, data)]
        for name in dict.fromkeys(row["contender"] for row in mine):
            color, dashes, marker = LOOKS.get(name, ("#CC79A7", "-", "."))
            history = [row for row in mine if row["contender"] == name]
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
        "Gradient norm against epochs, and against the seconds that the algorithm itself took.",
    )


def throughput(report: Report) -> Iterator[Picture]:
    """Draw the throughput of kernels against the bytes of a call: a row of panels for each op."""
    by_op: dict[str, list[Row]] = {}
    for row in report.data["kernels"]:
        by_op.setdefault(row["op"], []).append(row)
    # An op that is measured at a single size has no curve.
    by_op = {op: rows for op, rows in by_op.items() if len({row["n"] for row in rows}) > 1}
    if not by_op:
        return
    backends = list(dict.fromkeys(row["backend"] for rows in by_op.values() for row in rows))
    figure = _new_figure(0.7 + 1.6 * len(by_op))
    axes = figure.subplots(len(by_op), len(backends), sharex=True, sharey=True, squeeze=False)
    seen: dict[str, Any] = {}
    for line, (op, rows) in zip(axes, by_op.items(), strict=True):
        for place, backend in zip(line, backends, strict=True):
            mine = [row for row in rows if row["backend"] == backend]
            (seen["reading memory"],) = _throughput(
                place, report.data["bandwidth"], color="#b0b0b0", linewidth=2.5
            )
            for dtype, (color, marker) in DTYPES.items():
                (seen[dtype],) = _throughput(
                    place,
                    [row for row in mine if row["dtype"] == dtype],
                    color=color,
                    marker=marker,
                    markersize=3,
                    markerfacecolor="none",
                )
            for cache in report.machine.get("caches", ()):
                place.axvline(cache["size_bytes"], color="black", linewidth=0.6, linestyle=":")
                place.annotate(
                    f"L{cache['level']}",
                    (cache["size_bytes"], 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(1.5, 0),
                    textcoords="offset points",
                    va="top",
                    fontsize=6,
                )
        line[0].set_ylabel(f"{op}, GB/s")
    for place, backend in zip(axes[0], backends, strict=True):
        place.set_title(backend)
        place.set_xscale("log")
        place.set_yscale("log")
    figure.supxlabel("bytes read and written by a call", fontsize=8)
    figure.legend(seen.values(), seen.keys(), loc="outside upper center", ncols=len(seen))
    yield Picture(
        "throughput",
        figure,
        "Throughput of kernels against the bytes that a call reads and writes. Dotted: the sizes "
        "of the caches. Grey: merely reading as much memory. Curves of different types that "
        "meet are limited by memory; there, half the bytes take half the time.",
    )


def _throughput(axes: Axes, rows: Sequence[Row], **look: Any) -> list[Any]:
    bytes_moved = [row["gigabytes_per_second"] * row["ns"] for row in rows]
    return axes.plot(bytes_moved, [row["gigabytes_per_second"] for row in rows], **look)


def time_to_accuracy(report: Report) -> Iterator[Picture]:
    """Draw each problem's fits: what they reached against the seconds that they took."""
    rows = [row for row in report.data["fits"] if row["repetitions"]]
    if not rows:
        return
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    figure = _new_figure(0.9 + 1.9 * len(problems))
    axes = figure.subplots(len(problems), 2, sharex="row", squeeze=False)
    looks = _looks(dict.fromkeys(row["contender"] for row in rows))
    seen: dict[str, Any] = {}
    for line, problem in enumerate(problems):
        for name, (color, marker) in looks.items():
            mine = [row for row in rows if (row["problem"], row["contender"]) == (problem, name)]
            for place, quantity in zip(axes[line], ("grad_norm", "suboptimality"), strict=True):
                (drawn,) = place.plot(
                    [row["seconds"] for row in mine],
                    [row[quantity] or math.nan for row in mine],
                    color=color,
                    marker=marker,
                    markersize=3,
                    markerfacecolor="none",
                    linewidth=2.0 if name == "halpbench" else 0.8,
                )
                seen.setdefault(name, drawn)
        for place, label in zip(axes[line], ("gradient norm", "f - f*"), strict=True):
            place.set_xscale("log")
            place.set_yscale("log")
            place.set_xlabel("seconds of a fit")
            place.set_ylabel(label)
        axes[line, 0].set_title(problem, fontsize=7)
    figure.legend(seen.values(), seen.keys(), loc="outside upper center", ncols=4)
    yield Picture(
        "peers",
        figure,
        "Gradient norm, and loss above the least one, that whole fits reached, against the seconds "
        "that they took: a mark for each tolerance, one core each.",
    )


def _looks(contenders: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Give each contender the colour of its library, and a marker of its own among these."""
    looks: dict[str, tuple[str, str]] = {}
    for name in contenders:
        color = LIBRARY_COLORS.get(name.split()[0], "#999999")
        siblings = sum(other == color for other, _ in looks.values())
        looks[name] = (color, MARKERS[siblings % len(MARKERS)])
    return looks


def roofline(report: Report) -> Iterator[Picture]:
    """Draw kernels and steps of solvers below the measured roofs, a line of panels a backend."""
    rows = report.data["roofline"]
    # Backends on which solvers ran, or else the first one: the table has the others.
    backends = list(dict.fromkeys(row["backend"] for row in rows if row["part"] != "calls"))
    backends = backends or [rows[0]["backend"]]
    rows = [row for row in rows if row["backend"] in backends]
    figure = _new_figure(0.9 + 2.5 * len(backends))
    axes = figure.subplots(len(backends), 2, sharex=True, sharey=True, squeeze=False)
    intensities = [row["multiply_adds_per_byte"] for row in rows]
    span = min(intensities) / 2, max(*intensities, 4) * 2
    lowest = min(row["giga_multiply_adds_per_second"] for row in rows) / 1.5
    peaks = report.machine["ceilings"]["multiply_add"]
    highest = max(row["giga_per_second"] for row in peaks if row["backend"] in backends)
    for line, backend in zip(axes, backends, strict=True):
        for place, steps in zip(line, (False, True), strict=True):
            place.set_xscale("log", base=2)
            place.set_yscale("log")
            place.set_xlim(*span)
            place.set_ylim(lowest, 2 * highest)
            place.xaxis.set_major_formatter(_fraction)
            place.set_title(f"{'steps of solvers' if steps else 'kernels'}, {backend}")
            _roofs(place, report.machine["ceilings"], backend, span, lowest)
            for row in rows:
                if row["backend"] == backend and (row["part"] != "calls") == steps:
                    _below_roof(place, row)
    figure.supxlabel("multiply-adds for each byte read", fontsize=8)
    figure.supylabel("billions of multiply-adds a second", fontsize=8)
    figure.legend(handles=_roofline_legend(rows), loc="outside upper center", ncols=len(DTYPES) + 1)
    yield Picture(
        "roofline",
        figure,
        "Multiply-adds a second against multiply-adds for each byte read from the level of memory "
        "that takes longest. Sloping: the measured bandwidth of each level, read by one thread. "
        "Level: the measured multiply-adds a second of each type. The roof over a mark is the line "
        "of its own level and type. Hollow marks: updates and inner steps, which also round.",
    )


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


def _below_roof(axes: Axes, row: Row) -> None:
    color = DTYPES[row["dtypes"].split("+")[0]][0]
    hollow = row["part"] == "inner" or row["what"] in ("axpy", "ger")
    axes.plot(
        row["multiply_adds_per_byte"],
        row["giga_multiply_adds_per_second"],
        color=color,
        marker=LEVEL_MARKERS.get(row["level"], "*"),
        markersize=4,
        markeredgewidth=0.8,
        markerfacecolor="white" if hollow else color,
    )


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


def _new_figure(height: float) -> Figure:
    # Not pyplot: nothing global, no display.
    from matplotlib.figure import Figure

    return Figure(figsize=(7.0, height), layout="constrained")


_MAKERS: dict[str, Callable[[Report], Iterator[Picture]]] = {
    "epochs": speedups,
    "kernels": throughput,
    "convergence": convergence,
    "roofline": roofline,
    "peers": time_to_accuracy,
}
