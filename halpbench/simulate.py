"""The paper's algorithms in NumPy, at any number of bits: slow, exact, and short enough to check.

The compiled solvers have 8 and 16 bits. Here a model has 2 to 24 bits, the integers of either
range, unbiased or biased rounding, and saturates or wraps round, as in the simulations of De Sa et
al. 2018; or it has a format of `numberformats`. Everything but the rounding is float64. For the
same seed the samples are those of `halpbench.solve`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from halpbench.arguments import count, one_of, positive, reals
from halpbench.batches import checked_batch_size
from halpbench.fixedpoint import (
    CHECKED_BATCHES,
    GROW_ABOVE,
    AdaptiveScale,
    bit_centering_scale,
    check_bits,
    largest_integer,
    saturation_warning,
)
from halpbench.losses import SOFTMAX, Loss
from halpbench.numberformats import BlockFloat, MiniFloat
from halpbench.problems import LinearProblem

__all__ = ["ALGORITHMS", "FixedPoint", "MarginLoss", "Simulation", "solve"]

FloatArray = NDArray[np.float64]


class MarginLoss(Protocol):
    """A loss of the caller's own, for `solve`: any object with these two members.

    Examples
    --------
    The loss of Huber, quadratic near the target and linear far from it:

    >>> import numpy as np
    >>> class Huber:
    ...     curvature = 1.0
    ...
    ...     def value_and_derivative(self, margins, y):
    ...         residual = margins - y
    ...         clipped = np.clip(residual, -1.0, 1.0)
    ...         return clipped * (residual - clipped / 2), clipped
    >>> Huber().value_and_derivative(np.array([0.5, 3.0]), np.zeros(2))
    (array([0.125, 2.5  ]), array([0.5, 1. ]))
    """

    @property
    def curvature(self) -> float:
        """Largest second derivative in the margins, above 0; step sizes come from it."""

    def value_and_derivative(
        self, margins: FloatArray, y: NDArray[Any]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the losses of n samples, (n,), and their derivatives, of the shape of `margins`.

        Parameters
        ----------
        margins : ndarray of float64, of shape (n,) or (n, C)
            x_i . w, a copy.
        y : ndarray of shape (n,)
            The targets of these samples, in the dtype that the problem gives them: float64 or
            int64.
        """


@dataclass(frozen=True)
class _Algorithm:
    """Traits that tell the algorithms apart.

    Attributes
    ----------
    reduced : bool
        A step has the full gradient in it, and the change of the sample's.
    centered : bool
        The model is kept as its displacement from the centre.
    rounded : bool
        The model is one of integers.
    rounded_multipliers : bool
        The numbers that multiply rows of data are rounded as well.
    """

    reduced: bool
    centered: bool
    rounded: bool
    rounded_multipliers: bool = False


_ALGORITHMS = {
    "sgd": _Algorithm(reduced=False, centered=False, rounded=False),
    "lp-sgd": _Algorithm(reduced=False, centered=False, rounded=True),
    "svrg": _Algorithm(reduced=True, centered=True, rounded=False),
    "lp-svrg": _Algorithm(reduced=True, centered=False, rounded=True),
    "halp": _Algorithm(reduced=True, centered=True, rounded=True),
    "lm-halp": _Algorithm(reduced=True, centered=True, rounded=True, rounded_multipliers=True),
    "bc-sgd": _Algorithm(reduced=False, centered=True, rounded=True),
}
ALGORITHMS = tuple(_ALGORITHMS)  #: The names that `solve` takes.


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
        Numbers out of range become the nearer end; otherwise they wrap round as integer addition
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
        one_of("integer_range", self.integer_range, ("symmetric", "full"))
        one_of("rounding", self.rounding, ("unbiased", "biased"))

    # The value of one unit is not part of the format.
    needs_scale = True

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
        scale = positive("scale", scale)
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


Model = FixedPoint | MiniFloat | BlockFloat


@dataclass(frozen=True)
class Simulation:
    """Result of `solve`.

    Attributes
    ----------
    w : ndarray of float64, of shape ``problem.weight_shape``
    history : DataFrame
        Row 0 is the start, then one row an epoch: ``epoch``; ``loss`` and ``grad_norm`` after it;
        ``gradient_error``, the error of the full gradient that its steps took, as a share of the
        norm (NaN at the start, 0 without `gradient_bits`);
        ``first_scale`` and ``scale``, the value of one unit at the first and at the last step (NaN
        where the model is not rounded); ``saturated``, entries at an end of the range after the
        last step, and ``most_saturated``, the most that were there at the end or at one of the
        checks, every 256 batches.
    path : list of ndarray, each of shape ``(batches + 1, *weight_shape)``
        With ``keep_path``: every iterate of every epoch, the centre first. Otherwise empty.
    batch_size : int
        Samples a step.
    solutions : list of ndarray
        The start, and the solution after every epoch.
    """

    w: FloatArray
    history: pd.DataFrame
    path: list[FloatArray]
    batch_size: int
    solutions: list[FloatArray]


