"""The paper's figures, drawn from records."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from halpbench.bench.records import Record
from halpbench.report.paper.centering import figure_2
from halpbench.report.paper.curves import figure_1, figure_4, figure_own
from halpbench.report.paper.feedback import figure_feedback
from halpbench.report.paper.needed import figure_needed_bits
from halpbench.report.paper.norms import figure_5, figure_bits
from halpbench.report.paper.rivals import figure_rivals
from halpbench.report.paper.theory import figure_theory
from halpbench.report.pictures import Picture, save_records

FIGURES: dict[str, Callable[[Sequence[Record]], Iterator[Picture]]] = {
    "fig1": figure_1,
    "fig2": figure_2,
    "fig4": figure_4,
    "fig5": figure_5,
    "bits": figure_bits,
    "needed-bits": figure_needed_bits,
    "feedback": figure_feedback,
    "theory": figure_theory,
    "rivals": figure_rivals,
}


# Not a figure of the paper: curves of the same kind, on data of the user's own.
DRAWN = FIGURES | {"own": figure_own}


def draw(name: str, records: Sequence[Record], folder: Path, origin: str = "") -> list[Path]:
    """Draw a figure of the paper and write its files.

    Parameters
    ----------
    name : str
        One of `DRAWN`.
    records : sequence of Record
        Those of the figure's experiments; skipped ones are left out.
    folder : Path
        Receives the files that `pictures.save` names.
    origin : str
        Source of the records, for the captions.

    Returns
    -------
    list of Path
        The files; none if all records were skipped.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    return save_records(DRAWN[name], records, folder, origin)
