"""SGD, SVRG, HALP and their low-precision kin, epoch by epoch (De Sa et al. 2018, Algorithms 1-3).

One outer loop serves all; the rows of ``algorithms.py`` say what differs. Steps are taken by
``inner.py``, full gradients by the objective with the engine of ``full_gradient.py``.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halpbench import kernels
from halpbench.fixedpoint import bit_centering_scale, count_saturated, largest_integer
from halpbench.formats import INTEGERS, Format
from halpbench.objective import Evaluation, FloatArray, Objective
from halpbench.problems import LinearProblem
from halpbench.rows import Rows
from halpbench.solvers._loops import norm
from halpbench.solvers.algorithms import ALGORITHMS
from halpbench.solvers.full_gradient import CompiledEngine
from halpbench.solvers.inner import Inner
from halpbench.solvers.sampling import uniform

__all__ = ["Epoch", "Solver", "copies"]


@dataclass(frozen=True)
class Epoch:
    """What an epoch cost, in seconds, and how it represented its model.

    Attributes
    ----------
    inner_seconds, full_gradient_seconds : float
    passes : float
        Rows of data visited, in units of the whole set.
    scale : float
        The value of one unit of an integer model; NaN for floats.
    saturated : int
        Entries of the model at either end of their range after the last step.
    diverged : bool
        A step was not finite. The run is then where it was before the epoch.
    """

    inner_seconds: float
    full_gradient_seconds: float
    passes: float
    scale: float
    saturated: int
    diverged: bool = False

    @property
    def seconds(self) -> float:
        """Inner loop and full gradient together."""
        return self.inner_seconds + self.full_gradient_seconds


class Solver:
    """A run of one algorithm on one problem, advanced epoch by epoch.

    Parameters
    ----------
    problem : LeastSquares or SoftmaxRegression
    algorithm : {"halp", "svrg", "lp-svrg", "sgd", "lp-sgd"}
    precision : {"D8M8", "D8M16", "D16M16", "D32fM32f", "D64fM64f"}, optional
        Integer for "halp", "lp-svrg" and "lp-sgd" (default "D8M8"), floating-point for "svrg" and
        "sgd" (default "D64fM64f").
    data : {"exact", "quantized"}
        Whether full gradients are those of the problem itself, or of the problem on quantized data.
    step_size : float, optional
        By default ``problem.default_step_size()``. ``step_size * l2`` must be below 1.
    epoch_length : int, optional
        Steps an epoch, T; by default 2 N.
    mu : float
        HALP: strong-convexity constant or tuning parameter; the scale of an epoch is
        ||gradient|| / (mu (2**(bits-1) - 1)).
    delta : float, optional
        LP-SGD, LP-SVRG: the fixed scale of the model; by default it represents [-1, 1].
    option : {"I", "II"}
        The next centre is the last iterate of the epoch, or a uniformly random one. (For option II
        the steps behind the chosen one cannot matter and are not taken.)
    seed : int
        Of the samples and of the stochastic rounding.
    quantized_bits : {8, 16}
        What ``data="quantized"`` means for a floating-point precision.
    w0 : array_like of shape ``problem.weight_shape``, optional
        Where to start; by default at zero.

    Attributes
    ----------
    algorithm : Algorithm
    precision : Format
    w : ndarray of float64, of shape ``problem.weight_shape``
        The current solution.
    data_bytes, step_bytes, gradient_row_bytes : int
        Size of the matrix that the inner loop reads, of one of its rows, and of a row that the
        passes for the full gradient read.

    Raises
    ------
    ValueError
        For unknown names, combinations that make no sense, and numbers out of range.
    """

    def __init__(
        self,
        problem: LinearProblem,
        algorithm: str = "halp",
        precision: str | None = None,
        data: str = "exact",
        *,
        step_size: float | None = None,
        epoch_length: int | None = None,
        mu: float = 1.0,
        delta: float | None = None,
        option: str = "I",
        seed: int = 0,
        quantized_bits: int = 8,
        w0: ArrayLike | None = None,
    ) -> None:
        self.problem = problem
        self.algorithm = ALGORITHMS[_one_of("algorithm", algorithm, tuple(ALGORITHMS))]
        self.precision = self.algorithm.in_format(precision)
        self.data = _one_of("data", data, ("exact", "quantized"))
        self.option = _one_of("option", option, ("I", "II"))
        if quantized_bits not in INTEGERS:
            raise ValueError(f"quantized_bits must be 8 or 16, got {quantized_bits!r}")
        self.step_size = _step_size(problem, step_size)
        self.epoch_length = 2 * problem.n_samples if epoch_length is None else int(epoch_length)
        if self.epoch_length < 1:
            raise ValueError(f"epoch_length must be at least 1, got {epoch_length}")
        self.mu = _positive("mu", mu)
        self.delta = _positive("delta", _default_delta(self.precision) if delta is None else delta)
        self._random = np.random.default_rng(seed)
        self._read(copies(problem.rows, self.precision, data, quantized_bits), kernels.Rng(seed))
        self._begin(w0)

    def _read(self, rows: tuple[Rows, Rows], rounding: kernels.Rng) -> None:
        """Take steps on the first rows, full gradients over the second."""
        problem = self.problem
        self._inner = Inner(
            format=self.precision,
            loss=problem.loss_function,
            centred=self.algorithm.centred,
            rows=rows[0],
            step_size=self.step_size,
            l2=problem.l2,
            rng=rounding,
        )
        self._objective = Objective(
            rows[1],
            problem.y,
            problem.loss_function,
            problem.n_outputs,
            l2=problem.l2,
            engine=CompiledEngine(fused=not self.precision.is_integer),
        )

    def _begin(self, w0: ArrayLike | None) -> None:
        """Start at a point; what a step subtracts from the derivative belongs to it."""
        problem, loss = self.problem, self.problem.loss_function
        self._shape = (problem.n_outputs, problem.n_features)
        self._w: FloatArray = np.zeros(self._shape)
        if w0 is not None:
            start = np.asarray(w0, np.float64)
            if start.shape != problem.weight_shape or not np.isfinite(start).all():
                raise ValueError(
                    f"w0 must be finite and of shape {problem.weight_shape}, got {start.shape}"
                )
            self._w[...] = start.reshape(self._shape)
        if self.algorithm.integer_model and not self.algorithm.centred:
            self._w = self._representable(self._w) * self.delta
        self._reference: FloatArray | None = None
        if not self.algorithm.variance_reduced:
            self._reference = loss.predictions(problem.y, problem.n_outputs)
        elif not (self.algorithm.centred and loss.quadratic):
            self._reference = np.empty((problem.n_samples, problem.n_outputs))
        self._at: Evaluation | None = None
        self._gradient_ns = 0

    # ---- What a caller sees --------------------------------------------------------------------

    @property
    def w(self) -> FloatArray:
        """The current solution, a copy."""
        return self._w.reshape(self.problem.weight_shape).copy()

    @property
    def data_bytes(self) -> int:
        """Bytes of the matrix that the inner loop reads."""
        return self._inner.rows.nbytes

    @property
    def step_bytes(self) -> int:
        """Bytes of data that an inner step reads."""
        return self.data_bytes // self.problem.n_samples

    @property
    def gradient_row_bytes(self) -> int:
        """Bytes of data that the pass for the full gradient reads for each sample."""
        return self._objective.rows.nbytes // self.problem.n_samples

    def evaluate(self) -> tuple[float, float]:
        """Loss and gradient norm at the current solution, on the data that ``data`` names.

        An algorithm with variance reduction needs that pass over the data anyway: it is made once,
        and charged to the epoch that starts there.
        """
        at = self._evaluation()
        return at.loss, norm(at.weights)

    def gradient_norm(self, w: ArrayLike) -> float:
        """Gradient norm at any ``w``, on the data that ``data`` names; changes nothing."""
        at = np.ascontiguousarray(w, np.float64).reshape(self._shape)
        return norm(self._objective.evaluate(at).weights)

    # ---- The outer loop ------------------------------------------------------------------------

    def epoch(self) -> Epoch:
        """Advance by one epoch."""
        self._gradient_ns, charged = 0, self._gradient_ns
        reduced = self.algorithm.variance_reduced
        gradient = self._evaluation().weights if reduced else None
        full_ns = (charged + self._gradient_ns) if reduced else 0
        self._gradient_ns = 0

        started = time.perf_counter_ns()
        n = self.problem.n_samples
        samples = uniform(self._random, n, self.epoch_length, self.option)
        w, scale, saturated = self._steps(gradient, samples)
        inner_seconds = 1e-9 * (time.perf_counter_ns() - started)

        diverged = w is None or not bool(np.isfinite(w).all())
        if w is not None and not diverged:
            self._w, self._at = w, None
        passes = len(samples) / n + reduced
        return Epoch(inner_seconds, 1e-9 * full_ns, passes, scale, saturated, diverged)

    @np.errstate(over="ignore", invalid="ignore")  # divergence, which is reported as such
    def _steps(
        self, gradient: FloatArray | None, samples: NDArray[np.int32]
    ) -> tuple[FloatArray | None, float, int]:
        """The solution after the steps (None if it diverged), the scale, the saturated entries."""
        centred, integer = self.algorithm.centred, self.algorithm.integer_model
        delta = self._scale(gradient)
        if delta == 0:  # HALP: the gradient is zero, and so is every step
            return self._w, delta, 0
        z = Rows.zeros(*self._shape, self.precision.model.dtype, scale=delta)
        if not centred:
            z.values[...] = self._representable(self._w) if integer else self._w
        h = None
        if gradient is not None:
            # The full gradient has l2 w~ in it. Where z is the displacement that is right; where z
            # is the model itself the shrinking of z takes care of it.
            corrected = gradient if centred else gradient - self.problem.l2 * self._w
            h = (self.step_size / delta) * corrected
        rho = self._inner.run(z, samples, h=h, reference=self._reference)
        scale = delta if integer else math.nan
        if rho is None:
            return None, delta, 0
        moved = z.values * (delta * rho)
        saturated = count_saturated(z.values, self.precision.model.bits) if integer else 0
        return self._w + moved if centred else moved.astype(np.float64), scale, saturated

    def _scale(self, gradient: FloatArray | None) -> float:
        """The value of one unit of z: 1 for floats, fixed, or by bit centering."""
        if not self.algorithm.integer_model:
            return 1.0
        if self.algorithm.centred and gradient is not None:
            return bit_centering_scale(norm(gradient), self.mu, self.precision.model.bits)
        return self.delta

    def _evaluation(self) -> Evaluation:
        """Loss and gradient at the current solution; fills the reference of variance reduction."""
        if self._at is None:
            started = time.perf_counter_ns()
            reference = self._reference if self.algorithm.variance_reduced else None
            self._at = self._objective.evaluate(self._w, reference=reference)
            self._gradient_ns += time.perf_counter_ns() - started
        return self._at

    def _representable(self, w: FloatArray) -> NDArray[Any]:
        """``w`` in units of delta, to nearest."""
        q, _ = kernels.quantize(w, self.precision.model.bits, self.delta, rounding="nearest")
        return q


def copies(rows: Rows, precision: Format, data: str, quantized_bits: int) -> tuple[Rows, Rows]:
    """The rows that the inner loop reads, and those that the passes for the full gradient read.

    Copied only where the precision and the treatment of the data ask for it. With ``"exact"`` the
    full gradients come from ``rows`` themselves, with ``"quantized"`` from the numbers that the
    inner loop reads, which for floats are those of ``rows`` quantized to ``quantized_bits``.

    Raises
    ------
    ValueError
        If there are entries beyond the range of float32 where the precision asks for it.
    """
    number = precision.data
    if rows.dtype == np.float64 and number.dtype == np.float32:
        limit = float(np.finfo(np.float32).max)
        if (largest := rows.largest()) > limit:
            raise ValueError(f"X must lie within +-{limit:.3g} for {precision.name}, got {largest}")
    if number.is_integer:
        inner = rows.quantized(number)
    elif data == "quantized":
        inner = rows.quantized(INTEGERS[quantized_bits]).converted(number.dtype)
    else:
        inner = rows.converted(number.dtype)
    return inner, inner if data == "quantized" else rows


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def _positive(name: str, value: float) -> float:
    value = float(value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and positive, got {value}")
    return value


def _step_size(problem: LinearProblem, value: float | None) -> float:
    size = _positive("step_size", problem.default_step_size() if value is None else value)
    if size * problem.l2 >= 1:
        raise ValueError(f"step_size * l2 must be below 1, got {size} * {problem.l2}")
    return size


def _default_delta(precision: Format) -> float:
    return 1 / (largest_integer(precision.model.bits) if precision.is_integer else 1)
