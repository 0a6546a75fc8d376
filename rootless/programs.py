"""Where a program of this machine is: one way to look for `run`, `info`, `doctor` and the id maps.

Pure but for looking. A relative entry of a search path is not followed: a program in whatever
folder a command happens to be started in is nobody's choice.
"""

from __future__ import annotations

import os

SYSTEM_PATH = "/usr/bin:/bin:/usr/local/bin:/run/wrappers/bin:/usr/sbin"
"""Where setuid helpers may be, whatever the user's PATH says."""


def find(name: str, search_path: str = "") -> str:
    """Where the program `name` is on `search_path` ("": SYSTEM_PATH); "" when it is nowhere."""
    for folder in (search_path or SYSTEM_PATH).split(os.pathsep):
        path = os.path.join(folder, name)
        if folder.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""
