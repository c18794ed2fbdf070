"""Comparability of runs: fields of their machine records that must agree, or are noted."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halpbench.bench.runs import SavedRun

# Times are comparable only where these fields of the machine records agree. The others may differ
# between revisions, but some of them explain a change.
MUST_AGREE = (
    "cpu.vendor",
    "cpu.model",
    "cpu.family_model_stepping",
    "cpu.isa",
    "caches",
    "build.kernels.compiler",
)
SHOULD_AGREE = (
    "cpu.usable_cores",
    "memory_bytes",
    "system",
    "build.kernels.flags",
    "build.kernels.levels",
    "python",
    "libraries.numpy",
    "libraries.scipy",
    "blas",
)


class IncomparableError(ValueError):
    """Runs whose times must not be put side by side; the message says which field differs."""


def at(machine: Mapping[str, Any], name: str) -> Any:
    """Return a field of a machine record by its path, as "cpu.model"; "unknown" if it is absent."""
    value: Any = machine
    for key in name.split("."):
        value = value.get(key, "unknown") if isinstance(value, Mapping) else "unknown"
    return value


def check(first: SavedRun, other: SavedRun, letter: str) -> list[str]:
    """Refuse runs of different machines; return notes on the other differences.

    Parameters
    ----------
    first, other : SavedRun
        A, and the run that is compared with it.
    letter : str
        Name of the other run in the notes.

    Raises
    ------
    IncomparableError
        If a field of `MUST_AGREE` differs, or there is no machine record.
    """
    for run in (first, other):
        if not run.machine:
            raise IncomparableError(
                f"{run.name}: no machine record belongs to these results, so that nothing tells "
                "whether their times are comparable"
            )
    refused = _differences(first, other, MUST_AGREE)
    if refused:
        raise IncomparableError(
            f"times of {first.name} and {other.name} are not comparable: {'; '.join(refused)} "
            "(--across machines compares speedups within each instead)"
        )
    noted = _differences(first, other, SHOULD_AGREE)
    return [f"differs between A and {letter}: {difference}" for difference in noted]


def _differences(first: SavedRun, other: SavedRun, fields: Sequence[str]) -> list[str]:
    return [
        f"{field} is {one!r} and {another!r}"
        for name in fields
        for field, one, another in _unequal(name, at(first.machine, name), at(other.machine, name))
    ]


def _unequal(name: str, one: Any, another: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields at or below a name that differ, and both values."""
    if isinstance(one, Mapping) and isinstance(another, Mapping):
        for key in dict.fromkeys([*one, *another]):
            yield from _unequal(f"{name}.{key}", one.get(key), another.get(key))
    elif isinstance(one, list) and isinstance(another, list) and len(one) == len(another):
        for index, pair in enumerate(zip(one, another, strict=True)):
            yield from _unequal(f"{name}[{index}]", *pair)
    elif one != another:
        yield name, one, another
