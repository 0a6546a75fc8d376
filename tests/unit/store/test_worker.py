"""Reading ahead in a thread: every piece in order, and the stream's own error at its place."""

from __future__ import annotations

import pytest

from rootless.errors import IntegrityError
from rootless.store.worker import _Ahead


def test_pieces_come_in_order_and_are_seen():
    pieces = [b"%d" % number for number in range(100)]
    coming, seen = iter([*pieces, b""]), []
    ahead = _Ahead(lambda _: next(coming), seen.append)
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
    ahead = _Ahead(read, len)
    assert (ahead.read(1), ahead.read(1)) == (b"one", b"two")
    with pytest.raises(IntegrityError, match="gzip stream is damaged"):
        ahead.read(1)
