"""The compiled solvers against the definition, in distribution.

Both run on the same quantized data with the same samples, and differ in how they round only. What
is compared is a geometric mean over seeds and epochs: the floor of LP-SVRG, and the factor by which
an epoch of HALP shrinks the squared gradient norm. They must agree within a quarter, either way.

Power: the standard error of a ratio is 3 to 8 %, so that a quarter is three of them or more. What
these changes of one side make of the ratio, seen with `simulate` on both sides:

    rounding variance x 4       6.4 (LP-SVRG, squares), 2.7 (HALP, coarse)
    scale x 2, x 0.5            3.6, 0.26 (LP-SVRG); 2.0, 0.70 (HALP, coarse)
    step x 3, x 0.5             6 to 3,000 (all); 0.42 (HALP, plane)
    bias of 0.1 unit            2.5 (LP-SVRG), 1.5 (HALP, coarse)
    margins one step old        1.4 (HALP, plane)
    l2 forgotten                5 (HALP, plane, l2 0.3)
    a sample of a batch dropped 1.6 (HALP, plane, B = 8)
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from halpbench import LeastSquares, SoftmaxRegression, simulate, solve
from halpbench.formats import FORMATS
from halpbench.simulate import FixedPoint

WITHIN = 1.25


def squares(l2, d=8):
    """Rows of norm one."""
    random = np.random.default_rng(0)
    X = random.standard_normal((64, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = X @ random.uniform(-0.5, 0.5, d) + 0.05 * random.standard_normal(64)
    return LeastSquares(X, y, l2)


def plane(l2):
    """Two dimensions: a step is a good part of the distance to the optimum."""
    return squares(l2, 2)


def softmax(l2):
    random = np.random.default_rng(1)
    X = random.standard_normal((90, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return SoftmaxRegression(X, np.arange(90) % 3, l2)


@dataclass(frozen=True)
class Case:
    problem: Any
    l2: float
    algorithm: str
    precision: str
    option: str
    batch: int
    seeds: int
    skip: int  # epochs before the first that counts
    options: dict = field(hash=False, default_factory=dict)

    def __str__(self):
        return (
            f"{self.problem.__name__}, l2 {self.l2}, {self.algorithm}, {self.precision}, "
            f"{self.option}, {self.batch}"
        )


def logarithm(case, history):
    """The logarithm of what a case is about. Its mean is not spoiled by a few runs far off."""
    logs = 2 * np.log(history["grad_norm"].to_numpy()[case.skip :])
    return logs.mean() if case.algorithm == "lp-svrg" else (logs[-1] - logs[0]) / (len(logs) - 1)


def options(case, seed):
    batch = {} if case.batch == 1 else {"batch_size": case.batch}
    return {"option": case.option, "seed": seed, **batch, **case.options}


def simulated(case, seed, **changes):
    model = FixedPoint(FORMATS[case.precision].model.bits)
    data = FixedPoint(FORMATS[case.precision].data.bits)
    problem = case.problem(case.l2)
    given = options(case, seed) | changes
    return simulate.solve(problem, case.algorithm, model, data, **given).history


def compiled(case, seed):
    problem = case.problem(case.l2)
    algorithm = case.algorithm.removeprefix("lm-")
    return solve(problem, algorithm, case.precision, "quantized", **options(case, seed)).history


def log_ratio(case, one, other):
    """Mean and standard error of one over the other, in pairs that share their samples."""
    pairs = [
        logarithm(case, one(case, seed)) - logarithm(case, other(case, seed))
        for seed in range(case.seeds)
    ]
    return np.mean(pairs), np.std(pairs, ddof=1) / math.sqrt(case.seeds)


FLOOR = {"step_size": 0.5, "epoch_length": 100, "epochs": 20, "delta": 2.0**-6}
CONTRACTION = {"step_size": 0.5, "epoch_length": 150, "epochs": 5}
COARSE = {8: 0.008, 16: 0.008 * 127 / 32767}  # mu: the rounding is what limits an epoch
BATCHED = {"step_size": 0.1, "epoch_length": 700}
PLANE = {"step_size": 0.5, "epoch_length": 60, "epochs": 6, "mu": 0.2}

CASES = [
    Case(squares, 0.0, "lp-svrg", "D8M8", "I", 1, 20, 5, FLOOR),
    Case(squares, 0.0, "lp-svrg", "D8M8", "II", 1, 20, 5, FLOOR),
    Case(softmax, 0.0, "lp-svrg", "D8M8", "I", 1, 20, 5, FLOOR),
    Case(squares, 0.0, "lp-svrg", "D8M16", "I", 1, 20, 5, FLOOR),
    Case(squares, 0.0, "lp-svrg", "D16M16", "I", 1, 20, 5, FLOOR),
    Case(squares, 0.0, "halp", "D8M8", "I", 1, 50, 1, CONTRACTION | {"mu": COARSE[8]}),
    Case(squares, 0.0, "halp", "D8M8", "II", 1, 50, 1, CONTRACTION | {"mu": COARSE[8]}),
    Case(squares, 0.0, "halp", "D8M16", "II", 1, 50, 1, CONTRACTION | {"mu": COARSE[16]}),
    Case(squares, 0.0, "halp", "D16M16", "I", 1, 50, 1, CONTRACTION | {"mu": COARSE[16]}),
    Case(softmax, 0.0, "halp", "D8M8", "I", 1, 20, 1, CONTRACTION | {"mu": 0.02}),
    Case(plane, 0.0, "halp", "D8M8", "I", 1, 40, 1, PLANE),
    Case(plane, 0.3, "halp", "D8M8", "I", 1, 40, 1, PLANE),
    Case(squares, 0.2, "lp-svrg", "D8M8", "I", 1, 20, 5, FLOOR),
    Case(squares, 0.2, "lp-svrg", "D16M16", "II", 1, 20, 5, FLOOR),
    Case(squares, 0.2, "halp", "D8M8", "I", 1, 50, 1, CONTRACTION | {"mu": COARSE[8]}),
    Case(softmax, 0.1, "halp", "D8M8", "I", 1, 20, 1, CONTRACTION | {"mu": 0.02}),
    Case(squares, 0.2, "lp-svrg", "D8M8", "I", 8, 20, 5, FLOOR | BATCHED),
    Case(squares, 0.2, "halp", "D8M8", "II", 8, 50, 1, CONTRACTION | BATCHED | {"mu": COARSE[8]}),
    Case(plane, 0.3, "halp", "D8M16", "I", 8, 40, 1, PLANE | BATCHED),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_solve_is_the_definition_in_distribution(case):
    ratio, error = log_ratio(case, compiled, simulated)
    assert error < 0.1, "too few seeds to tell"
    assert abs(ratio) < math.log(WITHIN)


# The compiled HALP is LM-HALP: its multipliers are integers of 15 bits times a power of two (D8M8).
LM_CASES = [
    Case(plane, 0.0, "lm-halp", "D8M8", "I", 1, 40, 1, PLANE),
    Case(plane, 0.3, "lm-halp", "D8M8", "II", 1, 60, 1, PLANE),
    Case(softmax, 0.0, "lm-halp", "D8M8", "I", 1, 20, 1, CONTRACTION | {"mu": 0.02}),
]


def rounded_to(bits):
    """LM-HALP at so many bits of the multipliers, in the place of a run."""
    return lambda case, seed: simulated(case, seed, multiplier_bits=bits)


@pytest.mark.parametrize("case", LM_CASES, ids=str)
def test_solve_is_lm_halp_in_distribution(case):
    ratio, error = log_ratio(case, compiled, rounded_to(15))
    assert error < 0.1, "too few seeds to tell"
    assert abs(ratio) < math.log(WITHIN)


def test_the_distribution_tells_coarse_multipliers():
    """Multipliers of 2 bits are seen, so that the test above can fail."""
    ratio, error = log_ratio(replace(LM_CASES[0], seeds=20), rounded_to(2), rounded_to(15))
    assert ratio - 2 * error > math.log(WITHIN)


@pytest.mark.parametrize("option", ["I", "II"])
@pytest.mark.parametrize("precision", ["D8M8", "D8M16", "D16M16"])
@pytest.mark.parametrize("problem", [squares, softmax])
def test_the_scale_is_the_gradient_norm_over_mu_times_the_largest_integer(
    problem, precision, option
):
    history = solve(
        problem(0.1), "halp", precision, option=option, mu=0.05, step_size=0.2, epochs=4
    ).history
    norms = history["grad_norm"].to_numpy()
    largest = 2 ** (FORMATS[precision].model.bits - 1) - 1
    np.testing.assert_allclose(history["scale"][1:], norms[:-1] / (0.05 * largest), rtol=1e-12)
