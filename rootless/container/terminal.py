"""A terminal between the caller's and the container's: bytes both ways, sizes one way.

Runs in the CLI process, which has the master end of the container's own terminal. The caller's
terminal is raw meanwhile, so Ctrl-C is a byte for the container, and is restored whatever
happens short of `kill -9`.
"""

from __future__ import annotations

import _signal
import fcntl
import os
import select
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.sandbox.spawn import Child

_MESSAGE_SPACE = 64


class Channel:
    """The socket over which the child sends the master end of its terminal."""

    def __init__(self) -> None:
        from _socket import AF_UNIX, SOCK_STREAM, socketpair

        self._ours, self._theirs = socketpair(AF_UNIX, SOCK_STREAM)

    @property
    def child_fd(self) -> int:
        """The child's end."""
        return self._theirs.fileno()

    def receive(self) -> int:
        """The master end, once the child has sent it; -1 when it has ended without."""
        self._theirs.close()
        content, messages, _, _ = self._ours.recvmsg(1, _MESSAGE_SPACE)
        self._ours.close()
        return int.from_bytes(messages[0][2][:4], "little") if content else -1


def converse(child: Child, master: int, *, interactive: bool) -> int:
    """Carry bytes until the container ends; its exit status."""
    is_terminal = os.isatty(0)
    before = _make_raw(0) if interactive and is_terminal else None
    try:
        _follow_size(master)
        _carry(master, read_stdin=interactive)
        return child.wait()
    finally:
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _carry(master: int, *, read_stdin: bool) -> None:
    """Until the container's side is closed: reading then gives EIO."""
    poll = select.poll()
    poll.register(master, select.POLLIN)
    if read_stdin:
        poll.register(0, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            try:
                content = os.read(fd, 1 << 16)
            except OSError:
                content = b""
            if fd == master and not content:
                return
            if content:
                _write_all(1 if fd == master else master, content)
            else:
                poll.unregister(0)
                _write_all(master, b"\x04")


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _follow_size(master: int) -> None:
    """Give the container's terminal the size of ours, now and whenever ours changes."""
    if not os.isatty(1):
        return

    def resize(*_: object) -> None:
        size = fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)

    resize()
    _signal.signal(_signal.SIGWINCH, resize)


def _make_raw(fd: int) -> list[Any]:
    """cfmakeraw(3); the attributes from before."""
    before = termios.tcgetattr(fd)
    raw = termios.tcgetattr(fd)
    raw[0] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR
        | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    raw[1] &= ~termios.OPOST
    raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    termios.tcsetattr(fd, termios.TCSADRAIN, raw)
    return before
