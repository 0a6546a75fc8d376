from __future__ import annotations

import pytest

from rootless.oci.config import ImageConfig
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.store import Store, images, layers, snapshots


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture
def make_image(store):
    """make_image("name", …, layer="text") → Image with one layer holding one file."""

    def make(*names, layer="content", cmd=()):
        snapshot = snapshots.create(store)
        with open(f"{snapshot.diff}/file", "w") as file:
            file.write(layer)
        made = layers.publish(store, snapshot, layers.Measure(Digest.of(layer.encode()), 10_240, 9))
        config = ImageConfig(Platform.host(), diff_ids=(made.diff_id,), cmd=cmd)
        references = [Reference.parse(name) for name in names]
        image = images.commit(store, config, [images.layer_descriptor(made)], references)
        store.let_go()
        return image

    return make
