"""A layer whose root is opaque hides all below it, though overlayfs ignores that mark there."""

from __future__ import annotations

import io
import tarfile

import pytest

from rootless import roots
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.platform import Platform
from rootless.sandbox.operations.tree import Overlay
from rootless.store import Store, blobs, images, layers, unpackers
from tests.support import child

pytestmark = pytest.mark.needs("userns", "overlay")


def tar(*names: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


def image_layer(store: Store, content: bytes) -> layers.Layer:
    digest = blobs.put(store, content)
    blob = Descriptor(media_types.OCI_LAYER, digest, len(content))
    unpackers.unpack(store, [(blob, digest)])
    made = layers.find(store, digest)
    assert made
    return made


def test_opaque_root_cuts_the_stack(tmp_path):
    def body() -> tuple[bool, bool, tuple[str, ...]]:
        store = Store(str(tmp_path / "store"))
        store.create()
        made = tuple(
            image_layer(store, content)
            for content in (tar("old"), tar(".wh..wh..opq", "new"), tar("newer"))
        )
        config = ImageConfig(Platform.host(), diff_ids=tuple(one.diff_id for one in made))
        image = images.commit(store, config, map(images.layer_descriptor, made))
        found = images.layers_of(store, image)
        shown = (layer.path for layer in layers.visible(found))
        root = roots.present(store, shown, "/w", bottom=store.path("skeleton"))
        (stacked,) = root.operations
        assert isinstance(stacked, Overlay)
        return found[0].opaque, found[1].opaque, stacked.lowers

    try:
        below, cut, lowers = child.in_child(body)
    finally:
        child.remove_tree(tmp_path / "store")
    assert (below, cut) == (False, True)
    assert len(lowers) == 3
    assert lowers[-1] == "../skeleton"
