"""The scikit-learn estimators: their conventions, and that they reach the exact solution."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from halpbench import HALPClassifier, HALPRegressor, kernels
from halpbench.objective import GRADIENT_ELEMENTS

# Some checks compare the predictions of two fits to 1e-7.
CHECKED = [HALPClassifier(tol=1e-11), HALPRegressor(tol=1e-11)]
LEAST_CHECKS = 55  # of each; the only one that may be skipped needs SCIPY_ARRAY_API
RELATIVE = 1e-4  # of the largest coefficient: agreement with scikit-learn's solution


@parametrize_with_checks(CHECKED)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", CHECKED, ids=lambda e: type(e).__name__)
def test_scikit_learn_has_that_many_checks(estimator):
    names = {check.func.__name__ for _, check in estimator_checks_generator(estimator)}
    assert len(names) >= LEAST_CHECKS
    assert "check_sample_weight_equivalence_on_dense_data" in names


# ---- The exact solution --------------------------------------------------------------------------


def gaussian(n=500, d=20, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d))
    return X, X @ random.standard_normal(d) + 0.1 * random.standard_normal(n)


def rotated(X, seed=1):
    """Columns from 1 down to 1e-3 of their size, mixed: a Hessian of condition 1e6."""
    d = X.shape[1]
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))
    return (X * np.logspace(0, -3, d)) @ basis


def awkward():
    """Name, X, C, of two classes unless told."""
    X, target = gaussian()
    y = target > 0
    random = np.random.default_rng(2)
    yield "scales from 1e-3 to 1e3", X * np.logspace(-3, 3, 20), y, 1.0
    yield "the same, hardly regularized", X * np.logspace(-3, 3, 20), y, 1e4
    yield "duplicate and constant columns", np.hstack([X, X[:, :5], np.full((500, 2), 3.0)]), y, 1.0
    yield "condition 1e6", rotated(X), y, 1e3
    yield "unbalanced", X, target > np.sort(target)[-6], 1.0
    yield "separable", X, X[:, 0] > 0, 1e4
    yield "more features than samples", random.standard_normal((40, 120)), np.arange(40) % 3, 1.0
    yield "heavy tails", random.standard_t(1.5, (500, 20)), y, 1.0
    yield "indicators", np.eye(50)[random.integers(0, 50, 2000)], random.integers(0, 2, 2000), 1.0
    yield "strongly regularized", X, y, 1e-4
    yield "six samples", X[:6], np.arange(6) % 2, 1.0
    for load in (load_iris, load_wine, load_breast_cancer):
        yield f"{load.__name__}, raw", *load(return_X_y=True), 1.0
    X, y = load_digits(n_class=4, return_X_y=True)
    yield "digits, standardized", StandardScaler().fit_transform(X), y, 1e-2


@pytest.mark.parametrize(("X", "y", "C"), [pytest.param(*c[1:], id=c[0]) for c in awkward()])
def test_classifier_reaches_the_solution_without_parameters(X, y, C):
    ours = HALPClassifier(C, tol=1e-8, random_state=0).fit(X, y)
    # Its other solvers stop short of this on the ill-conditioned sets.
    reference = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    reference.fit(X, y)
    size = np.abs(reference.coef_).max()
    np.testing.assert_allclose(ours.coef_, reference.coef_, rtol=0, atol=RELATIVE * size)
    np.testing.assert_allclose(
        ours.predict_proba(X), reference.predict_proba(X), rtol=0, atol=RELATIVE
    )


def awkward_targets():
    X, y = gaussian()
    random = np.random.default_rng(2)
    yield "gaussian", X, y, 1.0
    yield "not regularized", X, y, 0.0
    yield "scales from 1e-3 to 1e3", X * np.logspace(-3, 3, 20), y, 1.0
    yield "means of 1e4", X + 1e4, y, 1.0
    yield "large targets", X, 1e6 * y + 1e8, 1.0
    yield "several targets", X, np.column_stack([y, 100 * X[:, 0]]), 1.0
    yield "constant target", X, np.ones(500), 1.0
    yield "duplicate and constant columns", np.hstack([X, X[:, :5], np.zeros((500, 1))]), y, 1.0
    yield "condition 1e6", rotated(X), rotated(X) @ np.ones(20), 1e-3
    yield "powers", np.vander(np.linspace(0, 1, 200), 9)[:, :-1], np.sin(np.arange(200) / 33), 1e-3
    wide = random.standard_normal((60, 150))
    yield "more features than samples", wide, wide @ np.ones(150), 1.0
    yield "heavy tails", random.standard_t(1.5, (500, 20)), y, 1.0
    yield "strongly regularized", X, y, 1e6
    yield "diabetes", *load_diabetes(return_X_y=True), 1.0


@pytest.mark.parametrize(
    ("X", "y", "alpha"), [pytest.param(*c[1:], id=c[0]) for c in awkward_targets()]
)
@pytest.mark.parametrize("precision", ["auto", "D8M8"])
def test_regressor_reaches_the_solution_without_parameters(X, y, alpha, precision):
    ours = HALPRegressor(alpha, tol=1e-8, precision=precision, random_state=0).fit(X, y)
    reference = Ridge(alpha=alpha, solver="svd").fit(X, y)
    size = np.abs(reference.coef_).max()
    np.testing.assert_allclose(ours.coef_, reference.coef_, rtol=0, atol=RELATIVE * size + 1e-12)
    np.testing.assert_allclose(
        ours.predict(X), reference.predict(X), rtol=0, atol=1e-4 * np.ptp(y) + 1e-12
    )


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_weights_intercept_and_dtypes(fit_intercept, dtype, n_classes):
    X, target = gaussian(300, 8)
    y = np.digitize(target, [-1, 1]) if n_classes == 3 else target > 1
    s = np.random.default_rng(3).integers(0, 4, 300).astype(float)
    options = {"fit_intercept": fit_intercept, "class_weight": {0: 1, 1: 2, 2: 5}}
    if n_classes == 2:
        options["class_weight"] = "balanced"
    X = X.astype(dtype)
    ours = HALPClassifier(tol=1e-8, random_state=0, **options).fit(X, y, s)
    reference = LogisticRegression(tol=1e-10, max_iter=10_000, **options)
    reference.fit(X.astype(np.float64), y, s)
    np.testing.assert_allclose(ours.coef_, reference.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.intercept_, reference.intercept_, rtol=1e-4, atol=1e-5)
    regressor = HALPRegressor(tol=1e-8, fit_intercept=fit_intercept).fit(X, target, s)
    ridge = Ridge(fit_intercept=fit_intercept).fit(X.astype(np.float64), target, s)
    np.testing.assert_allclose(regressor.coef_, ridge.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(regressor.intercept_, ridge.intercept_, rtol=1e-5, atol=1e-6)


def test_no_regularization_at_all():
    X, target = gaussian(300, 5)
    y = target + 3 * np.random.default_rng(4).standard_normal(300) > 0
    ours = HALPClassifier(np.inf, tol=1e-8).fit(X, y)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(ours.coef_, reference.coef_, rtol=1e-4)


def many_samples():
    """Name, X, y, weights: sets of which a part of the samples is enough to take steps on."""
    random = np.random.default_rng(5)
    X = random.standard_normal((40_000, 4))
    y = X @ np.array([1, -2, 0.5, 0]) + random.standard_normal(40_000) > 0
    yield "gaussian", X, y, None
    yield "sorted by class", X[np.argsort(y)], np.sort(y), None
    yield "weighted", X, y, random.integers(0, 3, 40_000).astype(float)
    few = np.zeros(40_000)
    few[:20] = 1
    yield "few with weights", X, y, few
    yield "one class rare", X, X[:, 0] + random.standard_normal(40_000) > 3.5, None
    yield "heavy tails", random.standard_t(1.2, (40_000, 4)), y, None
    X = X.copy()
    X[7] = [1e3, 1e3, 1e3, -1e3]  # most probably not in the part
    yield "one far away", X, y, None


@pytest.mark.parametrize(
    ("name", "X", "y", "s"), [pytest.param(*c, id=c[0]) for c in many_samples()]
)
def test_steps_on_a_part_of_the_samples_reach_the_solution_of_all(name, X, y, s):
    ours = HALPClassifier(tol=1e-8, random_state=0).fit(X, y, s)
    reference = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y, s)
    size = np.abs(reference.coef_).max()
    np.testing.assert_allclose(ours.coef_, reference.coef_, rtol=0, atol=RELATIVE * size)
    np.testing.assert_allclose(ours.intercept_, reference.intercept_, rtol=RELATIVE, atol=1e-6)
    history = ours.history_
    assert history["samples"].iloc[-1] == len(X)
    if name == "gaussian":
        assert history["step_samples"].iloc[-1] == len(X) // 8
    if name in ("few with weights", "one far away"):
        assert history["step_samples"].iloc[-1] == len(X)
    threads = HALPClassifier(tol=1e-8, random_state=0, n_jobs=3).fit(X, y, s)
    np.testing.assert_array_equal(threads.coef_, ours.coef_)
    regressor = HALPRegressor(tol=1e-8, random_state=0).fit(X, X[:, 0] + y, s)
    ridge = Ridge().fit(X, X[:, 0] + y, s)
    np.testing.assert_allclose(regressor.coef_, ridge.coef_, rtol=0, atol=1e-5)


# ---- Course of the fit ---------------------------------------------------------------------------


def test_falls_back_to_more_bits_where_eight_do_not_suffice():
    X, y = load_digits(n_class=4, return_X_y=True)
    model = HALPClassifier(precision="D8M8", tol=1e-6, random_state=0).fit(X, y)
    assert model.history_["precision"].iloc[0] == "D8M8"
    assert model.precision_ in ("D8M16", "D16M16")
    assert model.history_["grad_norm"].iloc[-1] <= 1e-6


def test_history_tells_what_ran():
    X, y = gaussian()
    model = HALPRegressor(random_state=0).fit(X, y)
    assert list(model.history_["epoch"]) == list(range(model.n_iter_ + 1))
    assert model.history_["seconds"].is_monotonic_increasing
    loss = model.history_["loss"].to_numpy()
    assert (np.diff(loss) <= 1e-12 * loss[0]).all()
    assert model.isa_ == kernels.active()
    assert model.precision_ == "D8M16"


def test_warns_with_the_reason_when_it_stops_early():
    X, y = load_digits(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="max_iter=2 epochs were not enough"):
        HALPClassifier(max_iter=2, tol=1e-9).fit(X, y)


def test_warns_when_no_progress_is_possible():
    X, y = gaussian()
    with pytest.warns(ConvergenceWarning, match="no epoch makes progress"):
        HALPRegressor(tol=0.0, max_iter=1000).fit(X, y)


def test_verbose_prints_a_line_an_epoch(capsys):
    X, y = gaussian()
    model = HALPRegressor(verbose=1).fit(X, y)
    assert len(capsys.readouterr().out.splitlines()) == model.n_iter_


def test_a_warm_start_saves_epochs():
    X, y = load_iris(return_X_y=True)
    model = HALPClassifier(tol=1e-8, warm_start=True, random_state=0).fit(X, y)
    first, coef = model.n_iter_, model.coef_
    model.fit(X, y)
    assert model.n_iter_ < first
    np.testing.assert_allclose(model.coef_, coef, atol=1e-5)


@pytest.mark.parametrize("far", [0.0, 1e3])  # where blocks are centered themselves
@pytest.mark.parametrize("estimator", [HALPClassifier, HALPRegressor])
def test_the_number_of_threads_changes_no_bit(estimator, far):
    X = np.random.default_rng(0).standard_normal((9000, 600), np.float32)
    assert X.size > 2 * GRADIENT_ELEMENTS  # several blocks of either size
    y = X[:, 0] + X[:, 1]
    y, X = y > 0 if estimator is HALPClassifier else y, X + np.float32(far)
    one, three = (estimator(n_jobs=n, random_state=0, tol=0.03).fit(X, y) for n in (1, 3))
    np.testing.assert_array_equal(one.coef_, three.coef_)


def test_all_backends_give_the_same_bits():
    X, y = load_wine(return_X_y=True)
    solutions = []
    for name in kernels.backends():
        with kernels.use(name):
            model = HALPClassifier(random_state=0).fit(X, y)
        assert model.isa_ == name
        solutions.append(model.coef_)
    for other in solutions[1:]:
        np.testing.assert_array_equal(solutions[0], other)


MEMORY = """
import resource, sys
import numpy as np
from halpbench import HALPRegressor
small = np.random.default_rng(0).standard_normal((500, 20))
HALPRegressor().fit(small, small[:, 0])  # what is imported and allocated once and for all
X = np.load(sys.argv[1], mmap_mode="r")
y = X[:, 0] + X[:, 1]
with open("/proc/self/status") as status:
    data = next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024
