"""An image as `run` needs it: its config, and the directories to mount.

Either from the image, its manifest and all its layers, or at once from what is remembered of it
(`stacks`). Runs in any process; `of` inside the namespace, where a layer may have to be unpacked.
"""

from __future__ import annotations

from rootless.errors import NotFoundError
from rootless.record import Record
from rootless.store import blobs, images, layers, stacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.oci.config import ImageConfig
    from rootless.oci.digest import Digest
    from rootless.store import Store
    from rootless.store.images import Image
    from rootless.store.layers import Layer


class Ready(Record):
    """`layers` are absolute paths, topmost first, of those that are mounted; `config` may lack its
    history and diff_ids.
    """

    id: Digest
    config: ImageConfig
    layers: tuple[str, ...]


def recall(store: Store, text: str) -> Ready | None:
    """The image called `text`, held, if all of it is known and there; else it must be resolved.

    UsageError when `text` is no name at all, RootlessError when it is ambiguous.
    """
    try:
        entry, _ = images.catalog(store).find(text)
    except NotFoundError:
        return None
    known = stacks.recall(store, entry.digest)
    if known is None:
        return None
    store.hold([entry.digest])
    if not (blobs.has(store, entry.digest) and known.is_here(store)):
        return None
    lowest = max(known.opaque, default=0)
    top = store.path("layers")
    paths = tuple(f"{top}/{folder}/diff" for folder in reversed(known.folders[lowest:]))
    return Ready(known.id, known.config, paths)


def of(store: Store, image: Image) -> Ready:
    """The image with its layers, held; one that is only a blob is unpacked again."""
    return with_layers(image, images.layers_of(store, image))


def with_layers(image: Image, stack: Sequence[Layer]) -> Ready:
    """The image with these layers of it, base first."""
    paths = tuple(layer.path for layer in layers.visible(stack))
    return Ready(image.id, image.config, paths)
