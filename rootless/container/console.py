"""A container's standard streams in the hands of its monitor: kept in the log, carried to and from
whoever is attached.

Runs in the monitor's process. One loop waits for everything: what the container writes, who comes
to its `attach` socket, what they type, its end. Nobody waits for anybody else: each way has a
bounded buffer, and only where one is full is no more read of what fills it. The socket is in the
container's folder, which only its owner can enter; what comes over it is not believed further than
`frames` does.
"""

from __future__ import annotations

import os
import select
from _socket import AF_UNIX, SOCK_STREAM, socket
from errno import EIO

from rootless import process
from rootless.container import frames
from rootless.container import terminal as terminals
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.logs import Log
    from rootless.sandbox.spawn import Child

SOCKET = "attach"
_ROOM = 1 << 18  # bytes that wait for one reader
_PIECE = 4096  # what a pipe that can be written to takes without waiting: pipe(7)
_CHUNK = 1 << 16
_STREAMS = {frames.OUTPUT: "stdout", frames.ERRORS: "stderr"}
_FAREWELL = 5000  # milliseconds for who is attached to take the last words
_NULL = os.O_RDWR | os.O_CLOEXEC
_IN_VAIN = f"\r\n{terminals.IN_VAIN}\r\n".encode()


class Console:
    """The streams of `monitor.supervise` for a container whose output is kept, or shown later.

    `front` is the socket of a command that is attached from the beginning, and the leash that the
    container is on, or -1 (see `front`). `local` says that this process's own standard streams are
    attached, too. `keeps_input` says that its input goes on when that of one who is attached ends:
    the next one types, too.
    """

    def __init__(
        self,
        folder: str,
        log: Log | None,
        *,
        terminal: bool,
        interactive: bool,
        keeps_input: bool = False,
        local: bool = False,
        front: tuple[socket, int] | None = None,
    ) -> None:
        self._folder = folder
        self._log = log
        self._has_terminal = terminal
        self._interactive = interactive
        self._keeps_input = keeps_input
        self._channel: terminals.Channel | None = None
        self._server: socket | None = None
        self._clients = [_Client(front[0])] if front else []
        self._leash = front[1] if front else -1
        self._patience = terminals.Patience()
        self._local = {kind: Outlet(kind) for kind in _STREAMS} if local else {}
        self._typed_here = local and interactive
        self._theirs: list[int] = []
        self._sources: dict[int, int] = {}  # descriptor → frames.OUTPUT or ERRORS
        self._input: Outlet | None = None

    @property
    def terminal_fd(self) -> int:
        """Where the container sends its terminal, or -1."""
        return self._channel.child_fd if self._channel else -1

    def open(self) -> tuple[int, int, int]:
        """New pipes for the next start; with a terminal, the container makes that."""
        if self._server is None:
            self._server = _listen(self._folder)
        null = os.open("/dev/null", _NULL)
        self._theirs = [null]
        if self._has_terminal:
            self._channel = terminals.Channel()
            return null, null, null
        out, err = (self._source(kind) for kind in _STREAMS)
        return (self._sink() if self._interactive else null), out, err

    def start(self) -> None:
        """The container has its ends."""
        for fd in self._theirs:
            os.close(fd)
        if self._channel:
            master = self._channel.receive()
            if master >= 0:
                os.set_blocking(master, False)
                self._sources = {master: frames.OUTPUT}
                self._input = Outlet(master) if self._interactive else None

    def follow(self, child: Child) -> int:
        """Carry everything until the container has ended; its exit status."""
        pidfd = os.pidfd_open(child.pid)
        while not self._turn(pidfd, child):
            pass
        os.close(pidfd)
        self._drain()
        status = child.wait()
        self._say_farewell(status)
        return status

    def _source(self, kind: int) -> int:
        """A pipe to read from here; the container's end."""
        read_fd, write_fd = process.pipe()
        os.set_blocking(read_fd, False)
        self._sources[read_fd] = kind
        self._theirs.append(write_fd)
        return write_fd

    def _sink(self) -> int:
        """A pipe to write to here; the container's end."""
        read_fd, write_fd = process.pipe()
        os.set_blocking(write_fd, False)
        self._input = Outlet(write_fd)
        self._theirs.append(read_fd)
        return read_fd

    def _turn(self, pidfd: int, child: Child) -> bool:
        """Wait for something and do it; whether that was the container's end."""
        ready = self._wait(pidfd)
        if ready.get(self._leash, 0):
            self._heed_leash(child)
        for outlet in (*self._local.values(), *([self._input] if self._input else [])):
            if ready.get(outlet.fd, 0) & ~select.POLLIN and outlet.held:
                self._write(outlet)
        for fd in [fd for fd in self._sources if ready.get(fd, 0) & ~select.POLLOUT]:
            self._read(fd)
        for client in [one for one in self._clients if ready.get(one.fd, 0)]:
            self._serve(client, ready[client.fd], child)
        if self._typed_here and ready.get(0, 0) & ~select.POLLOUT:
            self._type()
        if self._server and ready.get(self._server.fileno(), 0):
            connection, _ = self._server._accept()  # type: ignore[attr-defined]
            self._clients.append(_Client(socket(fileno=connection)))
        return bool(ready.get(pidfd, 0))

    def _wait(self, pidfd: int) -> dict[int, int]:
        """Descriptor → what poll(2) says of it."""
        wanted = {pidfd: select.POLLIN}
        if self._server:
            wanted[self._server.fileno()] = select.POLLIN
        if self._leash >= 0:
            wanted[self._leash] = select.POLLIN
        if not self._is_full():
            wanted.update(dict.fromkeys(self._sources, select.POLLIN))
        has_room = self._input is None or len(self._input.held) < _ROOM
        if self._typed_here and has_room:
            wanted[0] = select.POLLIN
        for client in self._clients:
            wanted[client.fd] = select.POLLIN if has_room else 0
        outlets = (*self._local.values(), *self._clients, *([self._input] if self._input else []))
        for outlet in outlets:
            if outlet.held:
                wanted[outlet.fd] = wanted.get(outlet.fd, 0) | select.POLLOUT
        poll = select.poll()
        for fd, events in wanted.items():
            poll.register(fd, events)
        return dict(poll.poll())

    def _is_full(self) -> bool:
        """Whether somebody has not taken yet what was written long ago."""
        return any(len(one.held) >= _ROOM for one in (*self._local.values(), *self._clients))

    def _read(self, fd: int) -> None:
        """Take what the container has written, to where it belongs."""
        try:
            content = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:  # a terminal's way to say that it is closed
            if error.errno != EIO:
                raise
            content = b""
        if not content:
            self._close_source(fd)
            return
        kind = self._sources[fd]
        if self._log:
            self._log.write(_STREAMS[kind], content)
        if outlet := self._local.get(kind):
            outlet.held += content
        for client in self._clients:
            client.held += frames.pack(kind, content)

    def _close_source(self, fd: int) -> None:
        del self._sources[fd]
        if self._input and self._input.fd == fd:
            self._input = None
        os.close(fd)

    def _write(self, outlet: Outlet) -> None:
        """Hand on as much as is taken at once. Where nobody reads, the container is to know."""
        if outlet.write():
            return
        if outlet is self._input:
            self._end_input()
            return
        kind = next(kind for kind, one in self._local.items() if one is outlet)
        del self._local[kind]
        for fd in [fd for fd, its in self._sources.items() if its == kind]:
            self._close_source(fd)

    def _type(self) -> None:
        content = os.read(0, _CHUNK)
        if content:
            self._put_in(content)
        else:
            self._typed_here = False
            self._end_input()

    def _put_in(self, content: bytes) -> None:
        if self._input and not self._input.is_ending:
            self._input.held += content

    def _end_input(self) -> None:
        """No more comes: a pipe is closed when all is taken, a terminal told by its own sign."""
        if self._input is None:
            return
        if self._has_terminal:
            self._input.held += terminals.END_OF_INPUT
        elif self._input.held and not self._input.is_ending:
            self._input.is_ending = True
        else:
            os.close(self._input.fd)
            self._input = None

    def _heed_leash(self, child: Child) -> None:
        """Its command has let go of it, or is gone."""
        if not os.read(self._leash, 1):
            child.kill()
        os.close(self._leash)
        self._leash = -1

    def _serve(self, client: _Client, events: int, child: Child) -> None:
        """Somebody who is attached can be written to, has said something, or has left."""
        if events & select.POLLOUT and client.held and not client.write():
            self._leave(client)
            return
        if not events & ~select.POLLOUT:
            return
        try:
            content = client.socket.recv(_CHUNK)
            for kind, told in client.frames.feed(content):
                self._heed(kind, told)
                if self._leash >= 0 and kind == frames.INPUT:
                    self._lose_patience(client, told, child)
        except BlockingIOError:
            return
        except (OSError, RootlessError):
            content = b""
        if not content:
            self._leave(client)

    def _heed(self, kind: int, told: bytes) -> None:
        if kind == frames.INPUT:
            self._put_in(told)
        elif kind == frames.END_OF_INPUT and not self._keeps_input:
            self._end_input()
        elif kind == frames.RESIZE and self._has_terminal and len(told) == terminals.SIZE:
            for master in self._sources:
                terminals.resize(master, told)

    def _lose_patience(self, client: _Client, typed: bytes, child: Child) -> None:
        """End what does not listen to the one who waits for it."""
        if self._has_terminal and self._input and self._patience.ends(typed, self._input.fd):
            client.held += frames.pack(frames.ERRORS, _IN_VAIN)
            child.kill()

    def _leave(self, client: _Client) -> None:
        self._clients.remove(client)
        client.socket.close()

    def _drain(self) -> None:
        """What was written before the end; what others still hold open is not waited for."""
        while self._sources:
            before = dict(self._sources)
            poll = select.poll()
            for fd in before:
                poll.register(fd, select.POLLIN)
            ready = dict(poll.poll(0))
            for fd in ready:
                self._read(fd)
            for fd in [fd for fd in self._sources if fd not in ready]:
                self._close_source(fd)
            self._flush_local()
        if self._input:
            os.close(self._input.fd)
            self._input = None
        self._flush_local()
        if self._log:
            self._log.close()

    def _flush_local(self) -> None:
        """All of it: this process has nothing else to do any more."""
        for outlet in self._local.values():
            while outlet.held and outlet.write():
                pass

    def _say_farewell(self, status: int) -> None:
        for client in self._clients:
            client.held += frames.pack(frames.STATUS, status.to_bytes(4, "big"))
            poll = select.poll()
            poll.register(client.fd, select.POLLOUT)
            while client.held and poll.poll(_FAREWELL) and client.write():
                pass
            client.socket.close()
        self._clients = []