@dataclass(frozen=True)
class _Settings:
    """The arguments of `solve` that an inner loop needs, checked."""

    algorithm: _Algorithm
    model: Model
    step_size: float
    batch_size: int
    mu: float | None
    delta: float
    multiplier_bits: int


def solve(
    problem: LinearProblem,
    algorithm: str = "halp",
    model: Model | None = None,
    data: FixedPoint | None = None,
    *,
    loss: MarginLoss | None = None,
    step_size: float | None = None,
    epoch_length: int | None = None,
    epochs: int = 20,
    batch_size: int | str = 1,
    mu: float | None = None,
    delta: float | None = None,
    option: str = "I",
    multiplier_bits: int = 8,
    gradient_bits: int | None = None,
    seed: int = 0,
    w0: ArrayLike | None = None,
    keep_path: bool = False,
) -> Simulation:
    """Minimize a problem by one of the paper's algorithms, simulated.

    Parameters
    ----------
    problem : LeastSquares or SoftmaxRegression
    algorithm : {"sgd", "lp-sgd", "svrg", "lp-svrg", "halp", "lm-halp", "bc-sgd"}
        De Sa et al. 2018: stochastic gradient descent; the same with a rounded model (section 3);
        Algorithm 1; Algorithm 2; Algorithm 3; HALP for linear models, whose updates are products
        of integers. "bc-sgd" is HALP without variance reduction: bit centering alone.
    model : FixedPoint, MiniFloat or BlockFloat, optional
        Of the model, for those that round it; fixed point of 8 bits by default. bfloat16 and blocks
        take numbers as they are, with a scale of 1.
    data : FixedPoint, optional
        Of the data, quantized once to nearest with the least scale that makes nothing saturate; by
        default the data stay as they are.
    loss : MarginLoss, optional
        A loss of the caller's own in place of the problem's, which then gives the data, the
        targets, the penalty and the shape of the weights. Its derivative changes by a difference of
        two derivatives, exact to about 1e-16 of them.
    step_size : float, optional
        Of one sample; by default 1 / (2 L) with the curvature of the loss, see
        ``problem.default_step_size()``.
    epoch_length : int, optional
        Samples an epoch, T; by default 2 N.
    epochs : int
    batch_size : int or "auto"
        Samples a step, B, from 1 to 64. A step adds up the steps that its samples would take from
        the same point, and rounds once; the last one of an epoch may have fewer. "auto" takes
        `batches.largest_batch`.
    mu : float, optional
        HALP: the scale of an epoch is ||gradient|| / (mu (2**(bits-1) - 1)), as in the paper. By
        default the scale follows the displacement, see `fixedpoint.AdaptiveScale`: the first range
        is that of 256 batches along the largest entry of the gradient, or of the epoch where it has
        fewer, and every 256 batches the scale is doubled, and the model halved at random, if more
        than 7/8 of the range are in use.
    delta : float, optional
        LP-SGD, LP-SVRG: the fixed scale; by default the model represents [-1, 1].
    option : {"I", "II"}
        The next centre is the last iterate of the epoch, or a uniformly random one.
    multiplier_bits : int
        LM-HALP: 2 to 24, p. The multiplier of a row of data in a step, the step size times the
        change of the derivative of the loss, is rounded at random to an integer of p bits times a
        power of two of its own; the product with the row is exact, in the product format, and is
        rounded with the model.
    gradient_bits : int, optional
        2 to 24. Full gradients are kept, and move by the changes of the derivatives of the samples,
        rounded at random to integers of so many bits; the rounding error is part of the next
        change (error feedback). By default they are exact.
    seed : int
        Of the samples and of the rounding.
    w0 : array_like of shape ``problem.weight_shape``, optional
        First centre; by default zero.
    keep_path : bool
        Keep every iterate.

    Returns
    -------
    Simulation
        Of a run that leaves the finite numbers: the last finite solution, and a last row of the
        history with infinite loss.

    Warns
    -----
    SaturationWarning
        If a given `mu` makes the model reach an end of its range.

    Raises
    ------
    TypeError
        If a number of bits, samples or epochs is not an integer, or `loss` is not a loss.
    ValueError
        For unknown names, numbers out of range, and `mu` for a model that is not of fixed point; if
        `loss` returns other shapes, or numbers that are not finite at the start.
    """
    one_of("algorithm", algorithm, ALGORITHMS)
    one_of("option", option, ("I", "II"))
    length = 2 * problem.n_samples if epoch_length is None else epoch_length
    length, epochs = count("epoch_length", length, 1), count("epochs", epochs, 0)
    model = model or FixedPoint()
    if mu is not None and not isinstance(model, FixedPoint):
        raise ValueError(f"mu: got {mu} for a {type(model).__name__}, expected None")
    check_bits(multiplier_bits)
    if data is not None:
        problem = _quantized(problem, data)
    if loss is not None:
        problem = _OwnLossProblem(problem, loss)
    a = positive("step_size", problem.default_step_size() if step_size is None else step_size)
    settings = _Settings(
        algorithm=_ALGORITHMS[algorithm],
        model=model,
        step_size=a,
        batch_size=checked_batch_size(batch_size, problem, a),
        mu=None if mu is None else positive("mu", mu),
        delta=positive("delta", default_delta(model) if delta is None else delta),
        multiplier_bits=multiplier_bits,
    )
    samples = np.random.default_rng(seed)
    rounding = np.random.default_rng([seed, 1])
    w = _start(problem, settings, w0)
    value, gradient = problem.loss_and_gradient(w)
    if loss is not None and not (math.isfinite(value) and np.isfinite(gradient).all()):
        raise ValueError(f"loss: got {value} at the start, expected finite values and derivatives")
    rows, path, solutions = [_row(0, value, gradient, None)], [], [w]
    adaptive = AdaptiveScale(a, settings.batch_size, length, model.highest)
    kept = None if gradient_bits is None else _KeptGradient(problem, gradient_bits, rounding)
    for epoch in range(1, epochs + 1):
        chosen = samples.integers(problem.n_samples, size=length)
        batches = np.split(chosen, range(settings.batch_size, length, settings.batch_size))
        if option == "II":
            batches = batches[: samples.integers(1, len(batches) + 1)]
        full_gradient = gradient if kept is None else kept.move(w)
        error = _relative_error(full_gradient, gradient)
        inner = _Inner(problem, settings, w, full_gradient, adaptive, rounding)
        with np.errstate(over="ignore", invalid="ignore"):
            iterates = inner.run(batches, keep_path)
            value, gradient = problem.loss_and_gradient(iterates[-1])
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            rows.append(_row(epoch, math.inf, np.array(math.inf), inner, error))
            break
        w = iterates[-1]
        solutions.append(w)
        if keep_path:
            path.append(np.array(iterates))
        rows.append(_row(epoch, value, gradient, inner, error))
    history = pd.DataFrame(rows)
    _warn_of_saturation(settings, history)
    return Simulation(w, history, path, settings.batch_size, solutions)


