"""What an image of many layers was found to be, in one small file: it starts as quickly as others.

cache/stacks/<hex of the manifest's digest>.json holds the image id, the config without its history
and diff_ids, and for each layer, base first, its folder in layers/ and what its layer.json says;
that there is such a file says that each blob was seen to unpack to its layer. All that is of
immutable things under one digest, so what was true stays true; whether the layers are there is
looked up. Written by whoever has read all the layer.json files, forgotten by a collection when the
manifest is in no use. Runs in any process. A file that is lost or damaged costs time.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.store import replace_file
from rootless.store.layers import Layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from rootless.store import Store
    from rootless.store.images import Image

_WORTH = 16  # layers: reading fewer costs as little as this file would


class Known(Record):
    """An image, whose layers may have gone meanwhile; the tuples are base first, a layer each.

    `config` has neither history nor diff_ids; `opaque` are the numbers of layers with such a root.
    """

    id: Digest
    config: ImageConfig
    folders: tuple[str, ...]
    sizes: tuple[int, ...]
    contents: tuple[int, ...]
    opaque: tuple[int, ...]

    def is_here(self, store: Store) -> bool:
        """Whether all its layers are there: for one who holds it, they stay then."""
        return set(self.folders).issubset(os.listdir(store.path("layers")))

    def layers(self, store: Store, image: Image) -> tuple[Layer, ...]:
        """The layers of the image, which this is."""
        top = store.path("layers")
        columns = zip(image.layers, self.folders, self.sizes, self.contents, strict=True)
        return tuple(
            Layer(
                diff_id, f"{top}/{folder}/diff", size, contents, at in self.opaque, (blob.digest,)
            )
            for at, ((blob, diff_id), folder, size, contents) in enumerate(columns)
        )


def recall(store: Store, manifest: Digest) -> Known | None:
    """What is known of an image; None where a look is needed."""
    try:
        with open(_path(store, manifest), "rb", buffering=0) as file:
            value = leanjson.loads(file.read(leanjson.MAX_BYTES))
        columns = [tuple(value[name]) for name in ("folders", "sizes", "contents", "opaque")]
        return Known(Digest.parse(value["id"]), ImageConfig.of(value["config"]), *columns)
    except (OSError, IntegrityError, TypeError, KeyError):
        return None


def remember(store: Store, image: Image, found: Sequence[Layer]) -> None:
    """Write down what was found; not being able to is no error."""
    if len(found) < _WORTH or image.descriptor.media_type in media_types.INDEXES:
        return
    short = image.config.replace(history=(), diff_ids=())
    value = {
        "id": str(image.id),
        "config": leanjson.loads(short.encode()),
        "folders": [layer.id for layer in found],
        "sizes": [layer.size for layer in found],
        "contents": [layer.contents for layer in found],
        "opaque": [at for at, layer in enumerate(found) if layer.opaque],
    }
    try:
        os.makedirs(store.path("cache", "stacks"), mode=0o700, exist_ok=True)
        path = _path(store, image.descriptor.digest)
        replace_file(store, path, leanjson.dumps(value), durable=False)
    except OSError:  # a store that can only be read, a full disk
        pass


def forget(store: Store, used: Container[str]) -> None:
    """Delete what is remembered of images whose manifest's hex digest is not in `used`."""
    try:
        names = os.listdir(store.path("cache", "stacks"))
    except FileNotFoundError:
        return
    for name in names:
        if name.partition(".")[0] not in used:
            try:
                os.unlink(store.path("cache", "stacks", name))
            except FileNotFoundError:  # somebody else was faster
                continue


def _path(store: Store, manifest: Digest) -> str:
    return store.path("cache", "stacks", f"{manifest.hex}.json")
