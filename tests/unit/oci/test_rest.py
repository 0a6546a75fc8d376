"""What our types have no field for is written again as it came."""

from __future__ import annotations

import pytest

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci import manifest
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform

BLOB = {"mediaType": "a/b", "digest": f"sha256:{'ab' * 32}", "size": 3}
ENTRY = {
    **BLOB,
    "platform": {"architecture": "amd64", "os": "windows", "os.version": "10.0", "x": [1, 2.5]},
    "annotations": {"a": "b"},
    "artifactType": "c/d",
    "urls": ["https://x.test/"],
    "data": "YWJj",
    "new": {"deep": [None, True, {"ä": "\ud800"}]},
}
SUBJECT = {"subject": BLOB, "artifactType": "e/f", "later": {"x": 1}}
IMAGE = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "config": BLOB,
    "layers": [ENTRY],
    "annotations": {"x": "y"},
    **SUBJECT,
}
INDEX = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [ENTRY],
    "annotations": {"x": "y"},
    **SUBJECT,
}


@pytest.mark.parametrize("value", [IMAGE, INDEX], ids=["manifest", "index"])
def test_every_member_comes_back(value):
    decoded = manifest.decode(leanjson.dumps(value))
    assert leanjson.loads(decoded.encode()) == value
    assert manifest.decode(decoded.encode()) == decoded


def test_a_member_of_ours_is_never_the_old_one():
    entry = Descriptor.decode(ENTRY)
    other = entry.replace(platform=Platform("linux", "arm64"), annotations={}, size=4)
    value = other.encode()
    assert value["platform"] == {
        "architecture": "arm64", "os": "linux", "os.version": "10.0", "x": [1, 2.5],
    }  # fmt: skip
    assert "annotations" not in value
    assert value["size"] == 4


def test_where_the_old_bytes_are_is_not_said_of_others():
    digest = Digest.of(b"other")
    value = Descriptor.decode(ENTRY).of_other("a/c", digest, 5).encode()
    assert {"data", "urls"}.isdisjoint(value)
    assert value["artifactType"] == "c/d"
    assert value["new"] == ENTRY["new"]
    assert (value["mediaType"], value["digest"], value["size"]) == ("a/c", str(digest), 5)


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_what_could_not_be_written_is_not_read(number):
    text = leanjson.dumps(INDEX).decode().replace('"x":1', f'"x":{number}')
    with pytest.raises(IntegrityError, match="too large a number"):
        manifest.decode(text.encode())


def test_what_is_too_deep_to_be_written_is_an_error():
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(IntegrityError, match="too deep"):
        leanjson.dumps(value)
