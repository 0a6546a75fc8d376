"""What a collection takes, what it leaves, and who stops it."""

from __future__ import annotations

import os

from rootless.store import blobs, images, layers, removal, staging
from rootless.store.check import check


def write_step(store, text):
    with open(store.path("cache/steps/key.json"), "w") as file:
        file.write(text)


def test_prune_takes_dangling_images_only(store, make_image):
    old = make_image("app", layer="old")
    make_image("app", layer="new")
    reclaimed = removal.prune(store)
    assert reclaimed.images == (old.id,)
    assert reclaimed.layers == old.config.diff_ids
    assert reclaimed.size > 10_240
    assert len(images.listing(store)) == 1
    assert check(store) == ()


def test_prune_everything_spares_what_containers_use(store, make_image):
    used = make_image("used", layer="used")
    make_image("idle", layer="idle")
    removal.prune(store, everything=True, used={used.id})
    assert [image.id for image in images.listing(store)] == [used.id]
    assert check(store) == ()


def test_build_steps_keep_their_layers_until_they_are_pruned(store, make_image):
    image = make_image("app")
    diff_id = image.config.diff_ids[0]
    write_step(store, f'{{"layer": {{"diff_id": "{diff_id}"}}, "odd": "sha256:short"}}')
    removal.remove(store, ["app"])
    assert layers.find(store, diff_id)
    assert removal.prune(store, steps=True).steps == 1
    assert layers.find(store, diff_id) is None


def test_damaged_step_keeps_nothing_and_stops_nothing(store):
    store.create()
    write_step(store, '{"diff_id": "sha')
    assert removal.prune(store) == removal.Pruned()


def test_unfinished_downloads_go(store):
    store.create()
    with open(store.path("tmp/sha256-0"), "w"):
        pass
    stamp = os.stat(store.path("tmp/sha256-0")).st_mtime - 1
    os.utime(store.path("tmp/sha256-0"), (stamp, stamp))
    removal.prune(store)
    assert os.listdir(store.path("tmp")) == []


def test_check_finds_each_fault(store, make_image):
    make_image("whole", layer="whole")
    changed = make_image("changed", layer="c")
    with open(blobs.path(store, changed.id), "ab") as file:
        file.write(b" ")
    missing = make_image("missing", layer="m")
    staging.remove_tree(store.path("layers", missing.config.diff_ids[0].short))
    wrong = check(store)
    assert wrong == (
        f"the blob {changed.id} has other contents",
        f"docker.io/library/missing:latest: the layer {missing.config.diff_ids[0]} is missing",
    )


def test_damaged_layer_folders_go_and_foreign_files_stay(store, make_image):
    make_image("app")
    os.makedirs(store.path("layers/half/diff"))
    with open(store.path("blobs/sha256/note.txt"), "w"):
        pass
    removal.prune(store)
    assert not os.path.exists(store.path("layers/half"))
    assert os.path.exists(store.path("blobs/sha256/note.txt"))
    assert check(store) == ()
