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


def is_privileged(program: str) -> bool:
    """Whether a program gains privileges, by its setuid bit or by file capabilities.

    Archives of images often lose these, and a mount may forbid them (nosuid).
    """
    try:
        gains = os.stat(program).st_mode & 0o4000 or "security.capability" in os.listxattr(program)
        return bool(gains) and not os.statvfs(program).f_flag & os.ST_NOSUID
    except OSError:
        return False
