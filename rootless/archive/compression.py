"""Compression of a stream by several threads: gzip by isal, else zlib; or zstd.

The same bytes give the same output of one version of the library, however many threads there are.
gzip is one member, its blocks compressed side by side, each primed with the end of the one before.
At most some 16 MB wait at a time. To be used in a process of its own, which may have threads.
"""

from __future__ import annotations

import os
import zlib
from collections import deque

from rootless.errors import UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import Any, Protocol, Self

    from rootless.archive import Put

    class Encoder(Protocol):
        """Takes a stream piece by piece."""

        def __enter__(self) -> Self: ...
        def __exit__(self, *_: object) -> None: ...

        def write(self, piece: bytes) -> None:
            """The next bytes."""

        def finish(self) -> None:
            """There are no more."""


_MOST_THREADS = 8
_BLOCK = 512 << 10
_WINDOW = 32 << 10  # of deflate: what a block may refer back to
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # RFC 1952: no name, no time, whatever system
_LAST = b"\x03\0"  # an empty last block, RFC 1951 §3.2.6
_DEFLATE = 8
_RAW = -15
_ISAL_LEVEL, _ZLIB_LEVEL, _ZSTD_LEVEL = 2, 1, 3
_HIGHEST = {"gzip": 9, "zstd": 19}


class Compression(Record):
    """`kind` is gzip or zstd; without a level it is a quick one."""

    kind: str
    level: int | None = None

    @classmethod
    def parse(cls, text: str) -> Compression:
        """`gzip` or `zstd`, and perhaps `:LEVEL`; UsageError."""
        kind, colon, level = text.partition(":")
        highest = _HIGHEST.get(kind)
        if highest is None:
            raise UsageError(f"{text!r} is not a compression", hint="write gzip or zstd")
        if not colon:
            return cls(kind)
        if not level.isdecimal() or not 1 <= int(level[:4]) <= highest:
            raise UsageError(f"{kind} has no level {level!r}", hint=f"write 1 to {highest}")
        return cls(kind, int(level))


def encoder(how: Compression, put: Put) -> Encoder:
    """Calls `put` with the compressed stream."""
    return _Zstd(how.level, put) if how.kind == "zstd" else _Gzip(how.level, put)


def _threads() -> int:
    return min(len(os.sched_getaffinity(0)), _MOST_THREADS)


class _Gzip:
    """Blocks on their way through the threads come out in order."""

    def __init__(self, level: int | None, put: Put) -> None:
        from concurrent.futures import ThreadPoolExecutor  # 6 ms

        self._put = put
        self._compress, self._crc32 = _deflate(level)
        self._pool = ThreadPoolExecutor(_threads())
        self._most = 2 * _threads()
        self._pending: deque[Future[bytes]] = deque()
        self._block = bytearray()
        self._before = b""
        self._checksum = self._size = 0
        put(_HEADER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def write(self, piece: bytes) -> None:
        self._block += piece
        while len(self._block) >= _BLOCK:
            self._submit(bytes(self._block[:_BLOCK]))
            del self._block[:_BLOCK]

    def finish(self) -> None:
        if self._block:
            self._submit(bytes(self._block))
        while self._pending:
            self._put(self._pending.popleft().result())
        trailer = (self._checksum, self._size & 0xFFFFFFFF)
        self._put(_LAST + b"".join(number.to_bytes(4, "little") for number in trailer))

    def _submit(self, block: bytes) -> None:
        self._checksum = self._crc32(block, self._checksum)
        self._size += len(block)
        self._pending.append(self._pool.submit(self._compress, block, self._before))
        self._before = block[-_WINDOW:]
        while len(self._pending) > self._most or (self._pending and self._pending[0].done()):
            self._put(self._pending.popleft().result())


def _deflate(
    level: int | None,
) -> tuple[Callable[[bytes, bytes], bytes], Callable[[bytes, int], int]]:
    """What compresses a block, given the end of the one before; and the checksum of all.

    isal has a few quick levels only: who asks for another gets zlib.
    """
    make: Callable[..., Any] = zlib.compressobj
    flush, crc32, quick = zlib.Z_SYNC_FLUSH, zlib.crc32, _ZLIB_LEVEL
    if level is None:
        try:
            from isal import isal_zlib
        except ImportError:
            pass
        else:
            make, flush, crc32 = isal_zlib.compressobj, isal_zlib.Z_SYNC_FLUSH, isal_zlib.crc32
            quick = _ISAL_LEVEL
    chosen = quick if level is None else level

    def compress(block: bytes, before: bytes) -> bytes:
        named = {"zdict": before} if before else {}
        deflater = make(level=chosen, method=_DEFLATE, wbits=_RAW, **named)
        packed: bytes = deflater.compress(block) + deflater.flush(flush)
        return packed

    return compress, crc32


class _Zstd:
    """libzstd has its own threads; jobs of 1 MiB bound what they hold."""

    def __init__(self, level: int | None, put: Put) -> None:
        from zstandard import ZstdCompressionParameters, ZstdCompressor

        parameters = ZstdCompressionParameters.from_level(
            level or _ZSTD_LEVEL, threads=_threads(), job_size=1 << 20, write_checksum=True
        )
        self._put = put
        self._stream = ZstdCompressor(compression_params=parameters).compressobj()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, piece: bytes) -> None:
        if packed := self._stream.compress(piece):
            self._put(packed)

    def finish(self) -> None:
        self._put(self._stream.flush())
