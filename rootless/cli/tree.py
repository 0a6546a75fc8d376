"""`images --tree`, docker's view of images with their platforms, and `image tree`, podman's of one
image's layers.
"""

from __future__ import annotations

import os
import sys

from rootless.cli import words
from rootless.errors import IntegrityError, NotFoundError, UsageError
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.store import Store, blobs, layers
from rootless.store import images as store_images
from rootless.store.usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.oci.digest import Digest
    from rootless.store.images import Listed

    Chain = tuple[Digest, ...]

_WIDTH = 80
_LEGEND = "Info ->  U In Use "
_LABELS = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA")


def check(arguments: Arguments) -> None:
    """UsageError for what docker's tree does not take either."""
    for field, name in (
        ("quiet", "--quiet"),
        ("no_trunc", "--no-trunc"),
        ("digests", "--digests"),
        ("format", "--format"),
    ):
        if getattr(arguments, field):
            raise UsageError(
                f"{name} is not yet supported with --tree", hint=f"leave out {name} or --tree"
            )


def show(
    given: Settings, store: Store, shown: Sequence[tuple[Listed, list[str]]], used: set[Digest]
) -> None:
    """Print images with the names to show of each; `used` are ids of those that containers use."""
    usage = Usage(store)
    pieces = {image.descriptor.digest: found for image, found in usage.images}
    rows: list[tuple[list[str], tuple[str, ...]]] = []
    for image, names in shown:
        sizes = _sizes(usage, pieces.get(image.descriptor.digest, frozenset()))
        mark = "  U  " if image.id in used else ""
        rows.append((names or ["<untagged>"], (image.id.short, *sizes, mark)))
        rows += _platforms(store, usage, image)
    width = max([len("IMAGE"), *(len(name) for names, _ in rows for name in names)])
    colour = words.colours(sys.stdout, given.environment)
    print(f"{_LEGEND:>{_columns()}}\n")
    cells = zip(_LABELS, (width, 12, 10, 12, 5), strict=True)
    print(
        "   ".join(
            words.paint(label, "1", colour) + " " * (size - len(label)) for label, size in cells
        ).rstrip()
    )
    for names, (short, disk, content, mark) in rows:
        for name in names[:-1]:
            print(words.escape(name))
        print(
            f"{words.escape(names[-1]):{width}}   {short}   {disk:>10}   {content:>12}   {mark:5}"
        )


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return _WIDTH


def _sizes(usage: Usage, pieces: frozenset[tuple[str, Digest]]) -> tuple[str, str]:
    return words.size(usage.size(pieces)), words.size(usage.size(pieces, "blob"))


def _platforms(
    store: Store, usage: Usage, image: Listed
) -> list[tuple[list[str], tuple[str, ...]]]:
    """A line for each platform, that is here, of a list of images; none for a plain image."""
    if image.descriptor.media_type not in media_types.INDEXES:
        return []
    try:
        family = store_images.family(store, store_images.resolve(store, str(image.id)))
    except (NotFoundError, IntegrityError):
        return []
    rows: list[tuple[list[str], tuple[str, ...]]] = []
    for at, (descriptor, one) in enumerate(family):
        line = "└─" if at + 1 == len(family) else "├─"
        sizes = _sizes(usage, usage.pieces([descriptor.digest]))
        rows.append(([f"{line} {one.config.platform}"], (descriptor.digest.short, *sizes, "")))
    return rows


def tree(given: Settings, arguments: Arguments) -> int:
    """Print the layers of an image, base first, and which images end at each, as podman does."""
    store = Store(given.root)
    image = store_images.resolve(store, arguments.image)
    own = image.config.diff_ids
    sizes = dict(zip(own, store_images.layer_sizes(store, image), strict=True))
    tops = _tops(store)
    lines = [(0, own[: at + 1]) for at in range(len(own))]
    if arguments.whatrequires:
        lines += _above(tops, own)
    tags = " ".join(one.familiar for one in image.references)
    print(f"Image ID: {image.id.short}")
    print(f"Tags:     [{words.escape(tags)}]")
    print(f"Size:     {words.size(sum(sizes.values()), 4)}")
    print("Image Layers")
    for at, (depth, chain) in enumerate(lines):
        goes_on = any(other == depth for other, _ in lines[at + 1 :])
        size = sizes.get(chain[-1]) or _layer_size(store, chain[-1])
        names = f" Top Layer of: [{' '.join(tops[chain])}]" if tops.get(chain) else ""
        branch = "├──" if goes_on else "└──"
        shown = f"ID: {chain[-1].short} Size: {words.size(size, 4)}{names}"
        print(f"{'    ' * depth}{branch} {words.escape(shown)}")
    return 0


def _tops(store: Store) -> dict[Chain, list[str]]:
    """The names of the images that consist of just these layers, base first."""
    tops: dict[Chain, list[str]] = {}
    for image in store_images.listing(store, lambda *_: None):
        try:
            chain = ImageConfig.decode(blobs.read(store, image.id)).diff_ids
        except (NotFoundError, IntegrityError):
            continue
        tops.setdefault(chain, []).extend(one.familiar for one in image.references)
    return tops


def _above(tops: Mapping[Chain, Sequence[str]], own: Chain) -> list[tuple[int, Chain]]:
    """The layers that other images stack on `own`, each once; those of a branch are deeper."""
    above = [chain for chain in tops if len(chain) > len(own) and chain[: len(own)] == own]
    parts = dict.fromkeys(
        chain[:end] for chain in above for end in range(len(own) + 1, len(chain) + 1)
    )
    lines: list[tuple[int, Chain]] = []
    pending = [(0, own, False)]
    while pending:
        depth, chain, is_branch = pending.pop()
        if chain != own:
            lines.append((depth, chain))
        next_ones = [one for one in parts if one[:-1] == chain]
        many = len(next_ones) > 1
        pending += [(depth + (many or is_branch), one, many) for one in reversed(next_ones)]
    return lines


def _layer_size(store: Store, diff_id: Digest) -> int:
    layer = layers.find(store, diff_id)
    return layer.contents if layer else 0
