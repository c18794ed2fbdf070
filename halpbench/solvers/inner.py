"""The inner loop of every solver: the one place that fills and runs the compiled one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halpbench._kernels import Rng
from halpbench.formats import Format
from halpbench.losses import Loss
from halpbench.rows import Rows
from halpbench.solvers._loops import InnerLoop

__all__ = ["Inner"]

FOLD_BELOW = 1 - 1 / 64  # of an integer model's l2 factor, see Inner.fold_every


@dataclass(frozen=True, kw_only=True)
class Inner:
    """What stays the same from one inner loop of a run to the next.

    Attributes
    ----------
    format : Format
    loss : Loss
    centred : bool
        Whether the model is a displacement from the centre, or the model itself.
    rows : Rows
        What the steps read, in the format's numbers for the data.
    step_size, l2 : float
    rng : Rng
        Of the rounding; goes on from loop to loop.
    """

    format: Format
    loss: Loss
    centred: bool
    rows: Rows
    step_size: float
    l2: float = 0.0
    rng: Rng

    def run(
        self,
        z: Rows,
        samples: NDArray[np.int32],
        *,
        h: NDArray[np.float64] | None,
        reference: NDArray[np.float64] | None,
    ) -> float | None:
        """Take a step for each sample.

        Parameters
        ----------
        z : Rows
            The model, (C, d), changed in place.
        samples : ndarray of int32
        h : ndarray of shape (C, d), optional
            What every step subtracts, in units of z.
        reference : ndarray of shape (N, C), optional
            Predictions at the centre, or what is subtracted from the derivative; needless where
            the loss is quadratic and the model centred.

        Returns
        -------
        float or None
            What z is to be multiplied by besides its scale; None if a step was not finite.
        """
        loop = InnerLoop(
            self.format.name,
            self.loss.code,
            self.rows.padded,
            z.padded,
            centred=self.centred,
            reference=reference,
            h=h,
            scale_x=self.rows.scale,
            scale_z=z.scale,
            step_size=self.step_size,
            l2=self.l2,
            fold_every=self.fold_every,
            rng=self.rng,
        )
        step = self.rows.visits_between_signals(len(z))
        for start in range(0, len(samples), step):
            chunk = samples[start : start + step]
            if loop.run(chunk) < len(chunk):
                return None
        return loop.rho

    @property
    def fold_every(self) -> int:
        """Steps after which the l2 factor rho has fallen to 1 - 1/64 and is folded into z.

        Rarely, because folding rounds z; often, because h is not divided by rho in between (it is
        by its mean), and because a small rho costs range. Floats have neither trouble, and are
        folded long before rho underflows.
        """
        decay = -math.log1p(-self.step_size * self.l2)
        if decay == 0:
            return 0
        below = FOLD_BELOW if self.format.is_integer else 0.5
        return max(1, int(-math.log(below) / decay))
