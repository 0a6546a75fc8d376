"""What is in use: the records of every room, and all that they name.

    leases/*   containers/*/container.json   cache/steps/*.json   index.json

Every digest that is a value in such a record keeps alive what it names: a manifest, a config or
another blob, or a layer (by diff_id); and that what it names in turn, told by its shape: an index
its manifests, a manifest its config and layers, a config its diff_ids. A room that keeps records
of its own adds its folder here. Pure reading, in any process.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.store import blobs, index, lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from rootless.store import Store

_CONTAINERS = ("containers", "container.json")
_FOLDERS = (_CONTAINERS, ("cache/steps", ""))


class Used:
    """Digests that something keeps alive; each `look` adds what is new since the last one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digests: set[str] = set()
        self._followed: set[str] = set()
        self._read: set[str] = set()

    def look(self) -> None:
        """Read the records, in the order in which things change hands.

        Who lets go of a lease has put what matters into a later record by then, so nothing slips
        through between two readings. Records are not changed, only made, removed or replaced: one
        that was read is not read again, or at the worst a replaced cache step is forgotten.
        """
        self._follow(self._digests - self._followed)  # their blobs may have come meanwhile
        for content in lease.living(self._store):
            self._follow(content.split())
        for path in _records(self._store):
            if path not in self._read:
                self._read.add(path)
                self._follow(map(str, digests_in(path)))
        self._follow(str(entry.digest) for entry in index.read(self._store))

    def __contains__(self, digest: Digest) -> bool:
        return str(digest) in self._digests

    def hexes(self) -> set[str]:
        """The hex values of all digests."""
        return {text.partition(":")[2] for text in self._digests}

    def folders(self) -> set[str]:
        """The short ids of all digests: a layer folder with another name is nobody's."""
        return {value[:12] for value in self.hexes()}

    def _follow(self, found: Iterable[str]) -> None:
        pending = list(found)
        while pending:
            text = pending.pop()
            if text in self._followed:
                continue
            try:
                digest = Digest.parse(text)
            except IntegrityError:
                continue
            self._digests.add(text)
            named = named_by(self._store, digest)
            if named is not None:
                self._followed.add(text)
                pending += map(str, named)


def of_containers(store: Store) -> list[Digest]:
    """What the records of containers name; nothing where there is no store yet."""
    try:
        return [one for path in _listed(store, *_CONTAINERS) for one in digests_in(path)]
    except FileNotFoundError:
        return []


def _records(store: Store) -> Iterator[str]:
    for folder, name in _FOLDERS:
        yield from _listed(store, folder, name)


def _listed(store: Store, folder: str, name: str) -> Iterator[str]:
    for entry in os.listdir(store.path(folder)):
        yield store.path(folder, entry, name) if name else store.path(folder, entry)


def digests_in(path: str) -> Iterator[Digest]:
    """Every value in a JSON record that is a digest; none in a damaged record."""
    try:
        with open(path, "rb", buffering=0) as file:
            pending = [leanjson.loads(file.read(leanjson.MAX_BYTES))]
    except (FileNotFoundError, NotADirectoryError, IntegrityError):
        return
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str) and value.startswith(("sha256:", "sha512:")):
            yield from _parsed([value])


def named_by(store: Store, digest: Digest) -> list[Digest] | None:
    """The digests that a blob lists, if it is an index, manifest or config; None without a blob."""
    try:
        value = _document(blobs.path(store, digest))
    except FileNotFoundError:
        return None
    except IntegrityError:
        return []
    if not isinstance(value, dict):
        return []
    things = (value.get("config"), *_list(value, "manifests"), *_list(value, "layers"))
    rootfs = value.get("rootfs")
    found = [one.get("digest") for one in things if isinstance(one, dict)]
    return _parsed([*found, *(_list(rootfs, "diff_ids") if isinstance(rootfs, dict) else ())])


def _parsed(values: list[Any]) -> list[Digest]:
    """Those values that are digests."""
    digests = []
    for value in values:
        try:
            digests.append(Digest.parse(value))
        except IntegrityError:
            continue
    return digests


def _document(path: str) -> Any:
    """The JSON object in a file; None where it is not the beginning of one."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # it may be anything
    with open(fd, "rb", buffering=0) as file:
        start = file.read(1)
        return leanjson.loads(start + file.read(leanjson.MAX_BYTES)) if start == b"{" else None


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []
