"""Directories that `RUN --mount=type=cache` keeps from build to build.

    cache/mounts/<name>/data/       what commands see; its files belong to mapped ids
    cache/mounts/<name>/mount.json  {"id", "created"}; its mtime is when it was last taken

The name is a hash of the id and of what a new directory holds: no text of a Dockerfile is part of
a path. Whoever uses a directory holds a flock of it, shared or exclusive, while one command runs:
see `store.keeping`. A command that was killed leaves what it has written so far, as in docker. Runs
in the builder.
"""

from __future__ import annotations

import fcntl
import os
from time import time

from rootless import leanjson, owners
from rootless.oci.digest import Digest
from rootless.store import keeping
from rootless.store.keeping import Held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.plan.mounts import Cache
    from rootless.store import Store

_RECORD = "mount.json"


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
        elif keeping.is_still(fd, path):
            os.utime(os.path.join(path, _RECORD))
            return Held(path, fd)
        else:  # it was taken away meanwhile
            os.close(fd)


def look(store: Store, named: str) -> Held | None:
    """The directory `named`, if there is one, to read from; waits while somebody has it alone."""
    return keeping.look(store.path("cache", "mounts", named))


def _open(store: Store, path: str, mount: Cache, fill: Callable[[str], bool]) -> int:
    def begin(data: str) -> bytes:
        if not fill(data):
            owners.give(data, mount.uid, mount.gid)
            os.chmod(data, mount.mode)
        return leanjson.dumps({"id": mount.id, "created": time()})

    while True:
        try:
            return os.open(path, keeping.DIRECTORY)
        except FileNotFoundError:
            keeping.make(store, path, begin, _RECORD)


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
