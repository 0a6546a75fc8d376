"""log.jsonl: what a container wrote, a JSON object a line, as docker's json-file driver keeps it.

    {"log": "a line\\n", "stream": "stdout", "time": "2026-01-31T12:00:00.000000001Z"}

A line that is not finished is kept when it is, or when it has grown long, or at the end. Bytes that
are no UTF-8 come back as they were. Where a size is set, a full file becomes log.jsonl.1, the one
before it log.jsonl.2, and so on, or log.jsonl.1.gz (`log_packing`). One
process writes, anybody reads (`log_reader`); a crash loses an unfinished line at the most. Where
nothing can be written, as on a full disk, the container goes on and its log lacks that.
"""

from __future__ import annotations

import os
import time
from errno import EISDIR, ELOOP, ENXIO

from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rootless.process import Child

NAME = "log.jsonl"
_LONGEST = 16 << 10  # bytes of a line, as in docker
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Limits(Record):
    """How much is kept: `size` in bytes a file, 0 for no limit; `files`, the newest included.

    `packed`: all but the newest are compressed.
    """

    size: int = 0
    files: int = 1
    packed: bool = False


_UNLIMITED = Limits()
_USUAL = {"local": Limits(20 * 10**6, 5, packed=True)}


def limits(options: Mapping[str, str], driver: str = "json-file") -> Limits:
    """Of docker's max-size, max-file and compress; ValueError for what is none."""
    usual = _USUAL.get(driver, _UNLIMITED)
    size = _size(options["max-size"]) if "max-size" in options else usual.size
    files = _count(options["max-file"]) if "max-file" in options else usual.files
    packed = _truth(options["compress"]) if "compress" in options else usual.packed
    if packed and (files < 2 or not size):
        raise ValueError(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        )
    return Limits(size, files, packed)


def _truth(text: str) -> bool:
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text not in ("0", "f", "F", "false", "FALSE", "False"):
        raise ValueError(f'compress: parsing "{text}": invalid syntax')
    return False


def _size(size: str) -> int:
    """In bytes, 0 for no limit."""
    if size in ("", "-1"):
        return 0
    number = size.lower().removesuffix("b")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    number = number.removesuffix(unit)
    if not number.replace(".", "", 1).isdecimal() or not float(number):
        raise ValueError(f"invalid size: '{size}'")
    return int(float(number) * _UNITS[unit])


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text[:9]) <= 1000:
        raise ValueError(f"max-file is a number from 1 to 1000, not {text!r}")
    return int(text)


class Log:
    """The log of a container's folder, to write to. `details` are kept with each line."""

    def __init__(
        self, folder: str, most: Limits = _UNLIMITED, details: Mapping[str, str] | None = None
    ) -> None:
        self._path = f"{folder}/{NAME}"
        self._most = most
        self._tail = _attributes(details or {})
        self._fd = _open(self._path)
        self._size = os.fstat(self._fd).st_size
        self._is_torn = False
        self._unfinished: dict[str, bytes] = {}
        self._packer: Child | None = None

    def write(self, stream: str, content: bytes) -> None:
        """Keep what came on `stream`: stdout or stderr."""
        *whole, rest = (self._unfinished.pop(stream, b"") + content).split(b"\n")
        lines = [line + b"\n" for line in whole]
        if len(rest) < _LONGEST:
            self._unfinished[stream] = rest
        else:
            lines.append(rest)
        self._put(stream, lines)

    def close(self) -> None:
        """Nothing more comes for now; harmless twice."""
        for stream, rest in self._unfinished.items():
            self._put(stream, [rest] if rest else [])
        self._unfinished = {}
        self._await_packed()

    def _put(self, stream: str, lines: list[bytes]) -> None:
        if not lines:
            return
        end = f',"stream":"{stream}"{self._tail},"time":"{_now()}"}}\n'
        for text in self._batches(_entry(one, end) for line in lines for one in _pieces(line)):
            self._append(text)

    def _batches(self, entries: Iterable[bytes]) -> Iterator[bytes]:
        """As much at once as belongs into one file."""
        if not self._most.size:
            yield b"".join(entries)
            return
        held: list[bytes] = []
        size = self._size
        for entry in entries:
            if size >= self._most.size:
                yield b"".join(held)
                self._rotate()
                held, size = [], self._size
            held.append(entry)
            size += len(entry)
        yield b"".join(held)

    def _append(self, text: bytes) -> None:
        """A line that could not be written wholly is ended before the next one."""
        if self._is_torn:
            text = b"\n" + text
        try:
            while text:
                written = os.write(self._fd, text)
                self._size += written
                self._is_torn = not text.endswith(b"\n", 0, written)
                text = text[written:]
        except OSError:
            pass

    def _rotate(self) -> None:
        """Begin a new file; where that cannot be, the old one grows."""
        self._await_packed()
        try:
            _make_room(self._path, self._most.files - 1)
            fd = _open(self._path)
        except OSError:
            return
        os.close(self._fd)
        self._fd, self._size, self._is_torn = fd, 0, False
        if self._most.packed:
            from rootless.container import log_packing

            self._packer = log_packing.begin(f"{self._path}.1")

    def _await_packed(self) -> None:
        if self._packer:
            from rootless.container import log_packing

            log_packing.finish(self._packer)
            self._packer = None


def _make_room(path: str, kept: int) -> None:
    """Move each file on by one; so many are kept, packed or not, besides the newest."""
    for number in range(kept, 0, -1):
        _drop(f"{path}.{number}", f"{path}.{number}.gz")
        older = f"{path}.{number - 1}"
        for ending in ("", ".gz") if number > 1 else ():
            if os.path.exists(f"{older}{ending}"):
                os.rename(f"{older}{ending}", f"{path}.{number}{ending}")
    if kept:
        os.rename(path, f"{path}.1")
    else:
        os.unlink(path)


def _drop(*paths: str) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def _open(path: str) -> int:
    """RootlessError for what is in its place and no file; a FIFO would wait for a reader."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno not in (ENXIO, ELOOP, EISDIR):
            raise
        raise RootlessError(
            f"the container's log cannot be written: {path} is no file",
            hint=f"move it away: mv {path} {path}.odd",
        ) from None


def _pieces(line: bytes) -> Iterator[bytes]:
    for start in range(0, len(line), _LONGEST):
        yield line[start : start + _LONGEST]


def _entry(piece: bytes, end: str) -> bytes:
    from _json import encode_basestring_ascii

    text = encode_basestring_ascii(piece.decode("utf-8", "surrogateescape"))
    return f'{{"log":{text}{end}'.encode()


def _attributes(details: Mapping[str, str]) -> str:
    """What docker keeps of labels and environment with each line."""
    from rootless import leanjson

    return f',"attrs":{leanjson.dumps(dict(details)).decode()}' if details else ""


def _now() -> str:
    return stamp(time.time_ns())


def stamp(nanoseconds: int) -> str:
    """A moment since 1970 as a log has it: of two the later one is the greater text."""
    whole, part = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:09d}Z"
