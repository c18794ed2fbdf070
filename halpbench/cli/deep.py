"""``halpbench deep``: HALP in deep learning."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from halpbench.bench import machine
from halpbench.bench.records import Record
from halpbench.bench.store import Store
from halpbench.cli.common import (
    Add,
    add_results_option,
    numbers,
    positive,
    print_json,
    progress,
    results,
    say,
    show,
    warn,
)
from halpbench.report import cells, tables
from halpbench.report import deep as report

if TYPE_CHECKING:
    from halpbench.deep.training import Training

CONSTANTS = ("lr", "mu", "reach")


def add_commands(add: Add) -> None:
    """See `common.Add`."""
    command = add(
        "deep",
        _deep,
        "examples:\n"
        "  halpbench deep lstm                      the small experiment, and its figure\n"
        "  halpbench deep resnet --size paper --device cuda --download\n"
        "  halpbench deep lstm --algorithm halp --bits 4,8 --lr 2,4 --mu 0.1,0.3 --seeds 100\n\n"
        "With --algorithm, all combinations of the constants given: a grid search. Records go to\n"
        "RESULTS/deep/raw, figures to RESULTS/figures/MACHINE. The same command continues an\n"
        "interrupted run, from its last finished epoch.",
    )
    command.add_argument("task", choices=("lstm", "resnet"))
    command.add_argument(
        "--size",
        choices=("small", "paper", "smoke"),
        default="small",
        help="small: minutes on two cores; paper: for a GPU; smoke: seconds (default: small)",
    )
    command.add_argument("--algorithm", metavar="NAME", help="sgd, svrg, lp-sgd, lp-svrg or halp")
    command.add_argument("--bits", type=_counts, metavar="B[,B]", help="default: 8")
    for name in CONSTANTS:
        command.add_argument(f"--{name}", type=numbers, metavar="X[,X]", help="values of the grid")
    command.add_argument("--epochs", type=positive, help="default: the task's")
    command.add_argument("--seeds", type=_counts, metavar="N[,N]", help="default: 0,1,2,3,4")
    add_training_options(command)
    add_results_option(command, "; smoke below it for the smoke size")
    command.add_argument("--fresh", action="store_true", help="run again what has a record")

    command = add(
        "deep-speed",
        _speed,
        "Three networks: a ResNet, an LSTM, and a perceptron, whose gradients cost so little that\n"
        "the optimizer weighs most.",
    )
    command.add_argument(
        "--seconds", type=positive, default=10, help="for each network (default: 10)"
    )

    command = add(
        "deep-integer",
        _integer,
        "A perceptron (784-1024-10) on Fashion-MNIST, on one thread: HALP with an inner loop of\n"
        "int8 kernels, SVRG and SGD of PyTorch in float32. Seconds are CPU time of that thread.",
    )
    command.add_argument("--epochs", type=positive, default=5, help="passes over the data")
    command.add_argument("--samples", type=positive, default=60_000, help="of the training data")
    command.add_argument("--download", action="store_true", help="fetch data that are not at hand")


def add_training_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say where and how to train."""
    command.add_argument("--device", default="cpu", help="as torch calls it (default: cpu)")
    command.add_argument(
        "--jobs", type=int, help="processes (default: one a core; 1 unless on the CPU)"
    )
    command.add_argument("--download", action="store_true", help="fetch data that are not at hand")


def _deep(options: argparse.Namespace) -> None:
    from halpbench.deep import experiments

    given = {name: values for name in CONSTANTS if (values := getattr(options, name)) is not None}
    seeds = options.seeds or experiments.SEEDS
    if options.algorithm is None:
        if given or options.bits or options.epochs:
            raise ValueError("--bits, --epochs and constants need --algorithm")
        todo = experiments.suite(options.task, options.size, seeds)
    else:
        todo = experiments.grid(
            options.task,
            options.size,
            options.algorithm,
            bits=options.bits or (8,),
            seeds=seeds,
            epochs=options.epochs,
            options=given,
        )
    root = results(options, options.size)
    records = trained(
        todo,
        root,
        device=options.device,
        jobs=options.jobs,
        download=options.download,
        fresh=options.fresh,
    )
    if options.json:
        print_json([record.as_dict() for record in records])
        return
    show([report.table(records)])
    if options.algorithm is None:
        draw(records, root)


def _speed(options: argparse.Namespace) -> None:
    from halpbench.deep import speed

    warn(machine.warnings_for(machine.record()))
    costs = []
    for cost in speed.measure(options.seconds):
        costs.append(cost)
        say(f"{cost.network}: done")
    if options.json:
        print_json([asdict(cost) for cost in costs])
        return
    rows = [
        (
            f"{cost.network}, {cost.parameters:,}",
            cells.seconds(cost.svrg_seconds.value),
            cells.seconds(cost.halp_seconds.value),
            f"{cost.ratio.value:.3f} [{cost.ratio.low:.3f}-{cost.ratio.high:.3f}]",
            *(f"{share:.1%}" for share in (cost.gradients, cost.random_numbers, cost.arithmetic)),
        )
        for cost in costs
    ]
    header = ("network, parameters", "SVRG", "HALP", "HALP / SVRG")
    shares = ("gradients", "random numbers", "arithmetic")
    notes = ["The last three columns are shares of a step of HALP; the rest of it is Python."]
    show([cells.Table("A step of HALP at 8 bits", header + shares, rows, notes)])


def _integer(options: argparse.Namespace) -> None:
    from halpbench.deep import perceptron

    warn(machine.warnings_for(machine.record()))
    done = []
    for epoch in perceptron.measure(options.epochs, options.samples, download=options.download):
        done.append(epoch)
        say(f"epoch {epoch.epoch}, {epoch.contender}: done")
    if options.json:
        print_json([asdict(epoch) for epoch in done])
        return
    header = ("epoch", "contender", "CPU seconds", "training loss", "test accuracy")
    rows = [
        (str(e.epoch), e.contender, f"{e.seconds:.2f}", f"{e.loss:.4f}", f"{e.accuracy:.2%}")
        for e in done
    ]
    show([cells.Table("A perceptron on Fashion-MNIST, on one thread", header, rows, [])])


def trained(
    todo: Sequence["Training"],
    root: Path,
    *,
    device: str = "cpu",
    jobs: int | None = None,
    download: bool = False,
    fresh: bool = False,
) -> list[Record]:
    """Train, and return the records, those of earlier runs included."""
    from halpbench.deep import experiments, training

    this_machine = machine.record()
    store = Store(root / "deep", machine.slug(this_machine))
    where = training.Device(device, store.root / "checkpoints", download)
    with store.locked(), progress() as on_event:
        store.add_machine(training.fingerprint(device), this_machine)
        return experiments.run(
            todo,
            store,
            where,
            jobs=jobs or (-1 if device == "cpu" else 1),
            fresh=fresh,
            on_event=on_event,
        )


def draw(records: Sequence[Record], root: Path) -> list[str]:
    """Draw the figure of a task, and say where it is."""
    this_machine = machine.record()
    folder = root / "figures" / machine.slug(this_machine)
    drawn = report.draw(records, folder, tables.origin(this_machine))
    paths = [str(path.absolute()) for path in drawn]
    say(f"{records[0].case['task']['name']}: {', '.join(paths) or 'nothing to draw'}")
    return paths


def _counts(text: str) -> tuple[int, ...]:
    """Read whole numbers: the type of an argument."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected integers, as 4,8") from None
