"""``solve``: a whole run, with its history."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from halpbench import kernels
from halpbench.fixedpoint import saturation_warning
from halpbench.problems import LinearProblem
from halpbench.solvers.paper import Epoch, Solver


class DivergenceWarning(UserWarning):
    """A run left the finite numbers."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during :func:`solve`; ``result`` holds the progress until then."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"interrupted after {max(len(result.history) - 1, 0)} epochs")
        self.result = result


@dataclass(frozen=True)
class Result:
    """Result of :func:`solve`.

    Attributes
    ----------
    w : ndarray of float64, of shape ``problem.weight_shape``
    history : DataFrame
        Row 0 is the start, then one row an epoch: ``epoch``; ``seconds`` of the algorithm since the
        start; ``inner_seconds`` and ``full_gradient_seconds`` of the epoch; ``passes`` over the
        data since the start; ``loss`` and ``grad_norm`` after the epoch; ``first_scale`` and
        ``scale``, the value of one unit of an integer model at the first and at the last step;
        ``saturated``, entries of the model at an end of their range after the last step, and
        ``most_saturated``, the most that were there at that or at a check, every 256 steps.
    status : {"finished", "converged", "diverged", "stopped", "interrupted"}
        All epochs done; ``tol`` reached; see :class:`DivergenceWarning`; stopped by the callback;
        stopped by Ctrl-C.
    algorithm, precision, isa : str
        The run, and the backend of the kernels.
    batch_size : int
        Samples a step.
    mu : float or None
        None: the scale followed the displacement.
    """

    w: NDArray[np.float64]
    history: pd.DataFrame
    status: str
    algorithm: str
    precision: str
    isa: str
    batch_size: int
    mu: float | None


def solve(
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
    epochs: int = 20,
    tol: float = 0.0,
    callback: Callable[[dict[str, Any]], object] | None = None,
) -> Result:
    """Minimize a problem by one of the paper's algorithms.

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
        takes the largest one that the step size bears, `batches.largest_batch`.
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
    epochs : int
    tol : float
        Stop when the gradient norm is at most this.
    callback : callable, optional
        Called with every new row of the history, a dict; a true result stops the run.

    Returns
    -------
    Result
        If a step or the loss was not finite: the last finite solution, ``status="diverged"``,
        a row of the history with infinite loss, and a :class:`DivergenceWarning`.

    Warns
    -----
    DivergenceWarning
    SaturationWarning
        If a given `mu` makes the model reach an end of its range within an epoch.

    Raises
    ------
    Interrupted
        A ``KeyboardInterrupt`` with the result so far.
    ValueError
        For unknown names, combinations that make no sense, numbers out of range, and negative
        ``epochs`` or ``tol``.

    Notes
    -----
    Several threads may solve at once, also the same problem, which is only read. A :class:`Run` is
    for one thread at a time.
    """
    if epochs < 0 or not tol >= 0:
        raise ValueError(f"epochs and tol must not be negative, got {epochs} and {tol}")
    solver = Solver(
        problem,
        algorithm,
        precision,
        data,
        step_size=step_size,
        epoch_length=epoch_length,
        batch_size=batch_size,
        mu=mu,
        delta=delta,
        option=option,
        seed=seed,
        quantized_bits=quantized_bits,
        w0=w0,
    )
    history = _History(solver)
    try:
        status = _run(history, epochs, tol, callback)
    except KeyboardInterrupt:
        raise Interrupted(history.result("interrupted")) from None
    if status == "diverged":
        warnings.warn(
            f"{algorithm} diverged in epoch {history.epoch}: try a smaller step_size than "
            f"{solver.step_size:.3g}",
            DivergenceWarning,
            stacklevel=2,
        )
    if solver.mu is not None and (saturated := history.first_saturated()):
        warnings.warn(saturation_warning(solver.mu, *saturated), stacklevel=2)
    return history.result(status)


def _run(
    history: _History,
    epochs: int,
    tol: float,
    callback: Callable[[dict[str, Any]], object] | None,
) -> str:
    """Take epochs until there is a reason to stop, and return it."""
    for epoch in range(epochs + 1):
        row = history.advance(epoch)
        if not math.isfinite(row["loss"]):
            return "diverged"
        if callback is not None and callback(dict(row)):
            return "stopped"
        if row["grad_norm"] <= tol:
            return "converged"
    return "finished"


class _History:
    """A run, its progress, and a row an epoch."""

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        self._reached: tuple[NDArray[np.float64], list[dict[str, Any]]] = (solver.w, [])

    @property
    def epoch(self) -> int:
        """The last epoch, diverged or not."""
        return len(self._reached[1]) - 1

    def first_saturated(self) -> tuple[int, int] | None:
        """The first epoch in which entries reached an end of their range, and how many."""
        for row in self._reached[1]:
            if row["most_saturated"]:
                return row["epoch"], row["most_saturated"]
        return None

    def advance(self, epoch: int) -> dict[str, Any]:
        """Advance by an epoch, unless this is the start, and add its row."""
        w, rows = self._reached
        row = _row(self._solver, epoch, rows[-1] if rows else None)
        finite = math.isfinite(row["loss"])
        # At once: Ctrl-C may come between any two calls.
        self._reached = self._solver.w if finite else w, [*rows, row]
        return row

    def result(self, status: str) -> Result:
        """Return the result so far, the last finite solution."""
        w, rows = self._reached
        solver = self._solver
        return Result(
            w,
            pd.DataFrame(rows),
            status,
            solver.algorithm.name,
            solver.precision.name,
            kernels.active(),
            solver.batch_size,
            solver.mu,
        )


def _row(solver: Solver, epoch: int, before: dict[str, Any] | None) -> dict[str, Any]:
    """Advance by an epoch, unless this is the start, and add its row."""
    if before is None:
        done = Epoch(0.0, 0.0, 0.0, math.nan, math.nan, 0, 0)
        before = {"seconds": 0.0, "passes": 0.0}
    else:
        done = solver.epoch()
    loss, grad_norm = (math.inf, math.inf) if done.diverged else _finite_or_inf(solver.evaluate())
    return {
        "epoch": epoch,
        "seconds": before["seconds"] + done.seconds,
        "inner_seconds": done.inner_seconds,
        "full_gradient_seconds": done.full_gradient_seconds,
        "passes": before["passes"] + done.passes,
        "loss": loss,
        "grad_norm": grad_norm,
        "first_scale": done.first_scale,
        "scale": done.scale,
        "saturated": done.saturated,
        "most_saturated": done.most_saturated,
    }


def _finite_or_inf(measures: tuple[float, float]) -> tuple[float, float]:
    """Loss and gradient norm; both infinite where one of them is not finite."""
    return measures if all(map(math.isfinite, measures)) else (math.inf, math.inf)
