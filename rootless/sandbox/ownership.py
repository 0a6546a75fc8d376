"""Giving a whole tree to somebody, whatever in it changes meanwhile.

Runs as (mapped) root. No link is followed: somebody who shares the tree may put one anywhere.
"""

from __future__ import annotations

import os
import stat

from rootless import inroot, owners


def give(root_fd: int, uid: int, gid: int) -> None:
    """Make everything at and below the descriptor, of a file or a directory, belong to these ids.

    OSError names the path that belongs to somebody whose files are not ours to give.
    """
    found, records = os.fstat(root_fd), owners.are_recorded()
    _give("", root_fd, found, uid, gid, records=records)
    if not stat.S_ISDIR(found.st_mode):
        return
    top = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root_fd)
    parents = inroot.Parents(top)
    pending = [b"."]
    try:
        while pending:
            pending += _give_children(pending.pop(), top, parents, uid, gid, records=records)
    finally:
        parents.close()
        os.close(top)


def _give_children(
    path: bytes, top: int, parents: inroot.Parents, uid: int, gid: int, *, records: bool
) -> list[bytes]:
    """Those of a directory's entries that are directories."""
    try:
        parent, name = parents.of(path)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = top if path == b"." else os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in inroot.GONE:
            return []
        raise
    try:
        folders = []
        for child in map(os.fsencode, os.listdir(fd)):
            found = os.lstat(child, dir_fd=fd)
            _give(child, fd, found, uid, gid, records=records)
            if stat.S_ISDIR(found.st_mode):
                folders.append(child if path == b"." else path + b"/" + child)
        return folders
    finally:
        if fd != top:
            os.close(fd)


def _give(
    name: bytes | str, fd: int, found: os.stat_result, uid: int, gid: int, *, records: bool
) -> None:
    """A name in a directory, or what a descriptor means when it is empty."""
    if (found.st_uid, found.st_gid) == (uid, gid) and not records:
        return
    try:
        if name:
            owners.give(name, uid, gid, dir_fd=fd, recorded=records)
        elif records:
            owners.give_open(fd, found, uid, gid)
        else:
            os.chown(f"/proc/self/fd/{fd}", uid, gid)
    except FileNotFoundError:  # gone meanwhile
        pass
