"""Functions of address ranges. Pure."""

from __future__ import annotations

import ipaddress

from rootless.bake.errors import BakeError
from rootless.bake.hcl.functions.signature import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise BakeError(f"{text[:60]!r}: {error}") from None


def _host(prefix: str, number: float) -> str:
    network = _network(prefix)
    at = int(number)
    at = at + network.num_addresses if at < 0 else at
    if not 0 <= at < network.num_addresses:
        raise BakeError(f"{prefix} has no host {int(number)}")
    return str(network[at])


def _subnet(prefix: str, bits: float, number: float) -> str:
    network = _network(prefix)
    longer, at = int(bits), int(number)
    length = network.prefixlen + longer
    if longer < 0 or length > network.max_prefixlen or not 0 <= at < 1 << longer:
        raise BakeError(f"{prefix} has no subnet {at} with {longer} bits more")
    first = int(network.network_address) + (at << (network.max_prefixlen - length))
    return f"{type(network.network_address)(first)}/{length}"


def _subnets(prefix: str, *bits: float) -> list[str]:
    network = _network(prefix)
    at, found = int(network.network_address), []
    for longer in map(int, bits):
        length = network.prefixlen + longer
        if longer < 1 or length > network.max_prefixlen:
            raise BakeError(f"{prefix} has no subnets with {longer} bits more")
        size = 1 << (network.max_prefixlen - length)
        at = -(-at // size) * size
        if at + size > int(network.network_address) + network.num_addresses:
            raise BakeError(f"{prefix} is used up")
        found.append(f"{type(network.network_address)(at)}/{length}")
        at += size
    return found


FUNCTIONS = {
    "cidrhost": Function("sn", _host),
    "cidrnetmask": Function("s", lambda prefix: str(_network(prefix).netmask)),
    "cidrsubnet": Function("snn", _subnet),
    "cidrsubnets": Function("sn*", _subnets),
}