limit = data + int(1.25 * X.size) + (16 << 20)  # 16 MiB for blocks of rows, whatever the size of X
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
model = HALPRegressor(tol=float(sys.argv[2])).fit(X, y)
model.predict(X)
print(model.history_["step_samples"].iloc[-1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA and /proc are Linux's")
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        pytest.param((60_000, 600), "float32", id="float32"),
        pytest.param((60_000, 600), "float64", id="float64"),
        pytest.param((720_000, 50), "float64", id="steps on a part"),
    ],
)
def test_a_memory_map_is_trained_in_little_more_than_a_byte_an_element(tmp_path, shape, dtype):
    block = np.random.default_rng(0).standard_normal((1000, shape[1])).astype(dtype)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", dtype, shape)
    for start in range(0, shape[0], 1000):
        X[start : start + 1000] = block
    del X
    tall = shape[1] < 100
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "X.npy"), "1e-4" if tall else "0.03"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == (shape[0] // 8 if tall else shape[0])


# ---- In company ----------------------------------------------------------------------------------


def test_in_a_pipeline_and_a_grid_search():
    X, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), HALPClassifier())
    search = GridSearchCV(pipeline, {"halpclassifier__C": [0.01, 1.0]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.9
    assert list(search.best_estimator_[-1].feature_names_in_) == list(X.columns)


def test_pickle():
    X, y = gaussian(50, 3)
    model = HALPClassifier(random_state=0).fit(X, y > 0)
    again = pickle.loads(pickle.dumps(model))
    for name in ("classes_", "coef_", "intercept_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), rtol=1e-12)


def test_sparse_input_is_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="dense data is required"):
        HALPRegressor().fit(sparse.eye_array(5).tocsr(), np.arange(5.0))


@pytest.mark.parametrize(
    ("options", "message"), [({"C": 0}, "'C'"), ({"precision": "D4"}, "'precision'")]
)
def test_bad_parameters_are_refused(options, message):
    X, y = gaussian(50, 3)
    with pytest.raises(ValueError, match=message):
        HALPClassifier(**options).fit(X, y > 0)


def test_nothing_is_written_to_the_data():
    X, y = gaussian()
    X.flags.writeable = y.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HALPRegressor().fit(X, y)
        HALPRegressor().fit(np.asfortranarray(X), y)
