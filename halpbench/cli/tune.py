"""``halpbench tune``: search a grid of constants."""

import argparse

from halpbench import datasets
from halpbench.bench import experiments, machine, own, tune
from halpbench.bench.loading import Problems
from halpbench.bench.loop import Pool
from halpbench.bench.store import Store
from halpbench.cli.common import (
    Add,
    add_data_options,
    add_results_option,
    numbers,
    positive,
    print_json,
    progress,
    results,
    say,
)


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "tune",
        _tune,
        "examples:\n"
        "  halpbench tune --problem figure-1 --algorithm sgd --precision D64fM64f\n"
        "  halpbench tune --problem digits --l2 1e-3 --algorithm halp --mu 0.1,0.3,1 --jobs 2\n"
        "  halpbench tune --problem fashion-mnist --algorithm halp --scheduler tcp://host:8786\n\n"
        "Records go to RESULTS/paper/raw. An interrupted search is continued by the same command.\n"
        "Nothing is timed: the points run in parallel.",
    )
    command.add_argument(
        "--problem",
        required=True,
        metavar="NAME",
        help=f"a problem ({', '.join(tune.PROBLEMS)}), a data set "
        f"({', '.join(dataset.name for dataset in datasets.list_datasets())}), or a file",
    )
    add_data_options(command, "--problem")
    command.add_argument("--samples", type=positive, metavar="N", help="use the first ones only")
    command.add_argument(
        "--algorithm",
        default="halp",
        metavar="NAME",
        help=f"one of {', '.join(tune.ALGORITHM_NAMES)} (default: halp)",
    )
    command.add_argument(
        "--precision",
        metavar="NAME",
        help=f"one of {', '.join(tune.PRECISION_NAMES)} (default: D8M8 or D64fM64f)",
    )
    command.add_argument(
        "--data", choices=("quantized", "exact"), default="quantized", help="default: quantized"
    )
    for name in ("--step-size", "--mu", "--delta"):
        command.add_argument(name, type=numbers, metavar="X[,X]", help="values of the grid")
    command.add_argument("--epochs", type=positive, default=10, metavar="N", help="default: 10")
    command.add_argument("--seeds", type=positive, default=1, metavar="N", help="default: 1")
    command.add_argument(
        "--jobs", type=int, default=-1, metavar="N", help="processes (default: one a core)"
    )
    command.add_argument("--scheduler", metavar="ADDRESS", help="run on a Dask cluster")
    add_results_option(command, "; own below it for a file")
    command.add_argument("--fresh", action="store_true", help="evaluate again what has a record")


def _tune(options: argparse.Namespace) -> None:
    precision = options.precision
    if precision is None:
        precision = "D64fM64f" if options.algorithm in ("sgd", "svrg") else "D8M8"
    spec = tune.problem_named(
        options.problem, options.l2, options.samples, target=options.target, loss=options.loss
    )
    grid = tune.default_grid(Problems().load(spec)[0], options.algorithm, precision)
    given = {"step_size": options.step_size, "mu": options.mu, "delta": options.delta}
    for name, values in given.items():
        if values is not None and name not in grid:
            raise ValueError(
                f"{options.algorithm} does not take {_option(name)}; expected some of "
                f"{', '.join(map(_option, grid))}"
            )
        if values is not None:
            grid[name] = values
    todo = tune.points(
        spec,
        options.algorithm,
        precision,
        grid,
        data=options.data,
        epochs=options.epochs,
        seeds=options.seeds,
    )
    this_machine = machine.record()
    fingerprint = experiments.fingerprint(machine.fingerprint(this_machine))
    root = results(options, own=own.file_of(spec.dataset) is not None)
    store = Store(root / "paper", machine.slug(this_machine))
    with store.locked(), progress() as show:
        store.add_machine(fingerprint, this_machine)
        winner = tune.tune(
            todo,
            store,
            fingerprint,
            pool=Pool(options.jobs, options.scheduler),
            fresh=options.fresh,
            on_event=show,
        )
    facts = winner.facts
    say(f"raw records: {store.raw.absolute()}")
    if options.json:
        print_json(facts)
        return
    chosen = ", ".join(f"{name} {value:.4g}" for name, value in facts["winner"].items())
    print(f"{spec.name}, {options.algorithm} {precision}: {chosen}")
    print(f"gradient norm {facts['grad_norm']:.3g} after {options.epochs} epochs")
    print(f"{len(todo)} points, {facts['diverged']} of them diverged")
    for name in facts["at_edge"]:
        print(f"the best {name} is at the edge of the grid; a wider one may have a better")


def _option(constant: str) -> str:
    """Return the option that gives the values of a constant."""
    return f"--{constant.replace('_', '-')}"
