from typing import Any

import numpy as np
from numpy.typing import NDArray

from halpbench._kernels import Rng

FORMATS: dict[str, tuple[int, str, str]]
PASS_FORMATS: dict[tuple[str, str], int]

class InnerLoop:
    def __init__(
        self,
        precision: str,
        loss: int,
        x: NDArray[Any],
        z: NDArray[Any],
        *,
        h: NDArray[np.float64] | None = None,
        reference: NDArray[np.float64] | None = None,
        origin: NDArray[Any] | None = None,
        margins: NDArray[np.float64] | None = None,
        targets: NDArray[np.float64] | None = None,
        scale_x: float = 1.0,
        scale_z: float = 1.0,
        step_size: float,
        l2: float = 0.0,
        batch_size: int = 1,
        samples: int,
        grows: bool = False,
        rng: Rng | None = None,
    ) -> None: ...
    @property
    def rho(self) -> float: ...
    @property
    def scale_z(self) -> float: ...
    @property
    def reach(self) -> float: ...
    @property
    def saturated(self) -> int: ...
    def run(self, samples: NDArray[np.int32]) -> int: ...
    def inspect(self) -> None: ...

class GradientPass:
    def __init__(
        self,
        x: NDArray[Any],
        targets: NDArray[np.float64],
        loss: int,
        outputs: int,
        *,
        gradient: NDArray[np.float64] | None = None,
        reference: NDArray[np.float64] | None = None,
        margins: NDArray[np.float64] | None = None,
        added: NDArray[np.float64] | None = None,
        scale_x: float = 1.0,
        fused: bool = False,
    ) -> None: ...
    @property
    def loss(self) -> float: ...
    @property
    def rounding(self) -> float: ...
    def at(
        self, w: NDArray[Any], *, scale_w: float = 1.0, moves: bool = False, seed: int = 0
    ) -> None: ...
    def run(self, start: int, stop: int) -> None: ...

def norm(v: NDArray[np.float64]) -> float: ...
