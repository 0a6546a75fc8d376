"""What a new container is given before it is one: volumes made, filled and named in its record.

Runs as (mapped) root. All of a container's volumes exist from the moment its record names them, for
whoever takes volumes away does that behind the same door; a crash leaves volumes that nobody uses,
which a prune takes.
"""

from __future__ import annotations

import os

from rootless import inroot, owners
from rootless.container import homes, mounts, records
from rootless.container.spec import Container, Mount
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.container.homes import Home
    from rootless.container.spec import ContainerSpec
    from rootless.container.start import Ground
    from rootless.store import Store

_ALLOWED_IN_PROC = frozenset(
    f"/proc/{name}"
    for name in ("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg")
)
"""As in runc: what a file of the host's may stand for."""


def create(ground: Ground, spec: ContainerSpec) -> Home:
    """Make and hold the container's directory, with all that is to be mounted in it.

    RootlessError when its name is taken, or something cannot be mounted: then nothing is left.
    """
    if not (spec.mounts or spec.volumes_from or spec.run.volumes):
        return homes.create(ground.store, spec, lambda asked: _checked(ground, asked))
    home = homes.create(
        ground.store, spec, lambda asked: _settled(ground.store, _checked(ground, asked))
    )
    try:
        _seed(ground, home.spec)
    except BaseException:
        home.discard()
        raise
    return home


def _checked(ground: Ground, spec: ContainerSpec) -> ContainerSpec:
    """Itself; RootlessError where the ids that it was given are not there."""
    if own_ids := spec.confinement.own_ids:
        from rootless.container import identity

        identity.check(own_ids, ground.ids)
    return spec


def on_paper(store: Store, spec: ContainerSpec, folder: str) -> ContainerSpec:
    """The same for a plan that nobody carries out: volumes that are not there are directories."""
    from rootless.store import volumes

    every = []
    for number, one in enumerate(_every(store, spec)):
        if one.kind == "volume" and not volumes.search(store, one.name):
            one = one.replace(kind="bind", source=f"{folder}/volumes/{number}")  # noqa: PLW2901
        elif one.kind == "image":
            one = _identified(store, one)  # noqa: PLW2901
        every.append(one)
    return spec.replace(mounts=tuple(every))


def _settled(store: Store, spec: ContainerSpec) -> ContainerSpec:
    """Behind the door: every volume made, and the names of those that had none."""
    from rootless.container import volumes as used

    every = _every(store, spec)
    _make_sources(every)
    settled: list[Mount] = []
    try:
        for one in every:
            settled.append(_settle(store, one))
    except BaseException:
        used.drop_anonymous(store, (one.name for one in settled))
        raise
    return spec.replace(mounts=tuple(settled))


def _every(store: Store, spec: ContainerSpec) -> tuple[Mount, ...]:
    """What is asked for, before what other containers have, before what the image wants."""
    targets = {one.target: one for one in spec.mounts}
    for text in spec.volumes_from:
        for one in _inherited(store, text):
            targets.setdefault(one.target, one)
    for path in spec.run.volumes:
        target = os.path.normpath(f"/{path.strip('/')}")
        if target != "/":
            targets.setdefault(target, Mount("volume", target))
    for target in targets:
        _check_target(target)
    return mounts.in_order(tuple(targets.values()))


def _check_target(target: str) -> None:
    """RootlessError, as from runc, for a place where the kernel tells about the container."""
    inside = target == "/proc" or target.startswith("/proc/")
    if inside and target not in _ALLOWED_IN_PROC:
        raise RootlessError(
            f"{target} cannot be mounted because it is inside /proc",
            hint="choose another place in the container",
        )


def _inherited(store: Store, text: str) -> tuple[Mount, ...]:
    """What CONTAINER[:MODE] has, but for what is in memory."""
    name, _, mode = text.partition(":")
    found = records.find(store, name)
    if not isinstance(found, Container):
        raise RootlessError(f"container {name} is damaged: {found.why}")
    read_only = "ro" in mode.split(",")
    return tuple(
        one.replace(read_only=one.read_only or read_only, flag="")
        for one in found.spec.mounts
        if one.kind != "tmpfs"
    )


def _make_sources(every: tuple[Mount, ...]) -> None:
    """A directory that -v names and that is missing is made, as by docker."""
    for one in every:
        if one.kind != "bind" or os.path.exists(one.source):
            continue
        if "create" not in one.options:
            raise RootlessError(
                'invalid mount config for type "bind": bind source path does not exist: '
                f"{one.source}",
                hint="give a directory or file that is there; -v makes a directory",
            )
        try:
            os.makedirs(one.source, exist_ok=True)
        except OSError as error:
            raise RootlessError(
                f"{one.source} does not exist and cannot be made: {error.strerror}",
                hint="give a directory or file that is there",
            ) from None


def _settle(store: Store, mount: Mount) -> Mount:
    if mount.kind == "image":
        return _identified(store, mount)
    return _named(store, mount) if mount.kind == "volume" else mount


def _identified(store: Store, mount: Mount) -> Mount:
    """With the id of its image: it stays that one, whatever its name means later."""
    from rootless.store import images

    return mount.replace(name=mount.name or str(images.resolve(store, mount.source).id))


def _named(store: Store, mount: Mount) -> Mount:
    """Its volume is there."""
    from rootless.store import volumes

    labels = mount.values("label")
    if not mount.name:
        labels.setdefault(volumes.ANONYMOUS, "")
    name = mount.name or volumes.new_name()
    volumes.check_driver(name, mount.value("volume-driver"))
    options = volumes.check_options(name, mount.values("opt"))
    volumes.create(store, name, labels=labels, options=options)
    return mount.replace(name=name)


def _seed(ground: Ground, spec: ContainerSpec) -> None:
    """Fill empty volumes with what the image has in their places, as docker does."""
    from rootless.store import volumes

    for one in spec.mounts:
        if one.kind != "volume" or "nocopy" in one.options or one.value("subpath"):
            continue
        volume = volumes.find(ground.store, one.name)
        if not volume.options:
            volumes.seeded(volume, _filler(ground, spec, one.target))


def _filler(ground: Ground, spec: ContainerSpec, target: str) -> Callable[[str], bool]:
    return lambda folder: _fill(ground, spec, target, folder)


def _fill(ground: Ground, spec: ContainerSpec, target: str, folder: str) -> bool:
    """Copy a directory of the image into a new one; whether the image has it."""
    from rootless import permissions, roots
    from rootless.archive import apply, diff, unpacking
    from rootless.container import start

    start.furnish(ground, spec)
    with roots.view(ground.store, start.layers(ground.image.layers, spec)) as view:
        try:
            fd = inroot.open_path(view.fd, target, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        try:
            unpacking.unpack_apart(
                lambda put: diff.write_tree(f"/proc/self/fd/{fd}", put),
                folder,
                lambda coming, path: apply.unpack(coming, path, whiteouts=False),
            )
            found, mode, owner = os.fstat(fd), permissions.of_open(fd), owners.of_open(fd)
        finally:
            os.close(fd)
    owners.give(folder, *owner)
    permissions.give_name(folder, mode)
    os.utime(folder, ns=(found.st_atime_ns, found.st_mtime_ns))
    return True
