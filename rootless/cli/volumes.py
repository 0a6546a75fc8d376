"""`volume …`: data that outlives containers, listed, made, carried elsewhere and removed."""

from __future__ import annotations

import sys
import time

from rootless import interrupts
from rootless.cli import filters, listing, words
from rootless.container import volumes as used
from rootless.errors import IntegrityError, RootlessError, UsageError
from rootless.store import Store, events, volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rootless.archive import Put, Read
    from rootless.cli.filters import Filters
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.store.volumes import Volume

_HEADERS = {
    "Availability": "AVAILABILITY",
    "Driver": "DRIVER",
    "Group": "GROUP",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Status": "STATUS",
}
_COLUMNS = ("Driver", "Name")
_LS_FILTERS = ("dangling", "driver", "label", "label!", "name")
_PRUNE_FILTERS = ("all", "label", "label!")
_CHUNK = 1 << 18


def create(given: Settings, arguments: Arguments) -> int:
    """Make a volume, unless it is there, and print its name."""
    if arguments.volume and arguments.name:
        raise UsageError(
            "conflicting options: cannot specify a volume-name through both --name "
            "and as a positional arg"
        )
    name = arguments.volume or arguments.name or volumes.new_name()
    labels = dict(_pair(text) for text in arguments.label)
    if not arguments.volume and not arguments.name:
        labels.setdefault(volumes.ANONYMOUS, "")
    options = volumes.check_options(name, dict(_pair(text) for text in arguments.opt))
    volumes.check_driver(name, arguments.driver)
    volumes.create(Store(given.root), name, labels=labels, options=options)
    print(name)
    return 0


def exists(given: Settings, arguments: Arguments) -> int:
    """0 when there is such a volume, else 1."""
    return int(volumes.search(Store(given.root), arguments.volume) is None)


def ls(given: Settings, arguments: Arguments) -> int:
    """List volumes."""
    store = Store(given.root)
    asked = filters.parse(arguments.filter, _LS_FILTERS)
    found = list(filter(_chosen(store, asked), volumes.listing(store, _warn)))
    if arguments.quiet and not arguments.format:
        for one in found:
            print(one.name)
        return 0
    form = arguments.format or ""
    rows = [row(one) for one in found]
    methods = [{"Label": _labelled(one)} for one in found]
    listing.show(rows, _HEADERS, _COLUMNS, form, methods, headings=not arguments.noheading)
    return 0


def row(volume: Volume) -> dict[str, str]:
    """What tables show of a volume, by docker's names."""
    unknown = dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), "N/A")
    return {
        **unknown,
        "Driver": volumes.DRIVER,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(volume.labels.items())),
        "Mountpoint": volume.data,
        "Name": volume.name,
        "Scope": "local",
    }


def value(volume: Volume) -> dict[str, Any]:
    """Docker's object of a volume."""
    moment = time.localtime(volume.created)
    zone = time.strftime("%z", moment)
    return {
        "CreatedAt": time.strftime("%Y-%m-%dT%H:%M:%S", moment)
        + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"),
        "Driver": volumes.DRIVER,
        "Labels": dict(sorted(volume.labels.items())) or None,
        "Mountpoint": volume.data,
        "Name": volume.name,
        "Options": dict(sorted(volume.options.items())) or None,
        "Scope": "local",
    }


def inspect(given: Settings, arguments: Arguments) -> int:
    """Print what volumes are; those found even when others are not."""
    from rootless.cli import jsontext

    store = Store(given.root)
    if bool(arguments.names) == arguments.all:
        raise UsageError("name volumes to look at, or --all")
    names = arguments.names or [one.name for one in volumes.listing(store, _warn)]
    found, errors = _each(names, lambda name: volumes.find(store, name))
    values = [value(one) for one in found]
    form = arguments.format or ""
    if form in ("", "json"):
        print(jsontext.compact(values) if form else jsontext.indented(values))
    else:
        for one in values:
            listing.show_value(one, form)
    return _ended(errors)


def rm(given: Settings, arguments: Arguments) -> int:
    """Remove volumes; goes on after an error, which is raised at the end."""
    from rootless import userns

    store = Store(given.root)
    if bool(arguments.names) == arguments.all:
        raise UsageError("name volumes to remove, or --all")
    names = arguments.names or [one.name for one in volumes.listing(store, _warn)]
    userns.enter()

    def remove(name: str) -> None:
        used.remove(store, name, force=arguments.force)
        print(words.escape(name), flush=True)

    return _ended(_each(names, remove)[1])


