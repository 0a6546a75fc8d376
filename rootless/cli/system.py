"""`version`, …: this program and this machine."""

from __future__ import annotations

import sys

from rootless import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings


def version(_given: Settings, _arguments: Arguments) -> int:
    """Print the version."""
    print(f"rootless version {__version__}, Python {sys.version.split()[0]}")
    return 0
