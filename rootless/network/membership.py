"""A container on user-defined networks, from its addresses to its end: what its monitor calls.

    reserved = membership.reserve(...)        before the container exists: its files name addresses
    attachment = reserved.connect(pid, ...)   its supervisor exists
    attachment.wait_ready()                   its command may start
    attachment.stop()                         it has ended, or nobody needs it

Runs in the container's monitor, which has joined the holder's user namespace (`holder.ensure`,
`userns.join`) and stays in the host's network. Whatever kills it, its endpoints count no longer.
"""

from __future__ import annotations

import os

from rootless.errors import RootlessError
from rootless.network import bridge, holder
from rootless.network.networks import OFF
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.network.bridge import Member, Plugged
    from rootless.network.choice import Choice
    from rootless.network.networks import Networks
    from rootless.network.ports import PortMapping
    from rootless.network.wish import Wish
    from rootless.process import Child


class Reserved(Record):
    """The addresses of a container that is about to start."""

    networks: Networks
    chosen: Choice
    member: Member
    plugged: tuple[Plugged, ...]

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that are its own, the first network's first."""
        return addresses(self.plugged)

    @property
    def resolvers(self) -> tuple[str, ...]:
        """Where it asks for names: at the gateways, of networks that reach the outside first."""
        return resolvers(self.plugged)

    def connect(self, pid: int, mappings: Sequence[PortMapping]) -> Attachment:
        """Plug in the network namespace of process `pid`, and publish ports that were claimed."""
        return Attachment(self, pid, mappings)

    def release(self) -> None:
        """Give the addresses back."""
        with self.networks.locked():
            bridge.release(self.networks, self.member.container)


def reserve(networks: Networks, member: Member, wishes: Sequence[Wish], chosen: Choice) -> Reserved:
    """Addresses on all the networks that are wished for; RootlessError when one cannot be had."""
    with networks.locked():
        bridge.release(networks, member.container)  # what is left of an earlier run
        plugged = bridge.reserve(networks, member, wishes)
        if not plugged:
            bridge.set_off(networks, member)
    return Reserved(networks, chosen, member, plugged)


def addresses(plugged: Sequence[Plugged]) -> tuple[str, ...]:
    """All addresses of a container on these networks."""
    pairs = ((one.address, one.address6) for _, one in plugged)
    return tuple(address for pair in pairs for address in pair if address)


def resolvers(plugged: Sequence[Plugged]) -> tuple[str, ...]:
    """The addresses at which a container on these networks asks for names."""
    ranked = sorted(plugged, key=lambda one: one[0].internal)
    return tuple(gateway for network, _ in ranked for gateway in network.gateways)[:3]


class Attachment:
    """A connected container; as `attachment.Attachment` for those with pasta."""

    def __init__(self, reserved: Reserved, pid: int, mappings: Sequence[PortMapping]) -> None:
        self._reserved = reserved
        self._forwarder: Child | None = None
        try:
            self._netns_fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise RootlessError("the container ended before it had its network") from None
        networks, container = reserved.networks, reserved.member.container
        held = holder.ensure(networks, reserved.chosen, inside=True)
        _check_same_users(held)
        self._tell_where(f"/proc/{os.getpid()}/fd/{self._netns_fd}")
        bridge.plug(held.netns, tuple(networks.of_container(container)))
        if mappings and self._is_published():
            from rootless.network import forwarder

            self._forwarder = forwarder.start(
                mappings, held.netns, lambda: address_of(networks, container)
            )

    def wait_ready(self) -> None:
        """It is, since it exists."""

    def stop(self) -> None:
        """Give everything back; doing so twice does no harm."""
        if self._netns_fd < 0:
            return
        if self._forwarder:
            self._forwarder.kill()
        self._reserved.release()
        os.close(self._netns_fd)
        self._netns_fd = -1

    def _is_published(self) -> bool:
        """As in docker, internal networks publish nothing; who is on none yet will be on one."""
        plugged = self._reserved.plugged
        return not plugged or any(not network.internal for network, _ in plugged)

    def _tell_where(self, netns: str) -> None:
        """Write down where the network namespace is, for whoever plugs it in later."""
        networks, container = self._reserved.networks, self._reserved.member.container
        with networks.locked():
            for network in [one for one, _ in self._reserved.plugged] or [OFF]:
                told = (
                    one.replace(netns=netns) if one.container == container else one
                    for one in networks.endpoints(network)
                )
                networks.set_endpoints(network, tuple(told))


def _check_same_users(held: holder.Holder) -> None:
    ours = os.stat("/proc/self/ns/user").st_ino
    try:
        theirs = os.stat(f"/proc/{held.process.pid}/ns/user").st_ino
    except OSError:
        theirs = 0
    if ours != theirs:
        raise RootlessError(
            "the process that holds the networks was replaced meanwhile",
            hint="start the container again",
        )


def address_of(networks: Networks, container: str) -> str:
    """Where a container's published ports are: its first address that is not internal; or ""."""
    for network, one in networks.of_container(container):
        if not network.internal and one.address:
            return one.address
    return ""


def connect(networks: Networks, member: Member, wish: Wish, held: holder.Holder) -> None:
    """Put a running container on a network: one that is on others, or was until it was taken off.

    Runs in the holder's user namespace. RootlessError in docker's words when it is on it already.
    """
    with networks.locked():
        plugged = bridge.reserve(networks, member, (wish,))
    try:
        bridge.plug(held.netns, plugged)
    except BaseException:
        with networks.locked():
            bridge.release(networks, member.container, plugged[0][0])
        raise
    with networks.locked():
        bridge.release(networks, member.container, OFF)


def disconnect(networks: Networks, plugged: Plugged) -> None:
    """Take a running container off a network. Runs in the holder's user namespace."""
    network, endpoint = plugged
    with networks.locked():
        if [one.id for one, _ in networks.of_container(endpoint.container)] == [network.id]:
            bridge.set_off(networks, bridge.member(endpoint))
        bridge.release(networks, endpoint.container, network)
    bridge.unplug(endpoint)
