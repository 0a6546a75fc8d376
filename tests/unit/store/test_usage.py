"""What the disk is taken by: each byte once, and a prune gives back what was said."""

from __future__ import annotations

import os
from pathlib import Path

from rootless.store import blobs, removal
from rootless.store.usage import Usage


def write_step(store, key, text):
    Path(store.path("cache/steps", f"{key}.json")).write_text(text)


def on_disk(store):
    """Bytes of every blob file; the layers of `make_image` say 9 bytes each."""
    files = Path(store.path("blobs/sha256")).iterdir()
    return sum(path.stat().st_size for path in files) + 9 * len(os.listdir(store.path("layers")))


def total(usage):
    return usage.size(frozenset().union(*(pieces for _, pieces in usage.images)))


def test_what_is_shared_counts_once(store, make_image):
    make_image("one", layer="same", cmd=("1",))
    make_image("two", "again", layer="same", cmd=("2",))
    make_image("other", layer="other")
    usage = Usage(store)
    assert total(usage) == on_disk(store)
    assert usage.size(usage.shared()) == 9, "one layer"
    own = {one.id: pieces - usage.shared() for one, pieces in usage.images}
    assert len(own) == 3
    assert sum(map(usage.size, own.values())) + 9 == on_disk(store)


def test_a_prune_gives_back_what_was_said(store, make_image):
    make_image("one", layer="same", cmd=("1",))
    make_image("two", layer="other")
    write_step(store, "0123", f'{{"diff_id": "{make_image(layer="cached").config.diff_ids[0]}"}}')
    removal.prune(store)
    usage = Usage(store)
    (cached,) = usage.cached()
    assert (cached.key, cached.kind, usage.size(cached.pieces)) == ("0123", "regular", 9)
    said = total(usage) + usage.size(cached.pieces) + cached.size
    assert removal.prune(store, everything=True, cache=lambda _one, _usage: True).size == said
    assert on_disk(store) == 0


def test_damaged_things_count_what_is_left_of_them(store, make_image):
    image = make_image("app")
    os.unlink(blobs.path(store, image.id))
    Path(store.path("layers", image.config.diff_ids[0].short, "layer.json")).write_text("{")
    write_step(store, "0123", "[")
    usage = Usage(store)
    assert total(usage) == on_disk(store) - 9
    assert usage.cached()[0].pieces == frozenset()


def test_no_store_takes_nothing(store):
    usage = Usage(store)
    assert (usage.images, usage.cached()) == ((), ())
    assert not os.path.exists(store.root)
