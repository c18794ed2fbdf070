"""Cases: measurements as data, identified by the fields of a case and nothing else.

A `Plan` says how long to measure; the report knows where a record is shown. A case is
identified without the fields that have their defaults, so that a field added later with a default
leaves the identity of older records as it is. A default must therefore never change.
"""

from typing import Any, ClassVar, Literal

import msgspec
import numpy as np

from halpbench.formats import FORMATS
from halpbench.kernels import FAMILIES

DTYPES = ("f64", "f32", "i16", "i8i16", "i8")

# Bytes of an element of the data x, of the model w, and of the constant h of an update.
ELEMENT_BYTES = {
    dtype: tuple(np.dtype(kind).itemsize for kind in kinds) for dtype, kinds in FAMILIES.items()
}

# The dtype of kernels, by the precision's name.
DTYPE_OF = {name: row.family for name, row in FORMATS.items()}

Pairs = tuple[tuple[str, float], ...]

# In the name of a problem on data of the user's own, see `own.DataFile`; not in those of others.
OWN_SIGN = "@"


class Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields that identify a case or a part of one; those that have their defaults do not."""


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Duration and suite of a measurement: no part of its identity.

    Attributes
    ----------
    suite : str
        "full" or "smoke".
    at_least, at_most : int
        Bounds on the number of rounds.
    budget_seconds : float or None
        Time that the rounds may take once `at_least` of them are done; for fits, time of all fits
        of a contender on a problem, repetitions not counted. None is without limit.
    epochs_per_turn : int
        Epochs that a contender runs before the next has its turn: more than one where an epoch is
        so short that refilling the caches would show.
    grad_norms, suboptimalities : tuple of float
        A contender whose fit has reached the last of both is not fitted again.
    """

    suite: str = "full"
    at_least: int = 1
    at_most: int = 1
    budget_seconds: float | None = None
    epochs_per_turn: int = 1
    grad_norms: tuple[float, ...] = ()
    suboptimalities: tuple[float, ...] = ()

    @property
    def limit_seconds(self) -> float:
        """Budget as a number; infinity without limit."""
        return float("inf") if self.budget_seconds is None else self.budget_seconds


class Planned(msgspec.Struct, frozen=True):
    """A case, and how long to measure it."""

    case: "Case"
    plan: Plan


