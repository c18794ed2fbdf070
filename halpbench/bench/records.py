"""Raw results: what a record holds, and JSON Lines files that survive an interruption."""

import fcntl
import io
import json
import os
import platform
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

SCHEMA = 1


class RecordError(ValueError):
    """A line that is not a record of this schema; the message says what is wrong with it."""


class LockedError(OSError):
    """Another run is writing to the same results."""


@dataclass(frozen=True)
class Series:
    """The raw samples of one contender.

    Attributes
    ----------
    contender : str
        Its name within the case, e.g. "halp D8M8" or "i8".
    samples_ns : mapping of str to tuple of int
        Nanoseconds by what was timed ("call", "inner", "full_gradient"), one a repetition, in
        the order of the repetitions. Sample i of every series of a record comes from one round.
    facts : mapping
        What else a table needs: bytes read, calls in a sample, gradient norms.
    """

    contender: str
    samples_ns: Mapping[str, tuple[int, ...]]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One case, measured: contenders that were interleaved in one process, side by side.

    Attributes
    ----------
    kind : str
        Which case class describes it: "kernel", "call", "epochs", "fits" and so on.
    case : mapping
        The fields of the case. Equal fields mean the same measurement.
    fingerprint : str
        Digest of the machine and the build, see `machine.fingerprint`.
    started : str
        ISO 8601, UTC.
    series : tuple of Series
        Empty when the case was skipped.
    facts : mapping
        What holds for all series: data source, shape.
    skipped : str or None
        Why the case was not measured.
    schema : int
    origin : str
        The file and line that it was read from, for messages; it is not written.
    """

    kind: str
    case: Mapping[str, Any]
    fingerprint: str
    started: str
    series: tuple[Series, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    skipped: str | None = None
    schema: int = SCHEMA
    origin: str = field(default="", compare=False)

    @property
    def identity(self) -> str:
        """Text that two records share exactly if they are of the same case, machine and build."""
        return identity(self.kind, self.case, self.fingerprint)

    def to_json(self) -> str:
        """One line of JSON without its line end. NaN and infinities are written as null."""
        return json.dumps(finite(self.as_dict()), allow_nan=False, separators=(",", ":"))

    def as_dict(self) -> dict[str, Any]:
        """Return what is written of it."""
        return {name: value for name, value in asdict(self).items() if name != "origin"}


def identity(kind: str, case: Mapping[str, Any], fingerprint: str) -> str:
    """See `Record.identity`."""
    return json.dumps([kind, case, fingerprint], sort_keys=True, separators=(",", ":"))


def parse(line: str | bytes) -> Record:
    """Read a record back from one line of JSON.

    Raises
    ------
    RecordError
        If the line is not JSON, or not a record of this schema.
    """
    return _record(_load(line))


def _record(data: object) -> Record:
    data = _of_this_schema(data)
    for name in ("kind", "fingerprint", "started"):
        _expect(data, name, str)
    for name in ("case", "facts"):
        _expect(data, name, dict)
    if data.get("skipped") is not None:
        _expect(data, "skipped", str)
    series = tuple(_parse_series(item) for item in _expect(data, "series", list))
    return Record(
        kind=data["kind"],
        case=data["case"],
        fingerprint=data["fingerprint"],
        started=data["started"],
        series=series,
        facts=data["facts"],
        skipped=data.get("skipped"),
    )


def _load(text: str | bytes) -> Any:
    """Read JSON as strictly as it is written.

    NaN, a number beyond 64 bits, a key twice, half a surrogate pair, endless nesting: Python's
    reader takes them all, and whoever computes with the record trips over them later.
    """
    try:
        data = json.loads(text, object_pairs_hook=_distinct, parse_int=_int64)
        json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not JSON: {error}") from None
    return data


def _of_this_schema(data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise RecordError(f"got a JSON {type(data).__name__}; expected an object")
    if type(data.get("schema")) is not int or data["schema"] != SCHEMA:
        raise RecordError(f"got schema {data.get('schema')!r}; expected {SCHEMA}")
    return data


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(n for n in names if names.count(n) > 1)!r} stands twice")
    return found


def _int64(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"an integer of {len(text)} digits; expected at most 64 bits")
    return value


def _parse_series(item: object) -> Series:
    if not isinstance(item, dict):
        raise RecordError(f"got a series that is a {type(item).__name__}; expected an object")
    samples = {}
    for name, values in _expect(item, "samples_ns", dict).items():
        if not isinstance(values, list) or not all(type(v) is int and v >= 0 for v in values):
            raise RecordError(f"samples {name!r}: expected a list of nanoseconds, integers >= 0")
        samples[name] = tuple(values)
    return Series(_expect(item, "contender", str), samples, _expect(item, "facts", dict))


def _expect(data: Mapping[str, Any], name: str, kind: type) -> Any:
    if not isinstance(data.get(name), kind):
        raise RecordError(
            f"field {name!r}: got {type(data.get(name)).__name__}; expected {kind.__name__}"
        )
    return data[name]


def finite(value: Any) -> Any:
    """Copy JSON data with None in place of NaN and infinities, which JSON has no words for."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def read(path: Path) -> list[Record]:
    """Read the records of a JSON Lines file, oldest first; a file that is absent holds none.

    A line that is not a record, such as one cut short by a crash, is named in a warning and left
    where it is; so is a file that cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        warnings.warn(f"{path} skipped: {error.strerror}", stacklevel=2)
        return []
    records = []
    # Not splitlines: it also splits at carriage returns.
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        origin = f"{path}, line {number}"
        try:
            records.append(replace(parse(line), origin=origin))
        except RecordError as error:
            warnings.warn(f"{origin} skipped: {error}", stacklevel=2)
    return records


def append(path: Path, record: Record) -> None:
    """Add a record to a JSON Lines file; when this returns, the record is on disk.

    Raises
    ------
    OSError
        If the file cannot be written; it is as long as before then.
    """
    line = record.to_json().encode() + b"\n"
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered, lest closing the file write again what has failed.
        with open(path, "ab+", buffering=0) as file:
            size = file.tell()
            # A line cut short has no end: begin a new one, lest the record be lost with it.
            if size > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            try:
                while line:
                    line = line[file.write(line) :]
                os.fsync(file.fileno())
            except BaseException:
                with suppress(OSError):
                    file.truncate(size)
                raise


def write_atomic(path: Path, text: str) -> None:
    """Replace a file as a whole: readers see the old content or the new, never a part.

    Raises
    ------
    OSError
        If the file cannot be written; nothing has changed then.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only their owner can read; results are for everybody.
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise


