"""Raw results: what a record holds, and JSON Lines files that survive an interruption."""

import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1


class RecordError(ValueError):
    """A line that is not a record of this schema; the message says what is wrong with it."""


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
        "kernel" or "epochs": which case class describes it.
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
    """

    kind: str
    case: Mapping[str, Any]
    fingerprint: str
    started: str
    series: tuple[Series, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    skipped: str | None = None
    schema: int = SCHEMA

    @property
    def identity(self) -> str:
        """Text that two records share exactly if they are of the same case, machine and build."""
        return identity(self.kind, self.case, self.fingerprint)

    def to_json(self) -> str:
        """One line of JSON without its line end. NaN and infinities are written as null."""
        return json.dumps(finite(asdict(self)), allow_nan=False, separators=(",", ":"))


def identity(kind: str, case: Mapping[str, Any], fingerprint: str) -> str:
    """See `Record.identity`."""
    return json.dumps([kind, case, fingerprint], sort_keys=True, separators=(",", ":"))


def parse(line: str) -> Record:
    """Read a record back from one line of JSON.

    Raises
    ------
    RecordError
        If the line is not JSON, or not a record of this schema.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise RecordError(f"got a JSON {type(data).__name__}; expected an object")
    if type(data.get("schema")) is not int or data["schema"] != SCHEMA:
        raise RecordError(f"got schema {data.get('schema')!r}; expected {SCHEMA}")
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
    where it is.
    """
    if not path.exists():
        return []
    records = []
    text = path.read_bytes().decode("utf-8", errors="replace")
    # Not splitlines: it also splits at separators that JSON allows inside strings.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(parse(line))
        except RecordError as error:
            warnings.warn(f"{path}, line {number} skipped: {error}", stacklevel=2)
    return records


def append(path: Path, record: Record) -> None:
    """Add a record to a JSON Lines file; when this returns, the record is on disk.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    line = record.to_json().encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as file:
        # A damaged last line has no end: begin a new one, lest the record be lost with it.
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, text: str) -> None:
    """Replace a file as a whole: readers see the old content or the new, never a part.

    Raises
    ------
    OSError
        If the file cannot be written; nothing has changed then.
    """
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
        os.unlink(name)
        raise


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
        return [record for path in sorted(self.raw.glob("*.jsonl")) for record in read(path)]

    def add(self, record: Record) -> None:
        """Append a record to the file of its kind."""
        append(self.raw / f"{record.kind}.jsonl", record)

    def machines(self) -> dict[str, dict[str, Any]]:
        """Read the machine records by fingerprint; none if ``machine.json`` is not readable."""
        path = self.raw / "machine.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["schema"] != SCHEMA:
                raise RecordError(f"got schema {data['schema']!r}; expected {SCHEMA}")
            return dict(data["machines"])
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{path} skipped: {error!r}", stacklevel=2)
            return {}

    def add_machine(self, fingerprint: str, record: Mapping[str, Any]) -> None:
        """Keep the machine record that belongs to a fingerprint.

        Raises
        ------
        RecordError
            If there is a ``machine.json`` that cannot be read: it is not overwritten.
        """
        path = self.raw / "machine.json"
        machines = self.machines()
        if path.exists() and not machines:
            raise RecordError(f"{path} is not a machine file of schema {SCHEMA}; move it away")
        machines[fingerprint] = dict(record)
        content = {"schema": SCHEMA, "machines": machines}
        write_atomic(path, json.dumps(finite(content), indent=1) + "\n")


def stores(root: Path) -> Iterator[Store]:
    """Yield the stores of all machines below a results directory."""
    raw = root / "raw"
    if raw.is_dir():
        for folder in sorted(raw.iterdir()):
            if folder.is_dir():
                yield Store(root, folder.name)
