"""Decompression: every kind, in pieces of any size, whole or an IntegrityError."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import sys

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.archive import codecs
from rootless.errors import IntegrityError

PLAIN = random.Random(1).randbytes(300_000) + bytes(300_000)


def _zstd(content, **options):
    return zstandard.ZstdCompressor(**options).compress(content)


PACK = {
    "gzip": gzip.compress,
    "zstd": _zstd,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "none": bytes,
}
PACKED = {kind: pack(PLAIN) for kind, pack in PACK.items()}
COMPRESSED = [kind for kind in PACK if kind != "none"]


def _unpack(content, *, give=1 << 20, ask=1 << 20):
    stream = io.BytesIO(content)
    read = codecs.decompress(lambda size: stream.read(min(size, give)))
    pieces = []
    while piece := read(ask):
        assert len(piece) <= ask
        pieces.append(piece)
    assert read(ask) == b""
    return b"".join(pieces)


@pytest.fixture(params=["isal", "zlib"])
def _gzip_by(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        pytest.importorskip("isal")


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize(("give", "ask"), [(1 << 20, 1 << 20), (997, 1 << 16), (1 << 20, 1009)])
@pytest.mark.usefixtures("_gzip_by")
def test_plain_again(kind, give, ask):
    assert _unpack(PACKED[kind], give=give, ask=ask) == PLAIN


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.usefixtures("_gzip_by")
def test_several_streams_one_after_another(kind):
    packed = PACK[kind](b"one") + PACK[kind](b"") + PACK[kind](b"two")
    assert _unpack(packed, give=5) == b"onetwo"


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("content", [b"", b"x"])
@pytest.mark.usefixtures("_gzip_by")
def test_thousands_of_short_streams(kind, content):
    assert _unpack(PACK[kind](content) * 5000) == content * 5000


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
def test_short_streams_cost_no_more_than_their_bytes(kind, monkeypatch):
    """What follows a stream is not handed in again and again, a whole chunk at a time."""
    packed = PACK[kind](b"x") * 20_000
    given = 0

    class Counting:
        def __init__(self, inner):
            self._inner = inner

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def decompress(self, data, size):
            nonlocal given
            given += len(data)
            return self._inner.decompress(data, size)

    make, failure = getattr(codecs, f"_{kind}")()
    monkeypatch.setattr(codecs, f"_{kind}", lambda: (lambda: Counting(make()), failure))
    assert _unpack(packed) == b"x" * 20_000
    assert given < 60 * len(packed)  # 1 KiB for each of them; by chunks it is 1000 times


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.usefixtures("_gzip_by")
def test_a_stream_is_not_read_after_its_end(kind):
    for content in (PACKED[kind], PACK[kind](b"")):
        read = codecs.decompress(once(content))
        while read(1 << 20):
            pass
        assert read(1 << 20) == b""


def once(content):
    """A stream that may not be asked again after it said that it is at its end."""
    pieces = iter([piece for piece in (content[:7], content[7:]) if piece] + [b""])
    return lambda _: next(pieces)


@pytest.mark.parametrize("kind", COMPRESSED)
@given(
    parts=st.lists(st.binary(max_size=40), min_size=1, max_size=6),
    padding=st.integers(0, 3),
    give=st.integers(1, 70),
    ask=st.integers(1, 70),
)
@settings(deadline=None, database=None, max_examples=60)
def test_boundaries_of_streams_anywhere(kind, parts, padding, give, ask):
    zeros = bytes(padding if kind == "gzip" else 0)
    packed = b"".join(PACK[kind](part) + zeros for part in parts)
    assert _unpack(packed, give=give, ask=ask) == b"".join(parts)


@pytest.mark.parametrize("kind", COMPRESSED)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3))
@settings(deadline=None, database=None, max_examples=80)
def test_damage_is_an_error_or_the_content(kind, changes):
    packed = bytearray(PACK[kind](b"some content " * 9) + PACK[kind](b""))
    for at, value in changes:
        packed[at % len(packed)] = value
    try:
        _unpack(bytes(packed), give=9)
    except IntegrityError as error:
        assert error.message.isprintable()


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("left", [-1, -5, -100, 1000, codecs.ENOUGH])
@pytest.mark.usefixtures("_gzip_by")
def test_cut_short(kind, left):
    with pytest.raises(IntegrityError, match=kind):
        _unpack(PACKED[kind][:left])


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.usefixtures("_gzip_by")
def test_damaged_or_followed_by_garbage(kind):
    broken = bytearray(PACKED["gzip"] if kind == "gzip" else _checked(kind))
    broken[len(broken) // 2] ^= 0xFF
    with pytest.raises(IntegrityError, match=kind):
        _unpack(bytes(broken))
    with pytest.raises(IntegrityError, match=kind):
        _unpack(PACKED[kind] + b"garbage")


def _checked(kind):
    return _zstd(PLAIN, write_checksum=True) if kind == "zstd" else PACKED[kind]


@pytest.mark.usefixtures("_gzip_by")
def test_gzip_may_be_padded_with_zeros():
    assert _unpack(PACKED["gzip"] + bytes(1000), give=100) == PLAIN


@pytest.mark.parametrize("options", [{"write_content_size": False}, {"write_checksum": True}])
def test_zstd_frames_of_all_shapes(options):
    skippable = b"\x50\x2a\x4d\x18\x05\0\0\0hello"
    packed = skippable + _zstd(PLAIN, **options) + skippable + _zstd(b"", **options)
    assert _unpack(packed, give=7) == PLAIN


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.usefixtures("_gzip_by")
def test_a_bomb_is_given_out_in_pieces(kind):
    """50 MB of zeros: no piece is longer than asked for, and nothing holds all of them."""
    import tracemalloc

    packed = PACK[kind](bytes(50_000_000))
    tracemalloc.start()
    read = codecs.decompress(io.BytesIO(packed).read)
    total = 0
    while piece := read(1 << 20):
        total += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 50_000_000
    assert peak < 20_000_000


def test_a_stream_that_wants_too_much_memory_is_refused():
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    with pytest.raises(IntegrityError, match="xz"):
        _unpack(lzma.compress(b"x" * 100, filters=filters))
    parameters = zstandard.ZstdCompressionParameters(window_log=29)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(IntegrityError, match="zstd"):
        _unpack(packed.compress(b"x" * 100) + packed.flush())


@pytest.mark.parametrize("content", [b"", b"ab", b"P", b"lz4 is not known"])
def test_what_is_not_compressed_comes_as_it_is(content):
    assert _unpack(content) == content


def test_nothing_is_left_to_import_when_reading():
    """What is read inside a chroot must have all its modules."""
    import subprocess

    code = (
        "import io, sys\n"
        "from rootless.archive import codecs\n"
        "for packed in map(bytes.fromhex, sys.argv[1:]):\n"
        "    read = codecs.decompress(io.BytesIO(packed).read)\n"
        "    before = set(sys.modules)\n"
        "    assert read(9) == b'x'\n"
        "    assert set(sys.modules) == before, set(sys.modules) - before\n"
    )
    packed = [PACK[kind](b"x").hex() for kind in COMPRESSED]
    subprocess.run([sys.executable, "-c", code, *packed], check=True)


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
def test_endless_zeros_after_a_stream_are_not_read_for_ever(kind):
    head = io.BytesIO(PACKED[kind])
    read = codecs.decompress(lambda size: head.read(size) or bytes(size))
    with pytest.raises(IntegrityError, match="endless zeros"):
        while read(1 << 20):
            pass
