"""Plugging containers into bridges: the addresses they get, and the cables between.

`reserve` writes down, under the lock of the networks, which addresses a container has; it does so
before the container exists, whose /etc/hosts names them. `plug` makes the bridges where they are
missing and a veth pair for each network, in a child that joins first the holder's network
namespace and then the container's. Both namespaces belong to the holder's user namespace, which
this process has joined. Pairs end with the container's network namespace, endpoints with their
owner; nothing else is left behind.
"""

from __future__ import annotations

import os

from rootless import linux, living, process
from rootless.errors import RootlessError
from rootless.network import addresses
from rootless.network.netlink import Links
from rootless.network.networks import OFF, Endpoint, Network
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.living import Process
    from rootless.network.networks import Networks
    from rootless.network.wish import Wish

MTU = 65520
_MTU_OPTION = "com.docker.network.driver.mtu"
_ROUTE = 100  # the priority of the first network's default route
_MOST_NAMES = 64

Plugged = tuple[Network, Endpoint]


class Member(Record):
    """A container on networks: `owner` answers for it; `netns` is the path of its namespace."""

    container: str
    name: str
    owner: Process
    netns: str
    dns: tuple[str, ...] = ()


def member(endpoint: Endpoint) -> Member:
    """Whose endpoint it is."""
    return Member(endpoint.container, endpoint.name, endpoint.owner, endpoint.netns, endpoint.dns)


def reserve(networks: Networks, member: Member, wishes: Sequence[Wish]) -> tuple[Plugged, ...]:
    """Addresses for a container on every network it wishes for, all or none; under the lock."""
    there = _interfaces(networks, member.container)
    made: list[Plugged] = []
    for number, wish in enumerate(wishes):
        network = networks.find(wish.network)
        if any(network.id == one.id for one, _ in made):
            raise RootlessError(
                f"network {network.name} is named twice", hint="name each --network once"
            )
        others = networks.endpoints(network)
        if any(one.container == member.container for one in others):
            raise RootlessError(
                f"endpoint with name {member.name or member.container[:12]} already exists in "
                f"network {network.name}",
                hint="it is connected already",
            )
        made.append((network, _endpoint(network, others, member, wish, there + number)))
    for network, endpoint in made:
        networks.set_endpoints(network, (*networks.endpoints(network), endpoint))
    return tuple(made)


def _interfaces(networks: Networks, container: str) -> int:
    """The number of the first eth that is free."""
    used = [int(one.interface[3:]) for _, one in networks.of_container(container)]
    return max(used, default=-1) + 1


def _endpoint(
    network: Network, others: tuple[Endpoint, ...], member: Member, wish: Wish, number: int
) -> Endpoint:
    found = {"address": "", "address6": ""}
    for subnet in network.subnets:
        six = subnet.block.is_six
        field, wanted = ("address6", wish.address6) if six else ("address", wish.address)
        have = [one.address6 if six else one.address for one in others]
        if not found[field]:
            found[field] = _address(network, subnet, [*filter(None, have)], wanted)
    if wish.address6 and not found["address6"]:
        raise RootlessError(
            f"network {network.name} has no IPv6",
            hint="create it with: rootless network create --ipv6",
        )
    return Endpoint(
        id=os.urandom(32).hex(),
        container=member.container,
        name=member.name,
        owner=member.owner,
        netns=member.netns,
        interface=f"eth{number}",
        mac=wish.mac or _mac(found["address"]),
        aliases=wish.aliases[:_MOST_NAMES],
        links=wish.links[:_MOST_NAMES],
        dns=member.dns,
        **found,
    )


def _address(network: Network, subnet: object, have: list[str], wanted: str) -> str:
    from rootless.network.networks import Subnet

    assert isinstance(subnet, Subnet)
    others = (address for _, address in subnet.taken)
    taken = {addresses.read(one)[0] for one in (subnet.gateway, *have, *others)}
    if not wanted:
        within = addresses.block_of(subnet.ip_range) if subnet.ip_range else subnet.block
        return addresses.free_address(within, taken, network.name)
    if not subnet.block.holds(wanted):
        raise RootlessError(
            f"invalid config for network {network.name}: no configured subnet contains IP address "
            f"{wanted}",
            hint=f"choose one within {subnet.subnet}",
        )
    if addresses.read(wanted)[0] in taken:
        raise RootlessError("Address already in use", hint=f"another container has {wanted}")
    return wanted


