"""What is remembered of the layers of an image: never more than is true."""

from __future__ import annotations

import os

import pytest

from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.store import blobs, gc, images, layers, removal, stacks, staging

NAME = Reference.parse("tall")


@pytest.fixture
def tall(store, make_image):
    """An image of twenty layers."""
    made = [make_image(layer=f"layer {number}") for number in range(20)]
    diff_ids = tuple(image.config.diff_ids[0] for image in made)
    config = ImageConfig(Platform.host(), diff_ids=diff_ids)
    return images.commit(store, config, [image.manifest.layers[0] for image in made], [NAME])


@pytest.fixture
def looks(monkeypatch):
    """The layer folders whose record was read, as they are."""
    seen = []
    read = layers.read
    monkeypatch.setattr(layers, "read", lambda folder: (seen.append(folder), read(folder))[1])
    return seen


def test_the_second_time_no_layer_is_read(store, tall, looks):
    first = images.layers_of(store, tall)
    assert len(looks) == 20
    again = images.layers_of(store, tall)
    assert len(looks) == 20
    assert [one.replace(blobs=()) for one in again] == [one.replace(blobs=()) for one in first]
    pairs = zip(again, tall.layers, strict=True)
    assert all(layer.is_made_of(blob.digest) for layer, (blob, _) in pairs)


def test_an_opaque_root_is_remembered(store, tall):
    found = images.layers_of(store, tall)
    opaque = [one.replace(opaque=number == 7) for number, one in enumerate(found)]
    stacks.remember(store, tall.id, tall.layers, opaque)
    assert len(layers.visible(images.layers_of(store, tall))) == 13


def test_a_few_layers_are_not_worth_a_file(store, make_image):
    images.layers_of(store, make_image("app"))
    assert not os.path.exists(store.path("cache/stacks"))


def test_a_layer_that_is_gone_is_missed(store, tall):
    images.layers_of(store, tall)
    staging.remove_tree(store.path("layers", tall.config.diff_ids[3].short))
    found = images.layers_here(store, tall)
    assert [number for number, one in enumerate(found) if one is None] == [3]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"[1]", b"nonsense", b'[["a", 1]]', b"9"])
def test_a_damaged_file_is_made_again(store, tall, content, looks):
    images.layers_of(store, tall)
    path = store.path("cache/stacks", f"{tall.id.hex}.json")
    with open(path, "wb") as file:
        file.write(content)
    assert len(images.layers_of(store, tall)) == 20
    assert len(looks) == 40
    images.layers_of(store, tall)
    assert len(looks) == 40


def test_a_manifest_with_another_blob_is_looked_at(store, tall, looks):
    """One config, two manifests: that one's blob was seen to unpack says nothing of the other's."""
    images.layers_of(store, tall)
    other = Descriptor(media_types.OCI_LAYER_GZIP, Digest.of(b"other"), 5)
    evil = tall.replace(manifest=tall.manifest.replace(layers=(other, *tall.manifest.layers[1:])))
    looks.clear()
    assert images.layers_here(store, evil)[0] is None
    assert len(looks) == 20


def test_it_is_forgotten_with_the_image(store, tall):
    images.layers_of(store, tall)
    store.let_go()
    gc.collect(store)
    assert os.listdir(store.path("cache/stacks")) == [f"{tall.id.hex}.json"]
    removal.remove(store, ["tall"])
    assert os.listdir(store.path("cache/stacks")) == []
    assert not blobs.has(store, tall.id)


def test_a_store_that_cannot_be_written_is_no_error(store, tall):
    os.mkdir(store.path("cache/stacks"), 0o500)
    assert len(images.layers_of(store, tall)) == 20
    assert len(images.layers_of(store, tall)) == 20
