"""Number formats by their DMGC names, D for the data and M for the model: the one table of them.

De Sa et al. 2017, "Understanding and Optimizing Asynchronous Low-Precision Stochastic Gradient
Descent". Everything else that depends on a format looks it up here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["FORMATS", "INTEGERS", "INTEGER_FORMATS", "Format", "Number"]


@dataclass(frozen=True)
class Number:
    """A kind of number: its bits, and the dtype of the array that stores it."""

    bits: int
    dtype: np.dtype[Any]

    @property
    def is_integer(self) -> bool:
        """True for fixed point: an integer times a scale."""
        return self.dtype.kind == "i"

    @property
    def name(self) -> str:
        """Its name among the kernels: i8, i16, f32, f64."""
        return f"{self.dtype.kind}{self.bits}"


@dataclass(frozen=True)
class Format:
    """Numbers of the data and of the model, under a DMGC name."""

    name: str
    data: Number
    model: Number

    @property
    def is_integer(self) -> bool:
        """True if data and model are integers."""
        return self.model.is_integer

    @property
    def family(self) -> str:
        """The family of kernels that serves it: i8, i8i16, i16, f32, f64."""
        same = self.data == self.model
        return self.data.name if same else self.data.name + self.model.name

    @property
    def constant(self) -> np.dtype[Any]:
        """Dtype of h, the constant of an update, which is fixed point for integers."""
        return INTEGERS[16].dtype if self.is_integer else self.model.dtype


#: The integers by their bits.
INTEGERS = {bits: Number(bits, np.dtype(f"int{bits}")) for bits in (8, 16)}
FLOATS = {bits: Number(bits, np.dtype(f"float{bits}")) for bits in (32, 64)}

#: The formats by name. Of each kind the cheapest is first: solvers begin with it, and go on to the
#: next.
FORMATS = {
    row.name: row
    for row in (
        Format("D8M8", INTEGERS[8], INTEGERS[8]),
        Format("D8M16", INTEGERS[8], INTEGERS[16]),
        Format("D16M16", INTEGERS[16], INTEGERS[16]),
        Format("D32fM32f", FLOATS[32], FLOATS[32]),
        Format("D64fM64f", FLOATS[64], FLOATS[64]),
    )
}

#: The names of those whose data and model are integers.
INTEGER_FORMATS = tuple(name for name, row in FORMATS.items() if row.is_integer)
