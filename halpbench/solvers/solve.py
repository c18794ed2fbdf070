"""``solve``: a whole run, with its history."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from halpbench import kernels
from halpbench.solvers.run import Problem, Run


class DivergenceWarning(UserWarning):
    """A run left the finite numbers."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during :func:`solve`; what had been reached is in ``result``."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"interrupted after {max(len(result.history) - 1, 0)} epochs")
        self.result = result


@dataclass(frozen=True)
class Result:
    """What :func:`solve` reached.

    Attributes
    ----------
    w : ndarray of float64, of shape ``problem.weight_shape``
    history : DataFrame
        Row 0 is the start, then one row an epoch: ``epoch``; ``seconds`` of the algorithm since the
        start; ``inner_seconds`` and ``full_gradient_seconds`` of the epoch; ``passes`` over the
        data since the start; ``loss`` and ``grad_norm`` after the epoch; ``scale``, the value of
        one unit of an integer model; ``saturated`` entries of the model.
    status : {"finished", "converged", "diverged", "stopped", "interrupted"}
        All epochs done; ``tol`` reached; see :class:`DivergenceWarning`; stopped by the callback;
        stopped by Ctrl-C.
    algorithm, precision, isa : str
        What ran, and on which backend of the kernels.
    """

    w: NDArray[np.float64]
    history: pd.DataFrame
    status: str
    algorithm: str
    precision: str
    isa: str


def solve(
    problem: Problem,
    algorithm: str = "halp",
    precision: str | None = None,
    data: str = "exact",
    *,
    epochs: int = 20,
    tol: float = 0.0,
    callback: Callable[[dict[str, Any]], object] | None = None,
    **options: Any,
) -> Result:
    """Minimize a problem by one of the paper's algorithms.

    Parameters
    ----------
    problem : LeastSquares or SoftmaxRegression
    algorithm, precision, data, **options
        As for :class:`Run`: ``step_size``, ``epoch_length``, ``mu``, ``delta``, ``option``,
        ``seed``, ``quantized_bits``, ``w0``.
    epochs : int
    tol : float
        Stop when the gradient norm is at most this.
    callback : callable, optional
        Called with every new row of the history, a dict; a true result stops the run.

    Returns
    -------
    Result
        Where a step or the loss was not finite: the last finite solution, ``status="diverged"``,
        a row of the history with infinite loss, and a :class:`DivergenceWarning`.

    Raises
    ------
    Interrupted
        A ``KeyboardInterrupt`` with the result so far.
    ValueError
        As :class:`Run`, and for negative ``epochs`` or ``tol``.
    """
    if epochs < 0 or not tol >= 0:
        raise ValueError(f"epochs and tol must not be negative, got {epochs} and {tol}")
    run = Run(problem, algorithm, precision, data, **options)
    rows: list[dict[str, Any]] = []
    status, w = "finished", run.w

    def result(status: str) -> Result:
        history = pd.DataFrame(rows)
        return Result(w, history, status, run.algorithm, run.precision.name, kernels.active())

    try:
        for epoch in range(epochs + 1):
            row = _row(run, epoch, rows[-1] if rows else None)
            if not math.isfinite(row["loss"]):
                rows.append(row)
                status = "diverged"
                warnings.warn(
                    f"{algorithm} diverged in epoch {epoch}: try a smaller step_size than "
                    f"{run.step_size:.3g}",
                    DivergenceWarning,
                    stacklevel=2,
                )
                break
            # At once: Ctrl-C may come between any two calls.
            w, rows = run.w, [*rows, row]
            if callback is not None and callback(dict(row)):
                status = "stopped"
                break
            if row["grad_norm"] <= tol:
                status = "converged"
                break
    except KeyboardInterrupt:
        raise Interrupted(result("interrupted")) from None
    return result(status)


def _row(run: Run, epoch: int, before: dict[str, Any] | None) -> dict[str, Any]:
    """Advance by an epoch, unless this is the start, and describe where that led."""
    if before is None:
        loss, grad_norm = _finite_or_inf(run.evaluate())
        return _fields(epoch, 0.0, 0.0, 0.0, 0.0, loss, grad_norm, math.nan, 0)
    done = run.epoch()
    loss, grad_norm = (math.inf, math.inf) if done.diverged else _finite_or_inf(run.evaluate())
    return _fields(
        epoch,
        before["seconds"] + done.seconds,
        done.inner_seconds,
        done.full_gradient_seconds,
        before["passes"] + done.passes,
        loss,
        grad_norm,
        done.scale,
        done.saturated,
    )


def _finite_or_inf(measures: tuple[float, float]) -> tuple[float, float]:
    """Loss and gradient norm; both infinite where one of them is not finite."""
    return measures if all(map(math.isfinite, measures)) else (math.inf, math.inf)


def _fields(
    epoch: int,
    seconds: float,
    inner_seconds: float,
    full_gradient_seconds: float,
    passes: float,
    loss: float,
    grad_norm: float,
    scale: float,
    saturated: int,
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "seconds": seconds,
        "inner_seconds": inner_seconds,
        "full_gradient_seconds": full_gradient_seconds,
        "passes": passes,
        "loss": loss,
        "grad_norm": grad_norm,
        "scale": scale,
        "saturated": saturated,
    }
