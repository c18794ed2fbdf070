"""Number formats of low-precision training besides fixed point, with exact rounding.

Floating point of few bits (bfloat16, FP8, FP4), blocks of them that share a scale (MXFP4, NVFP4),
and the 8-bit code in which 8-bit Adam keeps its state. Values are float64 numbers that the format
represents: nothing is packed. Sources: Open Compute Project, "8-bit Floating Point Specification
(OFP8)", revision 1.0, 2023, and "Microscaling Formats (MX) Specification", version 1.0, 2023;
NVIDIA, "Pretraining Large Language Models with NVFP4", 2025; Dettmers et al., "8-bit Optimizers
via Block-wise Quantization", ICLR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halpbench.arguments import one_of, positive

__all__ = ["NUMBER_FORMATS", "BlockFloat", "MiniFloat", "block_wise", "dynamic_code"]

FloatArray = NDArray[np.float64]

ROUNDINGS = ("unbiased", "biased")
# The exponents of E8M0, the scale of an MX block: powers of two from 2**-127 to 2**127.
E8M0_EXPONENTS = (-127, 127)
# Elements that share a scale in the state of 8-bit Adam (Dettmers et al. 2022, section 2.1).
STATE_BLOCK = 2048


@dataclass(frozen=True)
class MiniFloat:
    """Binary floating point of few bits: a sign, an exponent, a fraction, and subnormal numbers.

    Parameters
    ----------
    exponent_bits : int
        The bias is 2**(exponent_bits - 1) - 1.
    fraction_bits : int
    specials : {"ieee", "nan", "none"}
        Codes of the largest exponent: infinities and NaN alone; numbers, but for NaN in the code of
        all ones (OCP E4M3); numbers (OCP E2M1).
    rounding : {"unbiased", "biased"}
        To one of the two neighbours at random so that E Q(x) = x (stochastic rounding), or to the
        nearest one, ties to the even code. What is beyond the largest number becomes that number.

    Raises
    ------
    ValueError
        If a name is unknown.
    """

    exponent_bits: int
    fraction_bits: int
    specials: str = "ieee"
    rounding: str = "unbiased"

    def __post_init__(self) -> None:
        one_of("specials", self.specials, ("ieee", "nan", "none"))
        one_of("rounding", self.rounding, ROUNDINGS)

    @property
    def bits(self) -> int:
        """Bits of a number."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def needs_scale(self) -> bool:
        """True if numbers have to be scaled to its range: not with the exponents of float32."""
        return self.exponent_bits < 8

    @property
    def bias(self) -> int:
        """Number that is subtracted from the field of the exponent."""
        return int(2 ** (self.exponent_bits - 1) - 1)

    @cached_property
    def highest(self) -> float:
        """The largest number."""
        return float(np.nanmax(np.where(np.isinf(self.values), np.nan, self.values)))

    @property
    def lowest(self) -> float:
        """The smallest number: minus the largest."""
        return -self.highest

    @cached_property
    def values(self) -> FloatArray:
        """The value of every code, of shape (2**bits,), NaN and infinity among them."""
        codes = np.arange(2**self.bits)
        fraction = codes & (2**self.fraction_bits - 1)
        exponent = (codes >> self.fraction_bits) & (2**self.exponent_bits - 1)
        ones = 2**self.exponent_bits - 1
        # Exponent zero: a subnormal number, of the least exponent without the leading one.
        significand = fraction + np.where(exponent > 0, 2**self.fraction_bits, 0)
        power = np.maximum(exponent, 1) - self.bias - self.fraction_bits
        magnitude = np.ldexp(significand.astype(np.float64), power)
        if self.specials == "ieee":
            special = np.where(fraction > 0, np.nan, np.inf)
            magnitude = np.where(exponent == ones, special, magnitude)
        elif self.specials == "nan":
            last = (exponent == ones) & (fraction == 2**self.fraction_bits - 1)
            magnitude = np.where(last, np.nan, magnitude)
        return np.asarray(np.where(codes >> (self.bits - 1) == 1, -magnitude, magnitude))

    def quantize(
        self, x: ArrayLike, scale: float = 1.0, rng: int | np.random.Generator | None = None
    ) -> FloatArray:
        """Round ``x / scale`` to numbers of this format.

        Parameters
        ----------
        x : array_like of float, any shape
        scale : float
            The value of a one: finite and positive.
        rng : int or numpy.random.Generator, optional
            Seed or state of unbiased rounding.

        Returns
        -------
        ndarray of float64, of the shape of `x`
            Numbers of the format; their values are ``scale`` times as large. NaN stays NaN,
            infinity becomes the largest number.

        Raises
        ------
        ValueError
            If `scale` is not finite and positive.
        """
        units = np.asarray(x, np.float64) / positive("scale", scale)
        return _rounded(self, units, self.rounding, rng)


