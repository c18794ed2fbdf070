"""Losses of linear models as functions of their margins: a row for each loss.

``kernels/losses.h`` has the same for the compiled loops, in an arithmetic of one order for every
CPU; the two differ by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOGISTIC", "LOSSES", "SOFTMAX", "SQUARED", "Loss"]

Floats = NDArray[Any]  # float32 or float64
Targets = NDArray[Any]


@dataclass(frozen=True)
class Loss:
    """A loss of n samples, a function of the margins (n, C) and the targets.

    Attributes
    ----------
    name : str
    code : int
        Its number in the compiled loops.
    curvature : float
        Largest second derivative (eigenvalue of the Hessian) in the margins.
    value_and_derivative : callable
        Losses (n,) and derivatives (n, C) for margins and targets; the margins become predictions
        in place, which are the reference of the compiled loops: probabilities, of label 1 for the
        logistic loss.
    takes_labels : bool
        True if a target is one label, instead of C values.
    sample_curvature : callable, optional
        The curvature of each sample for its prediction, where it has one rather than a matrix.
    quadratic : bool
        True if the curvature is the same everywhere. The derivative then changes by as much as the
        margin, so that a centred step needs no reference.
    """

    name: str
    code: int
    curvature: float
    value_and_derivative: Callable[[Floats, Targets], tuple[Floats, Floats]]
    takes_labels: bool
    sample_curvature: Callable[[Floats], Floats] | None = None
    quadratic: bool = False


def _squared(margins: Floats, y: Targets) -> tuple[Floats, Floats]:
    residual = margins - y.astype(margins.dtype)
    return 0.5 * (residual**2).reshape(len(y), -1).sum(axis=1), residual


def _logistic(margins: Floats, y: Targets) -> tuple[Floats, Floats]:
    labels = y[:, None].astype(margins.dtype)
    # log(1 + e^-m) and 1 / (1 + e^-m) without overflow for either sign of m.
    small = np.exp(-np.abs(margins))
    losses = (np.log(1 + small) + np.maximum(margins, 0) - labels * margins)[:, 0]
    np.divide(np.where(margins >= 0, 1, small), 1 + small, out=margins)
    return losses, margins - labels


def _softmax(margins: Floats, y: Targets) -> tuple[Floats, Floats]:
    each = np.arange(len(y))
    # Subtracting the largest margin keeps exp from overflowing and changes nothing else.
    margins -= margins.max(axis=1, keepdims=True)
    at_label = margins[each, y]
    np.exp(margins, out=margins)
    sums = margins.sum(axis=1)
    margins /= sums[:, None]
    derivative = margins.copy()
    derivative[each, y] -= 1
    return np.log(sums) - at_label, derivative


#: (a - y)^2 / 2, summed over the columns of y.
SQUARED = Loss("squared", 0, 1.0, _squared, takes_labels=False, quadratic=True)
#: logsumexp(a) - a_y. Its Hessian diag(p) - p p^T is at most (I - 1 1^T / C) / 2 (Boehning,
#: "Multinomial logistic regression algorithm", Ann. Inst. Statist. Math. 44, 1992).
SOFTMAX = Loss("softmax", 1, 0.5, _softmax, takes_labels=True)
#: A softmax over the margins (0, a): one output, the log-odds of label 1.
LOGISTIC = Loss(
    "logistic", 2, 0.25, _logistic, takes_labels=True, sample_curvature=lambda p: p * (1 - p)
)

#: The losses by name.
LOSSES = {loss.name: loss for loss in (SQUARED, SOFTMAX, LOGISTIC)}
