"""What a collection takes, what it leaves, and who stops it."""

from __future__ import annotations

import os
import signal

import pytest

from rootless import deletion
from rootless.errors import IntegrityError
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.store import (
    Store,
    blobs,
    gc,
    images,
    index,
    layers,
    lock,
    removal,
    roots,
    snapshots,
    staging,
)
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
    assert reclaimed.untagged == ()
    files = old.manifest.config.size + old.descriptor.size + 9
    assert reclaimed.size == files
    assert len(images.listing(store)) == 1
    assert check(store) == ()


def test_another_manifest_of_an_image_goes_alone(store, make_image):
    """As a list of one image that was made anew under the same name."""
    image = make_image("app")
    content = blobs.read(store, image.descriptor.digest) + b"\n"
    second = images.add(store, content, image.manifest.media_type, [Reference.parse("again")])
    assert second.id == image.id
    forget = index.unname(index.read(store), {"docker.io/library/again:latest"})
    index.update(store, lambda _: forget)
    pruned = removal.prune(store)
    assert pruned.images == (second.descriptor.digest,)
    assert is_whole(store, image)
    images.add(store, content, image.manifest.media_type, [Reference.parse("again")])
    (removed,), _ = removal.remove(store, ["again"])
    assert removed.deleted == (second.descriptor.digest,)
    assert is_whole(store, image)


def test_prune_everything_spares_what_containers_use(store, make_image):
    used = make_image("used", layer="used")
    make_image("idle", layer="idle")
    removal.prune(store, everything=True, used={used.id: ()})
    assert [image.id for image in images.listing(store)] == [used.id]
    assert check(store) == ()


def test_build_steps_keep_their_layers_until_they_are_pruned(store, make_image):
    image = make_image("app")
    diff_id = image.config.diff_ids[0]
    write_step(store, f'{{"diff_id": "{diff_id}", "odd": ["sha256:short", {{"more": 1}}]}}')
    removal.remove(store, ["app"])
    assert layers.find(store, diff_id)
    assert removal.prune(store, cache=lambda _one, _usage: True).cached == ("key",)
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
    deletion.remove(store.path("layers", missing.config.diff_ids[0].short))
    assert [fault.said for fault in check(store)] == [
        f"the blob {changed.id} has other contents",
        f"docker.io/library/missing:latest: the layer {missing.config.diff_ids[0]} is missing",
    ]


def test_damaged_layer_folders_go_and_foreign_files_stay(store, make_image):
    make_image("app")
    os.makedirs(store.path("layers/half/diff"))
    with open(store.path("blobs/sha256/note.txt"), "w"):
        pass
    removal.prune(store)
    assert not os.path.exists(store.path("layers/half"))
    assert os.path.exists(store.path("blobs/sha256/note.txt"))
    assert check(store) == ()


def collecting(store, monkeypatch, between):
    """A collection, with `between()` done after it has marked and before it takes things away."""
    real = lock.doom.__enter__

    def enter(self):
        patch.undo()
        between()
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(lock.doom, "__enter__", enter)
        return gc.collect(Store(store.root))


def forget(store, image):
    """No name leads to the image any more; nothing is collected yet."""
    index.update(store, lambda entries: index.unname(entries, (), {image.descriptor.digest}))


def is_whole(store, image):
    wanted = (image.descriptor.digest, image.id)
    return all(blobs.has(store, one) for one in wanted) and all(
        layers.find(store, diff_id) for diff_id in image.config.diff_ids
    )


def test_what_a_lease_names_stays_until_its_owner_lets_go(store, make_image):
    image = make_image("app")
    user = Store(store.root)
    images.hold(user, image)
    removal.remove(store, ["app"])
    assert is_whole(store, image)
    user.let_go()
    gc.collect(store)
    assert os.listdir(store.path("layers")) == os.listdir(store.path("blobs/sha256")) == []


def test_a_lease_that_comes_while_garbage_is_marked_counts(store, make_image, monkeypatch):
    image = make_image("app")
    forget(store, image)
    user = Store(store.root)
    collecting(store, monkeypatch, lambda: user.hold([image.descriptor.digest]))
    assert is_whole(store, image)


def test_a_name_that_comes_while_garbage_is_marked_counts(store, make_image, monkeypatch):
    image = make_image("app")
    (entry,) = index.read(store)
    forget(store, image)
    collecting(store, monkeypatch, lambda: index.update(store, lambda _: (entry,)))
    assert is_whole(store, image)


def test_a_manifest_that_was_awaited_and_came_is_followed(store, make_image, monkeypatch):
    """A pull holds its manifest's digest before there is a blob; it ends while others collect."""
    image = make_image("app")
    (entry,) = index.read(store)
    path = blobs.path(store, image.descriptor.digest)
    content = blobs.read(store, image.descriptor.digest)
    forget(store, image)
    os.unlink(path)
    puller = Store(store.root)
    puller.hold([image.descriptor.digest])

    def finish():
        with open(path, "wb") as file:
            file.write(content)
        index.update(store, lambda _: (entry,))
        puller.let_go()

    collecting(store, monkeypatch, finish)
    assert is_whole(store, image)


def test_what_comes_while_garbage_is_marked_is_none_yet(store, make_image, monkeypatch):
    made = []

    def make():
        made.append(make_image("new"))
        forget(store, made[0])

    collecting(store, monkeypatch, make)
    assert is_whole(store, made[0])


