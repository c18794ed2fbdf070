"""The paper's algorithms and their traits, one row each (De Sa et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from halpbench.formats import FORMATS, Format

__all__ = ["ALGORITHMS", "Algorithm"]


@dataclass(frozen=True)
class Algorithm:
    """An algorithm by its name and three traits.

    Attributes
    ----------
    name : str
    variance_reduced : bool
        A step is corrected by the full gradient at the centre.
    centred : bool
        The model is represented by its displacement from the centre.
    integer_model : bool
        The model is rounded to fixed point after every step.
    """

    name: str
    variance_reduced: bool
    centred: bool
    integer_model: bool

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the formats that it runs in."""
        return tuple(name for name, row in FORMATS.items() if row.is_integer == self.integer_model)

    @property
    def default_format(self) -> str:
        """Eight bits, or float64."""
        return "D8M8" if self.integer_model else "D64fM64f"

    def in_format(self, name: str | None) -> Format:
        """The format of this name, or the default; ValueError if it does not run in it."""
        name = self.default_format if name is None else name
        if name not in FORMATS:
            raise ValueError(f"precision must be one of {', '.join(FORMATS)}, got {name!r}")
        if name not in self.formats:
            raise ValueError(f"{self.name} runs in {', '.join(self.formats)}; got {name}")
        return FORMATS[name]


#: The algorithms by name.
ALGORITHMS = {
    row.name: row
    for row in (
        Algorithm("sgd", variance_reduced=False, centred=False, integer_model=False),
        Algorithm("lp-sgd", variance_reduced=False, centred=False, integer_model=True),
        Algorithm("svrg", variance_reduced=True, centred=True, integer_model=False),
        Algorithm("lp-svrg", variance_reduced=True, centred=False, integer_model=True),
        Algorithm("halp", variance_reduced=True, centred=True, integer_model=True),
    )
}
