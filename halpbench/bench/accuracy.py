"""Time to accuracy of our estimator and of those of other libraries, on the same problems.

The other libraries have no callback, so that each contender is fitted anew for every tolerance,
tighter and tighter. One objective, in float64, judges all of them.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from joblib import effective_n_jobs  # type: ignore[import-untyped]
from numpy.typing import NDArray

from halpbench import datasets
from halpbench.bench import clock, machine
from halpbench.bench.cases import Classification, FitsCase, OptimumCase, Plan, Planned
from halpbench.bench.contenders import CONTENDERS
from halpbench.bench.loop import Measured, OnEvent, OnRound, SkipError, each, ignore
from halpbench.bench.records import Record, Series
from halpbench.bench.store import Store
from halpbench.bench.worker import Fit, FitError, Worker
from halpbench.estimators import HALPClassifier
from halpbench.losses import LOGISTIC, SOFTMAX
from halpbench.objective import BlockEngine, Evaluation, Objective
from halpbench.parallel import Executor
from halpbench.rows import Rows

Data = tuple[NDArray[Any], NDArray[Any]]

# A contender whose fit has reached these levels is not fitted more tightly.
GRAD_NORMS = (1e-1, 1e-2, 1e-3)
SUBOPTIMALITIES = (1e-2, 1e-3, 1e-4)
LEVELS = {"grad_norm": "grad_norms", "suboptimality": "suboptimalities"}
# Half a power of ten apart, so that a level is not overshot by much.
TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
# A fit that takes longer is not repeated.
LONG_SECONDS = 1.0
REPEATS = 5
# Gradient norm of the reference solution. Its loss is exact to ||gradient||^2 / (2 l2), which the
# record states.
OPTIMUM_TOL = 1e-8


def problems(suite: str = "full") -> dict[str, tuple[Classification, float]]:
    """Return the problems of a suite by name, each with the seconds that a contender may take.

    A contender whose fits have taken longer, all tolerances together but repetitions not counted,
    is not fitted again; a single fit that takes longer is stopped.

    Raises
    ------
    ValueError
        If the suite is unknown.
    """
    chosen = {
        "smoke": (
            (Classification("digits", 1_797, 64, 10), 1.0),
            (Classification("tall", 10_000, 100, 2), 1.0),
        ),
        "full": (
            (Classification("digits", 1_797, 64, 10), 10.0),
            (Classification("mnist-5k", 5_000, 784, 10), 20.0),
            (Classification("fashion-mnist", 60_000, 784, 10), 60.0),
            (Classification("tall", 1_000_000, 100, 2), 30.0),
            (Classification("wide", 10_000, 10_000, 2), 30.0),
        ),
    }
    if suite not in chosen:
        raise ValueError(f"got suite {suite!r}; expected one of {', '.join(chosen)}")
    return {problem.name: (problem, seconds) for problem, seconds in chosen[suite]}


def load(problem: Classification) -> tuple[Data, str]:
    """Return X (float32) and y, and where they are from."""
    if problem.name in ("tall", "wide"):
        return _synthetic(problem), "generated: Gaussian features, logistic model with noise"
    X, y, info = datasets.load(problem.name, return_info=True)
    return (np.ascontiguousarray(X, np.float32), y), info.source


def _synthetic(problem: Classification) -> Data:
    """Gaussian features of squared norm 100 at most, and labels by a linear model with noise."""
    random = np.random.default_rng(0)
    X = random.standard_normal((problem.n_samples, problem.n_features), np.float32)
    X *= min(1.0, 100 / problem.n_features)
    margins = X @ random.standard_normal(problem.n_features, np.float32)
    noise = 0.3 * margins.std() * random.standard_normal(problem.n_samples, np.float32)
    return X, (margins + noise > 0).astype(np.int64)


def tasks(
    chosen: Iterable[tuple[Classification, float]],
    contenders: Sequence[str],
    suite: str = "full",
) -> list[Planned]:
    """List the cases, problem by problem, looser tolerances first."""
    libraries = tuple((name, CONTENDERS[name].library) for name in contenders)
    planned: list[Planned] = []
    for problem, seconds in chosen:
        plan = Plan(
            suite=suite,
            at_most=REPEATS,
            budget_seconds=seconds,
            grad_norms=GRAD_NORMS,
            suboptimalities=SUBOPTIMALITIES,
        )
        planned.append(Planned(OptimumCase(problem), Plan(suite=suite)))
        planned += [Planned(FitsCase(problem, tol, libraries), plan) for tol in TOLERANCES]
    return planned


def fingerprint(machine_fingerprint: str) -> str:
    """Digest the machine's fingerprint together with the code of this race."""
    return machine.with_code(machine_fingerprint, "accuracy.py", "contenders.py", "worker.py")


