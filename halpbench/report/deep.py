"""The deep-learning experiments: the paper's Figure 3, a sweep of bits, and a table of results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from halpbench.bench import stats
from halpbench.bench.records import Record, identity
from halpbench.report.cells import Row, Table, columns
from halpbench.report.pictures import COLORS, Picture, new_figure, save_records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JUMP = 1.4  # times the loss of the epoch before
SHOWN_BITS = 8  # those whose epochs are drawn, as in the paper
LOW_PRECISION = ("lp-sgd", "lp-svrg", "halp")
VALIDATION = {"lstm": "validation perplexity", "resnet": "validation accuracy"}

Key = tuple[str, int | None, tuple[tuple[str, float], ...]]
Seeds = dict[int, Record]


def best_so_far(record: Record) -> list[float]:
    """Return the best validation result until each epoch, the start included.

    For the LSTM the least perplexity, for the ResNet the largest accuracy. An epoch without a
    finite loss changes nothing.
    """
    facts = record.series[0].facts
    if record.case["task"]["name"] == "lstm":
        # Past e^20 there is nothing to compare.
        losses = [20.0 if loss is None else min(loss, 20.0) for loss in facts["validation_loss"]]
        return [math.exp(loss) for loss in accumulate(losses, min)]
    return list(accumulate(facts["validation_accuracy"], max))


def gain(record: Record, other: Record) -> float:
    """Return how much better the best result of one run is: positive if it is better."""
    difference = best_so_far(record)[-1] - best_so_far(other)[-1]
    return -difference if record.case["task"]["name"] == "lstm" else difference


def table(records: Sequence[Record]) -> Table:
    """Return the best validation results, averaged over seeds, and HALP's gain over LP-SGD.

    Parameters
    ----------
    records : sequence of Record
        Of one task; skipped ones are named below the table.
    """
    usable = [record for record in records if record.skipped is None]
    notes = sorted({record.skipped for record in records if record.skipped is not None})
    if not usable:
        return Table("Nothing was trained", (), (), notes)
    task = usable[0].case["task"]
    contenders = _by_contender(usable)
    rows = [
        (
            next(iter(seeds.values())).series[0].contender,
            ", ".join(f"{name} {value:g}" for name, value in options),
            _training_loss(seeds),
            _interval(stats.mean([best_so_far(record)[-1] for record in seeds.values()])),
            f"{len(seeds)}",
        )
        for (_, _, options), seeds in contenders.items()
    ]
    header = (
        "contender",
        "constants",
        "training loss",
        f"best {VALIDATION[task['name']]}",
        "seeds",
    )
    notes += [
        f"{bits} bits: HALP is better than LP-SGD by {_interval(gain)}, in {gain.count} seeds."
        for bits, gain in _gains(contenders)
    ]
    notes.append("Means over seeds; in brackets 95 % intervals of Student's t.")
    return Table(f"{task['name']} ({task['size']})", header, rows, notes)


def task(record: Record) -> str:
    """Name the task and the size of a record's training run."""
    return f"{record.case['task']['name']}, {record.case['task']['size']}"


def without_search(records: Sequence[Record]) -> list[Record]:
    """Leave out the runs of a search for constants: one seed each, where the others have more."""
    alike: dict[bytes, list[Record]] = {}
    for record in records:
        case = {name: value for name, value in record.case.items() if name != "seed"}
        alike.setdefault(identity(record.kind, case, record.fingerprint), []).append(record)
    repeated = [runs for runs in alike.values() if len(runs) > 1]
    return [record for runs in repeated or alike.values() for record in runs]


def draw(records: Sequence[Record], folder: Path, origin: str = "") -> list[Path]:
    """Draw the figure of a task and write its files, as `pictures.save` does."""
    return save_records(figure_3, records, folder, origin)


def figure_3(records: Sequence[Record]) -> Iterator[Picture]:
    """Training loss and best validation by epoch at 8 bits, and at the end by bits."""
    task, facts = records[0].case["task"], records[0].facts
    validation = VALIDATION[task["name"]]
    figure = new_figure(2.9)
    loss_axes, best_axes, bits_axes = figure.subplots(1, 3)
    rows: list[Row] = []
    ends: dict[str, dict[int | None, stats.Estimate]] = {}
    for (algorithm, bits, options), seeds in _by_contender(records).items():
        about: Row = {"algorithm": algorithm, "bits": bits, "seeds": len(seeds), **dict(options)}
        epochs = _epochs(seeds)
        rows += [{**about, **row} for row in epochs]
        best = [best_so_far(record)[-1] for record in seeds.values()]
        ends.setdefault(algorithm, {})[bits] = stats.mean(best)
        if bits in (None, SHOWN_BITS):
            label = algorithm.upper() + (f", {bits} bits" if bits else ", float32")
            # The start is far from all differences.
            _plot(loss_axes, epochs[1:], "training_loss", algorithm, label)
            _plot(best_axes, epochs[1:], "best", algorithm, label)
    _plot_bits(bits_axes, ends)
    loss_axes.set(xlabel="epoch", ylabel="training loss")
    best_axes.set(xlabel="epoch", ylabel=f"best {validation}")
    bits_axes.set(xlabel="bits", ylabel=f"best {validation}")
    handles, labels = loss_axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    what = {
        "lstm": f"Character LSTM on {task['dataset']}, {task['n_train']:,} windows of "
        f"{task['window']} characters",
        "resnet": f"ResNet on {task['n_train']:,} images of {task['dataset']}",
    }[task["name"]]
    size = "" if task["size"] == "small" else f"-{task['size']}"
    gains = "; ".join(
        f"{bits} bits {_interval(gain)}"
        for bits, gain in sorted(_gains(_by_contender(records)), key=lambda pair: pair[0])
    )
    yield Picture(
        f"deep-{task['name']}{size}",
        figure,
        f"{what}, {facts['n_parameters']:,} weights, {facts['epoch_length']} steps an epoch (after "
        "Figure 3 of the paper). Left and middle: training loss, and the best "
        f"{validation} so far, {SHOWN_BITS} bits where precision is low. Right: the best of all "
        "epochs by bits; horizontal lines are full precision. Low precision is simulated. "
        "Training losses are medians of the seeds, bands their range; the others means, bands and "
        f"bars 95 % intervals.{_jumps(_by_contender(records))} HALP's gain over LP-SGD: "
        f"{gains or 'not run'}.",
        rows,
    )