def _rounded(
    target: MiniFloat,
    x: FloatArray,
    rounding: str,
    rng: int | np.random.Generator | None,
) -> FloatArray:
    """Round to a format; every step before the rounding is exact, being a power of two."""
    magnitude = np.abs(x)
    with np.errstate(invalid="ignore"):
        exponent = np.maximum(np.frexp(magnitude)[1] - 1, 1 - target.bias)
        quantum = np.ldexp(1.0, exponent - target.fraction_bits)
        steps = magnitude / quantum
        if rounding == "unbiased":
            whole = np.floor(steps)
            # A comparison, not a sum, whose own rounding would add a bias.
            steps = whole + (np.random.default_rng(rng).random(x.shape) < steps - whole)
        else:
            steps = np.rint(steps)
    return np.asarray(np.copysign(np.minimum(steps * quantum, target.highest), x))


@dataclass(frozen=True)
class BlockFloat:
    """Blocks along the last axis whose numbers share a scale: MXFP4 and NVFP4.

    With E8M0 the scale is the power of two that brings the largest magnitude of the block to the
    largest exponent of the elements (OCP MX 1.0, section 6.3): a magnitude from 6 to 8 times the
    scale then saturates at 6, also with unbiased rounding. "E8M0-up" is the least power of two with
    which nothing saturates (Mishra et al., "Recipes for Pre-training LLMs with MXFP8", 2025, round
    scales up for this reason). With E4M3 the scale is the largest
    magnitude over that of the elements, in units of a float32 scale of the whole array that brings
    the largest of these scales to 448, rounded to nearest.

    Parameters
    ----------
    element : MiniFloat
        Its own rounding is not used.
    block : int
        Elements that share a scale; the last block of a row may have fewer.
    scales : {"E8M0", "E8M0-up", "E4M3"}
    rounding : {"unbiased", "biased"}
        Of the elements, as in `MiniFloat`.

    Raises
    ------
    ValueError
        If a name is unknown, or `block` is less than 1.
    """

    element: MiniFloat
    block: int
    scales: str
    rounding: str = "unbiased"

    # The scales follow the values.
    needs_scale = False
    highest = np.inf
    lowest = -np.inf

    def __post_init__(self) -> None:
        one_of("scales", self.scales, ("E8M0", "E8M0-up", "E4M3"))
        one_of("rounding", self.rounding, ROUNDINGS)
        if self.block < 1:
            raise ValueError(f"block: got {self.block}, expected at least 1")

    @property
    def bits(self) -> float:
        """Bits of a number, its share of the scale of the block included."""
        return self.element.bits + 8 / self.block

    def quantize(
        self, x: ArrayLike, scale: float = 1.0, rng: int | np.random.Generator | None = None
    ) -> FloatArray:
        """Round ``x / scale`` to numbers of this format.

        Parameters
        ----------
        x : array_like of float, any shape but that of a scalar
        scale : float
            The value of a one: finite and positive.
        rng : int or numpy.random.Generator, optional
            Seed or state of unbiased rounding.

        Returns
        -------
        ndarray of float64, of the shape of `x`
            Elements times the scale of their block; their values are ``scale`` times as large. A
            block that holds NaN or infinity becomes NaN, as its scale does.

        Raises
        ------
        ValueError
            If `scale` is not finite and positive.
        """
        units = np.asarray(x, np.float64) / positive("scale", scale)
        length = units.shape[-1]
        missing = -length % self.block
        padded = np.pad(units, [(0, 0)] * (units.ndim - 1) + [(0, missing)])
        blocks = padded.reshape(*units.shape[:-1], -1, self.block)
        by_block = self.block_scales(np.abs(blocks).max(axis=-1, keepdims=True))
        with np.errstate(invalid="ignore"):
            elements = _rounded(self.element, blocks / by_block, self.rounding, rng)
        return np.asarray((by_block * elements).reshape(padded.shape)[..., :length])

    def block_scales(self, largest: FloatArray) -> FloatArray:
        """Return the scale of each block from the largest magnitude in it, of the same shape."""
        finite = np.where(np.isfinite(largest), largest, 0.0)
        if self.scales != "E4M3":
            part, exponent = np.frexp(finite)
            part_of_element, of_element = np.frexp(self.element.highest)
            saturates = (self.scales == "E8M0-up") & (part > part_of_element)
            exponent = np.where(finite > 0, exponent - of_element + saturates, E8M0_EXPONENTS[0])
            scales = np.ldexp(1.0, np.clip(exponent, *E8M0_EXPONENTS))
        else:
            wanted = finite / self.element.highest
            # In float32; of numbers too small for it, one that is not zero.
            smallest = float(np.finfo(np.float32).smallest_subnormal)
            whole = max(float(np.float32(wanted.max(initial=0.0) / E4M3.highest)), smallest)
            scale = _rounded(E4M3, wanted / whole, "biased", None)
            scales = whole * np.maximum(scale, E4M3.values[1])
        return np.where(np.isfinite(largest), scales, np.nan)


