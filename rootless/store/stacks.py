"""What the layers of an image were found to be, in one file: images of hundreds start as quickly.

cache/stacks/<hex of the config's digest>.json is a list of [hex of the blob's digest, size,
contents, opaque], base first: the facts of every layer.json, and that each blob was seen to unpack
to its layer. Both are of immutable things, so what was true stays true; whether a layer is there
is looked up. Written by whoever has read all the layer.json files, forgotten by a collection when
the config is in no use. Runs in any process. A file that is lost or damaged costs time.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.store import replace_file
from rootless.store.layers import Layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from rootless.oci.descriptor import Descriptor
    from rootless.oci.digest import Digest
    from rootless.store import Store

    Pairs = Sequence[tuple[Descriptor, Digest]]

_WORTH = 16  # layers: reading fewer costs as little as this file would


def recall(store: Store, config: Digest, pairs: Pairs) -> tuple[Layer, ...] | None:
    """The layers of an image, all of them there; None where that is not known without a look."""
    if len(pairs) < _WORTH:
        return None
    try:
        with open(_path(store, config), "rb", buffering=0) as file:
            facts = leanjson.loads(file.read(leanjson.MAX_BYTES))
        top = store.path("layers")
        return tuple(
            _layer(top, blob, diff_id, *fact)
            for (blob, diff_id), fact in zip(pairs, facts, strict=True)
        )
    except (OSError, IntegrityError, TypeError, ValueError):
        return None


def _layer(
    top: str, blob: Descriptor, diff_id: Digest, known: str, size: int, contents: int, opaque: int
) -> Layer:
    """ValueError when the facts are of another blob, OSError when the layer is not there."""
    if known != blob.digest.hex:
        raise ValueError(known)
    path = f"{top}/{diff_id.hex[:12]}/diff"
    os.stat(path)
    return Layer(diff_id, path, size, contents, opaque == 1, (blob.digest,))


def remember(store: Store, config: Digest, pairs: Pairs, found: Sequence[Layer]) -> None:
    """Write down what was found; not being able to is no error."""
    if len(pairs) < _WORTH:
        return
    facts = [
        [blob.digest.hex, layer.size, layer.contents, int(layer.opaque)]
        for (blob, _), layer in zip(pairs, found, strict=True)
    ]
    try:
        os.makedirs(store.path("cache", "stacks"), mode=0o700, exist_ok=True)
        replace_file(store, _path(store, config), leanjson.dumps(facts), durable=False)
    except OSError:  # a store that can only be read, a full disk
        pass


def forget(store: Store, used: Container[str]) -> None:
    """Delete what is remembered of images whose config's hex digest is not in `used`."""
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


def _path(store: Store, config: Digest) -> str:
    return store.path("cache", "stacks", f"{config.hex}.json")
