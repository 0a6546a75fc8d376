"""DNS messages, from those who mean well and from the others."""

from __future__ import annotations

import random
import socket
import struct

import pytest

from rootless.network import dnspacket
from rootless.network.dnspacket import Malformed, Question, encoded, parse


def query(name: str = "db", kind: int = 1, number: int = 7, tail: bytes = b"") -> bytes:
    head = struct.pack(">6H", number, 0x0100, 1, 0, 0, 1 if tail else 0)
    return head + encoded(name) + struct.pack(">HH", kind, 1) + tail


EDNS = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)


@pytest.mark.parametrize("tail", [b"", EDNS])
def test_a_question_is_read(tail):
    asked = parse(query("DB.Example", 28, tail=tail))
    assert (asked.id, asked.name, asked.kind, asked.group) == (7, "db.example", 28, 1)
    assert asked.raw == encoded("DB.Example") + b"\0\x1c\0\1", "letters are repeated as they came"


def test_the_root_is_a_name():
    assert parse(query("")).name == ""


@pytest.mark.parametrize(
    ("packet", "number", "code"),
    [
        (b"", -1, 1),
        (b"\0" * 11, -1, 1),
        (struct.pack(">6H", 7, 0x8000, 1, 0, 0, 0) + b"\0\0\1\0\1", -1, 1),  # a response
        (struct.pack(">6H", 7, 0x2800, 1, 0, 0, 0) + b"\0\0\1\0\1", 7, 4),  # an update
        (struct.pack(">6H", 7, 0, 0, 0, 0, 0), 7, 1),
        (struct.pack(">6H", 7, 0, 2, 0, 0, 0) + b"\0\0\1\0\1" * 2, 7, 1),
        (struct.pack(">6H", 7, 0, 1, 0xFFFF, 0, 0) + b"\0\0\1\0\1", 7, 1),
        (query()[:-1], 7, 1),
        (query()[:14], 7, 1),
        (struct.pack(">6H", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", 7, 1),  # points at itself
        (struct.pack(">6H", 7, 0, 1, 0, 0, 0) + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", 7, 1),
        (struct.pack(">6H", 7, 0, 1, 0, 0, 0) + b"\x3f" * 1000, 7, 1),
        (struct.pack(">6H", 7, 0, 1, 0, 0, 0) + b"\1a" * 200 + b"\0\0\1\0\1", 7, 1),
    ],
)
def test_what_is_no_question_is_refused(packet, number, code):
    with pytest.raises(Malformed) as refused:
        parse(packet)
    assert (refused.value.id, refused.value.code) == (number, code)


def test_anything_at_all_is_read_or_refused():
    chance = random.Random(7)
    for _ in range(20_000):
        packet = bytearray(query("a.b.c", tail=EDNS))
        for _ in range(chance.randrange(6)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        try:
            asked = parse(bytes(packet[: chance.randrange(len(packet) + 1)]))
        except Malformed:
            continue
        assert isinstance(asked, Question)
        assert len(asked.raw) <= 260
        dnspacket.answer(asked, [b"\1\2\3\4"], 1)
        assert dnspacket.address_of(asked.name) == b""


def test_answers_fit_into_a_datagram():
    asked = parse(query("x" * 60 + "." + "y" * 60))
    answer = dnspacket.answer(asked, [bytes([10, 0, 0, n]) for n in range(100)], 1)
    assert len(answer) <= 512
    count = struct.unpack_from(">H", answer, 6)[0]
    assert count == (512 - 12 - len(asked.raw)) // 16
    assert answer[:2] == b"\0\7"
    assert answer[2] & 0x81 == 0x81, "a response, recursion as asked"


def test_the_libc_understands_it():
    """The answer as a resolver of the system reads it is in integration/test_bridges.py."""
    answer = dnspacket.answer(parse(query("db")), [socket.inet_aton("10.0.0.9")], 1)
    assert answer.endswith(b"\xc0\x0c\0\1\0\1\0\0\0\x0a\0\4\x0a\0\0\x09")


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"\0\x09\x81\x80" + query()[4:], True),
        (b"\0\x09\x81\x80" + query("DB")[4:], True),
        (b"\0\x08\x81\x80" + query()[4:], False),  # another number
        (b"\0\x09\x01\x00" + query()[4:], False),  # a question
        (b"\0\x09\x81\x80" + query("dc")[4:], False),  # another name
        (b"\0\x09\x81\x80" + query(kind=28)[4:], False),
        (b"\0\x09\x81\x85" + bytes(8), True),  # refused, with nothing
        (b"\0\x09\x81\x80" + bytes(8), False),
        (b"\0\x09", False),
        (b"", False),
    ],
)
def test_only_the_answer_to_the_question_is_one(packet, expected):
    assert dnspacket.is_answer_to(packet, 9, parse(query())) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2.7.90.10.in-addr.arpa", "10.90.7.2"),
        ("1." + "0." * 23 + "0.0.0.0.0.0.d.f.ip6.arpa", "fd00::1"),
        ("256.1.1.1.in-addr.arpa", None),
        ("1.1.1.in-addr.arpa", None),
        ("².1.1.1.in-addr.arpa", None),
        ("x.ip6.arpa", None),
        ("in-addr.arpa", None),
    ],
)
def test_addresses_backwards(name, expected):
    found = dnspacket.address_of(name)
    if expected is None:
        assert found == b""
    else:
        family = socket.AF_INET6 if ":" in expected else socket.AF_INET
        assert socket.inet_ntop(family, found) == expected
