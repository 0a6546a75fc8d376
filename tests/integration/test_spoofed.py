"""Packets with somebody else's address: what a container sends in the name of another network.

A container has CAP_NET_RAW, and may own its network namespace: it can write any sender it likes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rootless import linux, living, userns
from rootless.network import choice, datagrams, dnspacket, networks, resolver
from rootless.network.netlink import Links
from tests.support import bridged
from tests.support.bridged import Box, ask, network
from tests.support.child import in_child

pytestmark = pytest.mark.needs("userns")
_TRANSPARENT = {socket.AF_INET: (0, 19), socket.AF_INET6: (41, 75)}  # IP_, IPV6_TRANSPARENT
PORT = 40000
_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
OUTSIDE = {socket.AF_INET: "198.51.100.7", socket.AF_INET6: "2001:db8:7::7"}
OF_THE_WAY_OUT = {socket.AF_INET: "198.51.100.1", socket.AF_INET6: "2001:db8:7::1"}
FAMILIES = pytest.mark.parametrize(
    "family", [pytest.param(socket.AF_INET, id="IPv4"), pytest.param(socket.AF_INET6, id="IPv6")]
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "networks"
    bridged.end(tmp_path / "networks")


@contextlib.contextmanager
def two(folder: Path, *, internal: bool = False) -> Iterator[tuple[Box, Box]]:
    """A container on network one, which is `internal` perhaps, and another on network two."""
    network(folder, "one", "10.90.1.0/24", ipv6=True, internal=internal)
    network(folder, "two", "10.90.2.0/24", ipv6=True)
    made = Box(folder, "victim", "one"), Box(folder, "spy", "two")
    try:
        yield made
    finally:
        for one in made:
            one.stop()


def own(box: Box, family: int) -> str:
    return box.addresses[family == socket.AF_INET6]


def gateway(box: Box, family: int) -> str:
    return box.resolvers[family == socket.AF_INET6]


def send(sender: str, receiver: tuple[str, int], content: bytes) -> None:
    """A datagram from an address that need not be ours."""
    family = socket.AF_INET6 if ":" in sender else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(*_TRANSPARENT[family], 1)
        sock.bind((sender, PORT))
        sock.sendto(content, receiver)


def question(name: str) -> bytes:
    packet = struct.pack(">6H", 4711, 0x100, 1, 0, 0, 0) + dnspacket.encoded(name)
    return packet + struct.pack(">HH", dnspacket.A, dnspacket.IN)


def received(sock: socket.socket) -> list[bytes]:
    """All that has come until now."""
    found = []
    while select.select([sock], [], [], 0)[0]:
        found.append(sock.recv(1 << 16))
    return found


class Ear:
    """A socket that listens in a box's network, held open here."""

    def __init__(self, box: Box, family: int) -> None:
        here, there = socket.socketpair()

        def listen() -> None:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.bind((own(box, family), PORT))
                socket.send_fds(there, [b"x"], [sock.fileno()])

        box.run(listen)
        _, [fd], _, _ = socket.recv_fds(here, 1, 1)
        here.close()
        there.close()
        self.socket = socket.socket(fileno=fd)

    def heard(self) -> list[bytes]:
        return received(self.socket)

    def close(self) -> None:
        self.socket.close()


@FAMILIES
def test_nobody_asks_in_the_name_of_another_network(folder, family):
    """Neither at its own gateway nor at the other one's."""
    with contextlib.ExitStack() as made:
        victim, spy = made.enter_context(two(folder))
        ear = made.enter_context(contextlib.closing(Ear(victim, family)))
        for at in (gateway(spy, family), gateway(victim, family)):
            spy.run(lambda a=at: send(own(victim, family), (a, 53), question("victim")))
            asked = spy.run(lambda a=at: ask(a, "spy"))
            assert bridged.addresses(asked) == ["10.90.2.2"], "the resolver has read both by now"
        assert ear.heard() == []
        ear.socket.sendto(question("victim"), (gateway(victim, family), 53))
        assert victim.run(lambda: ask(gateway(victim, family), "victim"))
        assert len(ear.heard()) == 1, "its own questions are answered there"


@FAMILIES
def test_the_resolver_itself_looks_where_a_question_comes_from(folder, family):
    """Whatever filter the kernel has."""
    with two(folder) as (victim, _):
        known = networks.Networks(str(folder))
        asked = resolver.Resolver((), known)
        of, other = (known.find(name).bridge for name in ("one", "two"))
        for device, code in ((of, 0), (other, 5), ("", 5), ("lo", 5), (None, 0)):
            decided = asked.decide(question("victim"), own(victim, family), device)
            assert isinstance(decided, bytes)
            assert bridged.code(decided) == code, device


