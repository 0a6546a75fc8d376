"""Write a tar of a directory: a layer's from its overlayfs form, or a tree's just as it is.

Runs as root of the user namespace whose ids the layer is to carry; follows no link and writes
nothing. The same directory gives the same bytes: entries come in the order of their names' bytes,
a directory before what is in it, its whiteouts first. The first path of a hard-linked file is the
file, the others are links to it. Sockets are left out, as every archiver does. The root has an
entry only when it is not plain (root's, 0755). Times are whole seconds, owners numbers, so neither
the machine nor the moment show; attributes are those of `xattrs.portable`.

The directory must not change meanwhile: RootlessError when it does. One that may (`changing`) is
written as it is met: what is gone is left out, and what has shrunk ends in zeros, as GNU tar does.
Whoever changes it cannot lead us out of it: each path is `inroot.Parents`'.
"""

from __future__ import annotations

import os
import stat
from errno import EACCES

from rootless import inroot, linux, owners, permissions
from rootless.archive import tar, whiteout, xattrs
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from rootless.archive import Put

    Change = Callable[[tar.Entry], tar.Entry | None]

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFIFO: tar.FIFO,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
}
_CLOSED = (
    "what was made with a range of ids is closed to one id: take another store (--root PATH), or "
    "do this where you have them; rootless doctor shows which there are"
)


def write(
    directory: str,
    put: Put,
    *,
    left_out: Container[bytes] = (),
    changing: bool = False,
) -> int:
    """Send the layer's tar to `put` in pieces of some 100 KB; how many bytes of it are contents.

    `left_out` are paths, relative to the directory, of what is no part of the layer: b"." is only
    the directory itself, of any other also what is in it.
    """
    writer = tar.Writer(put)
    contents = _walk(directory, lambda root: _Diff(root, writer, left_out, changing=changing))
    writer.close()
    return contents


def write_tree(
    directory: str, put: Put, *, changing: bool = False, change: Change | None = None
) -> int:
    """`write` a mounted tree: no name in it is a whiteout. `change` is as for `add_tree`."""
    writer = tar.Writer(put)
    contents = _walk(directory, lambda root: _Tree(root, writer, changing=changing, change=change))
    writer.close()
    return contents


def add_tree(directory: str, writer: tar.Writer, change: Change) -> None:
    """Put a mounted tree into an archive, each entry as `change` gives it back.

    That may change all of an entry but its size, and leave out, by None, what is no regular file.
    """
    _walk(directory, lambda root: _Tree(root, writer, change=change))


def add_path(
    directory_fd: int, name: bytes, writer: tar.Writer, change: Change, left_out: Container[bytes]
) -> None:
    """Put what has this name in a directory into an archive, each entry as `change` gives it back.

    The directory may change meanwhile, whoever does it; it itself is b".". OSError.
    """
    _Tree(directory_fd, writer, left_out, changing=True, change=change).write(name)


def _walk(directory: str, begin: Callable[[int], _Diff]) -> int:
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return begin(root).write()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RootlessError(
            f"cannot read the layer in {directory}: {error.strerror}: "
            f"{os.fsdecode(error.filename or b'')}",
            hint=_CLOSED if error.errno == EACCES else None,
        ) from error
    finally:
        os.close(root)


