"""The compiled passes for the full gradient, as engines of the objective."""

from __future__ import annotations

import math

import numpy as np

from halpbench import memory
from halpbench.fixedpoint import split_high_low
from halpbench.objective import Evaluation, FloatArray, Objective
from halpbench.rows import Rows
from halpbench.solvers._loops import GradientPass, norm

__all__ = ["CompiledEngine", "IntegerEngine"]

# If rounding the changes may have moved a full gradient by more than this share of its norm,
# another pass adds the part that was rounded away.
ROUNDED_BELOW, MOST_PASSES = 0.01, 4
SAMPLED_ROWS = 512  # from which the mean squared row norm is taken


def _targets(objective: Objective) -> FloatArray:
    if objective.weights is not None or objective.intercept:
        raise ValueError("the compiled pass has neither weights nor an intercept")
    return np.ascontiguousarray(objective.y, np.float64).reshape(len(objective), -1)


def _run(data_pass: GradientPass, rows: Rows, outputs: int) -> None:
    """Visit all rows, and let Ctrl-C through now and then."""
    step = rows.visits_between_signals(outputs)
    for start in range(0, len(rows), step):
        data_pass.run(start, min(start + step, len(rows)))


class CompiledEngine:
    """Loss, gradient and predictions of float rows by one pass; unweighted, without intercept.

    Parameters
    ----------
    fused : bool
        Let sums use fused multiply-adds and any order. Otherwise they have the same bits on every
        CPU.
    """

    def __init__(self, fused: bool) -> None:
        self.fused = fused

    def squared_norm(self, w: FloatArray) -> float:
        """||w||^2, summed in the same order on every CPU."""
        return float(norm(w)) ** 2

    @np.errstate(over="ignore", invalid="ignore")
    def mean(
        self, objective: Objective, w: FloatArray, b: FloatArray, reference: FloatArray | None
    ) -> Evaluation:
        """The mean loss and its gradient, without penalty."""
        rows, outputs, count = objective.rows, objective.n_outputs, len(objective)
        width = rows.padded.shape[1]
        model = memory.empty((outputs, width), rows.dtype)
        model[:, : rows.columns] = w
        total = memory.empty((outputs, width), np.float64)
        data_pass = GradientPass(
            rows.padded,
            _targets(objective),
            objective.loss.code,
            outputs,
            gradient=total,
            reference=reference,
            fused=self.fused,
        )
        data_pass.at(model)
        _run(data_pass, rows, outputs)
        gradient = total[:, : rows.columns] / count
        return Evaluation(data_pass.loss / count, gradient, np.zeros(outputs))


class IntegerEngine:
    """The same for integer rows: it keeps the margins and the gradient from pass to pass.

    The margins follow an integer model exactly; the gradient follows by rounded changes of the
    derivatives, whose error each pass hands to the next (kernels/pass.h, docs/theory.md). So the
    model may only go where `start`, `move` and `place` say.

    Parameters
    ----------
    rows : Rows
        Integers.
    outputs : int
    seed : int
        Of the rounding of the changes.
    with_gradient : bool
        Otherwise the margins and the predictions are kept only, and gradients are zero.

    Attributes
    ----------
    margins : ndarray of shape (N, C)
        Of the model of the last pass.
    """

    def __init__(self, rows: Rows, outputs: int, seed: int, with_gradient: bool = True) -> None:
        self.rows = rows
        self.margins = np.zeros((len(rows), outputs))
        self._gradient = np.zeros((outputs, rows.padded.shape[1])) if with_gradient else None
        self._added = np.zeros((len(rows), outputs)) if with_gradient else None
        self._seeds = np.random.default_rng([seed, 2])
        self._nowhere = Rows.zeros(outputs, rows.columns, np.int16)
        self._moves: list[tuple[Rows, bool]] = []
        some = rows.values[:: max(1, len(rows) // SAMPLED_ROWS)].astype(np.float64)
        self._mean_square = float(np.square(some).sum() / len(some))

    def squared_norm(self, w: FloatArray) -> float:
        """||w||^2, summed in the same order on every CPU."""
        return float(norm(w)) ** 2

    # ---- Moves of the model --------------------------------------------------------------------

    def start(self, w: FloatArray) -> FloatArray:
        """Go from zero to `w`, to 2^-30 of its largest entry; return where that is exactly."""
        parts = Rows.zeros(2 * len(w), w.shape[1], np.int16)
        scale = split_high_low(w, parts.padded)
        high, low = (
            Rows(part, factor * scale)
            for part, factor in ((parts.padded[: len(w)], 2.0**15), (parts.padded[len(w) :], 1.0))
        )
        if w.any():
            self._moves = [(high, True), (low, True)]
        both = high.values * high.scale + low.values * low.scale
        return np.ascontiguousarray(both[:, : w.shape[1]])

    def move(self, z: Rows) -> None:
        """Go on by an integer displacement."""
        self._moves.append((z, True))

    def place(self, z: Rows) -> None:
        """Go to an integer model."""
        self._moves = [(z, False)]

    # ---- The pass --------------------------------------------------------------------------------

    @np.errstate(over="ignore", invalid="ignore")
    def mean(
        self, objective: Objective, w: FloatArray, b: FloatArray, reference: FloatArray | None
    ) -> Evaluation:
        """The mean loss and its gradient, without penalty, where the model is now."""
        rows, count = self.rows, len(self.rows)
        *before, last = self._moves or [(self._nowhere, True)]
        for move in before:
            self._follow(objective, move, None, None)
        self._moves = []
        loss = 0.0
        gradient = np.zeros(w.shape)
        for _ in range(MOST_PASSES):
            done = self._follow(objective, last, reference, self._gradient)
            loss, last = done.loss, (self._nowhere, True)
            if self._gradient is None:
                break
            gradient = self._gradient[:, : rows.columns] * (rows.scale / count)
            error = 0.5 * math.sqrt(done.rounding * self._mean_square) * rows.scale / count
            if not error > ROUNDED_BELOW * norm(gradient + objective.l2 * w):
                break
        return Evaluation(loss / count, gradient, np.zeros(len(w)))

    def _follow(
        self,
        objective: Objective,
        move: tuple[Rows, bool],
        reference: FloatArray | None,
        gradient: FloatArray | None,
    ) -> GradientPass:
        """Let margins, and gradient, follow the model; return the pass."""
        (z, moves), outputs = move, objective.n_outputs
        data_pass = GradientPass(
            self.rows.padded,
            _targets(objective),
            objective.loss.code,
            outputs,
            gradient=gradient,
            added=None if gradient is None else self._added,
            margins=self.margins,
            reference=reference,
            scale_x=self.rows.scale,
        )
        seed = int(self._seeds.integers(2**63))
        data_pass.at(z.padded, scale_w=z.scale, moves=moves, seed=seed)
        _run(data_pass, self.rows, outputs)
        return data_pass