def _take(file: io.FileIO) -> str:
    """Lock a file and write there who did; return who has, if it is locked already."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        return file.readall().decode(errors="replace").strip() or "which has just begun"
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}\n".encode())
    return ""


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have errors of the system say what could not be written: a full disk names no file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error


@dataclass(frozen=True)
class Store:
    """Where the results of one machine live: ``<root>/raw/<machine>/``.

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
        """Read all records, each file's oldest first."""
        return _records_in(self.raw)

    def add(self, record: Record) -> None:
        """Append a record to the file of its kind."""
        append(self.raw / f"{record.kind}.jsonl", record)

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
            with _naming(path):
                self.raw.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(path, "ab+", buffering=0))
                holder = _take(file)
            if holder:
                raise LockedError(
                    f"another run is writing to {self.raw} ({holder}); wait for it to end, or "
                    "choose another results folder"
                )
            # What a killed run had begun to write.
            for leftover in self.raw.glob(".machine.json.*"):
                leftover.unlink()
            yield

    def machines(self) -> dict[str, dict[str, Any]]:
        """Read the machine records by fingerprint.

        What is not a machine record is named in a warning and left out, be it an entry or all of
        ``machine.json``.
        """
        return _machines_in(self.raw)

    def add_machine(self, fingerprint: str, record: Mapping[str, Any]) -> None:
        """Keep the machine record that belongs to a fingerprint.

        Raises
        ------
        RecordError
            If there is a ``machine.json`` that cannot be read: it is not overwritten.
        OSError
            If it cannot be written.
        """
        path = self.raw / "machine.json"
        try:
            with _naming(path):
                machines = _machine_file(path)
        except RecordError as error:
            raise RecordError(f"{error}; move it away") from None
        content = {"schema": SCHEMA, "machines": machines | {fingerprint: dict(record)}}
        write_atomic(path, json.dumps(finite(content), indent=1) + "\n")


