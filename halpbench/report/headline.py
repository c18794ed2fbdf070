"""The paper's headline, "up to 4 times faster than full-precision SVRG", and what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from halpbench.report import cells
from halpbench.report.cells import Row, Table

CLAIMED = 4.0
# Names of the speedups, without the baseline.
QUANTITIES = {"inner": "inner loop", "epoch": "epoch", "same_norm": "to the same gradient norm"}
BASELINES = {"f32": "32 bits", "f64": "64 bits"}


def best(epochs: Sequence[Row]) -> list[Row]:
    """Return the largest speedup of HALP of each kind, with where it was seen.

    Parameters
    ----------
    epochs : sequence of Row
        Those of the table of epochs. Counted are quantized data, one sample a step, which is the
        paper's algorithm, and the best backend.

    Returns
    -------
    list of Row
        ``quantity``, ``baseline``, ``contender``, ``problem``, and ``speedup`` with its interval.
    """
    rows = [
        row
        for row in epochs
        if row["contender"].startswith("HALP")
        and (row["data"], row["backend"]) == ("quantized", epochs[0]["backend"])
        and row["batch_size"] == 1
    ]
    return [row for baseline in BASELINES for row in _largest(rows, baseline)]


def _largest(rows: Sequence[Row], baseline: str) -> Iterator[Row]:
    for quantity in QUANTITIES:
        name = f"{quantity}_speedup_over_{baseline}"
        measured = [row for row in rows if row.get(name) is not None]
        if measured:
            row = max(measured, key=lambda row: row[name])
            yield {
                "quantity": quantity,
                "baseline": baseline,
                "contender": row["contender"],
                "problem": row["problem"],
                "repetitions": row["repetitions"],
                "speedup": row[name],
                "speedup_low": row.get(f"{name}_low"),
                "speedup_high": row.get(f"{name}_high"),
            }


def verdict(rows: Sequence[Row]) -> str:
    """Say whether the rows of `best` bear the claim out."""
    speedups = {(row["baseline"], row["quantity"]): row["speedup"] for row in rows}
    for baseline, name in BASELINES.items():
        for quantity in ("same_norm", "epoch"):
            if speedups.get((baseline, quantity), 0) >= CLAIMED:
                kind = QUANTITIES[quantity] if quantity == "same_norm" else "by the epoch"
                limit = "" if baseline == "f32" else "; not over 32 bits"
                return f"reproduced over SVRG in {name}, {kind}{limit}"
    return "not reproduced"


def table(rows: Sequence[Row]) -> Table:
    """Show the rows of `best`."""
    lines = [
        [
            f"{QUANTITIES[row['quantity']]}, over {BASELINES[row['baseline']]}",
            row["contender"],
            row["problem"],
            cells.interval(row, "speedup"),
        ]
        for row in rows
    ]
    notes = [
        "The most that HALP gains over SVRG on any problem here, one sample a step, data quantized",
        f"for both. The paper claims up to {CLAIMED:g} times: {verdict(rows)}.",
    ]
    header = ("times as fast", "contender", "problem", "speedup")
    return Table("In short: the paper's headline", header, lines, notes, brief=False)


def sentence(rows: Sequence[Row]) -> str:
    """Write the rows of `best` in a line, for docs/reproduction.md."""
    parts = []
    for baseline, name in BASELINES.items():
        speedups = [
            f"{QUANTITIES[row['quantity']]} {cells.plain(row, 'speedup')} "
            f"({row['contender'].removeprefix('HALP ')}, {row['problem']})"
            for row in rows
            if row["baseline"] == baseline
        ]
        parts.append(f"over SVRG in {name}, at best: {', '.join(speedups)}")
    return "; ".join(parts)
