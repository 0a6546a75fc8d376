"""Layers by diff_id, snapshots, and trees that are hard to delete."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rootless.errors import IntegrityError, RootlessError
from rootless.oci.digest import Digest
from rootless.store import Store, layers, lease, snapshots, staging

DIFF_ID = Digest.of(b"layer")


def publish(store, text="text", diff_id=DIFF_ID, snapshot=None):
    snapshot = snapshot or snapshots.create(store)
    with open(f"{snapshot.diff}/file", "w") as file:
        file.write(text)
    return layers.publish(store, snapshot, layers.Measure(diff_id, 1024, 9))


def test_snapshot_becomes_a_layer_by_rename(store):
    snapshot = snapshots.create(store)
    os.mkdir(f"{snapshot.work}/work", 0o000)
    inode = os.stat(snapshot.diff).st_ino
    layer = layers.publish(store, snapshot, layers.Measure(DIFF_ID, 1024, 9))
    assert os.stat(layer.path).st_ino == inode
    assert sorted(os.listdir(os.path.dirname(layer.path))) == ["diff", "layer.json"]
    assert layers.find(store, DIFF_ID) == layer
    assert (layer.id, layer.size) == (DIFF_ID.hex[:12], 1024)
    assert os.listdir(store.path("tmp")) == []


def test_a_layer_is_held_before_it_has_its_name(store, monkeypatch):
    """Else a collection may take it between that and whoever wants to use it."""
    seen = []
    rename = staging.Staging.publish

    def publishing(staged, path):
        seen.extend(lease.living(Store(store.root)))
        rename(staged, path)

    monkeypatch.setattr(staging.Staging, "publish", publishing)
    publish(store)
    assert str(DIFF_ID) in "".join(seen)


def test_publishing_again_keeps_the_first_and_leaves_the_second_to_who_mounted_it(store):
    first = publish(store, "first")
    with snapshots.create(store) as again:
        assert publish(store, "second", snapshot=again) == first
        assert again.is_ours
        assert Path(again.diff, "file").read_text() == "second"
    assert Path(first.path, "file").read_text() == "first"
    assert os.listdir(store.path("tmp")) == []


def test_short_id_of_another_layer_is_not_mistaken(store):
    publish(store)
    twin = Digest("sha256", DIFF_ID.hex[:12] + "0" * 52)
    assert layers.find(store, twin) is None
    with pytest.raises(RootlessError, match="same short id"):
        publish(store, diff_id=twin)


def test_damaged_record_names_its_file(store):
    layer = publish(store)
    with open(f"{os.path.dirname(layer.path)}/layer.json", "w") as file:
        file.write("{")
    with pytest.raises(IntegrityError, match=r"layer\.json is damaged"):
        layers.find(store, DIFF_ID)


def test_snapshot_modes_do_not_depend_on_the_umask(store):
    before = os.umask(0o077)
    try:
        with snapshots.create(store) as snapshot:
            assert stat.S_IMODE(os.stat(snapshot.diff).st_mode) == 0o755
    finally:
        os.umask(before)


def test_discarded_snapshot_leaves_nothing(store):
    with snapshots.create(store) as snapshot:
        os.makedirs(f"{snapshot.diff}/a/b/c")
    assert os.listdir(store.path("tmp")) == []


def test_unowned_staging_is_swept_and_owned_is_not(store):
    with snapshots.create(store) as alive:
        os.makedirs(store.path("tmp/dead/a/b"))
        os.mkdir(store.path("tmp/dead/closed"), 0o000)
        staging.sweep(store)
        assert os.listdir(store.path("tmp")) == [os.path.basename(alive.path)]


def test_sweeping_spares_young_downloads_and_takes_old_ones(store):
    store.create()
    for name, age in (("sha256-young", 0), ("sha512-old", 10**6)):
        with open(store.path("tmp", name), "w"):
            stamp = os.stat(store.path("tmp", name)).st_mtime - age
        os.utime(store.path("tmp", name), (stamp, stamp))
    staging.sweep(store)
    assert os.listdir(store.path("tmp")) == ["sha256-young"]
    staging.sweep(store, downloads=True)
    assert os.listdir(store.path("tmp")) == []
