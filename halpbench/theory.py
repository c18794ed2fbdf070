"""Expected suboptimality of SVRG, LP-SVRG and HALP, and the bits that HALP needs.

The derivations are in docs/theory.md.

For least squares the second moments of an epoch follow a recursion that is exact but for the
variance of the rounding, E p (1 - p) with p the fractional part of a step. It is closed by an
assumption: given the samples of a step, each entry of the step is Gaussian with mean zero.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from halpbench.arguments import count, one_of, positive
from halpbench.batches import checked_batch_size
from halpbench.fixedpoint import check_bits, largest_integer
from halpbench.problems import LeastSquares, SoftmaxRegression

__all__ = [
    "ALGORITHMS",
    "bits_needed",
    "bits_table",
    "bound_epoch_length",
    "bound_step_size",
    "dimension_free_noise",
    "halp_contraction",
    "l1_smoothness",
    "lp_svrg_bound",
    "lp_svrg_noise",
    "predict",
    "rounding_variance",
]

FloatArray = NDArray[np.float64]

#: The names that `predict` takes.
ALGORITHMS = ("svrg", "lp-svrg", "halp")
# Batches over which the variance of the rounding is averaged, and how often an epoch it is computed
# anew: the moments that it depends on change little between two steps.
BATCHES, REFRESHED = 256, 50
DRAWS = 2000  # draws of the displacement, for the largest change of a derivative


def rounding_variance(deviation: FloatArray) -> FloatArray:
    """Return E p (1 - p), p the fractional part of a Gaussian variable with mean zero.

    This is the variance of unbiased rounding of such a number, in squared units: 0 where the
    deviation is 0, 1/6 where it is large.

    Parameters
    ----------
    deviation : ndarray of float64
        The standard deviation, in units.

    Notes
    -----
    For small deviations ``|s| < 1`` almost always, and ``p (1 - p) = |s| - s^2``. For others by
    Fourier's series, ``p (1 - p) = 1/6 - sum_k cos(2 pi k s) / (pi k)^2``, in which the mean of the
    cosine is ``exp(-2 (pi k sigma)^2)``.
    """
    small = np.minimum(deviation, 0.1)
    k = np.pi * np.arange(1, 13).reshape(-1, *[1] * np.ndim(deviation))
    series = 1 / 6 - (np.exp(-2 * (k * np.maximum(deviation, 0.1)) ** 2) / k**2).sum(axis=0)
    return np.asarray(np.where(deviation < 0.1, small * math.sqrt(2 / math.pi) - small**2, series))


def predict(
    problem: LeastSquares,
    algorithm: str,
    *,
    step_size: float,
    epoch_length: int,
    epochs: int,
    bits: int = 8,
    delta: float | None = None,
    mu: float | None = None,
    option: str = "I",
    batch_size: int | str = 1,
    gradient_bits: int | None = None,
) -> pd.DataFrame:
    """Predict E[f - f*] after every epoch of a run that starts at zero and does not saturate.

    Parameters
    ----------
    problem : LeastSquares
    algorithm : {"svrg", "lp-svrg", "halp"}
    step_size : float
        Of one sample.
    epoch_length : int
        Samples an epoch, T.
    epochs : int
    bits : int
        Of the model, 2 to 24.
    delta : float, optional
        LP-SVRG: the fixed scale; by default the integers represent [-1, 1].
    mu : float, optional
        HALP: the scale of an epoch is ||gradient|| / (mu (2**(bits-1) - 1)); by default
        ``problem.strong_convexity()``.
    option : {"I", "II"}
        The next centre is the last iterate of the epoch, or a uniformly random one.
    batch_size : int or "auto"
        Samples a step, 1 to 64, as in `simulate.solve`.
    gradient_bits : int, optional
        Full gradients kept by error feedback, at so many bits; by default they are exact.

    Returns
    -------
    DataFrame
        ``epoch`` from 0, and ``suboptimality``: the expectation over samples and rounding, given
        the problem and the start.

    Raises
    ------
    TypeError
        If the problem is not one of least squares, or a count not an integer.
    ValueError
        For unknown names, and numbers out of range; if the optimum is out of reach of `delta`.

    Notes
    -----
    Each step costs O(N d^2 + d^3) operations.
    """
    moments = _Moments(problem)
    check_bits(bits)
    largest = largest_integer(bits)
    if mu is None:
        mu = problem.strong_convexity() if algorithm == "halp" else 1.0
    run = _Schedule(
        algorithm=one_of("algorithm", algorithm, ALGORITHMS),
        step_size=positive("step_size", step_size),
        epoch_length=count("epoch_length", epoch_length, 1),
        batch_size=checked_batch_size(batch_size, problem, step_size),
        largest=largest,
        delta=positive("delta", 1 / largest if delta is None else delta),
        mu=positive("mu", mu),
    )
    one_of("option", option, ("I", "II"))
    epochs = count("epochs", epochs, 0)
    if algorithm == "lp-svrg" and np.abs(moments.optimum).max() > run.delta * run.largest:
        raise ValueError(
            f"delta: got {run.delta}, expected one that makes the optimum representable, at least "
            f"{np.abs(moments.optimum).max() / run.largest}"
        )
    center = np.outer(moments.optimum, moments.optimum)
    feedback = None if gradient_bits is None else _Feedback(moments, gradient_bits)
    gaps = [moments.suboptimality(center)]
    for _ in range(epochs):
        error = None if feedback is None else feedback.covariance()
        center, moved = _epoch(moments, run, center, error, average=option == "II")
        if feedback is not None:
            feedback.moved(moved)
        gaps.append(moments.suboptimality(center))
    return pd.DataFrame({"epoch": np.arange(epochs + 1), "suboptimality": gaps})


class _Moments:
    """A problem of least squares as the recursion reads it."""

    def __init__(self, problem: LeastSquares) -> None:
        if not isinstance(problem, LeastSquares):
            raise TypeError(f"problem: got {type(problem).__name__}, expected LeastSquares")
        self.X = problem.X.astype(np.float64)
        self.y, self.l2 = problem.y, problem.l2
        samples, d = self.X.shape
        self.gram = self.X.T @ self.X / samples
        self.hessian = self.gram + self.l2 * np.eye(d)
        self.optimum: FloatArray = np.linalg.lstsq(
            self.hessian, self.X.T @ self.y / samples, rcond=None
        )[0]

    def suboptimality(self, error: FloatArray) -> float:
        """Return E[f - f*] for the second moment of the error w - w*."""
        return 0.5 * float(np.vdot(self.hessian, error))

    def squared(self, P: FloatArray, batch: int) -> FloatArray:
        """Return E[G P G], G the sum of the Hessians of a batch."""
        H, l2 = self.hessian, self.l2
        weights = ((self.X @ P) * self.X).sum(axis=1) / len(self.X)
        single = (self.X * weights[:, None]).T @ self.X
        if l2:
            product = self.gram @ P
            single += l2 * (product + product.T) + l2**2 * P
        return np.asarray(batch * single + batch * (batch - 1) * (H @ P @ H))

    def batches(self, batch: int) -> FloatArray:
        """Return Hessians of batches, (count, d, d), from a fixed seed; B = 1: of the rows."""
        random = np.random.default_rng(0)
        samples = len(self.X)
        if batch == 1 and samples <= BATCHES:
            chosen = np.arange(samples)[:, None]
        else:
            chosen = random.integers(samples, size=(BATCHES, batch))
        rows = self.X[chosen]
        return np.asarray(np.einsum("nbi,nbj->nij", rows, rows)) + (
            batch * self.l2 * np.eye(self.X.shape[1])
        )


@dataclass(frozen=True)
class _Schedule:
    """The numbers of a run, checked."""

    algorithm: str
    step_size: float
    epoch_length: int
    batch_size: int
    largest: int
    delta: float
    mu: float

    @property
    def batches(self) -> list[int]:
        """Samples of every step."""
        whole, rest = divmod(self.epoch_length, self.batch_size)
        return [self.batch_size] * whole + [rest] * (rest > 0)

    def squared_scale(self, gradient: FloatArray) -> float:
        """Return E delta^2 for the second moment of the full gradient."""
        if self.algorithm == "halp":
            return float(np.trace(gradient)) / (self.mu * self.largest) ** 2
        return self.delta**2 if self.algorithm == "lp-svrg" else 0.0


def _epoch(
    moments: _Moments, run: _Schedule, center: FloatArray, error: FloatArray | None, average: bool
) -> tuple[FloatArray, FloatArray]:
    """Return the second moments of the next centre's error and of the centre's displacement.

    z is the displacement, u the error of the centre, g the full gradient that the steps take:
    P = E z z^T, Q = E z g^T, R = E z u^T.
    """
    a, H = run.step_size, moments.hessian
    with_center = H @ center
    gradient = with_center @ H + (0 if error is None else error)
    squared_scale = run.squared_scale(gradient)
    P, Q, R = (np.zeros_like(H) for _ in range(3))
    sizes = run.batches
    total, moved = np.zeros_like(H), np.zeros_like(H)
    every = max(1, len(sizes) // REFRESHED)
    rounding = _Rounding(moments, a, squared_scale) if squared_scale else None
    variance = np.zeros(len(H))
    for t, size in enumerate(sizes):
        if rounding is not None and (t < 8 or t % every == 0 or t == len(sizes) - 1):
            variance = rounding.variance(P, Q, gradient, size)
        mean = size * a * (H @ P + Q)
        cross = H @ Q
        square = moments.squared(P, size) + size**2 * (cross + cross.T + gradient)
        P = P - mean - mean.T + a**2 * square
        P[np.diag_indices_from(P)] += variance
        Q = Q - size * a * (cross + gradient)
        R = R - size * a * (H @ R + with_center)
        total += P + R + R.T
        moved += P
    if average:
        return center + total / len(sizes), moved / len(sizes)
    return center + P + R + R.T, P


class _Rounding:
    """The variance of the rounding of a step, under the assumption of the module."""

    def __init__(self, moments: _Moments, step_size: float, squared_scale: float) -> None:
        self.moments, self.step_size, self.squared_scale = moments, step_size, squared_scale
        self.hessians: dict[int, FloatArray] = {}

    def variance(self, P: FloatArray, Q: FloatArray, gradient: FloatArray, size: int) -> FloatArray:
        """Return the variance of every entry, (d,), for moments as in `_epoch`."""
        if size not in self.hessians:
            self.hessians[size] = self.moments.batches(size)
        G = self.hessians[size]
        second = ((G @ P) * G).sum(axis=2) + 2 * size * (G * Q.T).sum(axis=2)
        second += size**2 * np.diag(gradient)
        deviation = self.step_size * np.sqrt(np.maximum(second, 0) / self.squared_scale)
        return np.asarray(self.squared_scale * rounding_variance(deviation).mean(axis=0))


class _Feedback:
    """Full gradients kept by error feedback: the covariance of their error, epoch by epoch."""

    def __init__(self, moments: _Moments, bits: int) -> None:
        check_bits(bits)
        self.moments, self.largest = moments, largest_integer(bits)
        self.random = np.random.default_rng(1)
        # At first the derivatives at zero are all that has changed: -y.
        unit = float(np.abs(moments.y).max()) / self.largest or 1.0
        p = np.mod(moments.y / unit, 1)
        self.variances = unit**2 * p * (1 - p)

    def covariance(self) -> FloatArray:
        """Return the covariance of the error of the gradient."""
        X = self.moments.X
        return np.asarray((X * self.variances[:, None]).T @ X / len(X) ** 2)

    def moved(self, displacement: FloatArray) -> None:
        """Round the changes that belong to a displacement of the centre, taken as Gaussian.

        Parameters
        ----------
        displacement : ndarray of shape (d, d)
            Its second moment.
        """
        X, random = self.moments.X, self.random
        values, vectors = np.linalg.eigh(displacement)
        root = vectors * np.sqrt(np.maximum(values, 0))
        changes = X @ root @ random.standard_normal((len(root), DRAWS))
        changes += np.sqrt(self.variances)[:, None] * random.standard_normal(changes.shape)
        squared_unit = float((np.abs(changes).max(axis=0) ** 2).mean()) / self.largest**2
        second = ((X @ displacement) * X).sum(axis=1) + self.variances
        if squared_unit > 0:
            deviation = np.sqrt(np.maximum(second, 0) / squared_unit)
            self.variances = squared_unit * rounding_variance(deviation)


# ---- Bounds --------------------------------------------------------------------------------------


def bound_step_size(gamma: float, smoothness: float) -> float:
    """Return the step size of the theorems, a = gamma / (4 L (1 + gamma))."""
    return gamma / (4 * smoothness * (1 + gamma))


def bound_epoch_length(gamma: float, kappa: float) -> int:
    """Return the epoch length of the theorems, the least T >= 8 kappa (1 + gamma) / gamma^2."""
    return math.ceil(8 * kappa * (1 + gamma) / gamma**2)


def lp_svrg_noise(gamma: float, d: int, delta: float, smoothness: float, length: int) -> float:
    """Return the bound on the part of E[f - f*] by rounding in an epoch of LP-SVRG: Theorem 1."""
    rounding = d * delta**2 * smoothness * (1 + gamma) ** 2 / (gamma * (2 + gamma))
    return rounding * (length + 1) / length


def lp_svrg_bound(gamma: float, noise: float, start: float, epoch: int) -> float:
    """Return the bound on E[f - f*] after some epochs of LP-SVRG: Theorem 1."""
    return gamma**epoch * start + noise * (1 - gamma**epoch) / (1 - gamma)


def halp_contraction(gamma: float, d: int, kappa: float, bits: int, length: int) -> float:
    """Return the factor by which an epoch of HALP shrinks E[f - f*] at least: Theorem 2.

    It is a promise only where it is below 1.
    """
    # The noise of Theorem 1 at the scale that ||g||^2 <= 2 L (f - f*) allows, in units of f - f*.
    squared_scale = 2 * kappa**2 / largest_integer(bits) ** 2
    return gamma + lp_svrg_noise(gamma, d, math.sqrt(squared_scale), 1.0, length)


def dimension_free_noise(delta: float, l1_smoothness: float, convexity: float) -> float:
    """Return the part of E[f - f*] by rounding in an epoch of LP-SVRG, without d.

    The bound of docs/theory.md for a contraction of 1/2: a = 1 / (16 L), T >= 103 kappa.

    Parameters
    ----------
    delta : float
    l1_smoothness : float
        L1 in mean ||grad f_i(w) - grad f_i(v)||_1 <= L1 ||w - v||_2.
    convexity : float
        mu.
    """
    return 7.5 * delta**2 * l1_smoothness**2 / convexity


def l1_smoothness(problem: LeastSquares) -> float:
    """Return the L1 of `dimension_free_noise` for least squares.

    mean ||x_i||_1 ||x_i||_2 + l2 sqrt(d), for ||x_i (x_i . u)||_1 <= ||x_i||_1 ||x_i||_2 ||u||_2
    and ||u||_1 <= sqrt(d) ||u||_2. Where few features matter the first part does not grow with d;
    the second always does, in proportion to the penalty.
    """
    total = 0.0
    for _, block in problem.rows.in_float64():
        total += float((np.abs(block).sum(axis=1) * np.linalg.norm(block, axis=1)).sum())
    return total / problem.n_samples + problem.l2 * math.sqrt(problem.n_features)


def bits_needed(
    problem: LeastSquares | SoftmaxRegression | None = None,
    *,
    kappa: float | None = None,
    d: int | None = None,
    contraction: float = 0.5,
) -> int:
    """Return the fewest bits at which Theorem 2 promises a contraction of HALP.

    Parameters
    ----------
    problem : LeastSquares or SoftmaxRegression, optional
        In place of `kappa` and `d`.
    kappa : float, optional
        Condition number L / mu, at least 1.
    d : int, optional
        Numbers in the model.
    contraction : float
        The factor by which an epoch shall shrink E[f - f*], between 0 and 1.

    Returns
    -------
    int
        For the best gamma, hence step size and epoch length. A run at hand needs fewer, see
        `predict`: a bound pays for the worst function and for rounding halfway between two numbers.

    Raises
    ------
    TypeError
        If `d` is not an integer, or neither a problem nor both numbers are given.
    ValueError
        If a number is out of range, or the problem has no known strong convexity.
    """
    if problem is not None and kappa is None and d is None:
        convexity = problem.strong_convexity()
        if convexity == 0:
            raise ValueError("problem: got strong convexity 0, expected a positive one")
        kappa, d = problem.smoothness() / convexity, math.prod(problem.weight_shape)
    elif problem is not None or kappa is None or d is None:
        raise TypeError("expected a problem, or kappa and d")
    if not 1 <= kappa < math.inf:
        raise ValueError(f"kappa: got {kappa}, expected a finite number of at least 1")
    count("d", d, 1)
    if not 0 < contraction < 1:
        raise ValueError(f"contraction: got {contraction}, expected a number between 0 and 1")
    # Each gamma below the contraction leaves some of it to the rounding.
    gammas = contraction * np.linspace(0.001, 0.999, 999)
    bits = 2
    while min(_halp_bounds(gammas, d, kappa, bits)) > contraction:
        bits += 1
    return bits


def _halp_bounds(gammas: FloatArray, d: int, kappa: float, bits: int) -> list[float]:
    return [halp_contraction(g, d, kappa, bits, bound_epoch_length(g, kappa)) for g in gammas]


def bits_table(
    kappas: Iterable[float], dimensions: Iterable[int], contraction: float = 0.5
) -> pd.DataFrame:
    """Tabulate `bits_needed`: the data of a figure.

    Parameters
    ----------
    kappas : iterable of float
    dimensions : iterable of int
    contraction : float

    Returns
    -------
    DataFrame
        ``kappa``, ``d``, ``bits``; a row for each pair.
    """
    pairs = itertools.product(kappas, dimensions)
    rows = [(k, d, bits_needed(kappa=k, d=d, contraction=contraction)) for k, d in pairs]
    return pd.DataFrame(rows, columns=["kappa", "d", "bits"])
