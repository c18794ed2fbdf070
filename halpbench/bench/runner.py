"""Measurement of kernels, calls and epochs. It reports events, and prints nothing."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec.structs import replace

from halpbench import datasets, kernels
from halpbench.bench import clock, dots, machine, suites, timing, verify, work
from halpbench.bench.cases import CallCase, EpochsCase, KernelCase, Plan, Planned, Setting
from halpbench.bench.clock import Timer
from halpbench.bench.loading import Problems
from halpbench.bench.loop import Measured, OnEvent, OnRound, SkipError, each, ignore
from halpbench.bench.operands import kernel_bytes, memory_bytes
from halpbench.bench.records import Record, Series
from halpbench.bench.store import Store
from halpbench.formats import FORMATS
from halpbench.solvers import Epoch, Solver
from halpbench.solvers.paper import copies

# One sample of a kernel: long against the timer's grain and a call's overhead, and shorter than the
# time slices of a busy machine, so that most samples are not interrupted.
SAMPLE_NS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """Functions that a measurement calls; a test gives it others, whose times are known."""

    use: Callable[[str], AbstractContextManager[Any]] = kernels.use
    dot: Callable[..., Any] = kernels.dot
    time_kernel: Callable[..., int] = timing.time_kernel
    check: Callable[[str, str, int, int], None] = verify.check
    solver: Callable[..., Solver] = Solver
    load: Callable[..., Any] = datasets.load
    find: Callable[[str], str | None] = datasets.find
    available_memory: Callable[[], int] = machine.available_memory


INSTRUMENTS = Instruments()


def run(
    tasks: Sequence[Planned],
    store: Store,
    fingerprint: str,
    *,
    fresh: bool = False,
    limit_seconds: float = float("inf"),
    on_event: OnEvent = ignore,
    instruments: Instruments = INSTRUMENTS,
) -> list[Record]:
    """Measure the cases one after another; each is on disk before its "done" event.

    Parameters
    ----------
    tasks : sequence of Planned
    store : Store
        Store to which finished records are added, and in which they are looked up.
    fingerprint : str
        Of this machine and build.
    fresh : bool
        Measure also what has a record already.
    limit_seconds : float
        No case begins after this time.
    on_event : callable
        Takes each `loop.Event`.
    instruments : Instruments

    Returns
    -------
    list of Record
        One a case, newly measured or already stored; none for those that are left.

    Raises
    ------
    OSError
        If a record cannot be written.
    """
    return list(
        each(
            [resolve(task, instruments.find) for task in tasks],
            store,
            fingerprint,
            partial(measure, Problems(instruments.load), instruments=instruments),
            fresh=fresh,
            limit_seconds=limit_seconds,
            on_event=on_event,
        )
    )


def measure(
    problems: Problems,
    case: KernelCase | CallCase | EpochsCase,
    plan: Plan,
    on_round: OnRound = lambda rounds: None,
    *,
    instruments: Instruments = INSTRUMENTS,
) -> Measured:
    """Measure one case.

    Parameters
    ----------
    problems : Problems
        Loader that may hold the problem already.
    case : KernelCase, CallCase or EpochsCase
    plan : Plan
        Rounds, and the seconds for them.
    on_round : callable
        Takes the number of finished rounds, before each round.
    instruments : Instruments

    Raises
    ------
    SkipError, DatasetNotFoundError, ImportError, MemoryError
        If it cannot be measured.
    WrongResultError
        If a contender's result is wrong.
    """
    _check_memory(case, problems, instruments.available_memory())
    with clock.one_thread(), instruments.use(case.backend):
        if isinstance(case, KernelCase):
            return _measure_kernel(case, plan, on_round, instruments)
        if isinstance(case, CallCase):
            return _measure_call(case, plan, on_round, instruments.dot)
        return _measure_epochs(case, problems, plan, on_round, instruments.solver)


def resolve(task: Planned, find: Callable[[str], str | None] = datasets.find) -> Planned:
    """Return the task, with the fallback problem if its data set is not to be had."""
    if not isinstance(task.case, EpochsCase):
        return task
    return replace(task, case=replace(task.case, problem=suites.available(task.case.problem, find)))


def _measure_kernel(
    case: KernelCase, plan: Plan, on_round: OnRound, instruments: Instruments
) -> Measured:
    """Time a kernel for each dtype, in rounds; the calls of one sample run in C."""
    contenders = {dtype: (case.op, dtype) for dtype in case.dtypes}
    if case.beside:
        contenders[f"{case.beside} i8"] = (case.beside, "i8")

    def timer(op: str, dtype: str) -> Timer:
        return lambda calls: int(instruments.time_kernel(op, dtype, case.n, calls, case.classes))

    for op, dtype in contenders.values():
        instruments.check(op, dtype, case.n, case.classes)
    samples, calls = sample(
        {name: timer(*what) for name, what in contenders.items()},
        plan,
        on_round,
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


def _measure_call(
    case: CallCase, plan: Plan, on_round: OnRound, own_dot: Callable[..., Any]
) -> Measured:
    """Time Python's calls of dot products, ours and those of the libraries installed, in rounds."""
    contenders: dict[str, Callable[..., Any]] = {"halpbench": own_dot}
    contenders |= dots.installed(case.libraries)
    vectors = dots.vectors(case.dtype, case.n)
    for dot in contenders.values():
        verify.check_call(dot, case.n, case.dtype)
    samples, calls = sample(
        {name: clock.call_timer(dot, vectors) for name, dot in contenders.items()},
        plan,
        on_round,
    )
    read = kernel_bytes("dot", case.dtype, case.n)
    series = tuple(
        Series(name, {"calls": samples[name]}, {"calls": calls[name], "bytes": read})
        for name in contenders
    )
    return series, {"blas": dots.blas()}


