"""Containers found by a word: little is read of those that are not meant."""

from __future__ import annotations

import json

import pytest

from rootless.container import names, records
from rootless.errors import NotFoundError, RootlessError
from rootless.store import Store

FIRST, SECOND, UNNAMED = "a" * 64, "ab" + "c" * 62, "f" * 64
IMAGE = f"sha256:{'0' * 64}"


@pytest.fixture
def store(tmp_path):
    made = Store(str(tmp_path))
    made.create()
    for container_id, name in ((FIRST, "first"), (SECOND, "aa"), (UNNAMED, "")):
        record(tmp_path, container_id, name=name)
    return made


def record(root, container_id: str, **changes: object) -> None:
    folder = root / "containers" / container_id
    (folder / "diff").mkdir(parents=True, exist_ok=True)
    fields = {"id": container_id, "image": "busybox", "image_id": IMAGE, "created": 1, "config": {}}
    (folder / "container.json").write_text(json.dumps({**fields, **changes}))
    (folder / "state.json").write_text('{"status": "exited"}')


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("first", FIRST),
        ("/first", FIRST),
        (FIRST, FIRST),
        ("aaa", FIRST),
        ("aa", SECOND),  # a name before the beginning of an id
        ("ab", SECOND),
        (names.of(UNNAMED), UNNAMED),
        ("ff", UNNAMED),
        ("firs", None),
        ("/", None),
    ],
)
def test_a_name_an_id_and_its_beginning(store, word, found):
    one = records.search(store, word)
    assert (one and one.id) == found
    if found is None:
        with pytest.raises(NotFoundError):
            records.find(store, word)


def test_no_name_is_nobodys(store):
    with pytest.raises(RootlessError, match="name cannot be empty"):
        records.search(store, "")


def test_a_beginning_of_several(store):
    with pytest.raises(RootlessError, match="multiple IDs found with provided prefix: a"):
        records.search(store, "a")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"name": "first"}', '{"name": 5}', "null"])
def test_a_damaged_record_has_no_name_and_hides_no_other(store, tmp_path, content):
    (tmp_path / "containers" / UNNAMED / "container.json").write_text(content)
    assert records.search(store, "first").id == FIRST
    assert records.search(store, "fff").id == UNNAMED
    assert records.search(store, names.of(UNNAMED)) is None


def test_one_that_is_gone_with_its_command_is_not_found(store, tmp_path):
    record(tmp_path, FIRST, name="first", remove=True)
    assert records.search(store, "first") is None
    assert records.search(store, FIRST) is None
    record(tmp_path, SECOND, name="first")
    assert records.search(store, "first").id == SECOND
