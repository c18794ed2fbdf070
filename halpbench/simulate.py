"""The paper's algorithms in NumPy, at any number of bits: slow, exact, and short enough to check.

The compiled solvers have 8 and 16 bits. Here a model has 2 to 24 bits, the integers of either
range, unbiased or biased rounding, and saturates or wraps round, as in the simulations of De Sa et
al. 2018. Everything but the rounding is float64. For the same seed the samples are those of
`halpbench.solve`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from halpbench.fixedpoint import bit_centering_scale, check_bits, largest_integer
from halpbench.problems import LeastSquares, SoftmaxRegression

__all__ = ["ALGORITHMS", "FixedPoint", "Simulation", "solve"]

Problem = LeastSquares | SoftmaxRegression
FloatArray = NDArray[np.float64]

ALGORITHMS = ("sgd", "lp-sgd", "svrg", "lp-svrg", "halp")


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point format: dom(delta, b) of De Sa et al. 2018, section 3, without its delta.

    Parameters
    ----------
    bits : int
        2 to 24.
    integer_range : {"symmetric", "full"}
        -(2**(bits-1) - 1) .. 2**(bits-1) - 1, or one more negative integer, as in the paper.
    rounding : {"unbiased", "biased"}
        Up or down at random so that E Q(x) = x; or to nearest, halves up.
    saturate : bool
        Whether what is out of range becomes the nearer end, or wraps round as integer addition
        does.

    Raises
    ------
    TypeError
        If `bits` is not an integer.
    ValueError
        If `bits` is out of range or a name is unknown.
    """

    bits: int = 8
    integer_range: str = "symmetric"
    rounding: str = "unbiased"
    saturate: bool = True

    def __post_init__(self) -> None:
        check_bits(self.bits)
        _one_of("integer_range", self.integer_range, ("symmetric", "full"))
        _one_of("rounding", self.rounding, ("unbiased", "biased"))

    @property
    def highest(self) -> int:
        """The largest integer."""
        return largest_integer(int(self.bits))

    @property
    def lowest(self) -> int:
        """The smallest integer."""
        return -self.highest - (self.integer_range == "full")

    def quantize(
        self, x: ArrayLike, scale: float, rng: int | np.random.Generator | None = None
    ) -> FloatArray:
        """Round ``x / scale`` to integers of this format.

        Parameters
        ----------
        x : array_like of float, any shape
        scale : float
            The value of one unit: finite and positive.
        rng : int or numpy.random.Generator, optional
            Seed or state of unbiased rounding.

        Returns
        -------
        ndarray of float64, of the shape of `x`
            Integers; their values are ``scale`` times as large.

        Raises
        ------
        ValueError
            If `scale` is not finite and positive.
        """
        scale = _positive("scale", scale)
        units = np.asarray(x, np.float64) / scale
        if self.rounding == "unbiased":
            units = units + np.random.default_rng(rng).random(units.shape)
        else:
            units = units + 0.5
        k = np.floor(units)
        if self.saturate:
            return np.clip(k, self.lowest, self.highest)
        count = self.highest - self.lowest + 1
        return np.asarray((k - self.lowest) % count + self.lowest)


@dataclass(frozen=True)
class Simulation:
    """What `solve` reached.

    Attributes
    ----------
    w : ndarray of float64, of shape ``problem.weight_shape``
    history : DataFrame
        Row 0 is the start, then one row an epoch: ``epoch``; ``loss`` and ``grad_norm`` after it;
        ``scale``, the value of one unit (NaN where the model is not rounded); ``saturated``,
        entries at an end of the range.
    path : list of ndarray, each of shape (steps + 1, *weight_shape)
        With ``keep_path``: every iterate of every epoch, the centre first. Otherwise empty.
    """

    w: FloatArray
    history: pd.DataFrame
    path: list[FloatArray]


