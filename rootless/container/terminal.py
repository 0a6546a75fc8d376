"""A terminal between the caller's and the container's: bytes both ways, sizes one way.

Runs in the CLI process, which has the master end of the container's own terminal. Each way has a
bounded buffer and neither ever waits for the other: whoever pastes a megabyte at a command that
does not read, or does not read what it prints, stops only that. The caller's terminal is raw
meanwhile, so Ctrl-C is a byte for the container, and is restored whatever happens short of
`kill -9`.
"""

from __future__ import annotations

import _signal
import fcntl
import os
import select
import sys
import termios
from errno import EINTR, EIO

from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.sandbox.spawn import Child

    Sift = Callable[[bytes], tuple[bytes, bool]]

SIZE = 8  # bytes of a struct winsize
_MESSAGE_SPACE = 64
_MSG_CMSG_CLOEXEC = 0x40000000
_ROOM = 1 << 16  # bytes that one way may hold
_ENDED, _GIVEN_UP, _LEFT = "ended", "given up", "left"  # how a conversation ends
_PIECE = 4096  # what a pipe that can be written to takes without waiting: pipe(7)
END_OF_INPUT = b"\x04"
_PATIENCE = 3  # Ctrl-C in a row
IN_VAIN = "got 3 Ctrl-C, which the command does not listen to: ended it"
_SIGINT_BIT = 1 << (_signal.SIGINT - 1)


class LeftError(RootlessError):
    """The user has left with the detach keys."""

    def __init__(self) -> None:
        super().__init__("read escape sequence")


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
        content, messages, _, _ = self._ours.recvmsg(1, _MESSAGE_SPACE, _MSG_CMSG_CLOEXEC)
        self._ours.close()
        return int.from_bytes(messages[0][2][:4], "little") if content else -1


class Own:
    """The streams of `monitor.supervise` for a container with a terminal, in the foreground.

    `tell` is given our own words, `keep` what the container shows. `sift` says what of what is
    typed is for the container, and whether the user leaves it with that: then `follow` raises
    LeftError, and the container goes on.
    """

    def __init__(
        self,
        *,
        interactive: bool,
        tell: Callable[[str], object],
        keep: Callable[[bytes], object] = lambda _: None,
        sift: Sift = lambda content: (content, False),
    ) -> None:
        self._interactive = interactive
        self._tell = tell
        self._keep = keep
        self._sift = sift
        self._channel = Channel()
        self._master = -1

    @property
    def terminal_fd(self) -> int:
        """Where the child sends its terminal."""
        return self._channel.child_fd

    def open(self) -> tuple[int, int, int]:
        """What the child has until its terminal is there."""
        if self._master >= 0:
            os.close(self._master)
            self._channel = Channel()
        return (0 if self._interactive else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)), 1, 2

    def start(self) -> None:
        """The terminal is there, or the child has said why not."""
        self._master = self._channel.receive()

    def follow(self, child: Child) -> int:
        """Carry bytes until the container ends; its exit status."""
        how = self._converse()
        if how == _LEFT:
            raise LeftError
        if how == _GIVEN_UP:
            self._tell(IN_VAIN)
            child.kill()
        return child.wait()

    def _converse(self) -> str:
        """In our own terminal, which is made what it was before."""
        master = self._master
        before = make_raw(0) if self._interactive and os.isatty(0) else None
        try:
            _follow_size(master)
            os.set_blocking(master, False)
            typed = None
            if self._interactive:
                typed = _Way(0, master, last=END_OF_INPUT, sift=self._sift)
            return _carry(typed, _Way(master, unshared(1)), self._keep)
        finally:
            if before is not None:
                restore(0, before)


class _Way:
    """Bytes from one descriptor to another: read while there is room, written when that can be.

    `last` is written when there is no more to read; `sift` is as of `Own`.
    """

    def __init__(
        self, source: int, target: int, *, last: bytes = b"", sift: Sift | None = None
    ) -> None:
        self.source, self.target = source, target
        self.is_open = True
        self.is_left = False
        self._last = last
        self._sift = sift
        self._held = bytearray()

    @property
    def wants_more(self) -> bool:
        """Whether to read."""
        return self.is_open and len(self._held) < _ROOM

    @property
    def has_some(self) -> bool:
        """Whether to write."""
        return bool(self._held)

    def read(self) -> bytes:
        """What came; nothing at the end, which a terminal tells by EIO."""
        try:
            content = os.read(self.source, _ROOM)
        except BlockingIOError:
            return b""
        except OSError:
            content = b""
        self.is_open = bool(content)
        if self._sift and content:
            content, self.is_left = self._sift(content)
            self._held += content
        else:
            self._held += content or self._last
        return content

    def write(self) -> None:
        """Write as much as is taken at once; what nobody can receive any more is dropped."""
        try:
            del self._held[: os.write(self.target, self._held[:_PIECE])]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != EIO:
                raise
            self._held.clear()


