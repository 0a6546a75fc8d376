"""Bridges between network namespaces: who reaches whom, by which name, and what outlives whom."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless import living
from rootless.errors import RootlessError
from rootless.network import choice, dnspacket, holder, networks
from rootless.network.wish import Wish
from tests.support import bridged, processes
from tests.support.bridged import Box, ask, network
from tests.support.child import in_child

pytestmark = pytest.mark.needs("userns")
PORT = 8000


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "networks"
    bridged.end(tmp_path / "networks")


@contextlib.contextmanager
def boxes(*made: Box) -> Iterator[tuple[Box, ...]]:
    try:
        yield made
    finally:
        for one in made:
            one.stop()


def served(box: Box, content: bytes = b"hello", family: int = socket.AF_INET) -> None:
    """Start a server in a box's network that says `content`, and to whom, to everybody."""

    def body(ready) -> None:
        with socket.create_server(("", PORT), family=family) as server:
            ready()
            while True:
                connection, client = server.accept()
                connection.sendall(content + b" " + client[0].encode())
                connection.close()

    box.serve(body)


def fetched(address: str, port: int = PORT) -> bytes:
    """What a server says; the error's name when there is none."""
    try:
        with socket.create_connection((address, port), timeout=3) as connection:
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
            return answer
    except OSError as error:
        return type(error).__name__.encode()


def test_two_reach_each_other_by_address_and_by_name(folder):
    network(folder, "web", "10.90.7.0/24")
    first, second = Box(folder, "first", Wish("web", aliases=("db",))), Box(folder, "second", "web")
    with boxes(first, second):
        assert (first.addresses, second.addresses) == (("10.90.7.2",), ("10.90.7.3",))
        assert first.resolvers == ("10.90.7.1",)
        served(first)
        assert second.run(lambda: fetched("10.90.7.2")) == b"hello 10.90.7.3"
        for name in ("first", "DB", first.id[:12], "first.web"):
            for stream in (False, True):
                answer = second.run(lambda n=name, s=stream: ask("10.90.7.1", n, stream=s))
                assert bridged.addresses(answer) == ["10.90.7.2"], (name, stream)
        reverse = second.run(lambda: ask("10.90.7.1", "2.7.90.10.in-addr.arpa", dnspacket.PTR))
        assert dnspacket.encoded("first.web") in reverse
        no_six = second.run(lambda: ask("10.90.7.1", "first", dnspacket.AAAA))
        assert (bridged.code(no_six), bridged.addresses(no_six)) == (0, [])
        first.stop()
        gone = second.run(lambda: ask("10.90.7.1", "first"))
        assert bridged.addresses(gone) == [], "its name must go with it"


def test_networks_are_apart(folder):
    """Neither by address, nor by name, whatever routes a container makes itself."""
    for name, subnet in (("one", "10.90.1.0/24"), ("two", "10.90.2.0/24")):
        network(folder, name, subnet)
    network(folder, "closed", "10.90.3.0/24", internal=True)
    with boxes(
        Box(folder, "a", "one"), Box(folder, "b", "two"), Box(folder, "c", "closed")
    ) as made:
        a, b, c = made
        served(a)
        served(c)
        assert b.run(lambda: fetched("10.90.1.2")) == b"TimeoutError"
        assert b.run(lambda: fetched("10.90.3.2")) == b"TimeoutError"
        assert bridged.addresses(b.run(lambda: ask("10.90.2.1", "a"))) == []
        assert bridged.addresses(b.run(lambda: ask("10.90.1.1", "a"))) == []

        def with_a_route() -> bytes:
            from rootless.network.netlink import Links

            Links().add_default_route("eth0", "10.90.3.1", 1)
            return fetched("10.90.1.2")

        assert c.run(lambda: fetched("10.90.1.2")) == b"OSError"
        assert c.run(with_a_route) == b"TimeoutError"


def test_one_on_two_networks_sees_both_and_its_links(folder):
    network(folder, "front", "10.90.1.0/24")
    network(folder, "back", "10.90.2.0/24", internal=True)
    db = Box(folder, "db", "back")
    both = Box(folder, "both", Wish("back"), Wish("front", links=(("base", "db"),)))
    with boxes(db, both, Box(folder, "outer", "front")) as made:
        assert both.resolvers == ("10.90.1.1", "10.90.2.1"), "those that reach out come first"
        assert bridged.addresses(both.run(lambda: ask("10.90.1.1", "db"))) == ["10.90.2.2"]
        assert bridged.addresses(both.run(lambda: ask("10.90.1.1", "base"))) == ["10.90.2.2"]
        assert bridged.addresses(made[2].run(lambda: ask("10.90.1.1", "db"))) == []
        interfaces = both.run(lambda: sorted(os.listdir("/proc/sys/net/ipv4/conf")))
        assert [one for one in interfaces if one.startswith("eth")] == ["eth0", "eth1"]


