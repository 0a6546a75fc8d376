"""pasta and slirp4netns at work: what a network namespace reaches, and who reaches it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rootless import linux
from rootless.errors import RootlessError
from rootless.network import attach, choice, dns, pasta, ports
from tests.support import machine
from tests.support.child import in_child

pytestmark = [pytest.mark.needs("userns", "subids")]
BOTH = [
    pytest.param("pasta", marks=pytest.mark.needs("pasta")),
    pytest.param("slirp4netns", marks=pytest.mark.needs("slirp4netns")),
]
PATH = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"


def start(mode: str, pid: int, published: str, run_dir: str, *, forward_dns: bool = False):
    chosen = choice.choose(mode, PATH, tun=True)
    mappings = ports.claim(ports.parse(published) if published else ())
    started = attach.start(
        chosen, f"/proc/{pid}/ns/net", mappings, forward_dns=forward_dns, run_dir=run_dir
    )
    return started, mappings


class Namespace:
    """A process in a network and mount namespace of its own that waits to be told to run."""

    def __init__(self, body) -> None:
        created, self.release = os.pipe(), os.pipe()
        self.answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
            os.write(created[1], b"x")
            os.read(self.release[0], 1)
            os.write(self.answer[1], pickle.dumps(_value(body)))
            os._exit(0)
        os.close(self.answer[1])
        os.read(created[0], 1)

    def run(self):
        os.write(self.release[1], b"x")

    def value(self):
        answer = pickle.loads(os.read(self.answer[0], 1 << 16))
        os.waitpid(self.pid, 0)
        return answer


def _value(body):
    try:
        return body()
    except OSError as error:
        return repr(error)


def inside(mode, body, published="", *, beside=None, forward_dns=False, run_dir="/nonexistent"):
    """(what body() returns in a connected namespace, what beside(mappings) returns here)."""

    def parent():
        namespace = Namespace(body)
        attached, mappings = start(mode, namespace.pid, published, run_dir, forward_dns=forward_dns)
        try:
            attached.wait_ready()
            namespace.run()
            outside = beside(mappings) if beside else None
            return namespace.value(), outside
        finally:
            attached.stop()

    return in_child(parent)


def reaches(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def default_gateway() -> str | None:
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        _, destination, gateway, *_ = line.split()
        if destination == "00000000":
            return socket.inet_ntoa(struct.pack("<I", int(gateway, 16)))
    return None


@pytest.mark.parametrize("mode", BOTH)
def test_the_hosts_loopback_cannot_be_reached(mode):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def body():
            addresses = ["127.0.0.1", "10.0.2.2", default_gateway() or "127.0.0.1"]
            return [address for address in addresses if reaches((address, port))]

        assert reaches(("127.0.0.1", port))
        assert inside(mode, body)[0] == []


def answering(*server_address: object):
    """A body that answers one connection on this address with HELLO, request."""

    def body():
        family = socket.AF_INET6 if ":" in str(server_address[0]) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as server:
            server.settimeout(60)
            server.bind(server_address)
            server.listen()
            connection, _ = server.accept()
            connection.sendall(b"HELLO " + connection.recv(100))
            connection.close()
            return True

    return body


def asking(address: str):
    """Ask the first published port until somebody answers, for a container takes its time."""

    def beside(mappings):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with socket.create_connection((address, mappings[0].host_port), 5) as client:
                    client.sendall(b"there")
                    if answer := client.recv(100):
                        return answer
            except OSError:
                pass
            time.sleep(0.05)
        return b""

    return beside


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("published", ["80", "127.0.0.1::80"])
def test_a_published_port_leads_in(mode, published, tmp_path):
    body, beside = answering("0.0.0.0", 80), asking("127.0.0.1")
    answers = inside(mode, body, published, beside=beside, run_dir=str(tmp_path))
    assert answers == (True, b"HELLO there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("pasta")
def test_a_port_published_on_an_ipv6_address_leads_in():
    answers = inside("pasta", answering("::", 80), "[::1]::80", beside=asking("::1"))
    assert answers == (True, b"HELLO there")


@pytest.mark.parametrize("mode", BOTH)
def test_a_published_udp_port_leads_in(mode, tmp_path):
    """Not the way back: see the limits in pasta.py and slirp4netns.py."""
    heard = tmp_path / "heard"

    def body():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.settimeout(60)
            server.bind(("0.0.0.0", 80))
            said = server.recv(100)
            heard.touch()
            return said

    def beside(mappings):
        end = time.monotonic() + 60
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            while not heard.exists() and time.monotonic() < end:
                client.sendto(b"there", ("127.0.0.1", mappings[0].host_port))
                time.sleep(0.05)

    assert inside(mode, body, "80/udp", beside=beside, run_dir=str(tmp_path)) == (b"there", None)


@pytest.mark.parametrize("mode", BOTH)
def test_an_unpublished_port_stays_inside(mode, tmp_path):
    def beside(mappings):
        return reaches(("127.0.0.1", 8123))

    def body():
        with socket.create_server(("0.0.0.0", 8123)):
            time.sleep(0.3)
        return True

    assert inside(mode, body, "80", beside=beside, run_dir=str(tmp_path)) == (True, False)


@pytest.mark.needs("mirror")
@pytest.mark.parametrize("mode", BOTH)
def test_names_and_connections_through_the_container_resolv_conf(mode, tmp_path):
    address = urlsplit(machine.debian_mirror())
    port = address.port or {"https": 443}.get(address.scheme, 80)
    host = Path("/etc/resolv.conf").read_text()
    generated = tmp_path / "resolv.conf"
    generated.write_text(dns.resolv_conf(host, attach.FORWARDERS[mode]))

    def body():
        linux.mount(str(generated), "/etc/resolv.conf", flags=linux.MS_BIND)
        with socket.create_connection((address.hostname, port), timeout=10) as connection:
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            return connection.recv(5)

    answer, _ = inside(mode, body, forward_dns=dns.needs_forwarder(host))
    assert answer == b"HTTP/"


@pytest.mark.needs("mirror")
@pytest.mark.parametrize("mode", BOTH)
def test_the_forwarder_answers_for_the_hosts_resolver(mode):
    name = urlsplit(machine.debian_mirror()).hostname or ""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"

    def body():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
            resolver.settimeout(5)
            resolver.connect((attach.FORWARDERS[mode], 53))
            for _ in range(6):  # a datagram may be lost
                resolver.send(query)
                with contextlib.suppress(TimeoutError):
                    return resolver.recv(512)
            return b""

    answer, _ = inside(mode, body, forward_dns=True)
    assert answer[:2] == b"\x12\x34"
    assert answer[3] & 15 == 0  # no error
    assert int.from_bytes(answer[6:8], "big") > 0  # answers


def gone(pid: int) -> bool:
    """No such process, or only its exit status is left; within a few seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("mode", BOTH)
