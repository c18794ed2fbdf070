"""Batch sizes: check of the argument, and the largest one that a step size bears."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from halpbench.problems import LinearProblem

__all__ = ["MOST_BATCH", "checked_batch_size", "largest_batch"]

MOST_BATCH = 64  #: Samples of a step.
# A step of B samples multiplies the error by 1 - a B H on average, H the Hessian. The part that its
# square adds is bounded by a (L + (B - 1) lambda_max), see docs/theory.md; at 2 nothing is gained.
# A quarter is left for the noise of the samples and the rounding.
LARGEST_STEP = 0.75
# Rows from which lambda_max is estimated: their Gram matrix takes milliseconds.
SAMPLED_ROWS = 512


def checked_batch_size(batch_size: int | str, problem: LinearProblem, step_size: float) -> int:
    """Return the batch size that an argument names.

    Parameters
    ----------
    batch_size : int or "auto"
        1 to 64, or `largest_batch`.
    problem : LeastSquares or SoftmaxRegression
    step_size : float
        For "auto".

    Raises
    ------
    TypeError
        If `batch_size` is neither an integer nor a string.
    ValueError
        If it is out of range, or another string.
    """
    expected = f'expected an integer from 1 to {MOST_BATCH}, or "auto"'
    if isinstance(batch_size, str):
        if batch_size != "auto":
            raise ValueError(f"batch_size: got {batch_size!r}, {expected}")
        return largest_batch(problem, step_size)
    if isinstance(batch_size, bool | np.bool_):
        raise TypeError(f"batch_size: got {batch_size!r}, {expected}")
    try:
        size = operator.index(batch_size)
    except TypeError:
        raise TypeError(f"batch_size: got {batch_size!r}, {expected}") from None
    if not 1 <= size <= MOST_BATCH:
        raise ValueError(f"batch_size: got {size}, {expected}")
    return size


def largest_batch(problem: LinearProblem, step_size: float) -> int:
    """Return the largest B <= 64 with a (L + (B - 1) lambda_max) <= 3/4, at least 1.

    L is the largest Lipschitz constant of the gradient of a sample and lambda_max that of the
    gradient of f, l2 included in both. B samples, taken at once at the same point, add up along
    the directions that they share, hence lambda_max; their differences do not, hence L once only.

    Parameters
    ----------
    problem : LeastSquares or SoftmaxRegression
    step_size : float
        a, of one sample.

    Notes
    -----
    A pass over the data for L; lambda_max is that of 512 random rows. The largest
    eigenvalue is a convex function of the matrix, so that a random sample of rows has, on average,
    at least that of all (Jensen's inequality): the batch is rather too small than too large.
    """
    smoothness = problem.smoothness()
    room = LARGEST_STEP / step_size - smoothness
    if room <= 0:
        return 1
    shared = _mean_smoothness(problem)
    if room >= (MOST_BATCH - 1) * shared:
        return MOST_BATCH
    return 1 + int(room / shared)


def _mean_smoothness(problem: LinearProblem) -> float:
    """Return the Lipschitz constant of the gradient of f on a sample of rows."""
    count = min(problem.n_samples, SAMPLED_ROWS)
    rows = np.random.default_rng(0).choice(problem.n_samples, count, replace=False)
    X = problem.X[rows].astype(np.float64)
    gram = X @ X.T if count <= problem.n_features else X.T @ X
    largest = float(np.linalg.eigvalsh(gram / count)[-1])
    return problem.loss_function.curvature * max(largest, 0.0) + problem.l2
