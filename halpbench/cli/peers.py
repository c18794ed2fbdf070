"""``halpbench peers``: time to accuracy beside the estimators of other libraries."""

import argparse
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from halpbench.bench import cases, machine
from halpbench.bench.records import Store
from halpbench.cli.common import (
    RESULTS,
    Add,
    console,
    positive,
    print_json,
    progress,
    say,
    warn,
)
from halpbench.report import tables


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "peers",
        _peers,
        "measure time to accuracy beside scikit-learn and other libraries",
        "examples:\n"
        "  halpbench peers                                everything, some 12 minutes\n"
        "  halpbench peers --suite smoke                  a glance, within half a minute\n"
        "  halpbench peers --problems digits,mnist-5k     some of the problems\n"
        "  halpbench peers --only halpbench,'scikit-learn lbfgs'\n\n"
        "Every contender fits logistic regression with the same l2 penalty, tighter and tighter,\n"
        "on one core, until its gradient is small or its time is used up. What it reached is\n"
        "judged in float64 by one objective for all. Libraries that are not installed are listed\n"
        "as absent: `pip install 'halpbench[peers]'` adds those that PyPI has.\n\n"
        "Raw records go to RESULTS/raw, tables to RESULTS/tables, the figure to RESULTS/figures.\n"
        "An interrupted run is continued by the same command.",
    )
    command.add_argument("--suite", choices=cases.SUITES, default="full", help="default: full")
    command.add_argument(
        "--problems", metavar="NAME[,NAME]", help="digits, mnist-5k, fashion-mnist, tall, wide"
    )
    command.add_argument("--only", metavar="NAME[,NAME]", help="contenders (default: all)")
    command.add_argument(
        "--budget",
        type=positive,
        metavar="SECONDS",
        help="of a contender on a problem; a longer fit is stopped (default: the problem's)",
    )
    command.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="default: results, or results/smoke for the smoke suite",
    )
    command.add_argument("--fresh", action="store_true", help="measure again what has a record")


def _peers(options: argparse.Namespace) -> None:
    from halpbench.bench import contenders, peers
    from halpbench.report import figures

    known = peers.problems(options.suite)
    problems = [known[name] for name in _chosen("problem", options.problems, known)]
    if options.budget is not None:
        problems = [replace(problem, budget_seconds=options.budget) for problem in problems]
    chosen = _chosen("contender", options.only, contenders.CONTENDERS)
    todo = peers.cases(problems, chosen, options.suite)
    this_machine = machine.record()
    warn(machine.warnings_for(this_machine))
    fingerprint = peers.fingerprint(machine.fingerprint(this_machine))
    root = options.results or RESULTS[options.suite]
    store = Store(root, machine.slug(this_machine))
    with store.locked(), progress() as show:
        store.add_machine(fingerprint, this_machine)
        peers.run(todo, store, fingerprint, fresh=options.fresh, on_event=show)
    reports = [report for report in tables.build(store) if report.name == "peers"]
    written = tables.write(store, reports)
    written += figures.draw(reports, root / "figures" / store.machine)
    if options.json:
        print_json([tables.as_json(report) for report in reports])
    else:
        tables.show(reports, console())
    say(f"raw records: {store.raw}; tables and figures: {', '.join(map(str, written))}")


def _chosen(what: str, text: str | None, known: Collection[str]) -> list[str]:
    """Read names; all that are known if there is no text."""
    if text is None:
        return list(known)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"got {what} {text!r}; expected some of {', '.join(known)}")
    return names
