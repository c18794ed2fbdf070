"""HALP with nothing to tune: step size, epoch length, scale and precision follow what is observed.

The epochs are those of HALP with exact full gradients (De Sa et al. 2018, Algorithm 3), with these
changes, each of which made it faster or more robust on the data sets of docs/estimators.md:

- the data are preconditioned as they are quantized (``preconditioner.py``);
- samples are drawn without replacement;
- the next centre is the mean of the iterates of the second half of an epoch (Xiao and Zhang, "A
  Proximal Stochastic Gradient Method with Progressive Variance Reduction", SIAM J. Optim. 24, 2014,
  take the mean as well), here of some tens of them: it has a fraction of the last one's noise;
- bit centering is adaptive: the scale starts from the displacement of the last epoch and is doubled
  within an epoch whenever the model has used half of its range;
- where there are very many samples, steps are taken on a part of them, whose own minimum is also
  the start (Babanezhad et al., "Stop Wasting My Gradients: Practical SVRG", NIPS 2015, grow the
  batch of the full gradient; that the gradient of all corrects steps on a part is as in Shamir,
  Srebro and Zhang, "Communication-Efficient Distributed Optimization using an Approximate
  Newton-type Method", ICML 2014);
- an epoch that raised the loss is undone and repeated with half the step size.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import kernels
from halpbench.fixedpoint import largest_integer
from halpbench.formats import FORMATS, INTEGER_FORMATS
from halpbench.objective import BlockEngine, FloatArray, Objective
from halpbench.rows import Rows
from halpbench.solvers._loops import InnerLoop
from halpbench.solvers.preconditioner import Preconditioner, QuantizedRows, column_scales

# Slow: where so many epochs do not halve the gradient norm, they are made longer, up to the latter.
SLOW_EPOCHS, LONGEST_STEPS = 5, 1 << 15
# Of an epoch, between which the penalty is refreshed and the scale looked after, and how many steps
# each has at least.
MOST_PARTS, PART_STEPS = 64, 256
# An epoch has 2 N steps within these bounds. How many it takes depends on the conditioning, which a
# large N does not make worse; fewer than the least cost no more time than an epoch's overhead.
MOST_STEPS, LEAST_STEPS = 1 << 18, 1 << 12
# Steps are taken on a part of the samples where it has many of them for every weight: its Hessian
# is then close to that of all, to about the root of one over this number.
PART_OF_SAMPLES = 8
SAMPLES_PER_WEIGHT = 1000
FLOAT32_RANGE = 1e-30, 1e30  # of the columns' largest values: the part is held as float32
# Steps an epoch that each axis of the preconditioned data should get, in units of the ratio of the
# mean squared row norm to the curvature along it. That of a squared loss is the same everywhere.
# Those of the others are unknown at first, and a small part of their bound for most samples.
STEPS_PER_AXIS = {"known": 20, "unknown": 8000}
# To begin with, and where the slowest direction is known, an epoch needs no larger step than makes
# the product of steps, step and bound of the curvature along it this much (the true curvature may
# be a twentieth of its bound). Smaller steps leave less noise.
ENOUGH = 200
FASTER, SLOWER = 1.5, 0.5  # changes of the step size
LARGEST_GAIN = 2.0  # of the step size over the initial one
MEMORY = 5  # epochs that extrapolation looks back
RIDGE = 0.1  # of the extrapolation, relative: its displacements are noisy
ALIGNED = 0.3  # cosine between two displacements: above, the steps are too short
DOUBLE_BELOW = 1e-5  # gradient norm from which float32 data are multiplied in float64
STALLED_EPOCHS, STALLED_FACTOR = 3, 0.7
REJECTIONS = 4  # before the gradient norm has fallen to a tenth: the precision does not suffice
LAST_REJECTIONS = 8  # in a row, at the last precision: as far as it goes


@dataclass
class Outcome:
    """Where :func:`minimize` got to.

    Attributes
    ----------
    w : ndarray of shape (n_outputs, d)
    b : ndarray of shape (n_outputs,)
        Of x . w + b, for x as it is.
    status : {"converged", "max_iter", "no progress", "stopped"}
    history : list of dict
        Row 0 is the start, then a row an epoch, see ``docs/estimators.md``.
    """

    w: FloatArray
    b: FloatArray
    status: str = "max_iter"
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def n_epochs(self) -> int:
        """Epochs run, those that were undone included."""
        return len(self.history) - 1


@dataclass
class _Point:
    """A centre, with loss and gradient there of the objective that it was evaluated for."""

    w: FloatArray
    b: FloatArray
    loss: float = math.inf
    of_w: FloatArray = field(default_factory=lambda: np.empty(0))
    of_b: FloatArray = field(default_factory=lambda: np.empty(0))
    norm: float = math.inf  # what `tol` is compared with


def minimize(
    objective: Objective,
    *,
    tol: float,
    max_epochs: int,
    precision: str = "D8M16",
    unit: float = 1.0,
    seed: int = 0,
    start: tuple[FloatArray, FloatArray] | None = None,
    callback: Callable[[dict[str, Any]], object] | None = None,
) -> Outcome:
    """Minimize to a gradient norm of ``tol``.

    Parameters
    ----------
    objective : Objective
    tol : float
        Of the largest entry of the gradient with respect to the scaled weights, in units of
        ``unit``. A scaled weight is one times the scale of its column, see ``Preconditioner``.
    max_epochs : int
    precision : {"D8M8", "D8M16", "D16M16"}
        To begin with; a later one is taken where this one does not suffice.
    unit : float
    seed : int
    start : pair of ndarray, optional
        Weights and intercepts, as in :class:`Outcome`.
    callback : callable, optional
        Called with every new row of the history; a true result stops the run.
    """
    return _Descent(objective, tol * unit, unit, precision, seed, start).run(max_epochs, callback)


class _Descent:
    """The state of :func:`minimize`."""

    preconditioner: Preconditioner
    rows: QuantizedRows
    rows_bits = 0
    steps = parts = 0
    step_size = safe_step_size = most_step_size = scale = norm_since = math.nan
    rejected = rejected_since = 0  # epochs undone: in a row, and since the norm fell to a tenth
    reach = 0.0  # largest displacement of an entry in the last epoch
    passes = 0.0
    displacement: FloatArray | None = None
    extrapolating = False

    def __init__(
        self,
        objective: Objective,
        tol: float,
        unit: float,
        precision: str,
        seed: int,
        start: tuple[FloatArray, FloatArray] | None,
    ) -> None:
        self.started = time.perf_counter()
        assert isinstance(objective.engine, BlockEngine)
        self.engine = objective.engine
        # Full gradients are those of `objective`, steps are taken on the samples of `sampled`. Both
        # are the whole, unless a part of the samples is enough for now.
        self.whole = self.objective = self.sampled = objective
        self.tol, self.unit = tol, unit
        self.ladder = list(INTEGER_FORMATS[INTEGER_FORMATS.index(precision) :])
        self.random = np.random.default_rng(seed)
        self.rounding = kernels.Rng(seed)
        # The Hessian of a squared loss is known from the start. A softmax has a Hessian for each
        # pair of classes: what suits their mean made some of them slower.
        self.reconditioned = objective.loss.sample_curvature is None
        self.scales = column_scales(objective)
        self.memory: list[tuple[FloatArray, FloatArray]] = []
        n, d = objective.rows.values.shape
        shape = n, objective.n_outputs
        self.probabilities = None if objective.loss.quadratic else np.empty(shape)
        w, b = start or (np.zeros((objective.n_outputs, d)), np.zeros(objective.n_outputs))
        self.point = self._evaluate(_Point(w, b + w @ objective.columns.mean))
        self.norms = [self.point.norm]

    def _prepare(self) -> None:
        """Choose the samples, precondition and quantize them."""
        self.chosen = self._choose()
        if self.chosen is not None:
            self.sampled = self.whole.of_samples(self.chosen)
        self._precondition()
        if self.point.norm > self._sampling_noise():
            self.objective = self.sampled
            if self.chosen is not None:
                self.point = self._evaluate(self.point)
        self._quantize()

    def _sampling_noise(self) -> float:
        """How large an entry of the whole gradient is where that of the sampled part is zero.

        The variance of a mean over n of N samples, where e^2 / 2 <= loss for every loss with
        derivative e with respect to the margins.
        """
        n, total = len(self.sampled), len(self.whole)
        square = max(self.preconditioner.mean_square, float(self.whole.intercept))
        return math.sqrt(2 * self.point.loss * square * (1 / n - 1 / total))

    def _choose(self) -> NDArray[np.intp] | None:
        """The samples to take steps on, where a part of them is enough for all the weights."""
        X, weights = self.whole.rows, self.whole.weights
        candidates = np.arange(len(X)) if weights is None else np.flatnonzero(weights)
        size = len(candidates) // PART_OF_SAMPLES
        if size < SAMPLES_PER_WEIGHT * X.columns * self.whole.n_outputs:
            return None
        least, largest = self.whole.columns.largest.min(), self.whole.columns.largest.max()
        if not FLOAT32_RANGE[0] < least <= largest < FLOAT32_RANGE[1]:
            return None
        return np.sort(self.random.choice(candidates, size, replace=False))

    def run(self, max_epochs: int, callback: Callable[[dict[str, Any]], object] | None) -> Outcome:
        """Take epochs until one of the reasons to stop."""
        history = [self._row(0, True)]
        status = "max_iter"
        if self.point.norm <= self.tol:
            status = "converged"
        else:
            self._prepare()
            for epoch in range(1, max_epochs + 1):
                accepted = self._epoch()
                if self.objective is not self.whole and self.point.norm <= max(
                    self.tol, self._sampling_noise()
                ):
                    self._leave_the_part()
                history.append(self._row(epoch, accepted))
                if callback is not None and callback(dict(history[-1])):
                    status = "stopped"
                elif self.point.norm <= self.tol:
                    status = "converged"
                elif self._needs_precision():
                    if len(self.ladder) > 1:
                        del self.ladder[0]
                        self._quantize()
                        continue
                    if self.rejected < LAST_REJECTIONS:
                        continue
                    status = "no progress"
                else:
                    continue
                break
        w = self.point.w
        return Outcome(w, self.point.b - w @ self.whole.columns.mean, status, history)

    # ---- One epoch -------------------------------------------------------------------------------

    def _epoch(self) -> bool:
        """Try an epoch; whether it was accepted."""
        before = self.point
        z = self._inner_loop()
        self.passes += self.steps / len(self.whole)
        if z is not None:
            self.point = self._evaluate(self._following(self._extrapolated(z)))
        if z is None or not self._is_better(before):
            self.point, self.displacement = before, None
            if self.objective is not self.sampled:
                self._take_all_samples()
                return False
            self.rejected += 1
            self.rejected_since += 1
            if not self.extrapolating:
                self.most_step_size = self.step_size = self.step_size * SLOWER
            self.memory.clear()
            if z is not None:  # the reference has been overwritten
                self.point = self._evaluate(before)
            return False
        self.rejected = 0
        self.norms.append(self.point.norm)
        if self.point.norm < 0.1 * self.norm_since:
            self.norm_since, self.rejected_since = self.point.norm, 0
        self._adapt(z)
        if len(self.norms) > SLOW_EPOCHS and self.point.norm > 0.5 * self.norms[-SLOW_EPOCHS - 1]:
            self._lengthen()
        if self.tol < self.point.norm < DOUBLE_BELOW * self.unit and not self.engine.double:
            self.engine.double = True
            self.point = self._evaluate(self.point)
        return True

    def _extrapolated(self, z: FloatArray) -> FloatArray:
        """The displacement to the next centre, by Anderson acceleration of the map v -> v + z.

        Walker and Ni, "Anderson Acceleration for Fixed-Point Iterations", SIAM J. Numer. Anal. 49,
        2011, section 1 (type II, no damping). Slow directions, which dominate the displacements
        after a few epochs, are what it sees through.
        """
        following = z
        self.extrapolating = len(self.memory) > 0
        if self.extrapolating:
            dv = np.array([taken.ravel() for taken, _ in self.memory])
            dz = np.diff([each.ravel() for _, each in self.memory] + [z.ravel()], axis=0)
            gram = dz @ dz.T
            gram[np.diag_indices_from(gram)] *= 1 + RIDGE
            gamma = np.linalg.lstsq(gram, dz @ z.ravel(), rcond=None)[0]
            following = following - (gamma @ (dv + dz)).reshape(z.shape)
        self.memory.append((following, z))
        del self.memory[:-MEMORY]
        return following

    def _following(self, displacement: FloatArray) -> _Point:
        """The centre at a displacement of the preconditioned variables."""
        d = self.point.w.shape[1]
        w = self.point.w + self.preconditioner.weights(displacement[:, :d])
        if displacement.shape[1] == d:
            return _Point(w, self.point.b)
        return _Point(w, self.point.b + displacement[:, d] * self.rows.constant)

    def _is_better(self, before: _Point) -> bool:
        after = self.point
        if not math.isfinite(after.loss):
            return False
        if after.loss < before.loss:
            return True
        # Close to the solution the losses differ by less than their rounding error.
        noise = 1e-12 if self.engine.double else 1e-6
        return after.loss <= before.loss + noise * abs(before.loss) and after.norm < before.norm

    def _adapt(self, z: FloatArray) -> None:
        """Longer or shorter strides, as two displacements in a row point the same way or not."""
        if self.displacement is not None:
            product = float(np.vdot(z, self.displacement))
            cosine = product / (np.linalg.norm(z) * np.linalg.norm(self.displacement) + 1e-300)
            if cosine > ALIGNED and not self.reconditioned:
                self._recondition()
                return
            if cosine > ALIGNED:
                longer = max(self.step_size * FASTER, self.safe_step_size)
                self.step_size = min(longer, self.most_step_size)
            elif cosine < -ALIGNED:
                self.step_size /= FASTER
        self.displacement = z

    def _lengthen(self) -> None:
        """Twice as many steps an epoch, within bounds: extrapolation alone is too slow."""
        most = max(2 * len(self.sampled), LONGEST_STEPS)
        self._set_steps(min(2 * self.steps, most))
        self.norms = self.norms[-1:]

    def _needs_precision(self) -> bool:
        if self.rejected_since >= REJECTIONS:
            return True
        recent = self.norms[-STALLED_EPOCHS:]
        return (
            self.ladder[0] == "D8M8"
            and len(self.norms) > STALLED_EPOCHS
            and min(recent) > STALLED_FACTOR * self.norms[-STALLED_EPOCHS - 1]
        )

    def _inner_loop(self) -> FloatArray | None:
        """The mean displacement over the second half of an epoch; None if it diverged."""
        precision = FORMATS[self.ladder[0]]
        limit = largest_integer(precision.model.bits)
        a, point, rows = self.step_size, self.point, self.rows
        gradient = self.preconditioner.gradient(point.of_w)
        if rows.constant:
            gradient = np.hstack([gradient, rows.constant * point.of_b[:, None]])
        reference = self.probabilities
        if reference is not None:
            part = self.objective is not self.sampled
            reference = reference[self.chosen] if part else reference[: len(self.sampled)]
        samples = self._samples()
        bounds = np.linspace(0, len(samples), self.parts + 1).astype(int)
        largest = float(np.abs(gradient).max())
        # Half of the last reach: growing within the epoch is cheap, unused range is not.
        reach = self.reach / 2 or a * bounds[1] * largest
        scale = max(reach, a * largest) / limit
        z_rows = Rows.zeros(len(gradient), gradient.shape[1], precision.model.dtype)
        z = z_rows.values
        total = np.zeros(gradient.shape)
        moved = np.zeros(gradient.shape)
        self.reach = 0.0
        for part in range(self.parts):
            h = (a / scale) * (gradient + self._penalty(moved))
            loop = InnerLoop(
                precision.name,
                self.objective.loss.code,
                rows.rows.padded,
                z_rows.padded,
                centred=True,
                reference=reference,
                h=h,
                scale_x=rows.rows.scale,
                scale_z=scale,
                step_size=a,
                rng=self.rounding,
            )
            chunk = samples[bounds[part] : bounds[part + 1]]
            if loop.run(chunk) < len(chunk):
                return None
            moved = z * scale
            used = int(max(z.max(), -int(z.min())))
            self.reach = max(self.reach, used * scale)
            if part >= self.parts // 2:
                total += moved
            if 2 * used > limit:
                z[...] = np.floor(z * 0.5 + self.random.random(z.shape))
                scale *= 2
        self.scale = scale
        return total / (self.parts - self.parts // 2)

    def _penalty(self, moved: FloatArray) -> FloatArray:
        """The gradient of the penalty's change, which the steps take as constant over a part."""
        d = self.point.w.shape[1]
        result = np.zeros(moved.shape)
        of_w = self.objective.l2 * self.preconditioner.weights(moved[:, :d])
        result[:, :d] = self.preconditioner.gradient(of_w)
        return result

    def _samples(self) -> NDArray[np.int32]:
        """Indices for an epoch: every sample as often as its weight says, in random order.

        Systematic sampling: each sample occurs floor or ceil of its expected number of times.
        """
        n = len(self.sampled)
        orders = []
        for _ in range(-(-self.steps // n)):
            if self.sampled.weights is None:
                order = self.random.permutation(n)
            else:
                cumulative = np.cumsum(self.sampled.weights) / self.sampled.weights.sum()
                at = (np.arange(n) + self.random.random()) / n
                order = np.minimum(np.searchsorted(cumulative, at, side="right"), n - 1)
                self.random.shuffle(order)
            orders.append(order.astype(np.int32))
        return np.concatenate(orders)[: self.steps]

    # ---- What an epoch needs ---------------------------------------------------------------------

    def _quantize(self) -> None:
        """Quantize for the present precision, and choose the step size anew."""
        number = FORMATS[self.ladder[0]].data
        if self.rows_bits != number.bits:
            if self.rows_bits:
                del self.rows  # two copies need not exist at once
            self.rows, self.rows_bits = self.preconditioner.quantize(number), number.bits
            self.passes += 1
        self.safe_step_size = self._step_size()
        self.most_step_size = LARGEST_GAIN * self.safe_step_size
        self.step_size = self.safe_step_size
        if not self.reconditioned:
            slowest = self.steps * self.objective.loss.curvature * self.preconditioner.least
            self.step_size = min(self.step_size, ENOUGH / max(slowest, 1e-300))
        self.memory.clear()
        self.rejected = self.rejected_since = 0
        self.norms, self.norm_since = self.norms[-1:], self.norms[-1]
        self.displacement = None

    def _set_steps(self, steps: int) -> None:
        self.steps, self.parts = steps, min(MOST_PARTS, steps // PART_STEPS)

    def _precondition(self, curvatures: FloatArray | None = None) -> None:
        if self.rows_bits:
            del self.rows
            self.rows_bits = 0
        exact = self.whole.loss.quadratic or curvatures is not None
        n = len(self.sampled)
        self._set_steps(max(self.steps, LEAST_STEPS, min(2 * n, MOST_STEPS)))
        self.preconditioner = Preconditioner(
            self.sampled,
            self.steps / STEPS_PER_AXIS["known" if exact else "unknown"],
            self.random,
            curvatures,
        )

    def _recondition(self) -> None:
        """Precondition for the curvatures that the samples have here, near the solution."""
        self.reconditioned = True
        assert self.probabilities is not None
        p = self.probabilities[:, 0]
        if self.objective is not self.sampled:
            p = p[self.chosen]
        assert self.objective.loss.sample_curvature is not None
        self._precondition(self.objective.loss.sample_curvature(p) / self.objective.loss.curvature)
        self.reach = 0.0
        self._quantize()

    def _leave_the_part(self) -> None:
        """Take full gradients over all samples; the steps remain on the part."""
        self.objective = self.whole
        self.point = self._evaluate(self.point)
        self.norms, self.norm_since = [self.point.norm], self.point.norm
        self.memory.clear()
        self.displacement = None

    def _take_all_samples(self) -> None:
        self.sampled, self.chosen = self.whole, None
        self.point = self._evaluate(self.point)
        if self.objective.loss.sample_curvature is not None and self.reconditioned:
            self._recondition()
        else:
            self._precondition()
            self._quantize()

    def _step_size(self) -> float:
        """1 / (curvature times mean squared row norm), or what the penalty bears.

        The penalty's gradient is refreshed a few times an epoch only, so that the steps between two
        refreshments must not overshoot along it.
        """
        part = self.steps / self.parts
        penalty = min(
            self.objective.l2 / float((self.preconditioner.scales**2).min()),
            self.objective.loss.curvature * self.preconditioner.level,
        )
        return 1 / (self.objective.loss.curvature * self.rows.norm + 2 * part * penalty + 1e-300)

    def _evaluate(self, point: _Point) -> _Point:
        """Loss and gradient at a point; the reference of every sample."""
        n = len(self.objective)
        probabilities = None if self.probabilities is None else self.probabilities[:n]
        with np.errstate(over="ignore", invalid="ignore"):
            at = self.objective.evaluate(point.w, point.b, probabilities)
        self.passes += n / len(self.whole)
        norm = max(float(np.abs(at.weights / self.scales).max()), float(np.abs(at.intercept).max()))
        return _Point(
            point.w,
            point.b,
            at.loss,
            at.weights,
            at.intercept,
            norm if math.isfinite(norm) else math.inf,
        )

    def _row(self, epoch: int, accepted: bool) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "seconds": time.perf_counter() - self.started,
            "passes": self.passes,
            "samples": len(self.objective),
            "step_samples": len(self.sampled),
            "loss": self.point.loss,
            "grad_norm": self.point.norm / self.unit,
            "accepted": accepted,
            "precision": self.ladder[0],
            "step_size": self.step_size,
            "steps": self.steps,
            "scale": self.scale,
        }
