"""Processes with network namespaces of their own on a store's networks, as containers have them."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rootless import linux, living, process, userns
from rootless.network import bridge, choice, dnspacket, holder, membership, networks, ports
from rootless.network.wish import Wish
from tests.support.child import in_child

PATH = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"
NO_WAY_OUT = choice.Choice("none")


def network(folder: Path, name: str, *subnets: str, **fields: bool) -> networks.Network:
    """A network made in `folder`."""
    blocks = tuple(networks.Subnet(one, "") for one in subnets)
    wanted = networks.Network(os.urandom(32).hex(), name, time.time(), blocks)
    return networks.defined(networks.Networks(str(folder)), wanted.replace(**fields))


class Box:
    """A monitor, in the holder's user namespace, and a process in a network namespace below it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *wishes: Wish | str,
        publish: str = "",
        chosen: choice.Choice = NO_WAY_OUT,
        dns: tuple[str, ...] = (),
    ) -> None:
        self.networks = networks.Networks(str(folder))
        self.id = os.urandom(32).hex()
        self.holder = holder.ensure(self.networks, chosen)
        asked = [one if isinstance(one, Wish) else Wish(one) for one in wishes]
        mappings = ports.claim(ports.parse(publish)) if publish else ()
        self.ports = [one.host_port for one in mappings]
        self._servers: list[process.Child] = []
        here, there = socket.socketpair()
        self.monitor = os.fork()
        if self.monitor == 0:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            here.close()
            self._live(there, name, asked, mappings, chosen, dns)
        there.close()
        self._socket = here
        told = here.recv(1 << 16)
        self.addresses: tuple[str, ...]
        self.resolvers: tuple[str, ...]
        self.addresses, self.resolvers = pickle.loads(told) if told else ((), ())
        if isinstance(told_of := self.addresses, Exception):
            self._end()
            raise told_of

    def _live(
        self,
        there: socket.socket,
        name: str,
        wishes: Sequence[Wish],
        mappings: tuple[ports.PortMapping, ...],
        chosen: choice.Choice,
        dns: tuple[str, ...],
    ) -> None:
        try:
            userns.join(self.holder.process.pid)
            me = living.identify(os.getpid())
            assert me
            member = bridge.Member(self.id, name, me, "", dns)
            reserved = membership.reserve(self.networks, member, wishes, chosen)
            attached = reserved.connect(_sleeper(), mappings)
            there.send(pickle.dumps((reserved.addresses, reserved.resolvers)))
            there.recv(1)
            attached.stop()
        except Exception as error:  # noqa: BLE001 - the test must hear of it
            there.send(pickle.dumps((error, ())))
        os._exit(0)

    @property
    def endpoint(self) -> networks.Endpoint:
        """Its first endpoint."""
        return self.networks.of_container(self.id)[0][1]

    def run(self, body: Callable[[], object]) -> object:
        """The value of `body()` in its network namespace."""
        endpoint = self.endpoint

        def moved() -> object:
            userns.join(self.monitor)
            fd = os.open(endpoint.netns, os.O_RDONLY)
            linux.setns(fd, linux.CLONE_NEWNET)
            return body()

        return in_child(moved, enter=False)

    def serve(self, body: Callable[[Callable[[], object]], object]) -> None:
        """Run `body(ready)` beside us in its network namespace; returns when `ready` is called."""
        ready_read, ready_write = os.pipe()

        def moved() -> None:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            body(lambda: os.write(ready_write, b"x"))

        self._servers.append(process.fork(lambda _: self.run(moved), "a server"))
        os.close(ready_write)
        assert os.read(ready_read, 1), "the server ended"
        os.close(ready_read)

    def stop(self) -> None:
        """End it as a container ends; harmless twice."""
        if self._socket.fileno() < 0:
            return
        self._socket.send(b"x")
        self._end()

    def kill(self) -> None:
        """End its monitor as nobody should."""
        os.kill(self.monitor, signal.SIGKILL)
        self._end()

    def _end(self) -> None:
        os.waitpid(self.monitor, 0)
        self._socket.close()
        for server in self._servers:
            server.kill()


def _sleeper() -> int:
    """A process in a new network namespace, that dies with this one."""
    ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.unshare(linux.CLONE_NEWNET)
        linux.loopback_up()
        os.write(ready[1], b"x")
        signal.pause()
    os.read(ready[0], 1)
    return pid


def ask(server: str, name: str, kind: int = dnspacket.A, *, stream: bool = False) -> bytes:
    """The response of a resolver."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    packet = struct.pack(">6H", 4711, 0x100, 1, 0, 0, 0)
    packet += dnspacket.encoded(name) + struct.pack(">HH", kind, dnspacket.IN)
    with socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as sock:
        sock.settimeout(60)
        sock.connect((server, 53))
        if not stream:
            sock.send(packet)
            return sock.recv(4096)
        sock.sendall(struct.pack(">H", len(packet)) + packet)
        answer = b""
        while piece := sock.recv(4096):
            answer += piece
        return answer[2:]


def code(response: bytes) -> int:
    """RCODE of a response."""
    return response[3] & 0xF


def addresses(response: bytes) -> list[str]:
    """What a response of `dnspacket.answer` says, in the order of numbers."""
    count = struct.unpack_from(">H", response, 6)[0]
    place = 12
    while response[place]:
        place += 1 + response[place]
    place += 5
    found = []
    for _ in range(count):
        size = struct.unpack_from(">H", response, place + 10)[0]
        value = response[place + 12 : place + 12 + size]
        found.append(socket.inet_ntop(socket.AF_INET6 if size == 16 else socket.AF_INET, value))
        place += 12 + size
    return sorted(found)


def end(folder: Path) -> None:
    """End the holder, if there is one."""
    if found := holder.find(networks.Networks(str(folder))):
        living.kill(found.process, 60)
