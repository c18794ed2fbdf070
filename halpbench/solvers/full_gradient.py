"""The compiled pass for the full gradient, as an engine of the objective."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench import memory
from halpbench.fixedpoint import split_high_low
from halpbench.objective import Evaluation, FloatArray, Objective
from halpbench.rows import Rows
from halpbench.solvers._loops import GradientPass, norm

__all__ = ["CompiledEngine"]


class CompiledEngine:
    """Loss, gradient and predictions by one compiled pass; unweighted, without intercept.

    Parameters
    ----------
    fused : bool
        Let floats use fused multiply-adds and any order. Otherwise they give the same bits on every
        CPU, as integers do always.
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
        if objective.weights is not None or objective.intercept:
            raise ValueError("the compiled pass has neither weights nor an intercept")
        model, scale = _readable(rows, w)
        total = memory.empty((outputs, rows.padded.shape[1]), np.float64)
        data_pass = GradientPass(
            rows.padded,
            model,
            np.ascontiguousarray(objective.y, np.float64).reshape(count, -1),
            objective.loss.code,
            fused=self.fused,
            gradient=total,
            reference=reference,
            scale_x=rows.scale,
            scale_w=scale,
        )
        step = rows.visits_between_signals(outputs)
        for start in range(0, count, step):
            data_pass.run(start, min(start + step, count))
        gradient = total[:, : rows.columns] * (rows.scale / count)
        return Evaluation(data_pass.loss / count, gradient, np.zeros(outputs))


def _readable(rows: Rows, w: FloatArray) -> tuple[NDArray[Any], float]:
    """The weights in numbers that can be multiplied with these rows, and the value of one unit."""
    outputs, d = w.shape
    width = rows.padded.shape[1]
    if rows.is_integer:
        model = memory.empty((2 * outputs, width), np.int16)
        return model, split_high_low(w, model)
    model = memory.empty((outputs, width), rows.dtype)
    model[:, :d] = w
    return model, 1.0
