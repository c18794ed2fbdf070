"""Grid search over step size, mu and delta, in parallel: for constants, never for times."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from halpbench import datasets
from halpbench.bench import own, suites
from halpbench.bench.cases import Grid, GridPoint, Plan, Planned, ProblemSpec
from halpbench.bench.conditioned import LOW_PRECISION
from halpbench.bench.curves import load
from halpbench.bench.experiments import DIGITS, MNIST
from halpbench.bench.loading import Problems
from halpbench.bench.loop import (
    SERIAL,
    Measured,
    OnEvent,
    OnRound,
    Pool,
    attempt,
    ignore,
    side_by_side,
)
from halpbench.bench.records import Record, Series
from halpbench.bench.references import AnyProblem
from halpbench.bench.store import Store
from halpbench.fixedpoint import largest_integer
from halpbench.formats import FORMATS
from halpbench.solvers import ALGORITHMS, Solver

ALGORITHM_NAMES = tuple(ALGORITHMS)
PRECISION_NAMES = tuple(FORMATS)
Values = dict[str, tuple[float, ...]]

PROBLEMS = {
    problem.name: problem
    for problem in (suites.FIGURE_1, DIGITS, MNIST, suites.MNIST_5K, suites.FASHION_MNIST)
}


def problem_named(
    name: str,
    l2: float | None = None,
    samples: int | None = None,
    *,
    target: str | None = None,
    loss: str | None = None,
) -> ProblemSpec:
    """Return one of `PROBLEMS`, or a problem on a data set that `halpbench.load` knows.

    Parameters
    ----------
    name : str
        Name of a problem or data set, or the path of a file. Integer targets make it softmax
        regression, others least squares.
    l2 : float, optional
        In place of the problem's own (0 for a data set).
    samples : int, optional
        Use the first ones only.
    target, loss : str, optional
        Of a file, see `own.DataFile`.

    Raises
    ------
    ValueError
        If there is no such problem or data set.
    """
    spec = PROBLEMS.get(name)
    known = {dataset.name for dataset in datasets.list_datasets()}
    if spec is None and name not in known:
        spec = own.problem(name, target, loss, 0.0)
    elif target is not None or loss is not None:
        raise ValueError(f"--target and --loss need a file, got the problem {name!r}")
    elif spec is None:
        X, y = datasets.load(name)
        model = "softmax" if y.dtype.kind in "iu" else "least-squares"
        classes = int(y.max()) + 1 if model == "softmax" else 1
        # Every point has a step size of its own.
        spec = ProblemSpec(
            Path(name).stem, name, model, len(X), X.shape[1], step_size=0.0, n_classes=classes
        )
    else:
        spec = suites.available(spec)
    return replace(
        spec,
        l2=spec.l2 if l2 is None else l2,
        n_samples=spec.n_samples if samples is None else min(samples, spec.n_samples),
    )


def default_grid(problem: AnyProblem, algorithm: str, precision: str) -> Values:
    """Return step sizes around the problem's own, and what else the algorithm takes.

    mu from 0.1 to 10; delta such that the model reaches 1/4 to 16.
    """
    step = problem.default_step_size()
    grid: Values = {"step_size": tuple(step * 2.0**k for k in range(-3, 4))}
    if algorithm == "halp":
        grid["mu"] = (0.1, 0.3, 1.0, 3.0, 10.0)
    elif algorithm in LOW_PRECISION and precision in FORMATS:
        highest = largest_integer(FORMATS[precision].model.bits)
        grid["delta"] = tuple(reach / highest for reach in (0.25, 1.0, 4.0, 16.0))
    return grid


def points(
    problem: ProblemSpec,
    algorithm: str,
    precision: str,
    grid: Values,
    *,
    data: str = "quantized",
    epochs: int = 10,
    seeds: int = 1,
) -> list[Planned]:
    """List the points of a grid.

    Raises
    ------
    ValueError
        If the algorithm and the precision do not fit, the grid is empty or holds a number that is
        not positive, or `epochs` or `seeds` is less than 1.
    """
    if algorithm not in ALGORITHMS or precision not in FORMATS:
        raise ValueError(
            f"got {algorithm!r} in {precision!r}; expected one of {', '.join(ALGORITHMS)} "
            f"in one of {', '.join(FORMATS)}"
        )
    if FORMATS[precision].is_integer != (algorithm in LOW_PRECISION):
        raise ValueError(f"{algorithm} does not run in {precision}")
    if epochs < 1 or seeds < 1:
        raise ValueError(f"epochs and seeds must be at least 1, got {epochs} and {seeds}")
    for name, values in grid.items():
        if not values or not all(0 < value < math.inf for value in values):
            raise ValueError(f"{name}: got {list(values)}, expected finite positive numbers")
    if not grid:
        raise ValueError("the grid is empty")
    return [
        Planned(
            GridPoint(
                problem,
                algorithm,
                precision,
                data,
                tuple(zip(grid, chosen, strict=True)),
                epochs,
                seeds,
            ),
            Plan(),
        )
        for chosen in itertools.product(*grid.values())
    ]


def evaluate(case: GridPoint) -> list[float]:
    """Return the gradient norm that each seed reaches; infinity for a run that diverged."""
    problem = _problem(case.problem)
    norms = []
    for seed in range(case.seeds):
        run = Solver(
            problem,
            case.algorithm,
            case.precision,
            case.data,
            seed=seed,
            epoch_length=round(case.problem.steps_per_sample * problem.n_samples),
            **dict[str, Any](case.options),
        )
        diverged = any(run.epoch().diverged for _ in range(case.epochs))
        norms.append(math.inf if diverged else run.evaluate()[1])
    return norms


@functools.lru_cache(maxsize=1)
def _problem(spec: ProblemSpec) -> AnyProblem:
    """Load a problem once in each worker."""
    return load(spec, Problems())[0]


def measure(case: GridPoint, plan: Plan, on_round: OnRound) -> Measured:
    """Evaluate one point."""
    name = f"{case.algorithm.upper()} {case.precision}"
    return [Series(name, {}, {"grad_norms": evaluate(case)})], {}


def _measure_with(
    file: own.DataFile | None, case: GridPoint, plan: Plan, on_round: OnRound
) -> Measured:
    if file is not None:
        file.adopt()
    return measure(case, plan, on_round)


def tune(
    tasks: Sequence[Planned],
    store: Store,
    fingerprint: str,
    *,
    pool: Pool = SERIAL,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> Record:
    """Evaluate the points of one grid and choose the best; each is on disk when it is done.

    Parameters
    ----------
    tasks : sequence of Planned
        Points of one problem, algorithm and precision.
    store : Store
        Store to which finished points are added, and in which they are looked up.
    fingerprint : str
        Of this machine and build.
    pool : Pool
        Processes, or a cluster.
    fresh : bool
        Evaluate also what has a record already.
    on_event : callable
        Takes each `loop.Event`.

    Returns
    -------
    Record
        Of kind "tune-winner", also added to the store; its facts hold ``winner`` (the options),
        ``grad_norm`` and ``diverged``, the number of points that no seed survived.

    Raises
    ------
    ImportError
        If a scheduler is given and Dask is not installed.
    ValueError
        If no point could be evaluated; the message says why.
    """
    grid = [task.case for task in tasks if isinstance(task.case, GridPoint)]
    # A worker is another process than that which has read the file.
    measured = functools.partial(_measure_with, own.file_of(grid[0].problem.dataset))
    records = side_by_side(
        tasks, store, fingerprint, measured, pool, fresh=fresh, on_event=on_event
    )
    scores = [(p, _score(r)) for p, r in zip(grid, records, strict=True) if r.measured]
    if not scores:
        raise ValueError(f"no point could be evaluated: {records[0].skipped}")
    # In the order of the grid, so that a tie is broken the same way however the points came in.
    best, least = min(scores, key=lambda pair: pair[1])
    whole = Grid(
        best.problem,
        best.algorithm,
        best.precision,
        best.data,
        best.epochs,
        best.seeds,
        tuple(point.options for point in grid),
    )
    facts = {
        "winner": dict(best.options),
        "grad_norm": least,
        "diverged": sum(math.isinf(score) for _, score in scores),
        "at_edge": _at_edge(best, grid),
    }

    def chosen(case: Grid, plan: Plan, on_round: OnRound) -> Measured:
        return [], facts

    winner = attempt(Planned(whole, Plan()), fingerprint, chosen)
    store.add(winner)
    return winner


def _score(record: Record) -> float:
    """Return the median norm; what was not finite is None once it has been on disk."""
    norms: Sequence[float | None] = record.series[0].facts["grad_norms"]
    values = [math.inf if norm is None else norm for norm in norms]
    # The upper of two middles: numpy's mean of a number and infinity would hide a divergence.
    return float(sorted(values)[len(values) // 2])


def _at_edge(best: GridPoint, grid: Sequence[GridPoint]) -> list[str]:
    """Name the options whose best value is the least or the largest tried: widen the grid there."""
    edges = []
    for name, value in best.options:
        tried = np.unique([dict(point.options)[name] for point in grid])
        if len(tried) > 1 and value in (tried[0], tried[-1]):
            edges.append(name)
    return edges
