"""What earlier builds have made: `find` a step's layer by its key, or learn why there is none.

`key` says what a step is, `local` keeps the records of this store, `remote` those that other
machines share, `origins` what COPY --from finds in other stages, `trails` what a step was the last
time. Runs in the builder and in the processes that carry strands out; losing any of it only costs
time.
"""

from __future__ import annotations

from rootless.build.cache import local
from rootless.build.cache.key import contents_key
from rootless.errors import RootlessError
from rootless.record import Record
from rootless.store.layers import Layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.build.cache.key import Key
    from rootless.build.cache.remote import Remote, Shared
    from rootless.build.request import Caching
    from rootless.build.stack import Entry
    from rootless.oci.digest import Digest
    from rootless.store import Store


class Hit(Record):
    """A layer made earlier, and when (RFC 3339); one that is `elsewhere` is yet to be brought."""

    layer: Layer
    created: str
    elsewhere: bool = False


class Miss(Record):
    """There is none; `reason` is for people, a clause without a full stop."""

    reason: str


class Cache:
    """The steps that this store, and whoever shares with it, has carried out."""

    def __init__(self, store: Store, caching: Caching) -> None:
        self._store = store
        self._remotes = caching.sources
        self._oldest = caching.oldest
        self._explains = caching.why
        self._promised: dict[Digest, Remote] = {}
        self._mounts: dict[str, Layer] = {}

    def find(self, key: Key) -> Hit | Miss:
        """The layer that the step with this key makes; it stays as long as the build runs.

        One that is elsewhere has no path before `bring`.
        """
        if not key.is_known:
            return Miss("what it rests on is made anew")
        name = key.compute()
        found = local.find(self._store, name)
        if found and not self._is_old(found.made):
            return Hit(found.layer, found.created)
        for remote in self._remotes:
            there = remote.find(name)
            if there and not self._is_old(there.made):
                return self._promise(remote, there)
        return Miss(self._reason(key, is_old=found is not None))

    def bring(self, entries: Sequence[Entry]) -> None:
        """Fetch the layers of hits that were elsewhere; the caller has entered the namespace."""
        for remote in self._remotes:
            mine = [
                one for one in entries if one.layer and self._promised[one.layer.diff_id] is remote
            ]
            brought = remote.bring([one.layer.diff_id for one in mine if one.layer])
            for entry in mine:
                assert entry.layer is not None
                if entry.layer.diff_id not in brought:
                    raise RootlessError(f"the layer {entry.layer.diff_id} vanished from the store")
                entry.layer = brought[entry.layer.diff_id]
                entry.path = entry.layer.path

    def forsake(self) -> None:
        """Ask no shared cache any more."""
        self._remotes = ()

    def made(self, key: Key, diff_id: Digest) -> str | None:
        """When the step with this key made just that layer; None if nobody knows.

        What was brought is known to those only who share it: so it stays shared.
        """
        name = key.compute()
        found = local.find(self._store, name)
        if found and found.layer.diff_id == diff_id:
            return found.made
        shared = (remote.find(name) for remote in self._remotes)
        return next((one.made for one in shared if one and one.diff_id == diff_id), None)

    def record(self, key: Key, diff_id: Digest, created: str) -> None:
        """Remember what a step made."""
        local.record(self._store, key.compute(), diff_id, created, key.text)
        if key.place:
            from rootless.build.cache import trails

            trails.record(self._store, key)

    def fetch_mount(self, name: str) -> None:
        """Bring what machines share of a cache mount, if any; in the namespace, before a fork."""
        for remote in self._remotes:
            diff_id = remote.mount(name)
            try:
                found = remote.bring([diff_id]) if diff_id else {}
            except RootlessError:  # a mount that is new holds nothing, as without a shared cache
                continue
            for layer in found.values():
                self._mounts[name] = layer

    def shares_mount(self, name: str) -> bool:
        """Whether `fetch_mount` would bring something."""
        return any(remote.mount(name) for remote in self._remotes)

    def mount(self, name: str) -> Layer | None:
        """What was fetched of a cache mount."""
        return self._mounts.get(name)

    def contents(self, chain: str, selection: tuple[object, ...]) -> str | None:
        """The digest of what a selection of paths has in layers: see `key.contents_key`."""
        name = contents_key(chain, selection)
        known = local.find_contents(self._store, name)
        return known or next(filter(None, (one.contents(name) for one in self._remotes)), None)

    def record_contents(self, chain: str, selection: tuple[object, ...], contents: str) -> None:
        """Remember such a digest."""
        local.record_contents(self._store, contents_key(chain, selection), contents)

    def _is_old(self, made: str) -> bool:
        return bool(self._oldest) and made <= self._oldest

    def _promise(self, remote: Remote, there: Shared) -> Hit:
        from rootless.store import layers

        here = layers.adopt(self._store, there.diff_id)
        if here:
            return Hit(here, there.created)
        self._promised[there.diff_id] = remote
        return Hit(Layer(there.diff_id, "", 0), there.created, elsewhere=True)

    def _reason(self, key: Key, *, is_old: bool) -> str:
        if is_old:
            return "it was carried out longer ago than --cache-ttl allows"
        if not self._explains:
            return ""
        from rootless.build.cache import trails

        return trails.reason(self._store, key)