def _mac(address: str) -> str:
    """docker's way: nobody's, local, and the same for the same address."""
    packed = addresses.read(address)[0].to_bytes(4, "big")
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + packed)


def release(networks: Networks, container: str, network: Network | None = None) -> None:
    """Give back a container's addresses, of all networks or of one; under the lock."""
    for one in (network,) if network else (*networks.listing(), OFF):
        found = networks.recorded(one.id)
        kept = [other for other in found if other.container != container]
        kept = [other for other in kept if living.is_alive(other.owner)]
        if len(kept) != len(found):
            networks.set_endpoints(one, kept)


def set_off(networks: Networks, member: Member) -> None:
    """Remember a container that is on no network, how to reach it again; under the lock."""
    others = [one for one in networks.endpoints(OFF) if one.container != member.container]
    known = Endpoint(
        "", member.container, member.name, member.owner, member.netns, "", "", dns=member.dns
    )
    networks.set_endpoints(OFF, (*others, known))


def plug(bridges: str, plugged: Sequence[Plugged]) -> None:
    """Connect a container, whose namespace its endpoints name, to the bridges at path `bridges`."""
    if not plugged:
        return
    at = plugged[0][1].netns
    bridges_fd, container_fd = _open(bridges, "the bridges"), _open(at, "the container")

    def connect() -> None:
        linux.setns(bridges_fd, linux.CLONE_NEWNET)
        _make_cables(plugged, container_fd)
        linux.setns(container_fd, linux.CLONE_NEWNET)
        _configure(plugged)

    try:
        process.run(connect)
    except OSError as error:
        names = ", ".join(network.name for network, _ in plugged)
        raise RootlessError(f"the container cannot be connected to {names}: {error}") from error
    finally:
        os.close(bridges_fd)
        os.close(container_fd)


def unplug(endpoint: Endpoint) -> None:
    """Take a cable out of a running container."""
    container_fd = _open(endpoint.netns, "the container")

    def remove() -> None:
        linux.setns(container_fd, linux.CLONE_NEWNET)
        Links().remove(endpoint.interface)

    try:
        process.run(remove)
    finally:
        os.close(container_fd)


def remove(bridges: str, network: Network) -> None:
    """Take a bridge away; harmless when there is none."""
    bridges_fd = _open(bridges, "the bridges")

    def delete() -> None:
        linux.setns(bridges_fd, linux.CLONE_NEWNET)
        Links().remove(network.bridge)

    try:
        process.run(delete)
    finally:
        os.close(bridges_fd)


def _open(path: str, what: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise RootlessError(
            f"the network namespace of {what} is gone: {error.strerror}",
            hint="it has ended meanwhile: start it again",
        ) from None


def _make_cables(plugged: Sequence[Plugged], container_fd: int) -> None:
    links = Links()
    for network, endpoint in plugged:
        mtu = mtu_of(network)
        links.add_bridge(network.bridge, mtu)
        for subnet in network.subnets:
            links.add_address(network.bridge, subnet.gateway, subnet.block.length)
        links.bring_up(network.bridge)
        links.add_pair(endpoint.device, endpoint.interface, container_fd, endpoint.mac, mtu)
        links.bring_up(endpoint.device, network.bridge)
    links.close()


def _configure(plugged: Sequence[Plugged]) -> None:
    links = Links()
    for network, endpoint in plugged:
        links.bring_up(endpoint.interface)
        priority = _ROUTE + int(endpoint.interface[3:])
        for subnet in network.subnets:
            address = endpoint.address6 if subnet.block.is_six else endpoint.address
            if not subnet.block.holds(address):
                continue
            links.add_address(endpoint.interface, address, subnet.block.length)
            if not network.internal:
                links.add_default_route(endpoint.interface, subnet.gateway, priority)
    links.close()


def mtu_of(network: Network) -> int:
    """As large as pasta's, unless the network was created with docker's option for it."""
    wanted = dict(network.options).get(_MTU_OPTION, "")
    return int(wanted) if wanted.isdecimal() and 68 <= int(wanted[:6]) <= MTU else MTU
