"""Manifests and indexes, honest ones and those that lie."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.errors import IntegrityError, NotFoundError
from rootless.oci import manifest, media_types
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest
from rootless.oci.platform import Platform

DIGEST = Digest.of(b"x")
CONFIG = {"mediaType": media_types.OCI_CONFIG, "digest": str(DIGEST), "size": 1}
LAYER = {"mediaType": media_types.OCI_LAYER_GZIP, "digest": str(DIGEST), "size": 1}
IMAGE = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}
INDEX = {"schemaVersion": 2, "manifests": [{**LAYER, "mediaType": media_types.OCI_MANIFEST}]}


def decode(value, media_type=""):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return manifest.decode(content, media_type)


def test_an_image():
    decoded = decode({**IMAGE, "annotations": {"a": "b"}, "mediaType": media_types.OCI_MANIFEST})
    layer = Descriptor(media_types.OCI_LAYER_GZIP, DIGEST, 1)
    config = Descriptor(media_types.OCI_CONFIG, DIGEST, 1)
    assert decoded == Manifest(media_types.OCI_MANIFEST, config, (layer,), {"a": "b"})


@pytest.mark.parametrize("none", [[], None])
def test_lists_without_entries(none):
    """Valid by the OCI schema, and as Go writes them."""
    decoded = decode({**IMAGE, "layers": none})
    assert isinstance(decoded, Manifest)
    assert decoded.layers == ()
    assert decoded.pair(()) == ()
    assert decode({**INDEX, "manifests": none}).images == ()


def test_an_index_with_platforms():
    entry = {**INDEX["manifests"][0], "platform": {"os": "linux", "architecture": "aarch64"}}
    decoded = decode({"schemaVersion": 2, "manifests": [entry]}, media_types.DOCKER_INDEX)
    assert isinstance(decoded, Index)
    assert decoded.media_type == media_types.DOCKER_INDEX
    assert decoded.manifests[0].platform == Platform("linux", "arm64")


@pytest.mark.parametrize("value", [IMAGE, INDEX, {**IMAGE, "annotations": {"k": "v"}}])
def test_what_we_write_we_read(value):
    decoded = decode(value)
    assert manifest.decode(decoded.encode()) == decoded


@pytest.mark.parametrize(
    "announced",
    ["", "application/json", "text/plain", media_types.OCI_MANIFEST + "; charset=utf-8"],
)
def test_a_sender_that_says_nothing_useful_is_no_reason_to_refuse(announced):
    assert decode(IMAGE, announced).media_type == media_types.OCI_MANIFEST


SCHEMA1 = {"schemaVersion": 1, "name": "x", "tag": "1", "fsLayers": [], "history": []}
OLD_MANIFEST = {**LAYER, "mediaType": media_types.DOCKER_SCHEMA1_SIGNED}


@pytest.mark.parametrize(
    ("value", "announced", "why"),
    [
        (SCHEMA1, media_types.DOCKER_SCHEMA1_SIGNED, "old schema 1"),
        ({**IMAGE, "schemaVersion": "2"}, "", "old schema 1"),
        ({"config": CONFIG, "layers": []}, "", "old schema 1"),
        ({**IMAGE, **INDEX}, "", "as an image and as an index"),
        ({**INDEX, "config": CONFIG}, media_types.OCI_INDEX, "as an image and as an index"),
        ({**INDEX, "layers": []}, "", "as an image and as an index"),
        ({**INDEX, "fsLayers": []}, "", "old schema 1"),
        ({**IMAGE, "fsLayers": []}, "", "old schema 1"),
        ({**IMAGE, "mediaType": media_types.OCI_INDEX}, "", "does not look like one"),
        ({**INDEX, "mediaType": media_types.OCI_MANIFEST}, "", "does not look like one"),
        (IMAGE, media_types.OCI_INDEX, "does not look like one"),
        (INDEX, media_types.DOCKER_MANIFEST, "does not look like one"),
        (
            {**IMAGE, "mediaType": media_types.OCI_MANIFEST},
            media_types.DOCKER_MANIFEST,
            "its sender says",
        ),
        ({**IMAGE, "mediaType": "text/html"}, "", "is not the media type of an image"),
        ({**IMAGE, "mediaType": 5}, "", "mediaType is not text"),
        ({**IMAGE, "config": None}, "", "a descriptor is not"),
        ({**IMAGE, "config": [CONFIG]}, "", "a descriptor is not"),
        ({**IMAGE, "layers": "none"}, "", "no list of layers"),
        ({**IMAGE, "layers": {"0": LAYER}}, "", "no list of layers"),
        ({**IMAGE, "layers": ["sha256"]}, "", "a descriptor is not"),
        ({**IMAGE, "annotations": ["a"]}, "", "annotations is not"),
        ({**IMAGE, "annotations": {"a": 1}}, "", "annotations.a is not text"),
        ([IMAGE], "", "not a JSON object"),
        (b"", "", "damaged"),
        (b"{", "", "damaged"),
        (b"<html>", "", "damaged"),
        (b"[" * 200_000, "", "damaged"),
        (json.dumps(IMAGE).encode() + b"{}", "", "damaged"),
        (b'{"schemaVersion":' + b"2" * 5000 + b"}", "", "damaged"),
        (b" " * (4 << 20) + b"{}", "", "larger than 4 MiB"),
    ],
)
def test_bodies_that_are_refused(value, announced, why):
    with pytest.raises(IntegrityError, match=why):
        decode(value, announced)


@pytest.mark.parametrize("size", [-1, 1 << 62, 1.0, "1", None, True, [], 10**400])
def test_sizes_that_cannot_be(size):
    with pytest.raises(IntegrityError, match=r"impossible size|damaged"):
        decode({**IMAGE, "layers": [{**LAYER, "size": size}]})


@pytest.mark.parametrize(
    "digest", ["sha256:../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "A" * 64, "", None, 7]
)
def test_digests_that_are_paths_or_unknown(digest):
    with pytest.raises(IntegrityError, match="is not a digest"):
        decode({**IMAGE, "layers": [{**LAYER, "digest": digest}]})


def _entry(name: str | None, content: bytes = b"", **annotations: str) -> Descriptor:
    platform = Platform(*name.split("/")) if name else None
    digest = Digest.of(content or (name or "").encode())
    return Descriptor(media_types.OCI_MANIFEST, digest, 1, platform, annotations)


def _choose(names: list[str | None], wanted: str) -> str:
    index = Index(media_types.OCI_INDEX, tuple(map(_entry, names)))
    return str(index.choose(Platform.parse(wanted)).platform)


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        (["linux/arm64", "linux/amd64"], "amd64", "linux/amd64"),
        (["linux/amd64/v3", "linux/amd64"], "amd64", "linux/amd64"),
        (["linux/arm/v5", "linux/arm/v7"], "linux/arm/v7", "linux/arm/v7"),
        (["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", "linux/arm/v6"),
        (["linux/arm/v6", "linux/arm/v5"], "linux/arm/v7", "linux/arm/v6"),
        (["unknown/unknown", "linux/amd64"], "amd64", "linux/amd64"),
        ([None], "amd64", "None"),
    ],
)
def test_choosing(names, wanted, chosen):
    assert _choose(names, wanted) == chosen


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], "amd64"),
        (["linux/arm64"], "amd64"),
        (["linux/arm/v7"], "linux/arm/v6"),
        (["windows/amd64"], "amd64"),
        (["unknown/unknown"], "amd64"),
        ([None, None], "amd64"),
    ],
)
def test_nothing_to_choose(names, wanted):
    with pytest.raises(NotFoundError, match="there is no image for linux/"):
        _choose(names, wanted)


def test_the_hint_names_what_there_is():
    with pytest.raises(NotFoundError) as caught:
        _choose(["linux/s390x", "linux/arm64", "unknown/unknown"], "amd64")
    assert caught.value.hint == "choose with --platform one of: linux/arm64, linux/s390x"


def test_attestations_are_no_images():
    mark = {"vnd.docker.reference.type": "attestation-manifest"}
    index = Index(media_types.OCI_INDEX, (_entry("linux/amd64", b"a", **mark), _entry(None, b"b")))
    assert index.choose(Platform.parse("amd64")).digest == Digest.of(b"b")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
keys = ("mediaType", "config", "layers", "manifests", "annotations", "schemaVersion")


@given(st.dictionaries(st.sampled_from(keys), json_values), st.sampled_from((IMAGE, INDEX)))
def test_any_body_decodes_or_is_an_integrity_error(changes, honest):
    try:
        decoded = decode({**honest, **changes})
    except IntegrityError:
        return
    assert manifest.decode(decoded.encode()) == decoded


@given(st.binary(max_size=200))
def test_any_bytes(content):
    with pytest.raises(IntegrityError):
        manifest.decode(content)


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just(CONFIG["digest"])
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
descriptors = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("mediaType", "digest", "size", "platform"), values)
)


@given(
    st.fixed_dictionaries(
        {"schemaVersion": st.just(2)},
        optional={
            "mediaType": values
            | st.sampled_from([media_types.OCI_INDEX, media_types.OCI_MANIFEST]),
            "config": values | descriptors | st.just(CONFIG),
            "layers": values | st.lists(descriptors | st.just(LAYER), max_size=3),
            "manifests": values | st.lists(descriptors | st.just(LAYER), max_size=3),
            "annotations": values,
        },
    )
)
@settings(deadline=None, database=None)
def test_any_body_is_a_manifest_an_index_or_an_integrity_error(value):
    try:
        decode(value)
    except IntegrityError as error:
        assert error.message
