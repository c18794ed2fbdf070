"""The solvers against slow oracles, against exact solutions, and where things go wrong."""

import itertools
import math
import signal
import warnings

import numpy as np
import pytest
import reference
import tolerances
from sklearn.datasets import load_digits, make_regression
from sklearn.linear_model import LogisticRegression

from halpbench import LeastSquares, SoftmaxRegression, kernels, simulate, solve
from halpbench import rows as rows_module
from halpbench.fixedpoint import AdaptiveScale, SaturationWarning, largest_integer
from halpbench.formats import FORMATS
from halpbench.solvers import (
    ALGORITHMS,
    DivergenceWarning,
    Interrupted,
    Solver,
    full_gradient,
    inner,
    paper,
)

INTEGER_PRECISIONS = [name for name, row in FORMATS.items() if row.is_integer]
FLOAT_PRECISIONS = [name for name, row in FORMATS.items() if not row.is_integer]
LOW = [name for name, row in ALGORITHMS.items() if row.integer_model]
FULL = [name for name, row in ALGORITHMS.items() if not row.integer_model]
EVERY_PAIR = [(name, precision) for name, row in ALGORITHMS.items() for precision in row.formats]
KINDS = ["squared", "softmax", "binary"]

every_pair = pytest.mark.parametrize(("algorithm", "precision"), EVERY_PAIR)
both_data = pytest.mark.parametrize("data", ["exact", "quantized"])


