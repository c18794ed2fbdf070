"""Steps of lists of tensors that are rounded to the integers of a fixed-point format."""

from __future__ import annotations

import torch
from torch import Tensor

from halpbench.fixedpoint import largest_integer

__all__ = ["ROUNDINGS", "add_rounded_", "random_offsets", "saturated"]

ROUNDINGS = ("stochastic", "nearest")


def random_offsets(count: int, generator: torch.Generator) -> Tensor:
    """Return random integers: odd ones from -2**15 to 2**15, the middles of 2**15 intervals.

    In units of 2**-16 they are uniform in (-1/2, 1/2), and their mean is zero. Random bytes are
    most of the cost of a step: each is the high byte of one number and the low byte of another one
    half of them further on, which gives these two a correlation of 2**-8.

    Returns
    -------
    Tensor of shape (count,), int16
    """
    half = (count + 1) // 2
    words = torch.empty(half // 4 + 1, dtype=torch.int64, device=generator.device)
    random = words.random_(-(2**63), None, generator=generator).view(torch.uint8)
    both = torch.cat([random[: 2 * half], random[1 : 2 * half + 1]])
    return both.view(torch.int16)[:count].bitwise_or_(1)


def add_rounded_(
    units: list[Tensor], steps: list[Tensor], bits: int, offsets: Tensor | None
) -> None:
    """Add rounded steps to integers of the symmetric range of `bits` bits; beyond it, to its end.

    The step alone is rounded: a small one counts however large the integer is.

    Parameters
    ----------
    units : list of Tensor
        Integers, changed in place.
    steps : list of Tensor
        Of the same shapes, in units. What they hold afterwards is of no use.
    bits : int
    offsets : Tensor of shape (elements of all of `units`,), optional
        Uniform in (-1/2, 1/2), added to the steps; as floats, or as `random_offsets` returns them.
        Stochastic rounding, unbiased. Without it to nearest, halves up.
    """
    if offsets is None:
        torch._foreach_add_(steps, 0.5)
        torch._foreach_floor_(steps)
    else:
        unit = 1.0 if offsets.is_floating_point() else 2.0**-16
        parts = torch.split(offsets, [x.numel() for x in steps])
        for step, part in zip(steps, parts, strict=True):
            step.add_(part.view_as(step), alpha=unit)
        torch._foreach_round_(steps)
    torch._foreach_add_(units, steps)
    highest = largest_integer(bits)
    for x in units:
        x.clamp_(-highest, highest)  # in one pass; torch._foreach_ has no such operation


def saturated(units: list[Tensor], bits: int) -> int:
    """Count the integers at either end of the range."""
    highest = largest_integer(bits)
    return sum(int(torch.count_nonzero(x.abs() == highest)) for x in units)
