"""Shapes of records: one struct for each kind, from which the published JSON Schema is made.

``halpbench records schema`` prints it. Fields that a program computes with are checked here, once,
when a record is read; ``facts`` may have others as well.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from halpbench.bench import cases

SCHEMA = 2

Count = Annotated[int, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Ns = Annotated[int, Meta(ge=0)]
PositiveNs = Annotated[int, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1)]
# ISO 8601 in UTC.
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
OURS = "halpbench"


def _alike(contender: str, lengths: Iterable[int]) -> None:
    if len(counts := set(lengths)) > 1:
        raise ValueError(
            f"{contender}: got {' and '.join(map(str, sorted(counts)))} samples; expected as many "
            "of each"
        )


def _check_time(text: str) -> None:
    try:
        utc = datetime.fromisoformat(text).utcoffset() == timedelta()
    except ValueError:
        utc = False
    if not utc:
        raise ValueError(f"started: got {text!r}; expected a time in UTC as ISO 8601 has it")


def _demand(facts: Struct) -> None:
    """Ask for all facts: those of a measured case are complete."""
    for name in facts.__struct_fields__:
        if getattr(facts, name) is UNSET:
            raise ValueError(f"facts lack {name}")


class _Record(Struct, forbid_unknown_fields=True, tag_field="kind"):
    """Fields that records of every kind have; `records.Record` explains them."""

    schema: Literal[2]
    id: Text
    fingerprint: str
    started: Time
    skipped: str | None = None
    wrong: str | None = None
    origin: Literal[""] = ""
    plan: cases.Plan = cases.Plan()

    # Each kind has fields of these names.
    case: Any = None
    series: tuple[Any, ...] = ()
    facts: Any = None

    def __post_init__(self) -> None:
        _check_time(self.started)
        if self.skipped is not None and self.wrong is not None:
            raise ValueError("got a record that is both skipped and wrong")
        if self.skipped is None and self.wrong is None:
            names = [series.contender for series in self.series]
            if len(set(names)) < len(names):
                raise ValueError("a contender stands twice")
            self._check(names)
        elif self.series:
            raise ValueError("got series of a case that was not measured")

    def _check(self, names: list[str]) -> None:
        """Compare the parts of a measured record, each well by itself, with each other."""
        if not names:
            raise ValueError("got no series of a case that was measured")


# ---- Kernels, calls and epochs ----------------------------------------------------------------


class Work(Struct):
    """Work that cannot be done without, see `bench.work`."""

    reads: Annotated[tuple[tuple[Count, Count], ...], Meta(min_length=1)]
    multiply_adds: dict[str, Count]


class CallSamples(Struct, forbid_unknown_fields=True):
    """Nanoseconds of a number of calls, a round each."""

    calls: Annotated[tuple[PositiveNs, ...], Meta(min_length=1)]


class KernelWork(Struct):
    """Work of one call."""

    calls: Work


class KernelFacts(Struct):
    """Calls in a sample, bytes and work of a call."""

    calls: Count
    bytes: NonNegative
    work: KernelWork | UnsetType = UNSET


class KernelSeries(Struct):
    """Samples of a kernel on one dtype."""

    contender: str
    samples_ns: CallSamples
    facts: KernelFacts


class KernelRecord(_Record, tag="kernel", kw_only=True):
    """A kernel on every dtype."""

    case: cases.KernelCase
    series: tuple[KernelSeries, ...] = ()
    facts: dict[str, Any] = {}


class CallFacts(Struct):
    """Calls in a sample, bytes of a call."""

    calls: Count
    bytes: NonNegative


class CallSeries(Struct):
    """Samples of the calls of one library."""

    contender: str
    samples_ns: CallSamples
    facts: CallFacts


class CallRecord(_Record, tag="call", kw_only=True):
    """A dot product as Python calls it, of ours and of other libraries."""

    case: cases.CallCase
    series: tuple[CallSeries, ...] = ()
    facts: dict[str, Any] = {}

    def _check(self, names: list[str]) -> None:
        if OURS not in names:
            raise ValueError(f"there is no contender {OURS}")


class EpochSamples(Struct, forbid_unknown_fields=True):
    """Nanoseconds of each epoch and of its parts; none of an epoch that diverged."""

    inner: tuple[PositiveNs, ...]
    full_gradient: tuple[PositiveNs, ...]
    epoch: tuple[PositiveNs, ...]


class EpochWork(Struct):
    """Work of an inner step, and of the full gradient for a row of data."""

    inner: Work
    full_gradient: Work


class EpochFacts(Struct):
    """Bytes of data that are read, and the gradient norms from the start on."""

    data_bytes: Count
    step_bytes: Count
    gradient_row_bytes: Count
    gradient_norms: Annotated[tuple[NonNegative, ...], Meta(min_length=1)]
    diverged: bool
    work: EpochWork | UnsetType = UNSET


class EpochSeries(Struct):
    """Epochs of one contender."""

    contender: str
    samples_ns: EpochSamples
    facts: EpochFacts


class EpochsShape(Struct, frozen=True):
    """Shape of the data, inner steps of an epoch; nothing where the case was not measured."""

    epoch_length: Count | UnsetType = UNSET
    n_samples: Count | UnsetType = UNSET
    n_features: Count | UnsetType = UNSET


class EpochsRecord(_Record, tag="epochs", kw_only=True):
    """Epochs of several contenders on one problem."""

    case: cases.EpochsCase
    series: tuple[EpochSeries, ...] = ()
    facts: EpochsShape = EpochsShape()

    def _check(self, names: list[str]) -> None:
        super()._check(names)
        _demand(self.facts)
        for series in self.series:
            samples = series.samples_ns
            lengths = [len(samples.inner), len(samples.full_gradient), len(samples.epoch)]
            _alike(series.contender, [*lengths, len(series.facts.gradient_norms) - 1])


# ---- Time to accuracy -------------------------------------------------------------------------


class OptimumFacts(Struct, frozen=True):
    """Loss and gradient norm of the reference solution; nothing where there is none."""

    source: str | UnsetType = UNSET
    loss: float | UnsetType = UNSET
    grad_norm: NonNegative | UnsetType = UNSET
    error_bound: NonNegative | UnsetType = UNSET


class OptimumRecord(_Record, tag="optimum", kw_only=True):
    """The reference solution of a problem."""

    case: cases.OptimumCase
    series: tuple[Any, ...] = ()
    facts: OptimumFacts = OptimumFacts()

    def _check(self, names: list[str]) -> None:
        _demand(self.facts)


class FitSamples(Struct, forbid_unknown_fields=True):
    """Nanoseconds on the clock, and of the processor."""

    fit: tuple[PositiveNs, ...]
    cpu: tuple[Ns, ...]


class FitFacts(Struct):
    """Loss and gradient norm that were reached, peak of memory, and why it failed."""

    loss: float | UnsetType | None = UNSET
    grad_norm: NonNegative | UnsetType | None = UNSET
    suboptimality: float | UnsetType | None = UNSET
    peak_bytes: NonNegative | UnsetType | None = UNSET
    failed: str | UnsetType = UNSET


class FitSeries(Struct):
    """Fits of one contender."""

    contender: str
    samples_ns: FitSamples
    facts: FitFacts


class FitsFacts(Struct, frozen=True):
    """Contenders that take no part, and why; nothing where no case was measured."""

    absent: dict[str, str] | UnsetType = UNSET


class FitsRecord(_Record, tag="fits", kw_only=True):
    """Fits of every contender at one tolerance."""

    case: cases.FitsCase
    series: tuple[FitSeries, ...] = ()
    facts: FitsFacts = FitsFacts()

    def _check(self, names: list[str]) -> None:
        _demand(self.facts)
        if not set(names) <= {name for name, _ in self.case.contenders}:
            raise ValueError("a contender is not one of the case")
        for series in self.series:
            _alike(series.contender, [len(series.samples_ns.fit), len(series.samples_ns.cpu)])


# ---- Experiments ------------------------------------------------------------------------------


class AnySeries(Struct):
    """Samples of a contender of an experiment, and what it computed."""

    contender: str
    samples_ns: dict[str, tuple[Ns, ...]]
    facts: dict[str, Any]


class _Experiment(_Record):
    """A record whose facts are drawn, not timed."""

    series: tuple[AnySeries, ...] = ()
    facts: dict[str, Any] = {}


class CurvesRecord(_Experiment, tag="curves", kw_only=True):
    """Contenders epoch by epoch: Figures 1 and 4."""

    case: cases.CurvesCase


class BitCenteringRecord(_Experiment, tag="bit-centering", kw_only=True):
    """A run in two dimensions: Figure 2."""

    case: cases.BitCenteringCase


class ConditioningRecord(_Experiment, tag="conditioning", kw_only=True):
    """Gradient norms at a condition number: Figure 5."""

    case: cases.ConditioningCase


class BitsRecord(_Experiment, tag="bits", kw_only=True):
    """Gradient norms at a number of bits."""

    case: cases.BitsCase


class TheoryRecord(_Experiment, tag="theory", kw_only=True):
    """Suboptimality beside the bounds of the theory."""

    case: cases.TheoryCase


class RivalRecord(_Experiment, tag="rival", kw_only=True):
    """A contender epoch by epoch, with the bits that it has moved."""

    case: cases.RivalCase


class FeedbackRecord(_Experiment, tag="feedback", kw_only=True):
    """Error of a gradient kept in integers."""

    case: cases.FeedbackCase


class NeededBitsRecord(_Experiment, tag="needed-bits", kw_only=True):
    """Bits needed, or floors beside bounds."""

    case: cases.NeededBitsCase


class GridPointRecord(_Experiment, tag="tune", kw_only=True):
    """Gradient norms at one point of a grid."""

    case: cases.GridPoint


class GridRecord(_Experiment, tag="tune-winner", kw_only=True):
    """The best point of a grid."""

    case: cases.Grid

    def _check(self, names: list[str]) -> None:
        """Nothing: the winner has no samples of its own."""


class TrainingRecord(_Experiment, tag="training", kw_only=True):
    """A run of deep learning; `deep.training.Training` says what its case holds."""

    case: dict[str, Any]


AnyRecord = (
    KernelRecord
    | CallRecord
    | EpochsRecord
    | OptimumRecord
    | FitsRecord
    | CurvesRecord
    | BitCenteringRecord
    | ConditioningRecord
    | BitsRecord
    | TheoryRecord
    | RivalRecord
    | FeedbackRecord
    | NeededBitsRecord
    | GridPointRecord
    | GridRecord
    | TrainingRecord
)
CASES: dict[str, type[cases.Case]] = {
    case.kind: case
    for case in (record.__annotations__["case"] for record in get_args(AnyRecord))
    if isinstance(case, type) and issubclass(case, cases.Case)
}

_decoder = msgspec.json.Decoder(AnyRecord)
_case_encoder = msgspec.json.Encoder(order="sorted")


def shaped(line: bytes) -> AnyRecord:
    """Read one line of JSON in the shape of its kind.

    Raises
    ------
    msgspec.ValidationError
        The message says what differs, and where.
    """
    record: AnyRecord = _decoder.decode(line)
    return record


def normal_case(kind: str, case: Any) -> bytes:
    """Return JSON that equal cases share: their fields, without those that have their defaults."""
    plain = msgspec.to_builtins(case)
    if kind in CASES:
        with suppress(msgspec.ValidationError):  # of no known shape: as it stands
            plain = _essential(msgspec.convert(plain, CASES[kind]))
    return _case_encoder.encode(plain)


def _essential(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_essential(item) for item in value]
    if not isinstance(value, Struct):
        return value
    names, defaults = value.__struct_fields__, value.__struct_defaults__
    usual = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    fields = {name: getattr(value, name) for name in names}
    return {
        name: _essential(field)
        for name, field in fields.items()
        if name not in usual or field != usual[name]
    }


def full_case(kind: str, case: Any) -> Any:
    """Return the fields of a case as JSON data, those with defaults included."""
    if kind in CASES:
        known = CASES[kind]
        case = case if isinstance(case, known) else msgspec.convert(case, known)
        return msgspec.json.decode(msgspec.json.encode(case))
    return msgspec.to_builtins(case)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a line of ``records.jsonl``."""
    schema = msgspec.json.schema(AnyRecord)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"halpbench record, schema {SCHEMA}",
        **schema,
    }
