"""A plain container, as docker starts one with its defaults: `python -m tests.support.plain WHO …`.

The command becomes root, or uid WHO, with docker's own seccomp profile and its capabilities, and
parts of /proc are hidden: the kernel refuses what it refuses there. It is one user namespace
deeper, so devices cannot be made either. With `none` for WHO it stays the user, without any
capability and with no_new_privs, as in a pod of Kubernetes' restricted Pod Security.

With `unfiltered` for WHO it is root under `--security-opt seccomp=unconfined`. With `podman` it is
root as podman's defaults have it: fewer capabilities, and a filter that lets namespaces and mounts
be made, but forbids to name a machine. The process stays the same one.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rootless import linux, userns
from rootless.sandbox import caps, profile

PROFILE = Path(__file__).parents[1] / "corpus/seccomp/default.json"
_MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug")
_READ_ONLY = ("/proc/sys", "/proc/irq", "/proc/bus")
_PODMANS = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID"
_PODMAN_ALLOWS = (
    "clone clone3 fsconfig fsmount fsopen fspick keyctl mount mount_setattr move_mount open_tree "
    "pivot_root umount umount2 unshare"
)
"""Of podman's own profile, what docker's asks CAP_SYS_ADMIN for."""


def prefix(uid: int | str = 0) -> tuple[str, ...]:
    """What starts a command there."""
    return (sys.executable, "-m", "tests.support.plain", str(uid))


def main(argv: list[str]) -> None:
    """Become that, and the command."""
    if argv[0] == "none":
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.seccomp(_program(frozenset()))
        os.execvp(argv[1], argv[1:])
    uid = int(argv[0]) if argv[0].isdecimal() else 0
    userns.enter()
    for path in filter(os.path.exists, _MASKED):
        linux.mount("/dev/null", path, None, linux.MS_BIND)
    for path in filter(os.path.exists, _READ_ONLY):
        linux.mount(path, path, None, linux.MS_BIND | linux.MS_REC)
        flags = linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY
        linux.mount(None, path, None, flags | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    os.umask(0o022)
    keep = frozenset(f"{_PODMANS} SYS_CHROOT".split()) if argv[0] == "podman" else caps.DEFAULT
    caps.bound(keep)
    # Docker's filter is installed without no_new_privs, so while there is still CAP_SYS_ADMIN.
    if argv[0] != "unfiltered":
        linux.seccomp(_program(keep, _PODMAN_ALLOWS if argv[0] == "podman" else ""))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execvp(argv[1], argv[1:])


def _program(keep: frozenset[str], more: str = "") -> bytes:
    """Docker's profile, in which `more` calls are allowed."""
    document = json.loads(PROFILE.read_bytes())
    document["syscalls"].insert(0, {"names": more.split(), "action": "SCMP_ACT_ALLOW"})
    text = json.dumps(document).encode()
    return profile.program(text, linux.MACHINE, keep, os.uname().release)


if __name__ == "__main__":
    main(sys.argv[1:])
