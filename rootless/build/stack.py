"""The layers a stage has so far: directories to mount, diff_ids once they are known. Pure.

Until a step's layer is published its place is the directory where it was made.
"""

from __future__ import annotations

from rootless.build.plan import times
from rootless.oci.digest import Digest
from rootless.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.oci.descriptor import Descriptor
    from rootless.store.layers import Layer


class Entry:
    """One layer: its directory now, and the published layer as soon as there is one.

    An entry always lies on the same others, in whatever stack, so its `chain_id` is kept here.
    `name` is where it was first, and stays while its directory moves.
    `blob` is how the base image's manifest lists the layer, if that is where it comes from;
    otherwise `created` (RFC 3339) is when a step made it.
    """

    def __init__(
        self,
        path: str,
        layer: Layer | None = None,
        blob: Descriptor | None = None,
        created: str = "",
    ) -> None:
        self.path = path
        self.name = path
        self.created = created
        self.chain_id = ""
        self.layer = layer
        self.blob = blob


class Stack:
    """The layers a stage has so far, base first; `moment` is when the newest was made (seconds).

    0 says that nothing is known of it: see `plan.times`.
    """

    def __init__(self, entries: tuple[Entry, ...] = (), moment: int = 0) -> None:
        self.entries = list(entries)
        self.moment = moment
        self._base = moment

    @classmethod
    def of(
        cls, published: tuple[Layer, ...], blobs: tuple[Descriptor, ...], created: str = ""
    ) -> Stack:
        """Of an image's layers, which its manifest lists as `blobs`; it was `created` then."""
        pairs = zip(published, blobs, strict=True)
        entries = tuple(Entry(layer.path, layer, blob) for layer, blob in pairs)
        return cls(entries, times.seconds(created))

    def add(self, entry: Entry) -> None:
        """One more layer, which a step made."""
        self.entries.append(entry)
        self.moment = max(self.moment, times.seconds(entry.created))

    def copy(self) -> Stack:
        """A stack that goes on from this one."""
        return self.upto(len(self.entries))

    def upto(self, depth: int) -> Stack:
        """The lowest `depth` layers, as the stack was when it had no more."""
        below = Stack((), self._base)
        for entry in self.entries[:depth]:
            below.add(entry)
        return below

    @property
    def paths(self) -> tuple[str, ...]:
        """The directories as overlayfs lists them: topmost first, none below an opaque root.

        Only published layers can have one: a step cannot make its own root opaque.
        """
        return tuple(entry.path for entry in self._visible())

    @property
    def names(self) -> tuple[str, ...]:
        """What these directories are known by in this process."""
        return tuple(entry.name for entry in self._visible())

    def _visible(self) -> Iterator[Entry]:
        for entry in reversed(self.entries):
            yield entry
            if entry.layer and entry.layer.opaque:
                break

    @property
    def is_published(self) -> bool:
        """Whether all diff_ids are known."""
        return all(entry.layer for entry in self.entries)

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """Base first; the stack must be published."""
        return tuple(_layer(entry).diff_id for entry in self.entries)

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        """How a manifest lists the layers; the stack must be published."""
        return tuple(
            images.as_oci(entry.blob) if entry.blob else images.layer_descriptor(_layer(entry))
            for entry in self.entries
        )

    @property
    def chain_id(self) -> str:
        """The ChainID, empty without layers; the stack must be published."""
        chain = ""
        for entry in self.entries:
            if not entry.chain_id:
                entry.chain_id = _chain_id(chain, _layer(entry).diff_id)
            chain = entry.chain_id
        return chain


def _layer(entry: Entry) -> Layer:
    if entry.layer is None:
        raise AssertionError(f"{entry.path} is not published yet")
    return entry.layer


def _chain_id(chain: str, diff_id: Digest) -> str:
    """The ChainID of a stack `chain` (empty for none) with one more layer on top."""
    return str(Digest.of(f"{chain} {diff_id}".encode())) if chain else str(diff_id)