def test_ipv6(folder):
    made = network(folder, "six", "10.90.6.0/24", ipv6=True)
    gateway = made.subnets[1].gateway
    with boxes(Box(folder, "a", "six"), Box(folder, "b", "six")) as (a, b):
        assert a.addresses[1] == gateway[:-1] + "2"
        served(a, family=socket.AF_INET6)
        assert b.run(lambda: fetched(a.addresses[1])) == f"hello {b.addresses[1]}".encode()
        answer = b.run(lambda: ask(gateway, "a", dnspacket.AAAA))
        assert bridged.addresses(answer) == [a.addresses[1]]


def test_addresses_asked_for(folder):
    network(folder, "net", "10.90.1.0/24")
    wish = Wish("net", address="10.90.1.77", mac="02:00:00:00:00:77")
    with boxes(Box(folder, "a", wish)) as (a,):
        assert a.addresses == ("10.90.1.77",)
        assert a.run(lambda: Path("/proc/net/arp").exists())
        assert a.endpoint.mac == "02:00:00:00:00:77"
        for address, why in (("10.90.1.77", "already in use"), ("10.91.1.1", "no configured")):
            with pytest.raises(RootlessError, match=why):
                Box(folder, "b", Wish("net", address=address))
        with pytest.raises(RootlessError, match="has no IPv6"):
            Box(folder, "b", Wish("net", address6="fd00::1"))
        with pytest.raises(RootlessError, match="network nets not found"):
            Box(folder, "b", "nets")


def test_the_killed_give_their_addresses_back(folder):
    made = network(folder, "net", "10.90.1.0/29")
    known = networks.Networks(str(folder))
    first = Box(folder, "first", "net")
    with boxes(Box(folder, "second", "net")) as (second,):
        first.kill()
        assert [one.name for one in known.endpoints(made)] == ["second"]
        assert bridged.addresses(second.run(lambda: ask("10.90.1.1", "first"))) == []
        with boxes(Box(folder, "third", "net")) as (third,):
            assert third.addresses == first.addresses
            served(third)
            assert second.run(lambda: fetched(third.addresses[0])).startswith(b"hello")


def test_a_full_network_says_so(folder):
    network(folder, "tiny", "10.90.1.0/30")
    with (
        boxes(Box(folder, "only", "tiny")),
        pytest.raises(RootlessError, match=r"no free address left in 10\.90\.1\.0/30"),
    ):
        Box(folder, "other", "tiny")


