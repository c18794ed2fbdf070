"""Anderson acceleration of the epochs' displacements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Anderson"]

FloatArray = NDArray[np.float64]

MEMORY = 5  # epochs that extrapolation looks back
RIDGE = 0.1  # of the extrapolation, relative: its displacements are noisy


class Anderson:
    """Extrapolation of the map v -> v + z, z being the displacement of an epoch that starts at v.

    Walker and Ni, "Anderson Acceleration for Fixed-Point Iterations", SIAM J. Numer. Anal. 49,
    2011, section 1 (type II, no damping). It removes slow directions, which dominate the
    displacements after a few epochs.

    Attributes
    ----------
    extrapolated : bool
        The last displacement was more than that of its epoch.
    """

    def __init__(self) -> None:
        self.extrapolated = False
        self._memory: list[tuple[FloatArray, FloatArray]] = []  # taken, of the epoch

    def __call__(self, z: FloatArray) -> FloatArray:
        """The displacement to the next centre, for that of an epoch."""
        following = z
        self.extrapolated = len(self._memory) > 0
        if self.extrapolated:
            dv = np.array([taken.ravel() for taken, _ in self._memory])
            dz = np.diff([each.ravel() for _, each in self._memory] + [z.ravel()], axis=0)
            gram = dz @ dz.T
            gram[np.diag_indices_from(gram)] *= 1 + RIDGE
            gamma = np.linalg.lstsq(gram, dz @ z.ravel(), rcond=None)[0]
            following = following - (gamma @ (dv + dz)).reshape(z.shape)
        self._memory.append((following, z))
        del self._memory[:-MEMORY]
        return following

    def clear(self) -> None:
        """Forget the epochs so far."""
        self._memory.clear()
