"""Compressing: what other decoders read, the same bytes whatever the threads, levels."""

from __future__ import annotations

import gzip
import hashlib
import random
import sys
import zlib

import pytest
import zstandard

from rootless.archive import compression
from rootless.archive.compression import Compression
from rootless.errors import UsageError

BLOCK = compression._BLOCK
KINDS = [Compression("gzip"), Compression("gzip", 4), Compression("zstd"), Compression("zstd", 5)]


def packed(how, pieces):
    found = []
    with compression.encoder(how, found.append) as encoder:
        for piece in pieces:
            encoder.write(piece)
        encoder.finish()
    return b"".join(found)


def unpacked(how, content):
    if how.kind == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return gzip.decompress(content)


def text(size):
    words = random.Random(1).choices([b"layer ", b"whiteout ", b"digest ", b"\0\0\0"], k=size // 3)
    return b"".join(words)[:size]


@pytest.mark.parametrize("how", KINDS, ids=str)
@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17])
def test_other_decoders_read_it(how, size):
    content = text(size)
    assert unpacked(how, packed(how, [content])) == content


@pytest.mark.parametrize("how", KINDS, ids=str)
def test_the_same_bytes_give_the_same_output_whatever_the_threads(how, monkeypatch):
    content = text(4 * BLOCK + 5)
    found = set()
    for threads, piece in ((1, len(content)), (2, 100_000), (7, BLOCK)):
        monkeypatch.setattr(compression, "_threads", lambda count=threads: count)
        pieces = [content[at : at + piece] for at in range(0, len(content), piece)]
        found.add(hashlib.sha256(packed(how, pieces)).hexdigest())
    assert len(found) == 1


def test_gzip_is_one_member(monkeypatch):
    content = text(3 * BLOCK)
    one = zlib.decompressobj(31)
    assert one.decompress(packed(Compression("gzip"), [content])) == content
    assert one.eof
    assert one.unused_data == b""


def test_a_block_refers_to_the_one_before(monkeypatch):
    noise = random.Random(2).randbytes(BLOCK // 64)
    how = Compression("gzip", 6)
    repeated = packed(how, [noise * 64, noise[-20000:]])
    assert len(repeated) < len(packed(how, [noise * 64])) + 2000


def test_without_isal_zlib_does_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "isal", None)
    content = text(BLOCK + 9)
    assert gzip.decompress(packed(Compression("gzip"), [content])) == content


def test_what_is_not_wanted_any_more_ends():
    class GoneError(Exception):
        pass

    def put(_):
        raise GoneError

    with pytest.raises(GoneError):
        packed_into(put)


def packed_into(put):
    with compression.encoder(Compression("zstd", 1), put) as encoder:
        for _ in range(40):
            encoder.write(random.Random(3).randbytes(BLOCK))
        encoder.finish()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("gzip", Compression("gzip")),
        ("gzip:1", Compression("gzip", 1)),
        ("zstd:19", Compression("zstd", 19)),
    ],
)
def test_compressions_that_people_write(given, expected):
    assert Compression.parse(given) == expected


@pytest.mark.parametrize(
    "given", ["", "lz4", "GZIP", "gzip:", "gzip:0", "gzip:10", "zstd:20", "zstd:-1", "zstd:9:9"]
)
def test_compressions_that_are_none(given):
    with pytest.raises(UsageError, match=r"is not a compression|has no level"):
        Compression.parse(given)
