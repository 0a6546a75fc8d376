"""How a file tree is put together."""

from __future__ import annotations

from rootless import roots
from rootless.roots import overlay as overlaid
from rootless.sandbox.operations.tree import Overlay
from rootless.store import Store


def overlay(root):
    (operation,) = root.operations
    assert isinstance(operation, Overlay)
    return operation


def test_a_layer_that_occurs_twice_is_mounted_once():
    root = overlaid.Root("/layers", ("c", "b", "c", "a", "b"), "/w")
    assert overlay(root).lowers == ("c", "b", "a")


def test_layers_have_short_names_wherever_in_the_store_they_are(tmp_path):
    store = Store(str(tmp_path))
    paths = (store.path("tmp", "1-ab", "diff"), store.path("layers", "0123456789ab", "diff"))
    root = roots.present(store, paths, "/w", bottom=store.path("skeleton"))
    assert overlay(root).base == store.path("layers")
    assert overlay(root).lowers == ("../tmp/1-ab/diff", "0123456789ab/diff", "../skeleton")


def test_changes_go_where_commit_says():
    root = overlaid.Root("/layers", ("a",), "/w", volatile=False)
    assert (overlay(root).upper, overlay(root).target) == (root.commit(), root.target)
    assert not overlay(root).volatile
