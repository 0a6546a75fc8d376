"""Leases: what a process uses, so that nobody's collection takes it away meanwhile.

leases/<name> has one digest a line: of a manifest, a config or another blob, or a layer's diff_id;
each keeps alive what it names (`roots`). The file is held by flock(2) while its process, or a fork
of it, lives. Lines are added under `lock.claim`, which a collector has exclusively while it reads
them and takes away the rest: what is there *after* a line was added stays there. Runs in any
process of the user's. A crash leaves a file that nobody holds: it means nothing, and goes with the
next lease or collection.
"""

from __future__ import annotations

import fcntl
import os
from errno import ELOOP, ENOENT, ENXIO

from rootless.store import lock, staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rootless.oci.digest import Digest
    from rootless.store import Store

_NO_LEASE = (ENOENT, ELOOP, ENXIO)  # gone, a link, a socket


class Lease:
    """One file in leases/. A process has one for each `Store` it uses things of: `Store.hold`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: set[str] = set()
        os.makedirs(store.path("leases"), mode=0o700, exist_ok=True)
        for _ in living(store):  # deletes the dead
            pass
        unfinished, self._fd = staging.new_file(store)
        self._path = store.path("leases", os.path.basename(unfinished))
        os.rename(unfinished, self._path)  # nobody ever sees it there without its lock

    def hold(self, digests: Iterable[Digest]) -> None:
        """Add to the things in use. Whether they are there is to be looked up afterwards."""
        new = dict.fromkeys(text for text in map(str, digests) if text not in self._held)
        if not new:
            return
        lines = memoryview("\n".join(["", *new, ""]).encode())  # a torn line before ours ends here
        with lock.claim(self._store):
            while lines:
                lines = lines[os.write(self._fd, lines) :]
        self._held.update(new)

    def end(self) -> None:
        """Let go of everything now, before this process ends. Not for a fork of it."""
        os.unlink(self._path)
        os.close(self._fd)


def living(store: Store) -> Iterator[str]:
    """The contents of every lease whose owner lives; the others are deleted."""
    try:
        names = os.listdir(store.path("leases"))
    except FileNotFoundError:  # an older version made this store
        return
    for name in names:
        if content := _read(store.path("leases", name)):
            yield content


def _read(path: str) -> str:
    """What a lease says; nothing where nobody holds it, or where it is no file of ours."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_LEASE:
            return ""
        raise
    if os.fstat(fd).st_mode & 0o170000 != 0o100000:
        os.close(fd)
        return ""
    with open(fd, "rb") as file:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().decode(errors="replace")
        try:
            os.unlink(path)
        except FileNotFoundError:  # somebody else was faster
            pass
    return ""
