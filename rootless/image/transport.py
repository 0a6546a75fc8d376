"""The two ends of a copy, and what passes between them.

A `Source` has an image, or an index of images; a `Sink` takes one. `copy` calls both from several
threads at once. Nothing here checks a digest: a sink writes bytes down, and whoever does that
checks what they are.
"""

from __future__ import annotations

from rootless.oci import manifest as manifests
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from rootless.oci.descriptor import Descriptor
    from rootless.oci.digest import Digest
    from rootless.oci.manifest import Index, Manifest

    Read = Callable[[int], Iterator[bytes]]
    """A blob's bytes from an offset on; to be called again where a transfer broke."""

    Tell = Callable[[str, int], None]
    """What happens to a blob now, and how many of its bytes have gone: see `Event`."""

    Report = Callable[["Event"], object]

    class Source(Protocol):
        """Where an image comes from."""

        def manifest(self, digest: Digest | None = None) -> Document:
            """The manifest or index that this is about, or one that it lists."""

        def blob(self, blob: Descriptor, offset: int = 0) -> Iterator[bytes]:
            """The blob's bytes from `offset` on: so many as its size says, or an error."""

        def doubt(self) -> bool:
            """Somebody sent what its digest does not say: whether another is asked from now on."""

        def stop(self) -> None:
            """Let what other threads ask for fail soon; for good."""

    class Sink(Protocol):
        """Where an image goes to."""

        def has(self, blob: Descriptor) -> bool:
            """Whether there is nothing to do for the blob."""

        def mount(self, blob: Descriptor) -> str | None:
            """Take the blob from elsewhere at that end, without its bytes: from where, or None."""

        def put_blob(self, blob: Descriptor, read: Read, tell: Tell) -> None:
            """Take the blob; `tell` is called with each state, the last being done or exists."""

        def put_manifest(self, document: Document, *, top: bool) -> None:
            """Take a manifest or an index, all that it lists being there; `top` gets the name."""

        def stop(self) -> None:
            """Let what other threads wait for fail soon; for good."""


class Document(Record):
    """A manifest or an index: its bytes as they came, and what its sender says it is."""

    content: bytes
    media_type: str
    digest: Digest

    def decode(self) -> Manifest | Index:
        """What it says; IntegrityError when that is unclear."""
        return manifests.decode(self.content, self.media_type)


class Event(Record):
    """Where a layer is: `state` is waiting, downloading, unpacking, done or exists; in a push also
    packing, uploading, or mounted from the repository `origin`.

    `layer` is its short digest, `current` and `total` count bytes of the transfer. Before anything
    else each layer is reported once, as waiting or exists: the totals of those that wait are all
    there is to do. The first `downloading` of a layer has what an earlier pull left, which is no
    measure of speed; should the sender begin again, `current` falls to 0.
    """

    layer: str
    state: str
    current: int = 0
    total: int = 0
    origin: str = ""
