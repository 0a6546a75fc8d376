"""The folder itself: opening, creating, and the sentences for what a disk can refuse."""

from __future__ import annotations

import errno
import json
import os
import stat

import pytest

from rootless.errors import IntegrityError, RootlessError
from rootless.store import Store, images, index


def test_opening_and_reading_an_absent_store_writes_nothing(tmp_path):
    store = Store(str(tmp_path / "store"))
    assert images.listing(store) == ()
    assert not (tmp_path / "store").exists()


def test_created_store_is_a_private_image_layout(store, tmp_path):
    store.create()
    assert json.loads((tmp_path / "store/oci-layout").read_bytes())["imageLayoutVersion"] == "1.0.0"
    assert json.loads((tmp_path / "store/index.json").read_bytes())["manifests"] == []
    assert stat.S_IMODE(os.stat(store.root).st_mode) == 0o700


def test_store_of_a_newer_version_is_refused(store, tmp_path):
    store.create()
    (tmp_path / "store/oci-layout").write_text('{"imageLayoutVersion":"1.0.0","rootlessStore":2}')
    with pytest.raises(RootlessError, match="not written by this version"):
        Store(store.root)


def test_a_foreign_image_layout_is_not_taken_for_a_store(store, tmp_path):
    (tmp_path / "store").mkdir(mode=0o700)
    (tmp_path / "store/oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    with pytest.raises(RootlessError, match="not written by this version"):
        Store(store.root)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"manifests": 1}', b"[]", b"\xff", b'{"manifests":[{}]}']
)
def test_damaged_index_is_one_sentence_naming_the_file(store, tmp_path, damage):
    store.create()
    (tmp_path / "store/index.json").write_bytes(damage)
    with pytest.raises(IntegrityError, match=r"index\.json"):
        index.read(store)


def test_an_index_that_is_a_directory_is_damaged(store):
    store.create()
    os.unlink(store.path("index.json"))
    os.mkdir(store.path("index.json"))
    with pytest.raises(IntegrityError, match=r"index\.json is damaged: it is a directory"):
        index.read(store)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk is full: /there"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "the store cannot be written: /there: Read-only file system"),
        (errno.ENOENT, "the store cannot be written: /there"),  # as when made below /proc
        (errno.EIO, "the disk failed"),
    ],
)
def test_what_a_person_can_mend_is_reworded(store, number, sentence):
    with pytest.raises(RootlessError, match=sentence) as caught, store.writing():
        raise OSError(number, os.strerror(number), "/there")
    assert caught.value.hint


def test_other_errors_pass_as_they_are(store):
    with pytest.raises(OSError, match="gone") as caught, store.writing():
        raise OSError(errno.EBUSY, "gone")
    assert caught.value.errno == errno.EBUSY


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RootlessError, match="cannot be written"):
        Store(str(tmp_path / "file/store")).create()
