"""Where images are kept: whether its file system can hold layers and be an overlay's upper one.

What is tried is made in a folder of its own beside the store, and taken away again; a trial that
is killed leaves that folder, `.rootless-doctor-*`.
"""

from __future__ import annotations

import os
import shutil
import tempfile

from rootless import complaints, linux, owners, rung, userns
from rootless.doctor.check import Check, complaint, failed, note, passed
from rootless.doctor.namespaces import stack
from rootless.errors import RootlessError
from rootless.record import Record

_LEAST = 1 << 30
_FAR = {"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs"}


class Place(Record):
    """The file system of a path: its kind, where it is mounted, and that mount's options."""

    kind: str
    mounted_on: str
    options: tuple[str, ...]


def place(path: str) -> Place:
    """The mount that holds `path`, or the nearest folder above that is there."""
    path = os.path.realpath(_existing(path))
    found = Place("unknown", "/", ())
    for line in _mounts():
        before, _, after = line.partition(" - ")
        fields = before.split()
        where = _unescape(fields[4])
        holds = path == where or path.startswith(where.rstrip("/") + "/")
        if holds and len(where) >= len(found.mounted_on):  # a later one covers
            found = Place(after.split()[0], where, tuple(fields[5].split(",")))
    return found


def store(root: str, *, copies: bool) -> tuple[Check, ...]:
    """What can be done where images are kept, and how much room there is.

    With `copies` the programs of images are started there.
    """
    if not root:
        return (failed("store", complaints.NO_PLACE, complaints.PLACE),)
    where = place(root)
    return (_layers(root, where), *_room(root), *_executable(where, copies=copies))


def _layers(root: str, where: Place) -> Check:
    problem = complaint(lambda: _try_store(root))
    if problem is None:
        return passed("store", f"{root} on {where.kind} can hold layers")
    far = ", a file system of another machine" if where.kind in _FAR else ""
    detail = f"{root} on {where.kind}{far}: {problem.message}"
    return failed("store", detail, problem.hint or complaints.ELSEWHERE)


def _try_store(root: str) -> None:
    """In a child: layers need user xattrs, the ids of the namespace, and an overlay's upper."""
    try:
        folder = tempfile.mkdtemp(prefix=".rootless-doctor-", dir=_existing(root))
    except OSError as error:
        raise complaints.explain_storage(error, root) or error from None
    userns_ids = None
    try:
        userns_ids = userns.enter()
        _try_layer(folder, userns_ids)
    finally:
        shutil.rmtree(folder, ignore_errors=userns_ids is None)


def _try_layer(folder: str, ids: userns.IdMap) -> None:
    path = f"{folder}/file"
    with open(path, "xb"):
        pass
    try:
        os.setxattr(path, "user.overlay.opaque", b"y")
    except OSError as error:
        raise RootlessError(f"files there can have no user xattrs ({error.strerror})") from None
    last = max(inside + count - 1 for inside, _, count in ids.uids)
    try:
        owners.give(path, last, 0)
    except OSError as error:
        raise RootlessError(
            f"files there cannot be given to the ids of containers ({error.strerror})"
        ) from None
    if rung.current().may_mount:
        linux.umount2(stack(folder))


def _room(root: str) -> tuple[Check, ...]:
    disk = os.statvfs(_existing(root))
    free = disk.f_bavail * disk.f_frsize
    if free >= _LEAST or not disk.f_blocks:  # some file systems do not count
        return ()
    fix = f"rootless system prune, or {complaints.ELSEWHERE}"
    return (note("room", f"{free >> 20} MiB are free for images in {root}", fix),)


def _executable(where: Place, *, copies: bool) -> tuple[Check, ...]:
    if "noexec" not in where.options:
        return ()
    if copies:
        detail = f"{where.mounted_on} is mounted noexec: copies of images cannot be started there"
        return (failed("noexec", detail, complaints.ELSEWHERE),)
    detail = f"{where.mounted_on} is mounted noexec: what is installed there cannot be started"
    cure = "python3 -m rootless instead of rootless; programs in images run, through another mount"
    return (note("noexec", detail, cure),)


def temporary() -> tuple[Check, ...]:
    """Mounts are put together on /tmp, in a namespace of their own; it takes no room there."""
    if os.path.isdir("/tmp"):
        return ()
    return (failed("tmp", "there is no directory /tmp", "sudo mkdir -m 1777 /tmp"),)


def _existing(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _mounts() -> list[str]:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return file.readlines()
    except OSError:
        return []


def _unescape(text: str) -> str:
    r"""`\040` is a blank in proc_pid_mountinfo(5)."""
    for code, letter in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, letter)
    return text
