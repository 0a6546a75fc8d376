"""What a container is started with, as far as it can be said without starting one."""

from __future__ import annotations

import pytest

from rootless.container import start
from rootless.container.spec import ContainerSpec
from rootless.network import choice, dns
from rootless.oci.digest import Digest

STUB = "# of systemd-resolved\nnameserver 127.0.0.53\nsearch lan\n"
PLAIN = "# by hand\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch lan\n"


@pytest.mark.parametrize(
    ("mode", "host", "servers", "expected"),
    [
        ("none", PLAIN, (), ""),
        ("none", PLAIN, ("9.9.9.9",), ""),
        ("host", STUB, (), STUB),
        ("host", PLAIN, (), PLAIN),
        ("host", STUB, ("9.9.9.9",), "# of systemd-resolved\nsearch lan\nnameserver 9.9.9.9\n"),
        ("pasta", PLAIN, (), PLAIN),
        ("pasta", PLAIN, ("9.9.9.9",), "# by hand\nsearch lan\nnameserver 9.9.9.9\n"),
        ("slirp4netns", STUB, (), "# of systemd-resolved\nsearch lan\nnameserver 10.0.2.3\n"),
    ],
)
def test_whom_a_container_asks_for_names(monkeypatch, mode, host, servers, expected):
    """The host's own resolver is not there in another network; --dns counts in every one."""
    monkeypatch.setattr(dns, "of_host", lambda: host)
    spec = ContainerSpec("0" * 64, "web", "busybox", Digest.of(b"x"), 1.5, dns=servers)
    links = start.Links(choice.Choice(mode))
    assert start._resolv_conf(spec, links) == expected
