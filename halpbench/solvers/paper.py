"""SGD, SVRG, HALP and their low-precision kin, epoch by epoch (De Sa et al. 2018, Algorithms 1-3).

One outer loop serves all; the rows of ``algorithms.py`` hold their differences. ``inner.py`` takes
the steps, and the objective with the engine of ``full_gradient.py`` the full gradients.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halpbench import kernels
from halpbench.arguments import count, one_of, positive, reals
from halpbench.batches import checked_batch_size
from halpbench.fixedpoint import (
    AdaptiveScale,
    bit_centering_scale,
    count_saturated,
    largest_integer,
)
from halpbench.formats import INTEGERS, Format
from halpbench.objective import Evaluation, FloatArray, Objective
from halpbench.problems import LinearProblem
from halpbench.rows import Rows
from halpbench.solvers._loops import norm
from halpbench.solvers.algorithms import ALGORITHMS
from halpbench.solvers.full_gradient import CompiledEngine, IntegerEngine
from halpbench.solvers.inner import Centre, Inner, Steps
from halpbench.solvers.sampling import uniform

__all__ = ["Epoch", "Solver", "copies"]


@dataclass(frozen=True)
class Epoch:
    """Cost of an epoch, in seconds, and the representation of its model.

    Attributes
    ----------
    inner_seconds, full_gradient_seconds : float
    passes : float
        Rows of data visited, in units of the whole set.
    first_scale, scale : float
        The value of one unit of an integer model at the first and at the last step; NaN for floats.
    saturated, most_saturated : int
        Entries of the model at either end of their range, after the last step, and the most that
        were there at that or at one of the checks, every 256 steps.
    diverged : bool
        A step was not finite. The run is then where it was before the epoch.
    """

    inner_seconds: float
    full_gradient_seconds: float
    passes: float
    first_scale: float
    scale: float
    saturated: int
    most_saturated: int
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
        Full gradients of the problem itself, or of the problem on quantized data.
    step_size : float, optional
        Of one sample; by default ``problem.default_step_size()``. ``batch_size * step_size * l2``
        must be below 1.
    epoch_length : int, optional
        Samples an epoch, T; by default 2 N.
    batch_size : int or "auto"
        Samples a step, B, from 1 (the paper) to 64. A step adds up the steps that its samples would
        take from the same point, and rounds once; the last one of an epoch may have fewer. "auto"
        takes `batches.largest_batch`.
    mu : float, optional
        HALP: strong-convexity constant or tuning parameter; the scale of an epoch is
        ||gradient|| / (mu (2**(bits-1) - 1)), as in the paper. By default the scale follows the
        displacement, see `fixedpoint.AdaptiveScale`, and is doubled within an epoch whenever the
        model has used 7/8 of its range.
    delta : float, optional
        LP-SGD, LP-SVRG: the fixed scale of the model; by default it represents [-1, 1].
    option : {"I", "II"}
        The next centre is the last iterate of the epoch, or a uniformly random one. (For option II
        the steps behind the chosen one cannot matter and are not taken.)
    seed : int
        Of the samples and of the stochastic rounding.
    quantized_bits : {8, 16}
        Bits of ``data="quantized"`` for a floating-point precision.
    w0 : array_like of shape ``problem.weight_shape``, optional
        First centre; by default zero.
    rows : pair of Rows, optional
        Result of :func:`copies` for this problem, precision and data, so that runs can share it.

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
        batch_size: int | str = 1,
        mu: float | None = None,
        delta: float | None = None,
        option: str = "I",
        seed: int = 0,
        quantized_bits: int = 8,
        w0: ArrayLike | None = None,
        rows: tuple[Rows, Rows] | None = None,
    ) -> None:
        self.problem = problem
        self.algorithm = ALGORITHMS[one_of("algorithm", algorithm, tuple(ALGORITHMS))]
        self.precision = self.algorithm.in_format(precision)
        self.data = one_of("data", data, ("exact", "quantized"))
        self.option = one_of("option", option, ("I", "II"))
        if quantized_bits not in INTEGERS:
            raise ValueError(f"quantized_bits must be 8 or 16, got {quantized_bits!r}")
        self.step_size = positive(
            "step_size", problem.default_step_size() if step_size is None else step_size
        )
        self.batch_size = checked_batch_size(batch_size, problem, self.step_size)
        if self.batch_size * self.step_size * problem.l2 >= 1:
            raise ValueError(
                "batch_size * step_size * l2 must be below 1, got "
                f"{self.batch_size} * {self.step_size} * {problem.l2}"
            )
        self.epoch_length = 2 * problem.n_samples
        if epoch_length is not None:
            self.epoch_length = count("epoch_length", epoch_length, 1)
        self.mu = None if mu is None else positive("mu", mu)
        self.delta = positive("delta", _default_delta(self.precision) if delta is None else delta)
        self._adaptive: AdaptiveScale | None = None
        if self.algorithm.integer_model and self.algorithm.centred and mu is None:
            highest = largest_integer(self.precision.model.bits)
            self._adaptive = AdaptiveScale(
                self.step_size, self.batch_size, self.epoch_length, highest
            )
        self._random = np.random.default_rng(seed)
        self._read(rows or copies(problem.rows, self.precision, data, quantized_bits), seed)
        self._begin(w0)

    def _read(self, rows: tuple[Rows, Rows], seed: int) -> None:
        """Take steps on the first rows, full gradients over the second."""
        problem = self.problem
        self._inner = Inner(
            format=self.precision,
            loss=problem.loss_function,
            rows=rows[0],
            step_size=self.step_size,
            l2=problem.l2,
            batch_size=self.batch_size,
            rng=kernels.Rng(seed),
        )
        # Margins of integer rows are followed: for full gradients over them, and where the
        # model is no displacement for its margins at the centre.
        self._engine: IntegerEngine | None = None
        if rows[1].is_integer or (self._is_fixed and self.algorithm.variance_reduced):
            self._engine = IntegerEngine(
                rows[0], problem.n_outputs, seed, with_gradient=rows[1].is_integer
            )
        self._objective = Objective(
            rows[1],
            problem.y,
            problem.loss_function,
            problem.n_outputs,
            l2=problem.l2,
            engine=self._engine
            if self._engine is not None and rows[1].is_integer
            else CompiledEngine(fused=not self.precision.is_integer),
        )

    @property
    def _is_fixed(self) -> bool:
        """True if the model is one of integers with a scale that never changes."""
        return self.algorithm.integer_model and not self.algorithm.centred

    def _begin(self, w0: ArrayLike | None) -> None:
        """Start at a point."""
        problem = self.problem
        self._shape = (problem.n_outputs, problem.n_features)
        self._w: FloatArray = np.zeros(self._shape)
        if w0 is not None:
            self._w[...] = reals("w0", w0, problem.weight_shape).reshape(self._shape)
        if self._is_fixed:
            self._model = self._zeros(self.delta)
            self._model.values[...] = self._representable(self._w)
            self._w = self._model.values * self.delta
            if self._engine is not None:
                self._engine.place(self._model)
        elif self._engine is not None:
            self._w = self._engine.start(self._w)
        self._targets: FloatArray | None = None
        self._reference: FloatArray | None = None
        if not self.algorithm.variance_reduced:
            self._targets = np.ascontiguousarray(problem.y, np.float64).reshape(len(problem.y), -1)
        elif not problem.loss_function.quadratic:
            self._reference = np.empty((problem.n_samples, problem.n_outputs))
        self._at: Evaluation | None = None
        self._gradient_ns = 0

    def _zeros(self, scale: float) -> Rows:
        return Rows.zeros(*self._shape, self.precision.model.dtype, scale=scale)

    # ---- For callers --------------------------------------------------------------------

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

    def gradient(self) -> FloatArray:
        """Full gradient that the next epoch takes, of shape ``problem.weight_shape``, a copy."""
        return self._evaluation().weights.reshape(self.problem.weight_shape).copy()

    def gradient_norm(self, w: ArrayLike) -> float:
        """Gradient norm at any ``w``, on the data that ``data`` names; changes nothing."""
        at = np.ascontiguousarray(w, np.float64).reshape(self._shape)
        rows, loss = self._objective.rows, self.problem.loss_function
        if not rows.is_integer:
            return norm(self._objective.evaluate(at).weights)
        total = np.zeros(self._shape)
        for block, x in rows.in_float64():
            margins = (x @ at.T) * rows.scale
            y = self.problem.y[block]
            targets = y if loss.takes_labels else y.reshape(margins.shape)
            total += loss.value_and_derivative(margins, targets)[1].T @ x
        return norm(total * (rows.scale / len(rows)) + self.problem.l2 * at)

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
        samples = uniform(self._random, n, self.epoch_length, self.option, self.batch_size)
        z, h, centre = self._model_at_centre(gradient)
        first_scale = z.scale
        steps = None
        if first_scale == 0:  # HALP: the gradient is zero, and so is every step
            steps = Steps(1.0, 0.0, 0)
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # reported as divergence
                steps = self._inner.run(
                    z,
                    samples,
                    h=h,
                    centre=centre,
                    targets=self._targets,
                    grows=self._adaptive is not None,
                )
        diverged = steps is None or not self._follow(z, steps, gradient)
        inner_seconds = 1e-9 * (time.perf_counter_ns() - started)
        passes = len(samples) / n + reduced * (1 + (centre is not None and self._looks_twice))
        integer = self.algorithm.integer_model
        return Epoch(
            inner_seconds,
            1e-9 * full_ns,
            passes,
            first_scale if integer else math.nan,
            z.scale if integer else math.nan,
            count_saturated(z.values, self.precision.model.bits) if integer else 0,
            steps.saturated if steps is not None else 0,
            diverged,
        )

    def _model_at_centre(
        self, gradient: FloatArray | None
    ) -> tuple[Rows, FloatArray | None, Centre | None]:
        """Return the model before the first step, the constant of every step, and the centre."""
        algorithm, a = self.algorithm, self.step_size
        if self._is_fixed:
            z = self._zeros(self.delta)
            z.values[...] = self._model.values
        else:
            z = self._zeros(self._scale(gradient))
            if not algorithm.centred:
                z.values[...] = self._w
        if gradient is None:
            return z, None, None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            h = (a / z.scale) * gradient if z.scale else None
        if not self._is_fixed:
            return z, h, Centre(reference=self._reference)
        assert self._engine is not None
        return (
            z,
            h,
            Centre(reference=self._reference, origin=self._model, margins=self._engine.margins),
        )

    def _follow(self, z: Rows, steps: Steps, gradient: FloatArray | None) -> bool:
        """Move to the result of the steps, if that is finite."""
        scale = z.scale * steps.rho
        moved = z.values * scale
        w = self._w + moved if self.algorithm.centred else moved.astype(np.float64)
        if not bool(np.isfinite(w).all()):
            return False
        self._w, self._at = w, None
        if self._is_fixed:
            self._model = z
            if self._engine is not None:
                self._engine.place(z)
        elif self._engine is not None and scale:
            self._engine.move(z)
        if self._adaptive is not None and gradient is not None and scale:
            self._adaptive.learn(steps.reach, float(np.abs(gradient).max()))
        return True

    def _scale(self, gradient: FloatArray | None) -> float:
        """The value of one unit of z: 1 for floats, else by bit centering."""
        if not self.algorithm.integer_model or gradient is None:
            return 1.0
        if self._adaptive is not None:
            return self._adaptive.first(float(np.abs(gradient).max()))
        assert self.mu is not None
        return bit_centering_scale(norm(gradient), self.mu, self.precision.model.bits)

    @property
    def _looks_twice(self) -> bool:
        """True if a full gradient takes a pass over the original and one over the integer rows."""
        return self._engine is not None and self._objective.engine is not self._engine

    def _evaluation(self) -> Evaluation:
        """Loss and gradient at the current solution; fills the reference of variance reduction."""
        if self._at is None:
            started = time.perf_counter_ns()
            if self._looks_twice:
                # Steps must subtract the derivative on the rows that they read.
                assert self._engine is not None
                self._engine.mean(self._objective, self._w, np.zeros(0), self._reference)
                self._at = self._objective.evaluate(self._w)
            else:
                self._at = self._objective.evaluate(self._w, reference=self._reference)
            self._gradient_ns += time.perf_counter_ns() - started
        return self._at

    def _representable(self, w: FloatArray) -> NDArray[Any]:
        """``w`` in units of delta, to nearest."""
        q, _ = kernels.quantize(w, self.precision.model.bits, self.delta, rounding="nearest")
        return q


def copies(rows: Rows, precision: Format, data: str, quantized_bits: int) -> tuple[Rows, Rows]:
    """The rows that the inner loop reads, and those that the passes for the full gradient read.

    Rows are copied only if the precision and the treatment of the data ask for it. With ``"exact"``
    the full gradients come from ``rows`` themselves, with ``"quantized"`` from the numbers that the
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


def _default_delta(precision: Format) -> float:
    return 1 / (largest_integer(precision.model.bits) if precision.is_integer else 1)