def prune(given: Settings, arguments: Arguments) -> int:
    """Remove volumes that no container uses."""
    from rootless import userns
    from rootless.cli import prune as asking

    asked = filters.parse(arguments.filter, _PRUNE_FILTERS)
    everything = arguments.all or asked.flag("all") is True
    which = "all local" if everything else "anonymous local"
    what = f" {which} volumes not used by at least one container."
    if not arguments.force and not asking.agreed(what):
        return 0
    userns.enter()
    store = Store(given.root)
    removed, size = used.prune(store, is_meant(asked, everything=everything))
    events.pruned(store, "volume", size)
    print_removed(removed)
    print(f"Total reclaimed space: {words.size(size, 4)}")
    return 0


def is_meant(asked: Filters, *, everything: bool) -> Callable[[Volume], bool]:
    """Whether an unused volume goes: as in docker, never one that is mounted from elsewhere."""
    return lambda one: (
        (everything or one.is_anonymous) and not one.options and asked.has_labels(one.labels)
    )


def print_removed(removed: Sequence[Volume]) -> None:
    """Which were removed, as docker says it."""
    if removed:
        print("Deleted Volumes:", *(one.name for one in removed), "", sep="\n")


def export(given: Settings, arguments: Arguments) -> int:
    """Write the files of a volume to a tar archive; a file appears whole or not at all."""
    interrupts.catch()
    from rootless import userns
    from rootless.archive import diff
    from rootless.cli import files

    volume = volumes.find(Store(given.root), arguments.volume)
    files.check_stream(arguments.output)
    userns.enter()

    def write(put: Put) -> None:
        diff.write_tree(volume.data, put, changing=True)

    files.stream(arguments.output, write)
    return 0


def import_(given: Settings, arguments: Arguments) -> int:
    """Unpack a tar archive, of whatever compression, over what is in a volume."""
    interrupts.catch()
    import os

    from rootless import userns
    from rootless.archive import apply, codecs, unpacking
    from rootless.cli import files

    volume = volumes.find(Store(given.root), arguments.volume)
    source = arguments.source or "-"
    fd = files.open_archive(source, "name a tar archive: rootless volume export writes one")
    userns.enter()

    def write(put: Put) -> None:
        while chunk := os.read(fd, _CHUNK):
            put(chunk)

    def place(coming: Read, folder: str) -> None:
        apply.unpack(codecs.decompress(coming), folder, whiteouts=False)

    try:
        unpacking.unpack_apart(write, volume.data, place)
    except IntegrityError as error:
        shown = "standard input" if source == "-" else source
        raise IntegrityError(f"{shown}: {error.message}", hint=error.hint) from None
    return 0


def _chosen(store: Store, asked: Filters) -> Callable[[Volume], bool]:
    """Which volumes are listed; values of a key are alternatives, but labels must all be there."""
    dangling = asked.flag("dangling")
    in_use = used.users(store) if dangling is not None else {}
    drivers, names = asked.values("driver"), asked.patterns("name")

    def is_chosen(volume: Volume) -> bool:
        return (
            asked.has_labels(volume.labels)
            and (dangling is None or (volume.name not in in_use) == dangling)
            and (not drivers or volumes.DRIVER in drivers)
            and (not names or any(name.search(volume.name) for name in names))
        )

    return is_chosen


def _labelled(volume: Volume) -> Callable[[str], str]:
    return lambda name: volume.labels.get(name, "")


def _pair(text: str) -> tuple[str, str]:
    key, _, found = text.partition("=")
    return key, found


def _each(names: Sequence[str], act: Callable[[str], Any]) -> tuple[list[Any], list[RootlessError]]:
    """What `act` gives for each name, and the errors of those that it failed for."""
    found, errors = [], []
    for name in names:
        try:
            found.append(act(name))
        except RootlessError as error:
            errors.append(error)
    return found, errors


def _ended(errors: list[RootlessError]) -> int:
    if errors:
        raise RootlessError("\n".join(one.message for one in errors), hint=errors[0].hint)
    return 0


def _warn(name: str, error: IntegrityError) -> None:
    """One line for a volume that cannot be shown; the others are."""
    del name
    print(words.escape(f"warning: {error.message}; {error.hint}"), file=sys.stderr)
