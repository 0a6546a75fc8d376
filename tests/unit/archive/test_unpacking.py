"""Reading ahead in a thread: every piece in order, and the stream's own error at its place."""

from __future__ import annotations

import os
import time

import pytest

from rootless.archive.unpacking import Ahead
from rootless.errors import IntegrityError


def test_pieces_come_in_order_and_are_seen():
    pieces = [b"%d" % number for number in range(100)]
    coming, seen = iter([*pieces, b""]), []
    ahead = Ahead(lambda _: next(coming), seen.append)
    assert list(iter(lambda: ahead.read(1), b"")) == pieces
    assert seen == [*pieces, b""]
    assert ahead.size == sum(map(len, pieces))


def test_an_error_of_the_stream_is_raised_where_it_is_read():
    """A checksum that is wrong behind the last file must not look like the end."""

    def read(_):
        if coming:
            return coming.pop()
        raise IntegrityError("the gzip stream is damaged")

    coming = [b"two", b"one"]
    ahead = Ahead(read, len)
    assert (ahead.read(1), ahead.read(1)) == (b"one", b"two")
    with pytest.raises(IntegrityError, match="gzip stream is damaged"):
        ahead.read(1)


def test_whoever_asks_again_after_the_end_gets_the_end():
    ahead = Ahead(lambda _: b"", len)
    assert [ahead.read(1) for _ in range(50)] == [b""] * 50


def test_an_error_is_raised_to_whoever_asks_again():
    def read(_):
        raise IntegrityError("damaged")

    ahead = Ahead(read, len)
    for _ in range(50):
        with pytest.raises(IntegrityError, match="damaged"):
            ahead.read(1)


def test_the_thread_ends():
    before = len(os.listdir("/proc/self/task"))
    ahead = Ahead(lambda _: b"", len)
    ahead.read(1)
    for _ in range(500):
        if len(os.listdir("/proc/self/task")) == before:
            return
        time.sleep(0.01)
    pytest.fail("the thread is still there")
