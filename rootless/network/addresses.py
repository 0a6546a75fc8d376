"""Blocks of addresses, and the choice of the next free one. Pure: numbers and texts.

`ipaddress` takes 5 ms to import, a third of what starting a container may cost.
"""

from __future__ import annotations

import _socket

from rootless.errors import RootlessError, UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_SPECIAL = ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "::/127", "ff00::/8", "fe80::/10")


class Block(Record):
    """A range of addresses: `base` is the first as a number, `length` its bits that are fixed."""

    base: int
    length: int
    is_six: bool = False

    def __str__(self) -> str:
        return f"{show(self.base, is_six=self.is_six)}/{self.length}"

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return 1 << ((128 if self.is_six else 32) - self.length)

    def overlaps(self, other: Block) -> bool:
        """Whether an address is in both."""
        if self.is_six != other.is_six:
            return False
        return self.base < other.base + other.size and other.base < self.base + self.size

    def holds(self, address: str) -> bool:
        """Whether the address is in it."""
        number, is_six = read(address)
        return is_six == self.is_six and self.base <= number < self.base + self.size

    def hosts(self) -> Iterator[int]:
        """The addresses that a machine may have, lowest first."""
        last = self.base + self.size - (not self.is_six and self.size > 2)
        return iter(range(self.base + (self.size > 1), last))


def read(address: str) -> tuple[int, bool]:
    """(its number, whether it is IPv6) of an address; UsageError when it is none."""
    is_six = ":" in address
    try:
        packed = _socket.inet_pton(_socket.AF_INET6 if is_six else _socket.AF_INET, address)
    except (OSError, ValueError, UnicodeError):
        raise UsageError(
            f"{address!r} is not an IP address", hint="write 172.20.0.5, or fd00::5"
        ) from None
    return int.from_bytes(packed, "big"), is_six


def show(number: int, *, is_six: bool) -> str:
    """An address as people write it."""
    family, size = (_socket.AF_INET6, 16) if is_six else (_socket.AF_INET, 4)
    return _socket.inet_ntop(family, number.to_bytes(size, "big"))


def block(text: str) -> Block:
    """`ADDRESS/BITS`; UsageError where that is none, or does not begin where it should."""
    address, slash, bits = text.partition("/")
    number, is_six = read(address)
    width = 128 if is_six else 32
    if not slash or not (bits.isascii() and bits.isdecimal()) or int(bits[:4]) > width:
        raise UsageError(
            f"invalid subnet {text!r}: it has no length of its network",
            hint="write it as 172.20.0.0/16, or fd00:20::/64",
        )
    found = Block(number, int(bits), is_six)
    base = number - number % found.size
    if base != number:
        meant = Block(base, found.length, is_six)
        raise UsageError(f"invalid subnet {text}: it should be {meant}")
    if any(found.overlaps(block_of(special)) for special in _SPECIAL):
        raise UsageError(
            f"invalid subnet {text}: these addresses have another use",
            hint="choose one from 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fd00::/8",
        )
    return found


def block_of(text: str) -> Block:
    """A block that is known to be one."""
    address, _, bits = text.partition("/")
    number, is_six = read(address)
    return Block(number, int(bits), is_six)


def free_block(taken: Iterable[Block]) -> Block:
    """The first of docker's pools that overlaps nothing: 172.18.0.0/16 and so on."""
    known = tuple(taken)
    wide = (Block((172 << 24) + (second << 16), 16) for second in range(18, 32))
    narrow = (Block((192 << 24) + (168 << 16) + (third << 12), 20) for third in range(16))
    for one in (*wide, *narrow):
        if not any(one.overlaps(other) for other in known):
            return one
    raise RootlessError(
        "all predefined address pools have been fully subnetted",
        hint="give the network a subnet of its own (--subnet 10.20.0.0/24), "
        "or remove some: rootless network prune",
    )


def free_six(seed: bytes) -> Block:
    """A unique local block of IPv6 (RFC 4193) made of 7 random bytes."""
    return Block(int.from_bytes(b"\xfd" + seed[:7] + bytes(8), "big"), 64, is_six=True)


def free_address(within: Block, taken: Collection[int], what: str) -> str:
    """The lowest address of a block that is not taken; RootlessError names the network `what`."""
    for number in within.hosts():
        if number not in taken:
            return show(number, is_six=within.is_six)
    raise RootlessError(
        f"network {what} has no free address left in {within}",
        hint="remove containers from it, or create a network with a larger --subnet",
    )


def host_routes() -> tuple[Block, ...]:
    """The IPv4 networks that this machine's own routes lead to, but for the default."""
    found = []
    try:
        with open("/proc/net/route", encoding="utf-8") as file:
            lines = file.read(1 << 20).splitlines()[1:]
    except OSError:
        return ()
    for line in lines:
        words = line.split()
        if len(words) > 7 and int(words[7], 16):
            base, mask = (int.from_bytes(bytes.fromhex(words[at])[::-1], "big") for at in (1, 7))
            found.append(Block(base, mask.bit_count()))
    return tuple(found)
