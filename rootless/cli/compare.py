"""`image compare`: two images held against each other, field by field and file by file."""

from __future__ import annotations

from rootless import leanjson
from rootless.cli import listing, words
from rootless.roots.compare import Difference
from rootless.store import Store, blobs, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.store.images import Image


def compare(given: Settings, arguments: Arguments) -> int:
    """Print a line for each difference; 1 if there is any."""
    store = Store(given.root)
    first, second = (images.resolve(store, name) for name in (arguments.first, arguments.second))
    found = _differences(store, first, second)
    if arguments.format:
        return _print_formatted(arguments, [*found])
    count = 0
    for count, one in enumerate(found, 1):  # noqa: B007 - how many there were is used
        print(words.escape(_line(one, arguments.first, arguments.second)))
    return 1 if count else 0


def _line(one: Difference, first: str, second: str) -> str:
    if one.what == "presence":
        return f"{one.where}: only in {first if one.second is None else second}"
    values = [one.first or "none", one.second or "none"]
    return f"{one.where}: {one.what}: {values[0]} != {values[1]}"


def _print_formatted(arguments: Arguments, found: list[Difference]) -> int:
    value = {
        "First": arguments.first,
        "Second": arguments.second,
        "Same": not found,
        "Differences": [
            {"Where": one.where, "What": one.what, "First": one.first, "Second": one.second}
            for one in found
        ],
    }
    listing.show_value(value, arguments.format, "difference")
    return 1 if found else 0


def _differences(store: Store, first: Image, second: Image) -> Iterator[Difference]:
    if first.id == second.id:
        return
    yield from fields("", _described(store, first), _described(store, second))
    if first.config.diff_ids != second.config.diff_ids:
        yield from _trees(store, first, second)


def _described(store: Store, image: Image) -> dict[str, Any]:
    """All that its config says, and its layers."""
    value = leanjson.loads(blobs.read(store, image.id))
    return {**value, "rootfs": None, "layers": list(map(str, image.config.diff_ids))}


def fields(where: str, first: Any, second: Any) -> Iterator[Difference]:
    """Objects field by field, lists item by item."""
    if first == second:
        return
    if isinstance(first, dict) and isinstance(second, dict):
        for key in (*first, *(key for key in second if key not in first)):
            yield from fields(f"{where}.{key}".lstrip("."), first.get(key), second.get(key))
    elif isinstance(first, list) and isinstance(second, list):
        for at in range(max(len(first), len(second))):
            pair = [one[at] if at < len(one) else None for one in (first, second)]
            yield from fields(f"{where}[{at}]", *pair)
    else:
        yield Difference(where, "value", _shown(first), _shown(second))


def _shown(value: Any) -> str | None:
    return None if value is None else leanjson.dumps(value).decode()


def _trees(store: Store, first: Image, second: Image) -> Iterator[Difference]:
    from rootless import roots, userns
    from rootless.roots import compare as trees
    from rootless.store import layers

    userns.enter()
    paths = [
        [layer.path for layer in layers.visible(images.layers_of(store, image))]
        for image in (first, second)
    ]
    with roots.view(store, paths[0]) as one, roots.view(store, paths[1]) as other:
        yield from trees.compare(one.fd, other.fd)
