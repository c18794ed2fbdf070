"""Verdict of the results in numbers: HALP beside SVRG, and whole fits beside scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from halpbench.report import cells
from halpbench.report.cells import Row
from halpbench.report.peers import OURS, times_as_fast
from halpbench.report.tables import Report

# The contender that the verdict speaks of, if it was measured: 8-bit data, read from memory, are
# where low precision gains, and a model of 16 bits converges like floating point.
PREFERRED = "HALP D8M16"
EXPLAINED = f"{cells.MARK}: few samples, or samples that scatter."
PEER_PROBLEM, PEER_LIBRARY = "fashion-mnist", "scikit-learn"


class Claim(NamedTuple):
    """A number with its unit, and a sentence about it."""

    number: str
    text: str


def claims(machines: Sequence[tuple[str, Sequence[Report]]]) -> list[Claim]:
    """Sum up the reports of some machines; nothing where nothing was measured.

    Parameters
    ----------
    machines : sequence of (str, sequence of Report)
        The name of a machine and its reports.
    """
    stated = [*_speedups([halp_rows(reports) for _, reports in machines])]
    for name, reports in machines:
        stated += _seconds(reports, f" on {name}" if len(machines) > 1 else "")
    return [
        claim._replace(text=f"{claim.text} {EXPLAINED}") if cells.MARK in "".join(claim) else claim
        for claim in stated
    ]


def halp_rows(reports: Sequence[Report]) -> list[Row]:
    """Return the epochs of HALP on quantized data with the best backend of a machine."""
    rows = [row for report in reports for row in report.data.get("epochs", ())]
    return [
        row
        for row in rows
        if row["contender"].startswith("HALP")
        and (row["data"], row["backend"]) == ("quantized", rows[0]["backend"])
        and row["best_batch"]
        and "inner_speedup_over_f32" in row
    ]


def _speedups(machines: Sequence[Sequence[Row]]) -> Iterator[Claim]:
    """Yield the range of the speedups of one contender over all problems and machines."""
    rows = [row for rows in machines for row in rows]
    names = dict.fromkeys(row["plain"] for row in rows)
    if not names:
        return
    contender = PREFERRED if PREFERRED in names else next(iter(names))
    rows = [row for row in rows if row["plain"] == contender]
    problems = _count(len({row["problem"] for row in rows}), "problem")
    where = f"{problems}, {_count(sum(map(bool, machines)), 'machine')}"
    yield Claim(
        f"{_range(rows, 'epoch_speedup_over_f32')} times as fast",
        f"per epoch: {contender} beside SVRG in float32, each with its fastest batch ({where}).",
    )
    same_norm = "same_norm_speedup_over_f32"
    rows = [row for row in rows if row[same_norm] is not None]
    if rows:
        yield Claim(
            f"{_range(rows, same_norm)} times as fast",
            "to the same gradient norm, the least that both reach.",
        )


def _seconds(reports: Sequence[Report], where: str) -> Iterator[Claim]:
    """Yield our time on one problem beside the best solver of one library, and of all."""
    times = [
        row
        for report in reports
        for row in report.data.get("time_to_accuracy", ())
        if (row["problem"], row["quantity"]) == (PEER_PROBLEM, "grad_norm")
        and row["seconds"] is not None
    ]
    for ours in sorted(times, key=lambda row: row["level"]):
        alike = [row for row in times if row["level"] == ours["level"] and row is not ours]
        library = [row for row in alike if row["contender"].startswith(PEER_LIBRARY)]
        if ours["contender"] != OURS or not library:
            continue
        best, peer = (min(rows, key=lambda row: row["seconds"]) for rows in (alike, library))
        other = f"; best peer: {_timed(best)}" if best is not peer else ""
        yield Claim(
            f"{cells.time(ours, 'seconds')}, {PEER_LIBRARY}: {cells.time(peer, 'seconds')}",
            f"to fit Fashion-MNIST to a gradient norm of {ours['level']:g}{where}, "
            f"{times_as_fast(ours, peer)} times as fast as {peer['contender']}{other}.",
        )
        return


def _timed(row: Row) -> str:
    return f"{row['contender']}, {cells.time(row, 'seconds')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")


def _range(rows: Sequence[Row], name: str) -> str:
    """Write the least and the largest number of a column, with the digits that they have."""
    ends = [pick(rows, key=lambda row: row[name]) for pick in (min, max)]
    low, high = (cells.plain(row, name) for row in ends)
    if cells.UNKNOWN in (low, high):
        intervals = [cells.estimate(row, name) for row in rows]
        least = cells.rough(min(one.low for one in intervals))
        largest = cells.rough(max(one.high for one in intervals))
        return f"{cells.MARK}{least} to {largest}"
    return low if low == high else f"{low} to {high}"