BF16 = MiniFloat(8, 7)
E4M3 = MiniFloat(4, 3, "nan")
E5M2 = MiniFloat(5, 2)
E2M1 = MiniFloat(2, 1, "none")

NUMBER_FORMATS: dict[str, MiniFloat | BlockFloat] = {
    "bf16": BF16,
    "e4m3": E4M3,
    "e5m2": E5M2,
    "e2m1": E2M1,
    "mxfp4": BlockFloat(E2M1, 32, "E8M0"),
    "mxfp4-up": BlockFloat(E2M1, 32, "E8M0-up"),
    "nvfp4": BlockFloat(E2M1, 16, "E4M3"),
}


@cache
def dynamic_code(signed: bool) -> FloatArray:
    """Return the 256 numbers of the dynamic 8-bit code in ascending order, read-only.

    Each decade from 1e-7 to 1 is cut into equal parts, twice as many as the decade below, and
    represented by their midpoints; 0 and 1 are added (Dettmers et al. 2022, section 1.3).

    Parameters
    ----------
    signed : bool
        Of both signs, or with twice the parts.

    Returns
    -------
    ndarray of float64, of shape (256,)
    """
    positives = []
    for decade in range(7):
        parts = 2**decade if signed else 2 ** (decade + 1)
        middles = 0.1 + 0.9 * (np.arange(parts) + 0.5) / parts
        positives.append(10.0 ** (decade - 6) * middles)
    code = np.concatenate([*positives, *(-p for p in positives if signed), [0.0, 1.0]])
    code.sort()
    code.flags.writeable = False
    return code


def block_wise(x: ArrayLike, signed: bool, block: int = STATE_BLOCK) -> FloatArray:
    """Round numbers to the dynamic code times the largest magnitude of their block.

    Parameters
    ----------
    x : array_like of float, any shape
        Read in C order, a block after the other.
    signed : bool
        Use the code with signs; without signs negative numbers become zero.
    block : int
        Elements that share a scale.

    Returns
    -------
    ndarray of float64, of the shape of `x`
        To the nearest number of the code; the state of 8-bit Adam.
    """
    values = np.asarray(x, np.float64)
    flat = values.ravel()
    starts = np.arange(0, flat.size, block)
    largest = np.maximum.reduceat(np.abs(flat), starts) if flat.size else flat
    scale = np.repeat(np.where(largest > 0, largest, 1.0), block)[: flat.size]
    code = dynamic_code(signed)
    nearest = np.searchsorted((code[1:] + code[:-1]) / 2, flat / scale)
    return np.asarray((scale * code[nearest]).reshape(values.shape))
