"""Solutions of small problems to the precision of float64, and how far an iterate is from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halpbench import kernels
from halpbench.problems import LeastSquares, SoftmaxRegression

AnyProblem = LeastSquares | SoftmaxRegression
FloatArray = NDArray[np.float64]


def minimizer(problem: AnyProblem) -> FloatArray:
    """Return the minimizer of a small strongly convex problem to the precision of float64."""
    if isinstance(problem, LeastSquares):
        return least_squares_solution(problem)
    w = np.zeros(problem.weight_shape)
    for _ in range(100):  # Newton's method; the losses here need no line search
        gradient = problem.gradient(w)
        if np.linalg.norm(gradient) < 1e-15:
            break
        w -= np.linalg.solve(softmax_hessian(problem, w), gradient.ravel()).reshape(w.shape)
    return w


def softmax_hessian(problem: SoftmaxRegression, w: FloatArray) -> FloatArray:
    """Return the Hessian at `w`, of shape (C d, C d)."""
    a = problem.margins(w)
    p = np.exp(a - a.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    middle = -np.einsum("ic,ie->ice", p, p)
    middle[:, range(p.shape[1]), range(p.shape[1])] += p
    X = problem.X
    size = p.shape[1] * X.shape[1]
    hessian = np.einsum("ice,ij,ik->cjek", middle, X, X, optimize=True).reshape(size, size)
    hessian /= problem.n_samples
    hessian[np.diag_indices(size)] += problem.l2
    return np.asarray(hessian)


def suboptimality(problem: AnyProblem, w: FloatArray, optimum: FloatArray) -> float:
    """Return f(w) - f*, for a quadratic without the cancellation of a difference."""
    if isinstance(problem, LeastSquares):
        error = w - optimum
        product = problem.X @ error
        return 0.5 * float(product @ product / problem.n_samples + problem.l2 * error @ error)
    return problem.loss(w) - problem.loss(optimum)


def reference_problem(problem: AnyProblem, bits: int) -> AnyProblem:
    """Return the problem that ``data="quantized"`` solves, in floating point."""
    q, scale = kernels.quantize(problem.X, bits, rounding="nearest")
    return problem.reduced(kernels.dequantize(q, scale, problem.X.dtype))


def least_squares_solution(problem: LeastSquares) -> FloatArray:
    """Solve a least-squares problem with at least as many rows as columns."""
    hessian = problem.X.T @ problem.X / problem.n_samples
    hessian[np.diag_indices_from(hessian)] += problem.l2
    w: FloatArray = np.linalg.solve(hessian, problem.X.T @ problem.y / problem.n_samples)
    return w
