"""Runs at the edges of fixed point: strong penalties, tiny steps, any unit, coarse copies."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from halpbench import LeastSquares, SoftmaxRegression, simulate, solve
from halpbench.formats import FORMATS, INTEGER_FORMATS
from halpbench.solvers import Solver
from halpbench.solvers.paper import copies

INTEGERS = INTEGER_FORMATS


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("l2", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("precision", INTEGERS)
@pytest.mark.filterwarnings("ignore::halpbench.fixedpoint.SaturationWarning")  # at the last digits
def test_halp_converges_under_a_strong_penalty(precision, l2, batch_size):
    """The l2 term takes no range from the model: as fast as the definition, to the last digits."""
    r = np.random.default_rng(0)
    problem = LeastSquares(r.standard_normal((50, 6)), r.standard_normal(50), l2)
    options = {
        "step_size": problem.default_step_size() / batch_size,
        "mu": problem.strong_convexity(),
        "batch_size": batch_size,
        "epochs": 10,
    }
    bits = 8 if precision == "D8M8" else 16
    histories = [
        solve(problem, "halp", precision, **options).history,
        simulate.solve(problem, "halp", simulate.FixedPoint(bits), **options).history,
    ]
    ours, definition = (h.grad_norm.iloc[-1] / h.grad_norm.iloc[0] for h in histories)
    assert ours <= max(10 * definition, 1e-15)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 100.0, 1e6])
@pytest.mark.parametrize("algorithm", ["svrg", "halp", "lp-svrg", "sgd", "lp-sgd"])
def test_the_unit_of_the_data_costs_nothing(algorithm, factor):
    """Steps between two refreshments of the l2 term are counted within an epoch, in any unit."""
    X, y = load_breast_cancer(return_X_y=True)
    problem = SoftmaxRegression(X[:50] * factor, y[:50], 1e-4)
    result = solve(problem, algorithm, None, epochs=2)
    assert result.status == "finished"
    assert np.isfinite(result.w).all()


@pytest.mark.parametrize("precision", INTEGERS)
def test_the_tiniest_constant_steps_add_up(precision):
    """h of a 10,000th of a unit and less: rounded to nearest it would be zero for ever.

    200,000 steps on data that are zero but for one sample in a million (never drawn here) move the
    model by T h, give or take what single epochs scatter by: a rounding of h below a unit, and the
    rounding of each step, of variance h (1 - h) a step.
    """
    d, steps = 40, 200_000
    gradient = np.linspace(-1.0, 1.0, d)
    X = np.zeros((2, d))
    X[1] = gradient
    # f = (1/2) (0 + (x.w - y)^2 / 2): at zero the gradient is -y x / 2; sample 1 is never taken.
    problem = LeastSquares(X, np.array([0.0, -2.0]))
    moved = []
    for seed in range(8):
        solver = Solver(
            problem, "halp", precision, step_size=1e-6, mu=3.0, epoch_length=steps, seed=seed
        )
        solver._random = _FirstSample()
        first = solver.epoch()
        moved.append(solver.w / first.first_scale)
    h = 1e-6 * gradient / first.first_scale
    expected = -steps * h
    deviation = np.array(moved) - expected
    # Standard deviation of one run, for the rounding of the steps and of h.
    scatter = np.sqrt(steps * np.abs(h) * (1 - np.abs(h)) + 1)
    assert np.abs(expected).max() > 3
    assert (np.abs(deviation.mean(axis=0)) < 4 * scatter / np.sqrt(8)).all()
    spread = np.sqrt((deviation**2).mean(axis=0))
    assert (spread < 2.5 * scatter).all()


@pytest.mark.parametrize("precision", ["D8M16", "D16M16"])
@pytest.mark.filterwarnings("ignore::halpbench.fixedpoint.SaturationWarning")
def test_steps_below_a_unit_of_an_int16_model_are_as_noisy_as_the_definition(precision):
    """The gradients of the classes sum to zero; multipliers rounded coarsely would not, and only
    the penalty forgets what they add to all classes (1.7 to 1.9 times the squared norm)."""
    r = np.random.default_rng(5)
    X = r.standard_normal((90, 20))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    problem = SoftmaxRegression(X, np.arange(90) % 3, 0.3)
    data = simulate.FixedPoint(FORMATS[precision].data.bits)
    mu = 0.02 * 127 / 32767  # some 2.5 units are the whole displacement
    ratios = []
    for seed in range(20):
        options = {"step_size": 0.5, "epoch_length": 150, "epochs": 4, "seed": seed, "mu": mu}
        ours = solve(problem, "halp", precision, "quantized", **options)
        definition = simulate.solve(problem, "halp", simulate.FixedPoint(16), data, **options)
        ends = [result.history.grad_norm.iloc[-1] for result in (ours, definition)]
        ratios.append(2 * np.log(ends[0] / ends[1]))
    assert abs(np.mean(ratios)) < np.log(1.4)


class _FirstSample:
    """A generator that draws sample 0 always."""

    def integers(self, low, high=None, size=None):
        return np.zeros(size, np.int64) if size is not None else 1


@pytest.mark.parametrize("precision", INTEGERS)
def test_lp_svrg_has_no_bias_at_its_centre(precision):
    """On exact data: the first step follows the full gradient, whatever the copy of the rows is."""
    r = np.random.default_rng(1)
    X = r.standard_normal((6, 5))
    X[0, 0] = 300.0  # one large entry makes the copy coarse
    problem = SoftmaxRegression(X, np.arange(6) % 3, 0.05)
    w0 = np.round(r.standard_normal(problem.weight_shape) * 20) / 128
    options = {"step_size": 1e-3, "delta": 1 / 128, "epoch_length": 1, "w0": w0}
    options["rows"] = copies(problem.rows, FORMATS[precision], "exact", 8)
    ends = []
    for seed in range(4000):
        solver = Solver(problem, "lp-svrg", precision, "exact", seed=seed, **options)
        solver.epoch()
        ends.append(solver.w)
    moved = (np.mean(ends, axis=0) - w0) * 128
    expected = -1e-3 * 128 * problem.loss_and_gradient(w0)[1]
    fraction = np.abs(expected)
    assert (np.abs(moved - expected) < 4.5 * np.sqrt(fraction * (1 - fraction) / 4000)).all()
