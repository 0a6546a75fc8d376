"""Whoever started a container, in its /etc/passwd and /etc/group: what `--userns=keep-id` adds.

Runs in the child, before pivot_root. The lines are written into the container's own copy of the two
files, as podman does it, so that programs in it may go on to change them; they stay there.
"""

from __future__ import annotations

import os
import stat

from rootless import inroot, linux
from rootless.record import Record
from rootless.sandbox.quoting import below, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Listed(Record):
    """Add the user and the group, where the image has none with that number: `name` is theirs, or
    the number's where another has it there.
    """

    uid: int
    gid: int
    name: str = ""
    home: str = "/"

    call = "openat2(2), write(2)"

    def describe(self) -> str:
        return f"list uid {self.uid} and gid {self.gid} in its /etc/passwd and /etc/group"

    def shell(self) -> tuple[str, ...]:
        lines = []
        for path, number, text in self._lines(self.name):
            file = quote(below(path))
            known = f"cut -d: -f3 {file} | grep -qx {number}"
            lines.append(
                f"[ -L {file} ] || [ ! -f {file} ] || {known} || echo {quote(text)} >> {file}"
            )
        return tuple(lines)

    def apply(self, newroot: Newroot) -> None:
        for path, number, text in self._lines(self.name):
            there = inroot.read_file(newroot.fd, path).decode(errors="surrogateescape")
            entries = [line.split(":") for line in there.splitlines()]
            if any(entry[2:3] == [str(number)] for entry in entries):
                continue
            if any(entry[0] == self.name for entry in entries):
                text = next(one for file, _, one in self._lines("") if file == path)  # noqa: PLW2901
            missing = "\n" if there and not there.endswith("\n") else ""
            _append(newroot.fd, path, f"{missing}{text}\n".encode())

    def _lines(self, name: str) -> tuple[tuple[str, int, str], ...]:
        """(file, number, line) of both."""
        note = "" if name else "container user"
        user, group = name or self.uid, name or self.gid
        return (
            ("/etc/passwd", self.uid, f"{user}:*:{self.uid}:{self.gid}:{note}:{self.home}:/bin/sh"),
            ("/etc/group", self.gid, f"{group}:x:{self.gid}:{user}"),
        )


def _append(root_fd: int, path: str, content: bytes) -> None:
    """To a file of the image, if that is one: nobody must have the line."""
    try:
        fd = linux.openat2(root_fd, path.lstrip("/"), _APPEND, linux.RESOLVE_IN_ROOT)
    except OSError:
        return
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.write(fd, content)
    except OSError:
        pass
    finally:
        os.close(fd)
