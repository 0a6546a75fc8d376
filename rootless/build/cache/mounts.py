"""Directories that `RUN --mount=type=cache` keeps from build to build.

    cache/mounts/<name>/data/       what commands see; its files belong to mapped ids
    cache/mounts/<name>/mount.json  {"id", "created"}; its mtime is when it was last taken

The name is a hash of the id and of what a new directory holds: no text of a Dockerfile is part of
a path. Whoever uses a directory holds a flock of it, shared or exclusive, while one command runs,
and looks after that whether it is still the one by that name: so it can be taken away, by
`store.kept`, beside everything else. Made in tmp/ and published by rename. A command that was
killed leaves what it has written so far, as in docker. Runs in the builder.
"""

from __future__ import annotations

import fcntl
import os
from time import time

from rootless import leanjson
from rootless.oci.digest import Digest
from rootless.store import staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.plan.mounts import Cache
    from rootless.store import Store

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Held:
    """A directory in use: `path` is what a command sees. `release` it when that has ended."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = os.path.join(path, "data")
        self._fd = fd

    def release(self) -> None:
        """Let others have it; also where a fork of ours still has the descriptor."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)


def name(mount: Cache, seed: str) -> str:
    """The name of a directory. `seed` says which layers `from` names, "" without."""
    begins = [seed, mount.source] if seed else [mount.mode, mount.uid, mount.gid]
    return Digest.of(leanjson.dumps([1, mount.id, begins])).hex[:32]


def take(
    store: Store,
    mount: Cache,
    named: str,
    fill: Callable[[str], bool],
    waiting: Callable[[], object],
) -> Held:
    """The directory `named` for one command, as its sharing mode says.

    `fill` puts into a new one what it begins with, if anything; `waiting` is called before a wait
    for others.
    Who wants a private one gets another while the first is in use.
    """
    number = 0
    while True:
        path = store.path("cache", "mounts", f"{named}-{number}" if number else named)
        fd = _open(store, path, mount, fill)
        if not _lock(fd, mount.sharing, waiting):
            os.close(fd)
            number += 1
        elif _is(fd, path):
            os.utime(os.path.join(path, "mount.json"))
            return Held(path, fd)
        else:  # it was taken away meanwhile
            os.close(fd)


def look(store: Store, named: str) -> Held | None:
    """The directory `named`, if there is one, to read from; waits while somebody has it alone."""
    path = store.path("cache", "mounts", named)
    try:
        fd = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return None
    fcntl.flock(fd, fcntl.LOCK_SH)
    return Held(path, fd)


def _open(store: Store, path: str, mount: Cache, fill: Callable[[str], bool]) -> int:
    while True:
        try:
            return os.open(path, _DIRECTORY)
        except FileNotFoundError:
            _make(store, path, mount, fill)


def _make(store: Store, path: str, mount: Cache, fill: Callable[[str], bool]) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with store.writing(), staging.Staging(store, ("data",)) as staged:
        data = os.path.join(staged.path, "data")
        if not fill(data):
            os.chown(data, mount.uid, mount.gid)
            os.chmod(data, mount.mode)
        with open(os.path.join(staged.path, "mount.json"), "wb") as file:
            file.write(leanjson.dumps({"id": mount.id, "created": time()}))
        try:
            staged.publish(path)
        except OSError:
            if not os.path.isdir(path):  # else another build made it meanwhile
                raise


def _lock(fd: int, sharing: str, waiting: Callable[[], object]) -> bool:
    kind = fcntl.LOCK_SH if sharing == "shared" else fcntl.LOCK_EX
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        if sharing == "private":
            return False
        waiting()
        fcntl.flock(fd, kind)
    return True


def _is(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
