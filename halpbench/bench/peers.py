"""Time to accuracy of our estimator and of those that people use today, on the same problems.

The other libraries have no callback, so that each contender is fitted anew for every tolerance,
tighter and tighter. What it reached is judged by one objective, in float64, for all alike.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs  # type: ignore[import-untyped]
from numpy.typing import NDArray

from halpbench import datasets
from halpbench.bench import clock, machine
from halpbench.bench.contenders import CONTENDERS
from halpbench.bench.loop import OnEvent, OnRound, each, ignore, now
from halpbench.bench.records import Record, Series, Store
from halpbench.bench.worker import Fit, FitError, Worker
from halpbench.estimators import HALPClassifier
from halpbench.losses import LOGISTIC, SOFTMAX
from halpbench.objective import BlockEngine, Evaluation, Objective
from halpbench.parallel import Executor
from halpbench.rows import Rows

Data = tuple[NDArray[Any], NDArray[Any]]

# Below what is shown of a contender, no tighter fit of it is asked for.
GRAD_NORMS = (1e-1, 1e-2, 1e-3)
SUBOPTIMALITIES = (1e-2, 1e-3, 1e-4)
LEVELS = {"grad_norm": "grad_norms", "suboptimality": "suboptimalities"}
# Half a power of ten apart, so that a level is not overshot by much.
TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
# A fit that takes longer is not repeated.
LONG_SECONDS = 1.0
REPEATS = 5
# Of the reference solution. The record states what it comes to: f - f* <= ||gradient||^2 / (2 l2).
OPTIMUM_TOL = 1e-8


@dataclass(frozen=True)
class Problem:
    """Logistic regression on a data set: softmax for more than two classes; no intercept.

    Attributes
    ----------
    name : str
    n_samples, n_features, n_classes : int
    budget_seconds : float
        A contender whose fits have taken longer, all tolerances together but repetitions not
        counted, is not fitted again; a single fit that takes longer is stopped.
    l2 : float
    """

    name: str
    n_samples: int
    n_features: int
    n_classes: int
    budget_seconds: float
    l2: float = 1e-4


def problems(suite: str = "full") -> dict[str, Problem]:
    """Return the problems of a suite by name.

    Raises
    ------
    ValueError
        If the suite is unknown.
    """
    chosen = {
        "smoke": (
            Problem("digits", 1_797, 64, 10, budget_seconds=1),
            Problem("tall", 10_000, 100, 2, budget_seconds=1),
        ),
        "full": (
            Problem("digits", 1_797, 64, 10, budget_seconds=10),
            Problem("mnist-5k", 5_000, 784, 10, budget_seconds=20),
            Problem("fashion-mnist", 60_000, 784, 10, budget_seconds=60),
            Problem("tall", 1_000_000, 100, 2, budget_seconds=30),
            Problem("wide", 10_000, 10_000, 2, budget_seconds=30),
        ),
    }
    if suite not in chosen:
        raise ValueError(f"got suite {suite!r}; expected one of {', '.join(chosen)}")
    return {problem.name: problem for problem in chosen[suite]}


def load(problem: Problem) -> tuple[Data, str]:
    """Return X (float32) and y, and where they are from."""
    if problem.name in ("tall", "wide"):
        return _synthetic(problem), "generated: Gaussian features, logistic model with noise"
    X, y, info = datasets.load(problem.name, return_info=True)
    return (np.ascontiguousarray(X, np.float32), y), info.source


def _synthetic(problem: Problem) -> Data:
    """Gaussian features of squared norm 100 at most, and labels by a linear model with noise."""
    random = np.random.default_rng(0)
    X = random.standard_normal((problem.n_samples, problem.n_features), np.float32)
    X *= min(1.0, 100 / problem.n_features)
    margins = X @ random.standard_normal(problem.n_features, np.float32)
    noise = 0.3 * margins.std() * random.standard_normal(problem.n_samples, np.float32)
    return X, (margins + noise > 0).astype(np.int64)


@dataclass(frozen=True)
class Optimum:
    """The reference solution of a problem."""

    problem: Problem
    suite: str
    kind: ClassVar[str] = "optimum"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        return f"{self.problem.name}, reference solution"


@dataclass(frozen=True)
class Fits:
    """Fits of every contender at one tolerance, in turns.

    Attributes
    ----------
    problem : Problem
    tol : float
        As each contender understands it.
    contenders : tuple of pairs
        Name and library of each, the absent ones included.
    grad_norms, suboptimalities : tuple of float
        A contender that has reached the last of both is not fitted again.
    suite : str
    """

    problem: Problem
    tol: float
    contenders: tuple[tuple[str, str], ...]
    grad_norms: tuple[float, ...] = GRAD_NORMS
    suboptimalities: tuple[float, ...] = SUBOPTIMALITIES
    suite: str = "full"
    kind: ClassVar[str] = "fits"

    @property
    def name(self) -> str:
        """What a progress line calls it."""
        return f"{self.problem.name}, tolerance {self.tol:.0e}"


Case = Optimum | Fits


def cases(
    chosen: Iterable[Problem],
    contenders: Sequence[str],
    suite: str = "full",
) -> list[Case]:
    """List what is measured, problem by problem, looser tolerances first."""
    libraries = tuple((name, CONTENDERS[name].library) for name in contenders)
    found: list[Case] = []
    for problem in chosen:
        found.append(Optimum(problem, suite))
        found += [Fits(problem, tol, libraries, suite=suite) for tol in TOLERANCES]
    return found


def fingerprint(machine_fingerprint: str) -> str:
    """Digest the machine's fingerprint together with the code of this race."""
    return machine.with_code(machine_fingerprint, "peers.py", "contenders.py", "worker.py")


