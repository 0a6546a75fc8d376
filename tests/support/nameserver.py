"""A name server for a network namespace of the test's own, whose answers change with each question.

The port is 53, so the caller is root of its namespaces; the file that names the server is mounted
over /etc/resolv.conf.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from rootless import linux

_A = b"\0\1\0\1"  # an address of the internet
_ANSWER = b"\xc0\x0c" + _A + bytes(4) + b"\0\4"  # the name asked for, valid for no time, 4 bytes


def serve(folder: Path, addresses: Mapping[str, Sequence[str]]) -> list[str]:
    """Answer with each name's addresses, one after the other, the last for ever; those asked for.

    Leaves this process in namespaces where nothing but the loopback and this server is.
    """
    linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
    linux.loopback_up()
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    linux.mount(str(folder / "resolv.conf"), "/etc/resolv.conf", flags=linux.MS_BIND)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    asked: list[str] = []

    def answer() -> None:
        while True:
            query, client = server.recvfrom(512)
            server.sendto(_answer(query, addresses, asked), client)

    threading.Thread(target=answer, daemon=True).start()
    return asked


def _answer(query: bytes, addresses: Mapping[str, Sequence[str]], asked: list[str]) -> bytes:
    end = query.index(b"\0", 12) + 5
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    name = ".".join(labels)
    records = b""
    if query[end - 4 : end] == _A and name in addresses:
        known = addresses[name]
        records = _ANSWER + socket.inet_aton(known[min(asked.count(name), len(known) - 1)])
        asked.append(name)
    counts = b"\0\1" + (b"\0\1" if records else b"\0\0") + bytes(4)
    return query[:2] + b"\x81\x80" + counts + query[12:end] + records
