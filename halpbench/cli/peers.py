"""``halpbench peers``: time to accuracy beside the estimators of other libraries."""

import argparse

from halpbench.bench import machine
from halpbench.bench.store import Store
from halpbench.cli.common import (
    Add,
    add_suite_options,
    console,
    positive,
    print_json,
    progress,
    results,
    say,
    some_of,
    warn,
)
from halpbench.report import tables


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "peers",
        _peers,
        "examples:\n"
        "  halpbench peers                                everything, some 18 minutes\n"
        "  halpbench peers --suite smoke                  a glance, within half a minute\n"
        "  halpbench peers --problems digits,mnist-5k     some of the problems\n"
        "  halpbench peers --only halpbench,'scikit-learn lbfgs'\n\n"
        "Every contender fits logistic regression with the same l2 penalty, tighter and tighter,\n"
        "on one core, until its gradient is small or its time is used up. What it reached is\n"
        "judged in float64 by one objective for all. Libraries that are not installed are listed\n"
        "as absent: `pip install '.[peers]'` in the folder of the sources adds those of PyPI.\n\n"
        "Raw records go to RESULTS/raw, tables to RESULTS/tables, the figure to RESULTS/figures.\n"
        "An interrupted run is continued by the same command.",
    )
    add_suite_options(command)
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


def _peers(options: argparse.Namespace) -> None:
    from halpbench.bench import accuracy, contenders
    from halpbench.report import figures

    known = accuracy.problems(options.suite)
    problems = [known[name] for name in some_of(known, options.problems, "--problems")]
    if options.budget is not None:
        problems = [(problem, float(options.budget)) for problem, _ in problems]
    chosen = some_of(contenders.CONTENDERS, options.only, "--only")
    todo = accuracy.tasks(problems, chosen, options.suite)
    this_machine = machine.record()
    warn(machine.warnings_for(this_machine))
    fingerprint = accuracy.fingerprint(machine.fingerprint(this_machine))
    root = results(options, options.suite)
    store = Store(root, machine.slug(this_machine))
    with store.locked(), progress() as show:
        store.add_machine(fingerprint, this_machine)
        accuracy.run(todo, store, fingerprint, fresh=options.fresh, on_event=show)
    reports = [report for report in tables.build(store) if report.name == "peers"]
    written = tables.write(store, reports)
    written += figures.draw(reports, root / "figures" / store.machine)
    if options.json:
        print_json([tables.as_json(report) for report in reports])
    else:
        tables.show(reports, console())
    paths = ", ".join(str(path.absolute()) for path in written)
    say(f"raw records: {store.raw.absolute()}; tables and figures: {paths}")
