"""The command line: ``halpbench COMMAND``, a module here for each group of commands."""

import argparse
import sys
import warnings
from collections.abc import Sequence

from halpbench.cli import bench, compare, deep, figures, info, peers, tune
from halpbench.cli.common import Run, say

OK, USER_ERROR, INTERRUPTED = 0, 2, 130
GROUPS = (info, bench, compare, figures, peers, tune, deep)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process when None.

    Returns
    -------
    int
        0 done, 2 a mistake of the user or of the surroundings (a message says which), 130
        interrupted; a command that judges may return others, which its --help explains.
    """
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
            return options.run(options) or OK
    except KeyboardInterrupt:
        say("interrupted; finished records are kept, the same command continues")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; what is left in the buffer has no way out.
        sys.stdout = None
        return OK
    except ImportError as error:
        if options.debug:
            raise
        extra = "deep" if error.name == "torch" else "bench"
        say(f"error: {error}; `pip install 'halpbench[{extra}]'` installs what this command needs")
        return USER_ERROR
    except (OSError, ValueError, LookupError) as error:
        if options.debug:
            raise
        say(f"error: {error}")
        return USER_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="halpbench",
        description="Low-precision training at full accuracy: measure HALP and its kernels on "
        "this machine.",
        epilog="Begin with `halpbench bench --suite smoke`, which takes less than a minute.",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Run, summary: str, more: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="write JSON to standard output")
        return command

    for group in GROUPS:
        group.add_commands(add)
    return parser
