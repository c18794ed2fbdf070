"""The objective that the estimators minimize: weighted, with intercept, exact, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

FloatArray = NDArray[np.float64]

# Of a block: large enough that Python's cost per block vanishes, small enough that the block is
# still in the cache when it is read the second time. The partition must not depend on the number of
# threads, because the partial sums follow it.
BLOCK_ELEMENTS = 1 << 18

# Margins are computed as x . w - mean . w, which loses digits where a mean is large against the
# spread of its column. Beyond this ratio the blocks are centered themselves, which costs a copy.
CENTER_BLOCKS_ABOVE = 10.0

CURVATURE = {"squared": 1.0, "logistic": 0.25, "softmax": 0.5}


@dataclass(frozen=True)
class Evaluation:
    """Loss and gradient at a point: with respect to the weights, and to the centered intercept."""

    loss: float
    weights: FloatArray
    intercept: FloatArray


class LinearObjective:
    """f(w, b) = sum_i s_i loss(w . (x_i - m) + b, y_i) / sum_i s_i + (l2 / 2) ||w||^2.

    m is the mean of the columns where there is an intercept, and 0 otherwise. The intercept is not
    penalized, so that centering moves the intercept by m . w and changes nothing else.

    Parameters
    ----------
    X : ndarray of shape (N, d), float32 or float64
        Of any strides; read a block of rows at a time and never copied as a whole, so that a memory
        map larger than the memory will do.
    y : ndarray of shape (N,) of int64, or (N, K) of float64
        Labels 0 .. C-1 ("logistic" and "softmax"), or targets ("squared").
    kind : {"squared", "logistic", "softmax"}
        "logistic" has one output, the log-odds of label 1.
    n_outputs : int
    l2 : float
    sample_weight : ndarray of shape (N,), float64, optional
        Not negative, and not all zero.
    fit_intercept : bool
    n_threads : int
        The results do not depend on it.

    Attributes
    ----------
    mean, largest : ndarray of shape (d,)
        Of the columns: what is subtracted, and the largest absolute value of what is left (1 for a
        constant column).
    double : bool
        Whether float32 data are multiplied in float64, for the last digits.
    """

    def __init__(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        kind: str,
        n_outputs: int,
        l2: float,
        sample_weight: FloatArray | None = None,
        fit_intercept: bool = True,
        n_threads: int = 1,
    ) -> None:
        self.X, self.y, self.kind, self.n_outputs, self.l2 = X, y, kind, n_outputs, l2
        self.weights = sample_weight
        self.total_weight = float(len(X)) if sample_weight is None else float(sample_weight.sum())
        self.fit_intercept = fit_intercept
        self.double = False
        self._map: Callable[..., Iterator[Any]] = map
        self._n_threads = n_threads
        step = max(1, BLOCK_ELEMENTS // X.shape[1])
        self.blocks = [slice(i, min(i + step, len(X))) for i in range(0, len(X), step)]
        with self.threads():
            self._describe_columns()

    @property
    def curvature(self) -> float:
        """Largest second derivative of the loss in the margins."""
        return CURVATURE[self.kind]

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Within it, blocks are spread over the threads; BLAS itself keeps to one."""
        with threadpool_limits(1):
            if self._n_threads == 1:
                yield
                return
            with ThreadPoolExecutor(self._n_threads) as pool:
                self._map = pool.map
                try:
                    yield
                finally:
                    self._map = map

    def map_blocks(self, function: Callable[[slice], Any]) -> Iterator[Any]:
        """``function`` of every block of rows, in their order."""
        return self._map(function, self.blocks)

    def centered(self, rows: slice) -> NDArray[Any]:
        """A block of rows minus the mean, in the dtype of X."""
        block: NDArray[Any] = self.X[rows] - self.mean.astype(self.X.dtype)
        return block

    def _describe_columns(self) -> None:
        def describe(rows: slice) -> tuple[FloatArray, FloatArray, NDArray[Any], NDArray[Any]]:
            block = self.X[rows]
            s = np.ones(len(block)) if self.weights is None else self.weights[rows]
            kept = block if s.all() else block[s > 0]
            if not len(kept):
                kept = block[:1] * 0 + np.nan  # fmin and fmax pass over it
            sums = s.astype(block.dtype) @ block
            return sums.astype(np.float64), s @ block**2, kept.min(axis=0), kept.max(axis=0)

        d = self.X.shape[1]
        sums, squares = np.zeros(d), np.zeros(d)
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        for block_sums, block_squares, block_low, block_high in self.map_blocks(describe):
            sums += block_sums
            squares += block_squares
            low, high = np.fmin(low, block_low), np.fmax(high, block_high)
        mean = np.clip(sums / self.total_weight, low, high)
        self.mean = mean if self.fit_intercept else np.zeros(d)
        self.largest = np.maximum(high - self.mean, self.mean - low)
        self.largest[self.largest == 0] = 1.0
        spread = np.sqrt(np.maximum(squares / self.total_weight - mean**2, 0))
        self._center_blocks = bool(
            (np.abs(self.mean) > CENTER_BLOCKS_ABOVE * np.maximum(spread, 1e-300)).any()
        )

    def evaluate(
        self, w: FloatArray, b: FloatArray, reference: FloatArray | None = None
    ) -> Evaluation:
        """Loss and gradient, by one pass over the data.

        Parameters
        ----------
        w : ndarray of shape (n_outputs, d)
        b : ndarray of shape (n_outputs,)
        reference : ndarray of shape (N, n_outputs), float64, optional
            Receives the probabilities (of label 1 for "logistic").
        """
        dtype = np.float64 if self.double else self.X.dtype
        columns = np.ascontiguousarray(w.T, dtype)
        inside = self._center_blocks
        offset = (b if inside else b - w @ self.mean).astype(dtype)
        mean = self.mean.astype(dtype)

        def part(rows: slice) -> tuple[float, FloatArray, FloatArray]:
            block = self.X[rows].astype(dtype, copy=False)
            if inside:
                block = block - mean
            margins = block @ columns
            margins += offset
            losses, derivative = self._loss(margins, self.y[rows])
            if reference is not None:
                reference[rows] = margins
            if self.weights is not None:
                s = self.weights[rows]
                losses = losses * s
                derivative *= s[:, None].astype(dtype)
            return (
                float(losses.sum(dtype=np.float64)),
                (derivative.T @ block).astype(np.float64),
                derivative.sum(axis=0, dtype=np.float64),
            )

        loss, total, gradient_b = 0.0, np.zeros(w.shape), np.zeros(len(w))
        for block_loss, block_gradient, block_sum in self.map_blocks(part):
            loss += block_loss
            total += block_gradient
            gradient_b += block_sum
        if not inside and self.fit_intercept:
            total -= np.outer(gradient_b, self.mean)
        total /= self.total_weight
        total += self.l2 * w
        if not self.fit_intercept:
            gradient_b[:] = 0
        loss = loss / self.total_weight + 0.5 * self.l2 * float(np.vdot(w, w))
        return Evaluation(loss, total, gradient_b / self.total_weight)

    def _loss(self, margins: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Losses and their derivatives; ``margins`` become probabilities, in place."""
        if self.kind == "squared":
            residual = margins - y
            return 0.5 * (residual**2).sum(axis=1), residual
        if self.kind == "logistic":
            sign = np.where(y, 1, -1).astype(margins.dtype)[:, None]
            losses = np.logaddexp(0, -sign * margins)[:, 0]
            # 1 / (1 + e^-m) without overflow for either sign of m.
            small = np.exp(-np.abs(margins))
            np.divide(np.where(margins >= 0, 1, small), 1 + small, out=margins)
            return losses, margins - y[:, None].astype(margins.dtype)
        each = np.arange(len(y))
        margins -= margins.max(axis=1, keepdims=True)
        at_label = margins[each, y]
        np.exp(margins, out=margins)
        sums = margins.sum(axis=1)
        margins /= sums[:, None]
        derivative = margins.copy()
        derivative[each, y] -= 1
        return np.log(sums) - at_label, derivative
