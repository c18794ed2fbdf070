"""Grid search over step size, mu and delta, in parallel: for constants, never for times."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from halpbench import datasets
from halpbench.bench import cases
from halpbench.bench.experiments import LOW_PRECISION, MNIST, AnyProblem, load
from halpbench.bench.loop import Event, OnEvent, ignore, now
from halpbench.bench.records import Record, Series, Store, identity
from halpbench.bench.runner import Problems
from halpbench.fixedpoint import largest_integer
from halpbench.formats import FORMATS
from halpbench.solvers import ALGORITHMS, Solver

Grid = dict[str, tuple[float, ...]]

PROBLEMS = {p.name: p for p in (cases.FIGURE_1, MNIST, cases.MNIST_5K, cases.FASHION_MNIST)}


@dataclass(frozen=True)
class Point:
    """One point of a grid.

    Attributes
    ----------
    problem : cases.Problem
    algorithm, precision, data : str
        As `halpbench.solve` takes them.
    options : tuple of pairs
        Keywords of `halpbench.solve`: the point.
    epochs : int
    seeds : int
        Seeds 0, 1, ...; the score is the median of their gradient norms.
    """

    problem: cases.Problem
    algorithm: str
    precision: str
    data: str
    options: tuple[tuple[str, float], ...]
    epochs: int
    seeds: int
    kind: ClassVar[str] = "tune"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        values = ", ".join(f"{name} {value:.3g}" for name, value in self.options)
        return f"{self.problem.name}, {self.algorithm} {self.precision}, {values}"


def problem_named(name: str, l2: float | None = None, samples: int | None = None) -> cases.Problem:
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

    Raises
    ------
    ValueError
        If there is no such problem or data set.
    """
    spec = PROBLEMS.get(name)
    if spec is None:
        X, y = datasets.load(name)
        model = "softmax" if y.dtype.kind in "iu" else "least-squares"
        classes = int(y.max()) + 1 if model == "softmax" else 1
        # Every point has a step size of its own.
        spec = cases.Problem(
            Path(name).stem, name, model, len(X), X.shape[1], step_size=0.0, n_classes=classes
        )
    elif spec.fallback is not None and datasets.find(spec.dataset) is None:
        spec = spec.fallback
    return replace(
        spec,
        l2=spec.l2 if l2 is None else l2,
        n_samples=spec.n_samples if samples is None else min(samples, spec.n_samples),
    )


def default_grid(problem: AnyProblem, algorithm: str, precision: str) -> Grid:
    """Return step sizes around the problem's own, and what else the algorithm takes.

    mu from 0.1 to 10; delta such that the model reaches 1/4 to 16.
    """
    step = problem.default_step_size()
    grid: Grid = {"step_size": tuple(step * 2.0**k for k in range(-3, 4))}
    if algorithm == "halp":
        grid["mu"] = (0.1, 0.3, 1.0, 3.0, 10.0)
    elif algorithm in LOW_PRECISION and precision in FORMATS:
        highest = largest_integer(FORMATS[precision].model.bits)
        grid["delta"] = tuple(reach / highest for reach in (0.25, 1.0, 4.0, 16.0))
    return grid


def points(
    problem: cases.Problem,
    algorithm: str,
    precision: str,
    grid: Grid,
    *,
    data: str = "quantized",
    epochs: int = 10,
    seeds: int = 1,
) -> list[Point]:
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
        Point(
            problem,
            algorithm,
            precision,
            data,
            tuple(zip(grid, chosen, strict=True)),
            epochs,
            seeds,
        )
        for chosen in itertools.product(*grid.values())
    ]


def evaluate(point: Point) -> list[float]:
    """Return the gradient norm that each seed reaches; infinity for a run that diverged."""
    problem = _problem(point.problem)
    norms = []
    for seed in range(point.seeds):
        run = Solver(
            problem,
            point.algorithm,
            point.precision,
            point.data,
            seed=seed,
            epoch_length=round(point.problem.steps_per_sample * problem.n_samples),
            **dict[str, Any](point.options),
        )
        diverged = any(run.epoch().diverged for _ in range(point.epochs))
        norms.append(math.inf if diverged else run.evaluate()[1])
    return norms


