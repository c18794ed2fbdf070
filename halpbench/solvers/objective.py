"""The objective that the estimators minimize: weighted, with intercept, exact, block by block."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from threadpoolctl import ThreadpoolController

FloatArray = NDArray[np.float64]

# Of a block: large enough that Python's cost per block vanishes, small enough that the block is
# still in the cache when it is read the second time. The partition must not depend on the number of
# threads, because the partial sums follow it.
BLOCK_ELEMENTS = 1 << 18
# Of a block that a full gradient reads as it is. Threads hand the interpreter's lock to each other
# some twenty times a block; on one thread this size is as fast as the other.
GRADIENT_ELEMENTS = 1 << 21

FOLDED = 4096  # elements of rows that are reduced together

# Margins are computed as x . w - mean . w, which loses digits where a mean is large against the
# spread of its column. Beyond this ratio the blocks are centered themselves, which costs a copy.
CENTER_BLOCKS_ABOVE = 10.0

ROUNDING = 2.0**-53

CURVATURE = {"squared": 1.0, "logistic": 0.25, "softmax": 0.5}


@functools.cache
def _blas() -> ThreadpoolController:
    """The thread pools there are; looking for them takes some ms."""
    return ThreadpoolController()


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
        self.fit_intercept = fit_intercept
        self.double = self._center_blocks = False
        self._buffers = threading.local()
        self._at_zero: Evaluation | None = None
        self._map: Callable[..., Iterator[Any]] = map
        self._n_threads = n_threads
        self._partition()
        with self.threads():
            self._describe_columns()

    def _partition(self) -> None:
        n, d = self.X.shape
        self.total_weight = float(n) if self.weights is None else float(self.weights.sum())
        self.blocks, self._large_blocks = (
            [slice(i, min(i + step, n)) for i in range(0, n, step)]
            for step in (max(1, elements // d) for elements in (BLOCK_ELEMENTS, GRADIENT_ELEMENTS))
        )

    def of_samples(self, chosen: NDArray[np.integer]) -> LinearObjective:
        """The mean over some of the samples, copied: centered by the mean of all, as float32."""
        part = copy.copy(self)
        part.X = np.empty((len(chosen), self.X.shape[1]), np.float32)
        part.y = self.y[chosen]
        part.weights = None if self.weights is None else self.weights[chosen]
        part._at_zero = None
        part._partition()
        mean = self.mean.astype(self.X.dtype)
        for rows in part.blocks:
            np.subtract(self.X[chosen[rows]], mean, out=part.X[rows], casting="same_kind")
        part.mean, part._center_blocks = np.zeros_like(self.mean), False
        return part

    @property
    def curvature(self) -> float:
        """Largest second derivative of the loss in the margins."""
        return CURVATURE[self.kind]

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Within it, blocks are spread over the threads; BLAS itself keeps to one."""
        with _blas().limit(limits=1):
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

    def scratch(self, rows: slice, dtype: DTypeLike) -> NDArray[Any]:
        """A buffer for a block of rows, one for each thread and dtype.

        Without it the system would hand out new pages for every block, at the cost of a pass.
        """
        buffers = self._buffers.__dict__
        count, d = rows.stop - rows.start, self.X.shape[1]
        name = np.dtype(dtype).name
        if name not in buffers or buffers[name].size < count * d:
            buffers[name] = np.empty(count * d, dtype)
        block: NDArray[Any] = buffers[name][: count * d].reshape(count, d)
        return block

    def centered(self, rows: slice, factors: NDArray[Any]) -> NDArray[Any]:
        """A block of rows minus the mean, times a factor for each column, in the scratch."""
        block = self.scratch(rows, self.X.dtype)
        if not self.fit_intercept:
            np.multiply(self.X[rows], factors, out=block)
            return block
        np.subtract(self.X[rows], self.mean.astype(self.X.dtype), out=block)
        block *= factors
        return block

    def _describe_columns(self) -> None:
        """Mean and range of the columns, and on the way the gradient at zero, by one pass."""

        def describe(rows: slice) -> tuple[FloatArray, FloatArray, NDArray[Any], NDArray[Any], Any]:
            block, y = self.X[rows], self.y[rows]
            losses, derivative = self._loss(np.zeros((len(y), self.n_outputs), block.dtype), y)
            factors = derivative
            if self.fit_intercept:
                factors = np.column_stack([derivative, np.ones_like(losses)])
            kept = block
            if self.weights is not None:
                s = self.weights[rows]
                losses = losses * s
                factors *= s[:, None].astype(block.dtype)
                kept = block if s.all() else block[s > 0]
                if not len(kept):
                    kept = block[:1] * 0 + np.nan  # fmin and fmax pass over it
            squares = np.zeros(block.shape[1])
            if self.fit_intercept:
                square = np.square(block, out=self.scratch(rows, block.dtype))
                squares = (factors[:, -1] @ square).astype(np.float64)
            sums = np.column_stack([factors.T @ block, factors.sum(axis=0)]).astype(np.float64)
            low, high = (_by_column(extreme, kept) for extreme in (np.minimum, np.maximum))
            return sums, squares, low, high, losses.sum(dtype=np.float64)

        d = self.X.shape[1]
        outputs = self.n_outputs
        sums, squares, loss = np.zeros((outputs + self.fit_intercept, d + 1)), np.zeros(d), 0.0
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        for block_sums, block_squares, block_low, block_high, block_loss in self.map_blocks(
            describe
        ):
            sums += block_sums
            squares += block_squares
            low, high = np.fmin(low, block_low), np.fmax(high, block_high)
            loss += block_loss
        mean = np.zeros(d)
        if self.fit_intercept:
            mean = np.clip(sums[-1, :d] / self.total_weight, low, high)
            spread = np.sqrt(np.maximum(squares / self.total_weight - mean**2, 0))
            far = np.abs(mean) > CENTER_BLOCKS_ABOVE * np.maximum(spread, 1e-300)
            self._center_blocks = bool(far.any())
        self.mean = mean
        self.largest = np.maximum(high - mean, mean - low)
        self.largest[self.largest == 0] = 1.0
        if not self._center_blocks:
            self._at_zero = self._evaluation(
                loss, sums[:outputs, :d], sums[:outputs, d], np.zeros((outputs, d))
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
            Receives the probabilities (of label 1 for "logistic"), none of them 0 or 1: from there
            the inner loop could not tell what a step changes.
        """
        if self._at_zero is not None and not (w.any() or b.any()):
            if reference is not None:
                zeros = np.zeros((1, self.n_outputs))
                self._loss(zeros, self.y[:1])
                reference[...] = zeros
            return self._at_zero
        dtype = np.float64 if self.double else self.X.dtype
        columns = np.ascontiguousarray(w.T, dtype)
        inside = self._center_blocks
        offset = (b if inside else b - w @ self.mean).astype(dtype)
        mean = self.mean.astype(dtype)
        converted = inside or self.X.dtype != dtype

        def part(rows: slice) -> tuple[float, FloatArray, FloatArray]:
            block = self.X[rows]
            if converted:
                block = np.subtract(block, mean if inside else 0, out=self.scratch(rows, dtype))
            margins = block @ columns
            margins += offset
            losses, derivative = self._loss(margins, self.y[rows])
            if reference is not None:
                reference[rows] = margins
                np.clip(reference[rows], ROUNDING, 1 - ROUNDING, out=reference[rows])
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
        for block_loss, block_gradient, block_sum in self._map(
            part, self.blocks if converted else self._large_blocks
        ):
            loss += block_loss
            total += block_gradient
            gradient_b += block_sum
        return self._evaluation(loss, total, gradient_b, w)

    def _evaluation(
        self, loss: float, of_w: FloatArray, of_b: FloatArray, w: FloatArray
    ) -> Evaluation:
        """From sums over the samples, their rows not being centered unless blocks are."""
        if not self.fit_intercept:
            of_b = np.zeros(len(of_b))
        elif not self._center_blocks:
            of_w = of_w - np.outer(of_b, self.mean)
        return Evaluation(
            loss / self.total_weight + 0.5 * self.l2 * float(np.vdot(w, w)),
            of_w / self.total_weight + self.l2 * w,
            of_b / self.total_weight,
        )

    def _loss(self, margins: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Losses and their derivatives; ``margins`` become probabilities, in place."""
        if self.kind == "squared":
            residual = margins - y.astype(margins.dtype)
            return 0.5 * (residual**2).sum(axis=1), residual
        if self.kind == "logistic":
            labels = y[:, None].astype(margins.dtype)
            # log(1 + e^-m) and 1 / (1 + e^-m) without overflow for either sign of m.
            small = np.exp(-np.abs(margins))
            losses = (np.log(1 + small) + np.maximum(margins, 0) - labels * margins)[:, 0]
            np.divide(np.where(margins >= 0, 1, small), 1 + small, out=margins)
            return losses, margins - labels
        each = np.arange(len(y))
        margins -= margins.max(axis=1, keepdims=True)
        at_label = margins[each, y]
        np.exp(margins, out=margins)
        sums = margins.sum(axis=1)
        margins /= sums[:, None]
        derivative = margins.copy()
        derivative[each, y] -= 1
        return np.log(sums) - at_label, derivative


def _by_column(extreme: np.ufunc, block: NDArray[Any]) -> NDArray[Any]:
    """``extreme.reduce(block, axis=0)``, as if several short rows were one long row."""
    n, d = block.shape
    fold = min(n, max(1, FOLDED // d))
    if fold == 1 or not block.flags.c_contiguous:
        return extreme.reduce(block, axis=0)  # type: ignore[no-any-return]
    whole = n // fold * fold
    folded = extreme.reduce(block[:whole].reshape(-1, fold * d), axis=0).reshape(fold, d)
    return extreme.reduce(np.concatenate([folded, block[whole:]]), axis=0)  # type: ignore[no-any-return]
