"""One case after another: what has a record is reused, the rest is measured and kept."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, TypeVar

from halpbench.bench.records import Record, Store, identity

OnRound = Callable[[int], None]


class Case(Protocol):
    """What is measured: a dataclass of JSON data. Equal fields mean the same measurement."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """What a progress line calls it."""


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


AnyCase = TypeVar("AnyCase", bound=Case)
OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Show nothing."""


def each(
    cases: Sequence[AnyCase],
    store: Store,
    fingerprint: str,
    measure: Callable[[AnyCase, float, OnRound], Record],
    *,
    fresh: bool = False,
    limit_seconds: float = float("inf"),
    on_event: OnEvent = ignore,
) -> Iterator[Record]:
    """Yield a record of each case, in turn; it is on disk by then.

    Parameters
    ----------
    cases : sequence of Case
    store : Store
        Where finished records are looked up and added.
    fingerprint : str
        Of this machine and build.
    measure : callable
        Takes a case, the seconds that are left, and a function to be told the number of finished
        rounds; returns the record, skipped or not.
    fresh : bool
        Measure also what has a record already.
    limit_seconds : float
        No case begins after this time; what is left has no record.
    on_event : callable
        Takes each `Event`.

    Raises
    ------
    OSError
        If a record cannot be written.
    """
    begin = time.monotonic()
    finished = {} if fresh else _finished(store)
    for index, case in enumerate(cases):
        event = Event("start", case, index, len(cases))
        known = finished.get(identity(case.kind, asdict(case), fingerprint))
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

        record = measure(case, left_seconds, on_round)
        store.add(record)
        on_event(replace(event, what="skipped" if record.skipped else "done", record=record))
        yield record


def missing(cases: Sequence[AnyCase], store: Store, fingerprint: str) -> list[AnyCase]:
    """Return the cases that `each` would measure."""
    finished = _finished(store)
    return [c for c in cases if identity(c.kind, asdict(c), fingerprint) not in finished]


def _finished(store: Store) -> dict[str, Record]:
    return {record.identity: record for record in store.records() if record.skipped is None}


def now() -> str:
    """The time, as records state it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
