"""The paper's deep-learning experiments (Figure 3): runs and constants."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from halpbench.bench.cases import Plan
from halpbench.bench.loop import OnEvent, Pool, ignore, side_by_side
from halpbench.bench.records import Record
from halpbench.bench.store import Store
from halpbench.deep.training import (
    LOW_PRECISION,
    Device,
    Options,
    Task,
    Training,
    checkpoint,
    fingerprint,
    option_names,
    train,
)

__all__ = ["BITS", "SEEDS", "SIZES", "TASKS", "grid", "run", "suite"]

SEEDS = (0, 1, 2, 3, 4)


BITS = (2, 4, 8)

_LSTM = Task(
    "lstm",
    "small",
    "shakespeare-plays",
    n_train=4096,
    n_validation=1024,
    batch_size=32,
    epochs=6,
    window=32,
    hidden=64,
    layers=1,
)
_RESNET = Task(
    "resnet",
    "small",
    "fashion-mnist",
    n_train=4096,
    n_validation=2048,
    batch_size=128,
    epochs=6,
    weight_decay=5e-4,
    narrow=True,
    channels=1,
)
TASKS: dict[str, dict[str, Task]] = {
    "lstm": {
        "small": _LSTM,
        "smoke": replace(_LSTM, size="smoke", n_train=128, n_validation=64, epochs=2),
        # Window, width and layers are the defaults of char-rnn, and so are the 5 % held out; with
        # this batch an epoch has 332 steps.
        "paper": Task(
            "lstm",
            "paper",
            "tiny-shakespeare",
            n_train=21_190,
            n_validation=1_115,
            batch_size=64,
            epochs=50,
            window=50,
            hidden=128,
            layers=2,
        ),
    },
    "resnet": {
        "small": _RESNET,
        "smoke": replace(_RESNET, size="smoke", n_train=256, n_validation=128, epochs=2),
        # As github.com/HazyResearch/torchhalp has it: 391 steps an epoch.
        "paper": Task(
            "resnet",
            "paper",
            "cifar-10",
            n_train=50_000,
            n_validation=10_000,
            batch_size=128,
            epochs=200,
            weight_decay=5e-4,
            channels=3,
            augment=True,
        ),
    },
}
SIZES = ("small", "paper", "smoke")

# Constants by task, algorithm and bits: lr, and mu or reach. docs/reproduction.md has the grids.
TUNED: dict[str, dict[tuple[str, int | None], tuple[float, ...]]] = {
    "lstm": {
        ("sgd", None): (8.0,),
        ("svrg", None): (8.0,),
        ("lp-sgd", 2): (4.0, 1.0),
        ("lp-svrg", 2): (4.0, 1.0),
        ("halp", 2): (4.0, 0.3),
        ("lp-sgd", 4): (4.0, 4.0),
        ("lp-svrg", 4): (4.0, 4.0),
        ("halp", 4): (8.0, 0.3),
        ("lp-sgd", 8): (8.0, 8.0),
        ("lp-svrg", 8): (8.0, 8.0),
        ("halp", 8): (8.0, 0.1),
    },
    "resnet": {
        ("sgd", None): (0.4,),
        ("svrg", None): (0.4,),
        ("lp-sgd", 2): (0.4, 1.0),
        ("lp-svrg", 2): (0.4, 1.0),
        ("halp", 2): (0.4, 2.0),
        ("lp-sgd", 4): (0.4, 2.0),
        ("lp-svrg", 4): (0.4, 2.0),
        ("halp", 4): (0.4, 1.0),
        ("lp-sgd", 8): (0.4, 4.0),
        ("lp-svrg", 8): (0.4, 4.0),
        ("halp", 8): (0.2, 1.0),
    },
}

# Constants at the size of the paper, whatever the bits: those of torchhalp for the ResNet; the
# LSTM's lr is untuned. reach is the default of `LPSGD`.
PAPER: dict[str, dict[str, float]] = {
    "lstm": {"lr": 1.0, "mu": 1.0, "reach": 2.0},
    "resnet": {"lr": 0.1, "mu": 20.0, "reach": 2.0},
}


@dataclass(frozen=True)
class PlannedTraining:
    """A run, and its plan: one round."""

    case: Training
    plan: Plan


def suite(name: str, size: str = "small", seeds: Sequence[int] = SEEDS) -> list[Training]:
    """List the runs of a figure: full precision, and low precision at each of `BITS`.

    Parameters
    ----------
    name : {"lstm", "resnet"}
    size : {"small", "paper", "smoke"}
        The smoke size has one seed and 8 bits only.
    seeds : sequence of int

    Raises
    ------
    ValueError
        If there is no such task or size.
    """
    task = _task(name, size)
    widths: Sequence[int] = BITS
    if size == "smoke":
        seeds, widths = seeds[:1], (8,)
    contenders: list[tuple[str, int | None]] = [("sgd", None), ("svrg", None)]
    contenders += [(algorithm, bits) for bits in widths for algorithm in LOW_PRECISION]
    return [
        Training(task, algorithm, bits, _constants(task, algorithm, bits), seed)
        for algorithm, bits in contenders
        for seed in seeds
    ]


def grid(
    name: str,
    size: str,
    algorithm: str,
    *,
    bits: Sequence[int] = (8,),
    seeds: Sequence[int] = SEEDS,
    epochs: int | None = None,
    options: Mapping[str, Sequence[float]],
) -> list[Training]:
    """List the runs of one algorithm for all combinations of constants.

    Parameters
    ----------
    name, size
        As for `suite`.
    algorithm : str
    bits : sequence of int
        Without meaning in full precision.
    seeds : sequence of int
    epochs : int, optional
        In place of the task's.
    options : mapping of str to sequence of float
        Values to try of ``lr``, ``mu``, ``reach``. Those of `suite` where nothing is given.

    Raises
    ------
    ValueError
        If there is no such task or size, or the algorithm does not take an option.
    """
    task = _task(name, size)
    if epochs is not None:
        task = replace(task, epochs=epochs)
    names = option_names(algorithm)
    if unknown := set(options) - set(names):
        raise ValueError(f"{algorithm} does not take {min(unknown)}; it takes {', '.join(names)}")
    todo = []
    for width in bits if algorithm in LOW_PRECISION else (None,):
        own = dict(_constants(task, algorithm, width))
        values = [options.get(option, (own[option],)) for option in names]
        todo += [
            Training(task, algorithm, width, tuple(zip(names, chosen, strict=True)), seed)
            for chosen in itertools.product(*values)
            for seed in seeds
        ]
    return todo


def run(
    todo: Sequence[Training],
    store: Store,
    device: Device,
    *,
    jobs: int = 1,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> list[Record]:
    """Train the runs without a record, side by side; each record is on disk when its run is done.

    Parameters
    ----------
    todo : sequence of Training
    store : Store
    device : Device
    jobs : int
        Processes; -1 for one a core.
    fresh : bool
        Train also what has a record already.
    on_event : callable
        Takes each `loop.Event`; those of epochs come with one process only.

    Returns
    -------
    list of Record
        One a run, newly trained or already stored.
    """
    code = fingerprint(device.name)
    if fresh:
        for training in todo:
            checkpoint(training, code, device).unlink(missing_ok=True)
    records = side_by_side(
        [PlannedTraining(training, Plan()) for training in todo],
        store,
        code,
        partial(train, code, device),
        Pool(jobs),
        fresh=fresh,
        on_event=on_event,
    )
    # The checkpoint goes last: until the record is on disk, it is all that is kept of a run.
    for training in todo:
        checkpoint(training, code, device).unlink(missing_ok=True)
    return records


def _task(name: str, size: str) -> Task:
    if name not in TASKS or size not in TASKS[name]:
        expected = f"{' or '.join(TASKS)}, {' or '.join(SIZES)}"
        raise ValueError(f"task: got {name!r}, {size!r}; expected one of {expected}")
    return TASKS[name][size]


def _constants(task: Task, algorithm: str, bits: int | None) -> Options:
    names = option_names(algorithm)
    if task.size == "paper":
        return tuple((name, PAPER[task.name][name]) for name in names)
    tuned = TUNED[task.name]
    # Bits that were not tuned have the constants of 8.
    values = tuned.get((algorithm, bits), tuned[algorithm, None if bits is None else 8])
    return tuple(zip(names, values, strict=True))
