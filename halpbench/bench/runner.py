"""Measures cases. Never prints: it reports events to whoever shows them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from halpbench import datasets, kernels, memory
from halpbench.bench import clock, dots, machine, timing, verify, work
from halpbench.bench.cases import (
    CallCase,
    Case,
    EpochsCase,
    KernelCase,
    Problem,
    kernel_bytes,
)
from halpbench.bench.clock import Timer
from halpbench.bench.loop import OnEvent, OnRound, each, ignore, now
from halpbench.bench.records import Record, Series, Store
from halpbench.problems import LeastSquares, SoftmaxRegression
from halpbench.solvers import Epoch, Solver

# One sample of a kernel: long against the timer's grain and a call's overhead, and shorter than the
# time slices of a busy machine, so that most samples are not interrupted.
SAMPLE_NS = 2_000_000

Measured = tuple[tuple[Series, ...], dict[str, Any]]


def run(
    cases: Sequence[Case],
    store: Store,
    fingerprint: str,
    *,
    fresh: bool = False,
    limit_seconds: float = float("inf"),
    on_event: OnEvent = ignore,
) -> list[Record]:
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
        Takes each `loop.Event`.

    Returns
    -------
    list of Record
        One a case, new or found; none for those that are left.

    Raises
    ------
    OSError
        If a record cannot be written.
    """
    problems = Problems()
    resolved = [resolve(case) if isinstance(case, EpochsCase) else case for case in cases]

    def measured(case: Case, left_seconds: float, on_round: OnRound) -> Record:
        return measure(case, fingerprint, problems, left_seconds, on_round)

    return list(
        each(
            resolved,
            store,
            fingerprint,
            measured,
            fresh=fresh,
            limit_seconds=limit_seconds,
            on_event=on_event,
        )
    )


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
    started = now()
    budget_seconds = min(case.budget_seconds, limit_seconds)
    series: tuple[Series, ...] = ()
    facts: dict[str, Any] = {}
    skipped = _lack_of_memory(case, problems)
    if skipped is None:
        try:
            with clock.one_thread(), kernels.use(case.backend):
                if isinstance(case, KernelCase):
                    series, facts = _measure_kernel(case, budget_seconds, on_round)
                elif isinstance(case, CallCase):
                    series, facts = _measure_call(case, budget_seconds, on_round)
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
    contenders = {dtype: (case.op, dtype) for dtype in case.dtypes}
    if case.beside:
        contenders[f"{case.beside} i8"] = (case.beside, "i8")

    def timer(op: str, dtype: str) -> Timer:
        return lambda calls: int(timing.time_kernel(op, dtype, case.n, calls, case.classes))

    for op, dtype in contenders.values():
        verify.check(op, dtype, case.n, case.classes)
    samples, calls = sample(
        {name: timer(*what) for name, what in contenders.items()},
        at_least=case.at_least,
        at_most=case.at_most,
        budget_seconds=budget_seconds,
        on_round=on_round,
    )
    series = tuple(
        Series(
            name,
            {"calls": samples[name]},
            {
                "calls": calls[name],
                "bytes": kernel_bytes(op, dtype, case.n, case.classes),
                "work": {"calls": work.kernel(op, dtype, case.n, case.classes)},
            },
        )
        for name, (op, dtype) in contenders.items()
    )
    return series, {}


def _measure_call(case: CallCase, budget_seconds: float, on_round: OnRound) -> Measured:
    """Time Python's calls of dot products, ours and those of the peers installed, in rounds."""
    contenders: dict[str, Callable[..., Any]] = {"halpbench": kernels.dot}
    contenders |= dots.installed(case.peers)
    vectors = dots.vectors(case.dtype, case.n)
    for dot in contenders.values():
        verify.check_call(dot, case.n, case.dtype)
    samples, calls = sample(
        {name: clock.call_timer(dot, vectors) for name, dot in contenders.items()},
        at_least=case.at_least,
        at_most=case.at_most,
        budget_seconds=budget_seconds,
        on_round=on_round,
    )
    read = kernel_bytes("dot", case.dtype, case.n)
    series = tuple(
        Series(name, {"calls": samples[name]}, {"calls": calls[name], "bytes": read})
        for name in contenders
    )
    return series, {"blas": dots.blas()}


