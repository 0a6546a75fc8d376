"""`python -m rootless` and the `rootless` command."""

from __future__ import annotations

import os
import sys

from rootless.cli import main as command_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Carry out the command line and end the process.

    Without taking the interpreter down in good order: that costs 3 ms, and all that matters has
    been written. An exception that is a bug of ours still ends in the usual way.
    """
    code = command_line.main()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
