"""Netlink messages byte by byte; the kernel reads them in integration/test_bridges.py."""

from __future__ import annotations

import struct

import pytest

from rootless.network import netlink, nftables


def test_attributes_are_padded_but_say_their_length():
    assert netlink.attribute(3, b"lo\0") == b"\7\0\3\0lo\0\0"
    assert netlink.attribute(1, b"") == b"\4\0\1\0"


def test_a_message_says_its_length():
    made = netlink.message(16, 5, 9, b"12345678")
    assert struct.unpack_from("=IHHII", made) == (24, 16, 5, 9, 0)


def test_every_message_of_the_batch_can_be_taken_apart():
    def depth(body: bytes) -> int:
        place, deepest = 0, 0
        while place < len(body):
            size, kind = struct.unpack_from("=HH", body, place)
            assert 4 <= size <= len(body) - place
            if kind & 0x8000:
                deepest = max(deepest, 1 + depth(body[place + 4 : place + size]))
            place += size + -size % 4
        return deepest

    made = nftables.batch("tap0")
    assert [struct.unpack_from("=H", one, 4)[0] & 0xFF for one in made] == [
        *(0x10, 0, 3, 3, 6, 6, 6, 3, 6, 0x11)
    ]
    for one in made:
        assert struct.unpack_from("=I", one)[0] == len(one)
    assert max(depth(one[20:]) for one in made[1:-1]) == 5
    assert b"tap0\0" in made[5]
    assert b"rl" in made[5]


def test_an_error_has_the_kernels_words():
    said = netlink.attribute(1, b"ipv4: Invalid prefix length\0")
    question = netlink.message(20, 5, 1, b"abcdefgh")
    whole = struct.pack("=i", -22) + question + said
    answer = netlink.message(2, 0x200, 1, whole)
    with pytest.raises(OSError, match="Invalid prefix length") as failed:
        netlink.check(answer)
    assert failed.value.errno == 22
    capped = netlink.message(2, 0x300, 1, struct.pack("=i", -17) + question[:16] + said)
    with pytest.raises(FileExistsError, match="Invalid prefix length"):
        netlink.check(capped)
    bare = netlink.message(2, 0, 1, struct.pack("=i", -1) + question[:16])
    with pytest.raises(PermissionError, match="not permitted"):
        netlink.check(bare)
    netlink.check(netlink.message(2, 0x100, 1, struct.pack("=i", 0) + question[:16]))
    with pytest.raises(OSError, match="kind 5"):
        netlink.check(netlink.message(5, 0, 1, b""))
