"""Linear models as minimisation problems: loss, gradient, and the constants that step sizes need.

Both problems minimise::

    f(w) = (1/N) sum_i f_i(w),    f_i(w) = loss(x_i . w, y_i) + (l2/2) ||w||^2

over a dense data matrix, which is kept as it is (float32 or float64, never copied). All results are
float64; the data are converted a block of rows at a time.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halpbench._kernels import real_number
from halpbench.arguments import real_array
from halpbench.losses import SOFTMAX, SQUARED, Loss
from halpbench.rows import Rows

__all__ = ["LeastSquares", "LinearProblem", "SoftmaxRegression"]

FloatArray = NDArray[np.float64]

# Power iteration for mean_smoothness(): stop at this relative residual, or after this many passes.
_POWER_TOLERANCE = 1e-3
_POWER_PASSES = 50


class LinearProblem(ABC):
    """Parts that the problems share: the data, the regularization, the passes over the rows.

    Attributes
    ----------
    X : ndarray of shape (N, d)
    y : ndarray of shape (N,)
    l2 : float
    loss_function : Loss
    n_outputs : int
        Margins of a sample: 1, or the number of classes.
    rows : Rows
        X as the solvers read it.
    """

    loss_function: Loss

    X: NDArray[Any]
    y: NDArray[Any]
    l2: float
    n_outputs: int

    def __init__(self, X: NDArray[Any], l2: float) -> None:
        self.X = _checked_data(X)
        self.rows = Rows(self.X)
        self.l2 = _checked_l2(l2)

    @property
    def kind(self) -> str:
        """Name of the loss."""
        return self.loss_function.name

    @property
    def n_samples(self) -> int:
        """Number of rows of X, N."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns of X, d."""
        return int(self.X.shape[1])

    @property
    @abstractmethod
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weights: (d,) or (C, d)."""

    @abstractmethod
    def reduced(self, X: NDArray[Any]) -> LinearProblem:
        """Return the same problem (targets, l2) on another data matrix."""

    def margins(self, w: ArrayLike) -> FloatArray:
        """Return x_i . w for every row.

        Parameters
        ----------
        w : array_like of shape `weight_shape`

        Returns
        -------
        ndarray of shape (N,) or (N, C), float64

        Raises
        ------
        TypeError
            If `w` is not real.
        ValueError
            If `w` has another shape.
        """
        w = self._checked_weights(w)
        margins = np.empty((self.n_samples, *w.shape[:-1]))
        for rows, block in self.rows.in_float64():
            margins[rows] = block @ w.T
        return margins

    def margin_derivative(self, margins: ArrayLike, y: ArrayLike | None = None) -> FloatArray:
        """Return the derivative of the loss with respect to the margins.

        Parameters
        ----------
        margins : array_like of shape (n,) or (n, C)
        y : array_like of shape (n,), optional
            The targets of these rows; by default those of the whole problem (n = N).

        Returns
        -------
        ndarray of the shape of `margins`, float64

        Raises
        ------
        TypeError
            If the margins are not real.
        ValueError
            If the shapes do not fit.
        """
        margins = real_array("margins", margins)
        targets = self.y if y is None else np.asarray(y, dtype=self.y.dtype)
        expected = (*targets.shape, *self.weight_shape[:-1])
        if targets.ndim != 1 or margins.shape != expected:
            raise ValueError(f"margins: got shape {margins.shape}, expected {expected}")
        return self._value_and_derivative(margins.copy(), targets)[1]

    def loss(self, w: ArrayLike) -> float:
        """Return f(w), regularization included.

        Parameters
        ----------
        w : array_like of shape `weight_shape`

        Raises
        ------
        TypeError
            If `w` is not real.
        ValueError
            If `w` has another shape.
        """
        w = self._checked_weights(w)
        total = 0.0
        for rows, block in self.rows.in_float64():
            total += self._value_and_derivative(block @ w.T, self.y[rows])[0]
        return total / self.n_samples + self._penalty(w)

    def gradient(self, w: ArrayLike) -> FloatArray:
        """Return the gradient of f at `w`, regularization included.

        Parameters
        ----------
        w : array_like of shape `weight_shape`

        Returns
        -------
        ndarray of shape `weight_shape`, float64

        Raises
        ------
        TypeError
            If `w` is not real.
        ValueError
            If `w` has another shape.
        """
        return self.loss_and_gradient(w)[1]

    def loss_and_gradient(self, w: ArrayLike) -> tuple[float, FloatArray]:
        """Return f(w) and its gradient from one pass over the data.

        Parameters
        ----------
        w : array_like of shape `weight_shape`

        Returns
        -------
        loss : float
        gradient : ndarray of shape `weight_shape`, float64

        Raises
        ------
        TypeError
            If `w` is not real.
        ValueError
            If `w` has another shape.
        """
        w = self._checked_weights(w)
        total = 0.0
        gradient = np.zeros(self.weight_shape)
        for rows, block in self.rows.in_float64():
            loss, derivative = self._value_and_derivative(block @ w.T, self.y[rows])
            total += loss
            gradient += derivative.T @ block
        gradient /= self.n_samples
        gradient += self.l2 * w
        return total / self.n_samples + self._penalty(w), gradient

    def smoothness(self) -> float:
        """Return L = max_i L_i, where L_i is a Lipschitz constant of the gradient of f_i.

        L_i = c ||x_i||^2 + l2, with c the largest curvature of the loss in the margin: c = 1 for
        the squared loss and c = 1/2 for the softmax loss, whose Hessian satisfies
        diag(p) - p p^T <= (I - 1 1^T / C) / 2 (Boehning, "Multinomial logistic regression
        algorithm", Ann. Inst. Statist. Math. 44, 1992).
        """
        largest = max(float(_squared_norms(block).max()) for _, block in self.rows.in_float64())
        return self.loss_function.curvature * largest + self.l2

    def mean_smoothness(self) -> float:
        """Return an estimate of the Lipschitz constant of the gradient of f itself.

        This is c lambda_max(X^T X / N) + l2 with c as in `smoothness`. The eigenvalue is found by
        power iteration from a fixed random start: the Rayleigh quotient plus the norm of the
        residual, and never more than the mean of ||x_i||^2, which bounds it always. Each iteration
        is a pass over X, at most 50. Where many eigenvalues lie close to the largest one the result
        can be low by a few per cent.
        """
        mean_norm = sum(float(_squared_norms(block).sum()) for _, block in self.rows.in_float64())
        mean_norm /= self.n_samples
        if mean_norm == 0.0:
            return self.l2
        v = np.random.default_rng(0).standard_normal(self.n_features)
        largest = 0.0
        for _ in range(_POWER_PASSES):
            v /= np.linalg.norm(v)
            product = np.zeros(self.n_features)
            for _, block in self.rows.in_float64():
                product += (block @ v) @ block
            product /= self.n_samples
            quotient = float(v @ product)
            residual = float(np.linalg.norm(product - quotient * v))
            largest = quotient + residual
            if residual <= _POWER_TOLERANCE * quotient:
                break
            v = product
        return self.loss_function.curvature * min(largest, mean_norm) + self.l2

    def strong_convexity(self) -> float:
        """Return a constant of strong convexity of f, mu; 0 if none is known."""
        return self.l2

    def default_step_size(self) -> float:
        """Return a step size at which SVRG converges without tuning: 1 / (2 L), L = smoothness().

        With u = z - z* the error of an inner iterate, H the Hessian and c = a L, a step on the
        squared loss gives E||u'||^2 <= ||u||^2 - a (2 - c) u^T H u + a c z*^T H z* (and a cross
        term whose mean dies out), so a long epoch multiplies the mean suboptimality by c / (2 - c)
        at most: 1/3 for c = 1/2, nothing gained at c = 1. A softmax loss behaves alike near its
        optimum. Ill-conditioned data profit from larger steps (many bear c = 1, few c = 2),
        well-conditioned data from smaller ones; the general theory (Johnson and Zhang, NIPS 2013)
        needs c < 1/4.

        Raises
        ------
        ValueError
            If L is 0, so that every step size does the same.
        """
        smoothness = self.smoothness()
        if smoothness == 0.0:
            raise ValueError(
                "no default step size: got smoothness 0, expected a nonzero X or l2 > 0"
            )
        return 1.0 / (2.0 * smoothness)

    def predict(self, w: ArrayLike, X: NDArray[Any]) -> NDArray[Any]:
        """Predict the targets of new rows.

        Parameters
        ----------
        w : array_like of shape `weight_shape`
        X : ndarray of shape (n, d), float32 or float64

        Returns
        -------
        ndarray of shape (n,)
            The margins (float64) for least squares, the most likely classes (int64) for softmax.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        w = self._checked_weights(w)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise ValueError(f"X: got shape {X.shape}, expected (n, {self.n_features})")
        outputs = [self._decide(block @ w.T) for _, block in Rows(X).in_float64()]
        return np.concatenate(outputs) if outputs else self._decide(X @ w.T)

    @abstractmethod
    def _decide(self, margins: FloatArray) -> NDArray[Any]:
        """Return the predictions that belong to margins."""

    def _value_and_derivative(
        self, margins: FloatArray, y: NDArray[Any]
    ) -> tuple[float, FloatArray]:
        """Sum of the losses of some rows, and their derivatives; margins are overwritten."""
        losses, derivative = self.loss_function.value_and_derivative(margins, y)
        return float(losses.sum()), derivative

    def _penalty(self, w: FloatArray) -> float:
        return 0.5 * self.l2 * float(np.vdot(w, w))

    def _checked_weights(self, w: ArrayLike) -> FloatArray:
        w = real_array("w", w)
        if w.shape != self.weight_shape:
            raise ValueError(f"w: got shape {w.shape}, expected {self.weight_shape}")
        return w