class _Inner:
    """The inner loop of one epoch, written as in the paper."""

    def __init__(
        self,
        problem: LinearProblem,
        settings: _Settings,
        center: FloatArray,
        full_gradient: FloatArray,
        adaptive: AdaptiveScale,
        rounding: np.random.Generator,
    ) -> None:
        self.problem, self.settings, self.rounding = problem, settings, rounding
        self.adaptive = adaptive if settings.algorithm.centered and settings.mu is None else None
        self.reach = 0.0
        self.center, self.full_gradient = center, full_gradient
        self.margins = problem.margins(center)
        # Rounded variable: the displacement from the centre, or the model.
        centered = settings.algorithm.centered
        self.origin = center if centered else np.zeros_like(center)
        self.z = center - self.origin
        self.first_scale = self.scale = math.nan
        self.saturated = self.most_saturated = 0

    def run(self, batches: list[NDArray[np.int64]], keep_path: bool) -> list[FloatArray]:
        """Return the iterates, or the last one only."""
        self.first_scale = self.scale = self._scale()
        if self.scale == 0:  # HALP: the gradient is zero, and so is every step
            return [self.center]
        iterates = [self.center]
        for t, samples in enumerate(batches, 1):
            step = self._sum_of_products(samples) + len(samples) * self._shared_step()
            self.z = self._round(self.z - step)
            if keep_path:
                iterates.append(self.origin + self.z)
            if t == len(batches) or t % CHECKED_BATCHES == 0:
                self._check(last=t == len(batches))
        return iterates if keep_path else [self.origin + self.z]

    def _scale(self) -> float:
        """Return the first value of one unit; NaN where the model is not rounded."""
        settings = self.settings
        if not settings.algorithm.rounded:
            return math.nan
        if not settings.model.needs_scale:
            return 1.0
        if self.adaptive is not None:
            return self.adaptive.first(float(np.abs(self.full_gradient).max()))
        if not settings.algorithm.centered or settings.mu is None:
            return settings.delta
        norm = float(np.linalg.norm(self.full_gradient))
        return bit_centering_scale(norm, settings.mu, int(settings.model.bits))

    def _sum_of_products(self, samples: NDArray[np.int64]) -> FloatArray:
        """Return the part of a step that has rows of data in it."""
        x, y = self.problem.X[samples], self.problem.y[samples]
        if self.settings.algorithm.reduced:
            moved = x @ self._displacement().T
            beta = _derivative_change(self.problem, self.margins[samples], moved, y)
        else:
            beta = self.problem.margin_derivative(x @ (self.origin + self.z).T, y)
        multipliers = self.settings.step_size * beta
        if self.settings.algorithm.rounded_multipliers:
            bits = self.settings.multiplier_bits
            multipliers = _rounded_multipliers(multipliers, bits, self.rounding)
        return np.asarray(multipliers.T @ x)

    def _shared_step(self) -> FloatArray:
        """Return the part of the step of one sample that is the same for every sample."""
        a, l2 = self.settings.step_size, self.problem.l2
        if self.settings.algorithm.reduced:
            return a * (l2 * self._displacement() + self.full_gradient)
        return a * l2 * (self.origin + self.z)

    def _displacement(self) -> FloatArray:
        return self.z - (self.center - self.origin)

    def _round(self, z: FloatArray) -> FloatArray:
        if math.isnan(self.scale):
            return z
        return self.scale * self.settings.model.quantize(z, self.scale, self.rounding)

    def _check(self, last: bool) -> None:
        """Count the entries at an end of the range; double an adaptive scale that is too small."""
        model = self.settings.model
        if math.isnan(self.scale) or not model.needs_scale:
            return
        k = np.rint(self.z / self.scale)
        self.saturated = int(np.count_nonzero((k == model.lowest) | (k == model.highest)))
        self.most_saturated = max(self.most_saturated, self.saturated)
        if self.adaptive is None:
            return
        used = float(np.abs(k).max())
        self.reach = max(self.reach, used * self.scale)
        if last:
            self.adaptive.learn(self.reach, float(np.abs(self.full_gradient).max()))
        elif used > GROW_ABOVE * model.highest:
            self.scale *= 2
            self.z = self._round(self.z)


