"""Compressed streams, undone in this process and in bounded pieces.

gzip (several members, checksums verified; isal where installed, else zlib), zstd, xz and bzip2.
No external program is ever looked up: not on PATH, and never in an image. `decompress` loads every
module it needs before it returns, so that its result can be read inside a chroot. A stream that
ends early, holds damage or goes on with garbage raises IntegrityError.
"""

from __future__ import annotations

from rootless.errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Protocol

    from rootless.archive import Read

    class _Decompressor(Protocol):
        """What bz2 and lzma offer: one compressed stream, output bounded by max_length."""

        @property
        def eof(self) -> bool: ...
        @property
        def needs_input(self) -> bool: ...
        @property
        def unused_data(self) -> bytes: ...
        def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


CHUNK = 1 << 17
_FIRST_GIVEN = 1 << 10
MAX_WINDOW = 1 << 27
"""The most memory a zstd or xz stream may ask for: zstd's own limit, and more than xz -9 needs."""

_MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\0",
    "bzip2": b"BZh",
}
_SKIPPABLE = b"\x2a\x4d\x18"  # follows a byte from 0x50 to 0x5f
ENOUGH = 6
_MAX_PADDING = 64 << 20  # zeros after the last stream


def decompress(read: Read) -> Read:
    """The plain stream of one that may be compressed, as its first bytes say."""
    source = _Source(read)
    compression = recognise(source.begin(ENOUGH))
    if compression == "none":
        return source.read
    if compression == "zstd":
        return _zstd(source.read)
    make, failure = {"gzip": _gzip, "xz": _xz, "bzip2": _bzip2}[compression]()
    return _Streams(source, compression, make, failure).read


def recognise(start: bytes) -> str:
    """gzip, zstd, xz, bzip2 or none, from the first bytes of a stream: ENOUGH of them."""
    if start[1:4] == _SKIPPABLE and start[0] >> 4 == 5:  # pzstd begins with such a frame
        return "zstd"
    found = (kind for kind, magic in _MAGIC.items() if start.startswith(magic))
    return next(found, "none")


def _gzip() -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    try:
        from isal import igzip_lib, isal_zlib
    except ImportError:
        import zlib

        return _Zlib, (zlib.error,)
    failure: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # wrong in its stubs
    return lambda: igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP), (failure,)


def _xz() -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    import lzma

    return lambda: lzma.LZMADecompressor(memlimit=MAX_WINDOW), (lzma.LZMAError,)


def _bzip2() -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    import bz2

    return bz2.BZ2Decompressor, (OSError,)


class _Zlib:
    """zlib's gzip decompressor with the face that isal's, lzma's and bz2's have."""

    def __init__(self) -> None:
        import zlib

        self._inner = zlib.decompressobj(31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(piece) < max_length
        return piece


class _Source:
    """A stream that takes back what was read too far, and is asked no more after its end."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._held = memoryview(b"")
        self._ended = False

    def begin(self, count: int) -> bytes:
        """The first `count` bytes, or all there are, which `read` gives again."""
        start = b""
        while len(start) < count and (piece := self.read(CHUNK)):
            start += piece
        self.give_back(start)
        return start[:count]

    def read(self, size: int) -> bytes:
        if self._held:
            held, self._held = self._held, self._held[size:]
            return bytes(held[:size])
        if self._ended:
            return b""
        piece = self._read(size)
        self._ended = not piece
        return piece

    def give_back(self, rest: bytes) -> None:
        """`rest` was read too far: it comes again."""
        self._held = memoryview(rest + self._held)


class _Streams:
    """One compressed stream after another, with nothing but padding zeros at the end.

    Streams may be as short as twenty bytes: each is given a short piece first, then ever longer
    ones, so that what is handed back at its end is no longer than what it used, and a million of
    them cost no more than their bytes.
    """

    def __init__(
        self,
        source: _Source,
        kind: str,
        make: Callable[[], _Decompressor],
        failure: tuple[type[Exception], ...],
    ) -> None:
        self._source = source
        self._kind = kind
        self._make = make
        self._failure: tuple[type[Exception], ...] = (*failure, EOFError)
        self._current = make()
        self._give = _FIRST_GIVEN

    def read(self, size: int) -> bytes:
        try:
            while True:
                if self._current.eof and not self._next():
                    return b""
                data = b""
                if self._current.needs_input:
                    data = self._input()
                if piece := self._current.decompress(data, size):
                    return piece
        except self._failure as error:
            raise IntegrityError(f"the {self._kind} stream is damaged: {error}") from error

    def _input(self) -> bytes:
        data = self._source.read(self._give)
        if not data:
            raise IntegrityError(f"the {self._kind} stream ends too early")
        self._give = min(2 * self._give, CHUNK)
        return data

    def _next(self) -> bool:
        """Start on the stream that follows, if one does."""
        rest = self._current.unused_data.lstrip(b"\0")
        left = _MAX_PADDING
        while not rest and (data := self._source.read(CHUNK)):
            rest = data.lstrip(b"\0")
            left -= len(data)
            if left < 0:
                raise IntegrityError(f"the {self._kind} stream is followed by endless zeros")
        if not rest:
            return False
        self._source.give_back(rest)
        self._current = self._make()
        self._give = _FIRST_GIVEN
        return True


def _zstd(read: Read) -> Read:
    from zstandard import ZstdDecompressor, ZstdError

    source = _ZstdSource(read)
    decompressor = ZstdDecompressor(max_window_size=MAX_WINDOW)
    reader = decompressor.stream_reader(
        source,  # type: ignore[arg-type]  # nothing but its `read` is called
        read_size=CHUNK,
        read_across_frames=True,
    )

    def plain(size: int) -> bytes:
        try:
            piece = reader.read(size)
        except ZstdError as error:
            raise IntegrityError(f"the zstd stream is damaged: {error}") from error
        if not piece and not source.is_between_frames():
            raise IntegrityError("the zstd stream ends too early")
        return piece

    return plain


class _ZstdSource:
    """Follows frame and block headers (RFC 8878, 3.1) of what zstandard reads from it.

    zstandard's reader takes the end of its input for the end of the stream, wherever it comes.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._walk = _walk_frames()
        self._wanted = next(self._walk)
        self._held = b""

    def read(self, size: int) -> bytes:
        piece = self._read(size)
        self._follow(piece)
        return piece

    def is_between_frames(self) -> bool:
        return not self._held and self._wanted == len(_MAGIC["zstd"])

    def _follow(self, piece: bytes) -> None:
        at = 0
        while at < len(piece):
            if self._wanted < 0:
                step = min(-self._wanted, len(piece) - at)
                self._wanted += step
            else:
                step = min(self._wanted - len(self._held), len(piece) - at)
                self._held += piece[at : at + step]
            at += step
            while self._wanted in (0, len(self._held)):
                held, self._held = self._held, b""
                self._wanted = self._walk.send(held)


def _walk_frames() -> Generator[int, bytes, None]:
    """Yields how many bytes to hand in (positive) or to pass over (negative, or 0)."""
    while True:
        magic = yield 4
        if magic[1:] == _SKIPPABLE:
            yield -int.from_bytes((yield 4), "little")
            continue
        descriptor = (yield 1)[0]
        single = descriptor & 0x20
        content_size = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
        yield -((not single) + (0, 1, 2, 4)[descriptor & 3] + content_size)
        last = 0
        while not last:
            header = int.from_bytes((yield 3), "little")
            last = header & 1
            yield -(1 if header >> 1 & 3 == 1 else header >> 3)
        if descriptor & 4:
            yield -4
