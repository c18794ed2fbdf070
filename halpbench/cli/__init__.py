"""The command line: ``halpbench COMMAND``, a module here for each group of commands."""

import argparse
import importlib
import sys
import traceback
import warnings
from collections.abc import Collection, Sequence
from typing import Any

from halpbench import __version__
from halpbench.cli.common import Run, any_text_printable, say

OK, USER_ERROR, INTERRUPTED = 0, 2, 130
# Errors that a user, a machine or an installation may cause; all others are defects.
MISTAKES = (ImportError, LookupError, MemoryError, OSError, ValueError)
# Each command: its module here, imported only when it is wanted, and a summary.
COMMANDS = {
    "info": ("info", "show the machine, the build, and what may disturb a measurement"),
    "datasets": ("info", "list the data sets that can be loaded"),
    "kernels": ("info", "time the kernels once on every usable backend"),
    "bench": ("bench", "measure kernels, epochs and convergence, and make the speedup tables"),
    "report": ("bench", "make tables, figures and a web page from the raw records"),
    "compare": ("compare", "compare revisions on one machine, or machines with each other"),
    "figures": ("figures", "repeat the paper's experiments and draw its figures"),
    "peers": ("peers", "measure time to accuracy beside scikit-learn and other libraries"),
    "tune": ("tune", "search a grid of step sizes, mu and delta for the least gradient norm"),
    "deep": ("deep", "train a character LSTM or a ResNet with HALP and its kin"),
    "deep-speed": ("deep", "time a step of HALP beside a step of SVRG, in PyTorch on one thread"),
    "deep-integer": ("deep", "train a perceptron by HALP in integers, beside PyTorch in float32"),
    "records": ("records", "print the JSON Schema of raw records, upgrade old ones, or pack them"),
}


def main(arguments: Sequence[str] | None = None, **parts: Any) -> int:
    """Run one command and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process when None.
    **parts
        In place of what the command itself sets as defaults, for tests: the functions that measure.

    Returns
    -------
    int
        0 done; 2 a mistake of the user or of the surroundings (a message says which), or a defect
        (with its traceback); 130 interrupted. A command that judges returns 1 if the judgement is
        bad, as its --help explains; nothing else does.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    # Options before the command take no values, but for --print-completion, which needs no command.
    wanted = next((word for word in given if not word.startswith("-")), "")
    try:
        with any_text_printable():
            options = _parser({wanted} & COMMANDS.keys()).parse_args(given)
            if not parts.keys() <= vars(options).keys():
                raise TypeError(f"got parts {sorted(parts)}; expected some of {vars(options)}")
            vars(options).update(parts)
            return _run(options)
    except KeyboardInterrupt:
        say("interrupted; finished records are kept, the same command continues")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; the rest of the buffer cannot be written.
        sys.stdout = None
        return OK
    except Exception as error:
        return _tell(error, debug)


def _run(options: argparse.Namespace) -> int:
    """Run the command that was parsed, and flush its output."""
    # Not every command uses the kernels; a bad HALPBENCH_ISA is a mistake for each of them.
    importlib.import_module("halpbench.kernels")
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
        code: int = options.run(options) or OK
    if sys.stdout:
        sys.stdout.flush()
    return code


def _tell(error: Exception, debug: bool) -> int:
    """Print the error, in a line if it is no defect of this package; return the exit code."""
    if debug or not isinstance(error, MISTAKES):
        traceback.print_exc()
    text = f"error: {error}" if str(error) else f"error: {type(error).__name__}"
    if isinstance(error, ImportError) and "pip install" not in text:
        extra = "deep" if error.name == "torch" else "bench"
        text += f"; `pip install '.[{extra}]'` in the folder of the sources installs it"
    say(text)
    return USER_ERROR


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands with all options, for the documentation."""
    return _parser(COMMANDS)


def _parser(wanted: Collection[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of all commands, with the options of those that are wanted."""
    parser = argparse.ArgumentParser(
        prog="halpbench",
        description="Low-precision training at full accuracy: measure HALP and its kernels on "
        "this machine.",
        epilog="Begin with `halpbench bench --suite smoke`, which takes less than a minute.",
    )
    parser.add_argument("--version", action="version", version=f"halpbench {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=("bash", "zsh", "fish"),
        help="print a script that completes commands and options with the tab key",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parsers = {
        name: commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, (_, summary) in COMMANDS.items()
    }

    def add(name: str, run: Run, more: str) -> argparse.ArgumentParser:
        command = parsers[name]
        command.epilog = more
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="write JSON to standard output")
        return command

    for module in dict.fromkeys(COMMANDS[name][0] for name in wanted):
        importlib.import_module(f"halpbench.cli.{module}").add_commands(add)
    return parser


class _PrintCompletion(argparse.Action):
    """Print the completion of a shell, and exit: the action of an option."""

    def __call__(self, parser: argparse.ArgumentParser, _: object, shell: Any, *__: object) -> None:
        import shtab

        print(shtab.complete(_parser(COMMANDS), shell))
        parser.exit()
