"""Pictures: a figure with its caption and numbers, in one style, and the files made of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halpbench.bench.files import write_atomic
from halpbench.bench.records import Record
from halpbench.report.cells import Row
from halpbench.report.tables import as_csv

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart, one an algorithm in every picture.
COLORS = {
    "sgd": "#999999",
    "lp-sgd": "#E69F00",
    "svrg": "#000000",
    "lp-svrg": "#0072B2",
    "halp": "#D55E00",
}
# HALP whose scale follows the displacement, beside HALP with a given mu.
ADAPTIVE_COLOR = "#CC79A7"
# Full precision solid and dashed; low precision by the bits of the model.
DASHES: dict[str, Any] = {
    "D64fM64f": "-",
    "D32fM32f": (0, (4, 1.5)),
    "D8M8": "-",
    "D8M16": (0, (3, 1, 1, 1, 1, 1)),
    "D16M16": (0, (5, 1, 1, 1)),
}
WIDTH = 7.0  # inches: a page's text
SMALL_DPI, SMALL_COLORS = 120, 64  # 840 pixels: the width of a README
STYLE: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "legend.fontsize": 7.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "lines.linewidth": 1.3,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    # Text stays text, and the same records give the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "halpbench",
}


@dataclass(frozen=True)
class Picture:
    """A figure with its caption, and the rows behind it."""

    name: str
    figure: Figure
    caption: str
    rows: list[Row] = field(default_factory=list)
    animation: Callable[[], FuncAnimation] | None = None


def save(make: Callable[[], Iterable[Picture]], folder: Path, origin: str = "") -> list[Path]:
    """Draw pictures and write their files.

    Parameters
    ----------
    make : callable
        Makes the pictures; called in the context of `STYLE`.
    folder : Path
        Receives ``<picture>.png``, ``.svg``, ``.csv`` (the numbers), ``.txt`` (the caption), and
        ``.gif`` of a moving picture.
    origin : str
        Source of the numbers: the machine and the revision, for the captions.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    from matplotlib import rc_context

    written: list[Path] = []
    with rc_context(STYLE):
        for picture in make():
            written += _write(picture, folder, origin)
    return written


def save_records(
    make: Callable[[Sequence[Record]], Iterable[Picture]],
    records: Sequence[Record],
    folder: Path,
    origin: str = "",
) -> list[Path]:
    """Write the files of the pictures made of records, skipped ones left out; see `save`."""
    usable = [record for record in records if record.skipped is None]
    return save(lambda: make(usable), folder, origin) if usable else []


def save_small(make: Callable[[], Iterable[Picture]], folder: Path) -> list[Path]:
    """Draw pictures for documents, as PNG alone, of few bytes; see `save`."""
    from matplotlib import rc_context
    from PIL import Image

    written: list[Path] = []
    with rc_context(STYLE):
        for picture in make():
            image, small = io.BytesIO(), io.BytesIO()
            picture.figure.savefig(image, format="png", dpi=SMALL_DPI)
            Image.open(image).convert("RGB").quantize(SMALL_COLORS).save(
                small, "png", optimize=True
            )
            written.append(folder / f"{picture.name}.png")
            write_atomic(written[-1], small.getvalue())
    return written


def _write(picture: Picture, folder: Path, origin: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    png, svg, numbers, caption = (
        folder / f"{picture.name}.{ending}" for ending in ("png", "svg", "csv", "txt")
    )
    image, drawing = io.BytesIO(), io.StringIO()
    picture.figure.savefig(image, format="png", dpi=200)
    # No date: a figure changes only where its numbers do.
    picture.figure.savefig(drawing, format="svg", metadata={"Date": None})
    png.write_bytes(image.getvalue())
    write_atomic(svg, drawing.getvalue())
    write_atomic(numbers, as_csv(picture.rows))
    sentences = [picture.caption, *([f"Measured on {origin}."] if origin else [])]
    write_atomic(caption, " ".join(sentences) + "\n")
    paths = [png, svg, numbers, caption]
    if picture.animation is not None:
        paths.append(folder / f"{picture.name}.gif")
        picture.animation().save(paths[-1], writer="pillow", dpi=90)
    return paths


def new_figure(height: float) -> Figure:
    """Return a figure as wide as a page's text, of a height in inches."""
    # Not pyplot: nothing global, no display.
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")
