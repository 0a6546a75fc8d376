"""Blocks of addresses, and which one is next."""

from __future__ import annotations

import ipaddress

import pytest

from rootless.errors import RootlessError, UsageError
from rootless.network import addresses
from rootless.network.addresses import block


@pytest.mark.parametrize("text", ["10.20.0.0/16", "10.0.0.4/30", "192.168.7.9/32", "fd00:1::/64"])
def test_it_is_what_ipaddress_says(text):
    ours, theirs = block(text), ipaddress.ip_network(text)
    assert str(ours) == str(theirs)
    assert ours.size == theirs.num_addresses
    if theirs.version == 4 and theirs.prefixlen < 31:
        assert [*ours.hosts()] == [int(one) for one in theirs.hosts()]
    assert ours.holds(str(theirs[-1]))
    assert not ours.holds(str(theirs[-1] + 1))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.1/24", "it should be 10.0.0.0/24"),
        ("10.0.0.0", "no length"),
        ("10.0.0.0/", "no length"),
        ("10.0.0.0/33", "no length"),
        ("10.0.0.0/²", "no length"),
        ("fd00::/129", "no length"),
        ("nonsense/8", "not an IP address"),
        ("10.0.0/8", "not an IP address"),
        ("127.0.0.0/24", "another use"),
        ("0.0.0.0/0", "another use"),
        ("fe80::/64", "another use"),
        ("10.0.0.0\0/8", "not an IP address"),
    ],
)
def test_what_is_no_subnet_is_said(text, why):
    with pytest.raises(UsageError, match=why):
        block(text)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("10.0.0.0/8", "10.9.0.0/16", True),
        ("10.9.0.0/16", "10.0.0.0/8", True),
        ("10.0.0.0/24", "10.0.1.0/24", False),
        ("10.0.0.0/24", "10.0.0.0/24", True),
        ("fd00::/64", "10.0.0.0/24", False),
    ],
)
def test_overlaps(one, other, expected):
    assert block(one).overlaps(block(other)) is expected


def test_the_next_block_is_one_that_nobody_has():
    taken = []
    for _ in range(14 + 16):
        taken.append(addresses.free_block(taken))
    assert str(taken[0]) == "172.18.0.0/16"
    assert str(taken[14]) == "192.168.0.0/20"
    assert str(taken[-1]) == "192.168.240.0/20"
    assert not any(a.overlaps(b) for a in taken for b in taken if a is not b)
    with pytest.raises(RootlessError, match="fully subnetted"):
        addresses.free_block(taken)
    assert str(addresses.free_block([block("172.16.0.0/12")])) == "192.168.0.0/20"


def test_the_next_address_is_the_lowest_that_is_free():
    within = block("10.0.0.0/29")
    taken: set[int] = set()
    found = []
    for _ in range(6):
        found.append(addresses.free_address(within, taken, "net"))
        taken.add(addresses.read(found[-1])[0])
    assert found == [f"10.0.0.{last}" for last in range(1, 7)]
    with pytest.raises(RootlessError, match="net has no free address left"):
        addresses.free_address(within, taken, "net")
    assert addresses.free_address(block("fd00::/64"), (), "net") == "fd00::1"
