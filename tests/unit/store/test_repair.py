"""Any byte of any record damaged: check says so or nothing is lost; repair loses no image."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from rootless.errors import IntegrityError, RootlessError
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.store import Store, blobs, gc, images, index, repair
from rootless.store.check import check
from rootless.store.quarantine import Quarantine
from rootless.store.quarantine import delete as delete_quarantine

STEP = 11  # bytes: each waits for the disk; all of them were tried once


def mend(store, names=()):
    """As `system check --repair` does what needs no registry; what is left."""
    said = []
    for _ in range(3):
        faults = check(store)
        said += repair.tidy(store, faults, Quarantine(store), dict(names))
    return check(store), said


@pytest.fixture
def three(store, make_image):
    """Ids of three images, one of two names, one from a registry, one dangling."""
    first = make_image("one", "one.test/again:2", layer="1")
    second = make_image(layer="2")
    content = blobs.read(store, second.descriptor.digest)
    served = [Reference.parse("two.test/two")]
    images.add(store, content, second.manifest.media_type, served, Digest.of(b"an index"))
    third = make_image(layer="3")
    return {first.id, second.id, third.id}


def test_no_damaged_byte_of_the_index_loses_an_image(store, three):
    path = Path(store.path("index.json"))
    whole = path.read_bytes()
    quiet = 0
    for at in range(0, len(whole), STEP):
        content = bytearray(whole)
        content[at] ^= 1
        path.write_bytes(content)
        faults = check(store)
        quiet += not faults
        left, _ = mend(store)
        assert left == (), (at, content[max(0, at - 30) : at + 10], faults)
        assert {image.id for image in images.listing(store)} == three, (at, faults)
    assert quiet < len(whole) / STEP / 2, (
        "letters of names, of keys that nobody reads, of platforms"
    )


@pytest.mark.parametrize("length", [0, 1, 80, 500, 900])
def test_what_is_left_of_a_cut_index_keeps_its_names(store, three, length):
    path = Path(store.path("index.json"))
    names = {one.familiar for image in images.listing(store) for one in image.references}
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(IntegrityError) as refused:
        index.read(store)
    assert "rootless system check --repair" in refused.value.hint
    with pytest.raises(IntegrityError):
        gc.collect(store)
    left, said = mend(store)
    assert left == ()
    found = images.listing(store)
    assert {image.id for image in found} == three
    assert {one.familiar for image in found for one in image.references} <= names
    assert said[0].startswith("index.json was written anew: ")
    (folder,) = os.listdir(store.path("quarantine"))
    kept = Path(store.path("quarantine", folder, "index.json"))
    assert kept.read_bytes() == b"" if not length else kept.stat().st_size == length


def test_a_lost_index_is_no_empty_one(store, three):
    os.unlink(store.path("index.json"))
    with pytest.raises(IntegrityError, match="it is missing"):
        gc.collect(store)
    with pytest.raises(IntegrityError):
        images.resolve(store, "one")
    one = next(iter(three))
    left, said = mend(store, {one: "docker.io/library/known:1"})
    assert left == ()
    assert {image.id for image in images.listing(store)} == three
    assert images.resolve(store, "known:1").id == one
    assert "1 are known from containers, and 2 images have lost their names" in said[0]


def test_a_damaged_blob_is_moved_and_not_deleted(store, make_image):
    image = make_image("app")
    path = Path(blobs.path(store, image.id))
    path.write_bytes(b"{}")
    left, said = mend(store)
    (fault,) = left
    assert fault.kind == "image"
    assert f"the blob {image.id} is missing" in fault.said
    assert said == [f"moved to quarantine: blobs/sha256/{image.id.hex}"]
    (folder,) = os.listdir(store.path("quarantine"))
    assert (
        Path(store.path("quarantine", folder, "blobs/sha256", image.id.hex)).read_bytes() == b"{}"
    )
    assert delete_quarantine(store) == 2
    assert os.listdir(store.path("quarantine")) == []


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_a_blob_that_is_no_file(store, make_image, kind):
    image = make_image("app")
    path = blobs.path(store, image.id)
    os.unlink(path)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        os.symlink("/etc/passwd", path)
    else:
        os.mkdir(path)
    faults = check(store)
    assert {fault.kind for fault in faults} >= {"blob"}


def test_cache_records_that_name_what_is_not_there_go(store, make_image):
    image = make_image("app")
    steps = Path(store.path("cache/steps"))
    (steps / "good.json").write_text(f'{{"diff_id": "{image.config.diff_ids[0]}"}}')
    (steps / "gone.json").write_text(f'{{"diff_id": "sha256:{"0" * 64}"}}')
    (steps / "bad.json").write_text('{"diff_id": ')
    said = [fault.said for fault in check(store)]
    assert said == [
        "the cache record cache/steps/bad.json is no record: "
        "it is damaged: it is empty or cut short",
        f"the cache record cache/steps/gone.json names the layer {'0' * 12}, which is missing",
    ]
    assert mend(store)[0] == ()
    assert os.listdir(steps) == ["good.json"]


def test_missing_folders_are_made(store, make_image):
    make_image("app")
    os.rmdir(store.path("tmp"))
    os.rmdir(store.path("containers"))
    assert [fault.thing for fault in check(store)] == ["containers", "tmp"]
    assert mend(store)[0] == ()
    make_image("more")


@pytest.mark.parametrize("content", [b"", b"{", b'{"rootlessStore":"1"}'])
def test_a_damaged_layout_file(store, make_image, content):
    make_image("app")
    Path(store.path("lock")).touch()
    layout = Path(store.path("oci-layout"))
    layout.write_bytes(content)
    with pytest.raises(RootlessError) as refused:
        Store(store.root)
    assert "system check --repair" in refused.value.hint
    opened, fault = repair.open_store(store.root, mend=False)
    assert (fault.kind, layout.read_bytes()) == ("layout", content)
    opened, fault = repair.open_store(store.root, mend=True)
    assert images.resolve(Store(store.root), "app")
    assert check(opened) == ()


def test_a_newer_store_and_what_is_none_are_left_alone(store, make_image, tmp_path):
    make_image("app")
    layout = Path(store.path("oci-layout"))
    layout.write_bytes(b'{"imageLayoutVersion":"1.0.0","rootlessStore":2}')
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o700)
    (foreign / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')
    for root in (store.root, str(foreign)):
        with pytest.raises(RootlessError, match="was not written by this version"):
            repair.open_store(root, mend=True)
    assert b'"rootlessStore":2' in layout.read_bytes()


def dies_at(store, number):
    """Whether a repair that kills itself at its `number`th rename, link or fsync gets so far."""
    if (pid := os.fork()) == 0:
        left = number

        def counting(real):
            def call(*args, **options):
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)

            return call

        for name in ("rename", "link", "fsync"):
            setattr(os, name, counting(getattr(os, name)))
        mend(Store(store.root))
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def test_a_repair_may_die_at_any_moment(store, three):
    names = {one.familiar for image in images.listing(store) for one in image.references}
    path = Path(store.path("index.json"))
    damaged = path.read_bytes()[:-10]
    number = 0
    dies = True
    while dies:
        number += 1
        path.write_bytes(damaged)
        Path(store.path("cache/steps/bad.json")).write_bytes(b"{")
        dies = dies_at(store, number)
        assert path.exists(), "without it nothing is known"
        assert mend(store)[0] == ()
        found = images.listing(store)
        assert {image.id for image in found} == three
        left = {one.familiar for image in found for one in image.references}
        assert left == names - {"two.test/two:latest"} or left == names
        assert not os.path.exists(store.path("cache/steps/bad.json"))
    assert number > 4
