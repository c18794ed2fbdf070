"""Parts that the commands share: results folders, messages, progress."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported on first use: this module is part of every command, and of --help
    from rich.console import Console

    from halpbench.bench.cases import ProblemSpec
    from halpbench.bench.loop import Event
    from halpbench.report.cells import Table

SUITES = ("full", "smoke")
CONSOLE_WIDTH = 100

# Results folder if no option names one.
RESULTS, RESULTS_VARIABLE = Path("results"), "HALPBENCH_RESULTS"
OWN = "own"  # the folder below them for data of the user's own

# Function that runs a command, given its options; it returns the exit code, None for success.
Run = Callable[[argparse.Namespace], int | None]
# Adds a command: its name, the function that runs it, and the text of --help below the options.
Add = Callable[[str, Run, str], argparse.ArgumentParser]


def add_suite_options(command: argparse.ArgumentParser, suites: Sequence[str] = SUITES) -> None:
    """Add the options of commands that keep records: --suite, --results, --fresh."""
    command.add_argument("--suite", choices=suites, default="full", help="default: full")
    add_results_option(command, "; smoke below it for the smoke suite")
    command.add_argument("--fresh", action="store_true", help="measure again what has a record")


def add_results_option(command: argparse.ArgumentParser, more: str = "") -> None:
    """Add the option --results."""
    command.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help=f"default: ${RESULTS_VARIABLE}, or {RESULTS}{more}",
    )


def results(options: argparse.Namespace, suite: str = "full", *, own: bool = False) -> Path:
    """Return the results folder: that of the option, or below that of the environment or default.

    The smoke suite and data of the user's own have folders of their own there.
    """
    if options.results is not None:
        folder: Path = options.results
        return folder
    root = Path(os.environ.get(RESULTS_VARIABLE) or RESULTS)
    root = root / suite if suite == "smoke" else root
    return root / OWN if own else root


def add_data_options(command: argparse.ArgumentParser, data: str = "--data") -> None:
    """Add the options of data of the user's own: --data, --target, --loss, --l2."""
    from halpbench.bench import own

    if data == "--data":
        command.add_argument(
            "--data",
            type=Path,
            metavar="FILE",
            help="data of your own: .npz with arrays X and y, .npy, LIBSVM, .csv or .parquet; "
            "results go to results/own unless --results says otherwise",
        )
    command.add_argument(
        "--target",
        metavar="COLUMN",
        help=f"with {data} FILE: the column to predict (default: the last one, or y of .npz)",
    )
    command.add_argument(
        "--loss",
        choices=own.LOSSES,
        help=f"with {data} FILE (default: softmax for text and for whole numbers of at most "
        f"{own.MOST_CLASSES} values, else squared)",
    )
    command.add_argument(
        "--l2",
        type=float,
        help=f"with {data} FILE: weight of the penalty (default: {own.DEFAULT_L2:g})"
        if data == "--data"
        else "default: the problem's; 0 for a data set or a file",
    )


def refuse_without_data(options: argparse.Namespace, data: object) -> None:
    """Refuse options that say something of a file where there is none."""
    for name in ("target", "loss", "l2"):
        if data is None and getattr(options, name) is not None:
            raise ValueError(f"--{name} needs --data, a file of data of your own")


def own_problem(options: argparse.Namespace) -> ProblemSpec:
    """Read the file that --data names; see `own.problem`."""
    from halpbench.bench import own

    l2 = own.DEFAULT_L2 if options.l2 is None else options.l2
    return own.problem(options.data, options.target, options.loss, l2)


@contextmanager
def progress() -> Iterator[Callable[[Event], None]]:
    """Show events on standard error: a bar on a terminal, a line for each case elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("")

    def show(event: Event) -> None:
        name = event.case.name
        if event.what == "start":
            bar.update(task, description=f"{name}: preparing", total=event.total)
        elif event.what == "round":
            bar.update(task, description=f"{name}: round {event.rounds + 1}")
        else:
            reason = event.reason and f", {event.reason}"
            bar.update(task, completed=event.index + 1, total=event.total)
            if reason or not console.is_terminal:
                print(
                    f"[{event.index + 1}/{event.total}] {name}: {event.what}{reason}",
                    file=sys.stderr,
                )

    with bar:
        yield show


def show(shown: Sequence[Table]) -> None:
    """Print tables."""
    from halpbench.report import tables

    shown = [replace(table, notes=table.all_notes) for table in shown]
    tables.show([tables.Report("", {}, shown, {}, "")], console())


def console() -> Console:
    """Standard output, as wide as the tables are made for."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would exit with 1, which is for judgements

    terminal = Console()
    return Output(width=min(terminal.width, CONSOLE_WIDTH) if terminal.is_terminal else 100)


def warn(sentences: Iterable[str]) -> None:
    """Say each sentence as a warning."""
    for sentence in sentences:
        say(f"warning: {sentence}")


def say(text: str) -> None:
    """Tell the person at the terminal, on standard error: a line, whatever is in the text."""
    with suppress(OSError):  # nobody can be told; the exit code still says it
        print(f"halpbench: {_CONTROL.sub(_escaped, text)}", file=sys.stderr)


# Control characters and lone surrogates: in names of files, in values of options.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _escaped(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode("ascii")


@contextmanager
def any_text_printable() -> Iterator[None]:
    """Print characters that the encoding of the terminal lacks as escapes, without an error."""
    streams = [
        stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)
    ]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            stream.reconfigure(errors=errors)


def print_json(content: object) -> None:
    """Print for a program."""
    print(json.dumps(content, indent=1))


def positive(text: str) -> int:
    """Read a count, as 100_000 or 100,000: the type of an argument."""
    try:
        number = int(text.replace(",", "").replace("_", ""))
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected an integer of at least 1")
    return number


def some_of(known: Collection[str], text: str | None, option: str) -> list[str]:
    """Read the names that an option was given, as a,b; all that are known without it."""
    if text is None:
        return list(known)
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or not set(names) <= set(known):
        raise ValueError(f"{option}: got {text!r}; expected some of {', '.join(known)}")
    return names


def numbers(text: str) -> tuple[float, ...]:
    """Read numbers, as 0.1,0.3,1: the type of an argument."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected numbers, as 0.1,0.3,1") from None
