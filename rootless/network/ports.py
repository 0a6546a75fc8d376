"""Published ports: `-p [ADDRESS:][HOST:]CONTAINER[/PROTOCOL]`, as Docker spells them.

`parse` is pure. `claim` asks the host's network namespace, where the parent runs, whether the
ports can be had, by binding each for a moment: user-mode network programs either say it badly or,
where one of IPv4 and IPv6 is left, not at all. Nothing is left behind.
"""

from __future__ import annotations

from rootless.errors import RootlessError, UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

_EACCES, _EADDRINUSE, _EADDRNOTAVAIL, _EAFNOSUPPORT = 13, 98, 99, 97
_FORMS = "the forms are 80, 8080:80, 127.0.0.1:8080:80, [::1]:8080:80, 8000-8010:80-90, each /udp"


class PortMapping(Record):
    """`host_ip` is "" for every address; `host_port` 0 asks for any free one, and `last_port` for
    the first that is free of several.
    """

    container_port: int
    host_port: int = 0
    host_ip: str = ""
    protocol: str = "tcp"
    last_port: int = 0

    def __str__(self) -> str:
        address = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip or "0.0.0.0"
        return f"{address}:{self.host_port}->{self.container_port}/{self.protocol}"


def parse(text: str) -> tuple[PortMapping, ...]:
    """One mapping, or one for each port of a range. Raises UsageError."""
    ports, _, protocol = text.partition("/")
    if protocol not in ("", "tcp", "udp"):
        raise _malformed(text, f"{protocol!r} cannot be forwarded without root, only tcp and udp")
    host_ip, ports = _address(text, ports)
    host, _, container = ports.rpartition(":")
    inside = _range(text, container)
    outside = _range(text, host) if host.strip("0") else [0] * len(inside)
    if len(inside) == 1 and len(outside) > 1:
        some = PortMapping(inside[0], outside[0], host_ip, protocol or "tcp", outside[-1])
        return (some,)
    if len(outside) != len(inside):
        raise _malformed(text, "the two ranges differ in length")
    return tuple(
        PortMapping(container_port, host_port, host_ip, protocol or "tcp")
        for host_port, container_port in zip(outside, inside, strict=True)
    )


def _address(text: str, ports: str) -> tuple[str, str]:
    """(address, the rest) of `ADDRESS:HOST:CONTAINER`; without an address, ("", all of it)."""
    if ports.startswith("["):
        address, _, rest = ports[1:].partition("]:")
        family = "IPv6"
    elif ports.count(":") > 1:
        address, _, rest = ports.partition(":")
        family = "IPv4"
    else:
        return "", ports
    import _socket

    try:
        _socket.inet_pton(_socket.AF_INET6 if family == "IPv6" else _socket.AF_INET, address)
    except OSError:
        raise _malformed(text, f"{address!r} is not an {family} address") from None
    return address, rest


def _range(text: str, ports: str) -> list[int]:
    first, dash, last = ports.partition("-")
    bounds = (first, last if dash else first)
    if not all(port.isascii() and port.isdigit() and len(port) <= 5 for port in bounds):
        raise _malformed(text, f"{ports!r} is not a port or a range of ports")
    low, high = int(bounds[0]), int(bounds[1])
    if high < low:
        raise _malformed(text, f"the range {ports!r} ends before it begins")
    if not 1 <= low <= high <= 65535:
        raise _malformed(text, f"{ports!r} is not within 1-65535")
    return list(range(low, high + 1))


def _malformed(text: str, reason: str) -> UsageError:
    return UsageError(f"cannot publish port {text!r}: {reason}", hint=_FORMS)


def claim(mappings: tuple[PortMapping, ...]) -> tuple[PortMapping, ...]:
    """The same mappings with every 0 replaced by a port that is free.

    Raises RootlessError naming the first port that is taken, reserved for root, or on an address
    the host does not have.
    """
    taken: set[tuple[str, str, int]] = set()
    for one in mappings:
        place = one.protocol, one.host_ip, one.host_port
        if one.host_port and place in taken:
            raise RootlessError(
                f"port {one.host_port}/{one.protocol} is to be published twice",
                hint="give each port of the container one of its own",
            )
        taken.add(place)
    return tuple(_claim(mapping) for mapping in mappings)


def bound(mapping: PortMapping) -> list[_socket.socket]:
    """Sockets that have the port, on every address it means; RootlessError as from `claim`."""
    found = []
    for address in (mapping.host_ip,) if mapping.host_ip else ("0.0.0.0", "::"):
        try:
            sock = _open(mapping.protocol, ipv6=":" in address)
            sock.bind((address, mapping.host_port))
        except OSError as error:
            if not mapping.host_ip and error.errno in (_EAFNOSUPPORT, _EADDRNOTAVAIL):
                continue  # a host without IPv6
            raise _refused(mapping, address, error) from error
        found.append(sock)
    return found


def _claim(mapping: PortMapping) -> PortMapping:
    """The first port of several that is free, or the only one."""
    for port in range(mapping.host_port, mapping.last_port):
        try:
            return _claimed(mapping.replace(host_port=port, last_port=0))
        except RootlessError:
            continue
    return _claimed(mapping.replace(host_port=mapping.last_port or mapping.host_port, last_port=0))


def _claimed(mapping: PortMapping) -> PortMapping:
    for address in (mapping.host_ip,) if mapping.host_ip else ("0.0.0.0", "::"):
        try:
            mapping = mapping.replace(host_port=_bind(mapping, address))
        except OSError as error:
            if not mapping.host_ip and error.errno in (_EAFNOSUPPORT, _EADDRNOTAVAIL):
                continue  # a host without IPv6
            raise _refused(mapping, address, error) from error
    return mapping


def _bind(mapping: PortMapping, address: str) -> int:
    """Bind the port as the network program will, let go, and return its number."""
    sock = _open(mapping.protocol, ipv6=":" in address)
    try:
        sock.bind((address, mapping.host_port))
        port: int = sock.getsockname()[1]
    finally:
        sock.close()
    return port


def _open(protocol: str, *, ipv6: bool) -> _socket.socket:
    import _socket

    family = _socket.AF_INET6 if ipv6 else _socket.AF_INET
    sock = _socket.socket(family, _socket.SOCK_STREAM if protocol == "tcp" else _socket.SOCK_DGRAM)
    if protocol == "tcp":  # connections in TIME_WAIT do not hold the port
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    if ipv6:
        sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
    return sock


def _refused(mapping: PortMapping, address: str, error: OSError) -> RootlessError:
    port = f"{mapping.host_port}/{mapping.protocol}"
    if error.errno == _EADDRINUSE:
        return RootlessError(
            f"port {port} on {address} is already in use on this machine",
            hint=f"publish another one (-p HOST:{mapping.container_port}), "
            "or see who has it: ss -lntup",
        )
    if error.errno == _EACCES:
        return RootlessError(
            f"port {port} on this machine is reserved for root",
            hint=f"publish a port from 1024 up, for instance -p 8080:{mapping.container_port}; "
            "the limit is the sysctl net.ipv4.ip_unprivileged_port_start",
        )
    return RootlessError(f"cannot publish port {port} on {address}: {error.strerror}")
