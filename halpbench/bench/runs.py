"""Runs that are compared: the records of one machine and build, from a folder or a saved file."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from halpbench.bench.files import write_atomic
from halpbench.bench.records import SCHEMA, Record, RecordError, encode, parse
from halpbench.bench.store import collector_paused, machines_in, read, records_in, stores


@dataclass(frozen=True)
class SavedRun:
    """The records of one machine and build, to be compared with those of another.

    Attributes
    ----------
    name : str
        Path of the folder or file.
    fingerprint : str
        Fingerprint of all the records.
    machine : mapping
        The machine record; empty if it is lost.
    records : sequence of Record
        The one that was appended last at the end.
    """

    name: str
    fingerprint: str
    machine: Mapping[str, Any]
    records: Sequence[Record]

    def save(self, path: Path) -> None:
        """Write all of it to one file, which `load` reads.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        content = {
            "schema": SCHEMA,
            "fingerprint": self.fingerprint,
            "machine": self.machine,
            "records": self.records,
        }
        write_atomic(path, encode(content).decode() + "\n")


class _RunFile(msgspec.Struct, forbid_unknown_fields=True):
    """File that `SavedRun.save` writes; each record has a schema of its own."""

    schema: Literal[1, 2]
    fingerprint: str
    machine: dict[str, Any]
    records: list[msgspec.Raw]


def load(path: Path, kinds: Collection[str]) -> list[SavedRun]:
    """Read runs from a results folder, a machine's raw folder, a file of it, or a saved run.

    A results folder holds one run a machine. Where several builds were measured, that of the
    record which was appended last is taken, and a warning tells. Records of other kinds are left
    out.

    Raises
    ------
    FileNotFoundError
        If there are no records.
    RecordError
        If a saved run is not one.
    """
    if path.is_file() and path.suffix == ".json":
        runs = [_load_file(path)]
    elif path.is_file():
        runs = [_last_build(path, read(path), path.parent, kinds)]
    else:
        folders = [store.raw for store in stores(path)] or [path]
        runs = [_last_build(folder, records_in(folder), folder, kinds) for folder in folders]
    filled = [run for run in runs if run.records]
    if not filled:
        raise FileNotFoundError(f"no records in {path}; `halpbench bench` makes them")
    return filled


def _last_build(
    path: Path, everything: Sequence[Record], folder: Path, kinds: Collection[str]
) -> SavedRun:
    records = [record for record in everything if record.kind in kinds]
    fingerprint = records[-1].fingerprint if records else ""
    last = [record for record in records if record.fingerprint == fingerprint]
    if len(last) < len(records):
        builds = len({record.fingerprint for record in records})
        warnings.warn(f"{path} holds {builds} builds; the last measured is taken", stacklevel=3)
    return SavedRun(str(path), fingerprint, machines_in(folder).get(fingerprint, {}), last)


def _load_file(path: Path) -> SavedRun:
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_RunFile)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not a saved run: {error}") from None
    records: dict[str, Record] = {}
    with collector_paused():
        for number, item in enumerate(content.records, start=1):
            try:
                record = parse(bytes(item))
                if record.fingerprint != content.fingerprint:
                    raise RecordError(
                        f"got fingerprint {record.fingerprint!r}; expected {content.fingerprint!r}"
                    )
                if record.id in records:
                    raise RecordError(f"a record of the id {record.id} came before")
                records[record.id] = record
            except RecordError as error:
                warnings.warn(f"{path}, record {number} skipped: {error}", stacklevel=3)
    return SavedRun(str(path), content.fingerprint, content.machine, list(records.values()))
