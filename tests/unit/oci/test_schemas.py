"""What we write, held against the JSON schemas of the OCI image specification."""

from __future__ import annotations

import json

import pytest

from rootless.oci import media_types
from rootless.oci.config import Healthcheck, History, ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest
from rootless.oci.platform import Platform
from tests.support.schemas import validator

jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("referencing")
pytestmark = pytest.mark.needs("shared")

LAYER = Descriptor(media_types.OCI_LAYER_GZIP, Digest.of(b"x"), 5, None, {"a": "b"})
ENTRY = Descriptor(media_types.OCI_MANIFEST, Digest.of(b"x"), 5, Platform("linux", "arm", "v7"))
CONFIG = ImageConfig(
    platform=Platform("linux", "amd64"),
    created="2024-01-02T03:04:05Z",
    env=("PATH=/bin",),
    cmd=(),
    entrypoint=("/init",),
    labels={"k": "v"},
    exposed_ports=("80/tcp",),
    volumes=("/data",),
    healthcheck=Healthcheck(("NONE",)),
    diff_ids=(Digest.of(b"x"),),
    history=(History("2024-01-02T03:04:05Z", "RUN true"), History(empty_layer=True)),
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config", CONFIG.encode()),
        ("config", ImageConfig(Platform("linux", "amd64")).encode()),
        (
            "image-manifest",
            Manifest(media_types.OCI_MANIFEST, LAYER, (LAYER,), {"x": "y"}).encode(),
        ),
        ("image-manifest", Manifest(media_types.OCI_MANIFEST, LAYER, (LAYER, LAYER)).encode()),
        ("image-index", Index(media_types.OCI_INDEX, (ENTRY, LAYER), {"x": "y"}).encode()),
    ],
)
def test_the_specifications_own_schema_accepts_it(name, content):
    validator(name).validate(json.loads(content))


def test_the_schema_is_not_asleep():
    with pytest.raises(jsonschema.ValidationError):
        validator("image-manifest").validate({"schemaVersion": 2, "layers": "no"})