class Outlet:
    """A descriptor to write to, and what waits for it."""

    piece = _PIECE

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.held = bytearray()
        self.is_ending = False

    def write(self) -> bool:
        """As much as is taken at once; whether anybody is there to take it."""
        try:
            del self.held[: os.write(self.fd, self.held[: self.piece])]
        except BlockingIOError:
            pass
        except OSError:
            self.held.clear()
            return False
        return not (self.is_ending and not self.held)


class _Client(Outlet):
    """Somebody who is attached."""

    piece = _CHUNK  # no write to a socket that does not block waits

    def __init__(self, connection: socket) -> None:
        super().__init__(connection.fileno())
        self.socket = connection
        connection.setblocking(False)  # noqa: FBT003 - by position
        self.frames = frames.Frames()


def _listen(folder: str) -> socket:
    """The socket in a container's folder, by a path that is short enough for any."""
    server = socket(AF_UNIX, SOCK_STREAM)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.unlink(SOCKET, dir_fd=fd)  # of a monitor that was killed
        except FileNotFoundError:
            pass
        server.bind(f"/proc/self/fd/{fd}/{SOCKET}")
        server.listen(16)
    finally:
        os.close(fd)
    return server


def connect(folder: str) -> socket:
    """The other end; OSError where nobody listens."""
    client = socket(AF_UNIX, SOCK_STREAM)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        client.connect(f"/proc/self/fd/{fd}/{SOCKET}")
    finally:
        os.close(fd)
    return client
