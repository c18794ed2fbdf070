"""Store of records: a folder for each machine, with ``records.jsonl`` and ``machine.json``.

Records are appended to ``records.jsonl``. Those that are kept for good may be packed, into
``records.jsonl.xz``; they come before the others.
"""

import gc
import heapq
import lzma
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from halpbench.bench.files import LockedError, append, naming, take, write_atomic
from halpbench.bench.records import SCHEMA, Record, RecordError, encode, parse

RECORDS = "records.jsonl"
PACKED_SUFFIX = ".xz"
PACKED = RECORDS + PACKED_SUFFIX
MACHINES = "machine.json"


def read(path: Path) -> list[Record]:
    """Read the records of a JSON Lines file, oldest first; a file that is absent holds none.

    The file may be packed, with the name ending in ``.xz``.

    A line that is not a record, such as one cut short by a crash, is named in a warning and left
    where it is; so is a file that cannot be read, and a record that stands there twice.
    """
    with collector_paused():
        return _distinct(_lines(path))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python from looking for garbage: records that are read are all kept, and are no cycles.

    It would go through all of them again and again, which takes longer than reading them.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _lines(path: Path) -> Iterator[tuple[str, Record]]:
    """Yield the records of a file, each with the place where it stands."""
    try:
        content = path.read_bytes()
        if path.suffix == PACKED_SUFFIX:
            content = lzma.decompress(content)
    except FileNotFoundError:
        return
    except OSError as error:
        warnings.warn(f"{path} skipped: {error.strerror}", stacklevel=5)
        return
    except lzma.LZMAError as error:
        warnings.warn(f"{path} skipped: {error}", stacklevel=5)
        return
    # Not splitlines: it also splits at carriage returns.
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        origin = f"{path}, line {number}"
        try:
            yield origin, parse(line)
        except RecordError as error:
            warnings.warn(f"{origin} skipped: {error}", stacklevel=5)


def _distinct(lines: Iterable[tuple[str, Record]]) -> list[Record]:
    """Keep the first record of each id: files that were merged may hold one twice."""
    records: dict[str, Record] = {}
    for origin, record in lines:
        if records.setdefault(record.id, record) is not record:
            message = f"{origin} skipped: a record of the id {record.id} came before"
            warnings.warn(message, stacklevel=4)
    return list(records.values())


def records_in(folder: Path) -> list[Record]:
    """Read the records of a folder, the one that was appended last at the end.

    Before schema 2 each kind had a file of its own. Those come first, merged by the time at which
    their records were begun: nothing else tells how they follow one another.
    """
    older = [path for path in sorted(folder.glob("*.jsonl")) if path.name != RECORDS]
    merged = heapq.merge(*map(_lines, older), key=lambda line: line[1].started)
    with collector_paused():
        return _distinct([*merged, *_lines(folder / PACKED), *_lines(folder / RECORDS)])


