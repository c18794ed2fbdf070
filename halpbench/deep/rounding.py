"""Rounding of lists of tensors to the integers of a fixed-point format."""

from __future__ import annotations

import torch
from torch import Tensor

from halpbench.fixedpoint import largest_integer

__all__ = ["ROUNDINGS", "random_fractions", "round_", "saturated"]

ROUNDINGS = ("stochastic", "nearest")


def random_fractions(count: int, generator: torch.Generator) -> Tensor:
    """Return float32 numbers in (0, 1): the middles of 2**16 intervals, so that the mean is 1/2.

    A random word of 64 bits serves four of them, which takes a third of the time of `torch.rand`.
    """
    words = torch.empty(-(-count // 4), dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    # int16, from -2**15 to 2**15 - 1
    lanes = words.view(torch.int16)[:count].to(torch.float32)
    return lanes.add_(2**15 + 0.5).mul_(2**-16)


def round_(units: list[Tensor], bits: int, uniforms: Tensor | None) -> None:
    """Round to integers of the symmetric range of `bits` bits, in place; beyond it, to its end.

    Integers stay what they are, whatever their size: the random number is added to the fraction
    alone, so that a sum of two floats never rounds up to the next integer.

    Parameters
    ----------
    units : list of Tensor
        In units of the scale.
    bits : int
    uniforms : Tensor of shape (elements of all of `units`,), optional
        Uniform in [0, 1): stochastic rounding, unbiased. Without it to nearest, halves up.
    """
    floors = torch._foreach_floor(units)
    torch._foreach_sub_(units, floors)
    if uniforms is None:
        torch._foreach_add_(units, 0.5)
    else:
        parts = torch.split(uniforms, [x.numel() for x in units])
        torch._foreach_add_(units, [u.view_as(x) for u, x in zip(parts, units, strict=True)])
    torch._foreach_floor_(units)
    torch._foreach_add_(units, floors)
    highest = largest_integer(bits)
    torch._foreach_clamp_min_(units, -highest)
    torch._foreach_clamp_max_(units, highest)


def saturated(units: list[Tensor], bits: int) -> int:
    """Count the integers at either end of the range."""
    highest = largest_integer(bits)
    return sum(int(torch.count_nonzero(x.abs() == highest)) for x in units)
