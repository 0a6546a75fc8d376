"""Datagrams answered from the address they were sent to: ip(7) IP_PKTINFO, ipv6(7).

A socket that is bound to every address would answer from the one its route prefers, and whoever
asked another one takes that for a stranger's. What tells that address tells the device, too.
"""

from __future__ import annotations

import _socket
import fcntl
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_BYTES = 1 << 16
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 8, 49, 50
_SIOCGIFNAME = 0x8910

Sender = tuple[object, list[tuple[int, int, bytes]]]
"""Where a datagram came from, and how to answer from where it went to."""


def prepare(sock: _socket.socket) -> None:
    """Have the kernel say which address a datagram was sent to."""
    if sock.family == _socket.AF_INET6:
        sock.setsockopt(_socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(_socket.IPPROTO_IP, _IP_PKTINFO, 1)


def receive(sock: _socket.socket) -> tuple[bytes, Sender, int]:
    """The next datagram, and the number of the device it came by, for `device`.

    BlockingIOError when there is none, another OSError for an old one's.
    """
    content, told, _, address = sock.recvmsg(MOST_BYTES, 64)
    numbers = [_number(*one) for one in told]
    return content, (address, [_reply(*one) for one in told]), numbers[0] if numbers else 0


def device(sock: _socket.socket, number: int) -> str:
    """The name of a device of the socket's namespace, which is not ours; "" for one that is gone.

    See netdevice(7).
    """
    asked = bytes(16) + number.to_bytes(4, sys.byteorder) + bytes(20)
    try:
        return fcntl.ioctl(sock, _SIOCGIFNAME, asked)[:16].rstrip(b"\0").decode()
    except OSError:
        return ""


def send(sock: _socket.socket, content: bytes, sender: Sender) -> None:
    """Answer; what cannot be delivered now is lost, as datagrams are."""
    address, told = sender
    where: Any = address
    try:
        sock.sendmsg([content], told, 0, where)
    except OSError:
        return


def _number(level: int, kind: int, value: bytes) -> int:
    is_four = (level, kind) == (_socket.IPPROTO_IP, _IP_PKTINFO)
    return int.from_bytes(value[:4] if is_four else value[16:20], sys.byteorder)


def _reply(level: int, kind: int, value: bytes) -> tuple[int, int, bytes]:
    """The same address as ours. An interface is named only where a route does not tell it."""
    if (level, kind) == (_socket.IPPROTO_IP, _IP_PKTINFO):
        return level, kind, bytes(4) + value[4:8] + bytes(4)
    is_local = value[:2] == b"\xfe\x80"
    return level, _IPV6_PKTINFO, value[:16] + (value[16:20] if is_local else bytes(4))
