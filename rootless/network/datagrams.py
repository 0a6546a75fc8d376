"""Datagrams answered from the address they were sent to: ip(7) IP_PKTINFO, ipv6(7).

A socket that is bound to every address would answer from the one its route prefers, and whoever
asked another one takes that for a stranger's.
"""

from __future__ import annotations

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_BYTES = 1 << 16
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 8, 49, 50

Sender = tuple[object, list[tuple[int, int, bytes]]]
"""Where a datagram came from, and how to answer from where it went to."""


def prepare(sock: _socket.socket) -> None:
    """Have the kernel say which address a datagram was sent to."""
    if sock.family == _socket.AF_INET6:
        sock.setsockopt(_socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(_socket.IPPROTO_IP, _IP_PKTINFO, 1)


def receive(sock: _socket.socket) -> tuple[bytes, Sender]:
    """The next datagram. BlockingIOError when there is none, another OSError for an old one's."""
    content, told, _, address = sock.recvmsg(MOST_BYTES, 64)
    return content, (address, [_reply(*one) for one in told])


def send(sock: _socket.socket, content: bytes, sender: Sender) -> None:
    """Answer; what cannot be delivered now is lost, as datagrams are."""
    address, told = sender
    where: Any = address
    try:
        sock.sendmsg([content], told, 0, where)
    except OSError:
        return


def _reply(level: int, kind: int, value: bytes) -> tuple[int, int, bytes]:
    """The same address as ours. An interface is named only where a route does not tell it."""
    if (level, kind) == (_socket.IPPROTO_IP, _IP_PKTINFO):
        return level, kind, bytes(4) + value[4:8] + bytes(4)
    is_local = value[:2] == b"\xfe\x80"
    return level, _IPV6_PKTINFO, value[:16] + (value[16:20] if is_local else bytes(4))
