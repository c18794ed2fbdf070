"""The objective under every solver: a weighted mean loss plus a penalty, with its gradient.

An engine makes the pass over the data: `BlockEngine` here, for any layout of the data, weights and
an intercept; the compiled one of ``solvers/full_gradient.py``. The objective adds the penalty.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from halpbench.losses import Loss
from halpbench.parallel import Executor
from halpbench.rows import BLOCK_ELEMENTS, Rows

__all__ = ["BlockEngine", "Columns", "Engine", "Evaluation", "Objective"]

FloatArray = NDArray[np.float64]
Value = TypeVar("Value")

# Elements of a block that a full gradient reads as it is. Threads hand the interpreter's lock to
# each other some twenty times a block; on one thread this size is as fast as the other.
GRADIENT_ELEMENTS = 8 * BLOCK_ELEMENTS

FOLDED = 4096  # elements of rows that are reduced together

# Margins are computed as x . w - mean . w, which loses digits where a mean is large against the
# spread of its column. Beyond this ratio the blocks are centered themselves, which costs a copy.
CENTER_BLOCKS_ABOVE = 10.0

ROUNDING = 2.0**-53


@dataclass(frozen=True)
class Evaluation:
    """Loss and gradient at a point: with respect to the weights, and to the centered intercept."""

    loss: float
    weights: FloatArray
    intercept: FloatArray


@dataclass(frozen=True)
class Columns:
    """Statistics of the columns, from one pass over the data.

    Attributes
    ----------
    mean, largest : ndarray of shape (d,)
        The mean, which is subtracted, and the largest absolute value of the difference (1 for a
        constant column).
    center_blocks : bool
        True if a block must be centered itself before it is multiplied.
    at_zero : Evaluation or None
        The mean loss and its gradient at zero, by-products of the pass.
    """

    mean: FloatArray
    largest: FloatArray
    center_blocks: bool
    at_zero: Evaluation | None


class Engine(Protocol):
    """A way to make the pass over the data."""

    def mean(
        self, objective: Objective, w: FloatArray, b: FloatArray, reference: FloatArray | None
    ) -> Evaluation:
        """The mean loss and its gradient, without penalty; fills ``reference``."""

    def squared_norm(self, w: FloatArray) -> float:
        """||w||^2, in the arithmetic of this engine."""


class Objective:
    """f(w, b) = sum_i s_i loss(w . (x_i - m) + b, y_i) / sum_i s_i + (l2 / 2) ||w||^2.

    m is the mean of the columns where there is an intercept, and 0 otherwise. The intercept is not
    penalized, so that centering moves the intercept by m . w and changes nothing else.

    Parameters
    ----------
    rows : Rows
        (N, d), float32 or float64, of any strides; read a block at a time and never copied as a
        whole, so that a memory map larger than the memory will do. (An engine may have it
        otherwise.)
    y : ndarray of shape (N,) of int64, or (N, K) of float64
        Labels 0 .. C-1 ("logistic" and "softmax"), or targets ("squared").
    loss : Loss
        "logistic" has one output, the log-odds of label 1.
    n_outputs : int
    l2 : float
    weights : ndarray of shape (N,), float64, optional
        Not negative, and not all zero.
    intercept : bool
    executor : Executor, optional
        Maps the blocks; by default one after the other. The results do not depend on it.
    engine : Engine, optional
        By default `BlockEngine`.
    """

    def __init__(
        self,
        rows: Rows,
        y: NDArray[Any],
        loss: Loss,
        n_outputs: int,
        *,
        l2: float = 0.0,
        weights: FloatArray | None = None,
        intercept: bool = False,
        executor: Executor | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.rows, self.y, self.loss, self.n_outputs, self.l2 = rows, y, loss, n_outputs, l2
        self.weights, self.intercept = weights, intercept
        self.executor = executor or Executor()
        self.engine = engine or BlockEngine()
        self._buffers = threading.local()
        self.total_weight = float(len(rows)) if weights is None else float(weights.sum())

    def __len__(self) -> int:
        return len(self.rows)

    def evaluate(
        self, w: FloatArray, b: FloatArray | None = None, reference: FloatArray | None = None
    ) -> Evaluation:
        """Loss and gradient, by one pass over the data.

        Parameters
        ----------
        w : ndarray of shape (n_outputs, d)
        b : ndarray of shape (n_outputs,), optional
            Zero by default.
        reference : ndarray of shape (N, n_outputs), float64, optional
            Receives the prediction of every sample from the engine.
        """
        b = np.zeros(self.n_outputs) if b is None else b
        mean = self.engine.mean(self, w, b, reference)
        return Evaluation(
            mean.loss + 0.5 * self.l2 * self.engine.squared_norm(w),
            mean.weights + self.l2 * w,
            mean.intercept,
        )

    def of_samples(self, chosen: NDArray[np.integer]) -> Objective:
        """The mean over some of the samples, copied: centered by the mean of all, as float32."""
        part = copy.copy(self)
        part.engine = copy.copy(self.engine)
        values = np.empty((len(chosen), self.rows.columns), np.float32)
        part.rows, part.y = Rows(values), self.y[chosen]
        part.weights = None if self.weights is None else self.weights[chosen]
        part.total_weight = float(len(chosen) if part.weights is None else part.weights.sum())
        mean = self.columns.mean.astype(self.rows.dtype)
        for rows in part.rows.blocks():
            np.subtract(self.rows.values[chosen[rows]], mean, out=values[rows], casting="same_kind")
        part.columns = replace(
            self.columns, mean=np.zeros_like(self.columns.mean), center_blocks=False, at_zero=None
        )
        return part

    # ---- The columns ---------------------------------------------------------------------------

    @functools.cached_property
    def columns(self) -> Columns:
        """Mean and range of the columns, and on the way the gradient at zero, by one pass."""
        d, outputs = self.rows.columns, self.n_outputs
        sums, squares, loss = np.zeros((outputs + self.intercept, d + 1)), np.zeros(d), 0.0
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        for part in self.map_blocks(self._describe):
            sums += part.sums
            squares += part.squares
            low, high = np.fmin(low, part.low), np.fmax(high, part.high)
            loss += part.loss
        mean, far = np.zeros(d), False
        if self.intercept:
            mean = np.clip(sums[-1, :d] / self.total_weight, low, high)
            spread = np.sqrt(np.maximum(squares / self.total_weight - mean**2, 0))
            far = bool((np.abs(mean) > CENTER_BLOCKS_ABOVE * np.maximum(spread, 1e-300)).any())
        largest = np.maximum(high - mean, mean - low)
        largest[largest == 0] = 1.0
        at_zero = None
        if not far:
            at_zero = self.mean_of_sums(loss, sums[:outputs, :d], sums[:outputs, d], mean)
        return Columns(mean, largest, far, at_zero)

    def _describe(self, rows: slice) -> _BlockSums:
        block, y = self.rows.values[rows], self.y[rows]
        zeros = np.zeros((len(y), self.n_outputs), block.dtype)
        losses, factors = self.loss.value_and_derivative(zeros, y)
        if self.intercept:
            factors = np.column_stack([factors, np.ones_like(losses)])
        kept = block
        if self.weights is not None:
            s = self.weights[rows]
            losses = losses * s
            factors *= s[:, None].astype(block.dtype)
            kept = block if s.all() else block[s > 0]
            if not len(kept):
                kept = block[:1] * 0 + np.nan  # fmin and fmax pass over it
        squares = np.zeros(block.shape[1])
        if self.intercept:
            square = np.square(block, out=self.scratch(rows, block.dtype))
            squares = (factors[:, -1] @ square).astype(np.float64)
        return _BlockSums(
            np.column_stack([factors.T @ block, factors.sum(axis=0)]).astype(np.float64),
            squares,
            _by_column(np.minimum, kept),
            _by_column(np.maximum, kept),
            losses.sum(dtype=np.float64),
        )

    def mean_of_sums(
        self, loss: float, of_w: FloatArray, of_b: FloatArray, mean: FloatArray | None
    ) -> Evaluation:
        """The mean from sums over the samples; ``mean`` where their rows were not centered."""
        if not self.intercept:
            of_b = np.zeros(len(of_b))
        elif mean is not None:
            of_w = of_w - np.outer(of_b, mean)
        total = self.total_weight
        return Evaluation(loss / total, of_w / total, of_b / total)

    # ---- Blocks of rows ------------------------------------------------------------------------

    def map_blocks(
        self, function: Callable[[slice], Value], elements: int | None = None
    ) -> Iterator[Value]:
        """``function`` of every block of rows, in their order."""
        return self.executor.map(function, self.rows.blocks(elements))

    def scratch(self, rows: slice, dtype: DTypeLike) -> NDArray[Any]:
        """A buffer for a block of rows, one for each thread and dtype.

        Without it the system would hand out new pages for every block, at the cost of a pass.
        """
        buffers = self._buffers.__dict__
        count, d = rows.stop - rows.start, self.rows.columns
        name = np.dtype(dtype).name
        if name not in buffers or buffers[name].size < count * d:
            buffers[name] = np.empty(count * d, dtype)
        block: NDArray[Any] = buffers[name][: count * d].reshape(count, d)
        return block

    def centered(self, rows: slice, factors: NDArray[Any]) -> NDArray[Any]:
        """A block of rows minus the mean, times a factor for each column, in the scratch."""
        values = self.rows.values
        block = self.scratch(rows, values.dtype)
        if not self.intercept:
            np.multiply(values[rows], factors, out=block)
            return block
        np.subtract(values[rows], self.columns.mean.astype(values.dtype), out=block)
        block *= factors
        return block


class BlockEngine:
    """NumPy and BLAS on blocks of rows: any strides, weights, an intercept, threads.

    Attributes
    ----------
    double : bool
        Multiply float32 data in float64, for the last digits.
    """

    def __init__(self, double: bool = False) -> None:
        self.double = double

    def squared_norm(self, w: FloatArray) -> float:
        """||w||^2, by BLAS."""
        return float(np.vdot(w, w))

    def mean(
        self, objective: Objective, w: FloatArray, b: FloatArray, reference: FloatArray | None
    ) -> Evaluation:
        """The mean loss and its gradient, without penalty.

        ``reference`` receives probabilities, kept away from 0 and 1, at which the inner loop could
        not compute the change by a step. (A quadratic loss needs none.)
        """
        at_zero = objective.columns.at_zero
        if at_zero is not None and not (w.any() or b.any()):
            if reference is not None:
                reference[...] = _predictions_at_zero(objective)
            return at_zero
        data, columns = objective.rows, objective.columns
        inside, dtype = columns.center_blocks, np.float64 if self.double else data.dtype
        converted = inside or data.dtype != dtype
        mean = columns.mean.astype(dtype)
        transposed = np.ascontiguousarray(w.T, dtype)
        offset = (b if inside else b - w @ columns.mean).astype(dtype)

        def part(rows: slice) -> tuple[float, FloatArray, FloatArray]:
            block = data.values[rows]
            if converted:
                scratch = objective.scratch(rows, dtype)
                block = np.subtract(block, mean if inside else 0, out=scratch)
            margins = block @ transposed
            margins += offset
            losses, derivative = objective.loss.value_and_derivative(margins, objective.y[rows])
            if reference is not None:
                np.clip(margins, ROUNDING, 1 - ROUNDING, out=reference[rows], dtype=np.float64)
            if objective.weights is not None:
                s = objective.weights[rows]
                losses = losses * s
                derivative *= s[:, None].astype(dtype)
            return (
                float(losses.sum(dtype=np.float64)),
                (derivative.T @ block).astype(np.float64),
                derivative.sum(axis=0, dtype=np.float64),
            )

        loss, of_w, of_b = 0.0, np.zeros(w.shape), np.zeros(len(w))
        blocks = objective.map_blocks(part, None if converted else GRADIENT_ELEMENTS)
        for block_loss, block_gradient, block_sum in blocks:
            loss += block_loss
            of_w += block_gradient
            of_b += block_sum
        return objective.mean_of_sums(loss, of_w, of_b, None if inside else columns.mean)


def _predictions_at_zero(objective: Objective) -> FloatArray:
    """Predictions of any sample, (1, n_outputs)."""
    margins = np.zeros((1, objective.n_outputs))
    objective.loss.value_and_derivative(margins, objective.y[:1])
    return margins


@dataclass(frozen=True)
class _BlockSums:
    """Contribution of a block to the statistics of the columns."""

    sums: FloatArray
    squares: FloatArray
    low: NDArray[Any]
    high: NDArray[Any]
    loss: float


def _by_column(extreme: np.ufunc, block: NDArray[Any]) -> NDArray[Any]:
    """``extreme.reduce(block, axis=0)``, as if several short rows were one long row."""
    n, d = block.shape
    fold = min(n, max(1, FOLDED // d))
    if fold == 1 or not block.flags.c_contiguous:
        return extreme.reduce(block, axis=0)  # type: ignore[no-any-return]
    whole = n // fold * fold
    folded = extreme.reduce(block[:whole].reshape(-1, fold * d), axis=0).reshape(fold, d)
    return extreme.reduce(np.concatenate([folded, block[whole:]]), axis=0)  # type: ignore[no-any-return]
