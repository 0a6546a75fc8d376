"""`cp`: files between a container and the host, by docker's rules, as a tar in between.

Both sides are roots, looked into by the kernel (openat2 RESOLVE_IN_ROOT) and by descriptors, so
whatever a hostile container swaps meanwhile ends inside of it. A forked worker makes the directory
that is copied into its root and unpacks there; nothing of the image is loaded or executed. Runs as
(mapped) root; a crash leaves what was copied so far.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless import inroot, linux
from rootless.archive import apply, codecs, diff, tar, unpacking
from rootless.errors import NotFoundError, RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.archive import Put, Read

    Owners = Callable[[int, int], tuple[int, int]]

_MOST_LINKS = 40  # as the kernel's own limit
_CHUNK = 1 << 18
_MISSING = (errno.ENOENT, errno.ENOTDIR)
_KERNEL_VIEWS = frozenset((b"proc", b"sys", b"dev"))


def _same(uid: int, gid: int) -> tuple[int, int]:
    return uid, gid


class Side(Record):
    """A root and how errors speak of what is not in it: `missing` makes the sentence of a path."""

    root_fd: int
    missing: Callable[[str], str]
    missing_folder: Callable[[str], str]
    name: str = ""

    @property
    def is_container(self) -> bool:
        """Whether it has a `name`; else it is the host."""
        return bool(self.name)

    def no_folder(self, path: str) -> str:
        """docker's words for what is typed as a directory and is none, with what was typed."""
        return f"no such directory: {self.name}{':' if self.name else ''}{path}"


def container(root_fd: int, name: str) -> Side:
    """A container's tree; `name` is how the user calls it."""

    def missing(path: str) -> str:
        return f"Could not find the file {path} in container {name}"

    return Side(root_fd, missing, missing, name)


def host(root_fd: int) -> Side:
    """The host's tree, from its `/`."""
    return Side(
        root_fd,
        lambda path: f"lstat {path}: no such file or directory",
        lambda path: f'invalid output path: directory "{path}" does not exist',
    )


class Source(Record):
    """What is copied: `name` in the directory `folder_fd`, called `base` in the archive.

    A `base` of b"." stands for a directory's contents.
    """

    folder_fd: int
    name: bytes
    base: bytes
    is_folder: bool
    left_out: frozenset[bytes] = frozenset()


class Target(Record):
    """The directory that is copied into, and the name to give there; b"" keeps the source's."""

    folder_fd: int
    base: bytes = b""


def source(side: Side, path: str, *, follow: bool) -> Source:
    """What `path`, absolute, with its trailing slash or dot as typed, means to copy.

    A link is copied as one, unless it is to be followed or a slash stands behind it. NotFoundError.
    """
    clean = os.path.normpath(path)
    base = b"." if means_contents(path) else os.fsencode(os.path.basename(clean))
    if follow or asserts_folder(path):
        clean, found = _settle(side, clean)
    else:
        found = _look(side, clean)
    if found is None:
        raise NotFoundError(side.missing(clean), hint=_meant(side, clean))
    is_folder = stat.S_ISDIR(found.st_mode)
    if asserts_folder(path) and not is_folder:
        raise RootlessError(
            f"lstat {path}: not a directory" if side.is_container else "not a directory"
        )
    folder, name = os.path.split(clean)
    if not name:
        left_out = _KERNEL_VIEWS if side.is_container else frozenset[bytes]()
        return Source(_open_folder(side, "/"), b".", base or b".", is_folder, left_out)
    if base == b".":
        return Source(_open_folder(side, clean), b".", b".", is_folder)
    return Source(_open_folder(side, folder), os.fsencode(name), base, is_folder)


