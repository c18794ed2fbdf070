"""Public functions called from several threads; kernels alone: test_kernels.py."""

import numpy as np
import pytest
from builders import THREADS, in_threads

from halpbench import HALPClassifier, HALPRegressor, LeastSquares, SoftmaxRegression, kernels, solve
from halpbench.simulate import FixedPoint
from halpbench.simulate import solve as simulate
from halpbench.solvers._loops import InnerLoop

pytestmark = pytest.mark.usefixtures("switching")


def rows(n=80, d=30):
    random = np.random.default_rng(0)
    return random.standard_normal((n, d)), random.integers(0, 3, n)


@pytest.mark.parametrize("precision", ["D8M8", "D8M16", "D16M16", "D32fM32f", "D64fM64f"])
def test_solvers_of_one_problem_do_not_disturb_each_other(precision):
    X, y = rows()
    algorithm = "svrg" if "f" in precision else "halp"
    for problem in (LeastSquares(X, X[:, 0] + y, 0.1), SoftmaxRegression(X, y, 0.1)):

        def work(seed, problem=problem):
            found = solve(problem, algorithm, precision, epochs=4, seed=seed)
            return found.w, found.history["grad_norm"].to_numpy()

        expected = [work(i) for i in range(THREADS)]
        for got, wanted in zip(in_threads(work), expected, strict=True):
            np.testing.assert_array_equal(got[0], wanted[0])
            np.testing.assert_allclose(got[1], wanted[1], rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_inner_loops_that_share_a_state_take_it_in_turns(batch_size):
    """Loops that are alike end where they would have one after another, in some order."""
    random = np.random.default_rng(0)
    x = random.integers(-127, 128, (50, 128)).astype(np.int8)
    h = 0.1 * random.standard_normal((3, 128))
    samples = random.integers(0, 50, 4000).astype(np.int32)

    def models(run_all):
        rng = kernels.Rng(7)
        settings = {"h": h, "scale_x": 0.01, "step_size": 0.05, "rng": rng}
        settings |= {"batch_size": batch_size, "samples": len(samples)}
        z = [np.zeros((3, 128), np.int8) for _ in range(THREADS)]
        loops = [InnerLoop("D8M8", 0, x, model, **settings) for model in z]
        run_all(lambda i: loops[i].run(samples))
        return sorted(model.tobytes() for model in z), rng.__reduce__()

    expected = models(lambda run: [run(i) for i in range(THREADS)])
    assert len(set(expected[0])) == THREADS
    assert models(in_threads) == expected


def test_simulations_do_not_disturb_each_other():
    X, y = rows()
    problem = SoftmaxRegression(X, y, 0.1)

    def work(seed):
        return simulate(problem, "halp", FixedPoint(6), epochs=2, seed=seed).w

    expected = [work(i) for i in range(THREADS)]
    np.testing.assert_allclose(in_threads(work), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("estimator", [HALPClassifier, HALPRegressor])
def test_estimators_of_their_own_do_not_disturb_each_other(estimator):
    X, y = rows()

    def work(seed):
        return estimator(tol=1e-6, random_state=seed, n_jobs=2).fit(X, y).coef_

    expected = [work(i) for i in range(THREADS)]
    np.testing.assert_allclose(in_threads(work), expected, rtol=0, atol=1e-12)


def test_a_fitted_estimator_predicts_in_threads():
    X, y = rows()
    model = HALPClassifier(random_state=0).fit(X, y)
    expected = model.predict_proba(X)
    for got in in_threads(lambda _: model.predict_proba(X)):
        np.testing.assert_allclose(got, expected, rtol=1e-12)
