"""The two problems: values, derivatives, constants, checks, memory."""

import tracemalloc
import warnings

import numpy as np
import pytest

from halpbench import rows
from halpbench.problems import LeastSquares, SoftmaxRegression

# float64 sums in another order.
RTOL = 1e-11
# Central differences with step 1e-6 on values of order 1.
DIFFERENCE_RTOL = 1e-6


def make_squared(n=60, d=7, l2=0.1, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(dtype)
    return LeastSquares(X, rng.standard_normal(n), l2)


def make_softmax(n=60, d=7, l2=0.1, dtype=np.float64, seed=0, n_classes=4):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(dtype)
    return SoftmaxRegression(X, np.arange(n) % n_classes, l2, n_classes)


MAKERS = [make_squared, make_softmax]


def random_weights(problem, seed=1):
    return np.random.default_rng(seed).standard_normal(problem.weight_shape)


def naive_losses(problem, w):
    """f_i(w) for every row, one row at a time, straight from the definition."""
    losses = []
    for x, y in zip(problem.X.astype(np.float64), problem.y, strict=True):
        if problem.kind == "squared":
            losses.append((w @ x - y) ** 2 / 2)
        else:
            losses.append(np.log(np.exp(w @ x).sum()) - (w @ x)[y])
    return np.array(losses) + problem.l2 / 2 * (w**2).sum()


def naive_gradients(problem, w):
    """The gradients of f_i, shape (N, *weight_shape)."""
    gradients = []
    for x, y in zip(problem.X.astype(np.float64), problem.y, strict=True):
        if problem.kind == "squared":
            gradients.append((w @ x - y) * x + problem.l2 * w)
        else:
            p = np.exp(w @ x) / np.exp(w @ x).sum()
            p[y] -= 1
            gradients.append(np.outer(p, x) + problem.l2 * w)
    return np.array(gradients)


# Blocks of one row, of 7 rows with a shorter last one, and of all rows.
any_block_size = pytest.mark.parametrize(
    "block_elements", [1, 50, 10**6], ids=["row-by-row", "blocks", "one-block"]
)


@any_block_size
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_and_gradient_follow_the_definition(make, dtype, block_elements):
    problem = make(dtype=dtype)
    problem.rows.block_elements = block_elements
    w = random_weights(problem)
    loss, gradient = problem.loss_and_gradient(w)
    np.testing.assert_allclose(loss, naive_losses(problem, w).mean(), rtol=RTOL)
    np.testing.assert_allclose(gradient, naive_gradients(problem, w).mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(problem.loss(w), loss, rtol=RTOL)
    np.testing.assert_array_equal(problem.gradient(w), gradient)
    assert isinstance(loss, float)
    assert isinstance(problem.loss(w), float)
    assert gradient.dtype == np.float64
    assert gradient.shape == problem.weight_shape


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_gradient_is_the_derivative_of_the_loss(make, l2):
    problem = make(l2=l2)
    w = random_weights(problem)
    direction = random_weights(problem, seed=2)
    slope = (problem.loss(w + 1e-6 * direction) - problem.loss(w - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(slope, np.vdot(problem.gradient(w), direction), rtol=DIFFERENCE_RTOL)


@pytest.mark.parametrize("make", MAKERS)
def test_margins_and_their_derivative_make_the_gradient(make):
    problem = make(dtype=np.float32)
    w = random_weights(problem)
    margins = problem.margins(w)
    assert margins.dtype == np.float64
    np.testing.assert_allclose(margins, problem.X.astype(np.float64) @ w.T, rtol=RTOL)
    derivative = problem.margin_derivative(margins)
    assert derivative.shape == margins.shape
    gradient = derivative.T @ problem.X / problem.n_samples + problem.l2 * w
    np.testing.assert_allclose(gradient, problem.gradient(w), rtol=1e-9)
    rows = [5, 3, 3]
    np.testing.assert_allclose(
        problem.margin_derivative(margins[rows], problem.y[rows]), derivative[rows], rtol=RTOL
    )


def test_margin_derivative_leaves_its_input_alone():
    problem = make_softmax()
    margins = problem.margins(random_weights(problem))
    before = margins.copy()
    problem.margin_derivative(margins)
    np.testing.assert_array_equal(margins, before)


def test_softmax_survives_huge_margins():
    problem = SoftmaxRegression(np.eye(2), [0, 1])
    w = np.array([[1000.0, 1000.0], [0.0, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss, gradient = problem.loss_and_gradient(w)
    assert loss == 500.0  # row 0 is right (loss 0), row 1 wrong by a margin of 1000
    np.testing.assert_array_equal(gradient, [[0.0, 0.5], [0.0, -0.5]])


def test_agrees_with_ridge():
    linear_model = pytest.importorskip("sklearn.linear_model")
    problem = make_squared(l2=0.05)
    ridge = linear_model.Ridge(alpha=problem.n_samples * problem.l2, fit_intercept=False)
    w = ridge.fit(problem.X, problem.y).coef_
    assert np.linalg.norm(problem.gradient(w)) < 1e-12


def test_agrees_with_logistic_regression():
    linear_model = pytest.importorskip("sklearn.linear_model")
    problem = make_softmax(l2=0.01)
    model = linear_model.LogisticRegression(
        C=1 / (problem.n_samples * problem.l2), fit_intercept=False, tol=1e-10, max_iter=10_000
    )
    w = model.fit(problem.X, problem.y).coef_
    assert np.linalg.norm(problem.gradient(w)) < 1e-7
    np.testing.assert_array_equal(problem.predict(w, problem.X), model.predict(problem.X))


@any_block_size
@pytest.mark.parametrize(("make", "curvature"), [(make_squared, 1.0), (make_softmax, 0.5)])
def test_smoothness_against_brute_force(make, curvature, block_elements):
    problem = make(l2=0.25, dtype=np.float32)
    problem.rows.block_elements = block_elements
    X = problem.X.astype(np.float64)
    largest = max(float(x @ x) for x in X)
    np.testing.assert_allclose(problem.smoothness(), curvature * largest + 0.25, rtol=RTOL)
    top = np.linalg.eigvalsh(X.T @ X / len(X))[-1]
    np.testing.assert_allclose(problem.mean_smoothness(), curvature * top + 0.25, rtol=2e-3)
    assert problem.mean_smoothness() <= problem.smoothness()
    np.testing.assert_allclose(problem.default_step_size(), 0.5 / problem.smoothness())


@pytest.mark.parametrize("make", MAKERS)
def test_gradients_of_single_rows_are_lipschitz_with_the_constant(make):
    problem = make(l2=0.0)
    largest_ratio = 0.0
    for seed in range(20):
        # Close points and moderate weights, where softmax curvature is largest.
        w = 0.1 * random_weights(problem, seed)
        step = 1e-4 * random_weights(problem, seed + 100)
        if seed % 2:  # along the steepest data row, so that the bound is nearly reached
            row = problem.X[(problem.X**2).sum(axis=1).argmax()]
            step = row * 1e-4 if problem.kind == "squared" else np.outer([1, -1, 0, 0], row) * 1e-4
        change = naive_gradients(problem, w + step) - naive_gradients(problem, w)
        norms = np.sqrt((change.reshape(len(change), -1) ** 2).sum(axis=1))
        largest_ratio = max(largest_ratio, norms.max() / np.linalg.norm(step))
    assert largest_ratio <= problem.smoothness() * (1 + 1e-6)
    assert largest_ratio >= 0.4 * problem.smoothness()


def test_softmax_curvature_reaches_one_half():
    # Two likely classes of equal probability: the Hessian's norm tends to 1/2.
    problem = SoftmaxRegression(np.ones((3, 1)), [0, 1, 2])
    w = np.array([[0.0], [0.0], [-50.0]])
    step = np.array([[1.0], [-1.0], [0.0]]) * 1e-4
    change = naive_gradients(problem, w + step)[0] - naive_gradients(problem, w)[0]
    ratio = np.linalg.norm(change) / np.linalg.norm(step)
    np.testing.assert_allclose(ratio, problem.smoothness(), rtol=1e-6)


def test_mean_smoothness_never_exceeds_the_mean_row_norm():
    problem = LeastSquares(np.eye(3), np.zeros(3))
    np.testing.assert_allclose(problem.mean_smoothness(), 1 / 3, rtol=RTOL)
    assert LeastSquares(np.zeros((3, 2)), np.zeros(3), l2=0.5).mean_smoothness() == 0.5


def test_strong_convexity():
    problem = make_squared(l2=0.25, dtype=np.float32)
    X = problem.X.astype(np.float64)
    smallest = np.linalg.eigvalsh(X.T @ X / len(X))[0]
    np.testing.assert_allclose(problem.strong_convexity(), smallest + 0.25, rtol=1e-10)
    assert make_squared(n=3, d=7, l2=0.25).strong_convexity() == 0.25
    repeated = LeastSquares(np.repeat(X[:, :1], 3, axis=1), np.zeros(len(X)), l2=0.25)
    assert repeated.strong_convexity() == 0.25
    assert make_softmax(l2=0.25).strong_convexity() == 0.25


def test_no_step_size_without_curvature():
    with pytest.raises(ValueError, match="got smoothness 0"):
        LeastSquares(np.zeros((2, 2)), [1.0, 2.0]).default_step_size()


def svrg(problem, step_size, epochs, seed=0):
    """Plain SVRG, option I, T = 2N, in float64: the gradient norms before each epoch and after."""
    rng = np.random.default_rng(seed)
    w = np.zeros(problem.weight_shape)
    norms = []
    for _ in range(epochs):
        centre_margins, centre_gradient = problem.margins(w), problem.gradient(w)
        norms.append(np.linalg.norm(centre_gradient))
        centre_derivative = problem.margin_derivative(centre_margins)
        z = np.zeros_like(w)
        for i in rng.integers(0, problem.n_samples, 2 * problem.n_samples):
            margin = centre_margins[i : i + 1] + problem.X[i : i + 1] @ z.T
            difference = problem.margin_derivative(margin, problem.y[i : i + 1])
            difference -= centre_derivative[i]
            z -= step_size * (
                difference.T @ problem.X[i : i + 1] + problem.l2 * z + centre_gradient
            ).reshape(w.shape)
        w += z
    return [*norms, np.linalg.norm(problem.gradient(w))]


def test_default_step_size_converges_where_it_is_hardest():
    # Rows of equal norm in all directions: the bound c / (2 - c) on the contraction is met here.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 10))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    squared = LeastSquares(X, rng.standard_normal(400))
    norms = svrg(squared, squared.default_step_size(), epochs=12)
    assert norms[-1] < (1 / 3) ** (12 / 2) * 30 * norms[0]
    softmax = SoftmaxRegression(X, (X @ rng.standard_normal((10, 3))).argmax(axis=1), l2=1e-2)
    norms = svrg(softmax, softmax.default_step_size(), epochs=4)
    assert norms[-1] < 0.05 * norms[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_are_kept_uncopied(dtype):
    X = np.arange(6, dtype=dtype).reshape(3, 2)
    X.flags.writeable = False
    assert LeastSquares(X, [1, 2, 3]).X is X
    assert SoftmaxRegression(X, [0, 1, 2]).X is X


def test_memory_map(tmp_path):
    np.save(tmp_path / "X.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    problem = LeastSquares(X, [1, 2, 3])
    assert problem.X is X
    assert type(problem.margins(np.ones(2))) is np.ndarray
    np.testing.assert_array_equal(problem.margins(np.ones(2)), [1, 5, 9])


def test_targets_are_copied():
    y = np.array([1.0, 2.0])
    labels = np.array([0, 1], dtype=np.uint8)
    squared, softmax = LeastSquares(np.eye(2), y), SoftmaxRegression(np.eye(2), labels)
    y[0], labels[0] = 7, 1
    np.testing.assert_array_equal(squared.y, [1, 2])
    np.testing.assert_array_equal(softmax.y, [0, 1])
    assert squared.y.dtype == np.float64
    assert softmax.y.dtype == np.int64


def test_smallest_problems():
    squared = LeastSquares(np.array([[2.0]]), [4.0])
    assert squared.weight_shape == (1,)
    assert squared.loss([1.0]) == 2.0
    np.testing.assert_array_equal(squared.gradient([1.0]), [-4.0])
    assert squared.strong_convexity() == squared.smoothness() == 4.0
    softmax = SoftmaxRegression(np.array([[1.0]]), [1], n_classes=2)
    assert softmax.weight_shape == (2, 1)
    np.testing.assert_allclose(softmax.loss([[0.0], [0.0]]), np.log(2))
    np.testing.assert_allclose(softmax.gradient([[0.0], [0.0]]), [[0.5], [-0.5]])


def test_attributes():
    squared, softmax = make_squared(l2=0.5), make_softmax(l2=0.5)
    assert (squared.kind, softmax.kind) == ("squared", "softmax")
    for problem, outputs in ((squared, 1), (softmax, 4)):
        assert (problem.n_samples, problem.n_features) == (60, 7)
        assert problem.n_outputs == outputs
        assert problem.l2 == 0.5


def test_reduced_keeps_all_but_the_data():
    X = np.ones((2, 3), dtype=np.float32)
    squared = LeastSquares(np.eye(2), [1.0, 2.0], l2=0.5).reduced(X)
    assert type(squared) is LeastSquares
    softmax = SoftmaxRegression(np.eye(2), [0, 1], l2=0.5, n_classes=4).reduced(X)
    assert type(softmax) is SoftmaxRegression
    assert softmax.n_outputs == 4
    for problem, y in ((squared, [1, 2]), (softmax, [0, 1])):
        assert problem.X is X
        assert problem.l2 == 0.5
        np.testing.assert_array_equal(problem.y, y)
    with pytest.raises(ValueError, match="one target per row"):
        squared.reduced(np.ones((3, 3)))


def test_predict():
    squared = LeastSquares(np.eye(2), [1.0, 2.0])
    np.testing.assert_array_equal(squared.predict([3.0, 4.0], np.array([[1.0, 1.0]])), [7.0])
    softmax = SoftmaxRegression(np.eye(2), [0, 1])
    labels = softmax.predict(np.eye(2), np.array([[0, 1], [2, 1]], dtype=np.float32))
    np.testing.assert_array_equal(labels, [1, 0])
    assert labels.dtype == np.int64
    assert softmax.predict(np.eye(2), np.ones((0, 2))).shape == (0,)
    with pytest.raises(ValueError, match=r"X: got shape \(1, 3\), expected \(n, 2\)"):
        softmax.predict(np.eye(2), np.ones((1, 3)))


@pytest.mark.parametrize("make", MAKERS)
def test_wrong_weights(make):
    problem = make()
    w = np.zeros((3, 3))
    methods = (problem.loss, problem.gradient, problem.loss_and_gradient, problem.margins)
    for method in methods:
        with pytest.raises(ValueError, match=r"w: got shape \(3, 3\), expected \("):
            method(w)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", [complex, str, bool, "M8[D]"])
def test_weights_and_margins_are_real_numbers(make, dtype):
    """A complex number had lost its imaginary part, a text was read."""
    problem = make()
    w, margins = np.zeros(problem.weight_shape), problem.margins(np.zeros(problem.weight_shape))
    methods = (problem.loss, problem.gradient, problem.loss_and_gradient, problem.margins)
    for given in (w.astype(int).astype(dtype), w.astype(int).astype(dtype).astype(object)):
        for method in methods:
            with pytest.raises(TypeError, match=r"^w must be (a )?real"):
                method(given)
    with pytest.raises(TypeError, match=r"^margins must be real"):
        problem.margin_derivative(margins.astype(int).astype(dtype))
    assert problem.loss(w.astype(int)) == problem.loss(w.astype(object)) == problem.loss(w)


@pytest.mark.parametrize("make", MAKERS)
def test_wrong_margins(make):
    problem = make()
    with pytest.raises(ValueError, match=r"margins: got shape \(2, 9\), expected \(60"):
        problem.margin_derivative(np.zeros((2, 9)))


def unaligned(shape):
    """Ones whose addresses are not multiples of their size."""
    size = 8 * int(np.prod(shape))
    array = np.zeros(size + 1, dtype=np.uint8)[1:].view(np.float64).reshape(shape)
    array[...] = 1
    return array


@pytest.mark.parametrize("problem_class", [LeastSquares, SoftmaxRegression])
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([[1.0], [2.0]], TypeError, "got list, expected a dense numpy.ndarray"),
        (np.ma.masked_array(np.ones((2, 1))), TypeError, "got MaskedArray"),
        (np.ones((2, 1), dtype=np.int8), TypeError, "got dtype int8, expected native float32"),
        (np.ones((2, 1), dtype=np.float16), TypeError, "got dtype float16"),
        (np.ones((2, 1), dtype=">f8"), TypeError, "got dtype >f8"),
        (np.ones((2, 1), dtype=complex), TypeError, "got dtype complex128"),
        (np.ones(2), ValueError, r"got shape \(2,\), expected \(n_samples, n_features\)"),
        (np.ones((2, 0)), ValueError, r"got shape \(2, 0\)"),
        (np.ones((0, 2)), ValueError, r"got shape \(0, 2\)"),
        (np.ones((2, 4))[:, ::2], ValueError, "expected an aligned C-contiguous array"),
        (np.asfortranarray(np.ones((2, 2))), ValueError, "numpy.ascontiguousarray"),
        (unaligned((2, 2)), ValueError, "expected an aligned C-contiguous array"),
    ],
)
def test_wrong_data(problem_class, X, error, message):
    with pytest.raises(error, match=message):
        problem_class(X, [0, 1])


# Rows in one block, and of 13 to a block.
@pytest.mark.parametrize("columns", [3, rows.BLOCK_ELEMENTS // 13])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_must_be_finite(value, dtype, columns):
    X = np.ones((40, columns), dtype=dtype)
    X[37, 2] = value
    with pytest.raises(ValueError, match=f"got {value} at row 37, column 2, expected finite"):
        LeastSquares(X, np.zeros(40))


@pytest.mark.parametrize("problem_class", [LeastSquares, SoftmaxRegression])
@pytest.mark.parametrize(
    ("l2", "error"),
    [
        (-1e-9, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        (10**400, ValueError),
        ("1", TypeError),
        (True, TypeError),
        (1j, TypeError),
    ],
)
def test_wrong_l2(problem_class, l2, error):
    with pytest.raises(error, match=r"l2(: got .*, expected| must be .*, got)"):
        problem_class(np.eye(2), [0, 1], l2=l2)


@pytest.mark.parametrize("problem_class", [LeastSquares, SoftmaxRegression])
@pytest.mark.parametrize("y", [[0], [0, 1, 0], [[0], [1]], 0])
def test_wrong_number_of_targets(problem_class, y):
    with pytest.raises(ValueError, match=r"y: got shape .* expected \(2,\), one target per row"):
        problem_class(np.eye(2), y)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([1.0, np.nan], ValueError, "y: got nan at row 1"),
        ([np.inf, 0.0], ValueError, "y: got inf at row 0"),
        (["a", "b"], TypeError, "y: got dtype <U1, expected real"),
        ([1j, 2j], TypeError, "y: got dtype complex128"),
    ],
)
def test_wrong_regression_targets(y, error, message):
    with pytest.raises(error, match=message):
        LeastSquares(np.eye(2), y)


@pytest.mark.parametrize(
    ("y", "n_classes", "error", "message"),
    [
        ([0.0, 1.0], None, TypeError, r"got dtype float64, expected integer labels.*astype"),
        ([False, True], None, TypeError, "got dtype bool"),
        ([-1, 1], None, ValueError, "got labels from -1 to 1, expected 0 to C - 1; map"),
        ([-1, -1], None, ValueError, "got labels from -1 to -1, expected 0 to C - 1"),
        ([1, 2], None, ValueError, "got 2 distinct labels from 1 to 2, expected all of 0 to 2"),
        ([0, 10**15], None, ValueError, "expected all of 0 to 1000000000000000"),
        ([0, 0], None, ValueError, "n_classes: got 1, expected at least 2"),
        ([0, 0], 1, ValueError, "n_classes: got 1, expected at least 2"),
        ([0, 2], 2, ValueError, "got labels from 0 to 2, expected 0 to 1"),
        ([0, 1], 2.0, TypeError, "float"),
    ],
)
def test_wrong_labels(y, n_classes, error, message):
    with pytest.raises(error, match=message):
        SoftmaxRegression(np.eye(2), y, n_classes=n_classes)


def test_classes_without_examples_are_allowed_by_name():
    problem = SoftmaxRegression(np.eye(2), [1, 3], n_classes=5)
    assert problem.weight_shape == (5, 2)
    assert problem.gradient(np.zeros((5, 2))).shape == (5, 2)


@pytest.mark.parametrize("problem_class", [LeastSquares, SoftmaxRegression])
def test_no_temporary_of_the_size_of_the_data(problem_class):
    n_samples, n_features = 20_000, 400
    X = np.ones((n_samples, n_features), dtype=np.float32)
    y = np.arange(n_samples) % 2
    block_bytes = 8 * rows.BLOCK_ELEMENTS
    tracemalloc.start()
    problem = problem_class(X, y)
    w = np.zeros(problem.weight_shape)
    problem.loss_and_gradient(w)
    problem.loss(w)
    problem.margins(w)
    problem.smoothness()
    problem.mean_smoothness()
    problem.strong_convexity()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * block_bytes + 8 * (4 * n_samples + 4 * n_features**2)
    assert peak < X.nbytes / 2
