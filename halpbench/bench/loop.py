"""One case after another, or side by side: records are reused, the other cases measured."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import msgspec

from halpbench import datasets
from halpbench.bench import schema
from halpbench.bench.cases import Plan
from halpbench.bench.records import Record, Series, identity, now
from halpbench.bench.store import Store
from halpbench.bench.verify import WrongResultError

OnRound = Callable[[int], None]
Measured = tuple[Sequence[Series], dict[str, Any]]


class SkipError(Exception):
    """A case cannot be measured; the message says why."""


class AnyCase(Protocol):
    """A case, or a dataclass of JSON data that is one. Equal fields mean the same measurement."""

    @property
    def kind(self) -> str:
        """Kind of its records."""

    @property
    def name(self) -> str:
        """Name shown in progress output."""


class HasPlan(Protocol):
    """A case, and how long to measure it: `cases.Planned`."""

    @property
    def case(self) -> Any:
        """See `AnyCase`."""

    @property
    def plan(self) -> Plan:
        """Rounds and seconds."""


# Takes a case, its plan with no more than the seconds that are left, and a function to be told the
# number of finished rounds before each round.
Measure = Callable[[Any, Plan, OnRound], Measured]


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    Attributes
    ----------
    what : str
        "start" and "round" while a case is measured; then one of "done", "reused" (an earlier
        record serves), "skipped", "wrong" (see the record for the reason), "left" (no time; the
        next run measures it).
    case : AnyCase
    index, total : int
        Place of the case, from 0, and number of cases.
    rounds : int
        Finished rounds of the case.
    record : Record or None
        With "done", "reused", "skipped" and "wrong".
    """

    what: str
    case: AnyCase
    index: int
    total: int
    rounds: int = 0
    record: Record | None = None

    @property
    def reason(self) -> str:
        """Reason for a lack of samples; empty if there are some, or if nothing is known yet."""
        return (self.record.skipped or self.record.wrong or "") if self.record else ""


OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Show nothing."""


def each(
    tasks: Sequence[HasPlan],
    store: Store,
    fingerprint: str,
    measure: Measure,
    *,
    fresh: bool = False,
    limit_seconds: float = float("inf"),
    on_event: OnEvent = ignore,
) -> Iterator[Record]:
    """Yield a record of each case, in turn; it is on disk by then.

    Parameters
    ----------
    tasks : sequence of Planned
    store : Store
        Store to which finished records are added, and in which they are looked up.
    fingerprint : str
        Of this machine and build.
    measure : callable
        See `Measure`.
    fresh : bool
        Measure also what has a record already.
    limit_seconds : float
        No case begins after this time; the cases that are left have no record.
    on_event : callable
        Takes each `Event`.

    Raises
    ------
    OSError
        If a record cannot be written.
    """
    begin = time.monotonic()
    finished = Finished(store, fingerprint, fresh)
    for index, task in enumerate(tasks):
        event = Event("start", task.case, index, len(tasks))
        known = finished.record(task)
        if known is not None:
            on_event(replace(event, what="reused", record=known))
            yield known
            continue
        left_seconds = begin + limit_seconds - time.monotonic()
        if left_seconds <= 0:
            on_event(replace(event, what="left"))
            continue
        on_event(event)

        def on_round(rounds: int, event: Event = event) -> None:
            on_event(replace(event, what="round", rounds=rounds))

        record = attempt(task, fingerprint, measure, left_seconds, on_round)
        store.add(record)
        on_event(_ended(event, record))
        yield record


class Pool(NamedTuple):
    """Processes that measure side by side: for results, never for times.

    Attributes
    ----------
    jobs : int
        Processes; -1 for one a core. Without meaning on a cluster.
    scheduler : str or None
        Address of a Dask scheduler, such as "tcp://host:8786": the cases run on its workers.
    """

    jobs: int = 1
    scheduler: str | None = None


SERIAL = Pool()


def side_by_side(
    tasks: Sequence[HasPlan],
    store: Store,
    fingerprint: str,
    measure: Measure,
    pool: Pool,
    *,
    fresh: bool = False,
    on_event: OnEvent = ignore,
) -> list[Record]:
    """Measure cases in several processes; each record is on disk as soon as it is there.

    Parameters and errors are those of `each`; the cases and `measure` can be pickled.

    Returns
    -------
    list of Record
        In the order of the cases.

    Raises
    ------
    ImportError
        If a scheduler is given and Dask is not installed.
    """
    if pool == SERIAL:
        return list(each(tasks, store, fingerprint, measure, fresh=fresh, on_event=on_event))
    finished = Finished(store, fingerprint, fresh)
    records: dict[int, Record] = {}
    for index, task in enumerate(tasks):
        known = finished.record(task)
        if known is not None:
            records[index] = known
            on_event(Event("reused", task.case, index, len(tasks), record=known))
    missing = [(index, task) for index, task in enumerate(tasks) if index not in records]
    for index, record in _in_pool(missing, fingerprint, measure, pool):
        store.add(record)
        records[index] = record
        on_event(_ended(Event("start", tasks[index].case, index, len(tasks)), record))
    return [records[index] for index in range(len(tasks))]


def _in_pool(
    tasks: Sequence[tuple[int, HasPlan]], fingerprint: str, measure: Measure, pool: Pool
) -> Iterator[tuple[int, Record]]:
    """Yield records with the numbers of their cases as they are done."""
    if not tasks:
        return
    import joblib  # type: ignore[import-untyped]

    work = [joblib.delayed(_numbered)(*task, fingerprint, measure) for task in tasks]
    if pool.scheduler is None:
        yield from joblib.Parallel(n_jobs=pool.jobs, return_as="generator_unordered")(work)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            f"a Dask cluster needs the packages dask and distributed ({error}); install the extra "
            "[distributed]: pip install '.[distributed]' in the folder of the sources"
        ) from error
    with (
        Client(pool.scheduler, timeout="10s") as client,
        joblib.parallel_config(backend="dask", client=client),
    ):
        yield from joblib.Parallel(n_jobs=-1, return_as="generator_unordered")(work)


def _numbered(index: int, task: HasPlan, fingerprint: str, measure: Measure) -> tuple[int, Record]:
    return index, attempt(task, fingerprint, measure)


def attempt(
    task: HasPlan,
    fingerprint: str,
    measure: Measure,
    left_seconds: float = float("inf"),
    on_round: OnRound = lambda rounds: None,
) -> Record:
    """Measure one case, and return its record; one that cannot be measured has the reason."""
    started = now()
    case, plan = task.case, task.plan
    if left_seconds < plan.limit_seconds:
        plan = msgspec.structs.replace(plan, budget_seconds=left_seconds)
    series: Sequence[Series] = ()
    facts: dict[str, Any] = {}
    skipped = wrong = None
    try:
        series, facts = measure(case, plan, on_round)
    except WrongResultError as error:
        wrong = str(error)
    except MemoryError as error:
        skipped = f"out of memory: {error}"
    except (SkipError, datasets.DatasetNotFoundError, ImportError) as error:
        skipped = str(error)
    return Record(
        case.kind,
        schema.full_case(case.kind, case),
        fingerprint,
        started,
        tuple(series),
        facts,
        skipped,
        wrong,
        msgspec.to_builtins(task.plan),
    )


class Finished:
    """The records that need not be measured again.

    Parameters
    ----------
    store : Store
    fingerprint : str
    fresh : bool
        Measure everything again.
    """

    def __init__(self, store: Store, fingerprint: str, fresh: bool = False) -> None:
        self._fingerprint = fingerprint
        self._records: dict[bytes, list[Record]] = {}
        for record in () if fresh else store.records():
            if record.measured and record.fingerprint == fingerprint:
                self._records.setdefault(record.identity, []).append(record)

    def record(self, task: HasPlan) -> Record | None:
        """Return the last record that has all that the plan asks for."""
        alike = self._records.get(identity(task.case.kind, task.case, self._fingerprint), [])
        return next((r for r in reversed(alike) if covers(r, task.plan)), None)


def covers(record: Record, plan: Plan) -> bool:
    """Tell whether a record has the rounds that a plan asks for.

    It has if as many were done, or if it was given the time for them. Fits stop at levels of
    accuracy, and so have to have been asked for those, in that time.
    """
    given = msgspec.convert(record.plan, Plan)
    longer = given.limit_seconds >= plan.limit_seconds
    if plan.grad_norms or plan.suboptimalities:
        asked = ("grad_norms", "suboptimalities")
        return longer and all(
            min(getattr(given, name), default=0.0) <= min(getattr(plan, name), default=1.0)
            for name in asked
        )
    rounds = _rounds(record, given)
    return rounds >= plan.at_most or (rounds >= plan.at_least and longer)


def _rounds(record: Record, plan: Plan) -> int:
    """Count the rounds of a record; at least those that its plan asked for were done."""
    samples = [len(values) for series in record.series for values in series.samples_ns.values()]
    return max(plan.at_least, max(samples, default=0) // plan.epochs_per_turn)


def _ended(event: Event, record: Record) -> Event:
    what = "skipped" if record.skipped else "wrong" if record.wrong else "done"
    return replace(event, what=what, record=record)
