"""A busybox tree to start sandboxes in."""

from __future__ import annotations

import gzip
import io

import pytest

from rootless.archive import apply
from rootless.roots.overlay import Root
from tests.support import child, images


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    """A directory with the busybox image's only layer, unpacked."""
    folder = tmp_path_factory.mktemp("layer")
    image = images.busybox(folder / "layout")
    (folder / "diff").mkdir()
    (blob,) = (p for p in (folder / "layout/blobs/sha256").iterdir() if p.stat().st_size > 99_999)
    content = gzip.decompress(blob.read_bytes())
    child.in_child(lambda: apply.unpack(io.BytesIO(content).read, str(folder / "diff")))
    assert image.name
    yield folder / "diff"
    child.remove_tree(folder)


@pytest.fixture
def rootfs(layer, tmp_path):
    """Root file system parts under tmp_path, removed by somebody who may."""
    for name in ("diff", "work", "target", "etc"):
        (tmp_path / "c" / name).mkdir(parents=True)
    home = str(tmp_path / "c")
    yield Root("/", (str(layer),), str(home))
    child.remove_tree(tmp_path / "c")
