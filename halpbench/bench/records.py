"""Records: one line of JSON for each measurement, and the history of their schema.

Schema 2
    ``case`` identifies the measurement, ``plan`` says how long it was to take; no field says where
    a record is shown. Each record has an ``id``. A wrong result is ``wrong``, not ``skipped``.
    Contenders have named constants in place of pairs; ``batch_size`` (1) and ``mu`` ("adaptive")
    may be among them. All kinds are in one file, ``records.jsonl``, in the order in which they were
    appended.
Schema 1
    ``case`` held all of that; a file a kind. Read as schema 2 by `upgrade.upgraded`.

A reader knows its own schema and those before. `schema` has the shape of each kind.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from halpbench.bench import schema
from halpbench.bench.cases import Setting
from halpbench.bench.schema import SCHEMA
from halpbench.bench.upgrade import upgraded

__all__ = [
    "SCHEMA",
    "Record",
    "RecordError",
    "Series",
    "encode",
    "finite",
    "identity",
    "now",
    "parse",
]


class RecordError(ValueError):
    """A line that is not a record of a known schema; the message names the fault."""


class Series(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The raw samples of one contender.

    Attributes
    ----------
    contender : str
        Its name within the case, e.g. "halp D8M8" or "i8".
    samples_ns : mapping of str to tuple of int
        Nanoseconds of each timed part ("call", "inner", "full_gradient"), one a repetition, in
        the order of the repetitions. Sample i of every series of a record comes from one round.
    facts : mapping
        Other numbers of a table: bytes read, calls in a sample, gradient norms.
    """

    contender: str
    samples_ns: dict[str, tuple[int, ...]]
    facts: dict[str, Any] = {}


def new_id() -> str:
    """Return an id that no other record has."""
    return uuid.uuid4().hex


class Record(msgspec.Struct, frozen=True, eq=False, forbid_unknown_fields=True):
    """One case, measured: contenders that were interleaved in one process, side by side.

    Attributes
    ----------
    kind : str
        Name of the case class: "kernel", "call", "epochs", "fits" and so on.
    case : mapping
        The fields of the case. Equal fields mean the same measurement.
    fingerprint : str
        Digest of the machine and the build, see `machine.fingerprint`.
    started : str
        ISO 8601, UTC: for readers. The order of records is that in which they were appended.
    series : tuple of Series
        Empty when the case was not measured.
    facts : mapping
        Facts about all series: data source, shape.
    skipped : str or None
        Reason for not measuring the case.
    wrong : str or None
        The wrong result because of which nothing was timed.
    plan : mapping
        The fields of `cases.Plan`.
    id : str
        Equal ids mean one record, however often it stands in the files.
    schema : int
    """

    kind: str
    case: dict[str, Any]
    fingerprint: str
    started: str
    series: tuple[Series, ...] = ()
    facts: dict[str, Any] = {}
    skipped: str | None = None
    wrong: str | None = None
    plan: dict[str, Any] = {}
    id: str = msgspec.field(default_factory=new_id)
    schema: int = SCHEMA

    def __eq__(self, other: object) -> bool:
        """Compare the written form."""
        return isinstance(other, Record) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def measured(self) -> bool:
        """Tell whether there are samples: the case was not skipped, no result was wrong."""
        return self.skipped is None and self.wrong is None

    @property
    def identity(self) -> bytes:
        """Bytes that two records share exactly if they are of the same case, machine and build."""
        return identity(self.kind, self.case, self.fingerprint)

    def constants(self, contender: str) -> dict[str, Any]:
        """Return the constants that a contender has of its own, which its name does not tell."""
        settings = self.case.get("contenders", ()) if self.kind in ("epochs", "curves") else ()
        for setting in (msgspec.convert(fields, Setting) for fields in settings):
            if setting.name == contender:
                given = {name: getattr(setting, name) for name in ("step_size", "mu", "delta")}
                return {name: value for name, value in given.items() if value is not None}
        return {}

    def to_json(self) -> str:
        """One line of JSON without its line end. NaN and infinities are written as null."""
        return encode(self).decode()

    def as_dict(self) -> dict[str, Any]:
        """Return the written form as JSON data."""
        content: dict[str, Any] = finite(self)
        return content


def identity(kind: str, case: Any, fingerprint: str) -> bytes:
    """See `Record.identity`; a case may be the object as well as its fields."""
    return b" ".join([kind.encode(), fingerprint.encode(), schema.normal_case(kind, case)])


def encode(content: Any) -> bytes:
    """Write JSON; NumPy's numbers are numbers, NaN and infinities null."""
    return msgspec.json.encode(content, enc_hook=_plain)


def finite(content: Any) -> Any:
    """Copy JSON data with None in place of NaN and infinities, which JSON has no words for."""
    return msgspec.json.decode(encode(content))


def _plain(value: Any) -> Any:
    if isinstance(value, str):  # a subclass, as torch has one for its version
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"got {type(value).__name__}; expected JSON data")


class _Head(msgspec.Struct):
    schema: int


class _Written(msgspec.Struct):
    """Fields that are kept as they were written: facts may hold more than their shape has."""

    series: tuple[Series, ...] = ()
    facts: dict[str, Any] = {}
    plan: dict[str, Any] = {}


_head = msgspec.json.Decoder(_Head)
_written = msgspec.json.Decoder(_Written)


def parse(line: str | bytes) -> Record:
    """Read a record back from one line of JSON, of this schema or the one before.

    Raises
    ------
    RecordError
        If the line is not JSON, or not a record of a known schema.
    """
    content = line.encode(errors="surrogatepass") if isinstance(line, str) else line
    number = _read(_head.decode, content).schema
    if number == 1:
        content = _upgraded(_read(msgspec.json.decode, content))
    elif number != SCHEMA:
        raise RecordError(f"got schema {number}; expected {SCHEMA} or 1")
    shaped: schema.AnyRecord = _read(schema.shaped, content)
    written: _Written = _read(_written.decode, content)
    return Record(
        kind=str(shaped.__struct_config__.tag),
        case=msgspec.json.decode(msgspec.json.encode(shaped.case)),
        fingerprint=shaped.fingerprint,
        started=shaped.started,
        series=written.series,
        facts=written.facts,
        skipped=shaped.skipped,
        wrong=shaped.wrong,
        plan=written.plan,
        id=shaped.id,
    )


def _read(read: Callable[[bytes], Any], content: bytes) -> Any:
    """Call a reader of JSON; RecordError for text that it refuses."""
    try:
        return read(content)
    except msgspec.ValidationError as error:
        raise RecordError(f"not a record: {error}") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not JSON: {error}") from None


def _upgraded(old: Any) -> bytes:
    try:
        return encode(upgraded(old))
    except (LookupError, TypeError, ValueError) as error:
        raise RecordError(f"not a record of schema 1: {error!r}") from None


def now() -> str:
    """The time, as records state it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
