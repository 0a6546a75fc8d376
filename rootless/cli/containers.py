"""`ps`, `rm` and `container prune`: containers that run or have run."""

from __future__ import annotations

import sys
import time

from rootless.cli import filters, listing, published, words
from rootless.container import homes, records
from rootless.container.spec import Container, Damaged
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.state import ContainerState
    from rootless.oci.digest import Digest

_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Networks": "NETWORKS",
    "Mounts": "MOUNTS",
    "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
}
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


def ps(given: Settings, arguments: Arguments) -> int:
    """List containers, newest first."""
    store = Store(given.root)
    shown = _shown(store, arguments)
    if arguments.quiet:
        if arguments.format:
            _complain("WARNING: Ignoring custom format, because both --format and --quiet are set.")
        for one in shown:
            print(one.id if arguments.no_trunc else one.short)
        return 0
    size = _sizes(store)
    if given.as_podman and arguments.format == "json":
        from rootless.cli import podman

        podman.print_containers(shown)
        return 0
    rows: list[listing.Row] = [
        {**row(one, full=arguments.no_trunc), "Size": listing.later(size, one)} for one in shown
    ]
    columns = (*_COLUMNS, "Size") if arguments.size else _COLUMNS
    methods = [{"Label": _labelled(one)} for one in shown]
    headings = not arguments.noheading
    listing.show(rows, _HEADERS, columns, arguments.format or "", methods, headings=headings)
    return 0


def _shown(store: Store, arguments: Arguments) -> list[Container]:
    """Those that the flags mean."""
    last, every = _last(arguments), arguments.all
    meant: Callable[[Container], bool] = lambda _: True  # noqa: E731 - what no filter says
    if arguments.filter:
        from rootless.cli.chosen import Chosen

        chosen = Chosen(store, arguments.filter)
        every, meant = every or chosen.all_states, chosen.has
    found = [one for one in records.listing(store, _warn) if meant(one)]
    if last > 0:
        return found[:last]
    return [one for one in found if every or one.is_running]


def _last(arguments: Arguments) -> int:
    """How many to show by --last and --latest; as in docker, 0 or less says nothing."""
    if arguments.latest:
        return 1
    text = arguments.last or "0"
    if not text.removeprefix("-").isdecimal():
        raise UsageError(f"--last {text!r} is not a number of containers", hint="write --last 3")
    return int(text[:9])


def _sizes(store: Store) -> Callable[[Container], str]:
    """What tells a container's size. It enters the namespace, for the files are of mapped ids."""
    from rootless.store import images, layers

    known: dict[Digest, int] = {}

    def size(container: Container) -> str:
        if not known:
            from rootless import userns

            known.update((one.id, one.size) for one in images.listing(store, lambda *_: None))
            known.setdefault(container.image_id, 0)
            userns.enter()
        own = layers.weigh(store.path("containers", container.id, "diff"))
        whole = own + known.get(container.image_id, 0)
        return f"{words.size(own)} (virtual {words.size(whole)})"

    return size


def _labelled(container: Container) -> Callable[[str], str]:
    return lambda name: container.labels.get(name, "")


def rm(given: Settings, arguments: Arguments) -> int:
    """Remove containers; goes on after an error, which is raised at the end."""
    from rootless import userns
    from rootless.cli.several import Several

    store = Store(given.root)
    names = Several(store, arguments).names
    userns.enter()
    errors: list[RootlessError] = []
    for name in names:
        try:
            _remove(store, name, force=arguments.force, volumes=arguments.volumes)
        except RootlessError as error:
            if arguments.force and isinstance(error, NotFoundError):
                _complain(error.message)
            else:
                errors.append(error)
        else:
            print(words.escape(name), flush=True)
    if errors:
        raise RootlessError("\n".join(error.message for error in errors), hint=errors[0].hint)
    return 0


def exists(given: Settings, arguments: Arguments) -> int:
    """Say by the exit code alone whether a container is here: 0 or 1."""
    return 0 if records.search(Store(given.root), arguments.container) else 1


