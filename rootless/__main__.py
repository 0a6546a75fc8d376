"""`python -m rootless` and the `rootless` command."""

from __future__ import annotations

import sys

from rootless.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
