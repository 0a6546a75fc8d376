"""A layer whose root is opaque hides all below it, though overlayfs ignores that mark there."""

from __future__ import annotations

import io
import tarfile

import pytest

from rootless import roots
from rootless.oci.config import ImageConfig
from rootless.oci.platform import Platform
from rootless.store import Store, images, layers
from tests.support import child

pytestmark = pytest.mark.needs("userns", "overlay")


def tar(*names: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


def test_opaque_root_cuts_the_stack(tmp_path):
    def body() -> tuple[bool, bool, tuple[str, ...]]:
        store = Store(str(tmp_path / "store"))
        store.create()
        made = tuple(
            layers.unpack(store, io.BytesIO(content).read)
            for content in (tar("old"), tar(".wh..wh..opq", "new"), tar("newer"))
        )
        config = ImageConfig(Platform.host(), diff_ids=tuple(one.diff_id for one in made))
        image = images.commit(store, config, map(images.layer_descriptor, made))
        found = images.layers_of(store, image)
        shown = (layer.path for layer in layers.visible(found))
        root = roots.present(store, shown, "/w", bottom=store.path("skeleton"))
        return found[0].opaque, found[1].opaque, root.layers

    try:
        below, cut, lowers = child.in_child(body)
    finally:
        child.remove_tree(tmp_path / "store")
    assert (below, cut) == (False, True)
    assert len(lowers) == 3
    assert lowers[-1] == "../skeleton"
