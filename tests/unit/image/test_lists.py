"""What a registry's index makes `manifest create` ask for."""

from __future__ import annotations

import pytest

from rootless.errors import IntegrityError, NotFoundError
from rootless.image import lists
from rootless.image.transport import Document
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest
from rootless.oci.platform import Platform
from rootless.store import Store


class Registry:
    """A source that has an index of images without layers, and notes what it is asked."""

    def __init__(self, *entries):
        self.asked = []
        self._blobs = {}
        self._index = Index(media_types.OCI_INDEX, entries).encode()

    def put(self, *architectures):
        """Entries for images that it has."""
        for architecture in architectures:
            config = ImageConfig(Platform.make("linux", architecture, "")).encode()
            blob = Descriptor(media_types.OCI_CONFIG, self._add(config), len(config))
            content = Manifest(media_types.OCI_MANIFEST, blob, ()).encode()
            yield Descriptor(media_types.OCI_MANIFEST, self._add(content), len(content))

    def _add(self, content):
        digest = Digest.of(content)
        self._blobs[digest] = content
        return digest

    def lists(self, *entries):
        self._index = Index(media_types.OCI_INDEX, entries).encode()

    def manifest(self, digest=None):
        if digest is None:
            return Document(self._index, media_types.OCI_INDEX, Digest.of(self._index))
        self.asked.append(digest)
        if digest not in self._blobs:
            raise NotFoundError("it is not there")
        return Document(self._blobs[digest], media_types.OCI_MANIFEST, digest)

    def blob(self, blob, offset=0):
        self.asked.append(blob.digest)
        yield self._blobs[blob.digest][offset:]

    def stop(self):
        """Nothing waits."""


def absent(number):
    return Descriptor(media_types.OCI_MANIFEST, Digest.of(str(number).encode()), 9)


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def test_each_image_is_asked_for_once(store):
    registry = Registry()
    (one, two) = registry.put("arm64", "s390x")
    registry.lists(*[one] * 500, two, *[one] * 600)
    found = lists.bring(store, registry, None, print)
    assert [entry.digest for entry in found] == [one.digest, two.digest]
    assert [entry.platform.architecture for entry in found] == ["arm64", "s390x"]
    assert len(registry.asked) == 4


def test_an_image_is_brought_before_the_next_is_asked_for(store):
    registry = Registry()
    (one,) = registry.put("arm64")
    registry.lists(one, absent(1), absent(2))
    with pytest.raises(NotFoundError):
        lists.bring(store, registry, None, print)
    first, config, second = registry.asked
    assert (first, second) == (one.digest, absent(1).digest)
    assert config not in (first, second)


def test_a_list_without_end_is_refused(store):
    registry = Registry(*map(absent, range(1001)))
    with pytest.raises(IntegrityError, match="lists 1001 images; no more than 1000"):
        lists.bring(store, registry, None, print)
    assert registry.asked == []
