"""How a container wants to be on a network. Pure, and all that a container's record needs of it."""

from __future__ import annotations

from rootless.record import Record


class Wish(Record):
    """Plain values, part of container.json; `links` are (alias, container) pairs."""

    network: str
    aliases: tuple[str, ...] = ()
    address: str = ""
    address6: str = ""
    mac: str = ""
    links: tuple[tuple[str, str], ...] = ()