def make_problem(kind, l2=0.0, n=40, d=70, dtype=np.float64, seed=0):
    """A small problem whose d is no multiple of any register."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d)).astype(dtype)
    if kind == "squared":
        return LeastSquares(X, X @ random.standard_normal(d) + random.standard_normal(n), l2)
    classes = 2 if kind == "binary" else 3
    return SoftmaxRegression(X, np.arange(n) % classes, l2)


def exact_pass(problem, precision):
    """The full gradient and reference of exact data as the compiled pass computes them."""
    twin = Solver(problem, "halp", precision, "exact")

    def at(w):
        filled = np.empty((problem.n_samples, problem.n_outputs))
        return twin._objective.evaluate(np.ascontiguousarray(w), reference=filled).weights, filled

    return at


def oracle(problem, algorithm, precision, data, **options):
    """The path of the oracle, for the same options as `Solver`."""
    row = FORMATS[precision]
    if ALGORITHMS[algorithm].centred and "mu" not in options:
        length = options["epoch_length"]
        options["adaptive"] = AdaptiveScale(
            options["step_size"],
            options.get("batch_size", 1),
            length,
            largest_integer(row.model.bits),
        )
    return reference.solve_integer(
        problem,
        algorithm,
        row.data.dtype,
        row.model.dtype,
        None if data == "quantized" else exact_pass(problem, precision),
        **options,
    )


# ---- Against the oracles -------------------------------------------------------------------------


# None; part of h for long, for one step.
@pytest.mark.parametrize("l2", [0.0, 0.05, 20.0])
@pytest.mark.parametrize(("batch_size", "option"), [(1, "I"), (7, "II")])
@pytest.mark.parametrize("kind", KINDS)
@both_data
@pytest.mark.parametrize("precision", INTEGER_PRECISIONS)
@pytest.mark.parametrize("algorithm", LOW)
def test_integer_solvers_equal_the_oracle(algorithm, precision, data, kind, batch_size, l2, option):
    """The same samples and random bits: the same integers, hence the same weights, bit for bit."""
    problem = make_problem(kind, l2)
    options = {"step_size": 0.004, "epoch_length": 60, "option": option, "seed": 3}
    options["batch_size"] = batch_size
    if not ALGORITHMS[algorithm].centred:
        options["delta"] = 0.02
    solver = Solver(problem, algorithm, precision, data, **options)
    for w in oracle(problem, algorithm, precision, data, epochs=2, **options):
        solver.epoch()
        np.testing.assert_array_equal(solver.w, w)
    assert np.abs(w).max() > 0


@pytest.mark.parametrize("d", [1, 63, 64, 65, 600, 1100])
@pytest.mark.parametrize("precision", INTEGER_PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_integer_solvers_equal_the_oracle_at_any_width(backend, precision, kind, d):
    """Rows of several blocks of lanes, and of less than a register; on every backend."""
    problem = make_problem(kind, 0.3, n=9, d=d)
    options = {"step_size": 0.2 / d, "epoch_length": 20, "seed": 5, "mu": 0.2}
    options["w0"] = np.random.default_rng(1).standard_normal(problem.weight_shape)
    solver = Solver(problem, "halp", precision, "exact", **options)
    for w in oracle(problem, "halp", precision, "exact", epochs=2, **options):
        solver.epoch()
        np.testing.assert_array_equal(solver.w, w)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("precision", INTEGER_PRECISIONS)
def test_a_growing_scale_equals_the_oracle(backend, precision, batch_size):
    """Epochs of more than 256 steps, at the first of which the range is far too small."""
    problem = make_problem("squared", 0.01, n=20, d=5)
    options = {"step_size": 0.002, "epoch_length": 520 * batch_size, "batch_size": batch_size}
    solver = Solver(problem, "halp", precision, "quantized", **options)
    solver._adaptive._range /= 2**12
    highest = largest_integer(FORMATS[precision].model.bits)
    twin = AdaptiveScale(0.002, batch_size, 520 * batch_size, highest)
    twin._range /= 2**12
    row = FORMATS[precision]
    path = reference.solve_integer(
        problem, "halp", row.data.dtype, row.model.dtype, None, epochs=2, adaptive=twin, **options
    )
    for w in path:
        epoch = solver.epoch()
        np.testing.assert_array_equal(solver.w, w)
    assert epoch.scale >= epoch.first_scale


@pytest.mark.parametrize("option", ["I", "II"])
@pytest.mark.parametrize("l2", [0.0, 0.05, 4.0])
@pytest.mark.parametrize("kind", KINDS)
@both_data
@pytest.mark.parametrize("precision", FLOAT_PRECISIONS)
@pytest.mark.parametrize("algorithm", FULL)
def test_float_solvers_agree_with_the_oracle(algorithm, precision, data, kind, l2, option):
    """On data of both dtypes: those of the precision are read as they are, without padding."""
    for dtype in (np.float32, np.float64):
        problem = make_problem(kind, l2, dtype=dtype)
        options = {"step_size": 0.004, "epoch_length": 120, "option": option, "seed": 3}
        expected = reference.solve_float(
            problem, algorithm, FORMATS[precision].data.dtype, data, epochs=3, **options
        )
        solver = Solver(problem, algorithm, precision, data, **options)
        for w in expected:
            solver.epoch()
            tolerance = tolerances.path(problem.X.dtype, FORMATS[precision].data.dtype)
            assert np.abs(solver.w - w).max() <= tolerance * np.abs(w).max()


@pytest.mark.parametrize("quantized_bits", [8, 16])
def test_quantized_bits_choose_the_data_of_float_precisions(quantized_bits):
    problem = make_problem("squared")
    options = {"step_size": 0.004, "epoch_length": 80, "quantized_bits": quantized_bits}
    (expected,) = reference.solve_float(problem, "svrg", data="quantized", epochs=1, **options)
    result = solve(problem, "svrg", data="quantized", epochs=1, **options)
    error = np.abs(result.w - expected).max()
    assert error <= tolerances.path(np.float64) * np.abs(expected).max()


@both_data
@every_pair
def test_full_gradients_agree_with_the_problem(algorithm, precision, data):
    for kind, dtype in itertools.product(KINDS, (np.float32, np.float64)):
        problem = make_problem(kind, 0.1, n=53, dtype=dtype)
        w0 = np.random.default_rng(1).standard_normal(problem.weight_shape) / 50
        solver = Solver(problem, algorithm, precision, data, w0=w0)
        _, full = paper.copies(problem.rows, FORMATS[precision], data, 8)
        on = problem.reduced(np.ascontiguousarray(full.values * full.scale, np.float64))
        tolerance = tolerances.gradient(full.values.dtype)
        of_gradient = tolerances.kept_gradient(full.dtype) if full.is_integer else tolerance

        expected_loss, expected_gradient = on.loss_and_gradient(solver.w)
        expected_norm = np.linalg.norm(expected_gradient)
        loss, norm = solver.evaluate()
        assert loss == pytest.approx(expected_loss, rel=tolerance)
        assert norm == pytest.approx(expected_norm, rel=of_gradient)
        assert solver.gradient_norm(solver.w) == pytest.approx(expected_norm, rel=tolerance)
        gradient = solver._evaluation().weights.reshape(problem.weight_shape)
        assert np.abs(gradient - expected_gradient).max() <= of_gradient * expected_norm


# ---- The same on every backend -------------------------------------------------------------------


@both_data
@every_pair
def test_backends_agree(backend, algorithm, precision, data):
    """Bit for bit in integers, loss and gradient norm included; to tolerances in floats."""
    for kind, l2 in itertools.product(["squared", "softmax"], [0.0, 0.2]):
        problem = make_problem(kind, l2, n=50, d=130)
        options = {"step_size": 0.003, "epochs": 3, "seed": 1}
        result = solve(problem, algorithm, precision, data, **options)
        assert result.isa == backend
        with kernels.use("scalar"):
            expected = solve(problem, algorithm, precision, data, **options)
        columns = ["loss", "grad_norm", "saturated"]
        if FORMATS[precision].is_integer:
            np.testing.assert_array_equal(result.w, expected.w)
            np.testing.assert_array_equal(result.history[columns], expected.history[columns])
        else:
            error = np.abs(result.w - expected.w).max()
            tolerance = tolerances.path(FORMATS[precision].data.dtype)
            assert error <= tolerance * np.abs(expected.w).max()


# ---- To the exact solution -----------------------------------------------------------------------


def least_squares_solution(X, y, l2):
    gram = X.T @ X / len(X) + l2 * np.eye(X.shape[1])
    return np.linalg.solve(gram, X.T @ y / len(X))


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize(
    ("algorithm", "precision"),
    [("svrg", "D64fM64f"), *(("halp", precision) for precision in INTEGER_PRECISIONS)],
)
def test_least_squares_converges_to_the_normal_equations(algorithm, precision, l2):
    """HALP with exact data: the solution of the problem itself, from 8-bit integers."""
    problem = make_problem("squared", l2, n=200, d=20)
    result = solve(
        problem, algorithm, precision, step_size=0.02, mu=0.3, epochs=60, option="I", tol=1e-9
    )
    assert result.status == "converged"
    w = least_squares_solution(problem.X, problem.y, l2)
    assert np.linalg.norm(result.w - w) < 1e-8 * np.linalg.norm(w)


def test_quantized_data_have_a_solution_of_their_own():
    problem = make_problem("squared", 0.1, n=200, d=20)
    # Gradients of integer data are those at w rounded to 30 bits.
    options = {"data": "quantized", "step_size": 0.02, "mu": 0.3, "epochs": 60, "tol": 3e-8}
    result = solve(problem, "halp", "D8M8", **options)
    assert result.status == "converged"
    integers, scale = reference.quantize_rows(problem.X, np.int8)
    w = least_squares_solution(integers * scale, problem.y, 0.1)
    assert np.linalg.norm(result.w - w) < 1e-7 * np.linalg.norm(w)
    other = least_squares_solution(problem.X, problem.y, 0.1)
    assert np.linalg.norm(w - other) > 1e-4 * np.linalg.norm(w)


@pytest.mark.parametrize(
    ("algorithm", "precision"),
    [("svrg", "D64fM64f"), *(("halp", precision) for precision in INTEGER_PRECISIONS)],
)
def test_softmax_converges_to_the_optimum_of_scikit_learn(algorithm, precision):
    l2 = 0.1
    problem = make_problem("softmax", l2, n=200, d=20)
    result = solve(problem, algorithm, precision, step_size=0.05, mu=0.1, epochs=60, tol=1e-8)
    assert result.status == "converged"
    other = LogisticRegression(
        C=1 / (l2 * 200), fit_intercept=False, solver="newton-cg", tol=1e-9, max_iter=1000
    ).fit(problem.X, problem.y)
    assert np.abs(result.w - other.coef_).max() < 1e-6 * np.abs(other.coef_).max()


@pytest.fixture(scope="module")
def figure_1():
    """Gradient norms by epoch on the problem of Figure 1 of the paper (1,000 x 100, T = 2,000)."""
    X, y = make_regression(1000, 100, random_state=0)
    problem = LeastSquares(np.ascontiguousarray(X), y)

    def norms(algorithm, precision, **options):
        result = solve(
            problem,
            algorithm,
            precision,
            step_size=5e-3,
            epoch_length=2000,
            epochs=40,
            **options,
        )
        return result.history["grad_norm"].to_numpy()

    return norms


@pytest.mark.parametrize(
    ("precision", "mu", "factor"),
    [
        ("D8M8", 3.0, 10),  # tuned
        ("D8M8", None, 100),  # with so large a step the noise takes a bit more of the range
        ("D8M16", None, 3),
        ("D16M16", None, 3),
    ],
)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore::halpbench.fixedpoint.SaturationWarning")
def test_halp_keeps_up_with_svrg_on_figure_1(figure_1, precision, mu, factor, seed):
    svrg = figure_1("svrg", "D64fM64f", seed=seed)
    halp = figure_1("halp", precision, mu=mu, seed=seed)
    assert svrg[0] > 100
    assert (halp <= factor * svrg).all()
    assert halp.min() < 1e-5


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("precision", INTEGER_PRECISIONS)
def test_quantized_figure_1_has_no_floor(precision, batch_size):
    """Everything in integers: to the last digits, and so is the gradient that is reported."""
    X, y = make_regression(1000, 100, random_state=0)
    problem = LeastSquares(np.ascontiguousarray(X), y)
    solver = Solver(problem, "halp", precision, "quantized", batch_size=batch_size)
    _, first = solver.evaluate()
    for _ in range(60):
        solver.epoch()
    assert solver.gradient_norm(solver.w) <= 1e-14 * first
    assert solver.evaluate()[1] == pytest.approx(solver.gradient_norm(solver.w), rel=0.5)


@pytest.mark.parametrize("precision", ["D8M8", "D8M16"])
def test_the_adaptive_scale_does_as_well_as_the_best_mu(precision):
    """Of a softmax problem, within a factor of 10."""
    X, y = load_digits(return_X_y=True)
    X = np.ascontiguousarray(X[:1500, X[:1500].std(axis=0) > 0] / 16)
    problem = SoftmaxRegression(X, y[:1500], 1e-2)

    def last(**options):
        return solve(problem, "halp", precision, epochs=12, **options).history.grad_norm.iloc[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SaturationWarning)
        best = min(last(mu=mu) for mu in (0.03, 0.1, 0.3, 1.0))
    assert last() <= 10 * best


@pytest.mark.parametrize(
    ("precision", "delta", "low", "high"), [("D8M8", 0.7, 3, 300), ("D16M16", 0.003, 0.015, 1.5)]
)
def test_lp_svrg_stalls_at_a_floor_on_figure_1(figure_1, precision, delta, low, high):
    """The floor falls with delta: about 30 and 0.15 (a factor 10 either way)."""
    norms = figure_1("lp-svrg", precision, delta=delta)[20:]
    assert low < norms.min()
    assert norms.max() < high


@pytest.mark.parametrize("precision", FLOAT_PRECISIONS)
def test_sgd_stalls_where_svrg_goes_on(precision):
    """On a problem with noise, where the gradients of the samples do not vanish at the optimum."""
    problem = make_problem("squared", n=200, d=20)
    sgd, svrg = (
        solve(problem, algorithm, precision, step_size=0.02, epochs=40).history["grad_norm"]
        for algorithm in ("sgd", "svrg")
    )
    assert sgd[20:].min() > 1e-2
    assert svrg[20:].max() < 1e-3


# ---- Histories -----------------------------------------------------------------------------------


@every_pair
def test_the_history_says_what_happened(algorithm, precision):
    problem = make_problem("squared", n=30)
    options = {"epochs": 3, "epoch_length": 45, "step_size": 1e-3, "mu": 0.5}
    result = solve(problem, algorithm, precision, **options)
    history = result.history
    assert (result.status, result.algorithm, result.precision) == ("finished", algorithm, precision)
    assert result.isa == kernels.active()
    assert list(history["epoch"]) == [0, 1, 2, 3]
    full = ALGORITHMS[algorithm].variance_reduced
    # LP-SVRG looks at the exact rows, and at those that it takes steps on.
    passes = {"lp-svrg": 2}.get(algorithm, full)
    np.testing.assert_allclose(history["passes"], np.arange(4) * (1.5 + passes))
    assert history["seconds"].is_monotonic_increasing
    np.testing.assert_allclose(
        history["seconds"].diff()[1:],
        (history["inner_seconds"] + history["full_gradient_seconds"])[1:],
    )
    assert (history["full_gradient_seconds"][1:] > 0).all() == full
    loss, gradient = problem.loss_and_gradient(result.w)
    assert history["loss"].iloc[-1] == pytest.approx(loss, rel=1e-5)
    assert history["grad_norm"].iloc[-1] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    assert history["scale"].isna().all() == (not FORMATS[precision].is_integer)
    # Bit centering: ||g|| / (mu (2**(bits-1) - 1)).
    if ALGORITHMS[algorithm].centred and FORMATS[precision].is_integer:
        top = reference.largest(FORMATS[precision].model.dtype)
        np.testing.assert_allclose(history["scale"][1:], history["grad_norm"][:-1] / (0.5 * top))


def test_a_seed_gives_one_path():
    problem = make_problem("softmax")
    one, two, other = (solve(problem, seed=seed, epochs=2).w for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("algorithm", ["svrg", "sgd", "halp"])
def test_w0_is_where_a_run_starts(algorithm):
    problem = make_problem("softmax")
    w0 = np.random.default_rng(0).standard_normal((3, 70))
    result = solve(problem, algorithm, epochs=0, w0=w0)
    np.testing.assert_array_equal(result.w, w0)
    assert list(result.history["loss"]) == [pytest.approx(problem.loss(w0), rel=1e-5)]
    np.testing.assert_array_equal(Solver(problem, algorithm, w0=w0).w, w0)


@pytest.mark.parametrize("algorithm", ["lp-sgd", "lp-svrg"])
def test_a_low_precision_run_starts_at_the_nearest_representable_point(algorithm):
    w0 = np.array([0.3, -0.26, 10.0])
    problem = LeastSquares(np.eye(3), np.ones(3))
    solver = Solver(problem, algorithm, delta=0.05, w0=w0)
    np.testing.assert_allclose(solver.w, [0.3, -0.25, 127 * 0.05])


def test_tol_stops_a_run():
    problem = make_problem("squared", n=200, d=20)
    result = solve(problem, "svrg", step_size=0.02, epochs=100, tol=1e-3)
    norms = result.history["grad_norm"].to_numpy()
    assert result.status == "converged"
    assert norms[-1] <= 1e-3 < norms[:-1].min()


def test_a_callback_sees_every_row_and_stops_a_run():
    rows = []

    def callback(row):
        rows.append(row)
        return row["epoch"] == 2

    result = solve(make_problem("squared"), epochs=10, callback=callback)
    assert result.status == "stopped"
    assert [row["epoch"] for row in rows] == list(result.history["epoch"]) == [0, 1, 2]
    assert set(rows[0]) == set(result.history.columns)


def test_a_callback_cannot_change_the_history():
    result = solve(make_problem("squared"), epochs=2, callback=lambda row: row.update(loss=0.0))
    assert (result.history["loss"] > 0).all()


# ---- Failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("algorithm", "precision"), list(itertools.product(FULL, FLOAT_PRECISIONS))
)
def test_divergence_is_reported_and_the_last_finite_solution_kept(algorithm, precision, dtype):
    problem = make_problem("squared", dtype=dtype)
    options = {"step_size": 1.0, "epoch_length": 20}
    with pytest.warns(DivergenceWarning, match=f"{algorithm} diverged in epoch .*: try a smaller"):
        result = solve(problem, algorithm, precision, epochs=100, **options)
    losses = result.history["loss"].to_numpy()
    assert result.status == "diverged"
    assert np.isfinite(result.w).all()
    assert np.isfinite(losses[:-1]).all()
    assert (losses[-1], result.history["grad_norm"].iloc[-1]) == (math.inf, math.inf)
    assert len(losses) < 101
    before = solve(problem, algorithm, precision, epochs=len(losses) - 2, **options)
    np.testing.assert_array_equal(result.w, before.w)


@pytest.mark.parametrize("precision", INTEGER_PRECISIONS)
def test_halp_diverges_when_its_centre_does(precision):
    """The displacement saturates, but the centre moves by as much in every epoch."""
    with pytest.warns(DivergenceWarning, match="halp diverged"):
        result = solve(make_problem("squared"), "halp", precision, step_size=10.0, epochs=1000)
    assert result.status == "diverged"
    assert np.isfinite(result.w).all()


@pytest.mark.parametrize("algorithm", ["lp-sgd", "lp-svrg"])
def test_a_low_precision_model_cannot_leave_its_box(algorithm):
    result = solve(make_problem("squared"), algorithm, step_size=10.0, epochs=20, delta=0.1)
    assert result.status == "finished"
    assert np.abs(result.w).max() == pytest.approx(12.7)
    assert result.history["saturated"].iloc[-1] > 35


def test_an_epoch_that_diverges_leaves_the_run_where_it_was():
    solver = Solver(make_problem("squared"), "svrg", step_size=1e200)
    before = solver.evaluate()
    assert solver.epoch().diverged
    assert not solver.w.any()
    assert solver.evaluate() == before


def test_a_start_of_infinite_loss_has_diverged():
    problem = LeastSquares(np.eye(3), np.full(3, 1e200))
    with pytest.warns(DivergenceWarning, match="diverged in epoch 0"):
        result = solve(problem)
    assert (result.status, len(result.history)) == ("diverged", 1)
    assert not result.w.any()


@every_pair
def test_a_zero_gradient_at_the_start_is_convergence(algorithm, precision):
    problem = LeastSquares(np.random.default_rng(0).standard_normal((30, 7)), np.zeros(30))
    result = solve(problem, algorithm, precision)
    assert (result.status, len(result.history)) == ("converged", 1)
    assert not result.w.any()


def test_halp_does_nothing_where_the_gradient_is_zero():
    solver = Solver(LeastSquares(np.eye(5), np.zeros(5)), "halp")
    epoch = solver.epoch()
    assert (epoch.scale, epoch.saturated, epoch.diverged) == (0.0, 0, False)
    assert not solver.w.any()


@pytest.mark.parametrize("precision", INTEGER_PRECISIONS)
def test_saturation_is_recorded_and_survived(precision):
    """A mu a hundred times too large: the box of an epoch is too small, the run walks on in it."""
    problem = make_problem("squared", n=200, d=20)
    with pytest.warns(SaturationWarning, match="in epoch 1 [0-9]+ entries .* take a smaller mu"):
        result = solve(problem, "halp", precision, step_size=0.02, mu=100.0, epochs=30)
    history = result.history
    assert result.status == "finished"
    assert history["saturated"][0] == 0
    assert history["saturated"][1] >= 15
    assert history["grad_norm"].is_monotonic_decreasing
    # Each weight moves by at most the half width of the box, ||g|| / mu.
    widest = history["grad_norm"].iloc[:-1].sum() / 100
    assert np.abs(result.w).max() <= widest * (1 + 1e-12)


@every_pair
def test_data_of_zeros_have_no_gradient(algorithm, precision):
    X = np.zeros((12, 5))
    for problem in (LeastSquares(X, np.ones(12)), SoftmaxRegression(X, np.arange(12) % 3, 0.1)):
        result = solve(problem, algorithm, precision, "quantized", step_size=0.1)
        assert result.status == "converged"
        assert not result.w.any()
    with pytest.raises(ValueError, match="no default step size"):
        solve(LeastSquares(X, np.ones(12)), algorithm, precision)


@every_pair
@both_data
def test_the_smallest_problems(algorithm, precision, data):
    """One row, one column, both; two classes, one of them without examples; constant columns."""
    random = np.random.default_rng(0)
    X, y, labels = random.standard_normal((30, 7)), random.standard_normal(30), np.arange(30) % 2
    constant = np.hstack([np.ones((30, 2)), np.zeros((30, 1)), X])
    problems = [
        LeastSquares(X[:1], y[:1]),
        LeastSquares(np.ascontiguousarray(X[:, :1]), y),
        LeastSquares(np.ones((1, 1)), np.full(1, 0.5)),
        LeastSquares(constant, y, 0.1),
        SoftmaxRegression(np.ascontiguousarray(X[:, :1]), labels, 0.1),
        SoftmaxRegression(X[:1], labels[:1], 0.1, n_classes=2),
        SoftmaxRegression(constant, labels, 0.1),
    ]
    for problem in problems:
        result = solve(problem, algorithm, precision, data, epochs=20)
        assert result.w.shape == problem.weight_shape
        assert np.isfinite(result.w).all()
        assert result.status in ("finished", "converged")
        losses = result.history["loss"]
        # SGD with a constant step may well end above its start.
        assert losses.iloc[-1] < losses.iloc[0] or not ALGORITHMS[algorithm].variance_reduced


def test_two_classes_move_in_opposite_directions():
    """Without a reference class the gradients of the two rows are opposite, and so are the rows."""
    result = solve(make_problem("binary", 0.1), "svrg", step_size=0.01, epochs=3)
    np.testing.assert_allclose(result.w[0], -result.w[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("X", "y", "match"),
    [
        (np.array([[1.0, np.nan]]), [1.0], "X: got nan"),
        (np.array([[1.0, np.inf]]), [1.0], "X: got inf"),
        (np.ones((1, 2)), [np.inf], "y: got inf"),
        (np.ones((0, 2)), [], "X: got shape"),
        (np.ones((2, 0)), [1.0, 1.0], "X: got shape"),
    ],
)
def test_what_is_no_problem_never_reaches_a_solver(X, y, match):
    with pytest.raises(ValueError, match=match):
        LeastSquares(X, y)


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        ([0.0, 1.0], TypeError, "expected integer labels"),
        ([1, 2], ValueError, "distinct labels"),
        ([-1, 1], ValueError, "y: got labels from -1"),
        ([0, 0], ValueError, "n_classes: got 1, expected at least 2"),
    ],
)
def test_labels_that_are_not_0_to_c_never_reach_a_solver(y, error, match):
    with pytest.raises(error, match=match):
        SoftmaxRegression(np.ones((2, 2)), y)


def test_float64_data_beyond_float32_are_refused_by_float32():
    X = np.array([[1e39, 1.0], [1.0, 1.0]])
    problem = LeastSquares(X, np.ones(2))
    for data in ("exact", "quantized"):
        with pytest.raises(ValueError, match=r"X must lie within \+-3.4e\+38 for D32fM32f"):
            solve(problem, "svrg", "D32fM32f", data)
    assert np.isfinite(solve(problem, "svrg", epochs=1).w).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"algorithm": "adam"}, f"algorithm must be one of {', '.join(ALGORITHMS)}, got 'adam'"),
        ({"precision": "D4M4"}, "precision must be one of D8M8, .*, got 'D4M4'"),
        ({"precision": "D64fM64f"}, "halp runs in D8M8, D8M16, D16M16; got D64fM64f"),
        ({"algorithm": "svrg", "precision": "D8M8"}, "svrg runs in D32fM32f, D64fM64f; got D8M8"),
        ({"data": "rounded"}, "data must be one of exact, quantized, got 'rounded'"),
        ({"option": "III"}, "option must be one of I, II, got 'III'"),
        ({"quantized_bits": 4}, "quantized_bits must be 8 or 16, got 4"),
        ({"step_size": 0}, "step_size must be finite and positive, got 0.0"),
        ({"step_size": np.nan}, "step_size must be finite and positive, got nan"),
        ({"step_size": 10.0}, "step_size \\* l2 must be below 1, got 1 \\* 10.0 \\* 0.1"),
        ({"epoch_length": 0}, "epoch_length must be at least 1, got 0"),
        ({"mu": -1}, "mu must be finite and positive, got -1.0"),
        ({"mu": math.inf}, "mu must be finite and positive, got inf"),
        ({"delta": 0}, "delta must be finite and positive, got 0.0"),
        ({"w0": np.ones(69)}, "w0 must be finite and of shape \\(70,\\), got \\(69,\\)"),
        ({"w0": np.full(70, np.nan)}, "w0 must be finite"),
        ({"epochs": -1}, "must not be negative, got -1 and 0.0"),
        ({"tol": -1.0}, "must not be negative, got 20 and -1.0"),
        ({"tol": np.nan}, "must not be negative"),
        ({"seed": -1}, "non-negative"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_unknown_names_and_bad_numbers_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        solve(make_problem("squared", 0.1), **options)


@pytest.mark.parametrize("name", ["step_size", "mu", "delta", "epoch_length"])
@pytest.mark.parametrize("value", ["1", b"1", True, np.True_, 1j, [1], object()], ids=repr)
def test_numbers_of_other_types_are_refused(name, value):
    expected = TypeError if name == "epoch_length" or not isinstance(value, list) else ValueError
    with pytest.raises(expected, match=name):
        solve(make_problem("squared", 0.1), **{name: value})


@pytest.mark.parametrize("start", [np.full(7, 1j), ["1"] * 7, [True] * 7, [None] * 7], ids=repr)
@pytest.mark.parametrize("solver", [solve, simulate.solve], ids=["compiled", "simulated"])
def test_a_start_is_of_real_numbers(solver, start):
    problem = make_problem("squared", 0.1)
    with pytest.raises(TypeError, match="w0 must be"):
        solver(problem, w0=np.resize(start, problem.weight_shape))
    with pytest.raises(ValueError, match="w0 must be finite"):
        solver(problem, w0=np.full(problem.weight_shape, 10**400))


@pytest.mark.parametrize("name", ["step_size", "mu", "delta", "batch_size", "seed"])
@pytest.mark.parametrize("value", [10**400, -(10**400)], ids=["huge", "minus huge"])
def test_integers_beyond_all_doubles_are_values_out_of_range(name, value):
    with pytest.raises(ValueError, match="seed|non-negative" if name == "seed" else name):
        solve(make_problem("squared", 0.1), **{name: value})


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="stepsize"):
        solve(make_problem("squared"), stepsize=0.1)


def test_there_may_be_very_many_classes():
    many = SoftmaxRegression(np.eye(3), [0, 1, 1500], n_classes=1501)
    assert solve(many, precision="D8M8", epochs=2).history.loss.iloc[-1] < np.log(1501)


# ---- Ctrl-C --------------------------------------------------------------------------------------


def test_an_interrupt_between_epochs_keeps_what_was_recorded():
    def callback(row):
        if row["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)

    problem = make_problem("squared")
    with pytest.raises(Interrupted, match="interrupted after 2 epochs") as interrupted:
        solve(problem, epochs=10, callback=callback)
    result = interrupted.value.result
    assert (result.status, list(result.history["epoch"])) == ("interrupted", [0, 1, 2])
    np.testing.assert_array_equal(result.w, solve(problem, epochs=2).w)
    assert isinstance(interrupted.value, KeyboardInterrupt)


@pytest.mark.parametrize(("home", "part"), [(inner, "InnerLoop"), (full_gradient, "GradientPass")])
def test_an_interrupt_within_an_epoch_keeps_what_was_recorded(monkeypatch, home, part):
    """The signal comes during the third chunk of the second epoch; there are 40 chunks or more."""
    problem = make_problem("squared", n=100)
    options = {"step_size": 1e-3, "epoch_length": 200}
    monkeypatch.setattr(rows_module, "INTERRUPTIBLE_BYTES", 500)
    calls, chunks, epochs = [0], [0], [0]

    class Signalled(getattr(home, part)):
        def run(self, *arguments):
            chunks[0] += 1
            calls[0] += epochs[0] == 1
            if calls[0] == 3:
                signal.raise_signal(signal.SIGINT)
            return super().run(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(home, part, Signalled)
        with pytest.raises(Interrupted, match="interrupted after 1 epochs") as interrupted:
            solve(
                problem,
                epochs=10,
                callback=lambda row: epochs.__setitem__(0, row["epoch"]),
                **options,
            )
    assert calls[0] == 3
    assert chunks[0] > 40
    result = interrupted.value.result
    # In blocks of the same size: BLAS sums those of another one in another order.
    expected = solve(problem, epochs=1, **options)
    assert list(result.history["epoch"]) == [0, 1]
    np.testing.assert_array_equal(result.w, expected.w)


def test_a_signal_that_arrives_while_compiled_code_runs_stops_the_epoch(monkeypatch):
    """A timer fires in the middle of 2,000,000 long steps; most of them are then not taken."""
    taken = [0]

    class Counted(inner.InnerLoop):
        def run(self, samples):
            done = super().run(samples)
            taken[0] += done
            return done

    monkeypatch.setattr(inner, "InnerLoop", Counted)
    problem = LeastSquares(np.ones((4, 50_000), np.float32), np.ones(4))
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted) as interrupted:
            solve(
                problem,
                epochs=1,
                epoch_length=2_000_000,
                callback=lambda _: signal.setitimer(signal.ITIMER_REAL, 0.05) and None,
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert list(interrupted.value.result.history["epoch"]) == [0]
    assert taken[0] < 1_000_000


def test_an_interrupt_before_the_first_row_has_an_empty_history(monkeypatch):
    monkeypatch.setattr(Solver, "evaluate", lambda self: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted, match="interrupted after 0 epochs") as interrupted:
        solve(make_problem("squared"))
    assert len(interrupted.value.result.history) == 0
    assert not interrupted.value.result.w.any()


@pytest.mark.parametrize("data", ["exact", "quantized"])
def test_the_full_gradient_is_that_of_the_next_epoch(data):
    random = np.random.default_rng(0)
    X = random.standard_normal((40, 6))
    problem = LeastSquares(X, X @ random.standard_normal(6), l2=0.1)
    run = Solver(problem, "halp", "D16M16", data)
    run.epoch()
    gradient = run.gradient()
    assert gradient.shape == problem.weight_shape
    assert np.linalg.norm(gradient) == pytest.approx(run.evaluate()[1], rel=1e-12)
    if data == "exact":
        np.testing.assert_allclose(gradient, problem.gradient(run.w), rtol=1e-9, atol=1e-12)
    gradient[:] = 0  # a copy: the run does not see it
    assert np.linalg.norm(run.gradient()) == pytest.approx(run.evaluate()[1], rel=1e-12)