class _Diff:
    """One walk. Paths are relative to the root, which is all that stays open: trees can be deep."""

    def __init__(
        self,
        root: int,
        writer: tar.Writer,
        left_out: Container[bytes] = (),
        *,
        changing: bool = False,
        change: Change | None = None,
    ) -> None:
        self._parents = inroot.Parents(root)
        self._writer = writer
        self._change = change
        self._left_out = left_out
        self._changing = changing
        self._contents = 0
        self._pending: list[bytes] = []
        self._links: dict[tuple[int, int], bytes] = {}
        # owner and mode of the first of several links
        self._recorded: dict[bytes, tuple[int, int, int]] = {}

    def write(self, name: bytes = b".") -> int:
        self._pending.append(name)
        try:
            while self._pending:
                self._met(self._pending.pop())
        finally:
            self._parents.close()
        return self._contents

    def _met(self, path: bytes) -> None:
        try:
            parent, name = self._parents.of(path)
            self._visit(path, os.lstat(name, dir_fd=parent))
        except OSError as error:
            if self._changing and error.errno in inroot.GONE:
                return
            if error.filename is not None or isinstance(error, linux.SyscallError):
                error.filename = path  # not its last name only
            raise

    def _open(self, path: bytes, flags: int = 0) -> int:
        parent, name = self._parents.of(path)
        return os.open(name, _OPEN | flags, dir_fd=parent)

    def _visit(self, path: bytes, status: os.stat_result) -> None:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind == tar.FILE:
            self._file(path, status)
        elif kind == tar.DIRECTORY:
            self._directory(path, status)
        elif kind == tar.SYMLINK:
            parent, name = self._parents.of(path)
            target = os.readlink(name, dir_fd=parent)
            self._add(_entry(path, kind, status, link=target))
        elif kind is not None:
            numbers = (os.major(status.st_rdev), os.minor(status.st_rdev))
            self._add(_entry(path, kind, status, device=numbers))

    def _add(self, entry: tar.Entry) -> None:
        self._contents += entry.size
        changed = self._change(entry) if self._change else entry
        if changed:
            self._writer.add(changed)

    def _mark(self, name: bytes) -> None:
        self._add(tar.Entry(name, tar.FILE, 0o600))

    def _directory(self, path: bytes, status: os.stat_result) -> None:
        fd = self._open(path, os.O_DIRECTORY)
        try:
            found = xattrs.read(fd)
            entry = _entry(path, tar.DIRECTORY, status, attributes=found)
            if path != b"." or (self._has_root(entry) and path not in self._left_out):
                self._add(entry)
            if self._is_opaque(found):
                self._mark(whiteout.encode_opaque(path))
            self._children(fd, b"" if path == b"." else path + b"/")
        finally:
            os.close(fd)

    def _children(self, fd: int, prefix: bytes) -> None:
        """Write the whiteouts of a directory, queue the rest."""
        names: list[bytes] = []
        marks: set[bytes] = set()
        with os.scandir(fd) as found:
            for item in found:
                name = os.fsencode(item.name)
                is_folder = item.is_dir(follow_symlinks=False)
                plain = is_folder or item.is_file(follow_symlinks=False) or item.is_symlink()
                if whiteout.is_spelled(name) and self._hides(prefix, name, is_folder=is_folder):
                    marks.add(prefix + name)
                elif not plain and self._is_whiteout(name, fd):
                    marks.add(whiteout.encode(prefix + name))
                else:
                    names.append(name)
        for mark in sorted(marks):
            self._mark(mark)
        for name in sorted(names, reverse=True):
            if prefix + name not in self._left_out:
                self._pending.append(prefix + name)

    def _has_root(self, root: tar.Entry) -> bool:
        """Whether the root gets an entry; who changes entries is asked about it in any case."""
        return _is_notable(root) or self._change is not None

    def _is_opaque(self, found: dict[bytes, bytes]) -> bool:
        return whiteout.is_opaque(found)

    def _is_whiteout(self, name: bytes, fd: int) -> bool:
        """Of a device or its like; one that is gone is met again, and left out, later."""
        try:
            return whiteout.is_device(os.lstat(name, dir_fd=fd))
        except FileNotFoundError:
            return False

    def _hides(self, prefix: bytes, name: bytes, *, is_folder: bool) -> bool:
        """A file with the name of a whiteout means one to all who read the layer.

        As in docker, whose layers hold such files too. RootlessError where nobody could read it.
        """
        if is_folder or whiteout.is_impossible(name):
            raise RootlessError(
                f"a layer cannot hold {tar.shown(prefix + name)!r}",
                hint="names starting with .wh. mean deleted files: remove or rename it",
            )
        return True

    def _file(self, path: bytes, status: os.stat_result) -> None:
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), path)
            if first is not path:
                link = _entry(path, tar.LINK, status, link=first)
                link.uid, link.gid, link.mode = self._recorded.get(
                    first, (link.uid, link.gid, link.mode)
                )
                self._add(link)
                return
        fd = self._open(path)
        try:
            if self._changing and not stat.S_ISREG(os.fstat(fd).st_mode):
                return
            found = xattrs.read(fd)
            if status.st_nlink > 1 and found:
                mode = permissions.of(status, found)
                self._recorded[path] = (*owners.of(status, found), mode)
            if not status.st_size and found and self._stands_for_another(path, status, found):
                return
            size = status.st_size
            self._add(_entry(path, tar.FILE, status, size=size, attributes=found))
            self._content(fd, path, size)
        finally:
            os.close(fd)

    def _stands_for_another(
        self, path: bytes, status: os.stat_result, found: dict[bytes, bytes]
    ) -> bool:
        """Write what an empty file means when its attributes say that it is a stand-in."""
        if self._is_whiteout_file(found):
            self._mark(whiteout.encode(path))
            return True
        if node := xattrs.device(found):
            kind, numbers = node
            self._add(_entry(path, kind, status, device=numbers, attributes=found))
            return True
        return False

    def _content(self, fd: int, path: bytes, size: int) -> None:
        left = size
        while left:
            piece = os.read(fd, min(left, tar.CHUNK))
            if not piece and self._changing:
                piece = bytes(min(left, tar.CHUNK))
            if not piece:
                raise RootlessError(f"{tar.shown(path)!r} shrank while its layer was written")
            self._writer.content(piece)
            left -= len(piece)
        self._writer.pad(size)

    def _is_whiteout_file(self, found: dict[bytes, bytes]) -> bool:
        return whiteout.is_empty_file_form(found)


class _Tree(_Diff):
    """A tree as people see it: what spells a whiteout in a layer is a file like any other."""

    def _is_opaque(self, _found: dict[bytes, bytes]) -> bool:
        return False

    def _is_whiteout(self, _name: bytes, _fd: int) -> bool:
        return False

    def _is_whiteout_file(self, _found: dict[bytes, bytes]) -> bool:
        return False

    def _hides(self, _prefix: bytes, _name: bytes, *, is_folder: bool) -> bool:  # noqa: ARG002
        return False


def _entry(
    path: bytes,
    kind: int,
    status: os.stat_result,
    *,
    size: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    attributes: dict[bytes, bytes] | None = None,
) -> tar.Entry:
    uid, gid = owners.of(status, attributes or {})
    return tar.Entry(
        path,
        kind,
        permissions.of(status, attributes or {}),
        uid=uid,
        gid=gid,
        size=size,
        mtime=status.st_mtime_ns,
        link=link,
        device=device,
        xattrs=xattrs.told(attributes) if attributes else None,
    )


def _is_notable(root: tar.Entry) -> bool:
    return bool(root.mode != 0o755 or root.uid or root.gid or root.xattrs)
