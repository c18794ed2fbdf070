"""HALP beside its rivals, by epochs and by the bits that they move (docs/rivals.md)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from halpbench import rivals, simulate
from halpbench.bench import clock, suites
from halpbench.bench.cases import ProblemSpec, RivalCase
from halpbench.bench.curves import load
from halpbench.bench.loading import Problems
from halpbench.bench.loop import Measured
from halpbench.bench.records import Series
from halpbench.bench.references import AnyProblem, reference_problem
from halpbench.numberformats import NUMBER_FORMATS, STATE_BLOCK
from halpbench.simulate import FixedPoint, Model

# Bits of the data, to which all of them are rounded before anyone begins.
DATA_BITS = 8
FLOAT_BITS = 32
# SWALP: the steps from one average to the next, each of which reads and writes it in 32 bits.
CYCLE = 10

MODELS: dict[str, Model] = {"int8": FixedPoint(8), "int4": FixedPoint(4), **NUMBER_FORMATS}
FORMATS = ("int8", "bf16", "e4m3", "e5m2", "mxfp4", "mxfp4-up", "nvfp4")
FULL = "float32"

# Algorithms with a full gradient in each step, at a centre that moves once an epoch.
REDUCED = ("svrg", "l-svrg", "lp-svrg", "halp")
# Algorithms whose model is a displacement, with a scale that follows it.
CENTERED = ("halp", "bc-sgd")

# Algorithms that take part, and the formats of their models. Bit centering at 4 bits has fixed
# point beside the blocks.
CONTENDERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("sgd", "svrg", "saga", "l-svrg", "adam", "adam-8bit"), (FULL,)),
    "lp-sgd": FORMATS,
    "lp-svrg": FORMATS,
    "swalp": ("int8",),
    "bc-sgd": ("int8",),
    "halp": (*FORMATS, "int4"),
}
SMOKE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("svrg", "saga", "adam-8bit"), (FULL,)),
    **dict.fromkeys(("lp-sgd", "swalp"), ("int8",)),
    "halp": ("int8", "nvfp4"),
}


@dataclass(frozen=True)
class _Field:
    """A problem of the figure: its constants for all contenders.

    Attributes
    ----------
    spec : ProblemSpec
    epochs, batch_size : int
    reach : float
        The largest number that a fixed scale represents: that of 8 bits in Figure 1 (delta 0.7)
        and Figure 4 (`halpbench tune`).
    steps : dict
        Step sizes by algorithm, or algorithm and format: the best of the grids of docs/rivals.md.
    """

    spec: ProblemSpec
    epochs: int
    batch_size: int
    reach: float
    steps: dict[str | tuple[str, str], float]

    def case(self, algorithm: str, number_format: str, epochs: int | None = None) -> RivalCase:
        """Return what one contender does here."""
        step = self.steps.get((algorithm, number_format), self.steps[algorithm])
        model = MODELS.get(number_format)
        delta = 0.0
        if model is not None and model.needs_scale and algorithm not in CENTERED:
            delta = self.reach / model.highest
        return RivalCase(
            self.spec,
            algorithm,
            number_format,
            step,
            self.epochs if epochs is None else epochs,
            self.batch_size,
            delta,
        )


FIELDS = (
    _Field(
        suites.FIGURE_1,
        epochs=16,
        batch_size=1,
        reach=0.7 * 127,
        steps={
            **dict.fromkeys(("sgd", "lp-sgd", "swalp", "bc-sgd"), 3e-4),
            **dict.fromkeys(("svrg", "saga", "l-svrg", "lp-svrg", "halp"), 1.25e-3),
            **dict.fromkeys(("adam", "adam-8bit"), 0.0125),
        },
    ),
    # The digits that are to be had offline: 4,000 of them, and 1,000 to test.
    _Field(
        suites.FALLBACKS["mnist"],
        epochs=8,
        batch_size=16,
        reach=4e-3 * 127,
        steps={
            **dict.fromkeys(("sgd", "lp-sgd", "swalp", "bc-sgd"), 1e-3),
            **dict.fromkeys(("svrg", "saga", "l-svrg", "lp-svrg", "halp"), 0.02),
            **dict.fromkeys(("adam", "adam-8bit"), 5e-4),
        },
    ),
)


def cases(smoke: bool = False) -> Iterable[RivalCase]:
    """List the contenders on both problems, or some of them for two epochs on the first."""
    # To read the digits takes longer than all of these epochs.
    for field in FIELDS[:1] if smoke else FIELDS:
        for algorithm, formats in (SMOKE if smoke else CONTENDERS).items():
            for number_format in formats:
                yield field.case(algorithm, number_format, 2 if smoke else None)


def measure(problems: Problems, case: RivalCase) -> Measured:
    """Simulate one contender; its facts have a number for the start and for every epoch."""
    problem, test, facts = _rounded_problem(case.problem)
    with clock.one_thread():
        run = _run(problem, case)
        history: dict[str, Any] = {
            "loss": run.history["loss"].tolist(),
            "grad_norm": run.history["grad_norm"].tolist(),
            "bits": bits_moved(problem, case, _full_gradients(case, run)),
        }
        if test is not None:
            X, y = test
            errors = [float((problem.predict(w, X) != y).mean()) for w in run.solutions]
            # Of a run that diverged there is none.
            history["test_error"] = errors + [math.nan] * (len(run.history) - len(errors))
    about = {"algorithm": case.algorithm, "number_format": case.number_format}
    shape = {"n_samples": problem.n_samples, "n_features": problem.n_features}
    return [Series(case.contender, {}, {**about, **history})], {**facts, **shape}


def tried(case: RivalCase, step_sizes: Sequence[float]) -> dict[float, float]:
    """Return the gradient norm after the last epoch with each step size; infinity: diverged."""
    problem, _, _ = _rounded_problem(case.problem)
    with clock.one_thread():
        return {
            a: float(_run(problem, replace(case, step_size=a)).history["grad_norm"].iloc[-1])
            for a in step_sizes
        }


@lru_cache(maxsize=1)
def _rounded_problem(spec: ProblemSpec) -> tuple[AnyProblem, Any, dict[str, Any]]:
    """Return a problem on data rounded to 8 bits, its test set, and where they came from."""
    problem, test, facts = load(spec, Problems())
    return reference_problem(problem, DATA_BITS), test, facts


def _run(problem: AnyProblem, case: RivalCase) -> simulate.Simulation:
    model = MODELS.get(case.number_format)
    options: dict[str, Any] = {
        "step_size": case.step_size,
        "epoch_length": _epoch_length(problem, case),
        "epochs": case.epochs,
        "batch_size": case.batch_size,
        "seed": case.seed,
    }
    if case.delta:
        options["delta"] = case.delta
    if case.algorithm in rivals.ALGORITHMS:
        return rivals.solve(problem, case.algorithm, model, cycle=CYCLE, **options)
    return simulate.solve(problem, case.algorithm, model, **options)


def _epoch_length(problem: AnyProblem, case: RivalCase) -> int:
    return round(case.problem.steps_per_sample * problem.n_samples)


def _full_gradients(case: RivalCase, run: simulate.Simulation) -> list[int]:
    """Return the passes over all data until the start and until the end of each epoch."""
    if "full_gradients" in run.history:
        return [int(passes) for passes in run.history["full_gradients"]]
    # Bit centering alone asks for the gradient, too: its scale begins with the largest entry.
    once_an_epoch = case.algorithm in (*REDUCED, *CENTERED)
    return [int(epoch) if once_an_epoch else 0 for epoch in run.history["epoch"]]


def bits_moved(problem: AnyProblem, case: RivalCase, full_gradients: Sequence[int]) -> list[float]:
    """Return the bits that are read and written until the start and until the end of each epoch.

    Parameters
    ----------
    problem : LeastSquares or SoftmaxRegression
    case : RivalCase
    full_gradients : sequence of int
        The passes over all data by then.

    Returns
    -------
    list of float
        As docs/rivals.md counts them.
    """
    n = math.prod(problem.weight_shape)
    margins = FLOAT_BITS * problem.n_outputs
    model = MODELS.get(case.number_format)
    width = FLOAT_BITS if model is None else model.bits
    # The compiled kernels keep the constant part of a step in twice the bits of the model.
    gradient = min(FLOAT_BITS, max(16, 2 * math.ceil(width)))
    row = problem.n_features * (FLOAT_BITS if model is None else DATA_BITS)
    step = 2 * width * n + n * _state_bits(case.algorithm, gradient)
    sample = row + margins * _margins_moved(case.algorithm)
    full = problem.n_samples * (row + margins) + n * (2 * FLOAT_BITS + gradient)
    length = _epoch_length(problem, case)
    epoch = length * sample + math.ceil(length / case.batch_size) * step
    return [full * passes + epoch * number for number, passes in enumerate(full_gradients)]


def _state_bits(algorithm: str, gradient: int) -> float:
    """Return the bits of state that a step reads and writes for each weight."""
    if algorithm in REDUCED:
        return gradient
    return {
        "saga": 2 * FLOAT_BITS,
        "swalp": 2 * FLOAT_BITS / CYCLE,
        "adam": 4 * FLOAT_BITS,
        "adam-8bit": 4 * (8 + FLOAT_BITS / STATE_BLOCK),
    }.get(algorithm, 0)


def _margins_moved(algorithm: str) -> int:
    """Return how often a sample's margins, or derivatives, of another point are moved."""
    return 2 if algorithm == "saga" else int(algorithm in (*REDUCED, *CENTERED))