@functools.lru_cache(maxsize=1)
def _problem(spec: cases.Problem) -> AnyProblem:
    """Load a problem once in each worker."""
    return load(spec, Problems())[0]


def tune(
    todo: Sequence[Point],
    store: Store,
    fingerprint: str,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> Record:
    """Evaluate the points of one grid and choose the best; each is on disk when it is done.

    Parameters
    ----------
    todo : sequence of Point
        Of one problem, algorithm and precision.
    store : Store
        Where finished points are looked up and added.
    fingerprint : str
        Of this machine and build.
    jobs : int
        Processes; -1 for one a core. Without meaning on a cluster.
    scheduler : str, optional
        Address of a Dask scheduler, such as "tcp://host:8786": the points run on its workers.
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
    """
    finished = {} if fresh else {r.identity: r for r in store.records() if r.kind == Point.kind}
    scores: dict[Point, float] = {}
    missing = []
    for point in todo:
        record = finished.get(identity(point.kind, asdict(point), fingerprint))
        if record is None:
            missing.append(point)
            continue
        scores[point] = _score(record.series[0].facts["grad_norms"])
        on_event(Event("reused", point, len(scores) - 1, len(todo), record=record))
    for point, norms in _in_parallel(missing, jobs, scheduler):
        name = f"{point.algorithm.upper()} {point.precision}"
        series = Series(name, {}, {"grad_norms": norms})
        record = Record(point.kind, asdict(point), fingerprint, now(), (series,))
        store.add(record)
        scores[point] = _score(norms)
        on_event(Event("done", point, len(scores) - 1, len(todo), record=record))
    # In the order of the grid, so that a tie is broken the same way however the points came in.
    best = min(todo, key=lambda point: scores[point])
    case = {
        **{k: v for k, v in asdict(best).items() if k != "options"},
        "grid": [dict(point.options) for point in todo],
    }
    facts = {
        "winner": dict(best.options),
        "grad_norm": scores[best],
        "diverged": sum(math.isinf(score) for score in scores.values()),
        "at_edge": _at_edge(best, todo),
    }
    winner = Record("tune-winner", case, fingerprint, now(), (), facts)
    store.add(winner)
    return winner


def _in_parallel(
    todo: Sequence[Point], jobs: int, scheduler: str | None
) -> Iterator[tuple[Point, list[float]]]:
    """Yield points with their norms as they are done."""
    if not todo:
        return
    import joblib  # type: ignore[import-untyped]

    work = [joblib.delayed(_evaluate_with)(point) for point in todo]
    if scheduler is None:
        yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(work)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            f"a Dask cluster needs the packages dask and distributed ({error}); install the extra "
            "[distributed]: pip install '.[distributed]' in the folder of the sources"
        ) from error
    with (
        Client(scheduler, timeout="10s") as client,  # type: ignore[no-untyped-call]
        joblib.parallel_config(backend="dask", client=client),
    ):
        yield from joblib.Parallel(n_jobs=-1, return_as="generator_unordered")(work)


def _evaluate_with(point: Point) -> tuple[Point, list[float]]:
    return point, evaluate(point)


def _score(norms: Sequence[float | None]) -> float:
    """Return the median; what was not finite has become None on disk."""
    values = [math.inf if norm is None else norm for norm in norms]
    # The upper of two middles: numpy's mean of a number and infinity would hide a divergence.
    return float(sorted(values)[len(values) // 2])


def _at_edge(best: Point, todo: Sequence[Point]) -> list[str]:
    """Name the options whose best value is the least or the largest tried: widen the grid there."""
    edges = []
    for name, value in best.options:
        tried = np.unique([dict(point.options)[name] for point in todo])
        if len(tried) > 1 and value in (tried[0], tried[-1]):
            edges.append(name)
    return edges
