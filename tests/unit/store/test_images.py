"""Names, ids, tags and removal, in docker's ways and words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rootless import deletion
from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.store import blobs, images, index, layers, removal
from rootless.store.check import check


def without_facts(entry):
    """As another tool, or an older version, writes it."""
    kept = {key: text for key, text in entry.annotations.items() if key not in index.FACTS}
    return entry.replace(annotations=kept)


def names(image):
    return [reference.familiar for reference in image.references]


def remove(store, text, **options):
    (removed,), freed = removal.remove(store, [text], **options)
    if removed.error:
        raise removed.error
    return removed.replace(deleted=(*removed.deleted, *freed.layers))


def test_committed_image_resolves_by_name_and_id(store, make_image):
    image = make_image("busybox", "other:1")
    for text in (
        "busybox",
        "docker.io/library/busybox:latest",
        "other:1",
        str(image.id),
        image.id.hex,
        image.id.short,
        f"sha256:{image.id.hex[:5]}",
        f"busybox@{image.descriptor.digest}",
    ):
        assert images.resolve(store, text) == image
    assert names(image) == ["busybox:latest", "other:1"]


def test_index_entries_carry_the_names_other_tools_look_for(store, make_image):
    image = make_image("busybox")
    (entry,) = json.loads(Path(store.path("index.json")).read_bytes())["manifests"]
    assert entry["annotations"] == {
        "org.opencontainers.image.ref.name": "docker.io/library/busybox:latest",
        "io.containerd.image.name": "docker.io/library/busybox:latest",
        "org.opencontainers.image.created": "",
        "rootless.image.id": str(image.id),
        "rootless.image.size": "9",
    }


@pytest.mark.parametrize("text", ["nothing", "busybox:2", "0123456789ab", "busybo"])
def test_unknown_image_is_named_with_a_hint(store, make_image, text):
    make_image("busybox")
    with pytest.raises(NotFoundError, match=f"No such image: {text}") as caught:
        images.resolve(store, text)
    assert caught.value.hint


def test_text_that_cannot_be_a_name(store):
    with pytest.raises(UsageError):
        images.resolve(store, "NO!")


def test_ambiguous_id(store, make_image):
    first = make_image("first", cmd=("0",))
    number = 0
    while (second := make_image(cmd=(str(number := number + 1),))).id.hex[0] != first.id.hex[0]:
        pass
    assert second.id != first.id
    with pytest.raises(RootlessError, match="beginning of"):
        images.resolve(store, first.id.hex[0])


def test_name_goes_before_an_id(store, make_image):
    image = make_image("first")
    named = make_image(image.id.hex[:6], layer="other")
    assert images.resolve(store, image.id.hex[:6]) == named


@pytest.mark.parametrize("spelling", ["sha256:{}", "{}", "{}:latest"])
def test_a_whole_id_is_no_name(store, make_image, spelling):
    """An archive may bring a name that looks like one."""
    image = make_image("first")
    make_image(spelling.format(image.id.hex), layer="other")
    assert images.resolve(store, str(image.id)) == image
    assert images.resolve(store, image.id.hex) == image


def test_a_name_like_a_whole_id_stands_for_no_image(store, make_image):
    make_image("sha256:" + "a" * 64)
    with pytest.raises(NotFoundError):
        images.resolve(store, "sha256:" + "a" * 64)


def test_moved_tag_leaves_a_dangling_image(store, make_image):
    old = make_image("app", layer="old")
    new = make_image("app", layer="new")
    assert images.resolve(store, "app") == new
    dangling = images.resolve(store, old.id.short)
    assert dangling.references == ()
    assert [image.id for image in images.listing(store)] == [new.id, old.id]


def test_naming_a_dangling_image_takes_its_unnamed_entry_away(store, make_image):
    image = make_image()
    images.tag(store, Reference.parse("app"), image.descriptor)
    assert len(index.read(store)) == 1
    assert names(images.resolve(store, "app")) == ["app:latest"]


def test_same_image_again_changes_nothing_on_disk(store, make_image):
    make_image("app")
    before = os.stat(store.path("index.json"))
    make_image("app")
    assert os.stat(store.path("index.json")) == before


def test_repo_digest_is_what_the_registry_answered(store, make_image):
    image = make_image()
    source = Digest.of(b"an index")
    content = blobs.read(store, image.descriptor.digest)
    images.add(store, content, image.manifest.media_type, [Reference.parse("app")], source)
    found = images.resolve(store, f"app@{source}")
    assert [one.familiar for one in found.repo_digests] == [f"app@{source}"]


def test_removing_one_of_two_names_only_untags(store, make_image):
    make_image("app", "app:1")
    assert remove(store, "app:1") == removal.Removal(untagged=("app:1",))
    assert names(images.resolve(store, "app")) == ["app:latest"]


def test_removing_the_last_name_deletes_everything(store, make_image):
    image = make_image("app")
    layer_id = image.config.diff_ids[0]
    removed = remove(store, "app")
    assert removed == removal.Removal(("app:latest",), (image.id, layer_id))
    assert layers.find(store, layer_id) is None
    assert os.listdir(store.path("blobs/sha256")) == os.listdir(store.path("layers")) == []
    assert os.listdir(store.path("tmp")) == []


def test_removing_by_id_wants_force_when_there_are_more_names(store, make_image):
    image = make_image("app", "app:1")
    with pytest.raises(RootlessError, match="referenced in multiple repositories"):
        remove(store, image.id.short)
    removed = remove(store, image.id.short, force=True)
    assert removed.untagged == ("app:latest", "app:1")
    assert images.listing(store) == ()


def test_removing_an_image_that_a_container_uses(store, make_image):
    image = make_image("app", "app:1")
    short = image.id.short
    stopped = {image.id: removal.User("c0ffee" * 4)}
    assert remove(store, "app:1", users=stopped).untagged == ("app:1",)
    with pytest.raises(RootlessError) as refused:
        remove(store, "app", users=stopped)
    assert refused.value.message == (
        'conflict: unable to remove repository reference "app" (must force) - '
        f"container c0ffeec0ffee is using its referenced image {short}"
    )
    with pytest.raises(RootlessError) as refused:
        remove(store, short, users=stopped)
    assert refused.value.message == (
        f"conflict: unable to delete {short} (must be forced) - "
        "image is being used by stopped container c0ffeec0ffee"
    )
    assert image.id in remove(store, "app", users=stopped, force=True).deleted
    assert images.listing(store) == ()


def test_what_a_running_container_uses_loses_names_only(store, make_image):
    image = make_image("app")
    short = image.id.short
    running = {image.id: removal.User("c0ffee" * 4, is_running=True)}
    for force in (False, True):
        with pytest.raises(RootlessError) as refused:
            remove(store, short, users=running, force=force)
        assert refused.value.message == (
            f"conflict: unable to delete {short} (cannot be forced) - "
            "image is being used by running container c0ffeec0ffee"
        )
    assert remove(store, "app", users=running, force=True) == removal.Removal(("app:latest",))
    assert images.layers_of(store, images.resolve(store, short))


def test_an_id_given_twice_is_gone_the_second_time(store, make_image):
    image = make_image("app")
    first, second = removal.remove(store, [image.id.short, image.id.short])[0]
    assert first.deleted == (image.id,)
    assert isinstance(second.error, NotFoundError)


@pytest.fixture
def twins(store, make_image):
    """An image with two manifests, each of a name, as when another tool wrote it anew."""
    image = make_image("app")
    content = blobs.read(store, image.descriptor.digest) + b"\n"
    second = images.add(store, content, image.manifest.media_type, [Reference.parse("list:1")])
    store.let_go()
    assert second.id == image.id
    return image, second


def test_an_id_takes_all_its_manifests(store, twins):
    image, _ = twins
    for text in (image.id.short, image.id.hex, str(image.id)):
        with pytest.raises(RootlessError, match="referenced in multiple repositories"):
            remove(store, text)
    assert len(images.listing(store)) == 2
    removed = remove(store, image.id.short, force=True)
    assert removed.untagged == ("app:latest", "list:1")
    assert removed.deleted == (image.id, *image.config.diff_ids)
    assert index.read(store) == ()
    assert os.listdir(store.path("blobs/sha256")) == []


def test_an_id_takes_a_manifest_without_a_name_too(store, twins):
    image, _ = twins
    removal.untag(store, "list:1")
    assert remove(store, image.id.short).untagged == ("app:latest",)
    assert index.read(store) == ()


def test_every_image_is_removed_with_all_its_manifests(store, twins, make_image):
    make_image("other", layer="other")
    removals, _ = removal.remove(store, (), every=True)
    assert [one.untagged for one in removals] == [("other:latest",), ("app:latest", "list:1")]
    assert index.read(store) == ()


def test_no_manifest_of_an_image_that_a_container_uses_goes_by_id(store, twins):
    user = {twins[0].id: removal.User("c0ffee" * 4, is_running=True)}
    for options in ({"every": True}, {"force": True}):
        texts = () if "every" in options else (twins[0].id.short,)
        (removed,), _ = removal.remove(store, texts, users=user, **options)
        assert "cannot be forced" in removed.error.message
    assert len(index.read(store)) == 2


def test_the_digest_of_a_manifest_takes_that_one_alone(store, twins):
    image, second = twins
    assert remove(store, second.descriptor.digest.short).deleted == (second.descriptor.digest,)
    assert names(images.resolve(store, image.id.short)) == ["app:latest"]


def test_an_id_takes_the_manifests_that_names_before_it_left(store, twins):
    image, _ = twins
    for first in ("app", "list:1"):
        found = index.read(store)
        by_name, by_id, again = removal.remove(store, [first, image.id.short, image.id.short])[0]
        assert by_name.deleted != by_id.deleted == (image.id,)
        assert isinstance(again.error, NotFoundError)
        assert index.read(store) == ()
        index.update(store, lambda _, found=found: found)


def test_untag_of_an_id_takes_the_names_of_all_its_manifests(store, twins):
    image, _ = twins
    removal.untag(store, image.id.short, ["list:1"])
    assert [names(one) for one in images.listing(store)] == [[], ["app:latest"]]
    removal.untag(store, image.id.short)
    assert [names(one) for one in images.listing(store)] == [[], []]


def test_untag_of_a_name_leaves_another_manifests_alone(store, twins):
    with pytest.raises(NotFoundError, match="list:1: tag not known"):
        removal.untag(store, "app", ["list:1"])
    removal.untag(store, "app")
    assert sorted(names(one) for one in images.listing(store)) == [[], ["list:1"]]


def test_removing_every_image_takes_all_names_but_not_from_containers(store, make_image):
    make_image("app", "app:1", layer="a")
    used = make_image("used", layer="u")
    removals, _ = removal.remove(store, (), every=True, users={used.id: removal.User("c" * 12)})
    assert sorted(removals[1].untagged) == ["app:1", "app:latest"]
    assert "used by stopped container" in removals[0].error.message
    assert [image.id for image in images.listing(store)] == [used.id]


def test_a_digest_goes_with_its_repositorys_last_tag(store, make_image):
    image = make_image()
    content, source = blobs.read(store, image.descriptor.digest), Digest.of(b"an index")
    served = [Reference.parse("one.test/app"), Reference.parse("one.test/app:2")]
    images.add(store, content, image.manifest.media_type, served, source)
    images.tag(store, Reference.parse("mine"), image.descriptor)
    with pytest.raises(RootlessError, match="referenced in multiple repositories"):
        remove(store, image.id.short)
    assert remove(store, "mine").untagged == ("mine:latest",)
    assert remove(store, "one.test/app:2").untagged == ("one.test/app:2",)
    removed = remove(store, image.id.short)
    assert removed.untagged == ("one.test/app:latest", f"one.test/app@{source}")


def test_shared_layers_stay(store, make_image):
    make_image("one", layer="same", cmd=("1",))
    two = make_image("two", layer="same", cmd=("2",))
    assert len(remove(store, "one").deleted) == 1
    assert images.layers_of(store, images.resolve(store, "two")) == images.layers_of(store, two)
    assert check(store) == ()


def test_image_without_its_manifest_can_be_removed_and_does_not_hide_others(store, make_image):
    broken = make_image("broken", layer="b")
    make_image("whole", layer="w")
    os.unlink(blobs.path(store, broken.descriptor.digest))
    with pytest.raises(NotFoundError, match="missing from the store"):
        images.resolve(store, "broken")
    assert names(images.resolve(store, "whole")) == ["whole:latest"]
    remove(store, "broken")
    assert [names(image) for image in images.listing(store)] == [["whole:latest"]]


def test_a_listing_can_leave_out_what_is_damaged(store, make_image):
    broken = make_image("broken", layer="b")
    unnamed = make_image(layer="u")
    make_image("whole", layer="w")
    os.unlink(blobs.path(store, broken.id))
    with open(blobs.path(store, unnamed.descriptor.digest), "wb") as file:
        file.write(b"{}")
    assert len(images.listing(store)) == 3, "the index has all that a list needs"
    index.update(store, lambda entries: tuple(map(without_facts, entries)))
    with pytest.raises(RootlessError):
        images.listing(store)
    told: dict[str, RootlessError] = {}
    assert [names(one) for one in images.listing(store, told.__setitem__)] == [["whole:latest"]]
    assert list(told) == [unnamed.descriptor.digest.short, "broken:latest"]
    assert str(broken.id) in told["broken:latest"].message


def test_config_and_manifest_must_agree_on_the_number_of_layers(store, make_image):
    image = make_image("app")
    with pytest.raises(IntegrityError, match="has 0 layers, but its config lists 1"):
        images.commit(store, image.config, [])


def test_size_is_that_of_the_files_in_the_layers(store, make_image):
    assert images.size(store, make_image("app")) == 9


def test_missing_layer_says_how_to_get_it_back(store, make_image):
    image = make_image("app")
    deletion.remove(store.path("layers", image.config.diff_ids[0].short))
    with pytest.raises(NotFoundError) as caught:
        images.layers_of(store, image)
    assert "pull or build" in caught.value.hint