def sample(
    timers: Mapping[str, Timer],
    *,
    at_least: int,
    at_most: int,
    budget_seconds: float,
    on_round: OnRound = lambda rounds: None,
) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Call the timers in rounds, see `clock.rounds`.

    Parameters
    ----------
    timers : mapping of str to callable
        What makes a number of calls and returns their nanoseconds, by contender.
    at_least, at_most, budget_seconds
        As of `clock.rounds`.
    on_round : callable
        Takes the number of finished rounds, before each round.

    Returns
    -------
    samples : dict of str to tuple of int
        Nanoseconds, one a round.
    calls : dict of str to int
        The calls in a sample.
    """
    calls = {name: clock.calls_for(timer, SAMPLE_NS) for name, timer in timers.items()}
    samples: dict[str, list[int]] = {name: [] for name in timers}
    orders = clock.rounds(
        list(timers), at_least=at_least, at_most=at_most, budget_seconds=budget_seconds
    )
    for done, order in enumerate(orders):
        on_round(done)
        for name in order:
            samples[name].append(timers[name](calls[name]))
    return {name: tuple(values) for name, values in samples.items()}, calls


def _measure_epochs(
    case: EpochsCase, problems: "Problems", budget_seconds: float, on_round: OnRound
) -> Measured:
    """Run the contenders' epochs in turns; one that diverges has no more turns."""
    problem, source = problems.load(case.problem)
    epoch_length = round(case.problem.steps_per_sample * problem.n_samples)
    runs = {
        contender.name: Solver(
            problem,
            algorithm=contender.algorithm,
            precision=contender.precision,
            data=case.data,
            step_size=case.problem.step_size,
            epoch_length=epoch_length,
            seed=case.seed,
            **cast(dict[str, Any], dict(contender.options)),
        )
        for contender in case.contenders
    }
    rows: dict[str, list[Epoch]] = {name: [] for name in runs}
    norms: dict[str, list[float]] = {name: [] for name in runs}
    diverged: set[str] = set()
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
                if name in diverged:
                    break
                # Costs nothing: the pass is the epoch's own full gradient, and is charged to it.
                _, norm = runs[name].evaluate()
                row = runs[name].epoch()
                norms[name].append(norm)
                if row.diverged:
                    diverged.add(name)
                else:
                    rows[name].append(row)
    for name in runs.keys() - diverged:
        norms[name].append(runs[name].evaluate()[1])
    series = tuple(
        Series(
            name,
            {
                "inner": tuple(_ns(row.inner_seconds) for row in rows[name]),
                "full_gradient": tuple(_ns(row.full_gradient_seconds) for row in rows[name]),
                "epoch": tuple(_ns(row.seconds) for row in rows[name]),
            },
            {
                "data_bytes": run.data_bytes,
                "step_bytes": run.step_bytes,
                "gradient_row_bytes": run.gradient_row_bytes,
                "gradient_norms": norms[name],
                "diverged": name in diverged,
                "scales": [row.scale for row in rows[name]],
                "saturated": [row.saturated for row in rows[name]],
                "work": _epoch_work(contender.precision, problem, run),
            },
        )
        for contender, (name, run) in zip(case.contenders, runs.items(), strict=True)
    )
    shape = {
        "n_samples": problem.n_samples,
        "n_features": problem.n_features,
        "epoch_length": epoch_length,
    }
    return series, source | shape


def _epoch_work(precision: str, problem: Any, run: Solver) -> dict[str, work.Work]:
    """Count what a step, and a row of the full gradient, cannot do without."""
    n, outputs = problem.n_features, problem.n_outputs
    return {
        "inner": work.inner_step(precision, n, outputs, run.data_bytes),
        "full_gradient": work.gradient_row(run.gradient_row_bytes, n, outputs, problem.n_samples),
    }


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
        facts = {"source": info.source, "sha256": info.sha256}
        x, y = _laid_out(x, y, spec.n_samples)
        kind = LeastSquares if spec.model == "least-squares" else SoftmaxRegression
        self._spec, self._loaded = spec, (kind(x, y, l2=spec.l2), facts)
        return self._loaded

    def holds(self, spec: Problem) -> bool:
        """Tell whether this problem is in memory already."""
        return self._spec == spec

    def drop(self) -> None:
        """Free the memory of the last problem."""
        self._spec = self._loaded = None


def _laid_out(
    x: NDArray[Any], y: NDArray[Any], n_samples: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Copy the data, or a random part of them, to memory as good as that of the integer copies.

    Aligned and on huge pages, for the baselines that read the original deserve no less. A random
    part, because files are often sorted by label.
    """
    if len(x) > n_samples:
        rows = np.random.default_rng(0).permutation(len(x))[:n_samples]
        x, y = x[rows], y[rows]
    aligned = memory.empty(x.shape, x.dtype)
    aligned[...] = x
    return aligned, y


def _lack_of_memory(case: Case, problems: Problems) -> str | None:
    if isinstance(case, EpochsCase) and not problems.holds(case.problem):
        problems.drop()
    available = machine.available_memory()
    if case.bytes_needed <= available:
        return None
    return (
        f"needs about {case.bytes_needed / 1e9:.1f} GB of memory; {available / 1e9:.1f} GB are free"
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
