"""Convergence by epoch and by seconds: Figures 1 and 4 of the paper."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from halpbench.bench import stats
from halpbench.bench.records import Record, Series
from halpbench.report import cells, placement
from halpbench.report.cells import Row
from halpbench.report.pictures import ADAPTIVE_COLOR, COLORS, DASHES, Picture, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

QUANTITIES = {
    "loss": "training loss",
    "grad_norm": "gradient norm",
    "distance": "distance to the optimum",
    "test_error": "test error",
}


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
        "finds. HALP, adaptive scale: no mu is given, the scale follows the displacement. Last "
        "column: several samples a step, which is rounded once. Bottom: the same epochs by "
        "seconds, medians of repeated runs on one thread, each panel with a scale of its own."
        f"{_by_seconds(records)}",
    )


def _by_seconds(records: Sequence[Record]) -> str:
    """Explain the seconds if HALP takes more of them than SVRG in float32."""
    seconds = {
        (series.facts["algorithm"], series.facts["precision"]): series_rows(record, series)[-1]
        for record in records
        for series in record.series
        if _batch_size(series) == 1 and not _is_adaptive(series)
    }
    halp, svrg = seconds.get(("halp", "D8M8")), seconds.get(("svrg", "D32fM32f"))
    if halp is None or svrg is None or halp["seconds"] < svrg["seconds"]:
        return ""
    facts = records[0].facts
    size = cells.size(4 * facts["n_samples"] * facts["n_features"])
    return (
        f" HALP is slower there at one sample a step: the data, {size} in float32, lie in a cache, "
        "so that reading fewer bytes gains little, while the cost of rounding remains. `halpbench "
        "bench` has the sizes at which low precision is faster."
    )


def _treatment(record: Record) -> str:
    if record.case["data"] == "exact":
        return "exact full gradient"
    size = _batch_size(record.series[0])
    batches = f", batches of {size}" if size != 1 else ""
    return f"{record.case['bits']}-bit data{batches}"


def _batch_size(series: Series) -> int:
    size: int = series.facts["options"].get("batch_size", 1)
    return size


def figure_4(records: Sequence[Record]) -> Iterator[Picture]:
    """Multi-class logistic regression: a picture for each data set and number of bits."""
    by_panel: dict[str, list[Record]] = {}
    for record in records:
        by_panel.setdefault(placement.panel(record.case), []).append(record)
    for alike in by_panel.values():
        record = alike[0]
        name, bits = record.case["problem"]["name"], record.case["bits"]
        figure = new_figure(4.4)
        axes = figure.subplots(2, 3, squeeze=False)
        rows: list[Row] = []
        for series in record.series:
            history = _spread([series_rows(r, s) for r, s in _of_contender(alike, series)])
            rows += history
            for line, against in enumerate(("epoch", "seconds")):
                for column, quantity in enumerate(("loss", "grad_norm", "test_error")):
                    _plot(axes[line, column], series, history, quantity, against)
                    _shade(axes[line, column], series, history, quantity, against)
                    axes[line, column].set_xlabel(against)
                    axes[line, column].locator_params(axis="x", nbins=5)
                    axes[0, column].set_title(QUANTITIES[quantity])
        for line in axes:
            line[1].set_yscale("log")
            # The curves differ close to the least value; the start is far above.
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
            f"{_constants(record)}. Lines are medians, bands the range of "
            f"{len(alike)} seeds. Bottom: by seconds, on one thread; all have as many "
            "epochs, so that the line that ends first took the least time.",
            rows,
        )


def _of_contender(records: Sequence[Record], series: Series) -> Iterator[tuple[Record, Series]]:
    """Yield the series of one contender in each record."""
    for record in records:
        for other in record.series:
            if other.contender == series.contender:
                yield record, other


def _spread(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """Return a row an epoch: the median of some runs, and the ends of the range of quantities."""
    rows = []
    for same_epoch in zip(*runs, strict=True):
        row = dict(same_epoch[0]) | {"seeds": len(same_epoch)}
        for name in ("seconds", *(name for name in QUANTITIES if name in row)):
            # Losses that are not finite have no number in JSON.
            values = sorted(math.inf if r[name] is None else r[name] for r in same_epoch)
            row[name] = values[len(values) // 2]
            if name != "seconds":
                row |= {f"{name}_lowest": values[0], f"{name}_highest": values[-1]}
        rows.append(row)
    return rows


def _constants(record: Record) -> str:
    """Return "SGD step size 0.001; ...", the constants that the contenders have."""
    parts = []
    for series in record.series:
        own = ", ".join(
            f"{k.replace('_', ' ')} {v if isinstance(v, str) else format(v, '.2g')}"
            for k, v in series.facts["options"].items()
        )
        parts.append(f"{series.facts['algorithm'].upper()} {own}")
    return "; ".join(parts)


def figure_own(records: Sequence[Record]) -> Iterator[Picture]:
    """Data of the user's own: a column for each treatment of the data."""
    first = records[0]
    problem, facts = first.case["problem"], first.facts
    yield _curves(
        f"own-{problem['name']}",
        records,
        [_treatment(record) for record in records],
        [("grad_norm", "epoch"), ("grad_norm", "seconds")],
        f"{problem['name']}, {problem['model']}, {facts['n_samples']:,} x {facts['n_features']:,}, "
        f"l2 {problem['l2']:g}, {facts['epoch_length']:,} steps an epoch, step size "
        f"{problem['step_size']:.3g}, found on a part of the data. HALP's scale follows the "
        "displacement. Bottom: by seconds, on one thread.",
    )


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
    handles = _short_legend([s for record in records for s in record.series])
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


