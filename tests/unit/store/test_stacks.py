"""What is remembered of the layers of an image: never more than is true."""

from __future__ import annotations

import os

import pytest

from rootless import deletion
from rootless.errors import IntegrityError
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.manifest import Index
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.store import blobs, gc, images, layers, ready, removal, stacks

CUT = b'{"id":"sha256:0","config":{},"folders":[1],"sizes":[],"contents":[],"opaque":[]}'
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
    stacks.remember(store, tall, opaque)
    assert len(layers.visible(images.layers_of(store, tall))) == 13
    known = ready.recall(store, "tall")
    assert known and known.layers == tuple(one.path for one in reversed(found[7:]))


def test_a_few_layers_are_not_worth_a_file(store, make_image):
    images.layers_of(store, make_image("app"))
    assert not os.path.exists(store.path("cache/stacks"))


def test_a_layer_that_is_gone_is_missed(store, tall):
    images.layers_of(store, tall)
    deletion.remove(store.path("layers", tall.config.diff_ids[3].short))
    found = images.layers_here(store, tall)
    assert [number for number, one in enumerate(found) if one is None] == [3]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"[1]", b"nonsense", b'[["a", 1]]', b"9", CUT]
)
def test_a_damaged_file_is_made_again(store, tall, content, looks):
    images.layers_of(store, tall)
    path = store.path("cache/stacks", f"{tall.descriptor.digest.hex}.json")
    with open(path, "wb") as file:
        file.write(content)
    assert ready.recall(store, "tall") is None
    assert len(images.layers_of(store, tall)) == 20
    assert len(looks) == 40
    images.layers_of(store, tall)
    assert len(looks) == 40


def test_a_manifest_with_another_blob_is_looked_at(store, tall, looks):
    """One config, two manifests: that one's blob was seen to unpack says nothing of the other's."""
    images.layers_of(store, tall)
    other = Descriptor(media_types.OCI_LAYER_GZIP, blobs.put(store, b"no tar"), 6)
    manifest = tall.manifest.replace(layers=(other, *tall.manifest.layers[1:]))
    evil = images.add(store, manifest.encode(), manifest.media_type, [Reference.parse("evil")])
    assert evil.id == tall.id
    assert ready.recall(store, "evil") is None
    with pytest.raises(IntegrityError, match="has other contents than the layer"):
        images.layers_here(store, evil)


def test_an_image_is_ready_as_it_is(store, tall):
    assert ready.recall(store, "tall") is None
    whole = ready.of(store, tall)
    short = whole.replace(config=tall.config.replace(history=(), diff_ids=()))
    assert [ready.recall(store, text) for text in ("tall", tall.id.short)] == [short, short]


def test_a_name_is_looked_up_each_time(store, tall, make_image):
    """What is remembered is the image's, not the name's."""
    ready.of(store, tall)
    make_image("tall")
    assert ready.recall(store, "tall") is None
    assert ready.recall(store, tall.id.short)
    assert ready.recall(store, "nothing") is None


def test_what_is_ready_is_there_and_held(store, tall):
    ready.of(store, tall)
    store.let_go()
    assert ready.recall(store, "tall")
    removal.remove(store, ["tall"])
    assert all(layers.find(store, diff_id) for diff_id in tall.config.diff_ids)
    store.let_go()
    gc.collect(store)
    assert ready.recall(store, str(tall.id)) is None


def test_an_image_that_lacks_a_layer_is_not_ready(store, tall):
    ready.of(store, tall)
    deletion.remove(store.path("layers", tall.config.diff_ids[3].short))
    assert ready.recall(store, "tall") is None


def test_an_index_is_not_remembered(store, tall):
    """Which image it stands for depends on what is asked for and on what is here."""
    index = Index(media_types.OCI_INDEX, (tall.descriptor,))
    named = images.add(store, index.encode(), index.media_type, [Reference.parse("list")])
    assert len(images.layers_of(store, named)) == 20
    assert ready.recall(store, "list") is None


def test_it_is_forgotten_with_the_image(store, tall):
    images.layers_of(store, tall)
    store.let_go()
    gc.collect(store)
    assert os.listdir(store.path("cache/stacks")) == [f"{tall.descriptor.digest.hex}.json"]
    removal.remove(store, ["tall"])
    assert os.listdir(store.path("cache/stacks")) == []
    assert not blobs.has(store, tall.id)


def test_a_store_that_cannot_be_written_is_no_error(store, tall):
    os.mkdir(store.path("cache/stacks"), 0o500)
    assert len(images.layers_of(store, tall)) == 20
    assert len(images.layers_of(store, tall)) == 20
