"""log.jsonl: what a container wrote, a JSON object a line, as docker's json-file driver keeps it.

    {"log": "a line\\n", "stream": "stdout", "time": "2026-01-31T12:00:00.000000001Z"}

A line that is not finished is kept when it is, or when it has grown long, or at the end. Bytes that
are no UTF-8 come back as they were. One process writes, anybody reads; a crash loses an unfinished
line at the most.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "log.jsonl"
_LONGEST = 16 << 10  # bytes of a line, as in docker


class Log:
    """The log of a container's folder, to write to."""

    def __init__(self, folder: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(f"{folder}/{NAME}", flags, 0o600)
        self._unfinished: dict[str, bytes] = {}

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
        """Nothing more comes; harmless twice."""
        for stream, rest in self._unfinished.items():
            self._put(stream, [rest] if rest else [])
        self._unfinished = {}

    def _put(self, stream: str, lines: list[bytes]) -> None:
        if not lines:
            return
        moment = _now()
        text = b"".join(_entry(stream, piece, moment) for line in lines for piece in _pieces(line))
        while text:
            text = text[os.write(self._fd, text) :]


def _pieces(line: bytes) -> Iterator[bytes]:
    for start in range(0, len(line), _LONGEST):
        yield line[start : start + _LONGEST]


def _entry(stream: str, piece: bytes, moment: str) -> bytes:
    from _json import encode_basestring_ascii

    text = encode_basestring_ascii(piece.decode("utf-8", "surrogateescape"))
    return f'{{"log":{text},"stream":"{stream}","time":"{moment}"}}\n'.encode()


def _now() -> str:
    nanoseconds = time.time_ns()
    whole, part = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:09d}Z"
