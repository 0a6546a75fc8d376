"""`system df`: what takes the disk, what of it nothing needs, in docker's tables.

Sizes are what a prune would give back: of blobs and of the files in layers, each counted once. A
container's own files belong to mapped ids, so the namespace is entered where there are containers.
"""

from __future__ import annotations

from rootless.cli import containers, listing, words
from rootless.cli import volumes as volume_words
from rootless.container import records
from rootless.container import volumes as used
from rootless.record import Record
from rootless.store import Store, kept, layers, volumes
from rootless.store.usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.spec import Container
    from rootless.store.kept import Cached
    from rootless.store.volumes import Volume

    Row = dict[str, str]

_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_IMAGES = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_CONTAINERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Names": "NAMES",
}
_VOLUMES = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
_CACHE = {
    "ID": "CACHE ID",
    "CacheType": "CACHE TYPE",
    "Size": "SIZE",
    "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED",
    "UsageCount": "USAGE",
    "Shared": "SHARED",
}


class _Disk(Record):
    """Everything that is shown, measured at one time; sizes in bytes."""

    usage: Usage
    containers: tuple[tuple[Container, int], ...]
    volumes: tuple[tuple[Volume, int, int], ...]
    """With how many containers use each, and its bytes."""
    cached: tuple[Cached, ...]


def df(given: Settings, arguments: Arguments) -> int:
    """Print how much of the disk images, containers and the build cache take."""
    disk = _measure(Store(given.root))
    form = arguments.format or ""
    if not arguments.verbose:
        listing.show([*map(_row, _summaries(disk))], _HEADERS, [*_HEADERS], form)
    elif form in ("", "table"):
        _print_tables(disk)
    else:
        _print_formatted(disk, form)
    return 0


def _measure(store: Store) -> _Disk:
    found = records.listing(store)
    kept_volumes = volumes.listing(store)
    if found or kept_volumes or kept.has_mounts(store):
        from rootless import userns

        userns.enter()
    sizes = [layers.weigh(store.path("containers", one.id, "diff")) for one in found]
    usage = Usage(store)
    return _Disk(
        usage, tuple(zip(found, sizes, strict=True)), _volumes(store, kept_volumes), usage.cached()
    )


def _volumes(store: Store, found: tuple[Volume, ...]) -> tuple[tuple[Volume, int, int], ...]:
    users = used.users(store)
    return tuple((one, len(users.get(one.name, ())), layers.weigh(one.data)) for one in found)


class _Summary(Record):
    """A line of the short table."""

    what: str
    total: int
    active: int
    size: int
    reclaimable: int


def _summaries(disk: _Disk) -> Sequence[_Summary]:
    usage = disk.usage
    in_use = {one.image_id for one, _ in disk.containers}
    needed = usage.pieces(in_use)
    stays = needed.union(*(pieces for one, pieces in usage.images if one.id in in_use))
    everything = stays.union(*(pieces for _, pieces in usage.images))
    running = [size for one, size in disk.containers if one.is_running]
    sizes = [size for _, size in disk.containers]
    cache = usage.only_kept(disk.cached)
    free_cache = usage.only_kept(one for one in disk.cached if not one.in_use)
    cache_active = sum(one.in_use for one in disk.cached)
    active = sum(one.id in in_use for one, _ in usage.images)
    total = usage.size(everything)
    free = total - usage.size(stays)
    return (
        _Summary("Images", len(usage.images), active, total, free),
        _Summary("Containers", len(sizes), len(running), sum(sizes), sum(sizes) - sum(running)),
        _volumes_summary(disk),
        _Summary("Build Cache", len(disk.cached), cache_active, cache, free_cache),
    )


def _volumes_summary(disk: _Disk) -> _Summary:
    total = sum(size for _, _, size in disk.volumes)
    active = sum(links > 0 for _, links, _ in disk.volumes)
    free = sum(size for _, links, size in disk.volumes if not links)
    return _Summary("Local Volumes", len(disk.volumes), active, total, free)


def _row(one: _Summary) -> Row:
    reclaimable = words.size(one.reclaimable, 4)
    if one.size and one.what != "Build Cache":
        reclaimable += f" ({one.reclaimable * 100 // one.size}%)"
    return {
        "Type": one.what,
        "TotalCount": str(one.total),
        "Active": str(one.active),
        "Size": words.size(one.size, 4),
        "Reclaimable": reclaimable,
    }


def _print_tables(disk: _Disk) -> None:
    cache = next(one for one in _summaries(disk) if one.what == "Build Cache")
    for title, headers, rows in (
        ("Images space usage:", _IMAGES, _image_rows(disk, full=False)),
        ("Containers space usage:", _CONTAINERS, _container_rows(disk, full=False)),
        ("Local Volumes space usage:", _VOLUMES, _volume_rows(disk)),
        (f"Build cache usage: {words.size(cache.size, 4)}", _CACHE, _cache_rows(disk, full=False)),
    ):
        print(f"{title}\n")
        listing.show(rows, headers, [*headers], "")
        if headers is not _CACHE:
            print()


def _print_formatted(disk: _Disk, form: str) -> None:
    value = {
        "Images": _image_rows(disk, full=True),
        "Containers": _container_rows(disk, full=True),
        "Volumes": _volume_rows(disk),
        "BuildCache": _cache_rows(disk, full=True),
    }
    listing.show_value(value, form)


def _image_rows(disk: _Disk, *, full: bool) -> list[Row]:
    users = [one.image_id for one, _ in disk.containers]
    usage = disk.usage
    all_shared = usage.shared()
    rows = []
    for image, pieces in sorted(usage.images, key=lambda pair: pair[0].created, reverse=True):
        shared = pieces & all_shared
        names = (*image.references, *image.repo_digests)
        rows.append(
            {
                "Repository": names[0].familiar_name if names else "<none>",
                "Tag": (names[0].tag if names else None) or "<none>",
                "ID": listing.shown_id(image, full=full),
                "CreatedAt": words.moment(image.created),
                "CreatedSince": words.since(image.created),
                "Size": words.size(usage.size(pieces)),
                "SharedSize": words.size(usage.size(shared), 4),
                "UniqueSize": words.size(usage.size(pieces - shared), 4),
                "Containers": str(users.count(image.id)),
            }
        )
    return rows


def _container_rows(disk: _Disk, *, full: bool) -> list[Row]:
    return [
        {**containers.row(one, full=full), "Size": words.size(size)}
        for one, size in disk.containers
    ]


def _volume_rows(disk: _Disk) -> list[Row]:
    return [
        {**volume_words.row(one), "Links": str(links), "Size": words.size(size)}
        for one, links, size in disk.volumes
    ]


def _cache_rows(disk: _Disk, *, full: bool) -> list[Row]:
    """How often a record was of use nobody counts."""
    import time

    needed = disk.usage.needed()
    now = time.time()
    return [
        {
            "ID": one.key if full else one.key[:12],
            "CacheType": one.kind,
            "Size": words.size(disk.usage.size(one.pieces) + one.size, 4),
            "CreatedSince": words.age(max(0.0, now - one.created)),
            "LastUsedSince": words.age(max(0.0, now - one.used)),
            "UsageCount": "N/A",
            "Shared": str(bool(one.pieces & needed)).lower(),
        }
        for one in sorted(disk.cached, key=lambda one: one.used, reverse=True)
    ]
