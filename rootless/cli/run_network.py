"""The flags of `run` and `create` that say how a container reaches others, and they it.

docker's spellings and words. Networks are looked up here, before anything is made.
"""

from __future__ import annotations

import sys

from rootless.errors import RootlessError, UsageError
from rootless.network import choice, ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.spec import Container
    from rootless.network.choice import Choice
    from rootless.network.ports import PortMapping
    from rootless.network.wish import Wish

CONTAINER = f"{choice.CONTAINER}:"
_OWN = {"ip": "address", "ip6": "address6", "mac-address": "mac", "alias": "aliases"}
_SCOPED = {
    "network_alias": "network-scoped aliases are",
    "ip": "user specified IP address is",
    "ip6": "user specified IP address is",
}


def choose(given: Settings, arguments: Arguments) -> Choice:
    """The way to the network that --network asks for. UsageError or RootlessError."""
    names = arguments.network or ("",)
    if len(names) == 1 and choice.is_anothers(names[0]):
        return _of_container(arguments)
    if any(choice.is_user_defined(name) for name in names):
        return choice.Choice(choice.BRIDGES)
    if len(names) > 1:
        raise UsageError(
            f"a container cannot be on {' and '.join(names)} at once",
            hint="several --network are for networks made with: rootless network create",
        )
    search_path = given.environment.get("PATH", "")
    return choice.choose(names[0], search_path, tun=choice.has_tun())


def tell(given: Settings, arguments: Arguments) -> None:
    """Why a container that asks for no network has this machine's, where more could be had.

    RootlessError where it would publish ports, and nothing here can have a network of its own.
    """
    from rootless import runspec

    lack = "" if len(arguments.network) > 1 else choose(given, arguments).note
    publishes = arguments.publish or arguments.publish_all
    if lack and publishes and runspec.caveat():
        raise runspec.lacking("a network of its own to publish ports from")
    if lack and not (arguments.quiet or runspec.caveat()):
        ignored = ", and ignores published ports" if publishes else ""
        print(f"note: {lack}{ignored}", file=sys.stderr)


def _of_container(arguments: Arguments) -> Choice:
    """The network of another, which is already what it is."""
    for flag, what in (("publish", "port publishing"), ("hostname", "hostname")):
        if getattr(arguments, flag):
            raise UsageError(f"conflicting options: {what} and the container type network mode")
    return choice.Choice(choice.CONTAINER)


def published(arguments: Arguments, network: Choice) -> tuple[PortMapping, ...]:
    """The ports of -p. UsageError where there is nothing to publish them from."""
    mappings = tuple(one for text in arguments.publish for one in ports.parse(text))
    if not mappings:
        return ()
    if network.mode == "none":
        raise UsageError(
            "ports cannot be published with --network none",
            hint="leave out --network, or -p",
        )
    if network.mode == "host":
        if not network.note:
            print("note: with --network host, published ports are ignored", file=sys.stderr)
        return ()
    return mappings


def exposed(arguments: Arguments) -> tuple[str, ...]:
    """The ports of --expose, a range one by one, as an image's config has them."""
    found = []
    for text in arguments.expose:
        protocol = text.partition("/")[2]
        if ":" in text:
            raise UsageError(f"invalid port format for --expose: {text}", hint="write 80 or 80/udp")
        found += [f"{one.container_port}/{protocol or 'tcp'}" for one in ports.parse(text)]
    return tuple(found)


def fields(given: Settings, arguments: Arguments, network: Choice, hostname: str) -> dict[str, Any]:
    """Of ContainerSpec, what the flags say. UsageError or RootlessError."""
    found: dict[str, Any] = {
        "network": network.mode,
        "hostname": hostname,
        "domainname": arguments.domainname or "",
        "dns_search": tuple(arguments.dns_search),
        "dns_options": tuple(arguments.dns_option),
        "publish_all": arguments.publish_all,
    }
    if arguments.mac_address:
        mac(arguments.mac_address)
    if network.mode == choice.BRIDGES:
        wishes = _wishes(given, arguments)
        return {**found, "network": wishes[0].network, "wishes": wishes}
    for name, what in _SCOPED.items():
        if getattr(arguments, name):
            raise UsageError(
                f"{what} supported on user-defined networks only",
                hint="make one: rootless network create NAME, and name it: --network NAME",
            )
    if network.mode == choice.CONTAINER:
        other = _other(given, arguments.network[0])
        found.update(network=CONTAINER + other.id, hostname=other.spec.own_name)
    return found


