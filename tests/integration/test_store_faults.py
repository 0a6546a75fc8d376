"""A store that processes die in, fight over, and that has no room: still good afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from rootless import linux, userns
from rootless.errors import RootlessError
from rootless.image import archives
from rootless.oci.reference import Reference
from rootless.store import Store, images, removal
from rootless.store.check import check
from tests.support.child import in_child, remove_tree
from tests.support.images import layer, write_layout

pytestmark = [
    pytest.mark.needs("userns"),
    pytest.mark.skipif(os.geteuid() == 0, reason="stores belong to ordinary users"),
]

# Before each of these calls the disk is in a state that a crash could leave behind.
STEPS = ("fsync", "mkdir", "rename", "rmdir", "unlink")


@pytest.fixture
def store(tmp_path):
    yield Store(str(tmp_path / "store"))
    remove_tree(tmp_path / "store")


@pytest.fixture
def small_archive(tmp_path):
    """An image of two layers with next to nothing in them."""
    return pack(tmp_path / "small", 1)


@pytest.fixture
def archive(tmp_path):
    """The same with files enough to be interrupted at."""
    return pack(tmp_path / "large", 300)


def pack(layout, count):
    files = {f"folder/file-{number}": bytes(2000) for number in range(count)}
    layers = [layer({"folder/": b"", **files}), layer({"folder/.wh.file-7": b""})]
    image = write_layout(layout, "docker.io/library/app:latest", layers)
    return image.archive(layout.with_suffix(".tar"))


def load(store, path):
    with open(path, "rb", buffering=0) as file:
        return archives.load(store, file.read)


def load_tag_remove(root, archive):
    store = Store(root)
    (image,) = load(store, archive)
    images.tag(store, Reference.parse("other"), image.descriptor)
    removal.remove(store, ["app"])
    removal.remove(store, ["other"])


def die_at(step):
    """From now on this process, or one forked from it, dies before its `step`th change on disk."""
    count = 0

    def wrap(call):
        def dying(*args, **kwargs):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return dying

    for name in STEPS:
        setattr(os, name, wrap(getattr(os, name)))


def survives(store, archive, *, enter=True):
    """The store is whole, works, and holds no rubbish once somebody has worked in it."""

    def body():
        again = Store(store.root)
        again.create()
        assert check(again) == ()
        for image in images.listing(again):
            images.layers_of(again, images.resolve(again, str(image.id)))
        again.let_go()
        load(again, archive)
        removal.prune(again, everything=True)
        assert os.listdir(again.path("tmp")) == []
        assert os.listdir(again.path("layers")) == []
        assert os.listdir(again.path("blobs/sha256")) == []

    in_child(body, enter=enter)


def test_death_before_every_change_on_disk(store, small_archive):
    def body():
        step, died = 0, True
        while died:
            step += 1
            died = _dies(store, small_archive, step)
            survives(store, small_archive, enter=False)
        return step

    assert in_child(body) > 30, "the steps were not intercepted"


def _dies(store, archive, step):
    def body():
        die_at(step)
        try:
            load_tag_remove(store.root, archive)
        except RootlessError as error:  # it was the unpacking worker that died
            assert "worker process died" in str(error)
            raise SystemExit from None

    try:
        in_child(body, enter=False)
    except (AssertionError, SystemExit):
        return True
    return False


@pytest.mark.parametrize("delay", [0.01, 0.03, 0.05, 0.08, 0.12, 0.2])
def test_kill_at_any_moment(store, archive, delay):
    pid = os.fork()
    if pid == 0:
        try:
            userns.enter()
            while True:
                load_tag_remove(store.root, archive)
        finally:
            os._exit(1)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    survives(store, archive)


def test_many_processes_tag_and_untag_at_once(store, archive):
    descriptor = in_child(lambda: load(store, archive)[0].descriptor)

    def work(number):
        own = Store(store.root)
        for turn in range(12):
            images.tag(own, Reference.parse(f"own{number}:{turn}"), descriptor)
            images.tag(own, Reference.parse("shared"), descriptor)
            if turn % 2:
                removal.remove(own, [f"own{number}:{turn}"])

    children = []
    for number in range(4):
        if (pid := os.fork()) == 0:
            try:
                work(number)
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    (image,) = images.listing(store)
    expected = {f"own{number}:{turn}" for number in range(4) for turn in range(0, 12, 2)}
    assert {one.familiar for one in image.references} == expected | {"shared:latest", "app:latest"}


def test_two_processes_load_the_same_image_at_once(store, archive):
    results = []

    def work():
        results.append(in_child(lambda: str(load(Store(store.root), archive)[0].id)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert len(set(results)) == 1
    survives(store, archive)


def mount_tmpfs(path, options):
    os.makedirs(path, exist_ok=True)
    linux.mount("tmpfs", str(path), "tmpfs", 0, options)


def test_full_disk_is_a_sentence_and_the_store_stays_good(store, archive, tmp_path):
    def body():
        mount_tmpfs(tmp_path / "small", "size=400k,mode=700")
        small = Store(str(tmp_path / "small/store"))
        small.create()
        with pytest.raises(RootlessError, match=r"disk is full|No space left"):
            load(small, archive)
        assert check(small) == ()
        removal.prune(small)
        linux.mount("tmpfs", str(tmp_path / "small"), None, linux.MS_REMOUNT, "size=40m")
        load(small, archive)
        assert check(small) == ()

    in_child(body)


def test_read_only_store_can_be_read_and_says_why_it_cannot_be_written(archive, tmp_path):
    def body():
        mount_tmpfs(tmp_path / "frozen", "mode=700")
        open_for_writing = Store(str(tmp_path / "frozen/store"))
        load(open_for_writing, archive)
        linux.mount("tmpfs", str(tmp_path / "frozen"), None, linux.MS_REMOUNT | linux.MS_RDONLY, "")
        frozen = Store(str(tmp_path / "frozen/store"))
        image = images.resolve(frozen, "app")
        assert images.layers_of(frozen, image)
        for change in (
            lambda: images.tag(frozen, Reference.parse("b"), image.descriptor),
            lambda: removal.remove(frozen, ["app"]),
            lambda: removal.prune(frozen),
            lambda: load(frozen, archive),
        ):
            with pytest.raises(RootlessError, match="cannot be written") as caught:
                change()
            assert "--root" in caught.value.hint

    in_child(body)
