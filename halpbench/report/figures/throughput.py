"""Throughput of kernels against the size of their operands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from halpbench.report.cells import Row
from halpbench.report.figures.looks import DTYPES
from halpbench.report.pictures import Picture, new_figure
from halpbench.report.tables import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def throughput_curves(report: Report) -> Iterator[Picture]:
    """Draw the throughput of kernels against the bytes of a call: a row of panels for each op."""
    by_op: dict[str, list[Row]] = {}
    for row in report.data["kernels"]:
        by_op.setdefault(row["op"], []).append(row)
    # An op that is measured at a single size has no curve.
    by_op = {op: rows for op, rows in by_op.items() if len({row["n"] for row in rows}) > 1}
    if not by_op:
        return
    backends = list(dict.fromkeys(row["backend"] for rows in by_op.values() for row in rows))
    figure = new_figure(0.7 + 1.6 * len(by_op))
    axes = figure.subplots(len(by_op), len(backends), sharex=True, sharey=True, squeeze=False)
    seen: dict[str, Any] = {}
    for line, (op, rows) in zip(axes, by_op.items(), strict=True):
        for place, backend in zip(line, backends, strict=True):
            measured = [row for row in rows if row["backend"] == backend]
            (seen["reading memory"],) = _throughput(
                place, report.data["bandwidth"], color="#b0b0b0", linewidth=2.5
            )
            for dtype, (color, marker) in DTYPES.items():
                (seen[dtype],) = _throughput(
                    place,
                    [row for row in measured if row["dtype"] == dtype],
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
        [row for rows in by_op.values() for row in rows],
    )


def _throughput(axes: Axes, rows: Sequence[Row], **look: Any) -> list[Any]:
    bytes_moved = [row["gigabytes_per_second"] * row["ns"] for row in rows]
    return axes.plot(bytes_moved, [row["gigabytes_per_second"] for row in rows], **look)
