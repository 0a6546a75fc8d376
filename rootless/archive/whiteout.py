"""Deleted and opaque, in both spellings; no other file knows either of them.

In a tar (image-spec layer.md, "Whiteouts"): an entry `.wh.NAME` hides NAME of the layers below,
`.wh..wh..opq` hides everything they have in its directory. On disk (kernel, overlayfs.rst, mounted
with `userxattr`): a character device 0:0 named NAME, and the attribute user.overlay.opaque=y of
a directory. Where that device cannot be made, as on an overlayfs, it is an empty file with the
attribute user.overlay.whiteout in a directory marked opaque=x, which kernels know from 6.7 on.

overlayfs ignores an opaque mark on the root of a layer: who stacks layers must ask `is_opaque` and
leave out what lies below. Names starting with `.wh..wh.` are aufs's own records: skipped.
"""

from __future__ import annotations

import os

from rootless.archive.tar import shown
from rootless.errors import IntegrityError
from rootless.record import Record

_PREFIX = b".wh."
_BOOKKEEPING = b".wh..wh."
_OPAQUE = b".wh..wh..opq"
_OPAQUE_XATTR = b"user.overlay.opaque"
_WHITEOUT_XATTR = b"user.overlay.whiteout"
_CHARACTER = 0o020000
_REGULAR = 0o100000
_KIND = 0o170000


class Whiteout(Record):
    """`hidden` is the path that is gone, `opaque` the directory that starts afresh: one of them."""

    hidden: bytes | None = None
    opaque: bytes | None = None


BOOKKEEPING = Whiteout()
"""An entry that says nothing about any file."""


def decode(name: bytes) -> Whiteout | None:
    """What a tar entry's (clean) name hides; None for an ordinary entry."""
    if not _mentions(name):
        return None
    if name.startswith(_BOOKKEEPING) and name != _OPAQUE:
        return BOOKKEEPING
    directory, slash, base = name.rpartition(b"/")
    if _mentions(directory):
        raise IntegrityError(f"the layer has an entry inside a whiteout: {shown(name)!r}")
    if base == _OPAQUE:
        return Whiteout(opaque=directory or b".")
    if base.startswith(_BOOKKEEPING):
        return BOOKKEEPING
    hidden = base.removeprefix(_PREFIX)
    if is_impossible(base):
        raise IntegrityError(f"the layer has an impossible whiteout: {shown(name)!r}")
    return Whiteout(hidden=directory + slash + hidden)


def _mentions(path: bytes) -> bool:
    """Whether any part of `path` is spelled like a whiteout."""
    return _PREFIX in path and (path.startswith(_PREFIX) or b"/" + _PREFIX in path)


def encode(path: bytes) -> bytes:
    """The tar entry that hides `path`."""
    directory, slash, base = path.rpartition(b"/")
    return directory + slash + _PREFIX + base


def encode_opaque(directory: bytes) -> bytes:
    """The tar entry that makes `directory` (b"." for the root) opaque."""
    return _OPAQUE if directory == b"." else directory + b"/" + _OPAQUE


def is_spelled(base: bytes) -> bool:
    """Whether a file of this name on disk would become a whiteout in a tar."""
    return base.startswith(_PREFIX)


def is_impossible(base: bytes) -> bool:
    """Whether a name that is spelled like a whiteout hides nothing that can be there."""
    return base.removeprefix(_PREFIX) in (b"", b".", b"..")


def make(path: bytes) -> None:
    """OSError when something is there, or no directory to make it in."""
    try:
        os.mknod(path, _CHARACTER, 0)
    except PermissionError:  # what is mounted is an overlayfs already: that device is its own
        _make_file(path)


def _make_file(path: bytes) -> None:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.setxattr(fd, _WHITEOUT_XATTR, b"y")
    finally:
        os.close(fd)
    _mark(os.path.dirname(path) or b".", b"x", os.XATTR_CREATE)


def make_opaque(directory: bytes) -> None:
    """OSError when it is not a directory."""
    _mark(directory, b"y")


def _mark(directory: bytes, value: bytes, flags: int = 0) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.setxattr(fd, _OPAQUE_XATTR, value, flags)
    except FileExistsError:  # of whichever kind it is, its files are looked at
        pass
    finally:
        os.close(fd)


def is_one(path: bytes, status: os.stat_result) -> bool:
    """Whether what lstat found at `path` is a whiteout, in either form."""
    if status.st_mode & _KIND == _REGULAR and not status.st_size:
        return _WHITEOUT_XATTR in map(os.fsencode, os.listxattr(path, follow_symlinks=False))
    return is_device(status)


def is_device(status: os.stat_result) -> bool:
    """Whether lstat found the kernel's whiteout. All of one mount are links of a single inode."""
    return status.st_mode & _KIND == _CHARACTER and status.st_rdev == 0


def is_empty_file_form(xattrs: dict[bytes, bytes]) -> bool:
    """Whether an empty file with these attributes is the kernel's other whiteout."""
    return _WHITEOUT_XATTR in xattrs


def is_opaque(xattrs: dict[bytes, bytes]) -> bool:
    """Whether a directory with these attributes hides what lies below."""
    return xattrs.get(_OPAQUE_XATTR) == b"y"
