"""A container's log, read: the last lines, all of them, or what comes while it runs.

Runs in the command's process, in no namespace; writes nothing. Memory is bounded by one piece of a
file, whatever the log holds: it lies in the user's home and may be damaged, and a line that is cut
short or is no entry is counted and left out.
"""

from __future__ import annotations

import os

from rootless import leanjson, living
from rootless.container import log_packing, logs
from rootless.errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Entry = tuple[str, str, bytes, Mapping[str, str]]  # stream, time, content, details

_PIECE = 1 << 18
_LONGEST = 1 << 20  # bytes of a line: ours are at most six times as long as what was written
_HEAD = '{"log":"'
_ENDS = {',"stream":"stdout","time":"': "stdout", ',"stream":"stderr","time":"': "stderr"}
_END_SIZE = len(',"stream":"stdout","time":"')
_TIME_SIZE = len("2026-01-31T12:00:00.000000001Z")
_BETWEEN = b'"}\n' + _HEAD.encode()
_BEHIND = _TIME_SIZE + len(_BETWEEN)  # from a line's time to the next one's content
_NEWLINE = b"\\n"


class Reader:
    """One container's log. `damaged` counts what was left out until now."""

    def __init__(self, folder: str, last: int | None = None, *, plain: bool = False) -> None:
        """`last`: only so many of the lines that are there now; None for all.

        `plain`: for who wants nothing but the content; an entry may be many lines of one stream.
        """
        self.damaged = 0
        self._is_plain = plain
        self._folder = folder
        self._files = _files(folder)
        self._rest = b""
        if last is not None:
            self._skip_to(last)

    def available(self) -> Iterator[Entry]:
        """What is there and has not been read yet."""
        while self._files:
            while content := os.read(self._files[0].lines(), _PIECE):
                yield from self._entries(content)
            if len(self._files) == 1 and not self._find_newer():
                return
            self.damaged += bool(self._rest)
            self._rest = b""
            self._files.pop(0).close()
        self._files = _files(self._folder)

    def is_growing(self) -> bool:
        """Whether somebody runs the container: ask before reading, for the last words come late."""
        try:
            return living.is_held(self._folder)
        except OSError:
            return False

    def _entries(self, content: bytes) -> Iterator[Entry]:
        content = self._rest + content
        end = content.rfind(b"\n") + 1
        whole, rest = content[:end], content[end:]
        entry = _parse_many(whole) if self._is_plain else None
        if entry:
            yield entry
        for line in () if entry else whole.split(b"\n"):
            entry = _parse(line)
            if entry:
                yield entry
            else:
                self.damaged += bool(line)
        self.damaged += len(rest) > _LONGEST
        self._rest = rest if len(rest) <= _LONGEST else b""

    def _find_newer(self) -> bool:
        """Whether the file has been put aside for another since it was opened."""
        found = _files(self._folder)
        ours = self._files[0]
        same = [at for at, one in enumerate(found) if one.identity == ours.identity]
        same += [at for at, one in enumerate(found) if ours.is_packed_in(one)]
        newer = same[0] + 1 if same else 0
        for one in found[:newer]:
            one.close()
        self._files += found[newer:]
        return bool(found[newer:])

    def _skip_to(self, last: int) -> None:
        """Leave out all but the last lines."""
        for index in range(len(self._files) - 1, -1, -1):
            last -= _seek_lines(self._files[index].lines(), last)
            if last <= 0:
                for one in self._files[:index]:
                    one.close()
                self._files = self._files[index:]
                return


class _File:
    """One file of a log, open; packed or not."""

    def __init__(self, fd: int, folder: str, *, is_packed: bool) -> None:
        self._fd = fd
        self._folder = folder
        self._is_packed = is_packed
        status = os.fstat(fd)
        self.identity = status.st_dev, status.st_ino
        self._packed_at = status.st_mtime_ns if is_packed else 0

    def lines(self) -> int:
        """A descriptor of what was written, unpacked when it is asked for."""
        if self._is_packed:
            packed, self._fd = self._fd, log_packing.unpacked(self._fd, self._folder)
            self._is_packed = False
            os.close(packed)
        return self._fd

    def is_packed_in(self, other: _File) -> bool:
        """Whether the other was made of it, by the time of it: two files may have the same."""
        at = self._packed_at or os.fstat(self._fd).st_mtime_ns
        return other._packed_at == at

    def close(self) -> None:
        os.close(self._fd)


