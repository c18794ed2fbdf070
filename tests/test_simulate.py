"""The simulation: formats, rounding, and agreement with the compiled solvers."""

import numpy as np
import pytest
import tolerances

from halpbench import LeastSquares, SoftmaxRegression, simulate, solve
from halpbench.simulate import FixedPoint

ALL = [
    FixedPoint(bits, integer_range, rounding, saturate)
    for bits in (2, 3, 8, 24)
    for integer_range in ("symmetric", "full")
    for rounding in ("unbiased", "biased")
    for saturate in (True, False)
]


@pytest.fixture(scope="module")
def least_squares():
    random = np.random.default_rng(0)
    X = random.standard_normal((60, 7))
    return LeastSquares(X, X @ random.standard_normal(7) + 0.1 * random.standard_normal(60))


@pytest.fixture(scope="module")
def softmax():
    random = np.random.default_rng(1)
    X = random.standard_normal((60, 5))
    return SoftmaxRegression(X, np.arange(60) % 3, l2=0.1)


@pytest.mark.parametrize("model", ALL, ids=str)
def test_integers_stay_in_range(model):
    x = np.random.default_rng(0).uniform(-3, 3, 500) * model.highest
    k = model.quantize(x, 1.0, rng=0)
    assert model.highest == 2 ** (model.bits - 1) - 1
    assert model.lowest == -model.highest - (1 if model.integer_range == "full" else 0)
    assert model.lowest <= k.min() <= k.max() <= model.highest
    if model.saturate:
        assert (k.min(), k.max()) == (model.lowest, model.highest)
    np.testing.assert_array_equal(k, np.rint(k))


@pytest.mark.parametrize("bits", [2, 3, 5])
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_representable_numbers_are_kept(bits, scale):
    for rounding in ("unbiased", "biased"):
        for integer_range in ("symmetric", "full"):
            model = FixedPoint(bits, integer_range, rounding)
            k = np.arange(model.lowest, model.highest + 1)
            np.testing.assert_array_equal(model.quantize(scale * k, scale, rng=3), k)


def test_unbiased_rounding_has_the_right_mean_and_two_values_only():
    model = FixedPoint(6)
    for x in (-3.75, -0.5, 0.1, 2.3):
        k = model.quantize(np.full(40_000, x), 1.0, rng=5)
        assert set(np.unique(k)) == {np.floor(x), np.floor(x) + 1}
        # Five standard errors; the variance of a Bernoulli variable is at most 1/4.
        assert abs(k.mean() - x) < 5 * 0.5 / np.sqrt(k.size)


def test_biased_rounding_is_to_nearest_with_halves_up():
    k = FixedPoint(8, rounding="biased").quantize([-1.5, -0.6, -0.5, 0.49, 0.5, 1.2], 1.0)
    np.testing.assert_array_equal(k, [-1, -1, 0, 0, 1, 1])


def test_overflow_saturates_or_wraps():
    x = np.array([3.0, 4.0, 5.0, -4.0, -5.0])
    nearest = {"integer_range": "full", "rounding": "biased"}
    np.testing.assert_array_equal(FixedPoint(3, **nearest).quantize(x, 1.0), [3, 3, 3, -4, -4])
    wrapped = FixedPoint(3, **nearest, saturate=False).quantize(x, 1.0)
    np.testing.assert_array_equal(wrapped, [3, -4, -3, -4, 3])


@pytest.mark.parametrize("problem", ["least_squares", "softmax"])
@pytest.mark.parametrize("option", ["I", "II"])
@pytest.mark.parametrize("algorithm", ["sgd", "svrg"])
def test_full_precision_agrees_with_the_compiled_solver(problem, option, algorithm, request):
    problem = request.getfixturevalue(problem)
    options = {"step_size": 0.02, "epochs": 4, "option": option, "seed": 7}
    simulated = simulate.solve(problem, algorithm, **options)
    compiled = solve(problem, algorithm, "D64fM64f", **options)
    # Same samples, float64 in both: only the order of the additions differs.
    np.testing.assert_allclose(simulated.w, compiled.w, rtol=1e-9)
    np.testing.assert_allclose(
        simulated.history["grad_norm"], compiled.history["grad_norm"], rtol=1e-8
    )


@pytest.mark.parametrize("algorithm", ["lp-sgd", "lp-svrg", "halp"])
@pytest.mark.parametrize("bits", [8, 16])
def test_low_precision_behaves_as_the_compiled_solver(algorithm, bits, least_squares):
    precision = {8: "D8M8", 16: "D16M16"}[bits]
    options = {"step_size": 0.02, "epochs": 30, "delta": 3 / 2 ** (bits - 1)}
    seeds = range(5)
    ends = [
        [
            simulate.solve(
                least_squares, algorithm, FixedPoint(bits), FixedPoint(bits), seed=s, **options
            )
            .history["grad_norm"]
            .iloc[-1]
            for s in seeds
        ],
        [
            solve(least_squares, algorithm, precision, "quantized", seed=s, **options)
            .history["grad_norm"]
            .iloc[-1]
            for s in seeds
        ],
    ]
    if algorithm == "halp":
        # Both reach what the compiled pass in float32 can tell from zero.
        assert np.max(ends) < 1e-6
    else:
        # Stochastic floors: medians of five runs within a factor of three.
        simulated, compiled = np.median(ends, axis=1)
        assert 1 / 3 < simulated / compiled < 3