class LeastSquares(LinearProblem):
    """Linear regression: f(w) = (1/2N) ||X w - y||^2 + (l2/2) ||w||^2, without intercept.

    scikit-learn's ``Ridge(alpha=N * l2, fit_intercept=False)`` has the same solution.

    Parameters
    ----------
    X : ndarray of shape (N, d), float32 or float64, C-contiguous
        The data; kept without a copy. Read-only arrays and memory maps will do.
    y : array_like of shape (N,), real
        The targets; copied to float64.
    l2 : float, default 0.0
        Weight of the regularization, not negative.

    Raises
    ------
    TypeError
        If `X` is not a NumPy array of float32 or float64, or `y` is not real.
    ValueError
        If an array is empty or has another shape, is not C-contiguous, or holds NaN or infinity;
        if the lengths of `X` and `y` differ; if `l2` is negative or not finite.

    Notes
    -----
    The loss is (a - y)^2 / 2 for the margin a = x . w.
    """

    loss_function = SQUARED
    n_outputs = 1

    def __init__(self, X: NDArray[Any], y: ArrayLike, l2: float = 0.0) -> None:
        super().__init__(X, l2)
        self.y = _checked_targets(y, self.n_samples)

    @property
    def weight_shape(self) -> tuple[int]:
        """Shape of the weights, (d,)."""
        return (self.n_features,)

    def reduced(self, X: NDArray[Any]) -> LeastSquares:
        """Return the same problem (y, l2) on another data matrix, (N, d') and checked anew."""
        return LeastSquares(X, self.y, self.l2)

    def strong_convexity(self) -> float:
        """Return mu = lambda_min(X^T X / N) + l2.

        Costs O(N d^2 + d^3) operations and a d x d float64 matrix (800 MB at d = 10,000). With
        fewer rows than columns the eigenvalue is 0 and nothing is computed.
        """
        d = self.n_features
        if self.n_samples < d:
            return self.l2
        gram = np.zeros((d, d))
        for _, block in self.rows.in_float64():
            gram += block.T @ block
        eigenvalues = np.linalg.eigvalsh(gram / self.n_samples)
        # Below this the eigenvalue is rounding error of a singular matrix.
        threshold = d * np.finfo(np.float64).eps * eigenvalues[-1]
        return self.l2 + (float(eigenvalues[0]) if eigenvalues[0] > threshold else 0.0)

    def _decide(self, margins: FloatArray) -> FloatArray:
        return margins