def _files(folder: str) -> list[_File]:
    """The log's files, open, the oldest first; the newest is opened first, for it may move on."""
    found: dict[tuple[int, int], _File] = {}
    number = 0
    while True:
        one = _open(f"{folder}/{logs.NAME}" + (f".{number}" if number else ""))
        if one is None and number:
            return list(found.values())[::-1]
        if one and found.setdefault(one.identity, one) is not one:
            one.close()
        number += 1


def _open(path: str) -> _File | None:
    """A file, or what is packed of it."""
    for ending in ("", log_packing.ENDING):
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(f"{path}{ending}", flags)
            return _File(fd, os.path.dirname(path), is_packed=bool(ending))
        except OSError:
            continue
    return None


def _seek_lines(fd: int, count: int) -> int:
    """Go to where the last `count` lines of a file begin; how many there are, at most these."""
    position = os.fstat(fd).st_size
    seen = 0
    while position > 0:
        size = min(_PIECE, position)
        position -= size
        content = os.pread(fd, size, position)
        at = len(content)
        while (at := content.rfind(b"\n", 0, at)) >= 0:
            seen += 1
            if seen > count:
                os.lseek(fd, position + at + 1, os.SEEK_SET)
                return count
    os.lseek(fd, 0, os.SEEK_SET)
    return seen


def _parse_many(lines: bytes) -> Entry | None:
    """All of them at once, where each is whole, of the same stream, and as we write it.

    Between two contents nothing is left then but what is cut out here: what remains is one JSON
    string, for in a content every quotation mark has a backslash before it.
    """
    stream = next((one for end, one in _ENDS.items() if f'"{end}'.encode() in lines), "")
    first, *others = lines.split(f'","stream":"{stream}","time":"'.encode())
    last = others.pop() if others else b""
    if not first.startswith(_HEAD.encode()) or last[_TIME_SIZE:] != b'"}\n':
        return None
    contents = [first[len(_HEAD) :], *(one[_BEHIND:] for one in others)]
    # A line that is not finished may end amid a character that ends in the next one.
    are_whole = all(one.endswith(_NEWLINE) for one in contents)
    if not are_whole or any(one[_TIME_SIZE:_BEHIND] != _BETWEEN for one in others):
        return None
    if not lines.isascii() or lines.count(b"\n") != len(contents):  # so no time is damaged
        return None
    try:
        text = (b'"%b"' % b"".join(contents)).decode()
        content, end = leanjson.string(text, 1)
        is_all = end == len(text)
        return (stream, last[:_TIME_SIZE].decode(), _bytes(content), {}) if is_all else None
    except ValueError:
        return None


def _parse(line: bytes) -> Entry | None:
    """An entry, if a line holds one: also behind what a crash or a full disk has cut short."""
    start = line.rfind(_HEAD.encode())
    try:
        text = line[max(start, 0) :].decode()
        if start >= 0:
            content, end = leanjson.string(text, len(_HEAD))
            stream = _ENDS.get(text[end : end + _END_SIZE])
            end += _END_SIZE
            if stream and text[end + _TIME_SIZE :] == '"}':
                return stream, text[end : end + _TIME_SIZE], _bytes(content), {}
        return _parse_slowly(text)
    except (ValueError, IntegrityError):
        return None


def _parse_slowly(text: str) -> Entry | None:
    """Whatever has these keys, in any order."""
    value = leanjson.loads(text)
    if not isinstance(value, dict):
        return None
    stream, time, log = (value.get(name) for name in ("stream", "time", "log"))
    details = value.get("attrs") or {}
    if not (isinstance(time, str) and isinstance(log, str) and isinstance(details, dict)):
        return None
    words = {str(name): str(one) for name, one in details.items()}
    return ("stderr" if stream == "stderr" else "stdout"), time, _bytes(log), words


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
