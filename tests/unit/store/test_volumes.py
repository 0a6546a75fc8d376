"""Volumes on disk: names, records, two makers at once, filling that was broken off."""

from __future__ import annotations

import json
import os
import threading

import pytest

from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.store import Store, volumes


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.mark.parametrize("name", ["ab", "v1", "A.b-c_d", "0x", "a" * 255])
def test_names_that_docker_takes(store, name):
    assert volumes.create(store, name).name == name
    assert volumes.find(store, name).name == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "too short"),
        ("x", "too short"),
        ("..", "invalid characters"),
        (".x", "invalid characters"),
        ("-x", "invalid characters"),
        ("a/b", "invalid characters"),
        ("a b", "invalid characters"),
        ("ä1", "invalid characters"),
        ("a\n", "invalid characters"),
        ("a" * 256, "invalid characters"),
    ],
)
def test_names_that_docker_refuses(store, name, said):
    with pytest.raises(RootlessError, match=said):
        volumes.create(store, name)
    assert volumes.search(store, name) is None


def test_what_is_there_stays_as_it_is(store):
    first = volumes.create(store, "v1", labels={"a": "b"}, options={"type": "tmpfs"})
    again = volumes.create(store, "v1", labels={"c": "d"})
    assert again == first
    assert again.labels == {"a": "b"}


def test_a_volume_is_one_from_its_first_moment(store):
    """Nobody sees half of one, however many make it."""
    volumes.create(store, "other")
    found: list[volumes.Volume] = []

    def make() -> None:
        found.append(volumes.create(Store(store.root), "shared"))

    makers = [threading.Thread(target=make) for _ in range(8)]
    for one in makers:
        one.start()
    for one in makers:
        one.join()
    assert len(found) == 8
    assert {one.created for one in found} == {volumes.find(store, "shared").created}
    assert os.listdir(store.path("tmp")) == []


def test_volumes_are_listed_as_docker_sorts_them(store):
    for name in ("v10", "v9", "abc", "v1"):
        volumes.create(store, name)
    assert [one.name for one in volumes.listing(store)] == ["abc", "v1", "v9", "v10"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"{",
        b'{"name": "other", "created": 1, "labels": {}, "options": {}}',
        b'{"name": "bad", "created": -1, "labels": {}, "options": {}}',
        b'{"name": "bad", "created": 1, "labels": {"a": 1}, "options": {}}',
        b'{"name": "bad", "created": 1, "labels": [], "options": {}}',
        None,
    ],
)
def test_a_damaged_record_is_one_sentence_and_no_other_volume_s(store, content):
    volumes.create(store, "good")
    volumes.create(store, "bad")
    path = store.path("volumes", "bad", "volume.json")
    os.unlink(path)
    if content is not None:
        with open(path, "wb") as file:
            file.write(content)
    left_out = []
    listed = volumes.listing(store, lambda name, _: left_out.append(name))
    assert [one.name for one in listed] == ["good"]
    assert left_out == ["bad"]
    with pytest.raises(IntegrityError, match="volume bad is damaged"):
        volumes.find(store, "bad")


def test_a_record_that_is_a_pipe_is_not_waited_for(store):
    volumes.create(store, "bad")
    path = store.path("volumes", "bad", "volume.json")
    os.unlink(path)
    os.mkfifo(path)
    with pytest.raises(IntegrityError, match="not a file"):
        volumes.find(store, "bad")


def test_one_that_is_not_there_is_named_with_its_like(store):
    volumes.create(store, "database")
    with pytest.raises(NotFoundError) as caught:
        volumes.find(store, "databse")
    assert caught.value.message == "get databse: no such volume"
    assert "database" in (caught.value.hint or "")


def test_the_record_is_plain_json(store):
    volume = volumes.create(store, "v1", labels={"a": "b"}, now=7)
    with open(f"{volume.path}/volume.json", "rb") as file:
        assert json.load(file) == {
            "name": "v1",
            "created": 7,
            "labels": {"a": "b"},
            "options": {},
        }


def _fill(path: str) -> bool:
    os.mkdir(f"{path}/d")
    for name in ("a", "d/b"):
        with open(f"{path}/{name}", "w") as file:
            file.write(name)
    os.chmod(path, 0o750)
    return True


def _content(volume: volumes.Volume) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, name), volume.data)
        for folder, folders, files in os.walk(volume.data)
        for name in (*folders, *files)
    )


def test_an_empty_volume_is_filled_once(store):
    volume = volumes.create(store, "v1")
    assert volumes.seeded(volume, _fill)
    assert _content(volume) == ["a", "d", "d/b"]
    assert os.stat(volume.data).st_mode & 0o777 == 0o750
    os.unlink(f"{volume.data}/a")
    assert not volumes.seeded(volume, _fill)
    assert _content(volume) == ["d", "d/b"]
    assert sorted(os.listdir(volume.path)) == ["data", "volume.json"]


def test_a_filling_that_was_broken_off_is_begun_again(store):
    volume = volumes.create(store, "v1")

    def fail(path: str) -> bool:
        _fill(path)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        volumes.seeded(volume, fail)
    assert _content(volume) == []
    os.mkdir(f"{volume.path}/seed.new")  # as kill -9 leaves it
    assert volumes.seeded(volume, _fill)
    assert _content(volume) == ["a", "d", "d/b"]


def test_files_that_were_on_their_way_arrive(store):
    """Killed between two renames: some entries are in data/, the others in seed/."""
    volume = volumes.create(store, "v1")
    os.mkdir(f"{volume.path}/seed")
    _fill(f"{volume.path}/seed")
    os.rename(f"{volume.path}/seed/d", f"{volume.data}/d")
    assert volumes.seeded(volume, None)
    assert _content(volume) == ["a", "d", "d/b"]


def test_nothing_to_begin_with_changes_nothing(store):
    volume = volumes.create(store, "v1")
    os.chmod(volume.data, 0o700)
    assert not volumes.seeded(volume, lambda _: False)
    assert os.stat(volume.data).st_mode & 0o777 == 0o700
    assert sorted(os.listdir(volume.path)) == ["data", "volume.json"]
