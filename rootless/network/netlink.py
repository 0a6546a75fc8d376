"""rtnetlink by hand: links, addresses and routes of the network namespace a socket was opened in.

A tenth of the time that importing pyroute2 takes. Every request waits for the kernel's answer;
what it refuses is an OSError with the kernel's own words, where it gives any. Runs in short-lived
children that have joined the namespace, as uid 0 of the user namespace that owns it.

Kernel: rtnetlink(7), netlink(7).
"""

from __future__ import annotations

import _socket
import errno
import os
from struct import pack, unpack_from

_AF_NETLINK, _NETLINK_ROUTE = 16, 0
_SOL_NETLINK, _NETLINK_EXT_ACK = 270, 11
REQUEST, ACK, EXCL, CREATE, APPEND = 1, 4, 0x200, 0x400, 0x800
_NEWLINK, _DELLINK, _NEWADDR, _NEWROUTE = 16, 17, 20, 24
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_NET_NS_FD = 28
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_F_NODAD = 1, 2, 2
_RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 4, 5, 6
_IFF_UP = 1
_ERROR = 2
_CAPPED = 0x100  # an error message that repeats only the header of what was asked


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    """A netlink message with its header."""
    return pack("=IHHII", 16 + len(body), kind, flags, number, 0) + body


class Links:
    """A socket for requests about the network namespace this process is in."""

    def __init__(self) -> None:
        self._socket = _socket.socket(_AF_NETLINK, _socket.SOCK_RAW, _NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._number = 0

    def close(self) -> None:
        """Let the socket go."""
        self._socket.close()

    def add_bridge(self, name: str, mtu: int) -> bool:
        """Make a bridge; False when there is one of that name."""
        body = _link() + _name(name) + attribute(_IFLA_MTU, pack("=I", mtu)) + _kind(b"bridge")
        return self._unless_there(_NEWLINK, body)

    def add_pair(self, name: str, peer: str, netns_fd: int, mac: str, mtu: int) -> None:
        """Make a veth pair: `name` here, `peer` with its `mac` in the namespace of `netns_fd`."""
        size = attribute(_IFLA_MTU, pack("=I", mtu))
        address = attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
        there = attribute(_IFLA_NET_NS_FD, pack("=i", netns_fd))
        other = attribute(_VETH_INFO_PEER, _link() + _name(peer) + size + address + there)
        body = _link() + _name(name) + size + _kind(b"veth", other)
        self._ask(_NEWLINK, CREATE | EXCL, body)

    def bring_up(self, name: str, master: str = "") -> None:
        """Set a link up, as a port of the bridge `master` if that is given."""
        body = _link(index(name), _IFF_UP)
        if master:
            body += attribute(_IFLA_MASTER, pack("=I", index(master)))
        self._ask(_NEWLINK, 0, body)

    def remove(self, name: str) -> None:
        """Delete a link, and the other half of its pair; harmless when there is none."""
        try:
            self._ask(_DELLINK, 0, _link(index(name)))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def add_address(self, name: str, address: str, length: int) -> bool:
        """Give a link an address whose network is `length` bits; False when it has it."""
        family, packed = _packed(address)
        flags = _IFA_F_NODAD if family == _socket.AF_INET6 else 0
        head = pack("=BBBBI", family, length, flags, 0, index(name))
        body = head + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
        return self._unless_there(_NEWADDR, body)

    def add_default_route(self, name: str, gateway: str, priority: int) -> None:
        """Everything that is not known otherwise goes to `gateway`; the lowest `priority` wins."""
        family, packed = _packed(gateway)
        # struct rtmsg: no bits of a destination, table main, made statically, unicast
        head = pack("=BBBBBBBBI", family, 0, 0, 0, 254, 4, 0, 1, 0)
        body = head + attribute(_RTA_GATEWAY, packed) + attribute(_RTA_OIF, pack("=I", index(name)))
        self._ask(_NEWROUTE, CREATE | EXCL, body + attribute(_RTA_PRIORITY, pack("=I", priority)))

    def _unless_there(self, kind: int, body: bytes) -> bool:
        try:
            self._ask(kind, CREATE | EXCL, body)
        except FileExistsError:
            return False
        return True

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._number += 1
        self._socket.send(message(kind, REQUEST | ACK | flags, self._number, body))
        check(self._socket.recv(1 << 16))


def check(answer: bytes) -> None:
    """Raise what the kernel answered, as an OSError with its own words; 0 is a success."""
    length, kind, flags = unpack_from("=IHH", answer)
    if kind != _ERROR:
        raise OSError(errno.EPROTO, f"netlink answered with a message of kind {kind}")
    number = -unpack_from("=i", answer, 16)[0]
    if number:
        said = _words(answer[:length], capped=bool(flags & _CAPPED))
        raise OSError(number, said or os.strerror(number))


def _words(answer: bytes, *, capped: bool) -> str:
    """NLMSGERR_ATTR_MSG of an extended answer, behind what it repeats of the question; or ""."""
    repeated = 16 if capped else unpack_from("=I", answer, 20)[0]
    place = 20 + repeated + -repeated % 4
    while place + 4 <= len(answer):
        length, kind = unpack_from("=HH", answer, place)
        if kind == 1:
            return answer[place + 4 : place + length].rstrip(b"\0").decode(errors="replace")
        place += max(length + -length % 4, 4)
    return ""


def index(name: str) -> int:
    """The number of a link here; OSError(ENODEV) when there is none."""
    try:
        number: int = _socket.if_nametoindex(name)
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name) from None
    return number


def _link(number: int = 0, flags: int = 0) -> bytes:
    """struct ifinfomsg; the flags given are the ones that change."""
    return pack("=BxHiII", 0, 0, number, flags, flags)


def _name(name: str) -> bytes:
    return attribute(_IFLA_IFNAME, name.encode() + b"\0")


def _kind(kind: bytes, details: bytes = b"") -> bytes:
    inner = attribute(_INFO_KIND, kind)
    return attribute(_IFLA_LINKINFO, inner + (attribute(_INFO_DATA, details) if details else b""))


def _packed(address: str) -> tuple[int, bytes]:
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    return family, _socket.inet_pton(family, address)
