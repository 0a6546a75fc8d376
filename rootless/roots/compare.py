"""Two trees compared file by file: kind, mode, owner, link, attributes, contents; times if asked.

Runs as (mapped) root on trees that are only read: `view`s, for example. A file that both have from
one layer has one inode and is not read. Follows no link; leaves nothing behind.
"""

from __future__ import annotations

import os
import stat

from rootless import owners, permissions
from rootless.archive import tar, xattrs
from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 20
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
}


class Difference(Record):
    """`where` is a path or a field, `what` is what differs there, and the two values say how.

    What is only in one of them has None for the other.
    """

    where: str
    what: str
    first: str | None
    second: str | None


class _Found(Record):
    """One path of one tree."""

    status: os.stat_result
    kind: str
    mode: int
    owner: tuple[int, int]
    attributes: dict[bytes, bytes]
    detail: str


def compare(first_fd: int, second_fd: int, *, times: bool = False) -> Iterator[Difference]:
    """Every difference of two directories, a directory before what is in it.

    With `times`, also when files were last changed. RootlessError for what cannot be read.
    """
    trees = (_Tree(first_fd), _Tree(second_fd))
    pending = [b"."]
    try:
        while pending:
            path = pending.pop()
            first, second = (tree.look(path) for tree in trees)
            yield from _differences(path, first, second, trees)
            if times and first and second:
                yield from _times(path, first.status, second.status)
            names: set[bytes] = set()
            for tree, found in zip(trees, (first, second), strict=True):
                if found and found.kind == "directory":
                    names.update(tree.names(path))
            pending += [_below(path, name) for name in sorted(names, reverse=True)]
    except OSError as error:
        where = os.fsdecode(error.filename or b"")
        raise RootlessError(f"{where} cannot be compared: {error.strerror}") from error


def _times(path: bytes, first: os.stat_result, second: os.stat_result) -> Iterator[Difference]:
    """Whole seconds: a layer's archive has no others."""
    values = [str(int(one.st_mtime)) for one in (first, second)]
    if values[0] != values[1]:
        yield Difference(_where(path), "time", *values)


def _where(path: bytes) -> str:
    return "/" if path == b"." else "/" + os.fsdecode(path)


def _below(path: bytes, name: bytes) -> bytes:
    return name if path == b"." else path + b"/" + name


class _Tree:
    """A directory by its descriptor; paths are below it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def look(self, path: bytes) -> _Found | None:
        try:
            status = os.lstat(path, dir_fd=self._fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        attributes = xattrs.read(b"/proc/self/fd/%d/%b" % (self._fd, path))
        detail = ""
        if kind == "link":
            detail = os.fsdecode(os.readlink(path, dir_fd=self._fd))
        if device := xattrs.device(attributes):
            kind = "character device" if device[0] == tar.CHARACTER else "block device"
            detail = "{}:{}".format(*device[1])
        mode, owner = permissions.of(status, attributes), owners.of(status, attributes)
        return _Found(status, kind, mode, owner, xattrs.told(attributes), detail)

    def names(self, path: bytes) -> list[bytes]:
        fd = os.open(path, _DIRECTORY, dir_fd=self._fd)
        try:
            return [os.fsencode(name) for name in os.listdir(fd)]
        finally:
            os.close(fd)

    def open(self, path: bytes) -> int:
        return os.open(path, _FILE, dir_fd=self._fd)


def _differences(
    path: bytes, first: _Found | None, second: _Found | None, trees: tuple[_Tree, _Tree]
) -> Iterator[Difference]:
    where = _where(path)
    if first is None or second is None:
        kinds = [one.kind if one else None for one in (first, second)]
        yield Difference(where, "presence", *kinds)
        return
    if first.kind != second.kind:
        yield Difference(where, "kind", first.kind, second.kind)
        return
    both = (first, second)
    modes = [f"{one.mode:04o}" for one in both]
    belongs = ["{}:{}".format(*one.owner) for one in both]
    details = [one.detail for one in both]
    detail = "target" if first.kind == "link" else "device"
    for what, values in (("mode", modes), ("owner", belongs), (detail, details)):
        if values[0] != values[1]:
            yield Difference(where, what, *values)
    for name in sorted(first.attributes.keys() | second.attributes.keys()):
        shown = [_attribute(one.attributes.get(name)) for one in both]
        if shown[0] != shown[1]:
            yield Difference(where, f"attribute {os.fsdecode(name)}", *shown)
    if first.kind == "file":
        yield from _contents(path, where, first.status, second.status, trees)


def _attribute(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()


def _contents(
    path: bytes,
    where: str,
    first: os.stat_result,
    second: os.stat_result,
    trees: tuple[_Tree, _Tree],
) -> Iterator[Difference]:
    if first.st_size != second.st_size:
        yield Difference(where, "size", str(first.st_size), str(second.st_size))
    elif (first.st_ino, first.st_mtime_ns) == (second.st_ino, second.st_mtime_ns):
        return  # one file of a layer that both have
    elif at := _first_difference(path, trees):
        yield Difference(where, "content", *at)


def _first_difference(path: bytes, trees: tuple[_Tree, _Tree]) -> tuple[str, str] | None:
    """The first byte that differs in files of the same size, and where it is."""
    with open(trees[0].open(path), "rb") as first, open(trees[1].open(path), "rb") as second:
        at = 0
        while True:
            own, other = first.read(_CHUNK), second.read(_CHUNK)
            if own != other:
                n = next(n for n, pair in enumerate(zip(own, other, strict=False))
                         if pair[0] != pair[1])  # fmt: skip
                return f"0x{own[n]:02x} at byte {at + n}", f"0x{other[n]:02x} at byte {at + n}"
            if not own:
                return None
            at += len(own)
