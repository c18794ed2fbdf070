from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench._kernels import Rng

FAMILY_OF: dict[str, int]

class InnerLoop:
    def __init__(
        self,
        family: str,
        loss: int,
        centered: bool,
        x: NDArray[Any],
        z: NDArray[Any],
        h: NDArray[Any] | None,
        h_exponent: int,
        h_wide: bool,
        reference: NDArray[np.float64] | None,
        scale_x: float,
        scale_z: float,
        step_size: float,
        l2: float,
        fold_every: int,
        rng: Rng,
    ) -> None: ...
    @property
    def rho(self) -> float: ...
    def run(self, samples: NDArray[np.int32]) -> int: ...

class GradientPass:
    def __init__(
        self,
        x: NDArray[Any],
        scale_x: float,
        w: NDArray[Any],
        scale_w: float,
        targets: NDArray[Any],
        loss: int,
        fused: bool,
        gradient: NDArray[np.float64],
        reference: NDArray[np.float64] | None,
    ) -> None: ...
    @property
    def loss(self) -> float: ...
    def run(self, start: int, stop: int) -> None: ...

def norm(v: NDArray[np.float64]) -> float: ...
