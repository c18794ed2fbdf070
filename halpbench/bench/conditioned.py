"""Experiments in floating point and with few bits: Figure 2, Figure 5, and the sweep of bits."""

from __future__ import annotations

import math
import warnings

import numpy as np

from halpbench import simulate
from halpbench.bench.cases import BitCenteringCase, BitsCase, ConditioningCase, Setting
from halpbench.bench.curves import about
from halpbench.bench.loop import Measured
from halpbench.bench.records import Series
from halpbench.bench.references import least_squares_solution
from halpbench.fixedpoint import SaturationWarning, largest_integer
from halpbench.problems import LeastSquares
from halpbench.solvers import Solver

# The model's integers by bits; D8M8 and D16M16 are what the paper calls 8 and 16 bits.
PRECISION = {8: "D8M8", 16: "D16M16"}
LOW_PRECISION = ("lp-sgd", "lp-svrg", "halp")

# Constants of HALP whose scale follows the displacement, a line of its own in Figures 1, 4 and 5;
# the report knows the name too.
ADAPTIVE = "adaptive scale"

# Values of mu in Figure 5, as multiples of the constant of strong convexity: the first is what the
# theory asks for, the best of all is what a grid search finds.
MU_FACTORS = (1.0, 3.0, 10.0, 30.0, 100.0)


def bit_centering(case: BitCenteringCase) -> Measured:
    """Simulate; the compiled solvers have too many bits for a picture."""
    problem = conditioned_problem(case.condition, case.n_samples, 2, case.seed)
    mu = problem.strong_convexity()
    solution = simulate.solve(
        problem,
        "halp",
        simulate.FixedPoint(case.bits),
        step_size=0.5 / problem.smoothness(),
        epoch_length=case.epoch_length,
        epochs=case.epochs,
        mu=mu,
        seed=case.seed,
        keep_path=True,
    )
    path = [epoch.tolist() for epoch in solution.path]
    series = Series(
        f"HALP {case.bits} bits",
        {},
        {
            "algorithm": "halp",
            "path": path,
            "scale": solution.history["scale"].tolist()[1:],
            "grad_norm": solution.history["grad_norm"].tolist(),
        },
    )
    facts = {
        "highest": simulate.FixedPoint(case.bits).highest,
        "optimum": least_squares_solution(problem).tolist(),
        "hessian": (problem.X.T @ problem.X / problem.n_samples).tolist(),
        "mu": mu,
    }
    return [series], facts


def conditioning(case: ConditioningCase) -> Measured:
    """Run every algorithm; the gradients are those of the original data, in float64."""
    problem = conditioned_problem(case.condition, case.n_samples, case.n_features, case.seed)
    mu, largest = problem.strong_convexity(), problem.smoothness()
    reach = 1.25 * float(np.abs(least_squares_solution(problem)).max())
    contenders = [
        Setting("sgd", "D64fM64f", constants="paper"),
        Setting("svrg", "D64fM64f", constants="paper"),
    ]
    for bits, precision in PRECISION.items():
        # The finest fixed scale that reaches the solution: the best that could be chosen.
        delta = reach / largest_integer(bits)
        contenders += [
            Setting(a, precision, delta=delta, constants="paper") for a in ("lp-sgd", "lp-svrg")
        ]
        contenders += [
            Setting("halp", precision, mu=factor * mu, constants=f"mu x {factor:g}")
            for factor in MU_FACTORS
        ]
        contenders.append(Setting("halp", precision, mu="adaptive", constants=ADAPTIVE))
    series = []
    for contender in contenders:
        run = Solver(
            problem,
            contender.algorithm,
            contender.precision,
            "exact",
            seed=case.seed,
            **contender.keywords(0.25 / largest),
        )
        for _ in range(case.epochs):
            if run.epoch().diverged:
                break
        norm = float(np.linalg.norm(problem.gradient(run.w)))
        series.append(Series(contender.name, {}, {**about(contender), "grad_norm": norm}))
    start = float(np.linalg.norm(problem.gradient(np.zeros(case.n_features))))
    return series, {"mu": mu, "smoothness": largest, "grad_norm_start": start}


def bits(case: BitsCase) -> Measured:
    """Simulate on data that are not quantized: the model's bits are the only difference."""
    problem = conditioned_problem(case.condition, case.n_samples, case.n_features, case.seed)
    reach = 1.25 * float(np.abs(least_squares_solution(problem)).max())
    series = []
    for algorithm in LOW_PRECISION:
        for rounding in ("unbiased", "biased"):
            model = simulate.FixedPoint(case.bits, rounding=rounding)
            with warnings.catch_warnings():
                # With few bits it saturates at any mu, as the figure shows.
                warnings.simplefilter("ignore", SaturationWarning)
                solution = simulate.solve(
                    problem,
                    algorithm,
                    model,
                    step_size=0.25 / problem.smoothness(),
                    epochs=case.epochs,
                    mu=problem.strong_convexity(),
                    delta=reach / model.highest,
                    seed=case.seed,
                )
            facts = {
                "algorithm": algorithm,
                "rounding": rounding,
                "grad_norm": float(solution.history["grad_norm"].iloc[-1]),
            }
            series.append(Series(f"{algorithm.upper()}, {rounding}", {}, facts))
    start = float(np.linalg.norm(problem.gradient(np.zeros(case.n_features))))
    return series, {"grad_norm_start": start}


def conditioned_problem(
    condition: float, n_samples: int, n_features: int, seed: int
) -> LeastSquares:
    """Return least squares whose Hessian has a given condition number.

    X = sqrt(N) U S V^T with random orthonormal columns in U and V and geometrically spaced singular
    values, so that the eigenvalues of X^T X / N go from 1 / condition to 1.

    Raises
    ------
    ValueError
        If `condition` is less than 1.
    """
    if not 1 <= condition < math.inf:
        raise ValueError(
            f"condition number: got {condition}, expected a finite number of at least 1"
        )
    random = np.random.default_rng(seed)
    u = np.linalg.qr(random.standard_normal((n_samples, n_features)))[0]
    v = np.linalg.qr(random.standard_normal((n_features, n_features)))[0]
    singular = np.geomspace(condition**-0.5, 1, n_features)
    X = math.sqrt(n_samples) * (u * singular) @ v.T
    y = X @ random.standard_normal(n_features) + 0.1 * random.standard_normal(n_samples)
    return LeastSquares(np.ascontiguousarray(X), y)
