"""A machine of the field, made of namespaces: `python -m tests.support.field JSON COMMAND…`.

The command runs as the same user, in a user namespace two below: in the one between the mounts are
made that such a machine has. In the inner one the user has the uid that it has outside, root is
nobody's, and newuidmap (a copy on a tmpfs, setuid where that is asked for) works. See `Machine`.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

from rootless import linux, process, userns
from rootless.sandbox import syscalls
from tests.support import machine

_UNAME26 = 0x0020000
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


PROOT = "/usr/bin/proot"


class Machine(NamedTuple):
    """What is other than usual there.

    `shown` are folders that have these files only, by their names, and `files` what is in files
    that every machine has; `namespaces` is user.max_user_namespaces; `newuidmap` is setuid, plain
    or missing; `ranges` the subuid lines; `denied` are system calls and the errno they end with;
    `mounts` are a kind, a place, flags and options each; `hidden` are files that are masked.
    """

    shown: dict[str, dict[str, str]] = {}
    files: dict[str, str] = {}
    namespaces: int | None = None
    newuidmap: str = "setuid"
    ranges: str | None = None
    denied: dict[str, int] = {}
    mounts: tuple[tuple[str, str, int, str], ...] = ()
    hidden: tuple[str, ...] = ()
    no_new_privs: bool = False
    old_kernel: bool = False

    @property
    def prefix(self) -> tuple[str, ...]:
        """What starts a command there."""
        return (sys.executable, "-m", "tests.support.field", json.dumps(self._asdict()))


def main(argv: list[str]) -> None:
    """Become that machine, and the command."""
    there = Machine(**json.loads(argv[0]))
    user, group = os.getuid(), os.getgid()
    userns.enter()
    _mount(there, user)
    _go_below(user, group)
    if there.namespaces is not None:
        Path("/proc/sys/user/max_user_namespaces").write_text(str(there.namespaces))
    if there.denied:
        linux.seccomp(_filter(there.denied))
    if there.no_new_privs:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if there.old_kernel:
        linux._libc.personality(_UNAME26)
    os.execvp(argv[1], argv[1:])


def _mount(there: Machine, user: int) -> None:
    files = Path("/mnt")
    linux.mount("tmpfs", str(files), "tmpfs", 0, "mode=755")
    for name in ("newuidmap", "newgidmap"):
        _program(there.newuidmap, files / name, machine.program(name))
    lines = f"{user}:100000:20000\n" if there.ranges is None else there.ranges
    for name in ("subuid", "subgid"):
        _cover(f"/etc/{name}", files / name, lines)
    for path, content in there.files.items():
        _cover(path, files / Path(path).name, content)
    for source, target, flags, options in there.mounts:
        linux.mount(source, target, source, flags, options)
    for path in filter(os.path.exists, there.hidden):
        linux.mount("/dev/null", path, None, linux.MS_BIND)
    for folder, contents in there.shown.items():
        linux.mount("tmpfs", folder, "tmpfs", 0, "mode=755")
        for name, value in contents.items():
            file = Path(folder, name)
            file.parent.mkdir(exist_ok=True)
            file.write_text(value)


def _cover(path: str, file: Path, content: str) -> None:
    file.write_text(content)
    linux.mount(str(file), path, None, linux.MS_BIND)


def _program(how: str, copy: Path, original: str | None) -> None:
    if original is None:
        return
    shutil.copyfile(original, copy)
    os.chown(copy, 1, 1)
    copy.chmod({"setuid": 0o4755, "plain": 0o755, "missing": 0o644}[how])
    linux.mount(str(copy), original, None, linux.MS_BIND)


def _go_below(user: int, group: int) -> None:
    """Into one more user namespace, where this user is who it was outside."""
    maps = [((one, 0, 1), (0, 1, 1000), (100000, 1001, 20000)) for one in (user, group)]
    read_fd, write_fd = os.pipe()
    target = os.getpid()

    def write(_: Any) -> None:
        os.close(write_fd)
        os.read(read_fd, 1)
        userns.write_maps(target, userns.IdMap(*maps))

    helper = process.fork(write)
    linux.unshare(linux.CLONE_NEWUSER)
    os.close(write_fd)
    helper.result()
    helper.kill()


def _filter(denied: dict[str, int]) -> bytes:
    """load the number; each that is denied ends with its errno; all others are allowed."""
    code = [(0x20, 0, 0, 0)]
    numbers = syscalls.names(linux.MACHINE)
    for name, number in denied.items():
        code += [(0x15, 0, 1, numbers.index(name)), (0x06, 0, 0, _ERRNO | number)]
    return b"".join(struct.pack("<HBBI", *one) for one in [*code, (0x06, 0, 0, _ALLOW)])


if __name__ == "__main__":
    main(sys.argv[1:])