def _records_in(folder: Path) -> list[Record]:
    return [record for path in sorted(folder.glob("*.jsonl")) for record in read(path)]


def _machines_in(folder: Path) -> dict[str, dict[str, Any]]:
    """See `Store.machines`."""
    path = folder / "machine.json"
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


def _machine_file(path: Path) -> dict[str, Any]:
    """Read a ``machine.json``, its entries as they are; empty if there is none."""
    try:
        content = _of_this_schema(_load(path.read_bytes()))
        machines: dict[str, Any] = _expect(content, "machines", dict)
    except FileNotFoundError:
        return {}
    except RecordError as error:
        raise RecordError(f"{path} is not a machine file: {error}") from None
    return machines


def stores(root: Path) -> Iterator[Store]:
    """Yield the stores of all machines below a results directory."""
    raw = root / "raw"
    if raw.is_dir():
        for folder in sorted(raw.iterdir()):
            if folder.is_dir():
                yield Store(root, folder.name)


@dataclass(frozen=True)
class Run:
    """The records of one machine and build, to be compared with those of another.

    Attributes
    ----------
    name : str
        Where they were found.
    fingerprint : str
        That of all the records.
    machine : mapping
        The machine record; empty if it is lost.
    records : sequence of Record
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
            "records": [record.as_dict() for record in self.records],
        }
        write_atomic(path, json.dumps(finite(content), allow_nan=False) + "\n")


def load(path: Path, kinds: Collection[str]) -> list[Run]:
    """Read runs from a results folder, a machine's raw folder, a file of it, or a saved run.

    A results folder holds one run a machine. Where several builds were measured the last one is
    taken, and a warning tells. Records of other kinds are left out.

    Raises
    ------
    FileNotFoundError
        If there are no records.
    RecordError
        If a saved run is not one.
    """
    if path.is_file() and path.suffix == ".json":
        runs = [_load_run(path)]
    elif path.is_file():
        runs = [_last_build(path, read(path), path.parent, kinds)]
    else:
        folders = [store.raw for store in stores(path)] or [path]
        runs = [_last_build(folder, _records_in(folder), folder, kinds) for folder in folders]
    found = [run for run in runs if run.records]
    if not found:
        raise FileNotFoundError(f"no records in {path}; `halpbench bench` makes them")
    return found


def _last_build(path: Path, found: Sequence[Record], folder: Path, kinds: Collection[str]) -> Run:
    records = [record for record in found if record.kind in kinds]
    newest = max(records, key=lambda record: record.started, default=None)
    fingerprint = newest.fingerprint if newest else ""
    mine = [record for record in records if record.fingerprint == fingerprint]
    if len(mine) < len(records):
        builds = len({record.fingerprint for record in records})
        warnings.warn(f"{path} holds {builds} builds; the last measured is taken", stacklevel=3)
    return Run(str(path), fingerprint, _machines_in(folder).get(fingerprint, {}), mine)


def _load_run(path: Path) -> Run:
    try:
        content = _of_this_schema(_load(path.read_bytes()))
        fingerprint = _expect(content, "fingerprint", str)
        machine = _expect(content, "machine", dict)
        items = _expect(content, "records", list)
    except RecordError as error:
        raise RecordError(f"{path} is not a saved run: {error}") from None
    records = []
    for number, item in enumerate(items, start=1):
        origin = f"{path}, record {number}"
        try:
            record = replace(_record(item), origin=origin)
            if record.fingerprint != fingerprint:
                raise RecordError(
                    f"got fingerprint {record.fingerprint!r}; expected {fingerprint!r}"
                )
            records.append(record)
        except RecordError as error:
            warnings.warn(f"{origin} skipped: {error}", stacklevel=3)
    return Run(str(path), fingerprint, machine, records)
