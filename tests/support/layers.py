"""Layers in tests: unpacked, written and listed by root of a namespace, or by real root."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from rootless.archive import apply, diff
from tests.support import child

T = TypeVar("T")


class Node(NamedTuple):
    """What a file is; `content` is None for a directory, b"-> target" for a link."""

    content: bytes | None
    mode: int
    uid: int
    gid: int
    mtime: int
    links: int
    xattrs: dict[str, bytes]


def as_root(body: Callable[[], T]) -> T:
    return child.in_child(body, enter=os.geteuid() != 0)


def unpack(content: bytes, directory: Path, **options) -> apply.Unpacked:
    directory.mkdir(exist_ok=True)
    return as_root(lambda: apply.unpack(io.BytesIO(content).read, str(directory), **options))


def write(directory: Path) -> bytes:
    def body() -> bytes:
        pieces: list[bytes] = []
        diff.write(str(directory), pieces.append)
        return b"".join(pieces)

    return as_root(body)


def listing(directory: Path) -> dict[bytes, Node]:
    """Everything below `directory`, by its path, as its root sees it."""

    def body() -> dict[bytes, Node]:
        found = {}
        for parent, folders, files in os.walk(os.fsencode(directory)):
            for name in folders + files:
                path = os.path.join(parent, name)
                found[os.path.relpath(path, os.fsencode(directory))] = _node(path)
        return found

    return as_root(body)


def _node(path: bytes) -> Node:
    status = os.lstat(path)
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
    }
    return Node(
        _content(path, status, attributes),
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        status.st_nlink,
        attributes,
    )


def _content(path: bytes, status: os.stat_result, attributes: dict[str, bytes]) -> bytes | None:
    if stat.S_ISDIR(status.st_mode):
        return None
    if stat.S_ISLNK(status.st_mode):
        return b"-> " + os.readlink(path)
    if stat.S_ISFIFO(status.st_mode):
        return b"fifo"
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        return b"whiteout"
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return b"node"
    if "user.rootless.node" in attributes:
        return b"device " + attributes["user.rootless.node"]
    assert stat.S_ISREG(status.st_mode), path
    return Path(os.fsdecode(path)).read_bytes()
