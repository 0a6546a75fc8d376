"""The layers of a stage: what is mounted, and in which order."""

from __future__ import annotations

from rootless.build.stack import Entry, Stack
from rootless.oci.digest import Digest
from rootless.store.layers import Layer


def published(name: str, *, opaque: bool = False) -> Entry:
    layer = Layer(Digest.of(name.encode()), f"/layers/{name}", 1024, opaque=opaque)
    return Entry(layer.path, layer)


def test_the_topmost_layer_comes_first():
    assert Stack((published("base"), published("top"))).paths == ("/layers/top", "/layers/base")


def test_nothing_below_an_opaque_root_is_mounted():
    stack = Stack((published("old"), published("cut", opaque=True), Entry("/tmp/being-made")))
    assert stack.paths == ("/tmp/being-made", "/layers/cut")
    assert not stack.is_published


def test_what_is_not_mounted_still_counts_for_the_image():
    stack = Stack((published("old"), published("cut", opaque=True)))
    assert len(stack.diff_ids) == len(stack.descriptors) == 2


def test_chain_ids_are_the_specifications():
    one, two = published("1"), published("2")
    first, second = Stack((one,)), Stack((one, two))
    assert Stack().chain_id == ""
    assert first.chain_id == str(first.diff_ids[0])
    below, above = second.diff_ids
    assert second.chain_id == str(Digest.of(f"{below} {above}".encode()))