def run(
    todo: Sequence[Case],
    store: Store,
    fingerprint: str,
    *,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> list[Record]:
    """Run the cases one after another; each is on disk before its "done" event.

    Parameters
    ----------
    todo : sequence of Optimum and Fits
        As `cases` lists them.
    store : Store
        Where finished records are looked up and added.
    fingerprint : str
        Of this machine, build and code.
    fresh : bool
        Measure also what has a record already.
    on_event : callable
        Takes each `loop.Event`.

    Returns
    -------
    list of Record
        One a case, new or found.
    """
    records: list[Record] = []
    race = Race()

    def measured(case: Case, left_seconds: float, on_round: OnRound) -> Record:
        started = now()
        earlier = [r for r in records if r.case["problem"] == asdict(case.problem)]
        skipped = next((r.skipped for r in earlier if r.kind == Optimum.kind), None)
        if skipped is not None:
            return Record(case.kind, asdict(case), fingerprint, started, skipped=skipped)
        try:
            if isinstance(case, Optimum):
                series, facts = race.solve(case)
            else:
                series, facts = race.fit(case, earlier, on_round)
        except (datasets.DatasetNotFoundError, ImportError, MemoryError) as error:
            skipped = str(error) or type(error).__name__
            return Record(case.kind, asdict(case), fingerprint, started, skipped=skipped)
        return Record(case.kind, asdict(case), fingerprint, started, series, facts)

    try:
        for record in each(todo, store, fingerprint, measured, fresh=fresh, on_event=on_event):
            records.append(record)
    finally:
        race.end()
    return records


class Race:
    """The data of one problem, and a process for each contender that is still in."""

    def __init__(self) -> None:
        self._problem: Problem | None = None
        self._workers: dict[str, Worker] = {}

    def solve(self, case: Optimum) -> tuple[tuple[Series, ...], dict[str, Any]]:
        """Solve the problem to high accuracy; the gradient there bounds the error of the loss."""
        self._enter(case.problem)
        problem = case.problem
        model = HALPClassifier(
            C=1 / (problem.l2 * problem.n_samples),
            tol=OPTIMUM_TOL,
            fit_intercept=False,
            n_jobs=-1,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stops early shows in the gradient
            model.fit(self._X, self._y)
        found, start = self._judge(model.coef_), self._judge(np.zeros_like(model.coef_))
        norm = float(np.linalg.norm(found.weights))
        return (), {
            "source": self._source,
            "loss": found.loss,
            "grad_norm": norm,
            "error_bound": norm**2 / (2 * problem.l2),
            "loss_start": start.loss,
            "grad_norm_start": float(np.linalg.norm(start.weights)),
        }

    def fit(
        self, case: Fits, earlier: Sequence[Record], on_round: OnRound
    ) -> tuple[tuple[Series, ...], dict[str, Any]]:
        """Fit the contenders in turns, the quick ones several times."""
        problem = case.problem
        reasons = {name: CONTENDERS[name].absence(problem.n_classes) for name, _ in case.contenders}
        absent = {name: reason for name, reason in reasons.items() if reason}
        racing = [name for name in reasons if name not in absent and not _is_out(name, earlier)]
        if not racing:
            return (), {"absent": absent}
        self._enter(problem)
        failed = self._start(racing)
        fits: dict[str, list[Fit]] = {name: [] for name in racing}
        orders = clock.rounds(
            racing, at_least=REPEATS, at_most=REPEATS, budget_seconds=float("inf")
        )
        for done, order in enumerate(orders):
            on_round(done)
            for name in order:
                if name in failed or any(
                    fit.wall_ns > LONG_SECONDS * 1e9 for fit in fits[name][:1]
                ):
                    continue
                try:
                    fit = self._workers[name].fit(problem.l2, case.tol, problem.budget_seconds)
                except FitError as error:
                    self._workers.pop(name).end()
                    failed[name] = str(error)
                else:
                    fits[name].append(fit)
        least_loss = next(r.facts["loss"] for r in earlier if r.kind == Optimum.kind)
        series = tuple(
            self._series(name, fits[name], failed.get(name), least_loss) for name in racing
        )
        return series, {"absent": absent}

    def _series(
        self, name: str, fits: Sequence[Fit], failure: str | None, least_loss: float
    ) -> Series:
        """Put fits at one tolerance together, and what the first of them reached."""
        facts: dict[str, Any] = {}
        if fits:
            at = self._judge(fits[0].coef)
            facts = {
                "loss": at.loss,
                "suboptimality": at.loss - least_loss,
                "grad_norm": float(np.linalg.norm(at.weights)),
                "peak_bytes": fits[0].peak_bytes,
            }
        if failure is not None:
            facts["failed"] = failure
        samples = {
            "fit": tuple(fit.wall_ns for fit in fits),
            "cpu": tuple(fit.cpu_ns for fit in fits),
        }
        return Series(name, samples, facts)

    def end(self) -> None:
        """End all processes."""
        for worker in self._workers.values():
            worker.end()
        self._workers.clear()

    def _enter(self, problem: Problem) -> None:
        """Load a problem, unless it is the one at hand."""
        if self._problem == problem:
            return
        self.end()
        (self._X, self._y), self._source = load(problem)
        self._problem = problem
        two = problem.n_classes == 2
        self._outputs = 1 if two else problem.n_classes
        self._objective = Objective(
            Rows(self._X),
            self._y.astype(np.int64),
            LOGISTIC if two else SOFTMAX,
            self._outputs,
            l2=problem.l2,
            executor=Executor(effective_n_jobs(-1)),
            engine=BlockEngine(double=True),
        )

    def _judge(self, coef: NDArray[np.float64]) -> Evaluation:
        with self._objective.executor:
            return self._objective.evaluate(coef.reshape(self._outputs, -1))

    def _start(self, names: Sequence[str]) -> dict[str, str]:
        """Start the processes of these contenders, and end the others; return who failed, and why.

        They start side by side, for nothing is timed yet.
        """
        for name in self._workers.keys() - set(names):
            self._workers.pop(name).end()
        missing = [name for name in names if name not in self._workers]
        # One that converts to float64 holds three times the data.
        needed = (len(missing) + 4 * bool(missing)) * self._X.nbytes
        free = machine.available_memory()
        if needed > free:
            raise MemoryError(
                f"{len(missing)} contenders need about {needed / 1e9:.1f} GB of memory; "
                f"{free / 1e9:.1f} GB are free"
            )
        with tempfile.TemporaryDirectory(prefix="halpbench-") as folder:
            np.save(Path(folder, "X.npy"), self._X)
            np.save(Path(folder, "y.npy"), self._y)
            self._workers |= {name: Worker(name, Path(folder)) for name in missing}
            failed = {}
            for name in missing:
                try:
                    self._workers[name].wait()
                except FitError as error:
                    self._workers.pop(name).end()
                    failed[name] = str(error)
        return failed


def _is_out(contender: str, earlier: Sequence[Record]) -> bool:
    """Tell whether a contender has reached the last levels, used up its time, or failed."""
    spent = 0.0
    for record in earlier:
        for series in record.series:
            if series.contender != contender:
                continue
            if "failed" in series.facts:
                return True
            spent += series.samples_ns["fit"][0] * 1e-9
            if all(
                series.facts[name] is not None and series.facts[name] <= record.case[levels][-1]
                for name, levels in LEVELS.items()
            ):
                return True
            if spent > record.case["problem"]["budget_seconds"]:
                return True
    return False
