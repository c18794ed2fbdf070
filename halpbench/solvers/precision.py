"""Precisions by their DMGC names: D for the data, M for the model.

De Sa et al. 2017, "Understanding and Optimizing Asynchronous Low-Precision Stochastic Gradient
Descent".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Precision:
    """Dtypes of data and model; ``bits`` are those of integers, and 0 for floats."""

    name: str
    data: np.dtype
    model: np.dtype

    @property
    def is_integer(self) -> bool:
        """Whether data and model are integers."""
        return self.model.kind == "i"

    @property
    def data_bits(self) -> int:
        """Bits of an integer of the data; 0 for floats."""
        return 8 * self.data.itemsize if self.is_integer else 0

    @property
    def model_bits(self) -> int:
        """Bits of an integer of the model; 0 for floats."""
        return 8 * self.model.itemsize if self.is_integer else 0

    @property
    def fraction_bits(self) -> int:
        """Fraction bits of an int16 update (kernels.h, HALP_FRACTION_*)."""
        return 16 if self.data.itemsize == 2 else 8


PRECISIONS = {
    name: Precision(name, np.dtype(data), np.dtype(model))
    for name, data, model in [
        ("D8M8", np.int8, np.int8),
        ("D8M16", np.int8, np.int16),
        ("D16M16", np.int16, np.int16),
        ("D32fM32f", np.float32, np.float32),
        ("D64fM64f", np.float64, np.float64),
    ]
}
