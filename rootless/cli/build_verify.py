"""`build --verify`: the same build again without the cache, and what came out otherwise.

Layers are held against each other step by step, files by content, mode, owner and attributes. When
files were changed counts where SOURCE_DATE_EPOCH says what the time is; else only the clock tells.
"""

from __future__ import annotations

import sys

from rootless import leanjson, roots
from rootless.build import build as builder
from rootless.build.request import Caching
from rootless.cli import words
from rootless.cli.compare import fields
from rootless.roots import compare
from rootless.store import blobs, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from rootless.build.request import Event, Request
    from rootless.roots.compare import Difference
    from rootless.store import Store
    from rootless.store.images import Image
    from rootless.store.layers import Layer

_MOST_SHOWN = 50  # lines


def verify(store: Store, requests: Sequence[Request], built: Sequence[Image]) -> int:
    """Build again and print what differs; 1 if anything does."""
    print("verifying: the same build without the cache", file=sys.stderr)
    found: list[str] = []
    same = True
    for request, image in zip(requests, built, strict=True):
        form = request.form.replace(tags=(), is_listed=False)
        afresh = request.replace(
            caching=Caching(no_cache=True, inline=request.caching.inline), form=form
        )
        again = builder.build(store, afresh, _silent)
        request.enter()
        if again.id != image.id:
            same = False
            found += _differences(store, request, image, again)
    for line in found[:_MOST_SHOWN]:
        print(words.escape(line))
    if len(found) > _MOST_SHOWN:
        print(f"… and {len(found) - _MOST_SHOWN} differences more")
    if not found:
        but = "" if same else ", but for times: what was cached keeps those it was made with"
        print(f"verified: both builds give the same{but}", file=sys.stderr)
    return 1 if found else 0


def _silent(_event: Event) -> None:
    """The second build is told by its outcome; its errors are raised."""


def _differences(store: Store, request: Request, first: Image, second: Image) -> Iterator[str]:
    timed = request.epoch is not None
    steps = [one.created_by for one in first.config.history if not one.empty_layer]
    pairs = zip(*(images.layers_of(store, image) for image in (first, second)), strict=False)
    for number, (one, other) in enumerate(pairs):
        if one.diff_id != other.diff_id:
            step = steps[number] if number < len(steps) else f"layer {number + 1}"
            for difference in _of_layers(store, one, other, timed=timed):
                yield f"{step}: {_line(difference)}"
    described = (_described(store, image, timed=timed) for image in (first, second))
    for difference in fields("", *described):
        yield f"config: {_line(difference)}"


def _of_layers(store: Store, one: Layer, other: Layer, *, timed: bool) -> list[Difference]:
    """What is in one layer alone; times are looked at only where nothing else differs."""
    with roots.view(store, [one.path]) as left, roots.view(store, [other.path]) as right:
        found = list(compare.compare(left.fd, right.fd))
        if not found and timed:
            found = list(compare.compare(left.fd, right.fd, times=True))
    return found


def _line(one: Difference) -> str:
    if one.what == "presence":
        return f"{one.where}: only in the {'first' if one.second is None else 'second'} build"
    return f"{one.where}: {one.what}: {one.first or 'none'} != {one.second or 'none'}"


def _described(store: Store, image: Image, *, timed: bool) -> dict[str, Any]:
    """What its config says beside the layers, and the clock's times if they count."""
    value: dict[str, Any] = {**leanjson.loads(blobs.read(store, image.id)), "rootfs": None}
    if not timed:
        value.pop("created", None)
        history = value.get("history") or []
        value["history"] = [{**one, "created": None} for one in history]
    return value
