"""Published ports of a container on bridges: a process that listens on the host and passes on.

It binds in the host's network and then moves into that of the bridges, where what it connects to a
container comes from the gateway's address. A port that cannot be had is an error before it does
anything else. Streams are passed on both ways, half-closed as they are; datagrams by a socket for
each client, forgotten after a while. Runs in a child of the container's monitor, in its user
namespace, and dies with it.
"""

from __future__ import annotations

import _socket
import os
import time

from rootless import linux, process
from rootless.network import datagrams, ports
from rootless.network.loop import GONE, READ, WRITE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.network.datagrams import Sender
    from rootless.network.ports import PortMapping

    Target = Callable[[], str]

_PIECE = 1 << 16
_MOST_FLOWS = 512  # clients of a UDP port at a time
_FLOW_PATIENCE = 90.0  # seconds without a datagram
_TICK = 15.0


def start(mappings: Sequence[PortMapping], bridges: str, target: Target) -> process.Child:
    """Begin to pass on what comes to `mappings`, which `ports.claim` gave; it listens on return.

    `bridges` is the path of the bridges' network namespace, `target` tells the container's address
    ("" while it has none). RootlessError for a port that is not to be had any more.
    """
    netns_fd = os.open(bridges, os.O_RDONLY | os.O_CLOEXEC)

    def body(send: process.Send) -> None:
        os.setsid()  # Ctrl-C in the terminal is for the container
        forwarder = _Forwarder(target)
        for mapping in mappings:
            for sock in ports.bound(mapping):
                forwarder.listen(mapping, sock)
        linux.setns(netns_fd, linux.CLONE_NEWNET)
        send("listening")
        forwarder.loop.run(forwarder.tick, _TICK)

    try:
        child = process.fork(body, "the process that forwards ports", (netns_fd,))
    finally:
        os.close(netns_fd)
    child.receive()
    return child


class _Forwarder:
    def __init__(self, target: Target) -> None:
        self.loop = Loop()
        self._target = target
        self._flows: dict[tuple[int, object], _Flow] = {}
        self._relays: set[_Relay] = set()
        self._most = _raise_limit() // 2 - _MOST_FLOWS

    def listen(self, mapping: PortMapping, sock: _socket.socket) -> None:
        """Pass on what comes to a bound socket."""
        sock.setblocking(False)  # noqa: FBT003 - it takes it by position
        if mapping.protocol == "tcp":
            sock.listen(128)
            self.loop.watch(sock.fileno(), READ, lambda _: self._accept(sock, mapping))
        else:
            datagrams.prepare(sock)
            self.loop.watch(sock.fileno(), READ, lambda _: self._receive(sock, mapping))

    def tick(self) -> bool:
        """Forget clients that were not heard of for a while."""
        if self._flows:
            oldest = time.monotonic() - _FLOW_PATIENCE
            for key in [key for key, flow in self._flows.items() if flow.used < oldest]:
                self._flows.pop(key).close()
        return True

    def _accept(self, sock: _socket.socket, mapping: PortMapping) -> None:
        try:
            fd, _ = sock._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        client = _socket.socket(fileno=fd)
        address = self._target()
        if not address or len(self._relays) >= max(self._most, 1):
            client.close()
            return
        _Relay(self.loop, self._relays, client, _connecting(address, mapping.container_port))

    def _receive(self, sock: _socket.socket, mapping: PortMapping) -> None:
        for _turn in range(64):  # then others have a turn
            try:
                content, sender, _ = datagrams.receive(sock)
            except OSError:
                return
            key = (sock.fileno(), sender[0])
            flow = self._flows.get(key) or self._flow(key, sock, sender, mapping)
            if flow:
                flow.send(content)

    def _flow(
        self, key: tuple[int, object], sock: _socket.socket, sender: Sender, mapping: PortMapping
    ) -> _Flow | None:
        address = self._target()
        if not address:
            return None
        if len(self._flows) >= _MOST_FLOWS:
            least = min(self._flows, key=lambda one: self._flows[one].used)
            self._flows.pop(least).close()
        flow = _Flow(self.loop, sock, sender, address, mapping.container_port)
        self._flows[key] = flow
        return flow


