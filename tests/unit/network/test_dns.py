from __future__ import annotations

import pytest

from rootless.network import dns

RESOLVED = "# managed by systemd-resolved\nnameserver 127.0.0.53\noptions edns0\nsearch lan\n"
PLAIN = "search example.org\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"


def test_resolvers_that_can_be_reached_stay_as_they_are():
    assert not dns.needs_forwarder(PLAIN)
    assert dns.resolv_conf(PLAIN, "169.254.1.1") == PLAIN


def test_a_resolver_on_loopback_is_replaced_and_options_stay():
    assert dns.needs_forwarder(RESOLVED)
    text = dns.resolv_conf(RESOLVED, "169.254.1.1")
    assert text == (
        "# managed by systemd-resolved\noptions edns0\nsearch lan\nnameserver 169.254.1.1\n"
    )


def test_loopback_goes_and_the_others_stay():
    mixed = "nameserver ::1\nnameserver 127.0.0.1\nnameserver 192.0.2.53"
    assert dns.resolv_conf(mixed, "169.254.1.1") == "nameserver 192.0.2.53\n"


@pytest.mark.parametrize("empty", ["", "\n", "nameserver\n", "options ndots:2\n"])
def test_without_a_resolver_the_c_library_would_ask_loopback(empty):
    assert dns.needs_forwarder(empty)
    assert dns.resolv_conf(empty, "10.0.2.3").endswith("nameserver 10.0.2.3\n")


@pytest.mark.parametrize("host", [PLAIN, RESOLVED])
def test_servers_asked_for_replace_the_hosts(host):
    text = dns.resolv_conf(host, "169.254.1.1", ("192.0.2.1", "192.0.2.2"))
    servers = [line for line in text.splitlines() if line.startswith("nameserver")]
    assert servers == ["nameserver 192.0.2.1", "nameserver 192.0.2.2"]
    assert "search" in text


def test_hosts():
    lines = dns.hosts("box", "10.0.2.100", (("192.0.2.7", "db db.lan"),)).splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost"
    assert lines[-2:] == ["192.0.2.7\tdb db.lan", "10.0.2.100\tbox"]
    assert "::1\tlocalhost ip6-localhost ip6-loopback" in lines