def way_out(box: Box) -> int:
    """A device of the bridges' namespace, called as pasta's: a descriptor of what goes out."""

    def make() -> None:
        userns.join(box.holder.process.pid)
        linux.setns(os.open(box.holder.netns, os.O_RDONLY), linux.CLONE_NEWNET)
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"tap0", _IFF_TUN_NO_PI))
        links = Links()
        links.bring_up("tap0")
        for family, length in ((socket.AF_INET, 24), (socket.AF_INET6, 64)):
            links.add_address("tap0", OF_THE_WAY_OUT[family], length)
            links.add_default_route("tap0", OUTSIDE[family], 1)
        socket.send_fds(there, [b"x"], [tun])

    here, there = socket.socketpair()
    with here, there:
        in_child(make, enter=False)
        return socket.recv_fds(here, 1, 1)[1][0]


def gone_out(fd: int, until: bytes) -> bytes:
    """All that the way out has taken until there is a packet with these words."""
    found = b""
    while until not in found:
        assert select.select([fd], [], [], 60)[0], found
        found += os.read(fd, 1 << 16)
    return found


@pytest.mark.skipif(not choice.has_tun(), reason="/dev/net/tun cannot be opened")
@FAMILIES
@pytest.mark.parametrize("internal", [False, True])
def test_a_reply_to_what_was_never_asked_reaches_no_other_network(folder, family, internal):
    """First a packet to the outside in the victim's name, then its reply, which comes from us."""
    with contextlib.ExitStack() as made:
        victim, spy = made.enter_context(two(folder, internal=internal))
        outside = way_out(spy)
        made.callback(os.close, outside)
        ear = made.enter_context(contextlib.closing(Ear(victim, family)))

        def reply() -> None:
            for receiver in (OF_THE_WAY_OUT[family], own(victim, family)):
                with contextlib.suppress(OSError):
                    send(OUTSIDE[family], (receiver, PORT), b"from outside")

        spy.run(lambda: send(own(victim, family), (OUTSIDE[family], PORT), b"in your name"))
        spy.run(lambda: send(own(spy, family), (OUTSIDE[family], PORT), b"in my own name"))
        seen = gone_out(outside, until=b"in my own name")
        spy.run(reply)
        assert spy.run(lambda: ask(gateway(spy, family), "spy")), "all of it has arrived by now"
        assert (b"in your name" in seen, ear.heard()) == (False, [])


@pytest.fixture
def sockets() -> Iterator[Callable[[str], socket.socket]]:
    with contextlib.ExitStack() as stack:

        def bound(address: str) -> socket.socket:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.setblocking(False)
            sock.bind((address, 0))
            return sock

        yield bound


def test_one_asker_s_questions_leave_room_for_others(tmp_path, monkeypatch, sockets):
    """So many may wait for the host's resolver, which says nothing; one more fails at once."""
    silent, server = sockets("127.0.0.1"), sockets("127.0.0.1")
    greedy, modest = sockets("127.0.9.2"), sockets("127.0.9.3")
    monkeypatch.setattr(networks.Network, "bridge", "lo")
    monkeypatch.setattr(resolver, "PORT", silent.getsockname()[1])
    known = networks.Networks(str(tmp_path / "networks"))
    made = network(tmp_path / "networks", "net", "127.0.9.0/24")
    me = living.identify(os.getpid())
    assert me
    endpoints = (
        networks.Endpoint(a, a, "", me, "", "eth0", "", address=a, dns=("127.0.0.1",))
        for a in ("127.0.9.2", "127.0.9.3")
    )
    with known.locked():
        known.set_endpoints(made, tuple(endpoints))
    datagrams.prepare(server)

    def resolve() -> None:
        turns = iter(range(20))
        asked = resolver.Resolver([server.fileno()], known)
        asked.loop.run(lambda: next(turns, None) is not None, 0.01)

    for _ in range((limit := 4 * resolver._MOST_OF_ONE) + 5):
        greedy.sendto(question("example.org"), server.getsockname())
    modest.sendto(question("example.org"), server.getsockname())
    in_child(resolve, enter=False)
    assert [bridged.code(one) for one in received(greedy)] == [dnspacket.SERVER_FAILURE] * 5
    assert received(modest) == []
    assert len(received(silent)) == limit + 1, "the modest one's is asked, too"