def _meant(side: Side, path: str) -> str | None:
    """What is beside it and has nearly that name."""
    from rootless import nearest

    parent, name = os.path.split(path)
    try:
        fd = inroot.open_path(side.root_fd, parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        return nearest.hint(name, os.listdir(fd), prefix=os.path.join(parent, ""))
    finally:
        os.close(fd)


def target(side: Side, path: str, copied: Source) -> Target:
    """Where docker puts `copied` when it is told `path`; RootlessError when it cannot be there."""
    clean, found = _settle(side, os.path.normpath(path))
    if found and stat.S_ISDIR(found.st_mode):
        return Target(_open_folder(side, clean))
    if found and asserts_folder(path):
        said = side.no_folder(path) if side.is_container else f"stat {path}: not a directory"
        raise RootlessError(said, hint="it is a file: leave out the last slash to replace it")
    if found and copied.is_folder:
        raise RootlessError(
            "cannot copy directory",
            hint=f"{clean} is a file: name a directory, or what is not there",
        )
    if not found and not copied.is_folder and asserts_folder(path):
        hint = "make it first, or leave out the last slash"
        raise RootlessError(side.no_folder(path), hint=hint)
    folder, name = os.path.split(clean)
    return Target(_open_folder(side, folder), os.fsencode(name))


def folder(side: Side, path: str, shown: str) -> int:
    """The directory that an archive from standard input is unpacked into."""
    clean, found = _settle(side, os.path.normpath(path))
    if not found or not stat.S_ISDIR(found.st_mode):
        raise RootlessError(f'destination "{shown}" must be a directory')
    return _open_folder(side, clean)


def asserts_folder(path: str) -> bool:
    """Whether the way it is typed says that it is a directory."""
    return path.endswith("/") or means_contents(path)


def means_contents(path: str) -> bool:
    """Whether it is what is in a directory that is meant."""
    return path == "." or path.endswith("/.")


def pack(copied: Source, put: Put, base: bytes = b"", owners: Owners = _same) -> int:
    """Call `put` with a tar of what is copied, under the name `base` if given; its bytes.

    `owners` says whom it tells of what belongs to some ids.
    """
    top, size = base or copied.base, 0

    def counted(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        put(piece)

    def renamed(name: bytes) -> bytes:
        rest = name if copied.name == b"." else name[len(copied.name) + 1 :]
        return top if rest in (b"", b".") else b"%b/%b" % (top, rest)

    def change(entry: tar.Entry) -> tar.Entry:
        entry.name = renamed(entry.name)
        entry.uid, entry.gid = owners(entry.uid, entry.gid)
        if entry.kind == tar.LINK:
            entry.link = renamed(entry.link)
        return entry

    writer = tar.Writer(counted)
    try:
        diff.add_path(copied.folder_fd, copied.name, writer, change, copied.left_out)
    except BrokenPipeError:
        raise
    except OSError as error:
        name = os.fsdecode(error.filename or copied.name)
        raise RootlessError(f"{name} cannot be read: {error.strerror}") from None
    writer.close()
    return size


def copy(copied: Source, into: Target, owners: Owners) -> int:
    """Copy; `owners` says to whom. The bytes of the tar that went through."""
    size = 0

    def write(put: Put) -> None:
        nonlocal size
        size = pack(copied, put, into.base)

    unpacking.unpack_apart(write, _path(into.folder_fd), _unpacker(owners))
    return size  # of an archive of our own: a name in it may look like a compressed one's beginning


def unpack(read: Read, folder_fd: int, owners: Owners) -> int:
    """Unpack an archive, of whatever compression, into a directory; its bytes."""
    size = 0

    def write(put: Put) -> None:
        nonlocal size
        while piece := read(_CHUNK):
            size += len(piece)
            put(piece)

    place = _unpacker(owners)
    unpacking.unpack_apart(
        write, _path(folder_fd), lambda coming, path: place(codecs.decompress(coming), path)
    )
    return size


def _unpacker(owners: Owners) -> Callable[[Read, str], object]:
    def place(coming: Read, folder: str) -> None:
        apply.unpack(coming, folder, whiteouts=False, owners=owners, exact=True)

    return place


def _path(fd: int) -> str:
    """A path that means this directory to the worker, which has the descriptor, too."""
    return f"/proc/self/fd/{fd}"


def _look(side: Side, path: str) -> os.stat_result | None:
    """What is at a path, not following a link there; None when nothing is."""
    try:
        fd = inroot.open_path(side.root_fd, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise RootlessError(f"{path}: {error.strerror}") from None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _settle(side: Side, path: str) -> tuple[str, os.stat_result | None]:
    """Follow the links at the end of a path: the path of what they lead to, and what is there."""
    for _ in range(_MOST_LINKS):
        found = _look(side, path)
        if found is None or not stat.S_ISLNK(found.st_mode):
            return path, found
        fd = inroot.open_path(side.root_fd, path, os.O_PATH | os.O_NOFOLLOW)
        try:
            leads_to = os.readlink("", dir_fd=fd)
        except OSError:  # something else by now
            continue
        finally:
            os.close(fd)
        path = os.path.join(os.path.dirname(path), leads_to)
    raise RootlessError(f"{path}: {os.strerror(errno.ELOOP)}")


def _open_folder(side: Side, path: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return linux.openat2(side.root_fd, path, flags, linux.RESOLVE_IN_ROOT)
    except OSError as error:
        if error.errno in _MISSING:
            hint = None if side.is_container else f"make it first: mkdir -p {path}"
            raise NotFoundError(side.missing_folder(path), hint=hint) from None
        raise RootlessError(f"{path}: {error.strerror}") from None
