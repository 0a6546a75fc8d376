"""Which host may send us where, and who may see a password.

A registry chooses the addresses of its blobs and of its token server. It must not use us to reach
what only this machine can reach (cloud metadata, services on loopback), nor to collect a login.

Every name is resolved once, by `resolve`, and the connection is made to the very address that was
looked at: a name that means something else a moment later gains nothing. Only where a proxy makes
the connection does it resolve the name again, and its own rules count; we look all the same.
"""

from __future__ import annotations

import ipaddress
import socket
import string
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from rootless.registry.errors import RegistryError

_PORTS = {"http": 80, "https": 443}
_HOST = frozenset(f"{string.ascii_letters}{string.digits}._:-[]")
_METADATA = frozenset({"100.100.100.200", "168.63.129.16", "fd00:ec2::254"})


def parse(text: str, base: str = "") -> Url:
    """An absolute http or https URL, `text` being relative to `base`; RegistryError if not."""
    try:
        url = parse_url(urljoin(base, text))
    except (LocationParseError, ValueError):
        raise RegistryError(f"{text[:200]!r} is not a URL that can be asked") from None
    if url.scheme not in _PORTS or not url.host:
        raise RegistryError(f"the registry sends us to {text[:200]!r}, which is not http or https")
    if not _HOST.issuperset(url.host):
        raise RegistryError(f"{url.host[:200]!r} is not a host's name")
    if url.auth:
        raise RegistryError("the registry sends us to a URL with a user name in it")
    return url


def origin(url: Url) -> tuple[str | None, str | None, int | None]:
    """What must be equal for credentials to go along."""
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme or "")


def redacted(url: Url) -> str:
    """A URL to show: query strings carry signatures and tokens."""
    return Url(url.scheme, None, url.host, url.port, url.path).url


def is_loopback(host: str) -> bool:
    """Whether the name itself says that it is this machine."""
    host = host.strip("[]").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
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
    found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if _bare(host) != _bare(registry):
        for address in addresses:
            _check_address(registry, address)
    return addresses


def _check_address(registry: str, text: str) -> None:
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
