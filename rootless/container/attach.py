"""Attaching to a container that a monitor runs: this process's streams and its, over its socket.

Runs in the command's process, in no namespace. Ending it, in whatever way, does not end the
container. In a terminal the detach keys leave it, as docker's do.
"""

from __future__ import annotations

import _signal
import os
import select
from errno import EIO

from rootless.container import frames, records, terminal
from rootless.container.console import Outlet
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

BOTH = frozenset({frames.OUTPUT, frames.ERRORS})
DETACH_KEYS = "ctrl-p,ctrl-q"
_CHUNK = 1 << 16
_FAREWELL = 5000  # milliseconds for the container's side to take the last words
_ROOM = 1 << 18
_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


class Keys:
    """Watches for a sequence among what is typed: what may be its beginning is held back."""

    def __init__(self, text: str) -> None:
        """`text` as in ctrl-p,ctrl-q or a,b; "" for no sequence. UsageError."""
        self._wanted = bytes(_key(one, text) for one in text.split(",")) if text else b""
        self._seen = 0

    def pass_on(self, content: bytes) -> tuple[bytes, bool]:
        """What of it is for the container, and whether the sequence is complete."""
        passed = bytearray()
        for byte in content:
            if self._wanted and byte == self._wanted[self._seen]:
                self._seen += 1
                if self._seen == len(self._wanted):
                    return bytes(passed), True
                continue
            passed += self._wanted[: self._seen]
            self._seen = int(bool(self._wanted) and byte == self._wanted[0])
            passed += b"" if self._seen else bytes((byte,))
        return bytes(passed), False


def _key(name: str, text: str) -> int:
    letter = name.removeprefix("ctrl-").lower()
    if name.startswith("ctrl-") and len(letter) == 1:
        if "a" <= letter <= "z":
            return ord(letter) - ord("a") + 1
        if letter in _CONTROL:
            return _CONTROL[letter]
    elif len(name) == 1 and name.isascii():
        return ord(name)
    raise UsageError(
        f"invalid detach keys: {text!r}", hint="write them as in ctrl-p,ctrl-q or ctrl-x,x"
    )


def converse(
    connection: socket,
    *,
    has_terminal: bool,
    typed: bool,
    keys: Keys,
    shown: frozenset[int] = BOTH,
) -> int | None:
    """Carry bytes until the container ends; its exit status, or None when the user has left it.

    `typed` says whether it is given what is typed here, `shown` which of frames.OUTPUT and ERRORS
    is shown. A container whose monitor is killed has been killed, too.
    """
    raw = has_terminal and typed and os.isatty(0)
    before = terminal.make_raw(0) if raw else None
    client = _Conversation(connection, keys if raw else Keys(""), typed=typed, shown=shown)
    try:
        if has_terminal:
            client.follow_size()
        while not client.is_over:
            client.turn()
        client.finish()
    finally:
        if before is not None:
            terminal.restore(0, before)
        connection.close()
    return None if client.has_left else client.status


class _Conversation:
    """One attachment; `status` is the container's once it has ended, if the user has not left."""

    def __init__(
        self, connection: socket, keys: Keys, *, typed: bool, shown: frozenset[int]
    ) -> None:
        self.status = records.KILLED
        self.is_over = False
        self.has_left = False
        self._connection = connection
        self._keys = keys
        self._typed = typed
        self._frames = frames.Frames()
        connection.setblocking(False)  # noqa: FBT003 - by position
        self._out = Outlet(connection.fileno())
        self._screens = {kind: Screen(kind) for kind in shown}

    def follow_size(self) -> None:
        """Tell the size of our terminal, now and whenever it changes."""

        def tell(*_: object) -> None:
            if size := terminal.size(1):
                self._out.held += frames.pack(frames.RESIZE, size)

        tell()
        _signal.signal(_signal.SIGWINCH, tell)

    def turn(self) -> None:
        """Wait for something and do it. Nobody waits here for anybody else."""
        fd, ready = self._connection.fileno(), self._wait()
        for screen in self._screens.values():
            if ready.get(screen.fd, 0) and screen.held:
                screen.show()
        if ready.get(fd, 0) & select.POLLOUT and not self._out.write():
            self.is_over = True
        if ready.get(fd, 0) & ~select.POLLOUT:
            self._receive()
        if ready.get(0, 0) and self._typed:
            self._type()

    def _wait(self) -> dict[int, int]:
        """Descriptor → what poll(2) says of it."""
        fd = self._connection.fileno()
        wanted = {fd: select.POLLOUT if self._out.held else 0}
        if not any(len(one.held) >= _ROOM for one in self._screens.values()):
            wanted[fd] |= select.POLLIN
        if self._typed and len(self._out.held) < _ROOM:
            wanted[0] = select.POLLIN
        for screen in self._screens.values():
            if screen.held:
                wanted[screen.fd] = wanted.get(screen.fd, 0) | select.POLLOUT
        poll = select.poll()
        for one, events in wanted.items():
            poll.register(one, events)
        return dict(poll.poll(1000))  # a size that has changed is told then at the latest

    def finish(self) -> None:
        """Show what has come, and hand over what was typed before the user left."""
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLOUT)
        while self.has_left and self._out.held and poll.poll(_FAREWELL) and self._out.write():
            pass
        for screen in self._screens.values():
            poll = select.poll()
            poll.register(screen.fd, select.POLLOUT)
            while screen.held:
                poll.poll()
                screen.show()

    def _receive(self) -> None:
        try:
            content = self._connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if not content:
            self.is_over = True
        for kind, told in self._frames.feed(content):
            if kind == frames.STATUS:
                self.status = int.from_bytes(told, "big")
                self.is_over = True
            elif kind in self._screens:
                self._screens[kind].held += told

    def _type(self) -> None:
        try:
            content = os.read(0, _CHUNK)
        except OSError:  # a terminal's way to say that it is closed
            content = b""
        if not content:
            self._typed = False
            self._out.held += frames.pack(frames.END_OF_INPUT)
            return
        passed, is_enough = self._keys.pass_on(content)
        if passed:
            self._out.held += frames.pack(frames.INPUT, passed)
        self.has_left = is_enough
        self.is_over = self.is_over or is_enough


class Screen(Outlet):
    """A stream of this process's that something is shown on."""

    def __init__(self, fd: int) -> None:
        super().__init__(terminal.unshared(fd))

    def show(self) -> None:
        """As much as is taken at once; OSError where nobody looks but at a terminal."""
        try:
            del self.held[: os.write(self.fd, self.held[: self.piece])]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != EIO:
                raise
            self.held.clear()
