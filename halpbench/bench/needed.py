"""Bits that HALP needs, and floors of LP-SVRG beside their bounds, by condition and dimension."""

from __future__ import annotations

import numpy as np

from halpbench import theory
from halpbench.bench.cases import NeededBitsCase
from halpbench.bench.loop import Measured
from halpbench.bench.records import Series
from halpbench.problems import LeastSquares

CONTRACTION = 0.5
# Of the problems with many features: samples, and the power of its number by which a feature fades.
SAMPLES, FADING = 100, 1.5
EPOCHS = 8  # after which the recursion stands still


def measure(case: NeededBitsCase) -> Measured:
    """Tabulate; the smaller problems are predicted as well."""
    return _floors(case) if case.delta else _bits(case)


def _bits(case: NeededBitsCase) -> Measured:
    table = theory.bits_table(case.conditions, case.dimensions, CONTRACTION)
    facts = {str(name): column.tolist() for name, column in table.items()}
    return [Series("Theorem 2", {}, facts)], {"contraction": CONTRACTION}


def _floors(case: NeededBitsCase) -> Measured:
    rows: dict[str, list[float | None]] = {"d": [], "bound": [], "free": [], "predicted": []}
    for d in case.dimensions:
        problem = fading_problem(d, case.conditions[0])
        smoothness = problem.smoothness()
        length = theory.bound_epoch_length(CONTRACTION, case.conditions[0])
        noise = theory.lp_svrg_noise(CONTRACTION, d, case.delta, smoothness, length)
        free = theory.dimension_free_noise(
            case.delta, theory.l1_smoothness(problem), smoothness / case.conditions[0]
        )
        rows["d"].append(d)
        rows["bound"].append(noise / (1 - CONTRACTION))
        rows["free"].append(free / (1 - CONTRACTION))
        rows["predicted"].append(_floor(problem, case) if d <= case.predicted_up_to else None)
    return [Series("floors", {}, rows)], {"contraction": CONTRACTION}


def _floor(problem: LeastSquares, case: NeededBitsCase) -> float:
    """Return the expected suboptimality of LP-SVRG after many epochs, with option II."""
    length = theory.bound_epoch_length(CONTRACTION, case.conditions[0])
    predicted = theory.predict(
        problem,
        "lp-svrg",
        step_size=theory.bound_step_size(CONTRACTION, problem.smoothness()),
        epoch_length=length,
        epochs=EPOCHS,
        bits=16,
        delta=case.delta,
        option="II",
    )
    return float(predicted["suboptimality"].iloc[-1])


def fading_problem(d: int, condition: float) -> LeastSquares:
    """Return ridge regression with a given L / mu, of whose features the first matter most.

    Feature j is Gaussian with deviation j^-1.5, rows are scaled to norm 1, and the penalty alone
    is mu.
    """
    random = np.random.default_rng(0)
    X = random.standard_normal((SAMPLES, d)) * np.arange(1.0, d + 1) ** -FADING
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = X @ random.uniform(-1, 1, d) + 0.1 * random.standard_normal(SAMPLES)
    return LeastSquares(X, y, l2=1 / (condition - 1))