def sample(
    timers: Mapping[str, Timer],
    plan: Plan,
    on_round: OnRound = lambda rounds: None,
) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Call the timers in rounds, see `clock.rounds`.

    Parameters
    ----------
    timers : mapping of str to callable
        Function that makes a number of calls and returns their nanoseconds, by contender.
    plan : Plan
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
        list(timers),
        at_least=plan.at_least,
        at_most=plan.at_most,
        budget_seconds=plan.limit_seconds,
    )
    for done, order in enumerate(orders):
        on_round(done)
        for name in order:
            samples[name].append(timers[name](calls[name]))
    return {name: tuple(values) for name, values in samples.items()}, calls


def _measure_epochs(
    case: EpochsCase,
    problems: Problems,
    plan: Plan,
    on_round: OnRound,
    make_solver: Callable[..., Solver],
) -> Measured:
    """Run the contenders' epochs in turns; one that diverges has no more turns."""
    problem, source = problems.load(case.problem)
    epoch_length = round(case.problem.steps_per_sample * problem.n_samples)
    runs = _solvers(case, problem, epoch_length, make_solver)
    orders = clock.rounds(
        list(runs),
        at_least=plan.at_least,
        at_most=plan.at_most,
        budget_seconds=plan.limit_seconds,
        seed=case.seed,
    )
    for done, order in enumerate(orders):
        on_round(done)
        for name in order:
            runs[name].take_turn(plan.epochs_per_turn)
    for run in runs.values():
        if not run.diverged:
            run.norms.append(run.solver.evaluate()[1])
    shape = {
        "n_samples": problem.n_samples,
        "n_features": problem.n_features,
        "epoch_length": epoch_length,
    }
    series = (
        _epoch_series(contender, runs[contender.name], problem) for contender in case.contenders
    )
    return tuple(series), source | shape


@dataclass
class _EpochRun:
    """A contender's run: its epochs, and the gradient norms at their starts."""

    solver: Solver
    epochs: list[Epoch] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    diverged: bool = False

    def take_turn(self, n_epochs: int) -> None:
        """Run some epochs, none after one that diverges."""
        for _ in range(n_epochs):
            if self.diverged:
                return
            # Free of charge: the pass is the epoch's own full gradient.
            _, norm = self.solver.evaluate()
            epoch = self.solver.epoch()
            self.norms.append(norm)
            if epoch.diverged:
                self.diverged = True
            else:
                self.epochs.append(epoch)


def _solvers(
    case: EpochsCase, problem: Any, epoch_length: int, make_solver: Callable[..., Solver]
) -> dict[str, _EpochRun]:
    """Start a run of each contender; contenders on data of one kind read the same copy."""
    formats = {FORMATS[contender.precision].data: contender for contender in case.contenders}
    copied = {
        number: copies(problem.rows, FORMATS[contender.precision], case.data, 8)
        for number, contender in formats.items()
    }
    return {
        contender.name: _EpochRun(
            make_solver(
                problem,
                algorithm=contender.algorithm,
                precision=contender.precision,
                data=case.data,
                epoch_length=epoch_length,
                seed=case.seed,
                rows=copied[FORMATS[contender.precision].data],
                **contender.keywords(case.problem.step_size),
            )
        )
        for contender in case.contenders
    }


def _epoch_series(contender: Setting, run: _EpochRun, problem: Any) -> Series:
    solver, epochs = run.solver, run.epochs
    return Series(
        contender.name,
        {
            "inner": tuple(_ns(epoch.inner_seconds) for epoch in epochs),
            "full_gradient": tuple(_ns(epoch.full_gradient_seconds) for epoch in epochs),
            "epoch": tuple(_ns(epoch.seconds) for epoch in epochs),
        },
        {
            "batch_size": solver.batch_size,
            "data_bytes": solver.data_bytes,
            "step_bytes": solver.step_bytes,
            "gradient_row_bytes": solver.gradient_row_bytes,
            "gradient_norms": run.norms,
            "diverged": run.diverged,
            "scales": [epoch.scale for epoch in epochs],
            "saturated": [epoch.saturated for epoch in epochs],
            "work": _epoch_work(contender.precision, problem, solver),
        },
    )


def _epoch_work(precision: str, problem: Any, run: Solver) -> dict[str, work.Work]:
    """Count the least work of a step, and of a row of the full gradient."""
    n, outputs = problem.n_features, problem.n_outputs
    return {
        "inner": work.inner_step(precision, n, outputs, run.data_bytes),
        "full_gradient": work.gradient_row(run.gradient_row_bytes, n, outputs, problem.n_samples),
    }


def _check_memory(case: KernelCase | CallCase | EpochsCase, problems: Problems, free: int) -> None:
    if isinstance(case, EpochsCase) and not problems.holds(case.problem):
        problems.drop()
    needed = memory_bytes(case)
    if needed > free:
        raise SkipError(
            f"needs about {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are free"
        )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
