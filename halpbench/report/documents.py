"""Numbers in documents: text between two marks, and small pictures, made from the records."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from halpbench.report import cells, experiments, figures, peers, tables, verdict
from halpbench.report.cells import Row
from halpbench.report.pictures import save_small

if TYPE_CHECKING:
    from halpbench.report.page import Results
    from halpbench.report.tables import Report

# A block of a document: its name, and the lines that are made.
_BLOCK = re.compile(r"(<!-- halpbench report: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_BEGIN = "<!-- halpbench report:"

COMMANDS = {"epochs": "make bench", "peers": "make bench-peers"}
# Contenders of the short table: 8-bit data, where low precision gains most.
SHORT = ("HALP D8M16", "HALP D8M8")
# Gradient norm of the table of time to accuracy.
LEVEL = 1e-3


def fill(text: str, machine_results: Results) -> str:
    """Return a document with its blocks made anew from the results of a machine.

    A block is the lines between ``<!-- halpbench report: NAME -->`` and ``<!-- end -->``.

    Raises
    ------
    ValueError
        If a block has an unknown name, no end, or no records.
    """

    def block(match: re.Match[str]) -> str:
        begin, name, _, end = match.groups()
        if name not in BLOCKS:
            raise ValueError(f"got a block {name!r}; expected one of {', '.join(BLOCKS)}")
        return begin + "".join(f"{line}\n" for line in BLOCKS[name](machine_results)) + end

    if text.count(_BEGIN) != len(_BLOCK.findall(text)):
        raise ValueError(f"got {_BEGIN!r} without its end; expected '<!-- end -->' after the block")
    return _BLOCK.sub(block, text)


def draw(machine_results: Results, paper: Results | None, folder: Path) -> list[Path]:
    """Write the pictures that documents show, small ones, and return their paths.

    Parameters
    ----------
    machine_results : Results
        Of the machine whose speedups are drawn.
    paper : Results or None
        Records of the paper's experiments, for Figure 1.
    folder : Path

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    report = _report(machine_results, "epochs")
    short = replace(report, data={"epochs": _quantized(report)})
    written = save_small(partial(figures.pictures, short), folder)
    if paper is not None:
        figure_1 = [r for r in paper.records if experiments.figure(r) == "fig1"]
        written += experiments.each(figure_1, lambda make, _: save_small(make, folder))
    return written


def _numbers(machine_results: Results) -> list[str]:
    """List what HALP gains over SVRG, and the seconds of fits beside scikit-learn."""
    claims = verdict.claims([(machine_results.store.machine, machine_results.reports)])
    names = [name for name in COMMANDS if any(r.name == name for r in machine_results.reports)]
    _report(machine_results, "epochs")
    return [
        *(f"- **{number}** {text}" for number, text in claims),
        "",
        _origin(machine_results, *names),
    ]


def _speedups(machine_results: Results) -> list[str]:
    """Lay out the speedups of 8-bit data with the machine's best backend."""
    report = _report(machine_results, "epochs")
    rows = [row for row in verdict.halp_rows([report]) if row["plain"] in SHORT]
    lines = [(row["problem"], row["contender"], *cells.speedups(row)) for row in rows]
    header = ("problem", "contender", "step", "epoch", "epoch, f64", "same norm")
    return [*tables.markdown_rows(header, lines), "", _origin(machine_results, "epochs")]


def _time_to_accuracy(machine_results: Results) -> list[str]:
    """Lay out the seconds to a gradient norm, ours beside the best of some libraries."""
    report = _report(machine_results, "peers")
    times = [
        row
        for row in report.data["time_to_accuracy"]
        if (row["quantity"], row["level"]) == ("grad_norm", LEVEL)
    ]
    lines = []
    for problem in dict.fromkeys(row["problem"] for row in times):
        of_problem = [row for row in times if row["problem"] == problem]
        lines.append(
            (
                problem,
                *(_best(of_problem, name) for name in (peers.OURS, "scikit-learn", "intelex")),
            )
        )
    header = ("problem", "here", "best of scikit-learn", "scikit-learn-intelex")
    return [*tables.markdown_rows(header, lines), "", _origin(machine_results, "peers")]


def _best(rows: Sequence[Row], library: str) -> str:
    """Write the least time of a library's solvers, with the name of the solver."""
    reached = [
        row for row in rows if row["contender"].split()[0] == library and row["seconds"] is not None
    ]
    if not reached:
        return "-"
    best = min(reached, key=lambda row: row["seconds"])
    solver = best["contender"].removeprefix(library).strip()
    return cells.time(best, "seconds") + (f" ({solver})" if solver else "")


def _report(machine_results: Results, name: str) -> Report:
    for report in machine_results.reports:
        if report.name == name:
            return report
    raise ValueError(
        f"{machine_results.store.raw} has no records for {name}; `{COMMANDS[name]}` makes them"
    )


def _quantized(report: Report) -> list[Row]:
    """Return the epochs on quantized data with the best backend."""
    rows = report.data["epochs"]
    best = rows[0]["backend"]
    return [row for row in rows if (row["data"], row["backend"]) == ("quantized", best)]


def _origin(machine_results: Results, *names: str) -> str:
    """Say which commands measured the reports of these names, where, and which revision."""
    shown = [report for report in machine_results.reports if report.name in names]
    commands = " and ".join(f"`{COMMANDS[report.name]}`" for report in shown)
    origins = dict.fromkeys(tables.origin(report.machine) for report in shown)
    return f"Measured by {commands}, one thread: {'; '.join(origins)}."


BLOCKS: dict[str, Callable[[Results], list[str]]] = {
    "numbers": _numbers,
    "speedups": _speedups,
    "time-to-accuracy": _time_to_accuracy,
}
