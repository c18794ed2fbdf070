"""SGD, SVRG, HALP and their low-precision kin, epoch by epoch (De Sa et al. 2018, Algorithms 1-3).

The outer loops stand here; the steps are taken by ``_loops.InnerLoop``, the full gradients by
``_loops.GradientPass``.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halpbench import kernels
from halpbench.fixedpoint import (
    bit_centering_scale,
    count_saturated,
    largest_integer,
)
from halpbench.formats import FORMATS, INTEGERS, Format
from halpbench.objective import Objective
from halpbench.problems import LeastSquares, SoftmaxRegression
from halpbench.rows import Rows
from halpbench.solvers._loops import InnerLoop, norm
from halpbench.solvers.full_gradient import CompiledEngine

Problem = LeastSquares | SoftmaxRegression

ALGORITHMS = ("sgd", "lp-sgd", "svrg", "lp-svrg", "halp")
VARIANCE_REDUCED = ("svrg", "lp-svrg", "halp")
FOLD_BELOW = 1 - 1 / 64  # of an integer model's rho, see Run._fold_every


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


class Run:
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
        problem: Problem,
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
        self.algorithm = _one_of("algorithm", algorithm, ALGORITHMS)
        self.precision = _precision_for(algorithm, precision)
        self.data = _one_of("data", data, ("exact", "quantized"))
        self.option = _one_of("option", option, ("I", "II"))
        if quantized_bits not in INTEGERS:
            raise ValueError(f"quantized_bits must be 8 or 16, got {quantized_bits!r}")
        self.step_size = _positive(
            "step_size", problem.default_step_size() if step_size is None else step_size
        )
        if self.step_size * problem.l2 >= 1:
            raise ValueError(f"step_size * l2 must be below 1, got {self.step_size} * {problem.l2}")
        self.epoch_length = 2 * problem.n_samples if epoch_length is None else int(epoch_length)
        if self.epoch_length < 1:
            raise ValueError(f"epoch_length must be at least 1, got {epoch_length}")
        self.mu = _positive("mu", mu)
        largest = largest_integer(self.precision.model.bits) if self.precision.is_integer else 1
        self.delta = _positive("delta", 1 / largest if delta is None else delta)

        self._random = np.random.default_rng(seed)
        self._rounding = kernels.Rng(seed)
        self._rows, full = copies(problem.rows, self.precision, data, quantized_bits)
        self._objective = Objective(
            full,
            problem.y,
            problem.loss_function,
            problem.n_outputs,
            l2=problem.l2,
            engine=CompiledEngine(fused=not self.precision.is_integer),
        )
        self._shape = (problem.n_outputs, problem.n_features)
        self._w = np.zeros(self._shape)
        if w0 is not None:
            start = np.asarray(w0, np.float64)
            if start.shape != problem.weight_shape or not np.isfinite(start).all():
                raise ValueError(
                    f"w0 must be finite and of shape {problem.weight_shape}, got {start.shape}"
                )
            self._w[...] = start.reshape(self._shape)
        self._reference = (
            np.empty((problem.n_samples, problem.n_outputs)) if self._needs_reference else None
        )
        if self.algorithm in ("sgd", "lp-sgd"):
            self._reference = problem.loss_function.predictions(problem.y, problem.n_outputs)
        if self.algorithm in ("lp-sgd", "lp-svrg"):
            self._w = self._representable(self._w) * self.delta
        self._gradient: NDArray[np.float64] | None = None
        self._loss = math.nan
        self._gradient_ns = 0

    # ---- What a caller sees --------------------------------------------------------------------

    @property
    def w(self) -> NDArray[np.float64]:
        """The current solution, a copy."""
        return self._w.reshape(self.problem.weight_shape).copy()

    @property
    def data_bytes(self) -> int:
        """Bytes of the matrix that the inner loop reads."""
        return self._rows.nbytes

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
        gradient = self._full_gradient()
        return self._loss, norm(gradient)

    def gradient_norm(self, w: ArrayLike) -> float:
        """Gradient norm at any ``w``, on the data that ``data`` names; changes nothing."""
        at = np.ascontiguousarray(w, np.float64).reshape(self._shape)
        return norm(self._pass(at, None)[1])

    def epoch(self) -> Epoch:
        """Advance by one epoch."""
        self._gradient_ns, charged = 0, self._gradient_ns
        reduced = self.algorithm in VARIANCE_REDUCED
        gradient = self._full_gradient() if reduced else None
        full_ns = (charged + self._gradient_ns) if reduced else 0
        self._gradient_ns = 0

        started = time.perf_counter_ns()
        samples = self._random.integers(self.problem.n_samples, size=self.epoch_length)
        if self.option == "II":
            samples = samples[: self._random.integers(1, self.epoch_length + 1)]
        w, scale, saturated = self._inner_loop(gradient, samples.astype(np.int32))
        inner_seconds = 1e-9 * (time.perf_counter_ns() - started)

        passes = len(samples) / self.problem.n_samples + reduced
        if w is None or not np.isfinite(w).all():
            return Epoch(inner_seconds, 1e-9 * full_ns, passes, scale, saturated, diverged=True)
        self._w, self._gradient = w, None
        return Epoch(inner_seconds, 1e-9 * full_ns, passes, scale, saturated)

    # ---- The inner loop --------------------------------------------------------------------------

    @np.errstate(over="ignore", invalid="ignore")  # divergence, which is reported as such
    def _inner_loop(
        self, gradient: NDArray[np.float64] | None, samples: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64] | None, float, int]:
        """The solution after the steps (None if it diverged), the scale, the saturated entries."""
        a, l2 = self.step_size, self.problem.l2
        centered = self.algorithm in ("svrg", "halp")
        scale = self._scale(gradient)
        if scale == 0:  # HALP: the gradient is zero, and so is every step
            return self._w, scale, 0

        z_rows = Rows.zeros(*self._shape, self.precision.model.dtype)
        z = z_rows.values
        if not centered:
            z[...] = self._w if not self.precision.is_integer else self._representable(self._w)
        if gradient is None:
            h = None
        else:
            # The full gradient has l2 w~ in it. Where z is the displacement that is right; where z
            # is the model itself the shrinking of z takes care of it.
            h = (a / scale) * (gradient if centered else gradient - l2 * self._w)
        loop = self._loop(z_rows, h, scale, centered)

        step = self._rows.visits_between_signals(self.problem.n_outputs)
        for start in range(0, len(samples), step):
            chunk = samples[start : start + step]
            if loop.run(chunk) < len(chunk):
                return None, scale, 0
        moved = z * (scale * loop.rho)
        saturated = (
            count_saturated(z, self.precision.model.bits) if self.precision.is_integer else 0
        )
        return (
            self._w + moved if centered else moved.astype(np.float64),
            scale if self.precision.is_integer else math.nan,
            saturated,
        )

    def _scale(self, gradient: NDArray[np.float64] | None) -> float:
        """The value of one unit of z."""
        if not self.precision.is_integer:
            return 1.0
        if self.algorithm == "halp" and gradient is not None:
            return bit_centering_scale(norm(gradient), self.mu, self.precision.model.bits)
        return self.delta

    def _loop(
        self, z: Rows, h: NDArray[np.float64] | None, scale: float, centered: bool
    ) -> InnerLoop:
        return InnerLoop(
            self.precision.name,
            self.problem.loss_function.code,
            self._rows.padded,
            z.padded,
            centred=centered,
            reference=self._reference,
            h=h,
            scale_x=self._rows.scale,
            scale_z=scale,
            step_size=self.step_size,
            l2=self.problem.l2,
            fold_every=self._fold_every(),
            rng=self._rounding,
        )

    def _fold_every(self) -> int:
        """Steps after which the l2 factor rho has fallen to 1 - 1/64 and is folded into z.

        Rarely, because folding rounds z; often, because h is not divided by rho in between (it is
        by its mean), and because a small rho costs range. Floats have neither trouble, and are
        folded long before rho underflows.
        """
        decay = -math.log1p(-self.step_size * self.problem.l2)
        if decay == 0:
            return 0
        below = FOLD_BELOW if self.precision.is_integer else 0.5
        return max(1, int(-math.log(below) / decay))

    # ---- The full gradient -----------------------------------------------------------------------

    @property
    def _needs_reference(self) -> bool:
        """Centered least squares is the only case that needs nothing per sample."""
        return self.algorithm in VARIANCE_REDUCED and not (
            self.problem.loss_function.quadratic and self.algorithm in ("svrg", "halp")
        )

    def _full_gradient(self) -> NDArray[np.float64]:
        """The gradient at the current solution; its loss and reference are kept beside it."""
        if self._gradient is None:
            started = time.perf_counter_ns()
            reference = self._reference if self.algorithm in VARIANCE_REDUCED else None
            self._loss, self._gradient = self._pass(self._w, reference)
            self._gradient_ns += time.perf_counter_ns() - started
        return self._gradient

    def _pass(
        self, at: NDArray[np.float64], reference: NDArray[np.float64] | None
    ) -> tuple[float, NDArray[np.float64]]:
        """Loss and gradient at a point, by one pass over the data; fills ``reference``."""
        found = self._objective.evaluate(at, reference=reference)
        return found.loss, found.weights

    def _representable(self, w: NDArray[np.float64]) -> NDArray[Any]:
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


def _precision_for(algorithm: str, name: str | None) -> Format:
    integer = algorithm in ("lp-sgd", "lp-svrg", "halp")
    if name is None:
        name = "D8M8" if integer else "D64fM64f"
    if name not in FORMATS:
        raise ValueError(f"precision must be one of {', '.join(FORMATS)}, got {name!r}")
    precision = FORMATS[name]
    if precision.is_integer != integer:
        fitting = [p for p in FORMATS if FORMATS[p].is_integer == integer]
        raise ValueError(f"{algorithm} runs in {', '.join(fitting)}; got {name}")
    return precision
