"""What a COPY puts into an image, as text and as a digest: the part of its key that it reads.

Names, kinds, modes, contents and which names are one file count; times do not, nor where the
files lie. Runs in the builder, and only reads.
"""

from __future__ import annotations

import os
import stat
from errno import ENODATA, ENOTSUP

from rootless import inroot, owners
from rootless.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.build.inputs.tree import Source

    Held = tuple[str, tuple[int, int] | None]
    Content = Callable[[str, os.stat_result], Held | None]

_CHUNK = 1 << 18


def listing(sources: tuple[Source, ...], content: Content, *, owned: int = -1) -> str:
    """Everything `sources` put into an image, a line for each name: name, kind and contents,
    between NULs. A directory's line, without contents, stands before those of its files.

    `content` gives the digest of what the file at a path holds and its `links`, or None for one
    that is not copied after all. It matters whose the files are of a tree that is open as `owned`.
    """
    lines = _Lines(content, owned)
    return "\n".join(line for source in sources for line in lines.of(source))


def digest(listed: str) -> str:
    """The hex digest of a listing."""
    return Digest.of(listed.encode("utf-8", "surrogateescape")).hex


def of_image(root_fd: int, sources: tuple[Source, ...]) -> str:
    """The digest of `sources` found in an image's root, whose owners and attributes are kept."""

    def content(path: str, found: os.stat_result) -> Held:
        return read(root_fd, path, found, attributes=True), links(found)

    return digest(listing(sources, content, owned=root_fd))


def links(found: os.stat_result) -> tuple[int, int] | None:
    """What the names of one file have in common; None for a file with one name."""
    return (found.st_dev, found.st_ino) if found.st_nlink > 1 else None


def read(root_fd: int, path: str, found: os.stat_result, *, attributes: bool = False) -> str:
    """The digest of a file's bytes or of a link's text, the numbers of a device; else empty."""
    if stat.S_ISLNK(found.st_mode):
        fd = inroot.open_path(root_fd, path, os.O_PATH | os.O_NOFOLLOW)
        try:
            return of_link(os.readlink("", dir_fd=fd))
        finally:
            os.close(fd)
    if not stat.S_ISREG(found.st_mode):
        return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if found.st_rdev else ""
    fd = inroot.open_path(root_fd, path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return of_file(fd) + (_attributes(fd) if attributes else "")
    finally:
        os.close(fd)


def of_link(text: str) -> str:
    """The hex SHA-256 of where a symbolic link points to."""
    from hashlib import sha256

    return sha256(os.fsencode(text)).hexdigest()


def of_file(fd: int) -> str:
    """The hex SHA-256 of all bytes of an open file."""
    from hashlib import sha256

    hashed = sha256()
    os.lseek(fd, 0, os.SEEK_SET)
    while chunk := os.read(fd, _CHUNK):
        hashed.update(chunk)
    return hashed.hexdigest()


def _attributes(fd: int) -> str:
    """The extended attributes of an open file, as text."""
    shown = []
    for name in sorted(set(os.listxattr(fd)) - {owners.ATTRIBUTE}):  # said with its mode
        try:
            shown.append(f"\0{name}={os.getxattr(fd, name).hex()}")
        except OSError as error:
            if error.errno not in (ENODATA, ENOTSUP):
                raise
    return "".join(shown)


class _Lines:
    """One line for each name; another name of a file met before says which one."""

    def __init__(self, content: Content, owned: int) -> None:
        self._content = content
        self._owned = owned
        self._records = owned >= 0 and owners.are_recorded()
        self._count = 0
        self._met: dict[tuple[int, int], int] = {}

    def of(self, source: Source) -> Iterator[str]:
        if not source.folders:
            yield from self._file(source.name, source.path, source.stat)
            return
        yield f"\0{self._kind(source.path, source.stat)}"
        for folder in source.folders:
            top = os.path.join(source.path, folder.path)
            yield f"{folder.path}\0{self._kind(top, folder.stat)}"
            for file, found in folder.files:
                yield from self._file(file, os.path.join(top, file), found)

    def _file(self, name: str, path: str, found: os.stat_result) -> Iterator[str]:
        held = self._content(path, found)
        if held is None:
            return
        content, file = held
        self._count += 1
        first = self._met.setdefault(file, self._count) if file else self._count
        known = f"\0{first}" if first != self._count else ""
        yield f"{name}\0{self._kind(path, found)}\0{content}{known}"

    def _kind(self, path: str, found: os.stat_result) -> str:
        if self._owned < 0:
            return f"{found.st_mode:o}"
        return "{:o}:{}:{}".format(found.st_mode, *self._owner(path, found))

    def _owner(self, path: str, found: os.stat_result) -> tuple[int, int]:
        if not self._records or not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
            return owners.of(found)
        fd = inroot.open_path(self._owned, path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return owners.of_open(fd)
        finally:
            os.close(fd)
