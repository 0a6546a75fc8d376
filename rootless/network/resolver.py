"""The resolver of the bridges: names of containers, and the host's resolvers for all the rest.

It listens on port 53 of every address in the holder's network namespace, by sockets made there,
and asks from the host's network, where the holder lives: so it reaches a resolver on the host's
loopback, too. What a container may send is bounded: so many questions at a time, so many
connections, each for so long; what is no question is answered as an error or not at all. An
answer is passed on only if it comes from where the question went, with its random number and the
question in it. A container that is on internal networks only learns nothing from outside.

Who asks is known by address. A datagram's must be behind the bridge that it came by; who opens a
connection has heard from us where it says it is.
"""

from __future__ import annotations

import _socket
import os
import time

from rootless.network import datagrams, dnspacket
from rootless.network.directory import Directory
from rootless.network.loop import GONE, READ, WRITE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.network.datagrams import Sender
    from rootless.network.dnspacket import Question
    from rootless.network.networks import Networks

PORT = 53
_MOST_WAITING = 256
_MOST_STREAMS = 64
_MOST_OF_ONE = 8  # streams of one asker, and four times as many questions
_PATIENCE = 2.0  # seconds for each of the host's resolvers
_STREAM_PATIENCE = 10.0
_MOST_SERVERS = 3
_REFUSED = 5


def listen() -> list[_socket.socket]:
    """The sockets of a resolver in this network namespace; those of IPv6 where there is one."""
    found = []
    for family, anywhere in ((_socket.AF_INET, "0.0.0.0"), (_socket.AF_INET6, "::")):
        for kind in (_socket.SOCK_DGRAM, _socket.SOCK_STREAM):
            try:
                sock = _socket.socket(family, kind | _socket.SOCK_NONBLOCK)
            except OSError:
                continue
            if family == _socket.AF_INET6:
                sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
            if kind == _socket.SOCK_DGRAM:
                datagrams.prepare(sock)
            sock.bind((anywhere, PORT))
            if kind == _socket.SOCK_STREAM:
                sock.listen(16)
            found.append(sock)
    return found


class Resolver:
    """Answers on `fds`, as `listen` made them, when its `loop` runs; `tick` it now and then."""

    def __init__(
        self, fds: Sequence[int], networks: Networks, hosts: str = "/etc/resolv.conf"
    ) -> None:
        """`hosts` is where the host's resolvers are listed."""
        self.loop = Loop()
        self._directory = Directory(networks)
        self._hosts = hosts
        self._waiting: dict[int, _Waiting] = {}
        self._streams: dict[int, _Stream] = {}
        for fd in fds:
            sock = _socket.socket(fileno=fd)
            is_stream = sock.type & _socket.SOCK_STREAM
            self.loop.watch(fd, READ, self._accepting(sock) if is_stream else self._asking(sock))

    def tick(self) -> None:
        """Give up what waits for too long, or try the next of the host's resolvers."""
        now = time.monotonic()
        for waiting in [one for one in self._waiting.values() if one.until < now]:
            self._forget(waiting)
            self._pass_on(waiting)
        for stream in [one for one in self._streams.values() if one.until < now]:
            stream.close()

    def decide(
        self, packet: bytes, address: str, device: str | None = None
    ) -> bytes | tuple[Question, tuple[str, ...]]:
        """The response to a container's packet, or the question and whom of the host's to ask.

        `device` is how it came here, None for a connection. b"" is no response at all.
        """
        try:
            question = dnspacket.parse(packet)
        except dnspacket.Malformed as error:
            return b"" if error.id < 0 else dnspacket.failure(error.id, error.code)
        found = self._directory.asker(address.partition("%")[0], device)
        if found is None:
            return dnspacket.answer(question, [], 0, _REFUSED)
        _, asker = found
        response = self._directory.answer(asker, question)
        if response is not None:
            return response
        servers = asker.dns or servers_of(self._hosts)
        if not servers or not self._directory.reaches_out(asker.container):
            return dnspacket.answer(question, [], 0, dnspacket.SERVER_FAILURE)
        return question, servers[:_MOST_SERVERS]

    def _asking(self, sock: _socket.socket) -> Callable[[int], None]:
        def ask(_: int) -> None:
            for _turn in range(16):  # then others have a turn
                try:
                    packet, sender, number = datagrams.receive(sock)
                except OSError:
                    return
                asker, device = str(sender[0][0]), datagrams.device(sock, number)  # type: ignore[index]
                decided = self.decide(packet, asker, device)
                if isinstance(decided, bytes):
                    if decided:
                        datagrams.send(sock, decided, sender)
                    continue
                question, servers = decided
                self._pass_on(_Waiting(sock, sender, packet, question, servers))

        return ask

    def _pass_on(self, waiting: _Waiting) -> None:
        """Ask the next of the host's resolvers; a failure when there is none left."""
        asker = waiting.sender[0][0]  # type: ignore[index]
        its = sum(one.sender[0][0] == asker for one in self._waiting.values())  # type: ignore[index]
        has_room = len(self._waiting) < _MOST_WAITING and its < 4 * _MOST_OF_ONE
        while waiting.servers and has_room:
            if waiting.ask():
                self._waiting[waiting.fd] = waiting
                self.loop.watch(waiting.fd, READ, lambda _: self._hear(waiting))
                return
        failed = dnspacket.answer(waiting.question, [], 0, dnspacket.SERVER_FAILURE)
        datagrams.send(waiting.sock, failed, waiting.sender)

    def _hear(self, waiting: _Waiting) -> None:
        response = waiting.hear()
        if response is None:  # something else: the answer may come yet
            return
        self._forget(waiting)
        if response:
            datagrams.send(waiting.sock, response, waiting.sender)
        else:
            self._pass_on(waiting)

    def _forget(self, waiting: _Waiting) -> None:
        self.loop.forget(waiting.fd)
        del self._waiting[waiting.fd]
        waiting.close()

    def _accepting(self, sock: _socket.socket) -> Callable[[int], None]:
        def accept(_: int) -> None:
            try:
                fd, address = sock._accept()  # type: ignore[attr-defined]
            except OSError:
                return
            client = _socket.socket(fileno=fd)
            client.setblocking(False)  # noqa: FBT003 - it takes it by position
            asker = str(address[0])
            its = [one for one in self._streams.values() if one.asker == asker]
            if len(its) >= _MOST_OF_ONE:
                its[0].close()
            if len(self._streams) >= _MOST_STREAMS:
                client.close()
                return
            _Stream(self.loop, self._streams, client, asker, lambda text: self.decide(text, asker))

        return accept


