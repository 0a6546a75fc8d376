"""`images`, `image exists` and `tag`."""

from __future__ import annotations

import sys
from math import inf

from rootless.cli import filters, listing, words
from rootless.errors import NotFoundError, RootlessError
from rootless.oci.reference import Reference
from rootless.store import Store, events
from rootless.store import images as store_images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.cli.filters import Filters
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.oci.digest import Digest
    from rootless.store.images import Listed

_HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "VirtualSize": "VIRTUAL SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_NONE = "<none>"
_FILTERS = ("dangling", "label", "label!", "reference", "before", "since", "until")


def images(given: Settings, arguments: Arguments) -> int:
    """List images, newest first, a line for each name."""
    store = Store(given.root)
    if arguments.tree:
        from rootless.cli import tree

        tree.check(arguments)
    asked = filters.parse(arguments.filter, _FILTERS)
    made = [(words.timestamp(image.created), image) for image in store_images.listing(store, _warn)]
    made.sort(key=lambda pair: -pair[0])
    bounds = _bounds(store, asked, made)
    kept = [
        image for at, image in made if not asked.pairs or _passes(store, image, at, asked, bounds)
    ]
    wanted = _wanted(arguments.name, asked)
    if arguments.tree:
        return _show_tree(given, store, kept, wanted, dangling=arguments.all)
    if arguments.quiet and not arguments.format:
        lines = [
            f"{listing.shown_id(image, full=arguments.no_trunc)}\n"
            for image in kept
            for _ in _names(image, wanted)
        ]
        if lines:  # a full disk is no trouble to who has nothing to say
            print(end="".join(lines))
        return 0
    users = _users(store)
    rows: list[listing.Row] = [
        {**facts, "Repository": repository, "Tag": tag, "Digest": digest}
        for image in kept
        for facts in [_facts(image, users, full=arguments.no_trunc)]
        for repository, tag, digest in _names(image, wanted)
    ]
    columns = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
    if arguments.digests:
        columns.insert(2, "Digest")
    headings = not arguments.noheading
    listing.show(rows, _HEADERS, columns, arguments.format or "", headings=headings)
    return 0


def _show_tree(
    given: Settings, store: Store, kept: list[Listed], wanted: tuple[str, ...], *, dangling: bool
) -> int:
    """Dangling images are shown with --all."""
    from rootless.cli import tree
    from rootless.container import records

    shown = []
    for image in kept:
        names = [f"{name}:{tag}" for name, tag, _ in _names(image, wanted) if tag != _NONE]
        if names or (dangling and image.is_dangling and not wanted):
            shown.append((image, names))
    tree.show(given, store, shown, set(records.used_images(store)))
    return 0


def _wanted(name: str | None, asked: Filters) -> tuple[str, ...]:
    """The patterns of which a name must match one, as docker has it; () allows all."""
    return (*((name,) if name is not None else ()), *asked.values("reference"))


def _warn(name: str, error: RootlessError) -> None:
    """One line for an image that cannot be shown; the others are."""
    complaint = words.escape(f"{name} is damaged and left out: {error.message}")
    print(f"warning: {complaint}", file=sys.stderr)


def tag(given: Settings, arguments: Arguments) -> int:
    """Give an image more names: all of them, or none when one cannot be."""
    store = Store(given.root)
    targets = [Reference.parse(one) for one in arguments.targets]
    source = store_images.resolve(store, arguments.source)
    store_images.tag_all(store, targets, source.descriptor)
    for target in targets:
        events.tell(store, "image", "tag", str(source.id), {"name": target.familiar})
    return 0


def exists(given: Settings, arguments: Arguments) -> int:
    """Say by the exit code alone whether an image is here: 0 or 1."""
    try:
        store_images.catalog(Store(given.root)).find(arguments.image)
    except NotFoundError:
        return 1
    return 0


def _users(store: Store) -> Callable[[Digest], str]:
    """What tells how many containers an image has, and looks at them when it is asked."""
    counts: dict[Digest, int] = {}

    def users(image_id: Digest) -> str:
        from rootless.container import records

        if not counts:
            counts[image_id] = 0
            for container in records.listing(store):
                counts[container.image_id] = counts.get(container.image_id, 0) + 1
        return str(counts.get(image_id, 0))

    return users


def _facts(
    image: Listed, users: Callable[[Digest], str], *, full: bool
) -> dict[str, str | Callable[[], str]]:
    return {
        "ID": listing.shown_id(image, full=full),
        "CreatedSince": words.since(image.created),
        "CreatedAt": listing.later(words.moment, image.created),
        "Size": words.size(image.size),
        "VirtualSize": listing.later(_virtual_size, image.size),
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": listing.later(users, image.id),
    }


def _virtual_size(size: int) -> str:
    return words.size(size, 4)


def _names(image: Listed, wanted: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Repository, tag and digest for each of the image's names that `wanted` allows."""
    digests = {one.familiar_name: str(one.digest) for one in image.repo_digests}
    tagged = {one.familiar_name for one in image.references}
    untagged = tuple(one for one in image.repo_digests if one.familiar_name not in tagged)
    by_digest = {one.familiar_name for one in image.repo_digests if _is_wanted(one, wanted)}
    names = [
        (one.familiar_name, one.tag or _NONE, digests.get(one.familiar_name, _NONE))
        for one in (*image.references, *untagged)
        if one.familiar_name in by_digest or _is_wanted(one, wanted)
    ]
    return names or ([] if wanted else [(_NONE, _NONE, _NONE)])


def _is_wanted(reference: Reference, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(_matches(reference, one) for one in patterns)


def _matches(reference: Reference, pattern: str) -> bool:
    """docker's reference pattern: a name with or without its tag; * stays within a component."""
    full_name = f"{reference.registry}/{reference.repository}"
    names = {reference.familiar, reference.familiar_name, str(reference), full_name}
    if not set(pattern) & set("*?["):
        return pattern in names
    from fnmatch import fnmatchcase

    parts = pattern.split("/")
    return any(
        name.count("/") == pattern.count("/") and all(map(fnmatchcase, name.split("/"), parts))
        for name in names
    )


def _passes(
    store: Store, image: Listed, made: float, asked: Filters, bounds: tuple[float, float]
) -> bool:
    """Whether an image made between the two `bounds` is asked for; names are another matter."""
    dangling = asked.flag("dangling")
    after, before = bounds
    return (
        (dangling is None or image.is_dangling == dangling)
        and after < made < before
        and (not asked.asks_labels or asked.has_labels(store_images.labels(store, image)))
    )


def _bounds(
    store: Store, asked: Filters, made: Sequence[tuple[float, Listed]]
) -> tuple[float, float]:
    """What is asked for was made after the first of these times and before the second."""
    listed = {image.descriptor.digest: at for at, image in made}

    def times(key: str) -> list[float]:
        found = [store_images.resolve(store, name).descriptor for name in asked.values(key)]
        return [listed[one.digest] for one in found if one.digest in listed]

    until = [asked.until] if asked.until is not None else []
    return max(times("since"), default=-inf), min([*times("before"), *until], default=inf)
