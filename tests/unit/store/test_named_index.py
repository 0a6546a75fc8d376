"""Names that stand for an index, as other tools put them here: one image a platform."""

from __future__ import annotations

import os

import pytest

from rootless.errors import NotFoundError
from rootless.oci import media_types
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.store import Store, blobs, gc, images, index, removal
from rootless.store.check import check
from tests.unit.store.test_gc import collecting

NAME = "docker.io/library/many:latest"
OTHERS = ("linux/arm64", "linux/riscv64", "linux/s390x")


@pytest.fixture
def make_index(store, make_image):
    """make_index("linux/arm64", …) → its descriptor and images; only the index has a name."""

    def make(*platforms):
        found = []
        for number, platform in enumerate(platforms):
            image = make_image(layer=f"for {platform}", cmd=(str(number),))
            index.update(store, lambda _: ())
            child = image.descriptor.replace(platform=Platform.parse(platform))
            found.append((child, image))
        gone = Descriptor(media_types.OCI_MANIFEST, Digest.of(b"not pulled"), 9)
        children = (
            *(child for child, _ in found),
            gone.replace(platform=Platform("linux", "mips")),
        )
        content = Index(media_types.OCI_INDEX, children).encode()
        entry = Descriptor(media_types.OCI_INDEX, blobs.put(store, content), len(content))
        store.let_go()
        index.update(store, lambda entries: index.name(entries, NAME, entry))
        return entry, [image for _, image in found]

    return make


def host():
    return str(Platform.host())


def test_the_image_for_this_machine_is_meant(store, make_index):
    entry, (_, mine) = make_index(OTHERS[0], host())
    found = images.resolve(store, "many")
    assert (found.id, found.descriptor.digest) == (mine.id, entry.digest)
    assert images.resolve(store, mine.id.short) == images.resolve(store, entry.digest.short)
    assert images.layers_of(store, found) == images.layers_of(store, mine)


def test_another_platform_can_be_asked_for(store, make_index):
    _, (other, _) = make_index(OTHERS[0], host())
    assert images.resolve(store, "many", Platform.parse(OTHERS[0])).id == other.id


def test_the_only_one_is_meant_whatever_it_is_for(store, make_index):
    _, (only,) = make_index(OTHERS[0])
    assert images.resolve(store, "many").id == only.id


def test_of_a_list_for_other_machines_the_first_is_it_unless_a_platform_is_asked_for(
    store, make_index
):
    _, (first, *_) = make_index(*OTHERS[:2])
    assert images.resolve(store, "many").id == first.id
    (listed,) = images.listing(store)
    assert (listed.id, [one.familiar for one in listed.references]) == (first.id, ["many:latest"])
    with pytest.raises(NotFoundError, match=f"many:latest: there is no image for {host()}") as told:
        images.resolve(store, "many", Platform.host())
    assert "linux/arm64, linux/riscv64" in told.value.hint


def test_it_is_listed_with_the_facts_of_its_image(store, make_index):
    _, (_, mine) = make_index(OTHERS[0], host())
    (listed,) = images.listing(store)
    assert (listed.id, listed.size) == (mine.id, 9)


def test_all_its_images_stay_while_it_has_a_name_and_go_with_it(store, make_index):
    make_index(*OTHERS, host())
    removal.prune(store)
    assert check(store) == ()
    assert len(os.listdir(store.path("layers"))) == 4
    images.tag(store, Reference.parse("more"), images.resolve(store, "many").descriptor)
    removal.remove(store, ["many"])
    assert len(os.listdir(store.path("layers"))) == 4
    removal.remove(store, ["more"])
    assert os.listdir(store.path("layers")) == os.listdir(store.path("blobs/sha256")) == []


def test_check_tells_what_its_images_lack(store, make_index):
    _, (first, _) = make_index(OTHERS[0], host())
    os.unlink(blobs.path(store, first.id))
    (fault,) = check(store)
    assert fault.said.startswith(f"{NAME}: the blob {first.id} is missing")


def test_saving_takes_all_images_that_are_here(store, make_index):
    make_index(OTHERS[0], host())
    family = images.family(store, images.resolve(store, "many"))
    assert len(family) == 2


def test_a_member_that_comes_while_garbage_is_marked_is_followed(store, make_index, monkeypatch):
    _, (one,) = make_index(OTHERS[0])
    content = blobs.read(store, one.descriptor.digest)
    path = blobs.path(store, one.descriptor.digest)
    os.unlink(path)

    def come():
        with open(path, "wb") as file:
            file.write(content)

    collecting(store, monkeypatch, come)
    assert check(Store(store.root)) == ()
    assert gc.collect(store) == gc.Reclaimed()
