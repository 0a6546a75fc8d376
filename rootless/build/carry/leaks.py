"""Secrets and private keys that reached a layer, noticed while it is packed.

Runs in the worker that packs: every byte of a layer passes there. A secret is looked for as it was
given to the build, a private key (PEM, RFC 7468) as a file that begins as one. Only when one has
been seen are the files read again, for their names.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_BEGIN, _KEY = b"-----BEGIN ", b"PRIVATE KEY-----"
_FILE = b"\0" + _BEGIN  # the content of a file comes after the end of a header: zeros
_LABEL = 64  # bytes in which the first line of a key ends
_SHORTEST = 8  # bytes of a secret that is looked for: less is found anywhere
_PIECE = 1 << 20
_MOST = 5  # files named of one layer


class Leaks:
    """What to look for in one layer: `see` its bytes, then ask what was `found`."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        """`secrets` are contents by id."""
        stripped = {name: content.strip() for name, content in secrets.items()}
        self._secrets = {one: text for one, text in stripped.items() if len(text) >= _SHORTEST}
        self._kept = max(_LABEL, *map(len, self._secrets.values()), 0)
        self._seen: set[str] = set()
        self._end = b""

    def see(self, chunk: bytes | memoryview) -> None:
        """The next bytes of the layer's tar."""
        text = self._end + bytes(chunk)
        at = text.find(_FILE)
        while at >= 0:
            self._seen |= {""} if _is_key(text[at + 1 : at + _LABEL]) else set()
            at = text.find(_FILE, at + 1)
        self._seen |= {one for one, value in self._secrets.items() if value in text}
        self._end = text[-self._kept :]

    def suspect(self) -> None:
        """Take it that everything is there."""
        self._seen = {"", *self._secrets}

    def found(self, directory: str) -> list[str]:
        """Sentences about the layer in `directory`, for people."""
        return [
            sentence
            for one in sorted(self._seen)
            for sentence in _told(one, directory, self._matches(one))
        ]

    def _matches(self, one: str) -> Callable[[int], bool]:
        if not one:
            return is_key
        return lambda fd: _holds(fd, self._secrets[one])


def within(directory: str, secrets: Mapping[str, bytes]) -> list[str]:
    """Sentences about a layer that was packed before: all its files are read."""
    leaks = Leaks(secrets)
    leaks.suspect()
    return leaks.found(directory)


def is_key(fd: int) -> bool:
    """Whether an open file begins as a private key."""
    return _is_key(os.read(fd, _LABEL))


def _told(one: str, directory: str, matches: Callable[[int], bool]) -> Iterator[str]:
    names = _files(directory, matches)
    what = f"the secret {one!r} is" if one else "a private key is"
    for count, name in enumerate(names):
        if count == _MOST:
            return
        yield f"{what} in a layer, for whoever gets that: /{name}"


def _files(directory: str, matches: Callable[[int], bool]) -> Iterator[str]:
    """The files below a directory that match; what cannot be opened is left out."""
    for folder, _, files, folder_fd in os.fwalk(directory):
        for name in sorted(files):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                fd = os.open(name, flags, dir_fd=folder_fd)
            except OSError:
                continue
            try:
                if stat.S_ISREG(os.fstat(fd).st_mode) and matches(fd):
                    yield os.path.relpath(os.path.join(folder, name), directory)
            finally:
                os.close(fd)


def _is_key(start: bytes) -> bool:
    return start.startswith(_BEGIN) and _KEY in start.partition(b"\n")[0]


def _holds(fd: int, value: bytes) -> bool:
    end = b""
    while piece := os.read(fd, _PIECE):
        text = end + piece
        if value in text:
            return True
        end = text[1 - len(value) :]
    return False
