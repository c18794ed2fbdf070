"""``halpbench compare``: runs side by side, and a gate for continuous integration."""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

from rich.text import Text

from halpbench.bench.records import SCHEMA, finite
from halpbench.bench.runs import SavedRun, load
from halpbench.cli.common import Add, console, print_json, say, show, some_of
from halpbench.report import compare, tables
from halpbench.report.cells import Row

FAILED = 1


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "compare",
        _compare,
        "examples:\n"
        "  halpbench bench --save A.json             before a change of the code\n"
        "  halpbench bench --save B.json             after it\n"
        "  halpbench compare A.json B.json           what has become faster or slower\n"
        "  halpbench compare A.json B.json --fail-below 0.9\n"
        "                                            exit code 1 if anything has less than 0.9\n"
        "                                            times the speed it had, or is missing, for a\n"
        "                                            build server\n"
        "  halpbench compare --across machines results/raw/*\n"
        "                                            which CPU gains most from low precision\n\n"
        "A RUN is a file of `halpbench bench --save`, a results folder (every machine in it), the\n"
        "folder RESULTS/raw/MACHINE, or a file of records in it. The first is A; each other one\n"
        "is compared with it, by what `halpbench bench` records: kernels, calls, epochs.\n"
        "Records of `halpbench peers` and of `halpbench figures` are left out.\n\n"
        "across revisions: times. The runs must be of one CPU and compiler; a field that differs\n"
        "  is named, and is an error. B over A is the ratio of the median times with a bootstrap\n"
        "  interval. A change is listed if it is significant: Mann-Whitney rank test, p below\n"
        f"  {compare.SIGNIFICANT} after Holm's adjustment for the number of comparisons, at least "
        f"{compare.MIN_SAMPLES} samples in\n"
        "  both runs (`bench --repeats 9` makes sure of it).\n"
        "across machines: speedups over the baseline of the same record (float32; for calls from\n"
        "  Python, halpbench), measured in turns with it. Times of two machines never meet.\n\n"
        "The tests see the scatter within the records. On a busy machine two runs of the same\n"
        "code can differ by more than that: compare such two first. Where they differ, measure\n"
        "both sides several times in turns with `bench --fresh --results A` (and B), then compare\n"
        "A with B: all samples of a case count.\n\n"
        "With --fail-below it is a failure, too, if a run has lost a case or a contender that the\n"
        "first one has (lost), did not measure it (skipped), or found a wrong result, be it in a\n"
        "case that the first run lacks, or diverged where the first did not (wrong). The record\n"
        "appended last decides. Machines differ in their backends: across them nothing is lost.\n\n"
        "exit codes: 0 done, 1 a speed is below --fail-below or something is lost, skipped or\n"
        "wrong, 2 the runs cannot be compared",
    )
    command.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="see below")
    command.add_argument(
        "--across", choices=compare.ACROSS, default="revisions", help="default: revisions"
    )
    command.add_argument(
        "--fail-below",
        type=_share,
        metavar="R",
        help="exit with 1 if a speed (across machines: a speedup) is significantly less than R "
        "times that of the first run: slower by the test, and the whole interval below R",
    )
    command.add_argument(
        "--allow",
        metavar="WHAT[,WHAT]",
        help=f"let --fail-below pass in spite of these: some of {', '.join(compare.SHORTFALLS)}",
    )
    command.add_argument(
        "--markdown", action="store_true", help="write Markdown to standard output, to be pasted"
    )


def _compare(options: argparse.Namespace) -> int | None:
    if options.allow is not None and options.fail_below is None:
        raise ValueError("--allow needs --fail-below, which it lets pass")
    runs = [run for path in options.runs for run in load(path, compare.KINDS)]
    if len(runs) < 2:
        raise ValueError(f"got one run, {runs[0].name}; expected two or more to compare")
    comparison = compare.compare(runs, options.across)
    if options.json:
        print_json(_as_json(runs, comparison, options))
    elif options.markdown:
        sys.stdout.write(_as_markdown(runs, comparison))
    else:
        for line in _origins(runs):
            console().print(Text(line, style="dim"))
        console().print()
        show(comparison.tables)
    for note in comparison.notes:
        say(f"warning: {note}")
    return None if options.fail_below is None else _gate(comparison, options)


def _gate(comparison: compare.RunComparison, options: argparse.Namespace) -> int | None:
    """Name the slower and the missing measurements; return the exit code."""
    failing = comparison.failing(_allowed(options))
    if not comparison.judged and not failing:
        raise ValueError(
            f"no comparison has {compare.MIN_SAMPLES} samples in both runs, so that none can fail; "
            f"measure with `halpbench bench --repeats {compare.MIN_SAMPLES + 1}`"
        )
    below = comparison.below(options.fail_below)
    for row in below:
        say(
            f"below {options.fail_below:g}: {row['contender']} in {row['case']} ({row['run']}): "
            f"{compare.change(row)}"
        )
    for shortfall in failing:
        say(str(shortfall))
    say(
        f"{len(below)} of {comparison.judged} comparisons are below {options.fail_below:g}; "
        f"{len(failing)} cases or contenders are lost, skipped or wrong"
    )
    return FAILED if below or failing else None


def _allowed(options: argparse.Namespace) -> list[str]:
    allowed: str | None = options.allow
    return [] if allowed is None else some_of(compare.SHORTFALLS, allowed, "--allow")


def _origins(runs: list[SavedRun]) -> list[str]:
    return [f"{letter}: {compare.origin(run)}" for letter, run in compare.lettered(runs)]


def _as_markdown(runs: list[SavedRun], comparison: compare.RunComparison) -> str:
    lines = ["# Comparison", "", *(f"- {line}" for line in _origins(runs)), ""]
    for table in comparison.tables:
        lines += tables.markdown_table(replace(table, notes=table.all_notes))
    return "\n".join([*lines, *(f"- {note}" for note in comparison.notes)]).rstrip() + "\n"


def _as_json(
    runs: list[SavedRun], comparison: compare.RunComparison, options: argparse.Namespace
) -> object:
    limit = options.fail_below
    below: list[Row] = [] if limit is None else comparison.below(limit)
    return finite(
        {
            "schema": SCHEMA,
            "across": options.across,
            "runs": [
                {
                    "run": letter,
                    "name": run.name,
                    "fingerprint": run.fingerprint,
                    "machine": run.machine,
                }
                for letter, run in compare.lettered(runs)
            ],
            "data": comparison.rows,
            "notes": comparison.notes,
            "fail_below": limit,
            "below": below,
            "shortfalls": [asdict(shortfall) for shortfall in comparison.shortfalls],
        }
    )


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a number above 0, at most 1")
    return number
