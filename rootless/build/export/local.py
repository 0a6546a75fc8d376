"""`-o type=local`: the files of images in a folder, owned by who called, as in docker.

All is unpacked into an owned folder `.rootless-local-*` first, inside of the destination or beside
one that is not there yet. Then it is moved: as one, or file by file into what is there, where an
entry takes the place of whatever has its name, without following a link. So no file is ever half
there; a crash leaves that folder, which the next export to the same place deletes. Modes are the
image's; devices, which nobody could make, and extended attributes are left out.

Runs as (mapped) root with one thread; root there is the user outside.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless import complaints, deletion, inroot
from rootless.archive import apply, unpacking
from rootless.build.export import trees
from rootless.build.export.trees import How, Tree
from rootless.errors import RootlessError
from rootless.store import staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.archive import Read
    from rootless.store import Store

_OURS = ".rootless-local-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CALLER = (0, 0)


def check(path: str) -> None:
    """RootlessError for what cannot become the folder; to be asked before anything is built."""
    if os.path.isdir(path) or not os.path.lexists(path):
        return
    what = "a link to nothing" if os.path.islink(path) and not os.path.exists(path) else "a file"
    raise RootlessError(
        f"destination directory {path} is {what}",
        hint="name a folder; for one tar file write -o type=tar,dest=FILE",
    )


def write(store: Store, wanted: Sequence[Tree], path: str, epoch: int | None = None) -> None:
    """Put the files into the folder at `path`, made where it is missing, with its parents.

    RootlessError where that cannot be: on a full disk the folder is as it was.
    """
    try:
        _write(store, wanted, path, How(epoch, plain=True))
    except OSError as error:
        raise RootlessError(f"{path}: {error.strerror}", hint=_hint(path, error)) from error


def _hint(path: str, error: OSError) -> str | None:
    if error.errno == errno.EXDEV:
        return "there is a mount inside of that folder: name an empty folder"
    return complaints.way_out(path, error)


def _place(read: Read, directory: str) -> None:
    try:
        apply.unpack(read, directory, whiteouts=False, owner=_CALLER)
    except RootlessError as error:
        cause = error.__cause__  # its own hint is about the store
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            error.hint = complaints.way_out(directory, cause)
        raise


def _write(store: Store, wanted: Sequence[Tree], path: str, how: How) -> None:
    is_there = os.path.isdir(path)
    beside = path if is_there else os.path.dirname(os.path.abspath(path))
    if not is_there:
        os.makedirs(beside, mode=0o777, exist_ok=True)
    with _Unfinished(beside) as unfinished:
        unpacking.unpack_apart(
            lambda put: trees.write(store, wanted, put, how), unfinished.tree, _place
        )
        try:
            if not is_there:
                return os.rename(unfinished.tree, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        return _Moving(unfinished.tree, path).move()


class _Unfinished:
    """A folder of our own in `beside`, with `tree` in it; both are gone in the end."""

    def __init__(self, beside: str) -> None:
        for name in os.listdir(beside):
            left = os.path.join(beside, name)
            if name.startswith(_OURS) and os.lstat(left).st_uid == 0:
                staging.delete(left)
        self._path = os.path.join(beside, f"{_OURS}{os.urandom(6).hex()}")
        self.tree = os.path.join(self._path, "tree")

    def __enter__(self) -> _Unfinished:
        os.mkdir(self._path, 0o700)
        self._fd = os.open(self._path, _DIRECTORY)
        staging.owns(self._fd, self._path)
        os.mkdir(self.tree, 0o700)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            deletion.remove(self._path)
        finally:
            os.close(self._fd)


class _Moving:
    """What is in one folder on its way into another; paths are relative to both."""

    def __init__(self, source: str, target: str) -> None:
        self._source_fd = os.open(source, _DIRECTORY)
        self._target_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._sources = inroot.Parents(self._source_fd)
        self._targets = inroot.Parents(self._target_fd)
        self._merged: list[bytes] = []

    def move(self) -> None:
        """All of it; folders that were there get mode and time last."""
        try:
            pending = self._names(b".")
            while pending:
                pending += self._move(pending.pop())
            for path in reversed(self._merged):
                self._dress(path)
        finally:
            self._sources.close()
            self._targets.close()
            os.close(self._source_fd)
            os.close(self._target_fd)

    def _names(self, path: bytes) -> list[bytes]:
        parent, name = self._sources.of(path)
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            found = [os.fsencode(one) for one in os.listdir(fd)]
        finally:
            os.close(fd)
        return found if path == b"." else [path + b"/" + one for one in found]

    def _move(self, path: bytes) -> list[bytes]:
        """One entry; of a folder that is there already, what is in it is still to be moved."""
        parent, name = self._sources.of(path)
        there, _ = self._targets.of(path)
        is_folder = _is_folder(name, parent)
        if _is_folder(name, there):
            if is_folder:
                self._merged.append(path)
                return self._names(path)
            deletion.remove(name, dir_fd=there)
        elif is_folder and _is_there(name, there):
            os.unlink(name, dir_fd=there)
        os.rename(name, name, src_dir_fd=parent, dst_dir_fd=there)
        return []

    def _dress(self, path: bytes) -> None:
        parent, name = self._sources.of(path)
        found = os.lstat(name, dir_fd=parent)
        there, name = self._targets.of(path)
        fd = os.open(name, _DIRECTORY, dir_fd=there)
        try:
            os.fchmod(fd, stat.S_IMODE(found.st_mode))
            os.utime(fd, ns=(found.st_mtime_ns, found.st_mtime_ns))
        finally:
            os.close(fd)


def _is_folder(name: bytes, at: int) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode)
    except FileNotFoundError:
        return False


def _is_there(name: bytes, at: int) -> bool:
    try:
        os.lstat(name, dir_fd=at)
    except FileNotFoundError:
        return False
    return True
