"""HALP with nothing to tune: step size, epoch length, scale and precision follow the run.

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
from halpbench.objective import BlockEngine, Evaluation, FloatArray, Objective
from halpbench.rows import Rows
from halpbench.solvers.acceleration import Anderson
from halpbench.solvers.inner import Centre, Inner
from halpbench.solvers.pace import Curvatures, Pace
from halpbench.solvers.preconditioner import Preconditioner, QuantizedRows, column_scales
from halpbench.solvers.sampling import SampleSets, weighted

DOUBLE_BELOW = 1e-5  # gradient norm from which float32 data are multiplied in float64

# Close to the solution losses differ by less than their rounding error, relative to them.
LOSS_NOISE = {True: 1e-12, False: 1e-6}  # multiplied in float64 or not


@dataclass
class Outcome:
    """Result of :func:`minimize`.

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


@dataclass(frozen=True)
class EvaluatedPoint:
    """A point, with the value of the objective at hand.

    Attributes
    ----------
    w, b : ndarray
        Of centered rows.
    at : Evaluation
    norm : float
        Norm that `tol` is compared with; infinite if it is not a number.
    """

    w: FloatArray
    b: FloatArray
    at: Evaluation
    norm: float


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
    descent = _Descent(objective, precision, seed, start, tol=tol * unit, unit=unit)
    history = [descent.row(0, True)]
    status = _descend(descent, max_epochs, history, callback)
    w = descent.centre.w
    return Outcome(w, descent.centre.b - w @ objective.columns.mean, status, history)


def _descend(
    descent: _Descent,
    max_epochs: int,
    history: list[dict[str, Any]],
    callback: Callable[[dict[str, Any]], object] | None,
) -> str:
    """Take epochs until there is a reason to stop, and return it."""
    if descent.centre.norm <= descent.tol:
        return "converged"
    descent.prepare()
    for epoch in range(1, max_epochs + 1):
        accepted = descent.epoch()
        history.append(descent.row(epoch, accepted))
        if callback is not None and callback(dict(history[-1])):
            return "stopped"
        if descent.centre.norm <= descent.tol:
            return "converged"
        if descent.pace.needs_precision:
            if descent.pace.next_format():
                descent.quantize()
            elif descent.pace.exhausted:
                return "no progress"
    return "max_iter"


