"""Full gradients kept in integers: how far they are from those of float64, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from halpbench import simulate
from halpbench.bench.cases import FeedbackCase
from halpbench.bench.loading import Problems
from halpbench.bench.loop import Measured
from halpbench.bench.records import Series
from halpbench.bench.references import AnyProblem, FloatArray, reference_problem
from halpbench.solvers import Solver

# Both have a model of 16 bits.
PRECISION = {8: "D8M16", 16: "D16M16"}
ANEW = "error_without_feedback"


def measure(problems: Problems, case: FeedbackCase) -> Measured:
    """Run HALP; the exact gradients are those of the same quantized data in float64."""
    problem, facts = problems.load(case.problem)
    quantized = reference_problem(problem.reduced(problem.X.astype(np.float64)), case.data_bits)
    options: dict[str, Any] = {
        "step_size": case.problem.step_size,
        "epoch_length": round(case.problem.steps_per_sample * problem.n_samples),
        "seed": case.seed,
    }
    if case.bits is None:
        name = f"HALP {PRECISION[case.data_bits]}"
        curves = _compiled(case, problem, quantized, options)
    else:
        name = f"{case.bits} bits"
        curves = _simulated(case, quantized, options)
    facts |= {"n_samples": problem.n_samples, "n_features": problem.n_features}
    return [Series(name, {}, curves)], dict(facts)


def _compiled(
    case: FeedbackCase, problem: AnyProblem, quantized: AnyProblem, options: dict[str, Any]
) -> dict[str, list[float]]:
    run = Solver(problem, "halp", PRECISION[case.data_bits], "quantized", **options)
    random = np.random.default_rng([case.seed, 3])
    curves: dict[str, list[float]] = {"gradient_error": [], "grad_norm": [], ANEW: []}
    for _ in range(case.epochs):
        exact = quantized.gradient(run.w)
        norm = float(np.linalg.norm(exact))
        curves["gradient_error"].append(float(np.linalg.norm(run.gradient() - exact)) / norm)
        curves["grad_norm"].append(norm)
        curves[ANEW].append(_error_without_feedback(quantized, run.w, random) / norm)
        run.epoch()
    return curves


def _error_without_feedback(
    quantized: AnyProblem, w: FloatArray, random: np.random.Generator
) -> float:
    """Return the error of a gradient whose derivatives are rounded as they are, to 16 bits."""
    derivative = quantized.margin_derivative(quantized.margins(w))
    number = simulate.FixedPoint(16)
    unit = float(np.abs(derivative).max()) / number.highest
    error = unit * number.quantize(derivative, unit, random) - derivative
    return float(np.linalg.norm(error.T @ quantized.X)) / quantized.n_samples


def _simulated(
    case: FeedbackCase, quantized: AnyProblem, options: dict[str, Any]
) -> dict[str, list[float]]:
    history = simulate.solve(
        quantized,
        "halp",
        simulate.FixedPoint(16),
        gradient_bits=case.bits,
        epochs=case.epochs,
        **options,
    ).history
    # Of the centre at which an epoch begins.
    return {
        "gradient_error": history["gradient_error"].tolist()[1:],
        "grad_norm": history["grad_norm"].tolist()[:-1],
    }
