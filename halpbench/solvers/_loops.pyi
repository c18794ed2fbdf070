from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench._kernels import Rng

FORMATS: dict[str, tuple[int, str, str]]
DATA: tuple[str, ...]

class InnerLoop:
    def __init__(
        self,
        precision: str,
        loss: int,
        x: NDArray[Any],
        z: NDArray[Any],
        *,
        centred: bool,
        reference: NDArray[np.float64] | None = None,
        h: NDArray[np.float64] | None = None,
        scale_x: float = 1.0,
        scale_z: float = 1.0,
        step_size: float,
        l2: float = 0.0,
        fold_every: int = 0,
        rng: Rng | None = None,
    ) -> None: ...
    @property
    def rho(self) -> float: ...
    def run(self, samples: NDArray[np.int32]) -> int: ...

class GradientPass:
    def __init__(
        self,
        x: NDArray[Any],
        w: NDArray[Any],
        targets: NDArray[np.float64],
        loss: int,
        *,
        fused: bool,
        gradient: NDArray[np.float64],
        reference: NDArray[np.float64] | None = None,
        scale_x: float = 1.0,
        scale_w: float = 1.0,
    ) -> None: ...
    @property
    def loss(self) -> float: ...
    def run(self, start: int, stop: int) -> None: ...

def norm(v: NDArray[np.float64]) -> float: ...