class SoftmaxRegression(LinearProblem):
    """Multi-class logistic regression with a row of weights per class, without intercept.

    The loss is logsumexp(a) - a_y for the margins a = W x; no class serves as reference.
    scikit-learn's ``LogisticRegression(C=1 / (N * l2), fit_intercept=False)`` has the same solution
    for three classes or more.

    Parameters
    ----------
    X : ndarray of shape (N, d), float32 or float64, C-contiguous
        The data; kept without a copy. Read-only arrays and memory maps will do.
    y : array_like of shape (N,), integer
        Labels 0 to C - 1; copied to int64.
    l2 : float, default 0.0
        Weight of the regularization, not negative.
    n_classes : int, optional
        C, at least 2. Without it C is the largest label plus one, and every class must occur: a
        gap more often means other labels (1 to 10, say) than a class without examples.

    Raises
    ------
    TypeError
        If `X` is not a NumPy array of float32 or float64, or `y` or `n_classes` is not of integer
        type.
    ValueError
        If an array is empty or has another shape, is not C-contiguous, or holds NaN or infinity;
        if the lengths of `X` and `y` differ; if a label is outside 0 to C - 1, there are fewer than
        two classes, or one is missing; if `l2` is negative or not finite.
    """

    loss_function = SOFTMAX

    def __init__(
        self, X: NDArray[Any], y: ArrayLike, l2: float = 0.0, n_classes: int | None = None
    ) -> None:
        super().__init__(X, l2)
        self.y, self.n_outputs = _checked_labels(y, self.n_samples, n_classes)

    @property
    def weight_shape(self) -> tuple[int, int]:
        """Shape of the weights, (C, d)."""
        return (self.n_outputs, self.n_features)

    def reduced(self, X: NDArray[Any]) -> SoftmaxRegression:
        """Return the same problem (y, l2, C) on another data matrix, (N, d') and checked anew."""
        return SoftmaxRegression(X, self.y, self.l2, self.n_outputs)

    def _decide(self, margins: FloatArray) -> NDArray[np.int64]:
        classes: NDArray[np.int64] = margins.argmax(axis=1).astype(np.int64, copy=False)
        return classes