class _Waiting:
    """A question on its way to one of the host's resolvers."""

    def __init__(
        self,
        sock: _socket.socket,
        sender: Sender,
        packet: bytes,
        question: Question,
        servers: tuple[str, ...],
    ) -> None:
        self.sock = sock
        self.sender = sender
        self.question = question
        self.servers = servers
        self.until = 0.0
        self.fd = -1
        self._packet = packet
        self._number = 0

    def ask(self) -> bool:
        """Ask the next resolver, from a port and with a number that nobody can guess."""
        server, self.servers = self.servers[0], self.servers[1:]
        self._number = int.from_bytes(os.urandom(2), "big")
        family = _socket.AF_INET6 if ":" in server else _socket.AF_INET
        try:
            self._upstream = _socket.socket(family, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK)
            self._upstream.connect((server, PORT))
            self._upstream.send(dnspacket.renumbered(self._packet, self._number))
        except OSError:
            return False
        self.fd = self._upstream.fileno()
        self.until = time.monotonic() + _PATIENCE
        return True

    def hear(self) -> bytes | None:
        """The response for the container; None when it was another's, b"" when there is none."""
        try:
            packet = self._upstream.recv(datagrams.MOST_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if not dnspacket.is_answer_to(packet, self._number, self.question):
            return None
        return dnspacket.renumbered(packet, self.question.id)

    def close(self) -> None:
        self._upstream.close()


class _Stream:
    """A connection that asks one question; the host's resolver may be at its other side."""

    def __init__(
        self,
        loop: Loop,
        known: dict[int, _Stream],
        client: _socket.socket,
        asker: str,
        decide: Callable[[bytes], bytes | tuple[Question, tuple[str, ...]]],
    ) -> None:
        self.asker = asker
        self.until = time.monotonic() + _STREAM_PATIENCE
        self._loop = loop
        self._known = known
        self._client = client
        self._decide = decide
        self._server: _socket.socket | None = None
        self._heard = b""
        self._unsent = b""
        known[client.fileno()] = self
        loop.watch(client.fileno(), READ, lambda _: self._ask())

    def close(self) -> None:
        """Hang up; harmless twice."""
        self._known.pop(self._client.fileno(), None)
        for sock in (self._client, self._server):
            if sock and sock.fileno() >= 0:
                self._loop.forget(sock.fileno())
                sock.close()

    def _ask(self) -> None:
        packet = self._whole(self._client)
        if packet is None:
            return
        decided = self._decide(packet)
        if isinstance(decided, bytes):
            self._answer(decided)
            return
        _, servers = decided
        self._loop.forget(self._client.fileno())
        family = _socket.AF_INET6 if ":" in servers[0] else _socket.AF_INET
        self._heard, self._unsent = b"", len(packet).to_bytes(2, "big") + packet
        try:
            server = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        except OSError:  # no more descriptors
            self.close()
            return
        self._server = server
        try:
            server.connect((servers[0], PORT))
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._loop.watch(server.fileno(), WRITE, self._send)

    def _send(self, events: int) -> None:
        """The question, once the host's resolver is there."""
        assert self._server
        try:
            self._unsent = self._unsent[self._server.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if events & GONE:
            self.close()
        elif not self._unsent:
            self._loop.watch(self._server.fileno(), READ, lambda _: self._hear())

    def _hear(self) -> None:
        assert self._server
        packet = self._whole(self._server)
        if packet is not None:
            self._answer(packet)

    def _answer(self, packet: bytes) -> None:
        """Once, as far as the connection takes it at once, which 64 KiB are."""
        try:
            if packet:
                self._client.send(len(packet).to_bytes(2, "big") + packet)
        except OSError:
            pass
        self.close()

    def _whole(self, sock: _socket.socket) -> bytes | None:
        """A message that has come in full; None when it has not, or never will."""
        try:
            piece = sock.recv(datagrams.MOST_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            piece = b""
        if not piece:
            self.close()
            return None
        self._heard += piece
        size = int.from_bytes(self._heard[:2], "big")
        if len(self._heard) < 2 or len(self._heard) < 2 + size:
            return None
        return self._heard[2 : 2 + size]


def servers_of(path: str) -> tuple[str, ...]:
    """The resolvers that a resolv.conf names."""
    from rootless.network import dns

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return dns.servers(file.read(1 << 16))
    except OSError:
        return ()