def run(
    tasks: Sequence[Planned],
    store: Store,
    fingerprint: str,
    *,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> list[Record]:
    """Run the cases one after another; each is on disk before its "done" event.

    Parameters
    ----------
    tasks : sequence of Planned
        As `tasks` lists them.
    store : Store
        Store to which finished records are added, and in which they are looked up.
    fingerprint : str
        Of this machine, build and code.
    fresh : bool
        Measure also what has a record already.
    on_event : callable
        Takes each `loop.Event`.

    Returns
    -------
    list of Record
        One a case, newly measured or already stored.
    """
    records: list[Record] = []
    race = Race()

    def measure(case: OptimumCase | FitsCase, plan: Plan, on_round: OnRound) -> Measured:
        problem = msgspec.to_builtins(case.problem)
        earlier = [record for record in records if record.case["problem"] == problem]
        for record in earlier:
            if record.kind == OptimumCase.kind and record.skipped is not None:
                raise SkipError(record.skipped)
        if isinstance(case, OptimumCase):
            return race.solve(case)
        return race.fit(case, plan, earlier, on_round)

    try:
        for record in each(tasks, store, fingerprint, measure, fresh=fresh, on_event=on_event):
            records.append(record)
    finally:
        race.end()
    return records


class Race:
    """The data of one problem, and a process for each contender that is still in."""

    def __init__(self) -> None:
        self._problem: Classification | None = None
        self._workers: dict[str, Worker] = {}

    def solve(self, case: OptimumCase) -> Measured:
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
            warnings.simplefilter("ignore")  # an early stop shows in the gradient
            model.fit(self._X, self._y)
        at, start = self._judge(model.coef_), self._judge(np.zeros_like(model.coef_))
        norm = float(np.linalg.norm(at.weights))
        return (), {
            "source": self._source,
            "loss": at.loss,
            "grad_norm": norm,
            "error_bound": norm**2 / (2 * problem.l2),
            "loss_start": start.loss,
            "grad_norm_start": float(np.linalg.norm(start.weights)),
        }

    def fit(
        self, case: FitsCase, plan: Plan, earlier: Sequence[Record], on_round: OnRound
    ) -> Measured:
        """Fit the contenders in turns, the quick ones several times."""
        problem = case.problem
        reasons = {name: CONTENDERS[name].absence(problem.n_classes) for name, _ in case.contenders}
        absent = {name: reason for name, reason in reasons.items() if reason}
        racing = [
            name for name in reasons if name not in absent and not _is_out(name, plan, earlier)
        ]
        if not racing:
            return (), {"absent": absent}
        self._enter(problem)
        failed = self._start(racing)
        fits: dict[str, list[Fit]] = {name: [] for name in racing}
        orders = clock.rounds(
            racing, at_least=plan.at_most, at_most=plan.at_most, budget_seconds=float("inf")
        )
        for done, order in enumerate(orders):
            on_round(done)
            for name in order:
                if name in failed or any(
                    fit.wall_ns > LONG_SECONDS * 1e9 for fit in fits[name][:1]
                ):
                    continue
                try:
                    fit = self._workers[name].fit(problem.l2, case.tol, plan.limit_seconds)
                except FitError as error:
                    self._workers.pop(name).end()
                    failed[name] = str(error)
                else:
                    fits[name].append(fit)
        least_loss = next(r.facts["loss"] for r in earlier if r.kind == OptimumCase.kind)
        series = tuple(
            self._series(name, fits[name], failed.get(name), least_loss) for name in racing
        )
        return series, {"absent": absent}

    def _series(
        self, name: str, fits: Sequence[Fit], failure: str | None, least_loss: float
    ) -> Series:
        """Put fits at one tolerance together, with the accuracy of the first of them."""
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

    def _enter(self, problem: Classification) -> None:
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
        # A contender that converts to float64 holds three times the data.
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


def _is_out(contender: str, plan: Plan, earlier: Sequence[Record]) -> bool:
    """Tell whether a contender has reached the last levels, used up its time, or failed."""
    spent_ns = 0
    for record in earlier:
        for series in record.series:
            if series.contender != contender:
                continue
            if "failed" in series.facts:
                return True
            spent_ns += series.samples_ns["fit"][0]
            if all(
                series.facts[name] is not None and series.facts[name] <= getattr(plan, levels)[-1]
                for name, levels in LEVELS.items()
            ):
                return True
            if spent_ns > plan.limit_seconds * 1e9:
                return True
    return False