def rewrite(folder: Path, *, packed: bool = False) -> list[str]:
    """Write the records of a folder as this schema has them, all into one file.

    The other files are removed once their records are on disk. A file with a line that is not a
    record stays as it is, and so do all others.

    Parameters
    ----------
    folder : Path
    packed : bool
        Write ``records.jsonl.xz``, in place of ``records.jsonl``.

    Returns
    -------
    list of str
        Warnings: the lines that keep the folder from being rewritten; none if it has been.

    Raises
    ------
    OSError
        If a file cannot be written.
    RecordError
        If there is a ``machine.json`` that cannot be read.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        records = records_in(folder)
    if caught or not records:
        return [str(warning.message) for warning in caught]
    content = "".join(record.to_json() + "\n" for record in records)
    target = folder / (PACKED if packed else RECORDS)
    write_atomic(target, pack(content.encode()) if packed else content)
    for path in (*folder.glob("*.jsonl"), folder / PACKED):
        if path != target:
            path.unlink(missing_ok=True)
    machines = _machine_file(folder / MACHINES)
    if machines:
        _write_machines(folder / MACHINES, machines)
    return []


def pack(content: bytes) -> bytes:
    """Compress; ``xz --decompress`` and `lzma` have the content back."""
    return lzma.compress(content, preset=9)


@dataclass(frozen=True)
class Store:
    """Folder of the results of one machine: ``<root>/raw/<machine>/``.

    Attributes
    ----------
    root : Path
        The results directory.
    machine : str
        Directory name of the machine, see `machine.slug`.
    """

    root: Path
    machine: str

    @property
    def raw(self) -> Path:
        """Directory of the raw records."""
        return self.root / "raw" / self.machine

    @property
    def tables(self) -> Path:
        """Directory of the tables made from them."""
        return self.root / "tables" / self.machine

    def records(self) -> list[Record]:
        """Read all records, the one that was appended last at the end."""
        return records_in(self.raw)

    def add(self, record: Record) -> None:
        """Append a record."""
        append(self.raw / RECORDS, record.to_json().encode())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from writing here meanwhile.

        The system lifts the lock when the process ends, however it ends; the file stays.

        Raises
        ------
        LockedError
            If another run holds the lock.
        OSError
            If the directory cannot be written.
        """
        path = self.raw / ".lock"
        with ExitStack() as stack:
            with naming(path):
                self.raw.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(path, "ab+", buffering=0))
                holder = take(file)
            if holder:
                raise LockedError(
                    f"another run is writing to {self.raw} ({holder}); wait for it to end, or "
                    "choose another results folder"
                )
            # Temporary files of killed runs.
            for name in (RECORDS, MACHINES):
                for leftover in self.raw.glob(f".{name}.*"):
                    leftover.unlink()
            yield

    def machines(self) -> dict[str, dict[str, Any]]:
        """Read the machine records by fingerprint.

        Anything but a machine record is named in a warning and left out, be it an entry or all of
        ``machine.json``.
        """
        return machines_in(self.raw)

    def add_machine(self, fingerprint: str, record: Mapping[str, Any]) -> None:
        """Keep the machine record that belongs to a fingerprint.

        Raises
        ------
        RecordError
            If there is a ``machine.json`` that cannot be read: it is not overwritten.
        OSError
            If it cannot be written.
        """
        path = self.raw / MACHINES
        try:
            with naming(path):
                machines = _machine_file(path)
        except RecordError as error:
            raise RecordError(f"{error}; move it away") from None
        _write_machines(path, machines | {fingerprint: dict(record)})


def machines_in(folder: Path) -> dict[str, dict[str, Any]]:
    """See `Store.machines`."""
    path = folder / MACHINES
    try:
        content = _machine_file(path)
    except (OSError, RecordError) as error:
        warnings.warn(f"machine records skipped: {error}", stacklevel=3)
        return {}
    for fingerprint, machine in content.items():
        if not isinstance(machine, dict):
            problem = f"got {type(machine).__name__}; expected an object"
            warnings.warn(f"{path}, machine {fingerprint!r} skipped: {problem}", stacklevel=3)
    return {name: machine for name, machine in content.items() if isinstance(machine, dict)}


class _Machines(msgspec.Struct, forbid_unknown_fields=True):
    """Content of ``machine.json``; the machines have not changed since schema 1."""

    schema: Literal[1, 2]
    machines: dict[str, Any]


def _machine_file(path: Path) -> dict[str, Any]:
    """Read a ``machine.json``, its entries as they are; empty if there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Machines).machines
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not a machine file: {error}") from None


def _write_machines(path: Path, machines: Mapping[str, Any]) -> None:
    content = encode({"schema": SCHEMA, "machines": machines})
    write_atomic(path, msgspec.json.format(content, indent=1).decode() + "\n")


def stores(root: Path) -> Iterator[Store]:
    """Yield the stores of all machines below a results directory."""
    raw = root / "raw"
    if raw.is_dir():
        for folder in sorted(raw.iterdir()):
            if folder.is_dir():
                yield Store(root, folder.name)
