"""The build cache as the store has it: what builds keep for later ones, counted and removed.

    cache/steps/<key>.json        which layer a step made, or ("internal") what it found in layers
    cache/contexts/<name>.json    the digests of a context's files
    cache/urls/<name>.json        ("internal") what a URL led to
    cache/trails/<place>.json     ("internal") what a step was, for explanations
    cache/sources/<name>/         a commit or a file of the web, in data/, flocked while in use, and
                                  source.json: what it is, when it was fetched
    cache/mounts/<name>/          a directory of RUN --mount=type=cache, data/, which its user has
                                  flocked, and mount.json: its id, when it was made

When something was last of use is its record's mtime. Reading needs no namespace, but
for the sizes of cache mounts, whose files belong to mapped ids, as does removing them. Records go
by one unlink, directories by a rename into tmp/ under their lock: a build finds all or nothing.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.record import Record
from rootless.store import layers, roots, staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rootless.oci.digest import Digest
    from rootless.store import Store
    from rootless.store.usage import Pieces, Usage

STEP, INTERNAL, CONTEXT, MOUNT = "regular", "internal", "source.local", "exec.cachemount"
GIT, WEB = "source.git.checkout", "source.http"
"""The kinds, as docker calls them; it has no name for files of the web."""

_TRAILS = "cache/trails"
_RECORDS = ("cache/steps", "cache/contexts", "cache/urls", _TRAILS)
_MOUNTS, _SOURCES = "cache/mounts", "cache/sources"
_FOLDERS = (_MOUNTS, _SOURCES)
_LONGEST = 1 << 16  # bytes of the beginning of a record
_SAME_TIME = 60  # seconds in which the steps of one build were of use


class Cached(Record):
    """Something kept. `pieces` are the layers it needs, `size` the bytes of its own files.

    `used` is when it was last of use and `created` when it was made, in seconds since 1970.
    """

    key: str
    kind: str
    path: str
    pieces: Pieces
    size: int
    used: float
    created: float
    text: str = ""
    in_use: bool = False

    @property
    def is_mutable(self) -> bool:
        """Whether builds change it."""
        return self.kind in (CONTEXT, MOUNT)


class Limits(Record):
    """How much may stay, in bytes: never less than `reserved`; at most `most`, and so little that
    `free` are free on the disk, where these are not 0.
    """

    reserved: int = 0
    most: int = 0
    free: int = 0

    def kept(self, total: int, available: int) -> int:
        """How many of `total` bytes stay; `available` are free on the disk now."""
        kept = self.most or total
        if available < self.free:
            kept = min(kept, total - (self.free - available))
        if not (self.most or self.free):
            kept = 0
        return max(kept, self.reserved)


def has_mounts(store: Store) -> bool:
    """Whether there is anything whose size only shows inside the namespace."""
    return bool(_names(store, _MOUNTS))


def listing(store: Store, usage: Usage) -> tuple[Cached, ...]:
    """Everything that is kept; what goes meanwhile is left out."""
    found = [one for folder in _RECORDS for one in _records(store, folder, usage)]
    return (*found, *(one for folder in _FOLDERS for one in _folders(store, folder)))


def chosen(
    store: Store,
    usage: Usage,
    wanted: Callable[[Cached], bool],
    limits: Limits | None = None,
) -> list[Cached]:
    """What of all that is `wanted` is to go, least recently used first, and nothing in use.

    With `limits` only so much that the rest of the cache keeps within them.
    """
    everything = listing(store, usage)
    going = sorted(filter(wanted, everything), key=_staleness)
    going = [one for one in going if not one.in_use]
    if limits is None:
        return going
    disk = os.statvfs(store.root)
    total = usage.only_kept(everything)
    stays = limits.kept(total, disk.f_bavail * disk.f_frsize)
    return list(_until(going, everything, usage, total - stays))


def _until(
    going: Iterable[Cached], everything: Iterable[Cached], usage: Usage, excess: int
) -> Iterator[Cached]:
    """As many of `going` as it takes to free `excess` bytes; a layer goes with the last that
    needs it.
    """
    needed = usage.needed()
    users: dict[tuple[str, Digest], int] = {}
    for one in everything:
        for piece in one.pieces - needed:
            users[piece] = users.get(piece, 0) + 1
    for one in going:
        if excess <= 0:
            return
        yield one
        excess -= one.size
        for piece in one.pieces - needed:
            users[piece] -= 1
            excess -= 0 if users[piece] else usage.size([piece])


def remove(store: Store, going: Sequence[Cached]) -> list[Cached]:
    """Delete these; those that went. A build may have begun to use one meanwhile: it stays."""
    return [one for one in going if _remove(store, one)]


def _remove(store: Store, one: Cached) -> bool:
    if one.kind not in (MOUNT, GIT, WEB):
        try:
            os.unlink(one.path)
        except FileNotFoundError:  # somebody else was faster
            return False
        return True
    fd = _open(one.path)
    if fd is None:
        return False
    try:
        grave = staging.bury(store, one.path) if staging.owns(fd, one.path) else None
    finally:
        os.close(fd)
    if grave is None:
        return False
    staging.delete(grave)
    return True


def _staleness(one: Cached) -> tuple[int, float]:
    """Steps of one build are of use together, and of those the last go first: they rest on the
    others.
    """
    return int(one.used) // _SAME_TIME, -one.created


def _records(store: Store, folder: str, usage: Usage) -> Iterator[Cached]:
    for name in _names(store, folder):
        path = store.path(folder, name)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        kind, text, made = _told(path, folder)
        pieces = usage.pieces(roots.digests_in(path)) if kind == STEP else frozenset()
        key, used = name.removesuffix(".json"), status.st_mtime
        yield Cached(key, kind, path, pieces, status.st_size, used, made or used, text)


def _told(path: str, folder: str) -> tuple[str, str, float]:
    """A record's kind, what it is about, and when it was made if it tells."""
    if folder == _TRAILS:
        return INTERNAL, "", 0.0
    try:
        with open(path, "rb", buffering=0) as file:
            value = leanjson.beginning(file.read(_LONGEST).decode(errors="replace"))
    except (OSError, IntegrityError):
        value = None
    if folder == "cache/contexts":
        return CONTEXT, f"local source for {value}" if isinstance(value, str) else "", 0.0
    if not isinstance(value, dict) or "diff_id" not in value:
        return (STEP if value is None else INTERNAL), "", 0.0
    return STEP, str(value.get("text", "")), _seconds(value.get("made"))


