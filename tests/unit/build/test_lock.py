"""The file beside a Dockerfile that says what came from elsewhere."""

from __future__ import annotations

import pytest

from rootless.build import lock
from rootless.build.lock import Lock, Used
from rootless.dockerfile.errors import Location
from rootless.errors import IntegrityError
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference

HERE = Location(1, 1)
SUM = "sha256:" + "a" * 64
NAME = "docker.io/library/busybox:latest linux/amd64"


def test_it_is_sorted_and_read_back():
    used = [
        Used("urls", "https://b/", SUM, HERE),
        Used("urls", "https://a/ü", SUM, HERE),
        Used("images", NAME, SUM, HERE),
    ]
    text = Lock({}).updated(used).dump()
    assert text == (
        '{\n  "version": 1,\n  "images": {\n'
        f'    "{NAME}": "{SUM}"\n  }},\n'
        '  "urls": {\n'
        f'    "https://a/\\u00fc": "{SUM}",\n    "https://b/": "{SUM}"\n  }}\n}}\n'
    )
    assert lock.parse(text.encode(), "f").updated([]).dump() == text


def test_an_image_is_pinned_for_each_platform():
    pinned = Lock({"images": {NAME: SUM}})
    reference = Reference.parse("busybox")
    assert str(pinned.image(reference, Platform.parse("linux/amd64"))) == SUM
    assert pinned.image(reference, Platform.parse("linux/arm64")) is None


def test_what_others_use_stays():
    before = Lock({"images": {"x": SUM}})
    assert before.updated([Used("git", "g", "c", HERE)]).pins["images"] == {"x": SUM}


def test_drift_is_another_digest_or_none():
    pinned = Lock({"images": {"a": "1", "b": "2", "c": "3"}})
    used = [
        Used("images", "a", "1", HERE),
        Used("images", "b", "9", HERE),
        Used("images", "c", "9", HERE, ("3",)),
        Used("images", "d", "9", HERE),
    ]
    assert [(one.name, was) for one, was in pinned.drifts(used)] == [("b", "2"), ("d", None)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": 2}',
        b'{"version": 1, "images": []}',
        b'{"version": 1, "images": {"a": 1}}',
        b'{"version": 1, "images": {"a": "sha256:short"}}',
        b'{"version": 1, "urls": {"a": null}}',
    ],
)
def test_what_is_no_lock_is_refused(content):
    with pytest.raises(IntegrityError):
        lock.parse(content, "Dockerfile.lock")
