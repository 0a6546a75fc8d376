"""iperf3 and curl in images built here: what they send arrives, on every kind of network."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import random
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import bridged, child, machine
from tests.support.page import until

pytestmark = pytest.mark.needs("userns", "overlay", "busybox", "curl", "iperf3")
BODY = random.Random(8).randbytes(5_000_000)
SERVE = "httpd -h /srv && exec iperf3 -s --forceflush"
CURL = "curl -sSf --noproxy '*' -o got {0} && sha256sum got"
OUTSIDE = ("--add-host", "outside:host-gateway")
Run = Callable[..., str]
"""Runs a command somewhere and returns what it wrote."""


@pytest.fixture(scope="module")
def built(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("programs")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    for file in {*_with_libraries("curl"), *_with_libraries("iperf3")}:
        copy = folder / "root" / file.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    (folder / "root" / "srv").mkdir()
    (folder / "root" / "srv" / "body").write_bytes(BODY)
    (folder / "Dockerfile").write_text(f"FROM busybox\nCOPY . /\nCMD {SERVE}\n")
    command.ok("build", "-q", "-t", "programs", "-f", folder / "Dockerfile", folder / "root")
    yield command
    bridged.end(command.root / "networks")
    child.remove_tree(folder / "store")


def _with_libraries(name: str) -> list[Path]:
    """A program of this machine, and what it is loaded with."""
    program = machine.program(name)
    assert program
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [Path(program), *map(Path, re.findall(r"(/\S+) \(0x", said))]


@pytest.fixture
def store(built):
    """The command; every container and network is gone afterwards."""
    yield built
    for name in built.ok("ps", "-aq").split():
        built("rm", "-f", name)
    built.ok("network", "prune", "--force")


@pytest.fixture
def host(tmp_path) -> Run:
    def run(*words: str) -> str:
        answer = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    return run


def inside(store, network: str, *flags: str) -> Run:
    return partial(store.ok, "run", "--rm", "--network", network, *flags, "programs")


class Server:
    """The container `server`, of which curl gets BODY, and iperf3 one test after the other."""

    def __init__(self, store: Rootless, *flags: str) -> None:
        self._store, self._tests = store, 0
        store.ok("run", "-d", "--name", "server", *flags, "programs")
        self._wait()

    def _wait(self) -> None:
        """Between two tests nobody listens, so its log is asked, which says when it does again."""
        log = partial(self._store.ok, "logs", "server")
        until(log, lambda said: said.count("Server listening") > self._tests, "the server")

    def port(self, number: int) -> str:
        """Which port of the machine's loopback is published for this one."""
        address, _, port = self._store.ok("port", "server", str(number)).strip().partition(":")
        assert address == "127.0.0.1"
        return port

    def measure(self, run: Run, *flags: str) -> dict:
        """The report of one test with that client; the other side has received something."""
        report = json.loads(run("iperf3", "-J", "-t", "1", *flags))
        assert "error" not in report
        received = report["end"]["sum_received"]
        assert received["bytes"] > 0
        self._tests += 1
        self._wait()
        return report


@contextlib.contextmanager
def served(body: bytes, folder: Path) -> Iterator[int]:
    """The port at which /body is served on every address of the machine."""
    (folder / "body").write_bytes(body)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), handler) as outside:
        threading.Thread(target=outside.serve_forever, daemon=True).start()
        yield outside.server_port
        outside.shutdown()


def fetched(run: Run, url: str, flags: str = "") -> bool:
    """Whether curl gets BODY, byte for byte."""
    said = run("sh", "-c", CURL.format(f"{flags} {url}"))
    return said.split()[0] == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_a_user_network_by_name(store, family):
    store.ok("network", "create", *(["--ipv6"] if family == "-6" else []), "web")
    server, client = Server(store, "--network", "web"), inside(store, "web")
    assert fetched(client, "http://server/body", family)
    field = {"-4": "IPAddress", "-6": "GlobalIPv6Address"}[family]
    template = f"{{{{.NetworkSettings.Networks.web.{field}}}}}"
    address = store.ok("inspect", "-f", template, "server").strip()
    for kind in ((), ("-u",)):
        report = server.measure(client, family, "-c", "server", *kind)
        assert report["start"]["connected"][0]["remote_host"] == address
    counted = report["end"]["sum_received"]
    assert counted["packets"] > counted["lost_packets"]


@pytest.mark.needs("network")
@pytest.mark.parametrize("network", ["pasta", "slirp4netns"])
def test_ports_published_on_the_hosts_loopback(store, host, network):
    machine.require(network)
    publish = ("-p", "127.0.0.1:0:80", "-p", "127.0.0.1:0:5201")
    server = Server(store, "--network", network, *publish)
    assert fetched(host, f"http://127.0.0.1:{server.port(80)}/body")
    to = ("-c", "127.0.0.1", "-p", server.port(5201))
    assert server.measure(host, *to)["start"]["test_start"]["reverse"] == 0
    assert server.measure(host, *to, "-R")["start"]["test_start"]["reverse"] == 1


def test_the_network_of_another_container(store):
    server, client = Server(store, "--network", "none"), inside(store, "container:server")
    assert fetched(client, "http://127.0.0.1/body")
    server.measure(client, "-c", "127.0.0.1")


@pytest.mark.needs("pasta", "network")
def test_an_internal_network_refuses_the_outside(store, tmp_path):
    store.ok("network", "create", "open")
    store.ok("network", "create", "--internal", "closed")
    Server(store, "--network", "closed")
    assert fetched(inside(store, "closed"), "http://server/body")
    ask = ("run", "--rm", "--network", "closed", *OUTSIDE, "--cap-add", "NET_ADMIN", "programs")
    with served(BODY, tmp_path) as port:
        url = f"http://outside:{port}/body"
        assert fetched(inside(store, "open", *OUTSIDE), url), "others reach it"
        refused = store(*ask, "sh", "-c", CURL.format(url))
        bent = CURL.format(f"--connect-timeout 3 {url}")
        script = f"ip route add default via {gateway(store, 'closed')} && {bent}"
        dropped = store(*ask, "sh", "-c", script)
    assert (refused.exit, refused.stdout) == (7, ""), "no route leads there"
    assert (dropped.exit, dropped.stdout) == (28, ""), "nor does one of its own"


def gateway(store, network: str) -> str:
    """The address of a network's gateway."""
    template = "{{(index .IPAM.Config 0).Gateway}}"
    found: str = store.ok("network", "inspect", "-f", template, network)
    return found.strip()
