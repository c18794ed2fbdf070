"""Runs cases and keeps their records. Never prints: it reports events to whoever shows them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from halpbench import datasets, kernels
from halpbench.bench import clock, verify
from halpbench.bench.cases import BYTES_PER_ELEMENT, Case, EpochsCase, KernelCase, Problem
from halpbench.bench.records import Record, Series, Store, identity
from halpbench.problems import LeastSquares, SoftmaxRegression
from halpbench.solvers import Run

# One sample of a kernel: long against the timer's grain and a call's overhead, short enough for
# many of them.
SAMPLE_NS = 3_000_000

Measured = tuple[tuple[Series, ...], dict[str, Any]]
OnRound = Callable[[int], None]


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    Attributes
    ----------
    what : str
        "start" and "round" while a case is measured; then one of "done", "reused" (an earlier
        record serves), "skipped" (see ``record.skipped``), "left" (no time; the next run
        measures it).
    case : Case
    index, total : int
        Which of how many cases, from 0.
    rounds : int
        Finished rounds of the case.
    record : Record or None
        With "done", "reused" and "skipped".
    """

    what: str
    case: Case
    index: int
    total: int
    rounds: int = 0
    record: Record | None = None


def run(
    cases: Sequence[Case],
    store: Store,
    fingerprint: str,
    *,
    fresh: bool = False,
    limit_seconds: float = float("inf"),
    on_event: Callable[[Event], None] = lambda event: None,
) -> None:
    """Measure the cases one after another; each is on disk before its "done" event.

    Parameters
    ----------
    cases : sequence of Case
    store : Store
        Where finished records are looked up and added.
    fingerprint : str
        Of this machine and build.
    fresh : bool
        Measure also what has a record already.
    limit_seconds : float
        No case begins after this time.
    on_event : callable
        Takes each `Event`.

    Raises
    ------
    OSError
        If a record cannot be written.
    """
    begin = time.monotonic()
    finished = {} if fresh else {r.identity: r for r in store.records() if r.skipped is None}
    problems = Problems()
    for index, case in enumerate(cases):
        if isinstance(case, EpochsCase):
            case = resolve(case)
        event = Event("start", case, index, len(cases))
        known = finished.get(identity(case.kind, asdict(case), fingerprint))
        if known is not None:
            on_event(replace(event, what="reused", record=known))
            continue
        left_seconds = begin + limit_seconds - time.monotonic()
        if left_seconds <= 0:
            on_event(replace(event, what="left"))
            continue
        on_event(event)

        def on_round(rounds: int, event: Event = event) -> None:
            on_event(replace(event, what="round", rounds=rounds))

        record = measure(case, fingerprint, problems, left_seconds, on_round)
        store.add(record)
        on_event(replace(event, what="skipped" if record.skipped else "done", record=record))


def measure(
    case: Case,
    fingerprint: str = "",
    problems: "Problems | None" = None,
    limit_seconds: float = float("inf"),
    on_round: OnRound = lambda rounds: None,
) -> Record:
    """Measure one case.

    Parameters
    ----------
    case : Case
    fingerprint : str
        Of this machine and build.
    problems : Problems, optional
        Loader that may hold the problem already.
    limit_seconds : float
        Shortens the case's own budget.
    on_round : callable
        Takes the number of finished rounds, before each round.
    """
    problems = problems or Problems()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    budget_seconds = min(case.budget_seconds, limit_seconds)
    series: tuple[Series, ...] = ()
    facts: dict[str, Any] = {}
    skipped = _lack_of_memory(case, problems)
    if skipped is None:
        try:
            with clock.one_thread():
                if isinstance(case, KernelCase):
                    series, facts = _measure_kernel(case, budget_seconds, on_round)
                else:
                    series, facts = _measure_epochs(case, problems, budget_seconds, on_round)
        except MemoryError as error:
            skipped = f"out of memory: {error}"
        except (datasets.DatasetNotFoundError, ImportError, verify.WrongResultError) as error:
            skipped = str(error)
    return Record(case.kind, asdict(case), fingerprint, started, series, facts, skipped)


def resolve(case: EpochsCase) -> EpochsCase:
    """Return the case, with the fallback problem if its data set is not to be had."""
    problem = case.problem
    while problem.fallback is not None and datasets.find(problem.dataset) is None:
        problem = problem.fallback
    return replace(case, problem=problem)