def test_nothing_outlives_a_killed_parent(mode):
    read_fd, write_fd = os.pipe()

    def parent():
        namespace = Namespace(lambda: time.sleep(60))
        attached, _ = start(mode, namespace.pid, "", "/nonexistent")
        attached.wait_ready()
        os.write(write_fd, f"{namespace.pid} {attached._child.pid}".encode())
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(AssertionError, match="ended with -9"):
        in_child(parent)
    pids = os.read(read_fd, 100).split()
    assert [gone(int(pid)) for pid in pids] == [True, True]


@pytest.mark.parametrize("mode", BOTH)
def test_stopping_twice_leaves_nothing(mode):
    def parent():
        namespace = Namespace(lambda: None)
        attached, _ = start(mode, namespace.pid, "", "/nonexistent")
        attached.wait_ready()
        pid, descriptors = attached._child.pid, len(os.listdir("/proc/self/fd"))
        attached.stop()
        attached.stop()
        return gone(pid), descriptors - len(os.listdir("/proc/self/fd"))

    assert in_child(parent) == (True, 3)


@pytest.mark.parametrize(
    ("program", "words"),
    [("/bin/false", "it ended without a word"), ("/nonexistent/pasta", "No such file")],
)
def test_a_program_that_fails_is_an_error_with_its_words(program, words):
    def parent():
        namespace = Namespace(lambda: None)
        try:
            chosen = choice.Choice("pasta", program)
            pasta.start(chosen, f"/proc/{namespace.pid}/ns/net", (), forward_dns=False).wait_ready()
        except RootlessError as error:
            return error.message, error.hint
        return None

    message, hint = in_child(parent)
    assert message.startswith(f"{os.path.basename(program)} could not connect the container: ")
    assert words in message
    assert "--network host" in hint


@pytest.mark.needs("pasta")
def test_a_host_without_a_network_is_an_error_with_its_words():
    def parent():
        linux.unshare(linux.CLONE_NEWNET)
        namespace = Namespace(lambda: None)
        attached, _ = start("pasta", namespace.pid, "", "/nonexistent")
        try:
            attached.wait_ready()
        except RootlessError as error:
            return error.message
        return None

    assert "pasta could not connect the container: " in in_child(parent)


@pytest.mark.needs("slirp4netns")
def test_slirp4netns_has_no_ipv6_to_publish_on(tmp_path):
    with pytest.raises(RootlessError, match="cannot publish a port on ::1"):
        start("slirp4netns", os.getpid(), "[::1]::80", str(tmp_path))


@pytest.mark.parametrize("mode", BOTH)
def test_published_ports_are_free_again_after_stop(mode, tmp_path):
    def parent():
        namespace = Namespace(lambda: None)
        attached, mappings = start(mode, namespace.pid, "80-89", str(tmp_path))
        attached.wait_ready()
        taken = [not _is_free(mapping) for mapping in mappings]
        attached.stop()
        return all(taken), ports.claim(mappings) == mappings

    assert in_child(parent) == (True, True)


def _is_free(mapping: ports.PortMapping) -> bool:
    try:
        ports.claim((mapping,))
    except RootlessError:
        return False
    return True