class _Descent:
    """A centre that moves from epoch to epoch."""

    preconditioner: Preconditioner
    rows: QuantizedRows | None = None

    def __init__(
        self,
        objective: Objective,
        precision: str,
        seed: int,
        start: tuple[FloatArray, FloatArray] | None,
        *,
        tol: float,
        unit: float,
    ) -> None:
        self.started = time.perf_counter()
        self.loss = objective.loss
        self.tol, self.unit = tol, unit
        self.sets = SampleSets(objective)
        self.random, self.rounding = np.random.default_rng(seed), kernels.Rng(seed)
        self.scales = column_scales(objective)
        self.anderson = Anderson()
        self.passes, self.reach, self.scale = 0.0, 0.0, math.nan  # reach: of the last epoch
        n, d = objective.rows.values.shape
        outputs = objective.n_outputs
        self.predictions = None if self.loss.quadratic else np.empty((n, outputs))
        w, b = start or (np.zeros((outputs, d)), np.zeros(outputs))
        self.centre = self._evaluated(w, b + w @ objective.columns.mean)
        # A softmax has a Hessian for each pair of classes: values for their mean made some of them
        # slower, so that its bounds are left as they are.
        self.pace = Pace(precision, self.loss.sample_curvature is not None, self.centre.norm)

    def prepare(self) -> None:
        """Choose the samples, precondition and quantize them."""
        part = self.sets.choose_part(self.random)
        self._precondition()
        if self.centre.norm > self._sampling_noise():
            self.sets.use_part()
            if part:
                self._evaluate_again()
        self.quantize()

    @property
    def engine(self) -> BlockEngine:
        """Return the engine of the full gradients at present."""
        engine = self.sets.objective.engine
        assert isinstance(engine, BlockEngine)
        return engine

    # ---- One epoch -------------------------------------------------------------------------------

    def epoch(self) -> bool:
        """Try an epoch; return whether it was accepted."""
        before = self.centre
        z = self._displacement()
        self.passes += self.pace.steps / len(self.sets.whole)
        if z is not None:
            self.centre = self._following(self.anderson(z))
        accepted = z is not None and self._is_better(before)
        if z is not None and accepted:
            self._go_on(z)
        else:
            self.centre = before
            self._go_back(overwritten=z is not None)
        if self.sets.on_part and self.centre.norm <= max(self.tol, self._sampling_noise()):
            self.sets.leave_part()
            self._evaluate_again()
            self.pace.restart(self.centre.norm)
            self.anderson.clear()
        return accepted

    def _go_on(self, z: FloatArray) -> None:
        """Continue from an epoch that was accepted."""
        if self.pace.accept(self.centre.norm, z):
            self._recondition()
        near = self.tol < self.centre.norm < DOUBLE_BELOW * self.unit
        if near and not self.engine.double:
            self.engine.double = True
            self._evaluate_again()

    def _go_back(self, overwritten: bool) -> None:
        """Continue from an epoch that was undone, and may have overwritten the predictions."""
        if self.sets.beyond_part:
            self.sets.take_all()
            self._evaluate_again()
            if self.loss.sample_curvature is not None and not self.pace.bounded:
                self._recondition()
            else:
                self._precondition()
                self.quantize()
            return
        self.pace.reject(shorten=not self.anderson.extrapolated)
        self.anderson.clear()
        if overwritten:
            self._evaluate_again()

    def _following(self, displacement: FloatArray) -> EvaluatedPoint:
        """The centre at a displacement of the preconditioned variables."""
        assert self.rows is not None
        d = self.centre.w.shape[1]
        w = self.centre.w + self.preconditioner.weights(displacement[:, :d])
        if displacement.shape[1] == d:
            return self._evaluated(w, self.centre.b)
        return self._evaluated(w, self.centre.b + displacement[:, d] * self.rows.constant)

    def _is_better(self, before: EvaluatedPoint) -> bool:
        loss, old = self.centre.at.loss, before.at.loss
        if not math.isfinite(loss):
            return False
        if loss < old:
            return True
        noise = LOSS_NOISE[self.engine.double]
        return loss <= old + noise * abs(old) and self.centre.norm < before.norm

    # ---- Its steps -------------------------------------------------------------------------------

    def _displacement(self) -> FloatArray | None:
        """The mean displacement over the second half of an epoch; None if it diverged."""
        assert self.rows is not None
        pace, random = self.pace, self.random
        inner = Inner(
            format=pace.format,
            loss=self.loss,
            rows=self.rows.rows,
            step_size=pace.step_size,
            rng=self.rounding,
        )
        gradient = self._gradient()
        reference = self.predictions
        if reference is not None:
            reference = self.sets.of_steps(reference)
        stepped = self.sets.stepped
        samples = weighted(random, len(stepped), pace.steps, stepped.weights)
        bounds = np.linspace(0, len(samples), pace.parts + 1).astype(int)
        z = self._first_model(gradient, int(bounds[1]))
        limit = largest_integer(pace.format.model.bits)
        total, moved = np.zeros(gradient.shape), np.zeros(gradient.shape)
        self.reach = 0.0
        for part in range(pace.parts):
            h = (pace.step_size / z.scale) * (gradient + self._penalty(moved))
            chunk = samples[bounds[part] : bounds[part + 1]]
            if inner.run(z, chunk, h=h, centre=Centre(reference=reference)) is None:
                return None
            moved = z.values * z.scale
            used = int(max(z.values.max(), -int(z.values.min())))
            self.reach = max(self.reach, used * z.scale)
            if part >= pace.parts // 2:
                total += moved
            if 2 * used > limit:
                z.values[...] = np.floor(z.values * 0.5 + random.random(gradient.shape))
                z.scale *= 2
        self.scale = z.scale
        return total / (pace.parts - pace.parts // 2)

    def _gradient(self) -> FloatArray:
        """The gradient at the centre, of the preconditioned variables."""
        assert self.rows is not None
        gradient = self.preconditioner.gradient(self.centre.at.weights)
        if self.rows.constant:
            intercept = self.rows.constant * self.centre.at.intercept[:, None]
            gradient = np.hstack([gradient, intercept])
        return gradient

    def _first_model(self, gradient: FloatArray, first_steps: int) -> Rows:
        """A displacement of zero, with the scale to begin an epoch with."""
        number, a = self.pace.format.model, self.pace.step_size
        largest = float(np.abs(gradient).max())
        # Half of the last reach: growing within the epoch is cheap, unused range is not.
        reach = self.reach / 2 or a * first_steps * largest
        scale = max(reach, a * largest) / largest_integer(number.bits)
        return Rows.zeros(len(gradient), gradient.shape[1], number.dtype, scale)

    def _penalty(self, moved: FloatArray) -> FloatArray:
        """The gradient of the penalty's change, which the steps take as constant over a part."""
        d = self.centre.w.shape[1]
        result = np.zeros(moved.shape)
        of_w = self.sets.objective.l2 * self.preconditioner.weights(moved[:, :d])
        result[:, :d] = self.preconditioner.gradient(of_w)
        return result

    # ---- Preparation of an epoch -----------------------------------------------------------------

    def quantize(self) -> None:
        """Quantize for the present format, and choose the step size anew."""
        number = self.pace.format.data
        if self.rows is None or self.rows.rows.dtype != number.dtype:
            self.rows = None  # two copies need not exist at once
            self.rows = self.preconditioner.quantize(number)
            self.passes += 1
        curvature, preconditioner = self.loss.curvature, self.preconditioner
        penalty = self.sets.objective.l2 / float((preconditioner.scales**2).min())
        self.pace.begin(
            Curvatures(
                rows=curvature * self.rows.norm,
                penalty=min(penalty, curvature * preconditioner.level),
                least=curvature * preconditioner.least,
            )
        )
        self.anderson.clear()

    def _precondition(self, curvatures: FloatArray | None = None) -> None:
        self.rows = None
        self.pace.set_samples(len(self.sets.stepped))
        limit = self.pace.row_norm_limit(self.loss.quadratic or curvatures is not None)
        self.preconditioner = Preconditioner(self.sets.stepped, limit, self.random, curvatures)

    def _recondition(self) -> None:
        """Precondition for the curvatures that the samples have here, near the solution."""
        assert self.predictions is not None
        assert self.loss.sample_curvature is not None
        self.pace.bounded = False
        at = self.loss.sample_curvature(self.sets.of_steps(self.predictions)[:, 0])
        self._precondition(at / self.loss.curvature)
        self.reach = 0.0
        self.quantize()

    def _sampling_noise(self) -> float:
        return self.sets.noise(self.centre.at.loss, self.preconditioner.mean_square)

    def _evaluated(self, w: FloatArray, b: FloatArray) -> EvaluatedPoint:
        """The centre at a point; fills the predictions of every sample."""
        objective = self.sets.objective
        n = len(objective)
        predictions: NDArray[np.float64] | None = None
        if self.predictions is not None:
            predictions = self.predictions[:n]
        with np.errstate(over="ignore", invalid="ignore"):
            at = objective.evaluate(w, b, predictions)
            norm = max(np.abs(at.weights / self.scales).max(), np.abs(at.intercept).max())
        self.passes += n / len(self.sets.whole)
        return EvaluatedPoint(w, b, at, float(norm) if math.isfinite(norm) else math.inf)

    def _evaluate_again(self) -> None:
        """The same point, for another objective or arithmetic, or for its predictions."""
        self.centre = self._evaluated(self.centre.w, self.centre.b)

    def row(self, epoch: int, accepted: bool) -> dict[str, Any]:
        """Return the row of the history for an epoch."""
        return {
            "epoch": epoch,
            "seconds": time.perf_counter() - self.started,
            "passes": self.passes,
            "samples": len(self.sets.objective),
            "step_samples": len(self.sets.stepped),
            "loss": self.centre.at.loss,
            "grad_norm": self.centre.norm / self.unit,
            "accepted": accepted,
            "precision": self.pace.format.name,
            "step_size": self.pace.step_size,
            "steps": self.pace.steps,
            "scale": self.scale,
        }