def _plot(axes: Axes, series: Series, history: Sequence[Row], quantity: str, against: str) -> None:
    facts = series.facts
    tuned = _is_dotted(series)
    axes.plot(
        [row[against] for row in history],
        [math.nan if row[quantity] is None else row[quantity] for row in history],
        color=_color(series),
        linestyle=":" if tuned else DASHES[facts["precision"]],
        linewidth=1.0 if tuned else None,
    )


def _shade(axes: Axes, series: Series, history: Sequence[Row], quantity: str, against: str) -> None:
    """Draw the range of the seeds."""
    low, high = ([row[f"{quantity}_{end}"] for row in history] for end in ("lowest", "highest"))
    x = [row[against] for row in history]
    axes.fill_between(x, low, high, color=_color(series), alpha=0.2, linewidth=0)


def _color(series: Series) -> str:
    return ADAPTIVE_COLOR if _is_adaptive(series) else COLORS[series.facts["algorithm"]]


def _label(series: Series) -> str:
    name = str(series.facts["algorithm"]).upper()
    return f"{name}, adaptive scale" if _is_adaptive(series) else name


def _is_adaptive(series: Series) -> bool:
    """Tell whether HALP's scale follows the displacement, beside HALP with a given mu."""
    return str(series.facts["constants"]) == "adaptive scale"


def _is_dotted(series: Series) -> bool:
    """Tell whether a contender is tuned, beside the same with the paper's constants (Figure 1)."""
    return str(series.facts["constants"]) == "tuned beside the paper's"


def _combinations(all_series: Iterable[Series]) -> list[tuple[str, str, str]]:
    """Return label, colour and precision of the lines, in a fixed order; no dotted ones."""
    kinds = {
        (_label(series), _color(series), str(series.facts["precision"]))
        for series in all_series
        if not _is_dotted(series)
    }
    colors = [*COLORS.values(), ADAPTIVE_COLOR]
    return sorted(kinds, key=lambda k: (colors.index(k[1]), list(DASHES).index(k[2])))


def _legend(all_series: Iterable[Series]) -> list[Line2D]:
    """One entry for each combination of algorithm and precision."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=color, linestyle=DASHES[precision], label=f"{label} {precision}")
        for label, color, precision in _combinations(all_series)
    ]


def _short_legend(all_series: Sequence[Series]) -> list[Line2D]:
    """An entry for each algorithm, and one for each kind of line, where combinations are many."""
    from matplotlib.lines import Line2D

    kinds = _combinations(all_series)
    entries = [
        Line2D([], [], color=color, label=label)
        for label, color in dict.fromkeys((label, color) for label, color, _ in kinds)
    ]
    by_dash: dict[str, list[str]] = {}
    for precision in sorted({precision for *_, precision in kinds}, key=list(DASHES).index):
        by_dash.setdefault(str(DASHES[precision]), []).append(precision)
    entries += [
        Line2D([], [], color="#555555", linestyle=DASHES[names[0]], label=" or ".join(names))
        for names in by_dash.values()
    ]
    if any(map(_is_dotted, all_series)):
        entries.append(
            Line2D([], [], color="#555555", linestyle=":", linewidth=1.0, label="step size tuned")
        )
    return entries