@pytest.mark.parametrize("integer_range", ["symmetric", "full"])
@pytest.mark.parametrize("bits", [4, 6, 24])
def test_halp_converges_at_any_number_of_bits(bits, integer_range, least_squares):
    found = simulate.solve(
        least_squares,
        "halp",
        FixedPoint(bits, integer_range),
        step_size=0.02,
        epochs=40,
        mu=least_squares.strong_convexity(),
    )
    assert found.history["grad_norm"].iloc[-1] < 1e-3 * found.history["grad_norm"].iloc[0]


def test_wrapping_round_ruins_a_run_that_saturates(least_squares):
    options = {"step_size": 0.02, "epochs": 10, "mu": 20.0}
    ends = [
        simulate.solve(least_squares, "halp", FixedPoint(8, saturate=saturate), **options)
        .history["grad_norm"]
        .iloc[-1]
        for saturate in (True, False)
    ]
    assert ends[1] > 2 * ends[0]


def test_the_path_holds_every_iterate_on_the_grid(least_squares):
    model = FixedPoint(4)
    found = simulate.solve(
        least_squares, "halp", model, epochs=3, epoch_length=20, keep_path=True, mu=0.5
    )
    assert [path.shape for path in found.path] == [(21, 7)] * 3
    np.testing.assert_array_equal(found.path[-1][-1], found.w)
    for path, scale in zip(found.path, found.history["scale"].iloc[1:], strict=True):
        k = (path - path[0]) / scale
        np.testing.assert_allclose(k, np.rint(k), atol=1e-9)
        assert np.abs(np.rint(k)).max() <= model.highest


def test_the_scale_is_that_of_bit_centering(least_squares):
    found = simulate.solve(least_squares, "halp", FixedPoint(5), epochs=3, mu=0.5)
    norms = found.history["grad_norm"].to_numpy()
    np.testing.assert_allclose(found.history["scale"].iloc[1:], norms[:-1] / (0.5 * 15))


def test_a_diverging_run_ends_with_infinite_loss_and_a_finite_solution(least_squares):
    found = simulate.solve(least_squares, "svrg", step_size=10.0, epochs=50)
    assert found.history["loss"].iloc[-1] == np.inf
    assert len(found.history) < 51
    assert np.isfinite(found.w).all()


def test_at_the_optimum_halp_stands_still():
    problem = LeastSquares(np.eye(3), np.zeros(3))
    found = simulate.solve(problem, "halp", epochs=2)
    np.testing.assert_array_equal(found.w, np.zeros(3))


def test_quantized_data_are_those_of_the_compiled_solver(least_squares):
    options = {"epochs": 0, "w0": np.linspace(-1, 1, least_squares.n_features)}
    found = simulate.solve(least_squares, "svrg", data=FixedPoint(8), **options)
    exact = simulate.solve(least_squares, "svrg", **options)
    compiled = solve(least_squares, "svrg", data="quantized", **options)
    for column in ("loss", "grad_norm"):
        expected = compiled.history[column][0]
        near = pytest.approx(expected, rel=tolerances.gradient(np.float64))
        assert found.history[column][0] == near
        assert exact.history[column][0] != pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("bits", [1, 0, -3, 25])
def test_bits_out_of_range_are_refused(bits):
    with pytest.raises(ValueError, match="bits must be from 2 to 24"):
        FixedPoint(bits)


@pytest.mark.parametrize("bits", [8.0, True, "8"])
def test_bits_of_another_type_are_refused(bits):
    with pytest.raises(TypeError, match="bits must be an integer"):
        FixedPoint(bits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"algorithm": "adam"}, "algorithm must be one of"),
        ({"option": "III"}, "option must be one of"),
        ({"mu": 0.0}, "mu must be finite and positive"),
        ({"delta": -1.0}, "delta must be finite and positive"),
        ({"step_size": np.nan}, "step_size must be finite and positive"),
        ({"epoch_length": 0}, "epoch_length and epochs"),
        ({"epochs": -1}, "epoch_length and epochs"),
    ],
)
def test_bad_arguments_are_named(arguments, message, least_squares):
    with pytest.raises(ValueError, match=message):
        simulate.solve(least_squares, **arguments)


@pytest.mark.parametrize("name", ["integer_range", "rounding"])
def test_unknown_formats_are_named(name):
    with pytest.raises(ValueError, match=f"{name} must be one of"):
        FixedPoint(8, **{name: "other"})
