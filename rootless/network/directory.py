"""Who is called what on the networks now: what the resolver answers from.

Reads the records of `networks` again when one of them was replaced, so a name is there as soon as
its container has its address, and gone with it. A container sees the names on the networks it is
on itself, and its own links. Runs in the holder.
"""

from __future__ import annotations

import os

from rootless import living
from rootless.errors import RootlessError
from rootless.network import dnspacket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.network.dnspacket import Question
    from rootless.network.networks import Endpoint, Network, Networks

    Stamp = frozenset[tuple[str, int, int]]
    Plugged = tuple[Network, Endpoint]


class Directory:
    """All endpoints of a store's networks."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._stamp: Stamp = frozenset()
        self._known: list[Plugged] = []

    def asker(self, address: str, device: str | None) -> Plugged | None:
        """The endpoint that has an address, if its container runs and is behind this device.

        None is whichever: so much is known of who has answered from there.
        """
        self._refresh()
        for network, one in self._known:
            is_there = device is None or device == network.bridge
            if is_there and address in (one.address, one.address6) and living.is_alive(one.owner):
                return network, one
        return None

    def reaches_out(self, container: str) -> bool:
        """Whether a container is on a network that is not internal."""
        return any(not network.internal for network, _ in self._of(container))

    def answer(self, asker: Endpoint, question: Question) -> bytes | None:
        """The response to what is about containers; None when it is about something else."""
        if question.group != dnspacket.IN:
            return None
        if question.kind == dnspacket.PTR:
            return self._reverse(asker, question)
        found = list(self._called(asker, question.name))
        if not found:
            return None
        if question.kind == dnspacket.AAAA:
            packed = [_packed(one.address6) for one in found if one.address6]
            return dnspacket.answer(question, packed, dnspacket.AAAA)
        if question.kind in (dnspacket.A, dnspacket.ANY):
            packed = [_packed(one.address) for one in found if one.address]
            return dnspacket.answer(question, packed, dnspacket.A)
        return dnspacket.answer(question, [], question.kind)

    def _reverse(self, asker: Endpoint, question: Question) -> bytes | None:
        address = dnspacket.address_of(question.name)
        for network, one in self._beside(asker):
            if address and address in (_packed(one.address), _packed(one.address6)):
                name = dnspacket.encoded(f"{one.name or one.container[:12]}.{network.name}")
                return dnspacket.answer(question, [name], dnspacket.PTR)
        return None

    def _called(self, asker: Endpoint, name: str) -> Iterator[Endpoint]:
        """The endpoints that `name` means to `asker`."""
        meant = {name, *(other for alias, other in asker.links if alias.lower() == name)}
        for network, one in self._beside(asker):
            names = {text.lower() for text in one.names if text}
            full = {f"{text}.{network.name.lower()}" for text in names}
            if not meant.isdisjoint(names | full) and living.is_alive(one.owner):
                yield one

    def _beside(self, asker: Endpoint) -> Iterator[Plugged]:
        """Whoever is on a network that `asker`'s container is on, too."""
        shared = {network.id for network, _ in self._of(asker.container)}
        return ((network, one) for network, one in self._known if network.id in shared)

    def _of(self, container: str) -> Iterator[Plugged]:
        return ((network, one) for network, one in self._known if one.container == container)

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        try:
            listed = self._networks.listing()
            self._known = [
                (network, one) for network in listed for one in self._networks.recorded(network.id)
            ]
        except (RootlessError, OSError):  # somebody damaged a record: what was known still counts
            return
        self._stamp = stamp

    def _look(self) -> Stamp:
        """Changes when a record does, which is replaced by another file."""
        found = set()
        for folder in ("", "live"):
            try:
                with os.scandir(self._networks.path(folder)) as entries:
                    for entry in entries:
                        if entry.name.endswith(".json"):
                            status = entry.stat()
                            found.add((entry.path, status.st_ino, status.st_mtime_ns))
            except OSError:  # a file that was just replaced, or no folder yet
                continue
        return frozenset(found)


def _packed(address: str) -> bytes:
    import _socket

    if not address:
        return b""
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    return _socket.inet_pton(family, address)
