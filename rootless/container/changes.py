"""What a container has changed, line by line as `docker diff` tells it.

Docker compares the container's tree with the one it began with; so do we, but look only where
something was written. A file has changed when its kind, mode, owner, size or time has, or its
capabilities; a directory when its mode or owner has, or anything in it. Runs as (mapped) root;
nothing is written.
"""

from __future__ import annotations

import os
import stat

from rootless import inroot, linux, owners
from rootless.archive import whiteout, xattrs
from rootless.container import writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.spec import Container
    from rootless.store import Store

ADDED, CHANGED, DELETED = "A", "C", "D"
Change = tuple[str, bytes]
"""What happened to which (absolute) path."""


def changes(store: Store, container: Container) -> list[Change]:
    """All changes, sorted by path: a directory before what is in it.

    NotFoundError when the container is removed at the same time.
    """
    with (
        writable.present(store, container),
        writable.below(store, container) as tree,
        writable.caught(store, container) as diff,
    ):
        upper = os.open(diff, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = _Comparison(tree.fd, upper).run()
        finally:
            os.close(upper)
    return sorted(found, key=lambda change: change[1].split(b"/"))


class _Comparison:
    """A walk through `upper` beside the tree it lies on; paths are relative to both descriptors."""

    def __init__(self, lower: int, upper: int) -> None:
        self._lower = lower
        self._upper = upper
        self._before = inroot.Parents(lower)
        self._now = inroot.Parents(upper)
        self._found: dict[bytes, str] = {}
        self._pending: list[tuple[bytes, bool]] = [(b"", True)]

    def run(self) -> list[Change]:
        try:
            while self._pending:
                self._directory(*self._pending.pop())
        finally:
            self._before.close()
            self._now.close()
        return [(kind, b"/" + path) for path, kind in self._found.items()]

    def _directory(self, path: bytes, is_known: bool) -> None:  # noqa: FBT001
        """One directory of the upper tree; `is_known` says that the lower one has it, too."""
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY
            fd = linux.openat2(self._upper, path or b".", flags, linux.RESOLVE_NO_SYMLINKS)
        except OSError:  # gone, or something else by now
            return
        try:
            hides_all = whiteout.is_opaque(xattrs.read(fd))
            names = [os.fsencode(name) for name in os.listdir(fd)]
        finally:
            os.close(fd)
        prefix = path + b"/" if path else b""
        for name in names:
            self._entry(prefix + name, is_known=is_known)
        if hides_all and is_known:
            for name in self._names_below(path) - set(names):
                self._note(DELETED, prefix + name)

    def _names_below(self, path: bytes) -> set[bytes]:
        flags = os.O_RDONLY | os.O_DIRECTORY
        fd = linux.openat2(self._lower, path or b".", flags, linux.RESOLVE_NO_SYMLINKS)
        try:
            return {os.fsencode(name) for name in os.listdir(fd)}
        finally:
            os.close(fd)

    def _entry(self, path: bytes, *, is_known: bool) -> None:
        now = _look(path, self._now)
        before = _look(path, self._before) if is_known else None
        if now is None:
            return
        if self._is_whiteout(path, now):
            if before:
                self._note(DELETED, path)
            return
        is_directory = stat.S_ISDIR(now.st_mode)
        if before is None:
            self._note(ADDED, path)
        elif _differs(before, now) or self._records_differ(path, before, now):
            self._note(CHANGED, path)
        if is_directory:
            self._pending.append((path, before is not None and stat.S_ISDIR(before.st_mode)))

    def _note(self, kind: str, path: bytes) -> None:
        """All directories above have changed by that, unless they are new."""
        self._found[path] = kind
        while (path := path.rpartition(b"/")[0]) and path not in self._found:
            self._found[path] = CHANGED

    def _is_whiteout(self, path: bytes, now: os.stat_result) -> bool:
        if whiteout.is_device(now):
            return True
        if not stat.S_ISREG(now.st_mode) or now.st_size:
            return False
        return whiteout.is_empty_file_form(_attributes(path, self._now))

    def _records_differ(self, path: bytes, before: os.stat_result, now: os.stat_result) -> bool:
        """What attributes say of what is in both trees, and of the same kind."""
        pair = [
            (attributes := _attributes(path, parents), owners.of(status, attributes))
            for parents, status in ((self._now, now), (self._before, before))
        ]
        told = [(xattrs.told(found).get(xattrs.CAPABILITY), owner) for found, owner in pair]
        return told[0] != told[1]


def _look(path: bytes, parents: inroot.Parents) -> os.stat_result | None:
    try:
        parent, name = parents.of(path)
        return os.lstat(name, dir_fd=parent)
    except OSError:
        return None


def _attributes(path: bytes, parents: inroot.Parents) -> dict[bytes, bytes]:
    """None where it is gone since somebody looked."""
    try:
        return xattrs.read(b"/proc/self/fd/%d/%b" % parents.of(path))
    except OSError as error:
        if error.errno in inroot.GONE:
            return {}
        raise


def _differs(before: os.stat_result, now: os.stat_result) -> bool:
    """Docker's rule; overlayfs keeps the time of a file that it copies up."""
    same = ("st_mode", "st_uid", "st_gid", "st_rdev")
    if any(getattr(before, name) != getattr(now, name) for name in same):
        return True
    if stat.S_ISDIR(before.st_mode):
        return False
    return before.st_size != now.st_size or not _is_same_time(before.st_mtime_ns, now.st_mtime_ns)


def _is_same_time(before: int, now: int) -> bool:
    """A time in whole seconds, as archives have it, is any within that second."""
    (seconds, part), (now_seconds, now_part) = divmod(before, 10**9), divmod(now, 10**9)
    return seconds == now_seconds and (part == now_part or not part or not now_part)
