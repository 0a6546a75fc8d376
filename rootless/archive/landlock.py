"""A second wall around a worker that unpacks: it changes no file outside of one directory.

The first is that names are resolved below a descriptor after chroot(2); this one is the kernel's,
and holds where that has a hole: nothing is written, made, renamed, linked, removed or executed
outside.
It stands for the calling thread and all that it starts, until they end. Where the kernel has no
Landlock, or a filter forbids it, there is only the first.

landlock(7); links between directories are allowed since its second version (Linux 5.19).
"""

from __future__ import annotations

import os

from rootless import linux

_LEAST_VERSION = 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_UP_TO_REFER = (1 << 14) - 1  # and all to make and remove, between these and that
_TRUNCATE = 1 << 14  # since the third version


def keep_changes_in(directory: str) -> bool:
    """Refuse this thread (EACCES) every change outside of `directory`; whether the kernel does."""
    fd = -1
    try:
        version = linux.landlock_version()
        if version < _LEAST_VERSION:
            return False
        changes = _UP_TO_REFER & ~(_READ_FILE | _READ_DIR)
        if version > _LEAST_VERSION:
            changes |= _TRUNCATE
        fd = linux.landlock_create_ruleset(changes)
        linux.landlock_add_path(fd, directory, changes & ~_EXECUTE)
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)  # what it asks of who is not root of a namespace
        linux.landlock_restrict_self(fd)
    except linux.SyscallError:
        return False
    finally:
        if fd >= 0:
            os.close(fd)
    return True