class _OwnLossProblem(LinearProblem):
    """The data, targets and penalty of a problem under a loss of the caller's own."""

    def __init__(self, problem: LinearProblem, loss: MarginLoss) -> None:
        for name in ("curvature", "value_and_derivative"):
            if not hasattr(loss, name):
                raise TypeError(f"loss: got {type(loss).__name__} without {name}, see MarginLoss")
        super().__init__(problem.X, problem.l2)
        self.y, self.n_outputs = problem.y, problem.n_outputs
        self._problem, self._loss = problem, loss
        curvature = positive("loss.curvature", loss.curvature)
        self.loss_function = Loss(
            type(loss).__name__, -1, curvature, self._checked, takes_labels=False
        )

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return self._problem.weight_shape

    def reduced(self, X: NDArray[Any]) -> _OwnLossProblem:
        return _OwnLossProblem(self._problem.reduced(X), self._loss)

    def _decide(self, margins: FloatArray) -> FloatArray:
        return margins

    def _checked(self, margins: FloatArray, y: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """Return what the loss returns, if it has the shapes that it must have."""
        expected = margins.shape
        losses, derivative = self._loss.value_and_derivative(margins, y)
        losses, derivative = np.asarray(losses, np.float64), np.asarray(derivative, np.float64)
        if losses.shape != y.shape or derivative.shape != expected:
            raise ValueError(
                f"loss: got losses of shape {losses.shape} and derivatives of shape "
                f"{derivative.shape}, expected {y.shape} and {expected}"
            )
        return losses, derivative


class _KeptGradient:
    """The full gradient by error feedback: it moves by rounded changes of the samples' shares."""

    def __init__(self, problem: LinearProblem, bits: int, rounding: np.random.Generator) -> None:
        self.problem, self.format, self.rounding = problem, FixedPoint(bits), rounding
        # Sum of all changes of each sample so far, and its sum over the rows of data.
        self.added = np.zeros((problem.n_samples, *problem.weight_shape[:-1]))
        self.total = np.zeros(problem.weight_shape)

    def move(self, w: FloatArray) -> FloatArray:
        """Return the gradient at `w`, for a change of the derivatives rounded at random."""
        change = self.problem.margin_derivative(self.problem.margins(w)) - self.added
        unit = float(np.abs(change).max()) / self.format.highest
        if unit > 0:
            change = unit * self.format.quantize(change, unit, self.rounding)
            self.added += change
            self.total += change.T @ self.problem.X
        return np.asarray(self.total / self.problem.n_samples + self.problem.l2 * w)


def _rounded_multipliers(
    multipliers: FloatArray, bits: int, rounding: np.random.Generator
) -> FloatArray:
    """Round each number at random to an integer of `bits` bits times a power of two of its own."""
    largest = largest_integer(bits)
    magnitude = np.where(multipliers == 0, 1.0, np.abs(multipliers))
    unit = np.exp2(-np.floor(np.log2(largest / magnitude)))
    k = np.floor(multipliers / unit + rounding.random(multipliers.shape))
    return np.asarray(unit * np.clip(k, -largest, largest))


def _derivative_change(
    problem: LinearProblem, margins: FloatArray, moved: FloatArray, y: NDArray[Any]
) -> FloatArray:
    """Return loss'(margins + moved) - loss'(margins), exact to the last digits as moved vanishes.

    For softmax, p = softmax(m) and q the change of m, it is p (e^q - 1 - s) / (1 + s) with
    s = sum p (e^q - 1); a difference of two softmaxes would lose the digits that they share.
    """
    if problem.loss_function.quadratic:
        return moved
    # Other losses, one of the caller's own among them, or margins far apart: nothing to lose.
    if problem.loss_function is not SOFTMAX or not np.abs(moved).max() < 30:
        before, after = (problem.margin_derivative(m, y) for m in (margins, margins + moved))
        return after - before
    p = np.exp(margins - margins.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    grown = np.expm1(moved)
    s = (p * grown).sum(axis=1, keepdims=True)
    return np.asarray(p * (grown - s) / (1 + s))


def default_delta(model: Model) -> float:
    """Return the scale with which the model represents [-1, 1], or numbers as they are."""
    return 1 / model.highest if model.needs_scale else 1.0


def _start(problem: LinearProblem, settings: _Settings, w0: ArrayLike | None) -> FloatArray:
    """Return the first centre, representable if the model is rounded."""
    shape = problem.weight_shape
    w = np.zeros(shape) if w0 is None else reals("w0", w0, shape)
    if settings.algorithm.rounded and not settings.algorithm.centered:
        # Not at random: the start is the same for every seed, as in the compiled solvers.
        nearest = replace(settings.model, rounding="biased")
        w = settings.delta * nearest.quantize(w, settings.delta)
    return w


def _warn_of_saturation(settings: _Settings, history: pd.DataFrame) -> None:
    """Warn of a `mu` that was given and makes the scale too small."""
    if settings.mu is None or not settings.algorithm.centered or not settings.algorithm.rounded:
        return
    full = history[history["most_saturated"] > 0]
    if len(full):
        first = full.iloc[0]
        epoch, entries = int(first["epoch"]), int(first["most_saturated"])
        warnings.warn(saturation_warning(settings.mu, epoch, entries), stacklevel=3)


def _quantized(problem: LinearProblem, data: FixedPoint) -> LinearProblem:
    """Return the problem on data rounded to nearest, with the scale of the compiled solvers."""
    X = problem.X.astype(np.float64)
    scale = float(np.abs(X).max()) / data.highest or 1.0
    nearest = FixedPoint(data.bits, data.integer_range, "biased")
    return problem.reduced(scale * nearest.quantize(X, scale))


def _relative_error(kept: FloatArray, exact: FloatArray) -> float:
    norm = float(np.linalg.norm(exact))
    return float(np.linalg.norm(kept - exact)) / norm if norm else 0.0


def _row(
    epoch: int,
    loss: float,
    gradient: FloatArray,
    inner: _Inner | None,
    gradient_error: float = math.nan,
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "loss": loss,
        "grad_norm": float(np.linalg.norm(gradient)),
        "gradient_error": gradient_error,
        "first_scale": inner.first_scale if inner else math.nan,
        "scale": inner.scale if inner else math.nan,
        "saturated": inner.saturated if inner else 0,
        "most_saturated": inner.most_saturated if inner else 0,
    }
