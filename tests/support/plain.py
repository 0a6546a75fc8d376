"""A plain container, as docker starts one with its defaults: `python -m tests.support.plain WHO …`.

The command becomes root, or uid WHO, with docker's own seccomp profile and its capabilities, and
parts of /proc are hidden: the kernel refuses what it refuses there. It is one user namespace
deeper, so devices cannot be made either. With `none` for WHO it stays the user, without any
capability and with no_new_privs, as in a pod of Kubernetes' restricted Pod Security. The process
stays the same one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rootless import linux, userns
from rootless.sandbox import caps, profile

PROFILE = Path(__file__).parents[1] / "corpus/seccomp/default.json"
_MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug")
_READ_ONLY = ("/proc/sys", "/proc/irq", "/proc/bus")


def prefix(uid: int | str = 0) -> tuple[str, ...]:
    """What starts a command there."""
    return (sys.executable, "-m", "tests.support.plain", str(uid))


def main(argv: list[str]) -> None:
    """Become that, and the command."""
    if argv[0] == "none":
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.seccomp(_program(frozenset()))
        os.execvp(argv[1], argv[1:])
    uid = int(argv[0])
    userns.enter()
    for path in filter(os.path.exists, _MASKED):
        linux.mount("/dev/null", path, None, linux.MS_BIND)
    for path in filter(os.path.exists, _READ_ONLY):
        linux.mount(path, path, None, linux.MS_BIND | linux.MS_REC)
        flags = linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY
        linux.mount(None, path, None, flags | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    os.umask(0o022)
    # Docker's filter is installed without no_new_privs, so while there is still CAP_SYS_ADMIN.
    keep = caps.DEFAULT
    caps.bound(keep)
    linux.seccomp(_program(keep))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execvp(argv[1], argv[1:])


def _program(keep: frozenset[str]) -> bytes:
    return profile.program(PROFILE.read_bytes(), linux.MACHINE, keep, os.uname().release)


if __name__ == "__main__":
    main(sys.argv[1:])
