"""What a command below proot gives away is recorded, as with one id: see `owners` and `oneid`.

The kernel hands chown(2) and its like to the parent of proot when proot has looked up their paths,
so these are this machine's own: what lies in the tree is recorded, and the rest is the kernel's.
So is what stat(2) tells of it. proot takes 0 for the user's own id. Runs in that parent,
which may do no more than the command itself; a crash leaves files that belong to root.
"""

from __future__ import annotations

import fcntl
import os
from _socket import AF_UNIX, SOCK_STREAM, socket
from errno import EPERM, EXDEV

from rootless import linux
from rootless.sandbox.oneid import answering, calls, credentials, files, stats
from rootless.sandbox.oneid.caller import CONTINUE, Caller

_IDS = {"fchownat": (2, 3)}
"""Which arguments are ids; of the others the second and the third."""
_WITHIN = linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_BENEATH


def received(channel_fd: int) -> int:
    """The listener that the child has sent; -1 where there is none, for another answers already."""
    channel = socket(AF_UNIX, SOCK_STREAM, fileno=channel_fd)
    try:
        return answering.received(channel)
    finally:
        channel.close()


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
        request = bytearray(answering.REQUEST.size)
        try:
            fcntl.ioctl(self._listener, answering.RECEIVE, request)
            number, pid, _, call, machine, _, *arguments = answering.REQUEST.unpack(request)
            name = self._calls[machine, call]
            caller = _Traced(self._listener, number, pid, name, tuple(arguments))
            answer = answering.ANSWER.pack(number, 0, *self._of(caller))
            fcntl.ioctl(self._listener, answering.SEND, answer)
        except FileNotFoundError:  # the caller was killed meanwhile
            pass

    def _of(self, caller: Caller) -> tuple[int, int]:
        """An error of the call, negative, and the flags of the answer."""
        try:
            if caller.name in calls.STATS:
                answered = stats.answer(caller, self._looks) != CONTINUE
                return 0, 0 if answered else answering.GOES_ON
            files.chown(caller, self._now)
        except OSError as error:
            return (0, answering.GOES_ON) if error.errno == EXDEV else (-(error.errno or EPERM), 0)
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
