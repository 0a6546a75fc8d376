"""Ports that a test tells a program to listen on."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A TCP port that nobody has, and that the kernel gives to nobody who asks for any.

    One that it would give may be another connection's by the time a program listens on it.
    """
    for port in random.SystemRandom().sample(range(10_000, int(_RANGE.read_text().split()[0])), 50):
        try:
            socket.create_server(("0.0.0.0", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError("fifty ports in a row are taken")
