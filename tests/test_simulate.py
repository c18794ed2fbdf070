"""The simulation: formats, rounding, and agreement with the compiled solvers."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
import tolerances

from halpbench import LeastSquares, SoftmaxRegression, simulate, solve
from halpbench.batches import largest_batch
from halpbench.bench.references import least_squares_solution
from halpbench.fixedpoint import SaturationWarning
from halpbench.numberformats import NUMBER_FORMATS, MiniFloat
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


class Definition:
    """The algorithms as the paper writes them, for batches: every gradient from scratch."""

    def __init__(self, problem, batch, epoch_length, seed):
        self.problem, self.batch, self.length = problem, batch, epoch_length
        self.samples = np.random.default_rng(seed)
        self.rounding = np.random.default_rng([seed, 1])

    def gradient(self, i, w):
        x, y = self.problem.X[i], self.problem.y[i]
        if isinstance(self.problem, LeastSquares):
            return (x @ w - y) * x + self.problem.l2 * w
        p = np.exp(w @ x)
        p /= p.sum()
        p[y] -= 1
        return np.outer(p, x) + self.problem.l2 * w

    def epoch(self, center, a, reduced, centered, scale, option="I"):
        """Every iterate; `scale` is None where nothing is rounded."""
        indices = self.samples.integers(self.problem.n_samples, size=self.length)
        batches = [indices[t : t + self.batch] for t in range(0, self.length, self.batch)]
        if option == "II":
            batches = batches[: self.samples.integers(1, len(batches) + 1)]
        full = np.mean([self.gradient(i, center) for i in range(self.problem.n_samples)], axis=0)
        z = np.zeros_like(center) if centered else center
        iterates = [center]
        for batch in batches:
            w = center + z if centered else z
            steps = [
                self.gradient(i, w) - (self.gradient(i, center) - full if reduced else 0)
                for i in batch
            ]
            z = z - a * np.sum(steps, axis=0)
            if scale is not None:
                z = scale * np.clip(np.floor(z / scale + self.rounding.random(z.shape)), -127, 127)
            iterates.append(center + z if centered else z)
        return np.array(iterates)


@pytest.mark.parametrize("problem", ["least_squares", "softmax"])
@pytest.mark.parametrize("option", ["I", "II"])
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("algorithm", ["sgd", "lp-sgd", "svrg", "lp-svrg", "halp", "bc-sgd"])
def test_every_iterate_is_that_of_the_definition(algorithm, batch, option, problem, request):
    problem = request.getfixturevalue(problem)
    problem = type(problem)(problem.X, problem.y, 0.1)
    a, length, delta, mu, epochs = 0.01, 20, 0.02, 0.2, 4
    definition = Definition(problem, batch, length, seed=5)
    found = simulate.solve(
        problem,
        algorithm,
        step_size=a,
        epoch_length=length,
        epochs=epochs,
        batch_size=batch,
        mu=mu,
        delta=delta,
        option=option,
        seed=5,
        keep_path=True,
    )
    assert found.batch_size == batch
    w = np.zeros(problem.weight_shape)
    reduced, centered = "sgd" not in algorithm, algorithm in ("svrg", "halp", "bc-sgd")
    for path in found.path:
        bit_centering = np.linalg.norm(problem.gradient(w)) / (mu * 127)
        scale = bit_centering if algorithm in ("halp", "bc-sgd") else delta
        scale = None if algorithm in ("sgd", "svrg") else scale
        iterates = definition.epoch(w, a, reduced, centered, scale, option)
        np.testing.assert_allclose(path, iterates, rtol=0, atol=1e-12)
        w = path[-1]
    np.testing.assert_allclose(found.history["loss"].iloc[-1], problem.loss(w), rtol=1e-12)
    assert len(found.solutions) == epochs + 1
    for solution, path in zip(found.solutions[1:], found.path, strict=True):
        np.testing.assert_array_equal(solution, path[-1])


def test_the_last_batch_of_an_epoch_may_be_incomplete(least_squares):
    # Twenty samples: batches of 8, 8 and 4; with a tiny step each moves by its share of B h.
    found = simulate.solve(
        least_squares,
        "svrg",
        step_size=1e-9,
        epoch_length=20,
        epochs=1,
        batch_size=8,
        keep_path=True,
    )
    moved = np.diff(found.path[0], axis=0)
    full = 1e-9 * least_squares.gradient(np.zeros(7))
    for step, size in zip(moved, (8, 8, 4), strict=True):
        np.testing.assert_allclose(step, -size * full, rtol=1e-6)


@pytest.mark.parametrize("l2", [0.0, 0.7])
@pytest.mark.parametrize("kind", ["least_squares", "softmax"])
def test_auto_is_the_largest_batch_that_the_rule_allows(kind, l2, request):
    problem = request.getfixturevalue(kind)
    problem = type(problem)(problem.X, problem.y, l2)
    curvature = {"least_squares": 1.0, "softmax": 0.5}[kind]
    squares = (problem.X**2).sum(axis=1)
    smoothness = curvature * squares.max() + l2
    shared = curvature * np.linalg.eigvalsh(problem.X.T @ problem.X / 60)[-1] + l2
    sizes = set()
    for a in np.geomspace(1e-4, 1, 60):
        allowed = [b for b in range(1, 65) if a * (smoothness + (b - 1) * shared) <= 0.75]
        assert largest_batch(problem, a) == max(allowed, default=1)
        sizes.add(largest_batch(problem, a))
    assert {1, 64} < sizes
    assert simulate.solve(
        problem, "svrg", step_size=1e-3, epochs=1, batch_size="auto"
    ).batch_size == largest_batch(problem, 1e-3)


def test_auto_of_many_rows_and_of_wide_data_is_near_the_rule():
    random = np.random.default_rng(3)
    for shape in ((4000, 20), (600, 300)):
        X = random.standard_normal(shape) * np.geomspace(1, 0.1, shape[1])
        problem = LeastSquares(X, np.zeros(shape[0]))
        largest = (X**2).sum(axis=1).max()
        shared = np.linalg.eigvalsh(X.T @ X / shape[0])[-1]
        a = 0.75 / (largest + 20 * shared)
        # The rule says 21; eigenvalues of a sample are too large by a fifth at most here.
        assert 17 <= largest_batch(problem, a) <= 21


@pytest.mark.parametrize(
    ("length", "batch", "steps"), [(1000, 1, 256), (100, 1, 100), (4000, 4, 1024), (1001, 8, 1001)]
)
def test_without_mu_the_first_range_is_256_batches_along_the_gradient(
    length, batch, steps, least_squares
):
    options = {"step_size": 1e-3, "epoch_length": length, "batch_size": batch}
    found = simulate.solve(least_squares, "halp", FixedPoint(10), epochs=1, **options)
    largest = np.abs(least_squares.gradient(np.zeros(7))).max()
    scale = found.history["first_scale"].iloc[1]
    assert scale == pytest.approx(steps * 1e-3 * largest / 511, rel=1e-9)


def test_without_mu_a_later_range_is_twice_the_displacement_seen(least_squares):
    found = simulate.solve(
        least_squares, "halp", step_size=0.02, epoch_length=250, epochs=12, keep_path=True
    )
    # No check before the end of an epoch: what is seen is where it ended.
    first = before = 250 * 0.02
    shrunk = 0
    for path, scale in zip(found.path, found.history["first_scale"].iloc[1:], strict=True):
        largest = np.abs(least_squares.gradient(path[0])).max()
        assert scale * 127 == pytest.approx(before * largest, rel=1e-9)
        seen = np.abs(path[-1] - path[0]).max() / largest
        before = min(first, max(2 * seen, before / 2))
        shrunk += before < 0.9 * first
    assert shrunk > 6


def test_an_epoch_that_ended_early_does_not_ruin_the_next(least_squares):
    found = simulate.solve(
        least_squares, "halp", step_size=0.02, epoch_length=480, epochs=30, option="II"
    )
    norms = found.history["grad_norm"].to_numpy()
    ranges = found.history["first_scale"].to_numpy()[1:] / norms[:-1]
    ratio = ranges[1:] / ranges[:-1]
    # Half of the last range at least, but for the ratio of the largest entry to the norm.
    assert 0.5 / np.sqrt(7) < ratio.min()
    assert found.history["grad_norm"].iloc[-1] < 1e-8


@pytest.mark.parametrize(
    ("step_size", "batch", "doublings"), [(1e-6, 1, 4), (4e-4, 1, 3), (4e-4, 4, 2), (2e-3, 1, 2)]
)
def test_without_mu_the_scale_grows_with_the_displacement(step_size, batch, doublings):
    # One sample and one feature: after t steps of B samples the displacement is 1 - (1 - B a)^t.
    problem = LeastSquares(np.ones((1, 1)), np.array([1.0]))
    batches, limit, scale_doublings = 2500, 256 * batch * step_size, 0
    for t in range(256, batches, 256):
        if 1 - (1 - batch * step_size) ** t > 7 / 8 * limit * 2**scale_doublings:
            scale_doublings += 1
    assert scale_doublings == doublings
    found = simulate.solve(
        problem,
        "halp",
        FixedPoint(16),
        step_size=step_size,
        epoch_length=batches * batch,
        epochs=1,
        batch_size=batch,
    )
    row = found.history.iloc[1]
    assert row["scale"] == row["first_scale"] * 2**doublings
    assert found.w[0] == pytest.approx(1 - (1 - batch * step_size) ** batches, rel=0.01)


@pytest.mark.filterwarnings("ignore::halpbench.fixedpoint.SaturationWarning")
@pytest.mark.parametrize("batch", [1, 8])
def test_without_mu_halp_does_about_as_well_as_with_the_best(batch, least_squares):
    convexity = least_squares.strong_convexity()
    ends = {}
    for mu in (convexity, 2 * convexity, None):
        norms = [
            simulate.solve(
                least_squares,
                "halp",
                step_size=0.02,
                epochs=10,
                mu=mu,
                batch_size=batch,
                seed=seed,
                epoch_length=480,
            ).history["grad_norm"]
            for seed in range(3)
        ]
        ends[mu] = np.median([norm.iloc[-1] for norm in norms])
    assert ends[None] < 10 * min(ends.values())


def test_a_given_mu_that_suffices_does_not_warn(least_squares):
    mu = 0.5 * least_squares.strong_convexity()
    found = simulate.solve(least_squares, "halp", mu=mu, epochs=3, step_size=0.02)
    assert found.history["most_saturated"].max() == 0
    assert (found.history["first_scale"] == found.history["scale"])[1:].all()


@pytest.mark.parametrize("bits", [3, 8])
def test_lm_halp_rounds_multipliers_to_bits_of_their_own_scale(bits):
    # The second step of an epoch multiplies its row by c = -a (a g x) x, the first one by zero.
    problem = LeastSquares(np.ones((1, 1)), np.array([1.0]))
    a, largest = 0.3, 2 ** (bits - 1) - 1
    c = a * a
    unit = 2.0 ** -np.floor(np.log2(largest / c))
    values = []
    for seed in range(400):
        found = simulate.solve(
            problem,
            "lm-halp",
            FixedPoint(24),
            step_size=a,
            epoch_length=2,
            epochs=1,
            mu=1.0,
            multiplier_bits=bits,
            seed=seed,
            keep_path=True,
        )
        first, second = np.diff(found.path[0][:, 0])
        assert first == pytest.approx(a, abs=2**-22)
        values.append((a - second) / unit)
    values = np.array(values)
    assert largest / 2 - 1 < np.floor(c / unit) <= largest
    below = np.floor(c / unit)
    np.testing.assert_allclose(values, np.where(values < below + 0.5, below, below + 1), atol=1e-3)
    # Unbiased: five standard errors of a Bernoulli variable.
    assert abs(values.mean() - c / unit) < 5 * 0.5 / 20


@pytest.mark.parametrize("batch", [1, 8])
def test_lm_halp_converges_as_halp_does(batch, softmax):
    def ends(algorithm, **options):
        return np.median(
            [
                simulate.solve(
                    softmax,
                    algorithm,
                    mu=0.1,
                    step_size=0.1,
                    epochs=4,
                    epoch_length=300,
                    batch_size=batch,
                    seed=seed,
                    **options,
                )
                .history["grad_norm"]
                .iloc[-1]
                for seed in range(5)
            ]
        )

    halp = ends("halp")
    # A multiplier of two bits is -1, 0 or 1 times a power of two, and yet it converges.
    start = np.linalg.norm(softmax.gradient(np.zeros((3, 5))))
    assert halp < ends("lm-halp", multiplier_bits=2) < 0.1 * start
    assert 1 / 3 < ends("lm-halp", multiplier_bits=8) / halp < 3


def test_changes_of_the_softmax_keep_their_digits(softmax):
    # HALP goes on to where a difference of two softmaxes would be rounding error.
    options = {"step_size": 0.05, "epoch_length": 600, "epochs": 20, "mu": 0.1}
    found = simulate.solve(softmax, "halp", FixedPoint(16), **options)
    assert found.history["grad_norm"].iloc[-1] < 1e-15
    far = simulate.solve(softmax, "svrg", w0=np.full((3, 5), 80.0), epochs=1, step_size=5.0)
    assert np.isfinite(far.w).all()


def test_wrapping_round_ruins_a_run_that_saturates(least_squares):
    options = {"step_size": 0.02, "epochs": 10, "mu": 20.0}

    def end(saturate):
        model = FixedPoint(8, saturate=saturate)
        return simulate.solve(least_squares, "halp", model, **options).history["grad_norm"].iloc[-1]

    with pytest.warns(SaturationWarning, match="mu = 20 makes the scale too small: in epoch 1 "):
        ends = [end(saturate) for saturate in (True, False)]
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


@pytest.mark.parametrize("name", NUMBER_FORMATS)
@pytest.mark.parametrize("algorithm", ["lp-sgd", "lp-svrg", "halp", "bc-sgd"])
def test_a_model_of_another_format_holds_its_numbers_only(algorithm, name, softmax):
    model = NUMBER_FORMATS[name]
    found = simulate.solve(softmax, algorithm, model, step_size=0.02, epochs=3, keep_path=True)
    for path, scale in zip(found.path, found.history["scale"].iloc[1:], strict=True):
        assert (scale == 1) == (not model.needs_scale)
        z = path[-1] - (path[0] if algorithm in ("halp", "bc-sgd") else 0)
        if isinstance(model, MiniFloat):
            nearest = replace(model, rounding="biased").quantize(z, scale)
            np.testing.assert_allclose(scale * nearest, z, rtol=0, atol=1e-14)
        else:  # 4 bits: eight magnitudes times the scale of the block, which is a row here
            assert all(len(np.unique(np.abs(row.round(12)))) <= 8 for row in z)
    assert found.history["grad_norm"].iloc[-1] < found.history["grad_norm"].iloc[0]


def test_halp_converges_in_floating_point_of_eight_bits_where_lp_svrg_does_not(least_squares):
    ends = {
        algorithm: simulate.solve(
            least_squares, algorithm, NUMBER_FORMATS["e4m3"], step_size=0.02, epochs=15
        )
        .history["grad_norm"]
        .iloc[-1]
        for algorithm in ("lp-svrg", "halp")
    }
    assert ends["halp"] < 1e-4 < 1e-2 < ends["lp-svrg"]


def test_mu_is_for_fixed_point(least_squares):
    with pytest.raises(ValueError, match=r"mu: got 1\.0 for a MiniFloat, expected None"):
        simulate.solve(least_squares, model=NUMBER_FORMATS["e4m3"], mu=1.0)


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
        ({"epoch_length": 0}, "epoch_length must be at least 1, got 0"),
        ({"epochs": -1}, "epochs must be at least 0, got -1"),
        ({"batch_size": 0}, "batch_size: got 0, expected an integer from 1 to 64"),
        ({"batch_size": 65}, "batch_size: got 65, expected an integer from 1 to 64"),
        ({"batch_size": "all"}, "batch_size: got 'all', expected .* or \"auto\""),
        ({"multiplier_bits": 1}, "bits must be from 2 to 24"),
        ({"w0": np.zeros(3)}, r"w0 must be finite and of shape \(7,\), got \(3,\)"),
        ({"w0": np.full(7, np.nan)}, "w0 must be finite and of shape"),
    ],
)
def test_bad_arguments_are_named(arguments, message, least_squares):
    with pytest.raises(ValueError, match=message):
        simulate.solve(least_squares, **arguments)


@pytest.mark.parametrize("name", ["epoch_length", "epochs", "batch_size", "multiplier_bits"])
@pytest.mark.parametrize("value", [2.0, True, None.__class__])
def test_counts_of_another_type_are_refused(name, value, least_squares):
    with pytest.raises(TypeError, match=name.split("_")[-1]):
        simulate.solve(least_squares, "lm-halp", **{name: value})


@pytest.mark.parametrize("name", ["integer_range", "rounding"])
def test_unknown_formats_are_named(name):
    with pytest.raises(ValueError, match=f"{name} must be one of"):
        FixedPoint(8, **{name: "other"})


class Huber:
    curvature = 1.0

    def value_and_derivative(self, margins, y):
        residual = margins - y
        clipped = np.clip(residual, -1.0, 1.0)
        return clipped * (residual - clipped / 2), clipped


class OwnSoftmax:
    curvature = 0.5

    def value_and_derivative(self, margins, y):
        p = np.exp(margins)
        p /= p.sum(axis=1, keepdims=True)
        target = np.eye(margins.shape[1])[y]
        return -np.log((p * target).sum(axis=1)), p - target


@pytest.fixture(scope="module")
def outliers():
    random = np.random.default_rng(2)
    X = random.standard_normal((60, 7))
    y = X @ random.standard_normal(7) + random.standard_cauchy(60)
    return LeastSquares(X, y, l2=0.01)


def huber_solution(X, y, l2):
    """The minimizer by another algorithm and another formula of the loss."""

    def objective(w):
        residual = X @ w - y
        return scipy.special.huber(1.0, residual).mean() + 0.5 * l2 * w @ w

    def gradient(w):
        residual = X @ w - y
        near = np.abs(residual) <= 1
        return X.T @ np.where(near, residual, np.sign(residual)) / len(y) + l2 * w

    start = np.zeros(X.shape[1])
    options = {"gtol": 1e-12}
    return scipy.optimize.minimize(objective, start, jac=gradient, method="BFGS", options=options).x


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("svrg", {}),
        ("halp", {}),
        ("lm-halp", {}),
        ("halp", {"batch_size": "auto"}),
        ("halp", {"gradient_bits": 8}),
        ("halp", {"model": FixedPoint(6), "mu": 0.3, "option": "II"}),
    ],
    ids=str,
)
def test_a_loss_of_ones_own_is_minimized(algorithm, options, outliers):
    found = simulate.solve(outliers, algorithm, loss=Huber(), epochs=40, **options)
    expected = huber_solution(outliers.X, outliers.y, outliers.l2)
    np.testing.assert_allclose(found.w, expected, atol=1e-8)
    assert np.abs(expected - least_squares_solution(outliers)).max() > 0.1


def test_an_own_loss_sees_the_quantized_data(outliers):
    data = FixedPoint(5)
    found = simulate.solve(outliers, "halp", data=data, loss=Huber(), epochs=40)
    scale = np.abs(outliers.X).max() / data.highest
    X = scale * np.floor(outliers.X / scale + 0.5)
    np.testing.assert_allclose(found.w, huber_solution(X, outliers.y, outliers.l2), atol=1e-8)


def test_an_own_loss_that_is_built_in_runs_as_the_built_in_one(least_squares, softmax):
    squared = SimpleNamespace(
        curvature=1.0, value_and_derivative=lambda m, y: ((m - y) ** 2 / 2, m - y)
    )
    for problem, loss in ((least_squares, squared), (softmax, OwnSoftmax())):
        for algorithm in ("sgd", "svrg", "lp-svrg", "halp"):
            options = {"epochs": 5, "delta": 0.05, "seed": 3}
            own = simulate.solve(problem, algorithm, loss=loss, **options)
            built_in = simulate.solve(problem, algorithm, **options)
            # The default step sizes are the same, hence so are the histories.
            np.testing.assert_allclose(own.history, built_in.history, rtol=1e-9)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (3, TypeError, "got int without curvature"),
        (SimpleNamespace(curvature=1.0), TypeError, "without value_and_derivative"),
        (SimpleNamespace(curvature=0.0, value_and_derivative=None), ValueError, "loss.curvature"),
        (
            SimpleNamespace(curvature=1.0, value_and_derivative=lambda m, y: (m.sum(), m)),
            ValueError,
            r"losses of shape \(\) and derivatives of shape \(60,\), expected \(60,\) and \(60,\)",
        ),
        (
            SimpleNamespace(curvature=1.0, value_and_derivative=lambda m, y: (m, m[:, None])),
            ValueError,
            r"derivatives of shape \(60, 1\), expected",
        ),
        (
            SimpleNamespace(curvature=1.0, value_and_derivative=lambda m, y: (m + np.nan, m)),
            ValueError,
            "got nan at the start",
        ),
    ],
    ids=str,
)
def test_what_is_no_loss_is_refused(loss, error, message, least_squares):
    with pytest.raises(error, match=message):
        simulate.solve(least_squares, "halp", loss=loss)
