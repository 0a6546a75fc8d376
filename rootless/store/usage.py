"""What takes how much of the disk, and for whom: behind `system df` and the trees of images.

A piece is a blob (its file) or a layer (the files in it). An image, a container and a record of the
build cache each need some, and what only one of them needs goes with it. Only reads, in any
process; what is damaged or goes meanwhile counts nothing.
"""

from __future__ import annotations

import os

from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.store import blobs, images, index, kept, layers, roots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.store import Store
    from rootless.store.images import Listed
    from rootless.store.kept import Cached

    Pieces = frozenset[tuple[str, Digest]]


class Usage:
    """One look at a store. Sizes are in bytes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sizes: dict[tuple[str, Digest], int] = {}
        self._named: dict[Digest, list[Digest]] = {}
        self._needed: Pieces | None = None
        self.images: tuple[tuple[Listed, Pieces], ...] = tuple(
            (one, self.pieces([one.descriptor.digest]))
            for one in images.told(store, index.read(store))
        )

    def pieces(self, digests: Iterable[Digest]) -> Pieces:
        """Everything that these digests, of blobs or layers, keep on disk."""
        found: set[tuple[str, Digest]] = set()
        seen: set[Digest] = set()
        pending = [*digests]
        while pending:
            digest = pending.pop()
            if digest not in seen:
                seen.add(digest)
                pending += self._look(digest)
                found.update(key for key in _keys(digest) if key in self._sizes)
        return frozenset(found)

    def size(self, pieces: Iterable[tuple[str, Digest]], kind: str = "") -> int:
        """Bytes of them all, or of those of one kind: `blob` or `layer`."""
        return sum(self._sizes[piece] for piece in pieces if kind in ("", piece[0]))

    def shared(self) -> Pieces:
        """The pieces that more than one image has."""
        seen: set[tuple[str, Digest]] = set()
        twice: set[tuple[str, Digest]] = set()
        for _, pieces in self.images:
            twice |= seen & pieces
            seen |= pieces
        return frozenset(twice)

    def needed(self) -> Pieces:
        """What images and containers need."""
        if self._needed is None:
            used = self.pieces(roots.of_containers(self._store))
            self._needed = used.union(*(pieces for _, pieces in self.images))
        return self._needed

    def cached(self) -> tuple[Cached, ...]:
        """All that the build cache keeps."""
        return kept.listing(self._store, self)

    def only_kept(self, cached: Iterable[Cached]) -> int:
        """Bytes that go when these go: those of their own, and of layers that no image needs."""
        everything = tuple(cached)
        layers_kept: Pieces = frozenset().union(*(one.pieces for one in everything))
        return self.size(layers_kept - self.needed()) + sum(one.size for one in everything)

    def _look(self, digest: Digest) -> list[Digest]:
        """What a digest names; once looked at, the sizes of its blob and its layer are known."""
        if digest not in self._named:
            self._named[digest] = roots.named_by(self._store, digest) or []
            blob, layer = _keys(digest)
            try:
                self._sizes[blob] = os.lstat(blobs.path(self._store, digest)).st_size
            except OSError:
                pass
            try:
                if known := layers.find(self._store, digest):
                    self._sizes[layer] = known.contents
            except (OSError, IntegrityError):
                pass
        return self._named[digest]


def _keys(digest: Digest) -> tuple[tuple[str, Digest], tuple[str, Digest]]:
    return ("blob", digest), ("layer", digest)
