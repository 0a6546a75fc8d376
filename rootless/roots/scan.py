"""What has changed in a tree since somebody looked: told by what stat(2) says, without reading.

The kernel sets the time of a file's last change of any kind itself (st_ctime), so whatever has been
done to a file shows. A directory's line is kept as one string of bytes, some 75 an entry: an equal
one has not changed. Nobody may change the tree while it is looked at; no link is followed. Pure
reading, in any process; beside the tree there is a file whose time is asked.
"""

from __future__ import annotations

import marshal
import os
import stat
from errno import ENAMETOOLONG, ENOENT, ENOTDIR
from time import sleep

from rootless import permissions
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    Row = tuple[str, int, int, int, int, int, int, int]
    """name, mode, uid, gid, size, st_mtime_ns, st_ctime_ns, st_ino"""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_VERSION = 2  # of marshal: equal values have equal bytes
_SIZE = 4
_CTIME = 6
_INO = 7


class Index:
    """A tree as it was: of each directory, by its path ("" or /A/B), what was in it."""

    def __init__(self, root: Row) -> None:
        self.root = root
        self.folders: dict[bytes, bytes] = {}

    @property
    def entries(self) -> int:
        """How many there were, without the root."""
        return sum(len(marshal.loads(line)) for line in self.folders.values())


def save(index: Index, path: str) -> None:
    """Write it to a new file, for another process of this machine."""
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        marshal.dump((index.root, index.folders), file, _VERSION)


def load(path: str) -> Index:
    """What has been saved there."""
    with open(path, "rb") as file:
        root, folders = marshal.load(file)
    index = Index(root)
    index.folders = folders
    return index


class Changes:
    """Paths (/A/B), each directory before what is in it.

    `changed` are there and were not, or were otherwise; `gone` were there and are not; in the
    place of `replaced` directories something else was, or another directory.
    """

    def __init__(self) -> None:
        self.changed: list[bytes] = []
        self.gone: list[bytes] = []
        self.replaced: set[bytes] = set()
        self.has_other_root = False

    def without(self, places: Container[bytes], ways: Container[bytes]) -> Changes:
        """These without what is in `places`, and without directories that are but `ways` there."""
        rest = Changes()
        rest.has_other_root = self.has_other_root
        rest.replaced = self.replaced
        rest.changed = [one for one in self.changed if one not in ways and not _is_in(one, places)]
        rest.gone = [one for one in self.gone if not _is_in(one, places)]
        return rest


def _is_in(path: bytes, places: Container[bytes]) -> bool:
    while path:
        if path in places:
            return True
        path = path.rpartition(b"/")[0]
    return False


def look(tree: str) -> Index:
    """The tree as it is. Who changes it from now on changes its times: see `_next_tick`."""
    top = os.fsencode(tree)
    index = Index(_row("", os.lstat(top)))
    pending = [b""]
    while pending:
        path = pending.pop()
        rows, inner = _folder(top, path)
        index.folders[path] = marshal.dumps(rows, _VERSION)
        pending += inner
    _next_tick(tree)
    return index


def look_again(tree: str, index: Index, paths: list[bytes]) -> None:
    """Take the directories that these paths lie in as they are now."""
    top = os.fsencode(tree)
    index.root = _row("", os.lstat(top))
    for path in {path.rpartition(b"/")[0] for path in paths}:
        rows, _ = _folder(top, path)
        index.folders[path] = marshal.dumps(rows, _VERSION)
    _next_tick(tree)


def compare(
    tree: str, index: Index, quiet: Container[bytes] = (), *, changing: bool = False
) -> Changes:
    """What has changed; `index` becomes that of the tree as it is.

    Of what is `quiet` only the times have changed by which nobody but us can know it. Where others
    are `changing` the tree, what goes meanwhile is gone, and what is `quiet` may be filled by us.
    """
    return _Comparison(os.fsencode(tree), index, quiet, changing=changing).compare()


class _Comparison:
    def __init__(
        self, top: bytes, index: Index, quiet: Container[bytes], *, changing: bool
    ) -> None:
        self._top = top
        self._changing = changing
        self._index = index
        self._before = index.folders
        self._quiet = quiet
        self._changes = Changes()

    def compare(self) -> Changes:
        root = _row("", os.lstat(self._top))
        self._changes.has_other_root = not self._is_same(b"", self._index.root, root)
        self._index.root, self._index.folders = root, {}
        pending = [(b"", True)]
        while pending:
            pending += self._folder(*pending.pop())
        _next_tick(os.fsdecode(self._top))
        return self._changes

    def _folder(self, path: bytes, known: bool) -> list[tuple[bytes, bool]]:  # noqa: FBT001
        """Compare a folder, which was there if it is `known`; those in it, to go on with."""
        rows, inner = _folder(self._top, path, changing=self._changing)
        line = self._index.folders[path] = marshal.dumps(rows, _VERSION)
        before = self._before.pop(path, b"") if known else b""
        if line == before:
            return [(one, True) for one in inner]
        had: dict[str, Row] = {row[0]: row for row in marshal.loads(before)} if before else {}
        fresh = {_below(path, row[0]) for row in rows if self._is_fresh(path, row, had)}
        self._changes.gone += sorted(_below(path, name) for name in had)
        return [(one, one not in fresh) for one in inner]

    def _is_fresh(self, path: bytes, row: Row, had: dict[str, Row]) -> bool:
        """Note what has become of an entry; whether it is a directory that was not there."""
        name = _below(path, row[0])
        old = had.pop(row[0], None)
        if old is None or not self._is_same(name, old, row):
            self._changes.changed.append(name)
        if not stat.S_ISDIR(row[1]):
            return False
        if old and not (stat.S_ISDIR(old[1]) and old[_INO] == row[_INO]):
            self._changes.replaced.add(name)
            return True
        return old is None

    def _is_same(self, path: bytes, old: Row, new: Row) -> bool:
        if path in self._quiet:
            compared = _SIZE if self._changing else _CTIME
            return old[:compared] == new[:compared] and old[_INO] == new[_INO]
        return old == new


def _folder(top: bytes, path: bytes, *, changing: bool = False) -> tuple[list[Row], list[bytes]]:
    """A directory's rows by name, and the paths of the directories in it.

    By its descriptor: the kernel walks down the whole path for the directory only.
    """
    rows, inner, limited = [], [], permissions.are_limited()
    fd = -1
    try:
        fd = os.open(top + path, _FOLDER)
        with os.scandir(fd) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                    if limited:
                        status = permissions.open_up(top + _below(path, entry.name), status)
                except FileNotFoundError:
                    if not changing:
                        raise
                    continue
                rows.append(_row(entry.name, status))
                if stat.S_ISDIR(status.st_mode):
                    inner.append(_below(path, entry.name))
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            raise RootlessError("a path is too long to be put into a layer") from None
        if not (changing and error.errno in (ENOENT, ENOTDIR)):
            raise
    finally:
        if fd >= 0:
            os.close(fd)
    rows.sort()
    return rows, inner


def _below(path: bytes, name: str) -> bytes:
    return path + b"/" + os.fsencode(name)


def _row(name: str, found: os.stat_result) -> Row:
    return (
        name,
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
    )


def _next_tick(tree: str) -> None:
    """Wait until the clock of files, which can be some ms coarse, shows another time."""
    fd = os.open(f"{tree}.clock", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.utime(fd)
        now = os.fstat(fd).st_ctime_ns
        while os.fstat(fd).st_ctime_ns == now:
            sleep(0.001)
            os.utime(fd)
    finally:
        os.close(fd)
