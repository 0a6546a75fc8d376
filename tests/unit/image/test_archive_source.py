"""An archive as a source of blobs: their sizes are what the manifest says."""

from __future__ import annotations

import pytest

from rootless.errors import IntegrityError, NotFoundError
from rootless.image import archives
from rootless.oci import media_types
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.store import Store
from tests.support.images import layer, write_layout


@pytest.fixture
def source(tmp_path):
    image = write_layout(tmp_path / "layout", "app:1", [layer({"a": b"x"})])
    path = image.archive(tmp_path / "image.tar")
    with open(path, "rb") as file:
        return archives.Source(Store(str(tmp_path / "store")), file.read)


def test_a_blob_of_another_size_than_its_descriptor_says(source):
    config = source.manifest().decode().config
    assert Digest.of(b"".join(source.blob(config))) == config.digest
    for size in (config.size - 1, config.size + 1):
        with pytest.raises(IntegrityError, match=f"bytes instead of {size}"):
            next(iter(source.blob(config.replace(size=size))))
    with pytest.raises(NotFoundError):
        next(iter(source.blob(Descriptor(media_types.OCI_LAYER, Digest.of(b"other"), 5))))
