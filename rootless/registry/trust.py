"""Which host may send us where, and who may see a password.

A registry chooses the addresses of its blobs and of its token server. It must not use us to reach
what only this machine can reach (cloud metadata, services on loopback), nor to collect a login.

Every name is resolved once, by `resolve`, and the connection is made to the very address that was
looked at: a name that means something else a moment later gains nothing. Only where a proxy makes
the connection does it resolve the name again, and its own rules count; we look all the same.
"""

from __future__ import annotations

import socket

from rootless.registry import url as urls
from rootless.registry.errors import RegistryError
from rootless.registry.url import Url

_METADATA = frozenset({"100.100.100.200", "168.63.129.16", "fd00:ec2::254"})


def parse(text: str, base: str = "") -> Url:
    """An absolute http or https URL, `text` being relative to `base`; RegistryError if not."""
    try:
        url = urls.parse(text, urls.parse(base) if base else None)
    except ValueError:
        raise RegistryError(f"{text[:200]!r} is not a URL that can be asked") from None
    if url.scheme not in urls.PORTS or not url.host:
        raise RegistryError(f"the registry sends us to {text[:200]!r}, which is not http or https")
    if url.login:
        raise RegistryError("the registry sends us to a URL with a user name in it")
    return url


def origin(url: Url) -> tuple[str, str, int | None]:
    """What must be equal for credentials to go along."""
    return url.scheme, url.host, url.port or urls.PORTS.get(url.scheme)


def redacted(url: Url) -> str:
    """A URL to show: query strings carry signatures and tokens."""
    return url.replace(query=None).url


def is_loopback(host: str) -> bool:
    """Whether the name itself says that it is this machine."""
    host = host.strip("[]").lower()
    if host == "localhost":
        return True
    for family, size in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        try:
            address = socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return address[0] == 127 if size == 4 else address == b"\0" * 15 + b"\1"
    return False


def check_hop(previous: Url, target: Url) -> None:
    """Refuse a redirect or token server by what its URL says."""
    if previous.scheme == "https" and target.scheme == "http":
        raise RegistryError(
            f"{previous.host} leads from https to plain http at {redacted(target)}; refused"
        )


def resolve(registry: str, host: str) -> list[str]:
    """The addresses of `host`, where `registry` may send us; socket.gaierror when it has none.

    The registry itself may be anywhere: the user named it. Others are refused, by RegistryError,
    where they are this machine's own, unless the registry is that too. Private networks are not
    refused: registries inside keep their blobs there.
    """
    name = host.strip("[]").encode("ascii")  # a text would be made one by a codec of its own: 1 ms
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if _bare(host) != _bare(registry):
        for address in addresses:
            _check_address(registry, address)
    return addresses


def _check_address(registry: str, text: str) -> None:
    import ipaddress

    address = ipaddress.ip_address(text)
    address = getattr(address, "ipv4_mapped", None) or address
    local = address.is_loopback or address.is_unspecified
    inside = is_loopback(registry)
    if address.is_link_local or str(address) in _METADATA or (local and not inside):
        raise RegistryError(
            f"{registry} leads to {address}, an address of this machine's own; refused"
        )


def check_password(registry: Url, realm: Url) -> None:
    """Refuse to show a login to a token server that is neither the registry nor behind TLS.

    Another port of the registry's host is another server: of a shared machine, anybody's.
    """
    if realm.scheme != "https" and origin(realm) != origin(registry):
        raise RegistryError(
            f"{registry.host} wants the password sent to {redacted(realm)}, another server, "
            "without encryption; refused",
            hint="pull without a login, or ask the registry's operator for an https token server",
        )


def _bare(host: str) -> str:
    """A host without the brackets of an IPv6 address and the dot that ends a whole name."""
    return host.strip("[]").rstrip(".").lower()