class Case(Fields, frozen=True):
    """Measurement of any kind. Equal fields mean the same measurement."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        raise NotImplementedError


# ---- Kernels and calls ------------------------------------------------------------------------


class KernelCase(Case, frozen=True):
    """One kernel on vectors of one length and one backend; the dtypes are the contenders.

    Attributes
    ----------
    op : str
        "dot", "axpy", "gemv", "ger", or "read" (memory bandwidth; `n` is in bytes).
    n : int
        Elements of each vector.
    backend : str
    dtypes : tuple of str
    classes : int
        Rows of the model, for gemv and ger.
    beside : str
        Another op, whose int8 kernel takes turns with these; none if empty.
    """

    op: str
    n: int
    backend: str
    dtypes: tuple[str, ...]
    classes: int = 1
    beside: str = ""

    kind: ClassVar[str] = "kernel"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        unit = "bytes" if self.op == "read" else "elements"
        times = f" x {self.classes}" if self.classes > 1 else ""
        return f"{self.op}, {self.n:,}{times} {unit}, {self.backend}"


class CallCase(Case, frozen=True):
    """A dot product as Python calls it, checks of the arguments included, and those of libraries.

    Attributes
    ----------
    n : int
        Elements of each vector.
    backend : str
    dtype : str
        "i8", "f32" or "f64".
    libraries : tuple of str
        Other libraries' names, with the version of each that is installed, see `dots.libraries`.
    """

    n: int
    backend: str
    dtype: str
    libraries: tuple[str, ...] = ()

    kind: ClassVar[str] = "call"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"call of dot {self.dtype}, {self.n:,} elements, {self.backend}"


# ---- Algorithms on problems -------------------------------------------------------------------


class Setting(Fields, frozen=True):
    """An algorithm at a precision, with its constants.

    Attributes
    ----------
    algorithm, precision : str
    step_size : float or None
        None for that of the problem.
    mu : float, "adaptive" or None
        HALP's: a number, or a scale that follows the displacement seen.
    delta : float or None
        The fixed scale of LP-SGD and LP-SVRG.
    batch_size : int or "auto"
        Samples of a step.
    constants : str
        Their origin ("paper", "tuned"); empty if one name is enough.
    """

    algorithm: str
    precision: str
    step_size: float | None = None
    mu: float | Literal["adaptive"] | None = None
    delta: float | None = None
    batch_size: int | Literal["auto"] = 1
    constants: str = ""

    @property
    def name(self) -> str:
        """Name in records and tables, such as "HALP D8M8" or "HALP D8M8, paper"."""
        batch = "" if self.batch_size == 1 else f", batch {self.batch_size}"
        source = f", {self.constants}" if self.constants else ""
        return f"{self.plain}{batch}{source}"

    @property
    def plain(self) -> str:
        """Algorithm and precision, such as "HALP D8M8"."""
        return f"{self.algorithm.upper()} {self.precision}"

    def keywords(self, step_size: float) -> dict[str, Any]:
        """Return keywords of `halpbench.solvers.Solver`; the step size is that of the problem."""
        given: dict[str, Any] = {"mu": self.mu, "delta": self.delta}
        given = {name: value for name, value in given.items() if value not in (None, "adaptive")}
        if self.batch_size != 1:
            given["batch_size"] = self.batch_size
        return {"step_size": step_size if self.step_size is None else self.step_size, **given}


class ProblemSpec(Fields, frozen=True):
    """A data set and the loss that is minimised on it.

    Attributes
    ----------
    name : str
    dataset : str
        Name that `halpbench.load` knows.
    model : str
        "least-squares" or "softmax".
    n_samples, n_features, n_classes : int
        Expected shape, to tell beforehand whether it fits in memory; of more samples than
        `n_samples`, as many are chosen at random.
    options : tuple of pairs
        Keywords of `halpbench.load`.
    l2, step_size : float
    steps_per_sample : float
        Epoch length as a multiple of the number of samples.
    """

    name: str
    dataset: str
    model: str
    n_samples: int
    n_features: int
    step_size: float
    n_classes: int = 1
    options: tuple[tuple[str, int | str], ...] = ()
    l2: float = 0.0
    steps_per_sample: float = 2.0


class EpochsCase(Case, frozen=True):
    """Epochs of several contenders on one problem, in turns.

    Attributes
    ----------
    problem : ProblemSpec
    data : str
        "quantized" or "exact", as `halpbench.solve` takes it.
    backend : str
    contenders : tuple of Setting
    seed : int
        Of the index sequence, the same for all contenders.
    """

    problem: ProblemSpec
    data: str
    backend: str
    contenders: tuple[Setting, ...]
    seed: int = 0

    kind: ClassVar[str] = "epochs"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"{self.problem.name}, {self.data} data, {self.backend}"


# ---- Time to accuracy -------------------------------------------------------------------------


class Classification(Fields, frozen=True):
    """Logistic regression on a data set: softmax for more than two classes; no intercept.

    Attributes
    ----------
    name : str
    n_samples, n_features, n_classes : int
    l2 : float
    """

    name: str
    n_samples: int
    n_features: int
    n_classes: int
    l2: float = 1e-4


class OptimumCase(Case, frozen=True):
    """The reference solution of a problem."""

    problem: Classification

    kind: ClassVar[str] = "optimum"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"{self.problem.name}, reference solution"


class FitsCase(Case, frozen=True):
    """Fits of every contender at one tolerance, in turns.

    Attributes
    ----------
    problem : Classification
    tol : float
        As each contender understands it.
    contenders : tuple of pairs
        Name and library of each, the absent ones included.
    """

    problem: Classification
    tol: float
    contenders: tuple[tuple[str, str], ...]

    kind: ClassVar[str] = "fits"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"{self.problem.name}, tolerance {self.tol:.0e}"


# ---- The paper's experiments ------------------------------------------------------------------


class CurvesCase(Case, frozen=True):
    """Contenders on one problem, epoch by epoch: Figures 1 and 4.

    Attributes
    ----------
    problem : ProblemSpec
    data : str
        "quantized" or "exact", as `halpbench.solve` takes it.
    bits : int
        Of quantized data.
    contenders : tuple of Setting
    epochs : int
    seed : int
        Of samples and rounding, the same for all contenders.
    """

    problem: ProblemSpec
    data: str
    bits: int
    contenders: tuple[Setting, ...]
    epochs: int
    seed: int = 0

    kind: ClassVar[str] = "curves"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"{self.problem.name}, {self.data} data, {self.bits} bits"


class BitCenteringCase(Case, frozen=True):
    """A run of HALP in two dimensions with few bits, every iterate kept: Figure 2.

    Attributes
    ----------
    bits : int
        So few that a grid of all representable models can be drawn.
    """

    bits: int = 4
    n_samples: int = 40
    condition: float = 2.0
    epoch_length: int = 60
    epochs: int = 4
    seed: int = 1

    kind: ClassVar[str] = "bit-centering"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"bit centering, {self.bits} bits in 2 dimensions"


class ConditioningCase(Case, frozen=True):
    """The gradient norm after some epochs on a problem of a given condition number: Figure 5.

    Attributes
    ----------
    condition : float
        Largest over smallest eigenvalue of the Hessian, at least 1.
    """

    condition: float
    seed: int
    n_samples: int = 1_000
    n_features: int = 50
    epochs: int = 50

    kind: ClassVar[str] = "conditioning"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"condition number {self.condition:,.0f}, seed {self.seed}"


class BitsCase(Case, frozen=True):
    """The gradient norm after some epochs at a number of bits, simulated.

    Attributes
    ----------
    bits : int
        2 to 24.
    """

    bits: int
    seed: int
    n_samples: int = 200
    n_features: int = 20
    condition: float = 10.0
    epochs: int = 25

    kind: ClassVar[str] = "bits"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"{self.bits} bits, simulated, seed {self.seed}"


class TheoryCase(Case, frozen=True):
    """Suboptimality of many runs of LP-SVRG or HALP, next to the bounds of docs/theory.md.

    Attributes
    ----------
    problem : str
        "quadratic" or "logistic".
    algorithm : str
        "lp-svrg" or "halp".
    precision : str or None
        Of the compiled solver, which runs on the quantized problem; None for a simulation on the
        original one.
    bits : int
        Of the model.
    delta : float
        LP-SVRG: the fixed scale; 0 for HALP.
    gamma : float
        The contraction that the theory promises for exact arithmetic; it sets step size and epoch
        length.
    runs : int
        Seeds 0, 1, ...
    """

    problem: str
    algorithm: str
    precision: str | None
    bits: int
    delta: float = 0.0
    gamma: float = 0.5
    epochs: int = 10
    runs: int = 100

    kind: ClassVar[str] = "theory"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        by = self.precision or f"{self.bits} bits, simulated"
        scale = f", delta {self.delta:g}" if self.delta else ""
        return f"theory, {self.problem}, {self.algorithm.upper()} {by}{scale}"


class RivalCase(Case, frozen=True):
    """A rival of HALP, or an algorithm of the paper in another number format, simulated.

    Attributes
    ----------
    problem : ProblemSpec
        Its data are rounded to 8 bits.
    algorithm : str
        One of `simulate.ALGORITHMS` or `rivals.ALGORITHMS`.
    number_format : str
        Of the model: "float32", which is not rounded, "int8", "int4", or one of
        `numberformats.NUMBER_FORMATS`.
    step_size : float
    delta : float
        The fixed scale of a model that needs one; 0 for none.
    epochs, batch_size : int
    seed : int
        Of samples and rounding, the same for all contenders.
    """

    problem: ProblemSpec
    algorithm: str
    number_format: str
    step_size: float
    epochs: int
    batch_size: int = 1
    delta: float = 0.0
    seed: int = 0

    kind: ClassVar[str] = "rival"

    @property
    def contender(self) -> str:
        """Algorithm and format, such as "LP-SGD nvfp4"."""
        return f"{self.algorithm.upper()} {self.number_format}"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"rivals, {self.problem.name}, {self.contender}"


class FeedbackCase(Case, frozen=True):
    """Error of the full gradient that HALP keeps in integers, epoch by epoch.

    Attributes
    ----------
    problem : ProblemSpec
    data_bits : int
        Of the quantized data, 8 or 16.
    bits : int or None
        Of the changes that are added to the gradient, simulated; None for the compiled solver,
        whose data decide.
    epochs : int
    seed : int
        Of samples and rounding.
    """

    problem: ProblemSpec
    data_bits: int
    bits: int | None
    epochs: int
    seed: int = 0

    kind: ClassVar[str] = "feedback"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        by = "compiled" if self.bits is None else f"{self.bits} bits, simulated"
        return f"kept gradient, {self.data_bits}-bit data, {by}, seed {self.seed}"


class NeededBitsCase(Case, frozen=True):
    """Bits that Theorem 2 asks for, or floors of LP-SVRG beside their bounds: nothing is timed.

    Attributes
    ----------
    dimensions : tuple of int
    conditions : tuple of float
        Condition numbers; one for floors.
    delta : float
        The fixed scale of LP-SVRG; 0 for bits.
    predicted_up_to : int
        Dimension up to which `halpbench.theory.predict` is affordable.
    """

    dimensions: tuple[int, ...]
    conditions: tuple[float, ...]
    delta: float = 0.0
    predicted_up_to: int = 64

    kind: ClassVar[str] = "needed-bits"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return "floors by dimension" if self.delta else "bits needed"


# ---- Grid search ------------------------------------------------------------------------------


class GridPoint(Case, frozen=True):
    """One point of a grid of constants.

    Attributes
    ----------
    problem : ProblemSpec
    algorithm, precision, data : str
        As `halpbench.solve` takes them.
    options : tuple of pairs
        Keywords of `halpbench.solve`: the point.
    epochs : int
    seeds : int
        Seeds 0, 1, ...; the score is the median of their gradient norms.
    """

    problem: ProblemSpec
    algorithm: str
    precision: str
    data: str
    options: Pairs
    epochs: int
    seeds: int

    kind: ClassVar[str] = "tune"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        values = ", ".join(f"{name} {value:.3g}" for name, value in self.options)
        return f"{self.problem.name}, {self.algorithm} {self.precision}, {values}"


class Grid(Case, frozen=True):
    """All points of a search, of which one is the best.

    Attributes
    ----------
    grid : tuple of tuple of pairs
        The options of each `GridPoint`; the other fields are those of all of them.
    """

    problem: ProblemSpec
    algorithm: str
    precision: str
    data: str
    epochs: int
    seeds: int
    grid: tuple[Pairs, ...]

    kind: ClassVar[str] = "tune-winner"

    @property
    def name(self) -> str:
        """Name shown in progress output."""
        return f"{self.problem.name}, {self.algorithm} {self.precision}, {len(self.grid)} points"