def prune(given: Settings, arguments: Arguments) -> int:
    """Remove every stopped container."""
    from rootless import userns
    from rootless.cli import prune
    from rootless.store import events

    asked = filters.parse(arguments.filter, prune.FILTERS)
    if not arguments.force and not prune.agreed(" all stopped containers."):
        return 0
    userns.enter()
    store = Store(given.root)
    removed, size = homes.prune(store, lambda one: prune.is_meant(one, asked))
    events.pruned(store, "container", size)
    prune.print_containers(removed)
    print(f"Total reclaimed space: {words.size(size, 4)}")
    return 0


def _remove(store: Store, name: str, *, force: bool, volumes: bool) -> None:
    found = records.find(store, name)
    if isinstance(found, Container) and found.state.status == "paused" and not force:
        raise RootlessError(
            f'cannot remove container "{name}": container is paused and must be unpaused first',
            hint=f"end it and remove it with: rootless rm -f {name}",
        )
    if found.is_running and not force:
        raise RootlessError(
            f'cannot remove container "{name}": container is running: '
            "stop the container before removing or force remove",
            hint=f"end it and remove it with: rootless rm -f {name}",
        )
    if found.is_running:
        homes.end(store, found)
    homes.remove(store, found)
    if volumes and not isinstance(found, Damaged):
        from rootless.container import volumes as used

        used.remove_anonymous(store, used.names(found.spec))


def _warn(damaged: Damaged) -> None:
    """One line for a container that cannot be shown; the others are."""
    _complain(
        f"warning: container {damaged.id[:12]} is damaged and left out: {damaged.why}; "
        f"remove it with: rootless rm {damaged.id[:12]}"
    )


def _complain(text: str) -> None:
    print(words.escape(text), file=sys.stderr)


def row(container: Container, *, full: bool) -> dict[str, str]:
    """What tables show of a container, by docker's names."""
    spec, state = container.spec, container.state
    created = time.localtime(container.created)
    sources = [one.source or one.name for one in spec.mounts if one.kind != "tmpfs"]
    return {
        "ID": container.id if full else container.short,
        "Image": container.image,
        "Command": _command(container.command, full=full),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", created),
        "RunningFor": words.age(time.time() - container.created),
        "Status": _status(state),
        "State": state.status,
        "Ports": published.column(container),
        "Names": container.name,
        "Networks": ",".join(sorted(spec.networks)),
        "Mounts": ",".join(one if full else _shortened(one) for one in sources),
        "Labels": ",".join(f"{name}={value}" for name, value in container.labels.items()),
        "LocalVolumes": str(sum(one.kind == "volume" for one in spec.mounts)),
    }


def _status(state: ContainerState) -> str:
    """Docker's words for how it fares."""
    now = time.time()
    if state.status == "created":
        return "Created"
    ago = words.age(now - state.finished)
    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {ago}"
    if not state.is_running:
        return f"Exited ({state.exit_code}) {ago}"
    up = words.age(now - state.started).removesuffix(" ago")
    if state.status == "paused":
        return f"Up {up} (Paused)"
    return f"Up {up}{_health(state)}"


def _health(state: ContainerState) -> str:
    if state.health is None:
        return ""
    status = state.health.status
    return f" (health: {status})" if status == "starting" else f" ({status})"


def _shortened(mount: str) -> str:
    return mount if len(mount) <= _MOUNT_WIDTH else f"{mount[: _MOUNT_WIDTH - 1]}…"


def _command(argv: tuple[str, ...], *, full: bool) -> str:
    """As docker shows it: arguments with a blank in quotes, and all of it quoted as Go does."""
    first, *rest = argv or ("",)
    shown = " ".join([first, *(f"'{word}'" if " " in word else word for word in rest)])
    if not full and len(shown) > _COMMAND_WIDTH:
        shown = shown[: _COMMAND_WIDTH - 1] + "…"
    return '"' + words.escape(shown.replace("\\", "\\\\").replace('"', '\\"')) + '"'
