"""`image prune` and `system prune`: what nothing needs goes, after a question in docker's words."""

from __future__ import annotations

import sys

from rootless.cli import filters, words
from rootless.errors import UsageError
from rootless.oci.reference import Reference
from rootless.store import Store, events, kept, quarantine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.cli.filters import Filters
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.spec import Container
    from rootless.oci.digest import Digest
    from rootless.store.images import Listed
    from rootless.store.kept import Cached
    from rootless.store.removal import Pruned
    from rootless.store.usage import Usage

FILTERS = ("until", "label", "label!")


def system(given: Settings, arguments: Arguments) -> int:
    """Remove what nothing needs: stopped containers, dangling images (or all), the build cache."""
    from rootless import userns
    from rootless.cli import networks
    from rootless.container import homes

    asked = filters.parse(arguments.filter, FILTERS)
    if arguments.volumes and asked.until is not None:
        raise UsageError('The "until" filter is not supported with "--volumes"')
    store = Store(given.root)
    damaged = quarantine.names(store) if arguments.all and not asked.pairs else []
    if not arguments.force and not agreed(_everything(arguments, asked, damaged)):
        return 0
    unused = networks.pruned(store, asked, lambda one: not one.is_running and is_meant(one, asked))
    userns.enter()
    removed, size = homes.prune(store, lambda one: is_meant(one, asked))
    events.pruned(store, "container", size)
    print_containers(removed)
    networks.print_removed(unused)
    if arguments.volumes:
        size += _volumes(store, asked)
    cache = _cache(asked, everything=arguments.all)
    pruned = _prune(store, asked, everything=arguments.all, cache=cache)
    if damaged:
        print("Deleted Quarantine:", *damaged, "", sep="\n")
        size += quarantine.delete(store)
    events.pruned(store, "image", pruned.size)
    events.pruned(store, "builder")
    _print(pruned, size)
    return 0


def images(given: Settings, arguments: Arguments) -> int:
    """Remove dangling images, or all."""
    from rootless import userns

    asked = filters.parse(arguments.filter, FILTERS)
    if not arguments.force and not agreed(f" {_images(everything=arguments.all)}."):
        return 0
    store = Store(given.root)
    userns.enter()
    removed = _prune(store, asked, everything=arguments.all, cache=None)
    events.pruned(store, "image", removed.size)
    _print(removed)
    return 0


def _prune(
    store: Store,
    asked: Filters,
    *,
    everything: bool,
    cache: Callable[[Cached, Usage], bool] | None,
) -> Pruned:
    from rootless.container import records
    from rootless.store import images as store_images
    from rootless.store import removal

    def is_wanted(image: Listed) -> bool:
        return asked.is_old_enough(words.timestamp(image.created)) and (
            not asked.asks_labels or asked.has_labels(store_images.labels(store, image))
        )

    used: dict[Digest, set[str]] = {image: set() for image in records.used_images(store)}
    for container in records.listing(store):
        try:
            used[container.image_id].add(str(Reference.parse(container.image)))
            for image, name in _mounted(container):
                used[image].add(str(Reference.parse(name)))
        except (KeyError, UsageError):  # it came or went this moment; it knows the image by id
            continue
    return removal.prune(store, everything=everything, cache=cache, used=used, wanted=is_wanted)


def _mounted(container: Container) -> Iterator[tuple[Digest, str]]:
    """The images that a container shows, and what it calls them."""
    from rootless.container import records

    names = [one.source for one in container.spec.mounts if one.kind == "image"]
    return zip(records.mounted_images(container.spec), names, strict=True)


def _volumes(store: Store, asked: Filters) -> int:
    """Remove anonymous volumes that no container uses; the bytes in them."""
    from rootless.cli import volumes
    from rootless.container import volumes as used

    removed, size = used.prune(store, volumes.is_meant(asked, everything=False))
    events.pruned(store, "volume", size)
    volumes.print_removed(removed)
    return size


def is_meant(container: Container, asked: Filters) -> bool:
    """Whether a stopped container goes."""
    return asked.is_old_enough(container.created) and asked.has_labels(container.labels)


def _cache(asked: Filters, *, everything: bool) -> Callable[[Cached, Usage], bool] | None:
    """What of the build cache goes; it has no labels, so nothing where one is asked for."""
    if not asked.has_labels({}):
        return None
    return lambda one, usage: (
        asked.is_old_enough(one.used) and (everything or is_dangling(one, usage))
    )


def is_dangling(one: Cached, usage: Usage) -> bool:
    """Whether something in the build cache goes without --all, as in docker: it is of no image,
    and no note that the builder made for itself.
    """
    return one.kind != kept.INTERNAL and not one.pieces & usage.needed()


def _everything(arguments: Arguments, asked: Filters, damaged: list[str]) -> str:
    """What `system prune` will remove, in docker's words."""
    things = ["all stopped containers", "all networks not used by at least one container"]
    if arguments.volumes:
        things.append("all anonymous volumes not used by at least one container")
    things.append(_images(everything=arguments.all))
    things.append("all build cache" if arguments.all else "unused build cache")
    if damaged:
        things.append("all that 'system check --repair' has moved into quarantine")
    said = "".join((":", *(f"\n  - {thing}" for thing in things), "\n"))
    if asked.pairs:
        said += "\n  Items to be pruned will be filtered with:\n"
        said += "".join(f"  - {key}={value}\n" for key, value in sorted(asked.pairs))
    return said


def _images(*, everything: bool) -> str:
    if everything:
        return "all images without at least one container associated to them"
    return "all dangling images"


def agreed(what: str) -> bool:
    """Ask as docker does, with `what` behind its "will remove"; no answer is a no."""
    print(f"WARNING! This will remove{words.escape(what, lines=True)}")
    print("Are you sure you want to continue? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print()
    return answer.strip().lower() in ("y", "yes")


def print_containers(containers: tuple[Container, ...]) -> None:
    """Which were removed, as docker says it."""
    if containers:
        print("Deleted Containers:", *(one.id for one in containers), "", sep="\n")


def _print(pruned: Pruned, size: int = 0) -> None:
    """What went; `size` in bytes went with the containers."""
    if pruned.untagged or pruned.images or pruned.layers:
        print("Deleted Images:")
        for name in pruned.untagged:
            print(f"untagged: {name}")
        for digest in (*pruned.images, *pruned.layers):
            print(f"deleted: {digest}")
        print()
    if pruned.cached:
        print("Deleted build cache objects:", *pruned.cached, "", sep="\n")
    print(f"Total reclaimed space: {words.size(pruned.size + size, 4)}")
