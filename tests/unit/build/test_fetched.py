"""What is kept of the web: by its ETag, under a lock, gone when another takes its place."""

from __future__ import annotations

import io
import os

import pytest

from rootless.build.inputs import fetched
from rootless.store import Store, kept, staging
from rootless.store.usage import Usage

URL = "https://example.org/c.tar?token=secret"


class Web:
    def __init__(self, etag):
        self.now = etag

    def etag(self, url, known):
        assert url == URL
        assert known
        return self.now


@pytest.fixture
def store(tmp_path):
    made = Store(str(tmp_path / "store"))
    made.create()
    return made


def keep(store, etag, content):
    return fetched.keep_file(store, URL, etag, io.BytesIO(content).read)


def content(held):
    with open(fetched.open_file(held), "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    ("kept_as", "now", "is_same"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"a"', '"b"', False),
        ('"a"', "", False),
    ],
)
def test_its_server_decides(store, kept_as, now, is_same):
    assert fetched.file(store, Web(now), URL) is None
    keep(store, kept_as, b"one").release()
    held = fetched.file(store, Web(now), URL)
    assert (held is not None) == is_same
    if held:
        assert content(held) == b"one"
        held.release()


def test_who_has_it_keeps_it_when_another_comes(store):
    first = keep(store, '"a"', b"one")
    second = keep(store, '"b"', b"two")
    assert (content(first), content(second)) == (b"one", b"two")
    first.release()
    second.release()
    staging.sweep(store)
    assert os.listdir(store.path("tmp")) == []


def test_it_is_listed_without_its_query_and_pruned_when_nobody_uses_it(store):
    held = keep(store, '"a"', b"one")

    def listed():
        return kept.listing(store, Usage(store))

    (one,) = listed()
    assert (one.kind, one.text, one.in_use) == (
        kept.WEB,
        "http url https://example.org/c.tar",
        True,
    )
    held.release()
    (one,) = listed()
    assert not one.in_use
    assert kept.remove(store, [one]) == [one]
    assert listed() == ()


@pytest.mark.parametrize("etag", ["", "x" * 2000])
def test_what_is_not_kept(etag):
    assert not fetched.is_worth_keeping(etag)
