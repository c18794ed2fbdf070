"""The benchmark's figures, drawn from the tables' numbers."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from halpbench.report.figures.convergence import convergence_curves
from halpbench.report.figures.peers import time_to_accuracy
from halpbench.report.figures.roofline import roofline_panels
from halpbench.report.figures.speedups import speedup_bars
from halpbench.report.figures.throughput import throughput_curves
from halpbench.report.pictures import Picture, save
from halpbench.report.tables import Report, origin

_MAKERS: dict[str, Callable[[Report], Iterator[Picture]]] = {
    "epochs": speedup_bars,
    "kernels": throughput_curves,
    "convergence": convergence_curves,
    "roofline": roofline_panels,
    "peers": time_to_accuracy,
}


def draw(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Draw the figures of the reports, and write the files that `pictures.save` names.

    Parameters
    ----------
    reports : sequence of Report
    folder : Path

    Returns
    -------
    list of Path
        The files; none if there is nothing to draw.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    written = []
    for report in reports:
        written += save(partial(pictures, report), folder, origin(report.machine))
    return written


def pictures(report: Report) -> Iterator[Picture]:
    """Make the figures of a report; to be used in the context of `pictures.STYLE`."""
    if report.name in _MAKERS:
        yield from _MAKERS[report.name](report)
