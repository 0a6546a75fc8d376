"""Metadata instructions as functions on a config."""

import pytest

from rootless.build.plan import config
from rootless.dockerfile import parse
from rootless.errors import RootlessError
from rootless.oci.config import ImageConfig
from rootless.oci.platform import Platform

EMPTY = ImageConfig(Platform.parse("linux/amd64"))


def instruction(text):
    return parse(f"FROM x\n{text}\n".encode()).instructions[1]


@pytest.mark.parametrize(
    ("word", "ports"),
    [
        ("80", ["80/tcp"]),
        ("53/UDP", ["53/udp"]),
        ("8000-8002/tcp", ["8000/tcp", "8001/tcp", "8002/tcp"]),
        ("127.0.0.1:80:8080", ["8080/tcp"]),
    ],
)
def test_ports(word, ports):
    assert config.ports(word) == ports


@pytest.mark.parametrize("word", ["", "x", "80/icmp", "70000", "90-80", "-1", "80-"])
def test_what_is_not_a_port(word):
    with pytest.raises(RootlessError, match="is not a port"):
        config.ports(word)


@pytest.mark.parametrize(
    "signal", ["TERM", "SIGTERM", "sigterm", "9", "SIGRTMIN+3", "65", "-1", "+9"]
)
def test_signals(signal):
    assert config.with_stop_signal(EMPTY, signal).stop_signal == signal


@pytest.mark.parametrize("signal", ["", "0", "-", "--1", "9" * 30, "SIGNOT"])
def test_what_is_not_a_signal(signal):
    with pytest.raises(RootlessError, match="is not a signal"):
        config.with_stop_signal(EMPTY, signal)


def test_healthcheck_forms():
    shell = config.with_healthcheck(EMPTY, instruction("HEALTHCHECK --interval=5s CMD a | b"))
    assert shell.healthcheck.test == ("CMD-SHELL", "a | b")
    assert shell.healthcheck.interval == 5 * 10**9
    argv = config.with_healthcheck(EMPTY, instruction('HEALTHCHECK CMD ["a", "b"]'))
    assert argv.healthcheck.test == ("CMD", "a", "b")
    assert config.with_healthcheck(shell, instruction("HEALTHCHECK NONE")).healthcheck.test == (
        "NONE",
    )
