from __future__ import annotations

import socket

import pytest

from rootless.errors import RootlessError, UsageError
from rootless.network.ports import PortMapping, claim, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [PortMapping(80)]),
        ("8080:80", [PortMapping(80, 8080)]),
        ("8080:80/tcp", [PortMapping(80, 8080)]),
        ("53:53/udp", [PortMapping(53, 53, "", "udp")]),
        ("127.0.0.1:8080:80/udp", [PortMapping(80, 8080, "127.0.0.1", "udp")]),
        ("127.0.0.1::80", [PortMapping(80, 0, "127.0.0.1")]),
        ("[::1]:8080:80", [PortMapping(80, 8080, "::1")]),
        ("[::]::80", [PortMapping(80, 0, "::")]),
        ("8000-8002:80-82", [PortMapping(80 + n, 8000 + n) for n in range(3)]),
        ("80-81", [PortMapping(80), PortMapping(81)]),
        ("1:65535", [PortMapping(65535, 1)]),
        ("0:80", [PortMapping(80)]),
        ("127.0.0.1:0:80", [PortMapping(80, 0, "127.0.0.1")]),
        ("8000-8010:80", [PortMapping(80, 8000, "", "tcp", 8010)]),
    ],
)
def test_every_form(text, expected):
    assert parse(text) == tuple(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not a port or a range"),
        ("http", "'http' is not a port or a range"),
        ("8080:", "'' is not a port or a range"),
        ("0", "'0' is not within 1-65535"),
        ("80:65536", "'65536' is not within"),
        ("999999:80", "'999999' is not a port"),
        ("²:80", "'²' is not a port"),
        ("-1:80", "'-1' is not a port"),
        ("90-80:80-90", "the range '90-80' ends before it begins"),
        ("8000-8010:80-81", "the two ranges differ in length"),
        ("80:8000-8010", "the two ranges differ in length"),
        ("80/sctp", "'sctp' cannot be forwarded"),
        ("80/TCP", "'TCP' cannot be forwarded"),
        ("1.2.3:80:80", "'1.2.3' is not an IPv4 address"),
        ("localhost:80:80", "'localhost' is not an IPv4 address"),
        ("::1:80:80", "'' is not an IPv4 address"),
        ("[::1:80:80", "'' is not a port or a range"),
        ("[127.0.0.1]:80:80", "is not an IPv6 address"),
    ],
)
def test_anything_else_is_a_usage_error_that_says_why(text, reason):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.message.startswith(f"cannot publish port {text!r}: ")
    assert reason in caught.value.message
    assert "127.0.0.1:8080:80" in caught.value.hint


def test_any_free_port_is_found():
    (claimed,) = claim(parse("80"))
    assert 1024 <= claimed.host_port <= 65535
    assert claimed == PortMapping(80, claimed.host_port)


@pytest.mark.parametrize(("listen", "publish"), [("0.0.0.0", ""), ("127.0.0.1", "127.0.0.1")])
def test_a_port_in_use_is_named(listen, publish):
    with socket.create_server((listen, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(RootlessError, match=f"port {port}/tcp on .* is already in use"):
            claim((PortMapping(80, port, publish),))
    assert claim((PortMapping(80, port, publish),)) == (PortMapping(80, port, publish),)


def test_the_first_of_several_that_is_free_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (claimed,) = claim((PortMapping(80, port, "127.0.0.1", "tcp", port + 20),))
        assert port < claimed.host_port <= port + 20
        assert claimed.last_port == 0
        with pytest.raises(RootlessError, match=f"port {port}/tcp on .* is already in use"):
            claim((PortMapping(80, port, "127.0.0.1", "tcp", port),))


def test_udp_and_tcp_are_apart():
    with socket.create_server(("0.0.0.0", 0)) as server:
        mapping = PortMapping(80, server.getsockname()[1], protocol="udp")
        assert claim((mapping,)) == (mapping,)


def test_a_low_port_is_explained():
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as limit:
        if int(limit.read()) <= 81:
            pytest.skip("this machine lets everybody have port 81")
    with pytest.raises(RootlessError, match="port 81/tcp on this machine is reserved") as caught:
        claim(parse("81:80"))
    assert "ip_unprivileged_port_start" in caught.value.hint


def test_an_address_of_another_machine():
    with pytest.raises(RootlessError, match="cannot publish port 8080/tcp on 198"):
        claim(parse("198.51.100.7:8080:80"))


def test_text_is_dockers():
    assert str(PortMapping(80, 8080)) == "0.0.0.0:8080->80/tcp"
    assert str(PortMapping(80, 8080, "::1", "udp")) == "[::1]:8080->80/udp"
