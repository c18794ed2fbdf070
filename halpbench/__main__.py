"""Start of the command line: ``halpbench``, and ``python -m halpbench``."""

import sys


def main() -> int:
    """Run the command line; Ctrl-C while it is imported is as quiet as later."""
    try:
        from halpbench.cli import main as run

        return run()
    except KeyboardInterrupt:  # before `run` has begun: nothing was measured
        print("halpbench: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
