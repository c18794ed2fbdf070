"""Figures of experiments, the paper's and those of deep learning: which there are records for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from halpbench.bench.records import Record
from halpbench.report import deep, paper, placement
from halpbench.report.pictures import Picture

T = TypeVar("T")
Make = Callable[[], Iterable[Picture]]


def each(records: Sequence[Record], use: Callable[[Make, str], list[T]]) -> list[T]:
    """Make something of every figure that there are records for; return all of it.

    A figure whose records do not fit it is named in a warning and left out.

    Parameters
    ----------
    records : sequence of Record
        Of one machine.
    use : callable
        Takes a function that makes the pictures of a figure, to be called in the context of
        `pictures.STYLE`, and the fingerprint of their records.
    """
    result: list[T] = []
    for name, make, chosen in _figures(records):
        try:
            result += use(partial(make, chosen), chosen[-1].fingerprint)
        except (LookupError, TypeError, ValueError) as error:
            warnings.warn(
                f"{name} is not drawn, its records are not its own: {error!r}", stacklevel=2
            )
    return result


def figure(record: Record) -> str | None:
    """Return the figure of the paper that draws a record; None if none does."""
    return placement.figure(record.kind, record.case)


def _figures(
    records: Sequence[Record],
) -> Iterator[tuple[str, Callable[[Sequence[Record]], Iterator[Picture]], list[Record]]]:
    """Yield the name of each figure, what draws it, and the newest records of it."""
    measured = [record for record in records if record.measured]
    for name, make in paper.DRAWN.items():
        own = [r for r in measured if figure(r) == name]
        if own:
            yield name, make, _newest(own)
    trainings = [record for record in measured if record.kind == "training"]
    for task in dict.fromkeys(map(deep.task, trainings)):
        own = _newest([record for record in trainings if deep.task(record) == task])
        yield task, deep.figure_3, deep.without_search(own)


def _newest(records: Sequence[Record]) -> list[Record]:
    """Return the newest record of each case, of the build and suite that were measured last."""
    last = _origin(records[-1])
    return list({r.identity: r for r in records if _origin(r) == last}.values())


def _origin(record: Record) -> tuple[str, str | None]:
    return record.fingerprint, record.plan.get("suite")