def _by_contender(records: Sequence[Record]) -> dict[Key, Seeds]:
    contenders: dict[Key, Seeds] = {}
    for record in records:
        facts = record.series[0].facts
        key = (facts["algorithm"], facts["bits"], tuple(facts["options"].items()))
        contenders.setdefault(key, {})[record.case["seed"]] = record
    return contenders


def _gains(contenders: dict[Key, Seeds]) -> Iterator[tuple[int, stats.Estimate]]:
    """Yield, by bits, how much better HALP is than LP-SGD, seed by seed."""
    for (algorithm, bits, _), halp in contenders.items():
        for (other, other_bits, _), lp_sgd in contenders.items():
            if (algorithm, other) == ("halp", "lp-sgd") and bits is not None and bits == other_bits:
                both = sorted(halp.keys() & lp_sgd.keys())
                if both:
                    yield bits, stats.mean([gain(halp[seed], lp_sgd[seed]) for seed in both])


def _training_loss(seeds: Seeds) -> str:
    """Write the last training loss, infinite for a run which has diverged."""
    losses = [record.series[0].facts["train_loss"][-1] for record in seeds.values()]
    return "inf" if None in losses else _interval(stats.mean(losses))


def _jumps(contenders: dict[Key, Seeds]) -> str:
    """Count the runs shown whose training loss jumps up from one epoch to the next."""
    counts = []
    for (algorithm, bits, _), seeds in contenders.items():
        if bits not in (None, SHOWN_BITS):
            continue
        jumping = sum(_jumps_up(record.series[0].facts["train_loss"]) for record in seeds.values())
        if jumping:
            counts.append(f"{algorithm.upper()} in {jumping} of {len(seeds)}")
    if not counts:
        return ""
    return (
        " Steps of a constant size at times throw a run back, in full precision too: the loss "
        f"grew by {100 * (JUMP - 1):.0f} % or more within an epoch for {', '.join(counts)} "
        "seeds. Most recover in the next epoch; where several are thrown back at once, the "
        "median rises."
    )


def _jumps_up(losses: Sequence[float | None]) -> bool:
    return any(
        before is not None and after is not None and after >= JUMP * before
        for before, after in pairwise(losses)
    )


def _epochs(seeds: Seeds) -> list[Row]:
    """Return a row an epoch, as far as every seed got."""
    rows = []
    histories = [
        (record.series[0].facts["train_loss"], best_so_far(record)) for record in seeds.values()
    ]
    for epoch in range(min(len(losses) for losses, _ in histories)):
        losses = [losses[epoch] for losses, _ in histories]
        row: Row = {"epoch": epoch}
        if None not in losses:
            # Not a mean with Student's interval: a run that jumps would take it below zero.
            row |= {
                "training_loss": median(losses),
                "training_loss_low": min(losses),
                "training_loss_high": max(losses),
            }
        row |= columns("best", stats.mean([best[epoch] for _, best in histories]))
        rows.append(row)
    return rows


def _plot(axes: Axes, rows: Sequence[Row], name: str, algorithm: str, label: str) -> None:
    rows = [row for row in rows if name in row]
    epochs = [row["epoch"] for row in rows]
    style = "--" if "float32" in label else "-"
    axes.plot(epochs, [row[name] for row in rows], style, color=COLORS[algorithm], label=label)
    low, high = ([row[f"{name}_{end}"] for row in rows] for end in ("low", "high"))
    axes.fill_between(epochs, low, high, color=COLORS[algorithm], alpha=0.15, linewidth=0)


def _plot_bits(axes: Axes, ends: dict[str, dict[int | None, stats.Estimate]]) -> None:
    for algorithm, by_bits in ends.items():
        color = COLORS[algorithm]
        if None in by_bits:
            axes.axhline(by_bits[None].value, color=color, linestyle="--")
        reduced = sorted((bits, end) for bits, end in by_bits.items() if bits is not None)
        if reduced:
            errors = [
                [end.value - end.low for _, end in reduced],
                [end.high - end.value for _, end in reduced],
            ]
            axes.errorbar(
                [bits for bits, _ in reduced],
                [end.value for _, end in reduced],
                errors,
                fmt="-o",
                color=color,
                markersize=3,
                capsize=2,
            )
            axes.set_xticks([bits for bits, _ in reduced])


def _interval(estimate: stats.Estimate) -> str:
    text = f"{estimate.value:.3f}"
    return text if estimate.count < 2 else f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"