class Outliving(Own):
    """The same for what goes on when its caller leaves, or is killed: a process keeps its terminal
    open, and reads what nobody reads any more.
    """

    def start(self) -> None:
        """The terminal is there, and has a keeper."""
        super().start()
        if self._master < 0:
            return
        from rootless.container import detached

        gone, here = os.pipe()

        def keep(report: detached.Report) -> None:
            os.close(here)
            report.running()
            os.read(gone, 1)
            os.set_blocking(self._master, True)
            try:
                while os.read(self._master, _ROOM):
                    pass
            except OSError:  # a terminal's way to say that it is closed
                pass

        detached.begin(keep, "the keeper of the terminal")
        os.close(gone)  # `here` is closed by our end


def _carry(typed: _Way | None, shown: _Way, keep: Callable[[bytes], object]) -> str:
    """Until the container's side is closed and all of it is shown, or the user is gone."""
    master, patience = shown.source, Patience()
    while shown.is_open or shown.has_some:
        ready = _wait(typed, shown)
        if ready.get(shown.target, 0) and shown.has_some:
            shown.write()
        if ready.get(master, 0) & ~select.POLLOUT and shown.wants_more:
            keep(shown.read())
        if typed is None:
            continue
        if ready.get(master, 0) & (select.POLLOUT | select.POLLHUP) and typed.has_some:
            typed.write()
        if ready.get(typed.source, 0) and typed.wants_more:
            content = typed.read()
            if patience.ends(content, master):
                return _GIVEN_UP
            if typed.is_left:
                return _LEFT
    return _ENDED


def _wait(typed: _Way | None, shown: _Way) -> dict[int, int]:
    """Wait until something can be done: descriptor → what poll(2) says of it."""
    wanted: dict[int, int] = {}
    for way in filter(None, (typed, shown)):
        if way.wants_more:
            wanted[way.source] = wanted.get(way.source, 0) | select.POLLIN
        if way.has_some:
            wanted[way.target] = wanted.get(way.target, 0) | select.POLLOUT
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    return dict(poll.poll())


class Patience:
    """Somebody's who types Ctrl-C at a command."""

    def __init__(self) -> None:
        self._left = _PATIENCE

    def ends(self, content: bytes, master: int) -> bool:
        """Whether it is at its end with this, typed at the terminal `master`."""
        self._left = self._left - len(content) if _is_in_vain(content, master) else _PATIENCE
        return self._left <= 0


def _is_in_vain(content: bytes, master: int) -> bool:
    """Whether this is Ctrl-C for a process 1 with no handler, which the kernel shields from it.

    A shell, an editor or whatever else catches the signal or reads the key is none of our business.
    """
    attributes = termios.tcgetattr(master)
    interrupt = attributes[6][termios.VINTR]
    if not attributes[3] & termios.ISIG or content.strip(interrupt) or not content:
        return False
    leader = int.from_bytes(fcntl.ioctl(master, termios.TIOCGPGRP, bytes(4)), sys.byteorder)
    try:
        with open(f"/proc/{leader}/status", "rb", buffering=0) as file:
            status = dict(line.split(b":", 1) for line in file.read().splitlines())
    except OSError:
        return False
    listens = int(status[b"SigCgt"], 16) | int(status[b"SigIgn"], 16)
    return status[b"NSpid"].split()[-1] == b"1" and not listens & _SIGINT_BIT


def unshared(fd: int) -> int:
    """A terminal opened anew: that nobody waits for it is then not for all who share `fd`."""
    if not os.isatty(fd):
        return fd
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:  # another user's, as after `su`
        return fd


def _follow_size(master: int) -> None:
    """Give the container's terminal the size of ours, now and whenever ours changes."""
    if not os.isatty(1):
        return

    def follow(*_: object) -> None:
        resize(master, size(1))

    follow()
    _signal.signal(_signal.SIGWINCH, follow)


def size(fd: int) -> bytes:
    """A terminal's size, as the kernel's struct winsize (ioctl_tty(2)); nothing of what is none."""
    try:
        return fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(SIZE))
    except OSError:
        return b""


def resize(master: int, size: bytes) -> None:
    """Give a terminal a size."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)


def make_raw(fd: int) -> list[Any]:
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
    _set(fd, raw)
    return before


def _set(fd: int, attributes: list[Any]) -> None:
    """In the background it waits to be brought to the front, whatever signals come meanwhile."""
    while True:
        try:
            termios.tcsetattr(fd, termios.TCSADRAIN, attributes)
        except termios.error as error:
            if error.args[0] != EINTR:
                raise
        else:
            return


def restore(fd: int, attributes: list[Any]) -> None:
    """Make a terminal what it was."""
    try:
        _set(fd, attributes)
    except termios.error:  # it was closed meanwhile
        pass
