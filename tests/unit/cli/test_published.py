"""Ports as `ps` shows them."""

from __future__ import annotations

import pytest

from rootless.cli import published
from rootless.container.spec import Container, ContainerSpec
from rootless.container.state import ContainerState
from rootless.network.ports import PortMapping, parse
from rootless.oci.digest import Digest


def shown(*texts: str, exposed: tuple[str, ...] = (), status: str = "running") -> str:
    mappings: tuple[PortMapping, ...] = tuple(one for text in texts for one in parse(text))
    spec = ContainerSpec(
        "0" * 64,
        "web",
        "busybox",
        Digest.of(b"x"),
        1.5,
        config={"ExposedPorts": {port: {} for port in exposed}},
    )
    return published.column(Container(spec, ContainerState(status, ports=mappings)))


@pytest.mark.parametrize(
    ("texts", "exposed", "expected"),
    [
        (("8080:80",), (), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        (("8000-8002:80-82",), (), "0.0.0.0:8000-8002->80-82/tcp, [::]:8000-8002->80-82/tcp"),
        (("127.0.0.1:8000-8001:80-81",), (), "127.0.0.1:8000-8001->80-81/tcp"),
        (("[::1]:8000-8001:80-81/udp",), (), "[::1]:8000-8001->80-81/udp"),
        (
            ("8000:80", "8001:82"),
            (),
            "0.0.0.0:8000->80/tcp, [::]:8000->80/tcp, 0.0.0.0:8001->82/tcp, [::]:8001->82/tcp",
        ),
        (
            ("8000:80", "8001:81/udp"),
            (),
            "0.0.0.0:8000->80/tcp, [::]:8000->80/tcp, 0.0.0.0:8001->81/udp, [::]:8001->81/udp",
        ),
        (("8000:80",), ("80/tcp", "90/tcp"), "0.0.0.0:8000->80/tcp, [::]:8000->80/tcp, 90/tcp"),
        ((), ("82/tcp", "80/tcp", "81/tcp", "53/udp"), "80-82/tcp, 53/udp"),
    ],
)
def test_ports_of_one_that_runs(texts, exposed, expected, monkeypatch):
    monkeypatch.setattr(published, "_has_ipv6", lambda _: True)
    assert shown(*texts, exposed=exposed) == expected


def test_those_that_are_published_for_ipv4_alone(monkeypatch):
    monkeypatch.setattr(published, "_has_ipv6", lambda _: False)
    assert shown("8080:80") == "0.0.0.0:8080->80/tcp"


def test_one_that_does_not_run_has_none():
    assert shown("8080:80", exposed=("90/tcp",), status="exited") == ""
