"""DNS messages as far as a resolver for containers needs them: RFC 1035. Pure; trusts nothing.

A question is read without following pointers, which no question has. What is answered is made
anew, with one pointer to the name in the question.
"""

from __future__ import annotations

from struct import pack, unpack_from

from rootless.record import Record

A, PTR, AAAA, ANY, IN = 1, 12, 28, 255, 1
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED = 0, 1, 2, 3, 4
MOST_BYTES = 512  # of a datagram that everybody takes
TTL = 10  # seconds: a container may be gone then
_HEADER = 12
_RESPONSE, _OPCODE, _RECURSION, _AVAILABLE = 0x8000, 0x7800, 0x0100, 0x0080
_LONGEST_NAME, _LONGEST_LABEL = 255, 63


class Question(Record):
    """What one message asks; `name` in lower case, without the last dot; `raw` as it was sent."""

    id: int
    flags: int
    name: str
    kind: int
    group: int
    raw: bytes


class Malformed(Exception):  # noqa: N818 - it is the packet that is
    """`id` is the message's, or -1 when it must not be answered at all."""

    def __init__(self, number: int, code: int) -> None:
        super().__init__(f"a DNS message of no use, code {code}")
        self.id = number
        self.code = code


def parse(packet: bytes) -> Question:
    """The only question of a query. Malformed, with the code to answer."""
    if len(packet) < _HEADER:
        raise Malformed(-1, FORMAT_ERROR)
    number, flags, count, answers, names, _ = unpack_from(">6H", packet)
    if flags & _RESPONSE:
        raise Malformed(-1, FORMAT_ERROR)
    if flags & _OPCODE:
        raise Malformed(number, NOT_IMPLEMENTED)
    if count != 1 or answers or names:
        raise Malformed(number, FORMAT_ERROR)
    labels, place = _labels(packet, number)
    if place + 4 > len(packet):
        raise Malformed(number, FORMAT_ERROR)
    kind, group = unpack_from(">HH", packet, place)
    name = b".".join(labels).decode("latin-1").lower()
    return Question(number, flags, name, kind, group, packet[_HEADER : place + 4])


def _labels(packet: bytes, number: int) -> tuple[list[bytes], int]:
    labels: list[bytes] = []
    place = _HEADER
    while True:
        if place >= len(packet) or place - _HEADER >= _LONGEST_NAME:
            raise Malformed(number, FORMAT_ERROR)
        size = packet[place]
        place += 1
        if size == 0:
            return labels, place
        if size > _LONGEST_LABEL or place + size > len(packet):
            raise Malformed(number, FORMAT_ERROR)
        labels.append(packet[place : place + size])
        place += size


def answer(question: Question, values: list[bytes], kind: int, code: int = NO_ERROR) -> bytes:
    """A response with `values` (packed addresses or names) as many as fit into a datagram."""
    records: list[bytes] = []
    size = _HEADER + len(question.raw)
    for value in values:
        record = pack(">HHHIH", 0xC000 | _HEADER, kind, IN, TTL, len(value)) + value
        size += len(record)
        if size > MOST_BYTES:
            break
        records.append(record)
    head = pack(">6H", question.id, _answered(question.flags) | code, 1, len(records), 0, 0)
    return head + question.raw + b"".join(records)


def failure(number: int, code: int) -> bytes:
    """A response without a question, to what could not be read."""
    return pack(">6H", number, _RESPONSE | code, 0, 0, 0, 0)


def _answered(flags: int) -> int:
    return _RESPONSE | _AVAILABLE | (flags & _RECURSION)


def renumbered(packet: bytes, number: int) -> bytes:
    """The same message with another id."""
    return pack(">H", number) + packet[2:]


def is_answer_to(packet: bytes, number: int, question: Question) -> bool:
    """Whether a datagram is the response to what was asked with this id."""
    if len(packet) < _HEADER or unpack_from(">H", packet)[0] != number:
        return False
    flags, count = unpack_from(">HH", packet, 2)
    if not flags & _RESPONSE:
        return False
    if count == 0:  # a server that did not like it need not repeat it
        return bool(flags & 0xF)
    raw = packet[_HEADER : _HEADER + len(question.raw)]
    return count == 1 and raw.lower() == question.raw.lower()


def encoded(name: str) -> bytes:
    """A name of letters, digits and dots as a message has it; too long labels are cut."""
    labels = (label.encode("latin-1", "replace")[:_LONGEST_LABEL] for label in name.split("."))
    return b"".join(bytes([len(label)]) + label for label in labels if label) + b"\0"


def address_of(name: str) -> bytes:
    """The address that a name under in-addr.arpa or ip6.arpa stands for; b"" for another name."""
    if name.endswith(".in-addr.arpa"):
        parts = name.removesuffix(".in-addr.arpa").split(".")[::-1]
        if len(parts) == 4 and all(p.isascii() and p.isdecimal() and int(p) < 256 for p in parts):
            return bytes(map(int, parts))
    if name.endswith(".ip6.arpa"):
        digits = name.removesuffix(".ip6.arpa").split(".")[::-1]
        if len(digits) == 32 and all(len(d) == 1 and d in "0123456789abcdef" for d in digits):
            return bytes.fromhex("".join(digits))
    return b""
