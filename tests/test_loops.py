"""The compiled inner loop and full-gradient pass: what they refuse to read, write or count."""

import numpy as np
import pytest

from halpbench import kernels
from halpbench.solvers._loops import GradientPass, InnerLoop, norm

ROWS, COLUMNS = 8, 4
NO_NUMBERS = ["1", b"1", 1j, True, np.True_, None, object(), [1.0]]
NOT_FINITE = [np.nan, np.inf, 10**400, -(10**400)]


def inner_loop(**options):
    given = {
        "x": np.ones((ROWS, COLUMNS)),
        "z": np.zeros((1, COLUMNS)),
        "reference": np.zeros((ROWS, 1)),
        "step_size": 0.01,
        "samples": 4,
    } | options
    return InnerLoop("D64fM64f", 0, **given)


def gradient_pass(**options):
    given = {"x": np.ones((ROWS, COLUMNS)), "gradient": np.zeros((1, COLUMNS))} | options
    return GradientPass(given.pop("x"), np.zeros((ROWS, 1)), 0, 1, **given)


def of_one_buffer():
    """A model, rows and a column of samples that share their memory."""
    buffer = np.zeros(ROWS * COLUMNS)
    return {
        "z": buffer[1 : 1 + COLUMNS].reshape(1, COLUMNS),
        "x": buffer.reshape(ROWS, COLUMNS),
        "column": buffer[:ROWS].reshape(ROWS, 1),
        "origin": buffer[:COLUMNS].reshape(1, COLUMNS),
    }


@pytest.mark.parametrize("name", ["x", "origin", "reference", "margins", "targets"])
def test_the_model_of_the_inner_loop_overlaps_with_nothing(name):
    shared = of_one_buffer()
    options = {"z": shared["z"], name: shared.get(name, shared["column"])}
    if name in ("origin", "margins"):
        options.setdefault("origin", np.zeros((1, COLUMNS)))
        options.setdefault("margins", np.zeros((ROWS, 1)))
    if name == "targets":
        options["reference"] = None
    with pytest.raises(ValueError, match="z must not overlap"):
        inner_loop(**options)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_the_samples_are_no_part_of_the_model(dtype):
    """They are checked before the first step, which would make others of them."""
    z = np.zeros((1, 64), dtype)
    loop = InnerLoop(
        "D8M8" if dtype == np.int8 else "D8M16",
        0,
        np.ones((ROWS, 64), np.int8),
        z,
        h=np.full((1, 64), 3.0),
        reference=np.zeros((ROWS, 1)),
        step_size=0.01,
        samples=8,
        rng=kernels.Rng(0),
    )
    samples = z.reshape(-1).view(np.int32)[:8]
    with pytest.raises(ValueError, match="samples must not overlap with z"):
        loop.run(samples)
    assert not z.any()
    assert loop.run(samples.copy()) == 8
    assert z.all()


@pytest.mark.parametrize("output", ["gradient", "reference", "margins", "added"])
def test_the_model_of_a_pass_overlaps_with_no_output(output):
    integers = output in ("margins", "added")
    buffer = np.zeros(ROWS)
    options = {"gradient": np.zeros((1, COLUMNS))}
    if integers:
        options |= {"x": np.ones((ROWS, COLUMNS), np.int16)}
        options |= {name: np.zeros((ROWS, 1)) for name in ("margins", "added")}
    shape = (1, COLUMNS) if output == "gradient" else (ROWS, 1)
    options[output] = buffer[: shape[0] * shape[1]].reshape(shape)
    data_pass = gradient_pass(**options)
    w = (buffer.view(np.int16) if integers else buffer)[:COLUMNS].reshape(1, COLUMNS)
    with pytest.raises(ValueError, match="w must not overlap"):
        data_pass.at(w)
    with pytest.raises(ValueError, match="at\\(\\) must say"):
        data_pass.run(0, ROWS)
    data_pass.at(w.copy())
    data_pass.run(0, ROWS)


