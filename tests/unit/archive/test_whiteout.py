"""Both spellings of deleted and opaque."""

from __future__ import annotations

import pytest

from rootless.archive import whiteout
from rootless.archive.whiteout import Whiteout
from rootless.errors import IntegrityError


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        (b"a/b", None),
        (b"a.wh.b", None),
        (b".whx", None),
        (b".wh.a", Whiteout(hidden=b"a")),
        (b"d/e/.wh.a", Whiteout(hidden=b"d/e/a")),
        (b".wh..hidden", Whiteout(hidden=b".hidden")),
        (b".wh.... ", Whiteout(hidden=b"... ")),
        (b".wh..wh..opq", Whiteout(opaque=b".")),
        (b"d/.wh..wh..opq", Whiteout(opaque=b"d")),
        (b".wh..wh.plnk", whiteout.BOOKKEEPING),
        (b".wh..wh.plnk/1.2", whiteout.BOOKKEEPING),
        (b"d/.wh..wh.aufs", whiteout.BOOKKEEPING),
    ],
)
def test_decode(name, meaning):
    assert whiteout.decode(name) == meaning


@pytest.mark.parametrize(
    "name", [b".wh.", b".wh..", b".wh...", b"d/.wh.", b".wh.d/f", b".wh.d/.wh.f", b"a/.wh.d/b/c"]
)
def test_impossible(name):
    with pytest.raises(IntegrityError, match="whiteout"):
        whiteout.decode(name)


@pytest.mark.parametrize("path", [b"a", b"d/a", b".x"])
def test_encode_and_back(path):
    assert whiteout.decode(whiteout.encode(path)) == Whiteout(hidden=path)
    assert whiteout.decode(whiteout.encode_opaque(path)) == Whiteout(opaque=path)


def test_the_root_can_be_opaque():
    assert whiteout.encode_opaque(b".") == b".wh..wh..opq"