def _other(given: Settings, name: str) -> Container:
    """That need not run before this one starts."""
    from rootless.cli.finding import find
    from rootless.store import Store

    return find(Store(given.root), name.removeprefix(CONTAINER))


def _wishes(given: Settings, arguments: Arguments) -> tuple[Wish, ...]:
    """One for each --network; the flags of one network are the first's."""
    from rootless.container.networking import networks
    from rootless.network import addresses
    from rootless.store import Store

    known = networks(Store(given.root))
    wishes = [_wish(text) for text in arguments.network]
    common: dict[str, Any] = {
        "aliases": tuple(arguments.network_alias),
        "address": arguments.ip or "",
        "address6": arguments.ip6 or "",
        "mac": mac(arguments.mac_address) if arguments.mac_address else "",
        "links": tuple(map(link, arguments.link)),
    }
    given_too = {name: value for name, value in common.items() if value}
    both = [name for name in given_too if name != "links" and getattr(wishes[0], name)]
    if both and "=" in arguments.network[0]:
        raise UsageError(
            f"conflicting options: cannot specify both --{both[0]} and per-network options"
        )
    wishes[0] = wishes[0].replace(**given_too)
    for one in wishes:
        for address in filter(None, (one.address, one.address6)):
            addresses.read(address)
    return tuple(one.replace(network=known.find(one.network).name) for one in wishes)


def _as_docker(text: str) -> str:
    """Podman's `NAME:alias=…,ip=…,mac=…` in docker's words."""
    name, colon, rest = text.partition(":")
    if not colon or "=" in name:
        return text
    fields = (f"mac-address{one[3:]}" if one[:4] == "mac=" else one for one in rest.split(","))
    return ",".join((f"name={name}", *fields))


def _wish(text: str) -> Wish:
    """`NAME`, docker's `name=NAME,alias=…,ip=…,ip6=…,mac-address=…`, or podman's `NAME:alias=…`."""
    from rootless.network.wish import Wish

    if "=" not in text:
        if not choice.is_user_defined(text):
            raise RootlessError(
                "conflicting options: cannot attach both user-defined and non-user-defined "
                "network-modes",
                hint="leave out one of them",
            )
        return Wish(text)
    from rootless.cli import words

    found: dict[str, Any] = {}
    for field in words.fields(_as_docker(text), "--network"):
        key, _, value = field.partition("=")
        if key == "name":
            found["network"] = value
        elif key not in _OWN:
            raise UsageError(
                f"invalid field {key} in --network {text!r}",
                hint=f"there are name, {', '.join(_OWN)}",
            )
        elif key == "alias":
            found["aliases"] = (*found.get("aliases", ()), value)
        else:
            found[_OWN[key]] = mac(value) if key == "mac-address" else value
    if "network" not in found:
        raise UsageError(f"--network {text!r} names no network", hint="write name=NAME,alias=…")
    return Wish(**found)


def mac(text: str) -> str:
    """A hardware address that a container may have. UsageError."""
    octets = text.replace("-", ":").lower().split(":")
    digits = "0123456789abcdef"
    if len(octets) != 6 or not all(
        len(o) == 2 and o[0] in digits and o[1] in digits for o in octets
    ):
        raise UsageError(f"{text} is not a valid mac address", hint="write it as 02:42:ac:11:00:02")
    if int(octets[0], 16) & 1:
        raise UsageError(f"{text} is a group's address, not one container's")
    return ":".join(octets)


def link(text: str) -> tuple[str, str]:
    """(alias, container) of `--link CONTAINER[:ALIAS]`."""
    name, _, alias = text.partition(":")
    if not name:
        raise UsageError(f"bad format for links: {text}", hint="write --link CONTAINER:ALIAS")
    return alias or name, name
