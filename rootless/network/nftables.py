"""The rules of the holder's network namespace, written to the kernel without the program nft.

    table inet rootless {
        chain forward     { type filter hook forward priority 0; policy drop;
                            iifname NAME oifname "rl*" ct state established,related accept
                            iifname "rl*" oifname NAME accept }
        chain postrouting { type nat hook postrouting priority 100;
                            oifname NAME masquerade }
        chain arriving    { type filter hook prerouting priority -300; policy accept;
                            iifname != NAME fib saddr . iif oif missing drop }
    }

They are the same whatever networks there are. A bridge that may go out is called rl…; nothing
that comes from another one is passed on, and no network reaches another, as only NAME leads from
one to anywhere. The last chain stands before connections are known: a packet whose sender is not
where it comes from, as rp_filter knows for IPv4 only, neither begins one nor belongs to one. Within
a bridge nothing is routed, so no rule is asked. Runs in the namespace, as uid 0 of the user
namespace that owns it.

Kernel: include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import _socket
from struct import pack

from rootless.network.netlink import ACK, APPEND, CREATE, REQUEST, attribute, check, message

OUTWARD = "rl"
"""How the names of bridges begin that may reach the outside."""

_AF_NETLINK, _NETLINK_NETFILTER = 16, 12
_BATCH_BEGIN, _BATCH_END, _SUBSYSTEM = 0x10, 0x11, 10
_NEWTABLE, _NEWCHAIN, _NEWRULE = 0, 3, 6
_INET = 1
_NESTED = 0x8000
_PREROUTING, _FORWARD, _POSTROUTING = 0, 2, 4
_BEFORE_CONNECTIONS = -300
_DROP, _ACCEPT = 0, 1
_EQUAL, _UNEQUAL = 0, 1
_VERDICT, _REGISTER = 0, 1
_IIFNAME, _OIFNAME = 6, 7
_ESTABLISHED_OR_RELATED = 2 | 4
_FIB_RESULT_OIF, _FIB_SADDR, _FIB_IIF, _FIB_PRESENT = 1, 1, 8, 32
_TABLE = b"rootless\0"


def batch(way_out: str, *, knows_routes: bool = True) -> tuple[bytes, ...]:
    """The messages that make the table, for the network device `way_out`.

    Without the last chain for a kernel that does not know `fib` (`knows_routes`).
    """
    forward, postrouting, arriving = b"forward\0", b"postrouting\0", b"arriving\0"
    outside, bridges = way_out.encode() + b"\0", OUTWARD.encode()
    made = [
        (_NEWTABLE, attribute(1, _TABLE)),
        (_NEWCHAIN, _chain(forward, b"filter\0", _FORWARD, 0, _DROP)),
        (_NEWCHAIN, _chain(postrouting, b"nat\0", _POSTROUTING, 100, _ACCEPT)),
        (
            _NEWRULE,
            _rule(
                forward,
                *_device(_IIFNAME, outside),
                *_device(_OIFNAME, bridges),
                *_state(_ESTABLISHED_OR_RELATED),
                _verdict(_ACCEPT),
            ),
        ),
        (
            _NEWRULE,
            _rule(
                forward,
                *_device(_IIFNAME, bridges),
                *_device(_OIFNAME, outside),
                _verdict(_ACCEPT),
            ),
        ),
        (
            _NEWRULE,
            _rule(postrouting, *_device(_OIFNAME, outside), _expression(b"masq", b"")),
        ),
    ]
    if knows_routes:
        filtering = _chain(arriving, b"filter\0", _PREROUTING, _BEFORE_CONNECTIONS, _ACCEPT)
        made.append((_NEWCHAIN, filtering))
        foreign = (*_device(_IIFNAME, outside, _UNEQUAL), *_comes_another_way(), _verdict(_DROP))
        made.append((_NEWRULE, _rule(arriving, *foreign)))
    return (
        _generic(_BATCH_BEGIN, 0, 0, 0, _SUBSYSTEM),
        *(_make(kind, number, body) for number, (kind, body) in enumerate(made, 1)),
        _generic(_BATCH_END, 0, len(made) + 1, 0, _SUBSYSTEM),
    )


def install(way_out: str) -> None:
    """Make the table in this namespace; OSError when the kernel cannot."""
    try:
        _send(batch(way_out))
    except FileNotFoundError:  # how it says that it lacks an expression
        _send(batch(way_out, knows_routes=False))


def _send(messages: tuple[bytes, ...]) -> None:
    sock = _socket.socket(_AF_NETLINK, _socket.SOCK_RAW, _NETLINK_NETFILTER)
    try:
        sock.settimeout(5)
        sock.send(b"".join(messages))
        for _ in messages[1:-1]:
            check(sock.recv(1 << 16))
    finally:
        sock.close()


def _generic(kind: int, flags: int, number: int, family: int, resource: int = 0) -> bytes:
    """A message with struct nfgenmsg, whose last field is in the network's order."""
    return message(kind, REQUEST | flags, number, pack("=BB", family, 0) + pack(">H", resource))


def _make(kind: int, number: int, body: bytes) -> bytes:
    head = pack("=BB", _INET, 0) + pack(">H", 0)
    return message(_SUBSYSTEM << 8 | kind, REQUEST | ACK | CREATE | APPEND, number, head + body)


def _nested(kind: int, *inner: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(inner))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, pack(">I", value & 0xFFFFFFFF))


def _chain(name: bytes, kind: bytes, hook: int, priority: int, policy: int) -> bytes:
    where = _nested(4, _number(1, hook), _number(2, priority))
    return b"".join(
        (attribute(1, _TABLE), attribute(3, name), where, _number(5, policy), attribute(7, kind))
    )


def _rule(chain: bytes, *expressions: bytes) -> bytes:
    return attribute(1, _TABLE) + attribute(2, chain) + _nested(4, *expressions)


def _expression(name: bytes, details: bytes) -> bytes:
    return _nested(1, attribute(1, name + b"\0"), _nested(2, details))


def _compare(operator: int, value: bytes) -> bytes:
    known = _nested(3, attribute(1, value))
    return _expression(b"cmp", _number(1, _REGISTER) + _number(2, operator) + known)


def _device(which: int, name: bytes, operator: int = _EQUAL) -> tuple[bytes, bytes]:
    """The name of the device it comes from or goes to begins with `name`, or does not."""
    load = _expression(b"meta", _number(1, _REGISTER) + _number(2, which))
    return load, _compare(operator, name)


def _comes_another_way() -> tuple[bytes, bytes]:
    """No route leads to its sender through the device it comes from."""
    flags = _FIB_SADDR | _FIB_IIF | _FIB_PRESENT
    asked = _number(1, _REGISTER) + _number(2, _FIB_RESULT_OIF) + _number(3, flags)
    return _expression(b"fib", asked), _compare(_EQUAL, b"\0")


def _state(mask: int) -> tuple[bytes, ...]:
    """The connection's state is among those of `mask`."""
    load = _expression(b"ct", _number(1, _REGISTER) + _number(2, 0))
    registers = _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, 4)
    masks = _nested(4, attribute(1, pack("=I", mask))) + _nested(5, attribute(1, bytes(4)))
    return load, _expression(b"bitwise", registers + masks), _compare(_UNEQUAL, bytes(4))


def _verdict(code: int) -> bytes:
    verdict = _nested(2, _nested(2, _number(1, code)))
    return _expression(b"immediate", _number(1, _VERDICT) + verdict)