def test_containers_keep_what_they_were_made_of(store, make_image):
    image = make_image("app")
    os.mkdir(store.path("containers/one"))
    with open(store.path("containers/one/container.json"), "w") as file:
        file.write(f'{{"image_id": "{image.id}"}}')
    removal.remove(store, ["app"])
    assert layers.find(store, image.config.diff_ids[0])
    os.unlink(store.path("containers/one/container.json"))
    gc.collect(store)
    assert layers.find(store, image.config.diff_ids[0]) is None


def test_records_that_are_no_records_stop_nothing(store, make_image):
    make_image("app")
    for number, content in enumerate(("", "{}", "[", '{"image_id": 3}', '["sha256:x"]')):
        os.mkdir(store.path(f"containers/{number}"))
        with open(store.path(f"containers/{number}/container.json"), "w") as file:
            file.write(content)
    os.mkdir(store.path("containers/half-made"))
    for name, content in (("empty", ""), ("rubbish", "\n\0rubbish sha256:1\n")):
        with open(store.path("leases", name), "w") as file:
            file.write(content)
    gc.collect(store)
    assert os.listdir(store.path("leases")) == []
    assert check(store) == ()


def test_a_damaged_index_is_an_error_and_not_an_empty_one(store, make_image):
    image = make_image("app")
    with open(store.path("index.json"), "w") as file:
        file.write("{}")
    with pytest.raises(IntegrityError):
        gc.collect(store)
    assert is_whole(store, image)


def test_others_go_on_after_a_collection_while_its_process_lives(store, make_image):
    make_image("app")
    removal.prune(store)
    read_fd, write_fd = os.pipe()
    if (pid := os.fork()) == 0:
        signal.alarm(20)  # a lock that was kept
        other = Store(store.root)
        other.hold([])
        other.hold([Digest.of(b"x")])
        gc.collect(other)
        images.tag(other, Reference.parse("more"), images.resolve(other, "app").descriptor)
        os.write(write_fd, b"done")
        os._exit(0)
    os.close(write_fd)
    assert os.read(read_fd, 9) == b"done"
    os.waitpid(pid, 0)
    os.close(read_fd)


def test_two_collections_at_once_share_the_work(store, make_image, monkeypatch):
    image = make_image("app")
    forget(store, image)
    other = gc.Reclaimed()

    def collect():
        nonlocal other
        other = gc.collect(Store(store.root))

    first = collecting(store, monkeypatch, collect)
    assert (first, other.layers) == (gc.Reclaimed(), image.config.diff_ids)
    assert os.listdir(store.path("tmp")) == []


def test_a_collection_that_dies_leaves_what_the_next_writer_sweeps(store, make_image, monkeypatch):
    image = make_image("app")
    forget(store, image)
    with monkeypatch.context() as patch:
        patch.setattr(staging, "delete", lambda _: None)
        gc.collect(store)
    assert len(os.listdir(store.path("tmp"))) == 3
    snapshots.create(Store(store.root)).discard()
    assert os.listdir(store.path("tmp")) == []


def test_pruning_spares_a_download_that_goes_on_and_a_file_just_being_written(store):
    store.create()
    content = b"content"
    expected = Descriptor("", Digest.of(content), len(content))
    with blobs.Writer(store, expected) as writer:
        writer.write(content[:3])
        unfinished, fd = staging.new_file(store)
        removal.prune(Store(store.root))
        assert os.path.exists(unfinished)
        writer.write(content[3:])
        assert writer.publish() == expected.digest
    os.close(fd)


def test_the_build_cache_goes_with_what_is_remembered_of_contexts(store):
    store.create()
    os.mkdir(store.path("cache/contexts"))
    with open(store.path("cache/contexts/0123.json"), "w") as file:
        file.write("{}")
    removal.prune(store, cache=lambda one, _usage: one.used < 0)
    assert os.listdir(store.path("cache/contexts"))
    with open(store.path("tmp", "sha256-" + "0" * 64), "w") as file:
        file.write("an interrupted download")
    pruned = removal.prune(store, cache=lambda _one, _usage: True)
    assert os.listdir(store.path("cache/contexts")) == os.listdir(store.path("tmp")) == []
    assert (pruned.cached, pruned.size) == (("0123",), len("{}an interrupted download"))


def test_a_sweeper_may_be_faster_than_the_collector(store, make_image, monkeypatch):
    """What was moved into tmp/ to be deleted can be gone before it is deleted."""
    forget(store, make_image("app"))
    bury = staging.bury

    def bury_and_sweep(store, path):
        grave = bury(store, path)
        staging.sweep(store)
        return grave

    monkeypatch.setattr(staging, "bury", bury_and_sweep)
    assert gc.collect(store).size == 0


def test_most_is_read_while_nobody_is_kept_waiting(store, make_image, monkeypatch):
    """What is read under the lock is what came since: all others wait for that."""
    make_image("app")
    held, read = [], []
    monkeypatch.setattr(lock.doom, "__enter__", lambda _: held.append(True))
    monkeypatch.setattr(lock.doom, "__exit__", lambda *_: held.clear())
    followed = roots.named_by
    monkeypatch.setattr(roots, "named_by", lambda *one: read.append(bool(held)) or followed(*one))
    gc.collect(store)
    assert read.count(False) >= 3  # its manifest, config and layer
    assert read.count(True) <= 1  # the layer, which is no document and may have come as a blob
