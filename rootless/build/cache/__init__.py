"""What earlier builds have made: `find` a step's layer by its key, or learn why there is none.

`key` says what a step is, `local` keeps the records of this store, `origins` what COPY --from finds
in other stages. Runs in the builder and in the processes that carry strands out; losing any of it
only costs time.
"""

from __future__ import annotations

from rootless.build.cache import local
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.cache.key import Key
    from rootless.oci.digest import Digest
    from rootless.store import Store
    from rootless.store.layers import Layer


class Hit(Record):
    """A layer made earlier, and when (RFC 3339)."""

    layer: Layer
    created: str


class Miss(Record):
    """There is none; `reason` is for people, a clause without a full stop."""

    reason: str


class Cache:
    """The steps that this store, and whoever shares with it, has carried out."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, key: Key) -> Hit | Miss:
        """The layer that the step with this key makes; it stays as long as the build runs."""
        if not key.is_known:
            return Miss("what it rests on is made anew")
        found = local.find(self._store, key.compute())
        return Hit(*found) if found else Miss("no step like it was carried out before")

    def record(self, key: Key, diff_id: Digest, created: str) -> None:
        """Remember what a step made."""
        local.record(self._store, key.compute(), diff_id, created, key.text)
