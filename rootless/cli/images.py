"""`images`, `tag`, `rmi` and `pull`."""

from __future__ import annotations

import sys

from rootless.cli import listing, words
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.oci.reference import Reference
from rootless.store import Store
from rootless.store import images as store_images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.store.images import Image, Listed

_HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
}
_NONE = "<none>"


def images(given: Settings, arguments: Arguments) -> int:
    """List images, newest first, a line for each name."""
    store = Store(given.root)
    found = sorted(
        store_images.listing(store, _warn),
        key=lambda image: words.timestamp(image.created),
        reverse=True,
    )
    kept = [image for image in found if _passes(store, image, arguments.filter)]
    wanted = _wanted(arguments)
    if arguments.quiet and not arguments.format:
        shown = [image for image in kept if _names(image, wanted)]
        for image in shown:
            print(listing.shown_id(image, full=arguments.no_trunc))
        return 0
    rows = [
        {**facts, "Repository": repository, "Tag": tag, "Digest": digest}
        for image in kept
        for facts in [_facts(image, full=arguments.no_trunc)]
        for repository, tag, digest in _names(image, wanted)
    ]
    columns = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
    if arguments.digests:
        columns.insert(2, "Digest")
    listing.show(rows, _HEADERS, columns, arguments.format or "")
    return 0


def _wanted(arguments: Arguments) -> tuple[str, ...]:
    """The patterns of which a name must match one, as docker has it; () allows all."""
    pairs = [one.partition("=")[::2] for one in arguments.filter]
    named = (arguments.name,) if arguments.name is not None else ()
    return (*named, *(value for key, value in pairs if key == "reference"))


def _warn(name: str, error: RootlessError) -> None:
    """One line for an image that cannot be shown; the others are."""
    complaint = words.escape(f"{name} is damaged and left out: {error.message}")
    print(f"warning: {complaint}", file=sys.stderr)


def tag(given: Settings, arguments: Arguments) -> int:
    """Give an image one more name."""
    store = Store(given.root)
    target = Reference.parse(arguments.target)
    store_images.tag(store, target, store_images.resolve(store, arguments.source).descriptor)
    return 0


def rmi(given: Settings, arguments: Arguments) -> int:
    """Remove images by name or id; goes on after an error, which is raised at the end."""
    from rootless import userns
    from rootless.container import records
    from rootless.store import removal

    store = Store(given.root)
    userns.enter()
    users = records.used_images(store)
    errors: list[RootlessError] = []
    removals, freed = removal.remove(store, arguments.names, force=arguments.force, users=users)
    for one in removals:
        if isinstance(one.error, NotFoundError) and arguments.force:
            print(words.escape(one.error.message), file=sys.stderr)
        elif one.error:
            errors.append(one.error)
        for untagged in one.untagged:
            print(f"Untagged: {untagged}")
        for deleted in one.deleted:
            print(f"Deleted: {deleted}")
    for deleted in freed.layers:
        print(f"Deleted: {deleted}")
    if errors:
        raise RootlessError("\n".join(error.message for error in errors), hint=errors[0].hint)
    return 0


def pull(given: Settings, arguments: Arguments) -> int:
    """Download an image, or what of it is new."""
    from rootless import userns
    from rootless.cli import fetch
    from rootless.image import obtain

    reference = Reference.parse(arguments.name)
    store = Store(given.root)
    before = obtain.find(store, str(reference))
    client = fetch.client(given, reference, tls_verify=arguments.tls_verify)
    platform = fetch.platform(arguments.platform)
    userns.enter()
    if not arguments.quiet:
        if reference.tag == "latest" and not arguments.name.endswith(":latest"):
            print("Using default tag: latest")
        print(f"{reference.tag or reference.digest}: Pulling from {reference.repository}")
    image = fetch.pull(
        given, store, client, reference, platform, out=sys.stdout, quiet=arguments.quiet
    )
    if not arguments.quiet:
        _summary(image, reference, is_new=before is None or before.id != image.id)
    print(reference)
    return 0


def _summary(image: Image, reference: Reference, *, is_new: bool) -> None:
    served = [one.digest for one in image.repo_digests if one.repository == reference.repository]
    print(f"Digest: {served[0] if served else image.descriptor.digest}")
    news = "Downloaded newer image" if is_new else "Image is up to date"
    print(f"Status: {news} for {reference.familiar}")


def _facts(image: Listed, *, full: bool) -> dict[str, str]:
    return {
        "ID": listing.shown_id(image, full=full),
        "CreatedSince": words.since(image.created),
        "CreatedAt": words.moment(image.created),
        "Size": words.size(image.size),
    }


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


def _passes(store: Store, image: Listed, filters: tuple[str, ...]) -> bool:
    return all(_passes_one(store, image, *one.partition("=")[::2]) for one in filters)


def _passes_one(store: Store, image: Listed, key: str, value: str) -> bool:
    if key == "dangling" and value.lower() in ("true", "1", "false", "0"):
        return bool(image.references) != (value.lower() in ("true", "1"))
    if key == "reference":
        return True  # a name's matter, not an image's: see _wanted
    if key == "label":
        name, equals, expected = value.partition("=")
        label = store_images.labels(store, image).get(name)
        return label is not None and (not equals or label == expected)
    if key in ("before", "since"):
        other = words.timestamp(store_images.resolve(store, value).created)
        own = words.timestamp(image.created)
        return own < other if key == "before" else own > other
    raise UsageError(
        f"invalid filter '{key}={value}'",
        hint="filters are dangling=true|false, label=NAME[=VALUE], reference=PATTERN, "
        "before=IMAGE and since=IMAGE",
    )
