"""The inner loop of every solver: the one place that fills and runs the compiled one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halpbench._kernels import Rng
from halpbench.formats import Format
from halpbench.losses import Loss
from halpbench.rows import Rows
from halpbench.solvers._loops import InnerLoop

__all__ = ["Centre", "Inner", "Steps"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Centre:
    """Data of the centre that the steps of a variance-reduced algorithm need.

    Attributes
    ----------
    reference : ndarray of shape (N, C), optional
        Predictions there; needless where the loss is quadratic.
    origin : Rows, optional
        The value that the model has there; by default 0.
    margins : ndarray of shape (N, C), optional
        Of the origin; goes with it.
    """

    reference: Floats | None = None
    origin: Rows | None = None
    margins: Floats | None = None


@dataclass(frozen=True)
class Steps:
    """Results of steps besides the model.

    Attributes
    ----------
    rho : float
        Factor of the model besides its scale; 1 for integers.
    reach : float
        The largest absolute value of an entry of an integer model, seen every 256 steps and after
        the last one.
    saturated : int
        The most of its entries seen at an end of their range.
    """

    rho: float
    reach: float
    saturated: int


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Constants of all inner loops of a run.

    Attributes
    ----------
    format : Format
    loss : Loss
    rows : Rows
        Data of the steps, in the format's numbers for the data.
    step_size, l2 : float
        Of one sample.
    batch_size : int
        Samples a step.
    rng : Rng
        Of the rounding; goes on from loop to loop.
    """

    format: Format
    loss: Loss
    rows: Rows
    step_size: float
    l2: float = 0.0
    batch_size: int = 1
    rng: Rng

    def run(
        self,
        z: Rows,
        samples: NDArray[np.int32],
        *,
        h: Floats | None = None,
        centre: Centre | None = None,
        targets: Floats | None = None,
        grows: bool = False,
    ) -> Steps | None:
        """Take steps on the samples.

        Parameters
        ----------
        z : Rows
            The model, (C, d), changed in place.
        samples : ndarray of int32
        h : ndarray of shape (C, d), optional
            Constant that every sample subtracts, in units of z.
        centre : Centre, optional
            Of algorithms with variance reduction.
        targets : ndarray of shape (N, C) or (N, 1), optional
            Of those without.
        grows : bool
            Double the scale of z whenever it has used 7/8 of its range.

        Returns
        -------
        Steps or None
            None if a step was not finite.
        """
        known = centre or Centre()
        loop = InnerLoop(
            self.format.name,
            self.loss.code,
            self.rows.padded,
            z.padded,
            h=h,
            reference=known.reference,
            origin=None if known.origin is None else known.origin.padded,
            margins=known.margins,
            targets=targets,
            scale_x=self.rows.scale,
            scale_z=z.scale,
            step_size=self.step_size,
            l2=self.l2,
            batch_size=self.batch_size,
            samples=len(samples),
            grows=grows,
            rng=self.rng,
        )
        visits = self.rows.visits_between_signals(len(z))
        # No batch straddles two calls, so that no bit depends on where they end.
        part = max(1, visits // self.batch_size) * self.batch_size
        for start in range(0, len(samples), part):
            chunk = samples[start : start + part]
            if loop.run(chunk) < len(chunk):
                return None
        loop.inspect()
        z.scale = loop.scale_z
        return Steps(loop.rho, loop.reach, loop.saturated)