def solve(
    problem: Problem,
    algorithm: str = "halp",
    model: FixedPoint | None = None,
    data: FixedPoint | None = None,
    *,
    step_size: float | None = None,
    epoch_length: int | None = None,
    epochs: int = 20,
    mu: float = 1.0,
    delta: float | None = None,
    option: str = "I",
    seed: int = 0,
    w0: ArrayLike | None = None,
    keep_path: bool = False,
) -> Simulation:
    """Minimize a problem by one of the paper's algorithms, simulated.

    Parameters
    ----------
    problem : LeastSquares or SoftmaxRegression
    algorithm : {"sgd", "lp-sgd", "svrg", "lp-svrg", "halp"}
        De Sa et al. 2018: stochastic gradient descent; the same with a rounded model (section 3);
        Algorithm 1; Algorithm 2; Algorithm 3.
    model : FixedPoint, optional
        Of the model, for the three that round it; 8 bits by default.
    data : FixedPoint, optional
        Of the data, quantized once to nearest with the least scale that makes nothing saturate; by
        default the data stay as they are.
    step_size : float, optional
        By default ``problem.default_step_size()``.
    epoch_length : int, optional
        Steps an epoch, T; by default 2 N.
    epochs : int
    mu : float
        HALP: the scale of an epoch is ||gradient|| / (mu (2**(bits-1) - 1)).
    delta : float, optional
        LP-SGD, LP-SVRG: the fixed scale; by default the integers represent [-1, 1].
    option : {"I", "II"}
        The next centre is the last iterate of the epoch, or a uniformly random one.
    seed : int
        Of the samples and of the rounding.
    w0 : array_like of shape ``problem.weight_shape``, optional
        Where to start; by default at zero.
    keep_path : bool
        Keep every iterate.

    Returns
    -------
    Simulation
        Of a run that leaves the finite numbers: the last finite solution, and a last row of the
        history with infinite loss.

    Raises
    ------
    ValueError
        For unknown names, and numbers out of range.
    """
    _one_of("algorithm", algorithm, ALGORITHMS)
    _one_of("option", option, ("I", "II"))
    model = model or FixedPoint()
    mu = _positive("mu", mu)
    delta = _positive("delta", 1 / model.highest if delta is None else delta)
    if data is not None:
        problem = _quantized(problem, data)
    a = _positive("step_size", problem.default_step_size() if step_size is None else step_size)
    length = 2 * problem.n_samples if epoch_length is None else int(epoch_length)
    if length < 1 or epochs < 0:
        raise ValueError(f"epoch_length and epochs: got {epoch_length}, {epochs}")

    samples = np.random.default_rng(seed)
    rounding = np.random.default_rng([seed, 1])
    w = np.zeros(problem.weight_shape) if w0 is None else np.array(w0, np.float64)
    if algorithm in ("lp-sgd", "lp-svrg"):
        # Not at random: the start is the same for every seed, as in the compiled solvers.
        nearest = FixedPoint(model.bits, model.integer_range, "biased")
        w = delta * nearest.quantize(w, delta)
    loss, gradient = problem.loss_and_gradient(w)
    rows = [_row(0, loss, gradient, math.nan, 0)]
    path = []
    for epoch in range(1, epochs + 1):
        chosen = samples.integers(problem.n_samples, size=length)
        if option == "II":
            chosen = chosen[: samples.integers(1, length + 1)]
        scale = _scale(algorithm, model, gradient, mu, delta)
        inner = _Inner(problem, algorithm, model, w, gradient, scale, a, rounding)
        with np.errstate(over="ignore", invalid="ignore"):
            iterates = inner.run(chosen, keep_path)
            loss, gradient = problem.loss_and_gradient(iterates[-1])
        if not (math.isfinite(loss) and np.isfinite(gradient).all()):
            rows.append(_row(epoch, math.inf, np.array(math.inf), scale, 0))
            break
        w = iterates[-1]
        if keep_path:
            path.append(np.array(iterates))
        rows.append(_row(epoch, loss, gradient, scale, inner.saturated))
    return Simulation(w, pd.DataFrame(rows), path)


class _Inner:
    """The inner loop of one epoch, written as in the paper."""

    def __init__(
        self,
        problem: Problem,
        algorithm: str,
        model: FixedPoint,
        center: FloatArray,
        full_gradient: FloatArray,
        scale: float,
        step_size: float,
        rounding: np.random.Generator,
    ) -> None:
        self.problem, self.algorithm, self.model = problem, algorithm, model
        self.center, self.full_gradient = center, full_gradient
        self.scale, self.step_size, self.rounding = scale, step_size, rounding
        self.saturated = 0

    def run(self, samples: NDArray[np.int64], keep_path: bool) -> list[FloatArray]:
        """Return the iterates, or the last one only."""
        halp = self.algorithm == "halp"
        if self.scale == 0:  # HALP: the gradient is zero, and so is every step
            return [self.center]
        origin = self.center if halp else np.zeros_like(self.center)
        z = self.center - origin
        iterates = [self.center]
        for i in samples:
            step = self._direction(int(i), origin + z)
            z = self._round(z - self.step_size * step)
            if keep_path:
                iterates.append(origin + z)
        if not math.isnan(self.scale):
            k = np.rint(z / self.scale)
            ends = (k == self.model.lowest) | (k == self.model.highest)
            self.saturated = int(np.count_nonzero(ends))
        return iterates if keep_path else [origin + z]

    def _direction(self, i: int, w: FloatArray) -> FloatArray:
        if self.algorithm in ("sgd", "lp-sgd"):
            return self._gradient(i, w)
        return self._gradient(i, w) - self._gradient(i, self.center) + self.full_gradient

    def _gradient(self, i: int, w: FloatArray) -> FloatArray:
        """Return the gradient of f_i at w."""
        x, y = self.problem.X[i], self.problem.y[i : i + 1]
        beta = self.problem.margin_derivative((w @ x)[None], y)[0]
        return np.asarray(np.multiply.outer(beta, x) + self.problem.l2 * w)

    def _round(self, z: FloatArray) -> FloatArray:
        if math.isnan(self.scale):
            return z
        return self.scale * self.model.quantize(z, self.scale, self.rounding)


def _scale(
    algorithm: str, model: FixedPoint, gradient: FloatArray, mu: float, delta: float
) -> float:
    """Return the value of one unit of the model in the epoch; NaN where it is not rounded."""
    if algorithm in ("sgd", "svrg"):
        return math.nan
    if algorithm == "halp":
        return bit_centering_scale(float(np.linalg.norm(gradient)), mu, int(model.bits))
    return delta


def _quantized(problem: Problem, data: FixedPoint) -> Problem:
    """Return the problem on data rounded to nearest, with the scale of the compiled solvers."""
    X = problem.X.astype(np.float64)
    scale = float(np.abs(X).max()) / data.highest or 1.0
    nearest = FixedPoint(data.bits, data.integer_range, "biased")
    return problem.reduced(scale * nearest.quantize(X, scale))


def _row(
    epoch: int, loss: float, gradient: FloatArray, scale: float, saturated: int
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "loss": loss,
        "grad_norm": float(np.linalg.norm(gradient)),
        "scale": scale,
        "saturated": saturated,
    }


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def _positive(name: str, value: float) -> float:
    value = float(value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and positive, got {value}")
    return value
