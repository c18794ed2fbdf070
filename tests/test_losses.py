"""The losses in Python: against their definitions, and against the compiled ones."""

import numpy as np
import pytest
import reference

from halpbench.losses import LOSSES
from halpbench.objective import Objective
from halpbench.rows import Rows
from halpbench.solvers._loops import InnerLoop
from halpbench.solvers.full_gradient import CompiledEngine

OUTPUTS = {name: loss.outputs for name, loss in reference.LOSSES.items()}
STEP = 1e-6  # of differences, whose error is about its square

every_loss = pytest.mark.parametrize("name", LOSSES)


def margins_and_targets(name, n=50):
    random = np.random.default_rng(1)
    margins = 3 * random.standard_normal((n, OUTPUTS[name]))
    if not LOSSES[name].takes_labels:
        return margins, random.standard_normal(margins.shape)
    return margins, random.integers(max(OUTPUTS[name], 2), size=n)


def derivative(name, margins, y):
    return LOSSES[name].value_and_derivative(margins.copy(), y)[1]


@every_loss
def test_values_follow_the_definition(name):
    margins, y = margins_and_targets(name)
    values, _ = LOSSES[name].value_and_derivative(margins.copy(), y)
    expected = [reference.LOSSES[name].value(m, t) for m, t in zip(margins, y, strict=True)]
    np.testing.assert_allclose(values, expected)


@every_loss
def test_derivatives_are_those_of_the_values(name):
    margins, y = margins_and_targets(name)
    for c in range(OUTPUTS[name]):
        up, down = margins.copy(), margins.copy()
        up[:, c] += STEP
        down[:, c] -= STEP
        high, low = (LOSSES[name].value_and_derivative(m, y)[0] for m in (up, down))
        found = derivative(name, margins, y)[:, c]
        np.testing.assert_allclose(found, (high - low) / (2 * STEP), atol=1e-7)


@every_loss
def test_the_change_of_the_derivative_keeps_its_digits(name):
    """From the reference alone, along a step far below the last digit of the margins."""
    oracle, (margins, y) = reference.LOSSES[name], margins_and_targets(name)
    for m, t in zip(margins, y, strict=True):
        at, q = oracle.reference(m, t), np.cos(np.arange(len(m)) + m)
        np.testing.assert_allclose(
            oracle.change(at, q), oracle.at(m + q, t) - oracle.at(m, t), rtol=1e-9, atol=1e-14
        )
        slope = oracle.change(at, STEP * q) / STEP
        np.testing.assert_allclose(oracle.change(at, 1e-30 * q), 1e-30 * slope, rtol=1e-4)


@every_loss
def test_margins_become_the_reference(name):
    margins, y = margins_and_targets(name)
    oracle, found = reference.LOSSES[name], margins.copy()
    _, derivatives = LOSSES[name].value_and_derivative(found, y)
    expected = [oracle.reference(m, t) for m, t in zip(margins, y, strict=True)]
    if not LOSSES[name].quadratic:
        np.testing.assert_allclose(found, expected, atol=1e-15)
    slopes = [oracle.derivative(r, t) for r, t in zip(expected, y, strict=True)]
    np.testing.assert_allclose(derivatives, slopes, atol=1e-15)


@every_loss
def test_the_curvature_is_the_largest_there_is(name):
    """Along differences of two outputs at a margin of zero, where softmax has two halves."""
    loss, outputs = LOSSES[name], OUTPUTS[name]
    y = np.zeros(1, int) if loss.takes_labels else np.zeros((1, outputs))
    at = np.full((1, outputs), -50.0)
    at[0, : min(outputs, 2)] = 0.0
    direction = np.zeros((1, outputs))
    direction[0, :2] = np.array([1.0, -1.0])[:outputs] / np.sqrt(min(outputs, 2))
    change = derivative(name, at + STEP * direction, y) - derivative(name, at - STEP * direction, y)
    assert float((change * direction).sum()) / (2 * STEP) == pytest.approx(loss.curvature)
    margins, y = margins_and_targets(name)
    direction = np.random.default_rng(2).standard_normal(margins.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    change = derivative(name, margins + STEP * direction, y) - derivative(name, margins, y)
    assert ((change * direction).sum(axis=1) / STEP <= loss.curvature * (1 + 1e-6)).all()


@every_loss
def test_the_curvature_of_a_sample_follows_from_its_prediction(name):
    loss = LOSSES[name]
    margins, y = margins_and_targets(name)
    if loss.sample_curvature is None:
        change = derivative(name, margins + STEP, y) - derivative(name, margins, y)
        assert loss.quadratic == np.allclose(change, STEP, rtol=1e-5)
        return
    predictions = margins.copy()
    loss.value_and_derivative(predictions, y)
    change = derivative(name, margins + STEP, y) - derivative(name, margins - STEP, y)
    np.testing.assert_allclose(loss.sample_curvature(predictions), change / (2 * STEP), atol=1e-8)


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_compiled_loss_of_this_code_is_the_same(name, dtype):
    """Loss, full gradient and predictions by the compiled pass, and by NumPy."""
    loss, outputs = LOSSES[name], OUTPUTS[name]
    random = np.random.default_rng(3)
    X = random.standard_normal((60, 7)).astype(dtype)
    w = random.standard_normal((outputs, 7))
    _, y = margins_and_targets(name, 60)
    found, expected = (
        Objective(Rows(X), y, loss, outputs, l2=0.1, engine=engine)
        for engine in (CompiledEngine(fused=False), None)
    )
    compiled, oracle = np.empty((60, outputs)), reference.LOSSES[name].reference
    with_codes = found.evaluate(w, reference=compiled)
    by_numpy = expected.evaluate(w)
    plain = [oracle(m, t) for m, t in zip(X @ w.T, y, strict=True)]
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert with_codes.loss == pytest.approx(by_numpy.loss, rel=tolerance)
    np.testing.assert_allclose(with_codes.weights, by_numpy.weights, atol=tolerance)
    np.testing.assert_allclose(compiled, plain, atol=10 * tolerance)


@every_loss
@pytest.mark.parametrize("size", [1e-25, 1.0, 40.0])
def test_the_compiled_change_is_that_of_the_oracle(name, size):
    """By a step on each sample, from a displacement of any size."""
    oracle, (margins, y) = reference.LOSSES[name], margins_and_targets(name)
    X = np.random.default_rng(4).standard_normal((len(y), 7))
    at = np.array([oracle.reference(m, t) for m, t in zip(margins, y, strict=True)])
    z = size * np.random.default_rng(5).standard_normal((OUTPUTS[name], 7))
    for i, x in enumerate(X):
        moved = z.copy()
        loop = InnerLoop(
            "D64fM64f", LOSSES[name].code, X, moved, reference=at, step_size=0.5, samples=1
        )
        assert loop.run(np.array([i], np.int32)) == 1
        step = 0.5 * np.outer(oracle.change(at[i], z @ x), x)
        np.testing.assert_allclose(z - moved, step, rtol=1e-12, atol=1e-14 * size)


def test_the_compiled_pass_has_neither_weights_nor_an_intercept():
    X, y = np.ones((2, 1)), np.ones((2, 1))
    for options in ({"weights": np.ones(2)}, {"intercept": True}):
        objective = Objective(
            Rows(X), y, LOSSES["squared"], 1, engine=CompiledEngine(fused=True), **options
        )
        with pytest.raises(ValueError, match="neither weights nor an intercept"):
            objective.evaluate(np.ones((1, 1)))
