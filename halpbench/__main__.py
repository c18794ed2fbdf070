"""Run the command line: ``python -m halpbench``."""

import sys

from halpbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
