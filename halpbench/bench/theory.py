"""Many runs of LP-SVRG and HALP next to the bounds that docs/theory.md derives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from halpbench import simulate, theory
from halpbench.bench.cases import TheoryCase
from halpbench.bench.loop import Measured
from halpbench.bench.records import Series
from halpbench.bench.references import (
    AnyProblem,
    FloatArray,
    minimizer,
    reference_problem,
    suboptimality,
)
from halpbench.formats import FORMATS
from halpbench.problems import LeastSquares, SoftmaxRegression
from halpbench.solvers import Solver


def measure(case: TheoryCase) -> Measured:
    """Run all seeds with option II; the bounds go into the facts."""
    problem = theory_problem(case.problem)
    solved = problem
    if case.precision is not None:
        solved = reference_problem(problem, FORMATS[case.precision].data.bits)
    mu, smoothness = solved.strong_convexity(), solved.smoothness()
    length = theory.bound_epoch_length(case.gamma, smoothness / mu)
    options: dict[str, Any] = {
        "step_size": theory.bound_step_size(case.gamma, smoothness),
        "epoch_length": length,
        "option": "II",
    }
    options |= {"delta": case.delta} if case.delta else {"mu": mu}
    optimum = minimizer(solved)
    gaps = []
    for seed in range(case.runs):
        if case.precision is None:
            iterates = _simulated(case, problem, seed, options)
        else:
            run = Solver(problem, case.algorithm, case.precision, "quantized", seed=seed, **options)
            iterates = [run.w]
            for _ in range(case.epochs):
                run.epoch()
                iterates.append(run.w)
        gaps.append([suboptimality(solved, w, optimum) for w in iterates])
    d = math.prod(solved.weight_shape)
    facts: dict[str, Any] = {
        "mu": mu,
        "smoothness": smoothness,
        "dimension": d,
        "epoch_length": length,
        "optimum_max": float(np.abs(optimum).max()),
    }
    if case.delta:
        noise = theory.lp_svrg_noise(case.gamma, d, case.delta, smoothness, length)
        facts["noise"] = noise
        facts["bound"] = [
            theory.lp_svrg_bound(case.gamma, noise, gaps[0][0], k) for k in range(case.epochs + 1)
        ]
    else:
        facts["contraction_bound"] = theory.halp_contraction(
            case.gamma, d, smoothness / mu, case.bits, length
        )
    name = f"{case.algorithm.upper()} {case.precision or case.bits}"
    return [Series(name, {}, {"algorithm": case.algorithm, "gaps": gaps})], facts


def _simulated(
    case: TheoryCase, problem: AnyProblem, seed: int, options: dict[str, Any]
) -> list[FloatArray]:
    solution = simulate.solve(
        problem,
        case.algorithm,
        simulate.FixedPoint(case.bits),
        epochs=case.epochs,
        seed=seed,
        keep_path=True,
        **options,
    )
    return [solution.path[0][0], *(path[-1] for path in solution.path)]


def theory_problem(name: str) -> AnyProblem:
    """Return a small strongly convex problem; rows of norm 1 keep L / mu low.

    Raises
    ------
    ValueError
        If the name is neither "quadratic" nor "logistic".
    """
    random = np.random.default_rng(0)
    X = random.standard_normal((400, 5))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    if name == "quadratic":
        return LeastSquares(X, X @ random.uniform(-1, 1, 5) + 0.1 * random.standard_normal(400))
    if name == "logistic":
        scores = X @ random.standard_normal((5, 3)) + 0.3 * random.standard_normal((400, 3))
        return SoftmaxRegression(X, scores.argmax(axis=1), l2=0.1)
    raise ValueError(f"got problem {name!r}; expected quadratic or logistic")
