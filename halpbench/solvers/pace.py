"""The pace of an adaptive run: step size, length of epochs, number format.

It decides by the results of the epochs; the run acts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halpbench.formats import FORMATS, INTEGER_FORMATS, Format

__all__ = ["Curvatures", "Pace"]

FloatArray = NDArray[np.float64]

# Slow: where so many epochs do not halve the gradient norm, they are made longer, up to the latter.
SLOW_EPOCHS, LONGEST_STEPS = 5, 1 << 15
# Parts of an epoch, between which the penalty is refreshed and the scale checked, and the least
# number of steps of each.
MOST_PARTS, PART_STEPS = 64, 256
# An epoch has 2 N steps within these bounds. How many it takes depends on the conditioning, which a
# large N does not make worse; fewer than the least cost no more time than an epoch's overhead.
MOST_STEPS, LEAST_STEPS = 1 << 18, 1 << 12
# Steps an epoch that each axis of the preconditioned data should get, in units of the ratio of the
# mean squared row norm to the curvature along it: where the curvature is known, and where it may be
# a small part of its bound for most samples.
STEPS_PER_AXIS, STEPS_PER_UNKNOWN_AXIS = 20, 8000
# To begin with, and where the slowest direction is known, an epoch needs no larger step than makes
# the product of steps, step and bound of the curvature along it this much (the true curvature may
# be a twentieth of its bound). Smaller steps cause less noise.
ENOUGH = 200
FASTER, SLOWER = 1.5, 0.5  # changes of the step size
LARGEST_GAIN = 2.0  # of the step size over the initial one
ALIGNED = 0.3  # cosine between two displacements: above, the steps are too short
STALLED_EPOCHS, STALLED_FACTOR = 3, 0.7
REJECTIONS = 4  # before the gradient norm has fallen to a tenth: the format does not suffice
LAST_REJECTIONS = 8  # in a row, in the last format: as far as it goes


@dataclass(frozen=True)
class Curvatures:
    """Curvatures that determine the step size.

    Attributes
    ----------
    rows : float
        The mean curvature of a sample along its own row.
    penalty : float
        The largest curvature of the penalty, or of the loss where that is less.
    least : float
        A bound of the curvature along the slowest direction, 0 where it is not known.
    """

    rows: float
    penalty: float
    least: float


class Pace:
    """Decisions of an adaptive run.

    Parameters
    ----------
    precision : str
        The format to begin with.
    bounded : bool
        Curvatures are bounds only, which preconditioning anew may replace.
    norm : float
        Of the gradient at the start.

    Attributes
    ----------
    steps, parts : int
        Of an epoch.
    step_size : float
    bounded : bool
    rejected : int
        Epochs undone in a row.
    """

    def __init__(self, precision: str, bounded: bool, norm: float) -> None:
        self._formats = list(INTEGER_FORMATS[INTEGER_FORMATS.index(precision) :])
        self.bounded = bounded
        self.steps = self.parts = 0
        self.step_size = self._safe_step_size = self._most_step_size = math.nan
        self._samples = 0
        self._norms = [norm]
        self._norm_since = math.nan
        self.rejected = self._rejected_since = 0  # in a row; since the norm fell to a tenth
        self._displacement: FloatArray | None = None

    @property
    def format(self) -> Format:
        """The format in use."""
        return FORMATS[self._formats[0]]

    # ---- For new samples, quantized rows or objectives --------------------------

    def set_samples(self, n: int) -> None:
        """Choose the length of epochs over so many samples; never less than before."""
        self._samples = n
        self._set_steps(max(self.steps, LEAST_STEPS, min(2 * n, MOST_STEPS)))

    def row_norm_limit(self, known: bool) -> float:
        """Return the largest ratio of a squared row to an axis's curvature for an epoch's steps."""
        return self.steps / (STEPS_PER_AXIS if known else STEPS_PER_UNKNOWN_AXIS)

    def begin(self, curvatures: Curvatures) -> None:
        """Choose the step size anew: 1 / mean curvature of a row, or the largest for the penalty.

        The penalty's gradient is refreshed a few times an epoch only, so that the steps between two
        refreshments must not overshoot along it.
        """
        part = self.steps / self.parts
        safe = 1 / (curvatures.rows + 2 * part * curvatures.penalty + 1e-300)
        self.step_size = self._safe_step_size = safe
        self._most_step_size = LARGEST_GAIN * safe
        if self.bounded:
            slowest = self.steps * curvatures.least
            self.step_size = min(safe, ENOUGH / max(slowest, 1e-300))
        self.rejected = self._rejected_since = 0
        self.restart(self._norms[-1])

    def restart(self, norm: float) -> None:
        """Forget the epochs so far: the objective or the steps are others."""
        self._norms, self._norm_since = [norm], norm
        self._displacement = None

    # ---- After an epoch --------------------------------------------------------------------------

    def accept(self, norm: float, z: FloatArray) -> bool:
        """Go on from an epoch with this displacement; tell whether to precondition anew first."""
        self.rejected = 0
        self._norms.append(norm)
        if norm < 0.1 * self._norm_since:
            self._norm_since, self._rejected_since = norm, 0
        if self._adapts(z):
            return True
        if len(self._norms) > SLOW_EPOCHS and norm > 0.5 * self._norms[-SLOW_EPOCHS - 1]:
            # Extrapolation alone is too slow.
            most = max(2 * self._samples, LONGEST_STEPS)
            self._set_steps(min(2 * self.steps, most))
            self._norms = self._norms[-1:]
        return False

    def reject(self, shorten: bool) -> None:
        """Go on from an epoch that was undone, with shorter steps or as before."""
        self._displacement = None
        self.rejected += 1
        self._rejected_since += 1
        if shorten:
            self._most_step_size = self.step_size = self.step_size * SLOWER

    @property
    def needs_precision(self) -> bool:
        """Tell whether the format does not suffice any more."""
        if self._rejected_since >= REJECTIONS:
            return True
        recent = self._norms[-STALLED_EPOCHS:]
        return (
            self.format is FORMATS[INTEGER_FORMATS[0]]
            and len(self._norms) > STALLED_EPOCHS
            and min(recent) > STALLED_FACTOR * self._norms[-STALLED_EPOCHS - 1]
        )

    @property
    def exhausted(self) -> bool:
        """Tell whether the last format has been tried often enough."""
        return self.rejected >= LAST_REJECTIONS

    def next_format(self) -> bool:
        """Go on to the next format; tell whether there is one."""
        if len(self._formats) > 1:
            del self._formats[0]
            return True
        return False

    def _adapts(self, z: FloatArray) -> bool:
        """Longer or shorter strides, as two displacements in a row point the same way or not.

        True where the strides should be longer but the curvatures are not known.
        """
        if self._displacement is not None:
            product = float(np.vdot(z, self._displacement))
            norms = np.linalg.norm(z) * np.linalg.norm(self._displacement)
            cosine = product / (norms + 1e-300)
            if cosine > ALIGNED and self.bounded:
                return True
            if cosine > ALIGNED:
                longer = max(self.step_size * FASTER, self._safe_step_size)
                self.step_size = min(longer, self._most_step_size)
            elif cosine < -ALIGNED:
                self.step_size /= FASTER
        self._displacement = z
        return False

    def _set_steps(self, steps: int) -> None:
        self.steps, self.parts = steps, min(MOST_PARTS, steps // PART_STEPS)