@pytest.mark.parametrize("name", ["step_size", "scale_x", "scale_z", "l2"])
def test_numbers_of_the_inner_loop(name):
    for value in NOT_FINITE:
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            inner_loop(**{name: value})
    for value in NO_NUMBERS[:-1]:
        with pytest.raises(TypeError, match=f"{name} must be a real number"):
            inner_loop(**{name: value})


@pytest.mark.parametrize("name", ["batch_size", "samples"])
def test_counts_of_the_inner_loop(name):
    for value in (-1, 10**400, -(10**400)):
        with pytest.raises(ValueError, match=f"{name} must be"):
            inner_loop(**{name: value})
    for value in [*NO_NUMBERS, 1.0]:
        with pytest.raises(TypeError, match=f"{name} must be an integer"):
            inner_loop(**{name: value})


def test_numbers_of_a_pass():
    w = np.zeros((1, COLUMNS))
    for value in (*NOT_FINITE, 0.0):
        with pytest.raises(ValueError, match="scale_x must be finite and positive"):
            gradient_pass(scale_x=value)
        with pytest.raises(ValueError, match="scale_w must be finite and positive"):
            gradient_pass().at(w, scale_w=value)
    for value in (-1, 2**64, 10**400):
        with pytest.raises(ValueError, match="seed must be"):
            gradient_pass().at(w, seed=value)
    data_pass = gradient_pass()
    data_pass.at(w)
    for start, stop in ((0, ROWS + 1), (-1, 2), (3, 2), (0, 10**400), (10**400, 3)):
        with pytest.raises(ValueError, match="must"):
            data_pass.run(start, stop)


@pytest.mark.parametrize("loss", [0, 1])
def test_a_pass_needs_targets(loss):
    with pytest.raises(TypeError, match="targets must be an ndarray, got None"):
        GradientPass(np.ones((2, 3)), None, loss, 2, gradient=np.zeros((2, 3)))


def test_nothing_has_no_norm():
    with pytest.raises(TypeError, match="must not be None"):
        norm(None)


def test_a_row_alone_may_have_any_stride():
    """Rows read backwards, of which one is left."""
    x = np.arange(1.0, 1 + COLUMNS).reshape(1, COLUMNS)
    gradients, models = [], []
    for of in (np.array, lambda a: np.array(a)[::-1]):
        gradient, z = np.zeros((1, COLUMNS)), of(np.ones((1, COLUMNS)))
        data_pass = GradientPass(of(x), np.zeros((1, 1)), 0, 1, gradient=gradient)
        data_pass.at(of(np.ones((1, COLUMNS))))
        data_pass.run(0, 1)
        origin, margins = of(np.zeros((1, COLUMNS))), np.zeros((1, 1))
        loop = inner_loop(
            x=of(x), z=z, origin=origin, margins=margins, reference=np.zeros((1, 1)), samples=1
        )
        assert loop.run(np.zeros(1, np.int32)) == 1
        gradients.append(gradient)
        models.append(z.copy())
    np.testing.assert_array_equal(gradients[0], 10.0 * x)
    np.testing.assert_allclose(models[0], 1 - 0.01 * 10 * x, rtol=1e-15)
    np.testing.assert_array_equal(gradients[1], gradients[0])
    np.testing.assert_array_equal(models[1], models[0])


def test_a_pass_that_was_refused_a_model_keeps_the_one_before():
    x = np.arange(float(ROWS * COLUMNS)).reshape(ROWS, COLUMNS)
    data_pass = gradient_pass(x=x)
    data_pass.at(np.ones((1, COLUMNS)))
    for options in ({"scale_w": np.nan}, {"seed": -1}):
        with pytest.raises(ValueError, match="must be"):
            data_pass.at(np.full((1, COLUMNS), 9.0), **options)
    data_pass.run(0, ROWS)
    assert data_pass.loss == 0.5 * (x.sum(axis=1) ** 2).sum()