def _measure_kernel(case: KernelCase, budget_seconds: float, on_round: OnRound) -> Measured:
    """Time a kernel for each dtype, in rounds; the calls of one sample run in C."""
    samples: dict[str, list[int]] = {dtype: [] for dtype in case.dtypes}

    def timer(dtype: str) -> Callable[[int], int]:
        return lambda calls: int(kernels.time_kernel(case.op, dtype, case.n, calls))

    with kernels.use(case.backend):
        for dtype in case.dtypes:
            verify.check(case.op, dtype, case.n)
        timers = {dtype: timer(dtype) for dtype in case.dtypes}
        calls = {dtype: clock.calls_for(timers[dtype], SAMPLE_NS) for dtype in case.dtypes}
        orders = clock.rounds(
            case.dtypes,
            at_least=case.at_least,
            at_most=case.at_most,
            budget_seconds=budget_seconds,
        )
        for done, order in enumerate(orders):
            on_round(done)
            for dtype in order:
                samples[dtype].append(timers[dtype](calls[dtype]))
    series = tuple(
        Series(
            dtype,
            {"calls": tuple(samples[dtype])},
            {"calls": calls[dtype], "bytes": case.n * BYTES_PER_ELEMENT[case.op][dtype]},
        )
        for dtype in case.dtypes
    )
    return series, {}


def _measure_epochs(
    case: EpochsCase, problems: "Problems", budget_seconds: float, on_round: OnRound
) -> Measured:
    """Run the contenders' epochs in turns; gradient norms are evaluated after all timing."""
    problem, source = problems.load(case.problem)
    epoch_length = round(case.problem.steps_per_sample * problem.n_samples)
    runs = {
        contender.name: Run(
            problem,
            algorithm=contender.algorithm,
            precision=contender.precision,
            data=case.data,
            step_size=case.problem.step_size,
            epoch_length=epoch_length,
            seed=case.seed,
            **dict(contender.options),
        )
        for contender in case.contenders
    }
    rows: dict[str, list[Any]] = {name: [] for name in runs}
    iterates = {name: [np.array(run.w)] for name, run in runs.items()}
    orders = clock.rounds(
        list(runs),
        at_least=case.at_least,
        at_most=case.at_most,
        budget_seconds=budget_seconds,
        seed=case.seed,
    )
    for done, order in enumerate(orders):
        on_round(done)
        for name in order:
            for _ in range(case.epochs_per_turn):
                rows[name].append(runs[name].epoch())
                iterates[name].append(np.array(runs[name].w))
    series = tuple(
        Series(
            name,
            {
                "inner": tuple(_ns(row.inner_seconds) for row in rows[name]),
                "full_gradient": tuple(_ns(row.full_gradient_seconds) for row in rows[name]),
                "epoch": tuple(_ns(row.seconds) for row in rows[name]),
            },
            {
                "data_bytes": int(run.data_bytes),
                "step_bytes": int(run.step_bytes),
                "gradient_norms": [_gradient_norm(run, w) for w in iterates[name]],
                "scales": [row.scale for row in rows[name]],
                "saturated": [row.saturated for row in rows[name]],
            },
        )
        for name, run in runs.items()
    )
    shape: dict[str, Any] = {
        "n_samples": problem.n_samples,
        "n_features": problem.n_features,
        "epoch_length": epoch_length,
        "backend": kernels.active(),
    }
    return series, source | shape


class Problems:
    """Loads problems; keeps the last one, for cases of one problem stand side by side."""

    def __init__(self) -> None:
        self._spec: Problem | None = None
        self._loaded: tuple[Any, dict[str, Any]] | None = None

    def load(self, spec: Problem) -> tuple[Any, dict[str, Any]]:
        """Return the problem, and facts about where its data came from."""
        if self._loaded is not None and self._spec == spec:
            return self._loaded
        self.drop()
        options: dict[str, Any] = dict(spec.options)
        x, y, info = datasets.load(spec.dataset, return_info=True, **options)
        x, y = x[: spec.n_samples], y[: spec.n_samples]
        facts = {"source": info.source, "sha256": info.sha256}
        kind = LeastSquares if spec.model == "least-squares" else SoftmaxRegression
        self._spec, self._loaded = spec, (kind(x, y, l2=spec.l2), facts)
        return self._loaded

    def holds(self, spec: Problem) -> bool:
        """Tell whether this problem is in memory already."""
        return self._spec == spec

    def drop(self) -> None:
        """Free the memory of the last problem."""
        self._spec = self._loaded = None


def _gradient_norm(run: Run, w: NDArray[np.float64]) -> float:
    """Evaluate the gradient norm at `w`; NaN where a contender has diverged."""
    return float(run.gradient_norm(w)) if np.isfinite(w).all() else float("nan")


def _lack_of_memory(case: Case, problems: Problems) -> str | None:
    if isinstance(case, EpochsCase) and not problems.holds(case.problem):
        problems.drop()
    available = psutil.virtual_memory().available
    if case.bytes_needed <= available:
        return None
    return (
        f"needs about {case.bytes_needed / 1e9:.1f} GB of memory; {available / 1e9:.1f} GB are free"
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