def _raise_limit() -> int:
    """As many descriptors as this process may have."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = min(hard, 1 << 16) if hard != resource.RLIM_INFINITY else 1 << 16
    if hard > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(soft, hard)


def _connecting(address: str, port: int) -> _socket.socket:
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
    try:
        sock.connect((address, port))
    except OSError:  # on its way; or a failure that is found when it is ready
        pass
    return sock


class _Flow:
    """One client of a UDP port."""

    def __init__(
        self, loop: Loop, sock: _socket.socket, sender: Sender, address: str, port: int
    ) -> None:
        family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
        self._loop = loop
        self._listener, self._sender = sock, sender
        self._socket = _socket.socket(family, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK)
        self._socket.connect((address, port))
        self.used = time.monotonic()
        loop.watch(self._socket.fileno(), READ, lambda _: self._answer())

    def send(self, content: bytes) -> None:
        """To the container."""
        self.used = time.monotonic()
        try:
            self._socket.send(content)
        except OSError:  # nobody listens there yet
            return

    def close(self) -> None:
        """Hear no more."""
        self._loop.forget(self._socket.fileno())
        self._socket.close()

    def _answer(self) -> None:
        try:
            content = self._socket.recv(datagrams.MOST_BYTES)
        except OSError:
            return
        self.used = time.monotonic()
        datagrams.send(self._listener, content, self._sender)


class _Relay:
    """A connection and its other half: what one says, the other hears."""

    def __init__(
        self, loop: Loop, known: set[_Relay], client: _socket.socket, server: _socket.socket
    ) -> None:
        self._loop, self._known = loop, known
        self._ends = (client, server)
        self._unsent = [b"", b""]  # what each end has not heard yet
        self._ended = [False, False]  # whether each end has said all it will
        self._closed = [False, False]  # whether each end knows that it will hear no more
        self._calls = (self._client_ready, self._server_ready)
        client.setblocking(False)  # noqa: FBT003 - it takes it by position
        for end in self._ends:
            end.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        known.add(self)
        loop.watch(server.fileno(), WRITE, lambda _: self._connected())

    def _connected(self) -> None:
        if self._ends[1].getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR):
            self._close()
        else:
            self._wait()

    def _client_ready(self, events: int) -> None:
        self._ready(0, events)

    def _server_ready(self, events: int) -> None:
        self._ready(1, events)

    def _ready(self, which: int, events: int) -> None:
        other = 1 - which
        try:
            if events & (READ | GONE) and not self._ended[which] and not self._unsent[other]:
                piece = self._ends[which].recv(_PIECE)
                self._unsent[other] = piece
                self._ended[which] = not piece
            self._flush(other)
            self._flush(which)
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        self._wait()

    def _flush(self, which: int) -> None:
        if self._unsent[which]:
            try:
                sent = self._ends[which].send(self._unsent[which])
            except BlockingIOError:
                return
            self._unsent[which] = self._unsent[which][sent:]
        if self._ended[1 - which] and not self._unsent[which] and not self._closed[which]:
            self._closed[which] = True
            self._ends[which].shutdown(_socket.SHUT_WR)

    def _wait(self) -> None:
        if all(self._closed):
            self._close()
            return
        for which, end in enumerate(self._ends):
            reads = not self._ended[which] and not self._unsent[1 - which]
            events = (READ if reads else 0) | (WRITE if self._unsent[which] else 0)
            if events:
                self._loop.watch(end.fileno(), events, self._calls[which])
            else:
                self._loop.forget(end.fileno())

    def _close(self) -> None:
        self._known.discard(self)
        for end in self._ends:
            self._loop.forget(end.fileno())
            end.close()