def _seconds(created: object) -> float:
    """Of an RFC 3339 time; 0 for none."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(str(created)).timestamp()
    except ValueError:
        return 0.0


def _folders(store: Store, folder: str) -> Iterator[Cached]:
    import fcntl

    read = _mount if folder == _MOUNTS else _source
    for name in _names(store, folder):
        path = store.path(folder, name)
        fd = _open(path)
        if fd is None:
            continue
        in_use = False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            in_use = True
        finally:
            os.close(fd)
        yield read(path, name, in_use=in_use)


def _mount(path: str, name: str, *, in_use: bool) -> Cached:
    """A cache mount; one without a readable record has no id and was of use long ago."""
    told, made, used = _folder_told(path, "mount.json")
    text = f"cached mount {told.get('id', '')}"
    return Cached(name, MOUNT, path, frozenset(), layers.weigh(path), used, made, text, in_use)


def _source(path: str, name: str, *, in_use: bool) -> Cached:
    """A commit, or a file of the web."""
    told, made, used = _folder_told(path, "source.json")
    text = str(told.get("what", ""))
    kind = WEB if text.startswith("http ") else GIT
    return Cached(name, kind, path, frozenset(), layers.weigh(path), used, made, text, in_use)


def _folder_told(path: str, record: str) -> tuple[dict[str, object], float, float]:
    """What the record of a directory says, when that was made, and when it was last of use."""
    told, used = None, 0.0
    try:
        with open(os.path.join(path, record), "rb", buffering=0) as file:
            used = os.fstat(file.fileno()).st_mtime
            told = leanjson.loads(file.read(_LONGEST))
    except (OSError, IntegrityError):
        pass
    told = told if isinstance(told, dict) else {}
    created = told.get("created")
    return told, float(created) if isinstance(created, int | float) else used, used


def _open(path: str) -> int | None:
    """A directory of ours; None where it is gone or is another thing."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None


def _names(store: Store, folder: str) -> list[str]:
    try:
        return os.listdir(store.path(folder))
    except OSError:
        return []
