"""``halpbench figures``: the paper's experiments, and HALP beside its rivals."""

import argparse

from halpbench.bench import experiments, machine, own
from halpbench.bench.cases import Planned
from halpbench.bench.store import Store
from halpbench.cli import deep
from halpbench.cli.common import (
    SUITES,
    Add,
    add_data_options,
    add_suite_options,
    own_problem,
    print_json,
    progress,
    refuse_without_data,
    results,
    say,
)


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "figures",
        _figures,
        "examples:\n"
        "  halpbench figures                 all of them, within 15 minutes\n"
        "  halpbench figures fig1 fig5       some of them\n"
        "  halpbench figures --suite smoke   all of them, small, within a minute\n"
        "  halpbench figures --suite deep    those of deep learning, within 20 minutes; with\n"
        "                                    PyTorch; names: lstm, resnet\n"
        "  halpbench figures --data my.csv   convergence on data of your own\n\n"
        "Raw records go to RESULTS/paper/raw (of deep learning to RESULTS/deep/raw), pictures to\n"
        "RESULTS/figures/MACHINE. An interrupted run is continued by the same command.",
    )
    command.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"some of {', '.join(experiments.FIGURES)} (default: all)",
    )
    add_data_options(command)
    add_suite_options(command, (*SUITES, "deep"))


def _figures(options: argparse.Namespace) -> None:
    refuse_without_data(options, options.data)
    if options.data is not None and (options.names or options.suite == "deep"):
        raise ValueError("--data draws a figure of its own; expected no names and no suite deep")
    written = _deep(options) if options.suite == "deep" else _paper(options)
    if options.json:
        print_json(written)


def _deep(options: argparse.Namespace) -> dict[str, list[str]]:
    from halpbench.deep import experiments

    root = results(options)
    suites = {name: experiments.suite(name) for name in options.names or experiments.TASKS}
    return {
        name: deep.draw(deep.trained(todo, root, fresh=options.fresh), root)
        for name, todo in suites.items()
    }


def _todo(options: argparse.Namespace) -> dict[str, list[Planned]]:
    """List the experiments of each figure."""
    if options.data is None:
        names = options.names or list(experiments.FIGURES)
        return {name: experiments.experiments(name, options.suite) for name in names}
    return {own.FIGURE: own.curves(*own.with_constants(own_problem(options)), options.suite)}


def _paper(options: argparse.Namespace) -> dict[str, list[str]]:
    from halpbench.report import paper, tables

    root = results(options, options.suite, own=options.data is not None)
    todo = _todo(options)
    this_machine = machine.record()
    fingerprint = experiments.fingerprint(machine.fingerprint(this_machine))
    # Experiments have a folder of their own: the tables of the benchmark know nothing of them.
    store = Store(root / "paper", machine.slug(this_machine))
    written: dict[str, list[str]] = {}
    with store.locked():
        store.add_machine(fingerprint, this_machine)
        for name, wanted in todo.items():
            with progress() as show:
                records = experiments.run(
                    wanted, store, fingerprint, fresh=options.fresh, on_event=show
                )
            folder = root / "figures" / store.machine
            paths = paper.draw(name, records, folder, tables.origin(this_machine))
            written[name] = [str(path.absolute()) for path in paths]
            say(f"{name}: {', '.join(written[name]) or 'nothing to draw'}")
    return written