def test_many_at_once_get_one_holder_and_an_address_each(folder):
    network(folder, "net", "10.90.1.0/24")
    started = []

    def start() -> tuple[object, ...]:
        box = Box(folder, "", "net")
        holder_pid = box.holder.process.pid
        time.sleep(0.5)  # all at once have their addresses, before any gives one back
        box.stop()
        return box.addresses[0], holder_pid

    threads = [
        threading.Thread(target=lambda: started.append(in_child(start, enter=False)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({pid for _, pid in started}) == 1
    assert len(started) == 6


def test_a_killed_holder_is_replaced_and_the_living_are_plugged_in_again(folder):
    network(folder, "net", "10.90.1.0/24")
    with boxes(Box(folder, "old", "net")) as (old,):
        served(old)
        os.kill(old.holder.process.pid, signal.SIGKILL)
        while living.is_alive(old.holder.process):
            time.sleep(0.01)
        assert holder.find(networks.Networks(str(folder))) is None
        with boxes(Box(folder, "new", "net")) as (new,):
            assert new.holder.process != old.holder.process
            assert new.addresses == ("10.90.1.3",)
            # The living are plugged in as they are met: the first words may come too early.
            processes.wait_until(
                lambda: new.run(lambda: fetched("10.90.1.2")) == b"hello 10.90.1.3", "an answer"
            )
            assert bridged.addresses(old.run(lambda: ask("10.90.1.1", "new"))) == ["10.90.1.3"]


def test_the_holder_ends_when_nobody_needs_it(folder, monkeypatch):
    monkeypatch.setattr(holder, "_IDLE", 0.2)
    monkeypatch.setattr(holder, "_TICK", 0.05)
    network(folder, "net", "10.90.1.0/24")
    known = networks.Networks(str(folder))
    with boxes(Box(folder, "a", "net")) as (a,):
        time.sleep(0.5)
        assert holder.find(known) == a.holder
    while living.is_alive(a.holder.process):
        time.sleep(0.01)
    assert not (folder / "live/holder.json").exists()


@pytest.mark.parametrize("where", ["127.0.0.1:0:8000", "0:8000", "[::1]:0:8000"])
def test_published_streams(folder, where):
    network(folder, "net", "10.90.1.0/24")
    with boxes(Box(folder, "a", "net", publish=where)) as (a,):
        big = os.urandom(3_000_000)
        served(a, big)
        for address in ("::1",) if "[" in where else ("127.0.0.1",):
            assert fetched(address, a.ports[0]) == big + b" 10.90.1.1"
    assert fetched("127.0.0.1", a.ports[0]) == b"ConnectionRefusedError", "it must be free again"


def test_streams_are_half_closed_as_they_are(folder):
    network(folder, "net", "10.90.1.0/24")
    with boxes(Box(folder, "a", "net", publish="127.0.0.1:0:8000")) as (a,):

        def body(ready) -> None:
            with socket.create_server(("", PORT)) as server:
                ready()
                connection, _ = server.accept()
                heard = b""
                while piece := connection.recv(1 << 16):
                    heard += piece
                connection.sendall(heard[::-1])

        a.serve(body)
        sent = os.urandom(2_000_000)
        with socket.create_connection(("127.0.0.1", a.ports[0]), timeout=60) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            heard = b""
            while piece := connection.recv(1 << 16):
                heard += piece
        assert heard == sent[::-1]


def test_published_datagrams(folder):
    network(folder, "net", "10.90.1.0/24")
    with boxes(Box(folder, "a", "net", publish="127.0.0.1:0:8000/udp")) as (a,):

        def body(ready) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.bind(("", PORT))
                ready()
                while True:
                    content, client = server.recvfrom(1 << 16)
                    server.sendto(content.upper(), client)

        a.serve(body)
        for _ in range(2):  # two clients have an answer each
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(60)
                client.connect(("127.0.0.1", a.ports[0]))
                for word in (b"one", b"two"):
                    client.send(word)
                    assert client.recv(64) == word.upper()


def test_internal_networks_publish_nothing(folder):
    network(folder, "net", "10.90.1.0/24", internal=True)
    with boxes(Box(folder, "a", "net", publish="127.0.0.1:0:8000")) as (a,):
        served(a)
        assert fetched("127.0.0.1", a.ports[0]) == b"ConnectionRefusedError"


@pytest.mark.needs("network")
@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("pasta", marks=pytest.mark.needs("pasta")),
        pytest.param("slirp4netns", marks=pytest.mark.needs("slirp4netns")),
    ],
)
def test_the_way_out_comes_back_when_its_program_is_killed(folder, mode):
    """A service of this machine's own address; the internal network has no way there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))
        own = sock.getsockname()[0]
    server = socket.create_server((own, 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.sendall(b"outside")
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    port = server.getsockname()[1]
    chosen = choice.choose(mode, bridged.PATH, tun=True)
    network(folder, "net", "10.90.1.0/24")
    network(folder, "closed", "10.90.2.0/24", internal=True)
    with boxes(
        Box(folder, "a", "net", chosen=chosen), Box(folder, "b", "closed", chosen=chosen)
    ) as (a, b):
        assert a.run(lambda: fetched(own, port)) == b"outside"
        assert b.run(lambda: fetched(own, port)) == b"OSError"
        children = Path(f"/proc/{a.holder.process.pid}/task/{a.holder.process.pid}/children")
        [first] = children.read_text().split()
        os.kill(int(first), signal.SIGKILL)
        while children.read_text().split() in ([], [first]):
            time.sleep(0.05)
        until = time.monotonic() + 60
        while a.run(lambda: fetched(own, port)) != b"outside":
            assert time.monotonic() < until
    server.close()


def test_the_host_resolves_what_is_no_container(folder):
    """The container's own --dns is asked, from the host's network; internal ones ask nobody."""
    network(folder, "net", "10.90.1.0/24")
    network(folder, "closed", "10.90.2.0/24", internal=True)
    dns = ("127.7.7.7",)
    with boxes(Box(folder, "a", "net", dns=dns), Box(folder, "b", "closed", dns=dns)) as (a, b):
        assert bridged.code(b.run(lambda: ask("10.90.2.1", "example.org"))) == 2
        assert bridged.code(a.run(lambda: ask("10.90.1.1", "example.org"))) == 2, "nobody is there"


@pytest.mark.parametrize("packet", [b"", b"x", b"\0" * 11, b"\xff" * 512, os.urandom(300)])
def test_hostile_packets_do_not_stop_it(folder, packet):
    network(folder, "net", "10.90.1.0/24")
    with boxes(Box(folder, "a", "net")) as (a,):

        def attack() -> bytes:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("10.90.1.1", 53))
                for _ in range(100):
                    sock.send(packet)
            streams = [socket.create_connection(("10.90.1.1", 53)) for _ in range(80)]
            for stream in streams:
                with contextlib.suppress(OSError):
                    stream.send(packet or b"\xff\xff")
            return ask("10.90.1.1", "a")

        assert bridged.addresses(a.run(attack)) == ["10.90.1.2"]
