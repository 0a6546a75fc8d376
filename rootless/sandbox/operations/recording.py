"""What a command below proot gives away is recorded, as with one id: see `owners` and `oneid`.

The kernel hands chown(2) and its like to the parent of proot when proot has looked up their paths,
so these are this machine's own: what lies in the tree is recorded, and the rest is the kernel's.
So is what stat(2) tells of it. proot takes 0 for the user's own id. Runs in that parent,
which may do no more than the command itself; a crash leaves files that belong to root.
"""

from __future__ import annotations

import fcntl
import os
import struct
from _socket import AF_UNIX, SOCK_STREAM, SOL_SOCKET, socket
from errno import EPERM, EXDEV

from rootless import linux
from rootless.sandbox.oneid import calls, credentials, files, stats
from rootless.sandbox.oneid.caller import CONTINUE, Caller

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # ioctls of linux/seccomp.h
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_REQUEST = struct.Struct("<QIIiIQ6Q")
_ANSWER = struct.Struct("<QqiI")
_SCM_RIGHTS = 1
_IDS = {"fchownat": (2, 3)}
"""Which arguments are ids; of the others the second and the third."""
_WITHIN = linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_BENEATH


def received(channel_fd: int) -> int:
    """The listener that the child has sent; -1 where there is none, for another answers already."""
    channel = socket(AF_UNIX, SOCK_STREAM, fileno=channel_fd)
    _, ancillary, *_ = channel.recvmsg(1, 64)
    channel.close()
    for level, kind, content in ancillary:
        if (level, kind) == (SOL_SOCKET, _SCM_RIGHTS):
            return int.from_bytes(content[:4], "little")
    return -1


class Recorder:
    """Answers what `listener` tells of: each time that there is something to read."""

    def __init__(self, listener: int, tree: str) -> None:
        self._listener = listener
        self._calls = calls.numbers(linux.MACHINE)
        self._now = credentials.Table()[0]
        self._looks = stats.Looks()
        _Traced.top = os.fsencode(tree) + b"/"
        _Traced.top_fd = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.chdir("/proc")

    def answer(self) -> None:
        """One call."""
        request = bytearray(_REQUEST.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, request)
            number, pid, _, call, machine, _, *arguments = _REQUEST.unpack(request)
            name = self._calls[machine, call]
            caller = _Traced(self._listener, number, pid, name, tuple(arguments))
            answer = _ANSWER.pack(number, 0, *self._of(caller))
            fcntl.ioctl(self._listener, _SEND, answer)
        except FileNotFoundError:  # the caller was killed meanwhile
            pass

    def _of(self, caller: Caller) -> tuple[int, int]:
        """An error of the call, negative, and the flags of the answer."""
        try:
            if caller.name in calls.STATS:
                answered = stats.answer(caller, self._looks) != CONTINUE
                return 0, 0 if answered else _CONTINUE
            files.chown(caller, self._now)
        except OSError as error:
            return (0, _CONTINUE) if error.errno == EXDEV else (-(error.errno or EPERM), 0)
        return 0, 0


class _Traced(Caller):
    """A caller whose paths are this machine's; EXDEV for what does not lie in the tree."""

    top, top_fd = b"", -1

    def word(self, position: int) -> int:
        value = super().word(position)
        ids = _IDS.get(self.name, (1, 2))
        if position in ids and value == (os.geteuid(), os.getegid())[ids.index(position)]:
            return 0
        return value

    def open_path(self, at: int, path: bytes, flags: int) -> int:  # noqa: ARG002 - it is absolute
        if not path.startswith(self.top):
            raise OSError(EXDEV, os.strerror(EXDEV))
        name = path.removeprefix(self.top) or b"."
        return linux.openat2(self.top_fd, name, os.O_PATH | flags, _WITHIN)

    def share_root(self) -> None:
        """It is ours."""

    def open_fd(self, fd: int) -> int:
        found = super().open_fd(fd)
        if not (os.readlink(b"self/fd/%d" % found) + b"/").startswith(self.top):
            os.close(found)
            raise OSError(EXDEV, os.strerror(EXDEV))
        return found