def _squared_norms(block: FloatArray) -> FloatArray:
    norms: FloatArray = np.einsum("ij,ij->i", block, block)
    return norms


def _checked_data(X: NDArray[Any]) -> NDArray[Any]:
    """Return X itself if it is a dense matrix that the kernels can read; raise otherwise."""
    convert = "convert it with numpy.ascontiguousarray(X, dtype=numpy.float32)"
    # Subclasses such as matrix and MaskedArray give `@` and slices another meaning.
    if type(X) not in (np.ndarray, np.memmap):
        raise TypeError(f"X: got {type(X).__name__}, expected a dense numpy.ndarray; {convert}")
    if X.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"X: got dtype {X.dtype}, expected native float32 or float64; {convert}")
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(
            f"X: got shape {X.shape}, expected (n_samples, n_features), at least (1, 1)"
        )
    if not (X.flags.c_contiguous and X.flags.aligned):
        raise ValueError(
            f"X: got strides {X.strides}, expected an aligned C-contiguous array; {convert}"
        )
    for rows in Rows(X).blocks():
        finite = np.isfinite(X[rows])
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            value = X[rows][row, column]
            raise ValueError(
                f"X: got {value} at row {rows.start + row}, column {column}, expected finite values"
            )
    return X


def _checked_l2(l2: float) -> float:
    number = real_number(l2, "l2")
    if number < 0.0:
        raise ValueError(f"l2: got {number}, expected a finite number >= 0")
    return number


def _checked_vector(y: ArrayLike, n_samples: int) -> NDArray[Any]:
    """Return y as an array of shape (n_samples,)."""
    y = np.asarray(y)
    if y.shape != (n_samples,):
        raise ValueError(
            f"y: got shape {y.shape}, expected {(n_samples,)}, one target per row of X"
        )
    return y


def _checked_targets(y: ArrayLike, n_samples: int) -> FloatArray:
    y = _checked_vector(y, n_samples)
    if y.dtype.kind not in "fiu":
        raise TypeError(f"y: got dtype {y.dtype}, expected real numbers")
    targets = y.astype(np.float64)
    if not np.isfinite(targets).all():
        row = int(np.argmin(np.isfinite(targets)))
        raise ValueError(f"y: got {targets[row]} at row {row}, expected finite values")
    return targets


def _checked_labels(
    y: ArrayLike, n_samples: int, n_classes: int | None
) -> tuple[NDArray[np.int64], int]:
    y = _checked_vector(y, n_samples)
    if y.dtype.kind not in "iu":
        raise TypeError(
            f"y: got dtype {y.dtype}, expected integer labels; convert them with y.astype(int)"
        )
    smallest, largest = int(y.min()), int(y.max())
    n_outputs = largest + 1 if n_classes is None else operator.index(n_classes)
    relabel = "map the labels you have with numpy.unique(y, return_inverse=True)[1]"
    if n_outputs < 2 and smallest >= 0:
        raise ValueError(f"n_classes: got {n_outputs}, expected at least 2")
    if smallest < 0 or largest >= n_outputs:
        expected = "0 to C - 1" if n_classes is None else f"0 to {n_outputs - 1}"
        raise ValueError(
            f"y: got labels from {smallest} to {largest}, expected {expected}; {relabel}"
        )
    n_distinct = len(np.unique(y))
    if n_classes is None and n_distinct != n_outputs:
        raise ValueError(
            f"y: got {n_distinct} distinct labels from {smallest} to {largest}, expected all of "
            f"0 to {largest}; {relabel}, or pass n_classes to allow classes without examples"
        )
    return y.astype(np.int64), n_outputs
