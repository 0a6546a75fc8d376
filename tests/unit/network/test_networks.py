"""Networks as files: found, made, refused; their endpoints as long as somebody answers for them."""

from __future__ import annotations

import json
import os

import pytest

from rootless import living
from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.network import bridge, networks
from rootless.network.networks import Network, Networks, Subnet
from rootless.network.wish import Wish


def made(folder, name="web", *subnets, **fields) -> Network:
    chosen = tuple(one if isinstance(one, Subnet) else Subnet(one, "") for one in subnets)
    wanted = Network(os.urandom(32).hex(), name, 1.5, chosen, **fields)
    return networks.defined(Networks(str(folder)), wanted)


def member(name="a", owner=None) -> bridge.Member:
    alive = owner or living.identify(os.getpid())
    assert alive
    return bridge.Member(os.urandom(32).hex(), name, alive, "/proc/1/fd/1")


def test_a_network_is_read_as_it_was_written(tmp_path):
    taken = Subnet("10.5.0.0/16", "10.5.0.9", "10.5.1.0/24", (("printer", "10.5.1.1"),))
    one = made(tmp_path, "web", taken, labels=(("a", "b"),), options=(("x", "y"),), internal=True)
    known = Networks(str(tmp_path))
    assert known.listing() == [one]
    assert known.find("web") == known.find(one.id) == known.find(one.id[:5]) == one
    assert one.bridge == f"ri{one.id[:12]}"
    assert len(one.bridge) <= 15


@pytest.mark.parametrize("text", ["", "we", "webb", "../web", "web.json", ".", "live", "holder"])
def test_another_name_finds_nothing(tmp_path, text):
    made(tmp_path)
    with pytest.raises(NotFoundError, match="not found"):
        Networks(str(tmp_path)).find(text)


def test_gateways_and_subnets_are_chosen(tmp_path):
    first, second = made(tmp_path, "a"), made(tmp_path, "b", ipv6=True)
    assert first.subnets == (Subnet("172.18.0.0/16", "172.18.0.1"),)
    assert second.subnets[0] == Subnet("172.19.0.0/16", "172.19.0.1")
    assert second.subnets[1].subnet.startswith("fd")
    assert second.subnets[1].gateway.endswith("::1")
    for clash in ("172.18.5.0/24", "172.16.0.0/12", "10.0.2.0/25"):
        with pytest.raises(RootlessError, match="Pool overlaps"):
            made(tmp_path, "c", clash)
    with pytest.raises(RootlessError, match="network with name a already exists"):
        made(tmp_path, "a")
    assert len(Networks(str(tmp_path)).listing()) == 2


@pytest.mark.parametrize(
    "name", ["", "host", "bridge", "none", "default", "a/b", "..", "-x", ".x", "a b", "x" * 129]
)
def test_names_that_cannot_be(name):
    with pytest.raises(UsageError):
        networks.check_name(name)


def test_addresses_are_given_and_given_back(tmp_path):
    net = made(tmp_path, "web", Subnet("10.5.0.0/24", "", "10.5.0.128/29", (("x", "10.5.0.128"),)))
    known = Networks(str(tmp_path))
    first, second = member("a"), member("b")
    with known.locked():
        [(_, one)] = bridge.reserve(known, first, [Wish("web")])
        [(_, two)] = bridge.reserve(known, second, [Wish("web", address="10.5.0.77")])
    assert (one.address, two.address) == ("10.5.0.129", "10.5.0.77")
    assert one.mac == "02:42:0a:05:00:81"
    assert known.endpoints(net) == (one, two)
    assert known.of_container(first.container) == [(net, one)]
    with known.locked():
        with pytest.raises(RootlessError, match="already exists in network web"):
            bridge.reserve(known, first, [Wish("web")])
        bridge.release(known, first.container)
    assert known.endpoints(net) == (two,)


def test_all_networks_or_none(tmp_path):
    net = made(tmp_path, "web", "10.5.0.0/24")
    known = Networks(str(tmp_path))
    with known.locked(), pytest.raises(NotFoundError):
        bridge.reserve(known, member(), [Wish("web"), Wish("wed")])
    with known.locked(), pytest.raises(RootlessError, match="named twice"):
        bridge.reserve(known, member(), [Wish("web"), Wish(net.id)])
    assert known.endpoints(net) == ()


def test_the_dead_have_no_endpoint(tmp_path):
    net = made(tmp_path, "web", "10.5.0.0/30")
    known = Networks(str(tmp_path))
    alive = living.identify(os.getpid())
    assert alive
    dead = alive.replace(started=alive.started - 1)  # its number is ours now
    with known.locked():
        bridge.reserve(known, member("gone", dead), [Wish("web")])
        assert known.endpoints(net) == ()
        [(_, one)] = bridge.reserve(known, member(), [Wish("web")])
    assert one.address == "10.5.0.2", "the only address there is"
    assert known.recorded(net.id) == (one,)


def test_damaged_files_are_named(tmp_path):
    made(tmp_path, "web")
    path = tmp_path / "web.json"
    for content in (b"", b"{", b"[]", b'{"id": 1}', b"null" * 2):
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match=r"web\.json"):
            Networks(str(tmp_path)).listing()


def test_files_are_plain_json(tmp_path):
    made(tmp_path, "web", "10.5.0.0/24")
    content = json.loads((tmp_path / "web.json").read_text())
    assert content["name"] == "web"
    assert content["subnets"][0]["gateway"] == "10.5.0.1"
