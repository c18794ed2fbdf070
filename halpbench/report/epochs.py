"""Table 2: epochs, split into inner loop and full gradient, with speedups beside their bounds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from halpbench.bench import stats
from halpbench.bench.records import Record, Series
from halpbench.report import cells
from halpbench.report.cells import Content, Row, Table

F32, F64 = "SVRG D32fM32f", "SVRG D64fM64f"
BASELINES = {"f32": F32, "f64": F64}

# The first epoch of a contender warms caches and page tables; it counts for convergence only.
WARM_UP_EPOCHS = 1


def make(records: Sequence[Record]) -> Content:
    """Tabulate times, speedups, their bounds, and the gradient norms that were reached."""
    bandwidths = _bandwidths(records)
    measured = [record for record in records if record.kind == "epochs"]
    best = cells.backends(measured)[:1]
    rows: list[Row] = []
    tables: list[Table] = []
    for record in measured:
        own = [_row(record, series, bandwidths) for series in record.series]
        _mark_best(own)
        rows += own
        brief = record.case["backend"] in best
        # On the console once: the parts of the time differ little between the two.
        quantized = record.case["data"] == "quantized"
        tables += [replace(_times(record, own), brief=brief and quantized)]
        tables += [replace(_speedups(record, own), brief=brief)]
    return {"epochs": rows}, tables


def batch_of(series: Series) -> tuple[str, int]:
    """Return algorithm and precision of a contender, such as "HALP D8M8", and its batch size."""
    return series.contender.partition(",")[0], series.facts.get("batch_size", 1)


def _baseline(record: Record, short: str, batch_size: int) -> Series | None:
    """Return SVRG in a float precision: one sample a step, or its fastest batch beside batches."""
    candidates = []
    for series in record.series:
        plain, samples = batch_of(series)
        if series.samples_ns["epoch"] and plain == BASELINES[short]:
            candidates += [series] if samples == 1 or batch_size != 1 else []
    return min(candidates, key=lambda s: float(np.median(timed(s, "epoch"))), default=None)


def _mark_best(rows: Sequence[Row]) -> None:
    """Note of each algorithm and precision the batch size whose epochs are fastest."""
    for plain in dict.fromkeys(row["plain"] for row in rows):
        alike = [row for row in rows if row["plain"] == plain]
        fastest = min(alike, key=lambda row: row.get("epoch_seconds", math.inf))
        for row in alike:
            row["best_batch"] = row is fastest


def _row(record: Record, series: Series, bandwidths: Mapping[int, float]) -> Row:
    steps, n_samples = record.facts["epoch_length"], record.facts["n_samples"]
    norms = series.facts["gradient_norms"]
    plain, batch_size = batch_of(series)
    row: Row = {
        "problem": record.case["problem"]["name"],
        "data": record.case["data"],
        "backend": record.case["backend"],
        "contender": series.contender,
        "plain": plain,
        "batch_size": batch_size,
        "bytes_per_step": series.facts["step_bytes"],
        "bytes_per_epoch": _epoch_bytes(record, series),
        "data_bytes": series.facts["data_bytes"],
        "epochs": len(norms) - 1,
        "first_gradient_norm": norms[0],
        "last_gradient_norm": None if series.facts["diverged"] else norms[-1],
    }
    if not series.samples_ns["epoch"]:
        return row | {"repetitions": 0}
    inner, gradient, epoch = (
        stats.median(timed(series, name)) for name in ("inner", "full_gradient", "epoch")
    )
    row |= {
        **cells.columns("epoch_seconds", epoch.scaled(1e-9)),
        **cells.columns("inner_ns_per_step", inner.scaled(1 / steps)),
        **cells.columns("full_gradient_ns_per_row", gradient.scaled(1 / n_samples)),
        **_throughput(series.facts["step_bytes"] * steps, inner),
        "repetitions": epoch.count,
    }
    bandwidth = _read_bandwidth(bandwidths, series.facts["data_bytes"])
    if bandwidth is not None:
        row["read_gigabytes_per_second"] = bandwidth
        row["share_of_read"] = row["inner_gigabytes_per_second"] / bandwidth
    for short in BASELINES:
        baseline = _baseline(record, short, batch_size)
        if baseline is None:
            continue
        row[f"inner_bound_over_{short}"] = baseline.facts["step_bytes"] / row["bytes_per_step"]
        row[f"epoch_bound_over_{short}"] = _epoch_bytes(record, baseline) / row["bytes_per_epoch"]
        for part in ("inner", "epoch"):
            ratio = stats.ratio(timed(baseline, part), timed(series, part))
            row |= cells.columns(f"{part}_speedup_over_{short}", ratio)
        fewer = _epochs_ratio(baseline.facts["gradient_norms"], norms)
        name = f"same_norm_speedup_over_{short}"
        row |= {name: None} if fewer is None else cells.columns(name, ratio.scaled(fewer))
    return row


def _times(record: Record, rows: Sequence[Row]) -> Table:
    lines = [
        [
            row["contender"],
            _milliseconds(row),
            cells.plain(row, "inner_ns_per_step"),
            cells.plain(row, "full_gradient_ns_per_row"),
            cells.size(row["data_bytes"]),
            cells.plain(row, "inner_gigabytes_per_second"),
            _share_of_read(row),
        ]
        if row["repetitions"]
        else [row["contender"], "diverged", *[""] * 5]
        for row in rows
    ]
    return Table(
        f"Epochs: {cells.title_of(record)}, {record.case['backend']}",
        (
            "contender",
            "epoch ms",
            "inner ns/step",
            "gradient ns/row",
            "data read",
            "inner GB/s",
            "of read",
        ),
        lines,
        [
            f"Constants: {cells.constants_of(record)}.",
            "An epoch is a full gradient (ns for each row of data) and its inner steps.",
            "of read: share of the measured speed of merely reading as much memory.",
            f"Data: {record.facts.get('source', 'unknown')}. Backend "
            f"{record.case['backend']}, "
            f"{cells.span([row['repetitions'] for row in rows])} repetitions.",
        ],
    )


def _speedups(record: Record, rows: Sequence[Row]) -> Table:
    lines = [
        [
            row["contender"],
            cells.interval(row, "inner_speedup_over_f32"),
            cells.plain(row, "inner_bound_over_f32"),
            cells.interval(row, "epoch_speedup_over_f32"),
            cells.plain(row, "epoch_bound_over_f32"),
            cells.plain(row, "epoch_speedup_over_f64"),
            cells.norm(row["last_gradient_norm"]),
            cells.plain(row, "same_norm_speedup_over_f32") or "-",
        ]
        for row in rows
    ]
    return Table(
        f"Speedups: {cells.title_of(record)}, {record.case['backend']}",
        (
            "contender",
            "inner, f32",
            "bound",
            "epoch, f32",
            "bound",
            "epoch, f64",
            "grad norm",
            "same norm",
        ),
        lines,
        [
            "Times as fast as SVRG in float32 and float64: both with one sample a step, or",
            "both with batches, SVRG with its fastest.",
            "bound: ratio of the bytes of data read.",
            f"grad norm: after {max(row['epochs'] for row in rows)} epochs, from "
            f"{cells.norm(rows[0]['first_gradient_norm'])}. same norm: speedup over float32, "
            "to the same",
            "gradient norm in place of the same number of epochs.",
        ],
    )


def _share_of_read(row: Row) -> cells.Cell:
    if "share_of_read" not in row:
        return cells.Cell("")
    return cells.share(row["share_of_read"], cells.estimate(row, "inner_ns_per_step"))


def _milliseconds(row: Row) -> cells.Cell:
    milliseconds = cells.estimate(row, "epoch_seconds").scaled(1e3)
    return cells.plain({**row, **cells.columns("ms", milliseconds)}, "ms")


def timed(series: Series, name: str) -> tuple[int, ...]:
    """Return the samples that count as timings: all but the first, if there are more."""
    samples = series.samples_ns[name]
    return samples[WARM_UP_EPOCHS:] if len(samples) > WARM_UP_EPOCHS else samples


def _epoch_bytes(record: Record, series: Series) -> int:
    """Count the bytes of data that an epoch reads: its steps, and a row for each sample."""
    facts = record.facts
    steps = facts["epoch_length"] * series.facts["step_bytes"]
    return int(steps + facts["n_samples"] * series.facts["gradient_row_bytes"])


def _throughput(count: float, ns: stats.Estimate) -> Row:
    """Return GB/s from the bytes and the nanoseconds of an inner loop."""
    name = "inner_gigabytes_per_second"
    return {name: count / ns.value, f"{name}_low": count / ns.high, f"{name}_high": count / ns.low}


def _bandwidths(records: Sequence[Record]) -> dict[int, float]:
    """Return the measured GB/s of reading, by the bytes of the array."""
    return {
        record.case["n"]: record.case["n"] / float(np.median(cells.per_call(record.series[0])))
        for record in records
        if cells.read_only(record)
    }


def _read_bandwidth(bandwidths: Mapping[int, float], data_bytes: int) -> float | None:
    """Find the measured GB/s of reading the smallest array that is no smaller than the data."""
    if not bandwidths:
        return None
    size = min((n for n in bandwidths if n >= data_bytes), default=max(bandwidths))
    return bandwidths[size]


def _epochs_ratio(baseline: Sequence[float], contender: Sequence[float]) -> float | None:
    """Return how many times more epochs the baseline takes to the same gradient norm.

    The norm is the least that both reach. None if that is where they start.
    """
    target = max(min(baseline), min(contender))
    ours, base = epochs_to(contender, target), epochs_to(baseline, target)
    return base / ours if ours and base else None


def epochs_to(norms: Sequence[float], target: float) -> float | None:
    """Count the epochs until the gradient norm is at most `target`; None if it never is.

    Between epochs the logarithm of the norm is taken to fall linearly.
    """
    for epoch, norm in enumerate(norms):
        if norm <= target:
            if epoch == 0 or norm == 0:
                return float(epoch)
            before = norms[epoch - 1]
            return epoch - 1 + math.log(before / target) / math.log(before / norm)
    return None
