"""User-defined networks as a user types them: made, run on, joined, left, removed; and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest

from rootless import living
from rootless.network import holder, networks
from tests.conftest import Rootless
from tests.support import bridged, child

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")
WEB = ("sh", "-c", "echo hello >/index.html; exec httpd -f -h /")
FETCH = r"""
for i in $(seq 50); do
  at=$(nslookup {0} 2>/dev/null | sed -n 's/^Address: *\([0-9.]*\)$/\1/p')
  timeout 5 wget -qO- http://${{at:-{0}}}/ && exit
  sleep 0.1
done
exit 1"""  # a static busybox of Debian cannot ask for names in wget


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("networks")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    bridged.end(command.root / "networks")
    child.remove_tree(folder / "store")


@pytest.fixture
def rootless(store):
    """The command; every container and network is gone afterwards."""
    yield store
    for name in store.ok("ps", "-aq").split():
        store("rm", "-f", name)
    store.ok("network", "prune", "--force")
    assert store.ok("network", "ls", "-q", "--filter", "type=custom") == ""


def wget(host: str) -> tuple[str, str, str]:
    """A command that shows what a server says as soon as it is there."""
    return "sh", "-c", FETCH.format(host)


def inspected(rootless, name: str, template: str) -> object:
    return json.loads(rootless.ok("inspect", "-f", template, name))


def server(rootless, *flags: str, name: str = "server") -> str:
    return rootless.ok("run", "-d", "--name", name, *flags, "busybox", *WEB).strip()


def test_two_reach_each_other_by_name(rootless):
    rootless.ok("network", "create", "web")
    identity = server(rootless, "--network", "web", "--network-alias", "db")
    run = ("run", "--rm", "--network", "web", "busybox")
    for name in ("server", "db", identity[:12], "server.web"):
        assert rootless.ok(*run, *wget(name)) == "hello\n"
    assert rootless(*run, "nslookup", "other").exit != 0
    found = inspected(rootless, "server", "{{json .NetworkSettings.Networks.web}}")
    assert isinstance(found, dict)
    assert found["IPAddress"].startswith("172.")
    assert found["Gateway"]
    assert found["DNSNames"] == ["server", identity[:12], "db"]
    [shown] = json.loads(rootless.ok("network", "inspect", "web"))
    assert shown["Containers"][identity]["Name"] == "server"
    assert shown["Containers"][identity]["IPv4Address"] == f"{found['IPAddress']}/16"
    hosts = rootless.ok(*run[:-1], "--hostname", "me", "busybox", "cat", "/etc/hosts")
    assert hosts.splitlines()[-1].endswith("\tme")
    assert hosts.splitlines()[-1].startswith("172.")
    assert rootless.ok("ps", "--format", "{{.Networks}}") == "web\n"
    rootless.ok("rm", "-f", "server")
    assert rootless(*run, "nslookup", "server").exit != 0, "its name goes with it"
    assert json.loads(rootless.ok("network", "inspect", "web"))[0]["Containers"] == {}


def test_an_internal_network_has_no_way_out(rootless):
    rootless.ok("network", "create", "--internal", "closed")
    server(rootless, "--network", "closed")
    run = ("run", "--rm", "--network", "closed", "busybox")
    assert rootless.ok(*run, *wget("server")) == "hello\n"
    assert "default" not in rootless.ok(*run, "ip", "route")
    assert rootless(*run, "nslookup", "example.org").exit != 0


@pytest.mark.needs("pasta", "network")
def test_published_ports(rootless):
    rootless.ok("network", "create", "web")
    server(rootless, "--network", "web", "-p", "127.0.0.1:0:80")
    where = rootless.ok("port", "server", "80").strip()
    assert rootless.ok("port", "server") == f"80/tcp -> {where}\n"
    rootless.ok("run", "--rm", "--network", "web", "busybox", *wget("server"))
    with urllib.request.urlopen(f"http://{where}/", timeout=60) as answer:
        assert answer.read() == b"hello\n"
    port = where.rpartition(":")[2]
    taken = rootless("run", "--rm", "--network", "web", "-p", f"{where}:80", "busybox", "true")
    assert taken.exit == 125
    assert f"port {port}/tcp on 127.0.0.1 is already in use" in taken.stderr
    missing = rootless("port", "server", "81")
    assert (missing.exit, missing.stdout) == (1, "")
    assert "no public port '81/tcp' published for server" in missing.stderr
    rootless.ok("rm", "-f", "server")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{where}/", timeout=60)


def test_one_that_publishes_a_port_ends_as_others_do(rootless):
    rootless.ok("network", "create", "ending")
    publish = ("--network", "ending", "-p", "127.0.0.1:0:80")
    ended = rootless("run", "--rm", *publish, "busybox", "sh", "-c", "exit 7", timeout=60)
    assert ended.exit == 7
    trap = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    rootless.ok("run", "-d", "--name", "server", *publish, "busybox", "sh", "-c", trap)
    while rootless.ok("logs", "server") != "ready\n":
        time.sleep(0.05)
    rootless.ok("stop", "-t", "60", "server")
    assert rootless.ok("wait", "server") == "9\n"


@pytest.mark.needs("pasta", "network")
def test_every_exposed_port_is_published(rootless):
    rootless.ok("network", "create", "web")
    flags = ("-P", "--expose", "80", "--expose", "90-91/udp")
    server(rootless, "--network", "web", *flags)
    lines = rootless.ok("port", "server").splitlines()
    names = {line.partition(" -> ")[0] for line in lines}
    assert names == {"80/tcp", "90/udp", "91/udp"}


def test_the_network_of_another_container(rootless):
    rootless.ok("network", "create", "web")
    server(rootless, "--network", "web", "--hostname", "box")
    run = ("run", "--rm", "--network", "container:server", "busybox")
    assert rootless.ok(*run, *wget("127.0.0.1")) == "hello\n"
    seen = rootless.ok(*run, "sh", "-c", "hostname; cat /etc/resolv.conf; cat /etc/hosts")
    gateway = inspected(rootless, "server", "{{json .NetworkSettings.Networks.web.Gateway}}")
    assert seen.startswith("box\n")
    assert f"nameserver {gateway}\n" in seen
    server(rootless, "--network", "none", name="alone")
    again = ("run", "--rm", "--network", "container:alone", "busybox")
    assert rootless.ok(*again, *wget("127.0.0.1")) == "hello\n"
    rootless.ok("stop", "-t", "0", "alone")
    refused = rootless(*again, "true")
    assert refused.exit == 125
    assert "cannot join network of a non running container" in refused.stderr
    rootless.ok("create", "--name", "later", "--network", "container:alone", "busybox", "true")
    not_yet = rootless("start", "later")
    assert "cannot join network of a non running container" in not_yet.stderr
    conflict = rootless("run", "--network", "container:server", "-p", "80", "busybox", "true")
    assert "conflicting options: port publishing and the container type network mode" in (
        conflict.stderr
    )


def test_networks_are_joined_and_left_while_it_runs(rootless):
    for name in ("front", "back"):
        rootless.ok("network", "create", name)
    server(rootless, "--network", "front")
    run = ("run", "--rm", "--network", "back", "busybox")
    assert rootless(*run, "nslookup", "base").exit != 0
    rootless.ok("network", "connect", "--alias", "base", "back", "server")
    assert rootless.ok(*run, *wget("base")) == "hello\n"
    again = rootless("network", "connect", "back", "server")
    assert (again.exit, again.stdout) == (1, "")
    assert "endpoint with name server already exists in network back" in again.stderr
    used = rootless("network", "rm", "front")
    assert used.exit == 1
    assert 'has active endpoints (name:"server" id:"' in used.stderr
    rootless.ok("network", "disconnect", "front", "server")
    assert rootless.ok("network", "rm", "front") == "front\n"
    assert rootless.ok(*run, *wget("base")) == "hello\n"
    rootless.ok("restart", "-t", "0", "server")
    assert rootless.ok(*run, *wget("base")) == "hello\n", "it is kept"
    wrong = rootless("network", "disconnect", "back", "serve")
    assert "No such container: serve" in wrong.stderr


def test_a_created_container_is_connected_and_then_started(rootless):
    rootless.ok("network", "create", "web")
    rootless.ok("create", "--name", "server", "busybox", *WEB)
    rootless.ok("network", "connect", "web", "server")
    rootless.ok("start", "server")
    run = ("run", "--rm", "--network", "web", "busybox")
    assert rootless.ok(*run, *wget("server")) == "hello\n"
    rootless.ok("network", "disconnect", "web", "server")
    assert rootless(*run, "nslookup", "server").exit != 0
    never = rootless("network", "disconnect", "web", "server")
    assert "is not connected to network web" in never.stderr


def _devices(rootless, name: str) -> list[str]:
    return sorted(rootless.ok("exec", name, "ls", "/sys/class/net").split())


@pytest.mark.parametrize("made_again_by", ["nobody", "connect", "run"])
def test_taken_off_its_only_network_it_is_connected_again_while_it_runs(rootless, made_again_by):
    """Whether the holder is there still, or must be made again around it."""
    rootless.ok("network", "create", "web")
    identity = server(rootless, "--network", "web", "--network-alias", "db")
    run = ("run", "--rm", "--network", "web", "busybox")
    for _ in range(2):
        rootless.ok("network", "disconnect", "web", "server")
        assert _devices(rootless, "server") == ["lo"]
        assert inspected(rootless, "server", "{{json .NetworkSettings.Networks}}") == {}
        assert inspected(rootless, "server", "{{json .HostConfig.NetworkMode}}") == "web"
        known = networks.Networks(str(rootless.root / "networks"))
        [off] = known.off(identity)
        if made_again_by != "nobody":
            held = holder.find(known)
            assert held
            assert living.kill(held.process, 60)
        if made_again_by == "run":
            server(rootless, "--network", "web", name="other")
            rootless.ok("rm", "-f", "other")
        rootless.ok("network", "connect", "--alias", "again", "web", "server")
        assert _devices(rootless, "server") == ["eth0", "lo"]
        assert rootless.ok(*run, *wget("again")) == "hello\n"
        assert known.off(identity) == []
        assert living.is_alive(off.owner)
    rootless.ok("stop", "-t", "0", "server")
    rootless.ok("start", "server")
    assert rootless.ok(*run, *wget("again")) == "hello\n", "it is kept"


def test_taken_off_its_only_network_it_starts_on_none_and_is_connected_again(rootless):
    rootless.ok("network", "create", "first")
    rootless.ok("network", "create", "web")
    identity = server(rootless, "--network", "first", "-p", "127.0.0.1::80")
    rootless.ok("network", "disconnect", "first", "server")
    rootless.ok("network", "rm", "first")
    rootless.ok("restart", "-t", "0", "server")
    assert _devices(rootless, "server") == ["lo"]
    run = ("run", "--rm", "--network", "web", "busybox")
    rootless.ok("network", "connect", "web", "server")
    assert rootless.ok(*run, *wget("server")) == "hello\n"
    where = rootless.ok("port", "server", "80").strip()
    with urllib.request.urlopen(f"http://{where}/", timeout=30) as answer:
        assert answer.read() == b"hello\n"
    rootless.ok("network", "disconnect", "web", "server")
    rootless.ok("stop", "-t", "0", "server")
    known = networks.Networks(str(rootless.root / "networks"))
    assert known.recorded("off") == (), "nothing is left of one that ended"
    rootless.ok("network", "connect", "web", "server")
    rootless.ok("start", "server")
    assert rootless.ok(*run, *wget("server")) == "hello\n"
    assert rootless.ok("ps", "--format", "{{.Networks}}") == "web\n"
    assert identity in rootless.ok("network", "inspect", "web")


@pytest.mark.parametrize("network", ["none", "container:base"])
def test_one_without_networks_of_its_own_is_never_connected(rootless, network):
    """As in docker, running or not, and the way out is one that works."""
    rootless.ok("network", "create", "web")
    server(rootless, "--network", "web", name="base")
    rootless.ok("run", "-d", "--name", "server", "--network", network, "busybox", "sleep", "1000")
    for _ in range(2):
        wrong = rootless("network", "connect", "web", "server")
        assert wrong.exit == 1
        assert "cannot connect container server" in wrong.stderr
        assert "create it again with --network NAME" in wrong.stderr
        rootless.ok("stop", "-t", "0", "server")


def test_a_network_that_differs_by_a_letter_is_named(rootless):
    rootless.ok("network", "create", "shop")
    for words in (("network", "rm", "shp"), ("network", "inspect", "shp"),
                  ("run", "--rm", "--network", "shopp", "busybox", "true")):  # fmt: skip
        wrong = rootless(*words)
        assert wrong.exit != 0
        assert "hint: did you mean shop?\n" in wrong.stderr
    far = rootless("network", "rm", "elsewhere")
    assert "rootless network create elsewhere" in far.stderr


def test_what_is_killed_gives_its_address_back(rootless):
    rootless.ok("network", "create", "--subnet", "10.77.0.0/29", "small")
    server(rootless, "--network", "small")
    address = inspected(rootless, "server", "{{json .NetworkSettings.Networks.small.IPAddress}}")
    [(_, endpoint)] = networks.Networks(str(rootless.root / "networks")).of_container(
        rootless.ok("inspect", "-f", "{{.Id}}", "server").strip()
    )
    os.kill(endpoint.owner.pid, signal.SIGKILL)
    while living.is_alive(endpoint.owner):
        time.sleep(0.01)
    server(rootless, "--network", "small", name="second")
    again = inspected(rootless, "second", "{{json .NetworkSettings.Networks.small.IPAddress}}")
    assert again == address


def test_a_killed_holder_is_made_again(rootless):
    rootless.ok("network", "create", "web")
    server(rootless, "--network", "web")
    known = networks.Networks(str(rootless.root / "networks"))
    first = holder.find(known)
    assert first
    assert living.kill(first.process, 60)
    run = ("run", "--rm", "--network", "web", "busybox")
    assert rootless.ok(*run, *wget("server")) == "hello\n"
    second = holder.find(known)
    assert second
    assert second != first


def test_a_monitor_that_starts_its_container_again_makes_the_holder_again(rootless):
    """It is in the user namespace of the killed one, and stays there."""
    rootless.ok("network", "create", "web")
    rootless.ok(
        *("run", "-d", "--name", "again", "--network", "web", "--restart", "always"),
        *("busybox", "sleep", "2"),
    )
    known = networks.Networks(str(rootless.root / "networks"))
    first = holder.find(known)
    assert first
    assert living.kill(first.process, 60)
    until = time.monotonic() + 120
    while (second := holder.find(known)) is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert second != first
    looked = rootless.ok(
        "run", "--rm", "--network", "web", "--link", "again:it", "busybox", "ip", "a"
    )
    assert "172." in looked


def test_several_at_once(rootless):
    rootless.ok("network", "create", "web")
    script = "ip -4 addr show eth0 | grep -o '172[0-9.]*/'; sleep 2"
    started = [
        subprocess.Popen(
            rootless.command("run", "--rm", "--network", "web", "busybox", "sh", "-c", script),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    found = [one.communicate()[0].strip() for one in started]
    assert [one.returncode for one in started] == [0] * 4
    assert len(set(found)) == 4
    assert all(found)


def test_flags_that_need_a_network(rootless):
    rootless.ok("network", "create", "--subnet", "10.78.0.0/24", "web")
    for flags, words in (
        (("--ip", "10.78.0.9"), "user-defined networks only"),
        (("--network-alias", "x"), "user-defined networks only"),
        (("--network", "wed"), "network wed not found"),
        (("--network", "web", "--network", "host"), "cannot attach both user-defined and non"),
        (("--network", "web", "--ip", "10.79.0.9"), "no configured subnet"),
        (("--network", "web", "--ip", "x"), "'x' is not an IP address"),
        (("--network", "name=web,speed=9"), "invalid field speed"),
        (("--network", "alias=web"), "names no network"),
        (("--network", "web", "--mac-address", "12:34"), "not a valid mac address"),
        (("--network", "container:nothing"), "No such container"),
    ):
        refused = rootless("run", "--rm", *flags, "busybox", "true")
        assert refused.exit == 125, flags
        assert words in refused.stderr
    script = "ip addr show eth0; cat /etc/resolv.conf /etc/hosts"
    flags = ("--network", "name=web,ip=10.78.0.77,alias=x", "--mac-address", "02:00:00:00:00:07")
    more = ("--dns-search", "lan.test", "--dns-option", "ndots:3", "--domainname", "dom.test")
    seen = rootless.ok(
        "run", "--rm", *flags, *more, "--hostname", "me", "busybox", "sh", "-c", script
    )
    for part in (
        *("10.78.0.77/24", "02:00:00:00:00:07", "search lan.test\n", "options ndots:3\n"),
        *("10.78.0.77\tme.dom.test me\n", "nameserver 10.78.0.1\n"),
    ):
        assert part in seen


def test_networks_are_listed_and_shown_as_by_docker(rootless):
    first = rootless.ok("network", "create", "--label", "a=b", "web").strip()
    rootless.ok(
        *("network", "create", "--subnet", "10.33.0.0/24", "--gateway", "10.33.0.9"),
        *("--ip-range", "10.33.0.128/25", "--aux-address", "a=10.33.0.200", "--internal"),
        *("-o", "com.docker.network.driver.mtu=1400", "--ipv6", "full"),
    )
    lines = rootless.ok("network", "ls").splitlines()
    assert lines[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    assert [line.split()[1:] for line in lines[1:]] == [
        ["bridge", "bridge", "local"],
        ["full", "bridge", "local"],
        ["host", "host", "local"],
        ["none", "null", "local"],
        ["web", "bridge", "local"],
    ]
    assert rootless.ok("network", "ls", "-q", "--filter", "label=a=b") == f"{first[:12]}\n"
    assert rootless.ok("network", "ls", "--filter", "name=fu", "--format", "{{.Name}}") == "full\n"
    row = json.loads(rootless.ok("network", "ls", "--filter", "name=web", "--format", "json"))
    assert sorted(row) == [
        *("CreatedAt", "Driver", "ID", "IPv4", "IPv6", "Internal", "Labels", "Name", "Scope")
    ]
    [web, full] = json.loads(rootless.ok("network", "inspect", "web", "full"))
    assert list(web) == [
        *("Name", "Id", "Created", "Scope", "Driver", "EnableIPv4", "EnableIPv6", "IPAM"),
        *("Internal", "Attachable", "Ingress", "ConfigFrom", "ConfigOnly", "Containers"),
        *("Options", "Labels"),
    ]
    assert full["IPAM"]["Config"][0] == {
        "Subnet": "10.33.0.0/24",
        "IPRange": "10.33.0.128/25",
        "Gateway": "10.33.0.9",
        "AuxiliaryAddresses": {"a": "10.33.0.200"},
    }
    assert full["IPAM"]["Config"][1]["Subnet"].startswith("fd")
    assert rootless("network", "exists", "web").exit == 0
    assert rootless("network", "exists", "wed").exit == 1
    half = rootless("network", "inspect", "web", "wed")
    assert half.exit == 1
    assert json.loads(half.stdout)[0]["Name"] == "web"
    assert "network wed not found" in half.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("web",), "network with name web already exists"),
        (("--subnet", "10.9.0.0/16", "x"), "Pool overlaps with other one on this address space"),
        (("--driver", "nope", "x"), 'plugin "nope" not found'),
        (("--driver", "macvlan", "x"), "needs the machine's own network devices"),
        (("--gateway", "10.1.1.1", "x"), "must have a corresponding subnet"),
        (("--subnet", "10.34.0.0/24", "--gateway", "10.35.0.1", "x"), "no matching subnet for"),
        (("--subnet", "10.34.0.1/24", "x"), "it should be 10.34.0.0/24"),
        (("--subnet", "10.34.0.0/24", "--ip-range", "10.35.0.0/25", "x"), "no matching subnet"),
        (("--subnet", "x", "x"), "is not an IP address"),
        (("bridge",), "not permitted on predefined bridge network"),
        (("a/b",), "invalid network name"),
        (("--ipv4=false", "x"), "IPv4 or IPv6 must be enabled"),
    ],
)
def test_networks_that_cannot_be(rootless, flags, words):
    rootless.ok("network", "create", "--subnet", "10.9.9.0/24", "web")
    refused = rootless("network", "create", *flags)
    assert refused.exit in (1, 125)
    assert refused.stdout == ""
    assert words in refused.stderr
    assert rootless.ok("network", "ls", "-q", "--filter", "type=custom").count("\n") == 1


def test_networks_are_removed(rootless):
    for name in ("one", "two"):
        rootless.ok("network", "create", name)
    some = rootless("network", "rm", "one", "nope", "bridge")
    assert (some.exit, some.stdout) == (1, "one\n")
    assert "network nope not found" in some.stderr
    assert "bridge is a pre-defined network and cannot be removed" in some.stderr
    assert rootless("network", "rm", "-f", "nope").exit == 0
    rootless.ok("create", "--name", "user", "--network", "two", "busybox", "true")
    assert rootless.ok("network", "prune", "--force") == "", "a container wants it"
    rootless.ok("rm", "user")
    assert rootless.ok("network", "prune", "--force") == "Deleted Networks:\ntwo\n\n"


def test_system_prune_takes_networks_of_what_it_removes(rootless):
    for name in ("unused", "stopped", "running"):
        rootless.ok("network", "create", name)
    rootless.ok("run", "--name", "over", "--network", "stopped", "busybox", "true")
    server(rootless, "--network", "running")
    said = rootless.ok("system", "prune", "--force")
    assert "Deleted Networks:\nstopped\nunused\n\n" in said
    assert rootless("network", "exists", "running").exit == 0


@pytest.mark.parametrize("is_running", [True, False])
def test_many_connect_it_at_once_and_rename_it_meanwhile(rootless, is_running):
    names = [f"net{number}" for number in range(6)]
    for name in names:
        rootless.ok("network", "create", name)
    start = ("run", "-d") if is_running else ("create",)
    rootless.ok(*start, "--network", "net0", "--name", "hub", "busybox", "sleep", "1000")
    number = rootless.ok("ps", "-aq").strip()
    every = [("network", "connect", name, number) for name in names[1:]]
    every += [("rename", number, "center"), ("update", "--restart", "on-failure:3", number)]
    running = [
        subprocess.Popen(rootless.command(*argv), env=rootless.environment, stderr=subprocess.PIPE)
        for argv in every
    ]
    said = [one.communicate(timeout=120)[1] for one in running]
    assert [one.returncode for one in running] == [0] * len(every), said
    form = "{{.Name}} {{.HostConfig.RestartPolicy.Name}} {{len .NetworkSettings.Networks}}"
    assert rootless.ok("inspect", "-f", form, number) == "/center on-failure 6\n"
    if is_running:
        shown = rootless.ok("exec", number, "ip", "-o", "-4", "addr")
        assert len(shown.splitlines()) == 7, "loopback, too"
        rootless.ok("restart", "-t", "0", number)
        assert len(rootless.ok("exec", number, "ip", "-o", "-4", "addr").splitlines()) == 7
    again = rootless("network", "connect", "net3", number)
    assert (again.exit, "already exists in network net3" in again.stderr) == (1, True)
