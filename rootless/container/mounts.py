"""What is mounted in a container besides its root: from the spec's values to operations.

Runs in the process that starts the container; volumes must be there by then: see `settle`.
"""

from __future__ import annotations

import os

from rootless import inroot, linux, owners, roots
from rootless.errors import RootlessError
from rootless.sandbox.operations.tree import Bind, Tmpfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.container.spec import ContainerSpec, Mount
    from rootless.sandbox.spec import Operation
    from rootless.store import Store

_SWITCHED_OFF = {"exec": linux.MS_NOEXEC, "suid": linux.MS_NOSUID, "dev": linux.MS_NODEV}
_SET_ALREADY = frozenset(
    ("rw", "noexec", "nosuid", "nodev", "defaults", "bind", "rbind", "tmpcopyup", "notmpcopyup")
)
_ATTRIBUTES = {
    "noexec": linux.MOUNT_ATTR_NOEXEC,
    "nosuid": linux.MOUNT_ATTR_NOSUID,
    "nodev": linux.MOUNT_ATTR_NODEV,
}
_PROPAGATIONS = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))
_SCRATCH = "scratch"
_OF_MEMORY = frozenset(
    ("ro", "noexec", "nosuid", "nodev", "size", "nr_inodes", "nr_blocks", "mpol")
)
"""Of a tmpfs, what is not its directory's."""


def operations(
    store: Store, spec: ContainerSpec, home: str, stack: Callable[[Mount], tuple[str, ...]]
) -> tuple[Operation, ...]:
    """Outer ones before those inside them. What is to be thrown away is caught in `home`; `stack`
    gives the layers of an image that is to be shown.
    """
    user = spec.run.user if spec.mounts else ""
    if any("O" in one.options or one.kind == "image" for one in spec.mounts):
        _clear(f"{home}/{_SCRATCH}")
    return tuple(
        _tmpfs(one.target, one.options, read_only=one.read_only)
        if one.kind == "tmpfs"
        else _image(one, stack(one), f"{home}/{_SCRATCH}/{number}")
        if one.kind == "image"
        else _shown(store, one, user, f"{home}/{_SCRATCH}/{number}")
        for number, one in enumerate(in_order(spec.mounts))
    )


def in_order(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Outer ones before those inside them."""
    return tuple(sorted(mounts, key=lambda one: one.target.rstrip("/").count("/")))


def missing(mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Paths of the host that are to be shown and are not there."""
    sources = (one.source for one in mounts if one.kind == "bind")
    return tuple(path for path in sources if not os.path.exists(path))


def losses(mounts: tuple[Mount, ...]) -> str:
    """What a tmpfs is not where nothing can be mounted, and was asked to be: a sentence, or ""."""
    lost = [
        f"{word} of {one.target}"
        for one in mounts
        if one.kind == "tmpfs"
        for word in (*one.options, *(("ro",) if one.read_only else ()))
        if word.partition("=")[0] in _OF_MEMORY
    ]
    if not lost:
        return ""
    return f"a tmpfs is a directory on disk here, and cannot be given: {', '.join(lost)}"


def bind(mount: Mount, source: str = "", user: str = "") -> Bind:
    """Of a bind, or of a volume whose data is at `source`."""
    words = mount.options
    if "U" in words:
        from rootless.sandbox import ownership  # noqa: F401 - needed where nothing can be imported
    attributes = 0
    for word in words:
        attributes |= _ATTRIBUTES.get(word, 0)
    return Bind(
        source or mount.source,
        mount.target,
        read_only=mount.read_only,
        propagation=next((word for word in words if word in _PROPAGATIONS), "rprivate"),
        attributes=attributes,
        recursive="bind" not in words,
        deep="writable-submounts" not in words,
        subpath=mount.value("subpath"),
        owner=user if "U" in words else None,
    )


def _shown(store: Store, mount: Mount, user: str, folder: str) -> Operation:
    source = mount.source
    if mount.kind == "volume":
        from rootless.store import volumes

        volume = volumes.find(store, mount.name)
        kind, words = volume.options.get("type"), volume.options.get("o", "").split(",")
        if kind == "tmpfs":
            return _tmpfs(mount.target, tuple(filter(None, words)), read_only=mount.read_only)
        source = volume.options["device"] if kind else volume.data
    if "O" in mount.options:
        from rootless.sandbox.operations.scratch import Scratch

        return Scratch(source, mount.target, folder)
    return bind(mount, source, user)


def _image(mount: Mount, layers: tuple[str, ...], folder: str) -> Operation:
    if tree := roots.spread(layers, folder):
        return _of_tree(mount, tree)
    from rootless.sandbox.operations.stacked import Stacked

    return Stacked(
        mount.source, layers, mount.target, folder, mount.read_only, mount.value("subpath")
    )


def _of_tree(mount: Mount, tree: str) -> Operation:
    """A copy of an image's files, which is thrown away. RootlessError for a part it has not."""
    part = mount.value("subpath")
    tree_fd = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = inroot.open_path(tree_fd, part or ".")
        source = os.readlink(f"/proc/self/fd/{fd}")
        os.close(fd)
    except OSError as error:
        raise RootlessError(
            f"{part} of the image {mount.source} cannot be shown at {mount.target}: "
            f"{error.strerror}"
        ) from None
    finally:
        os.close(tree_fd)
    why = f"files of the image {mount.source}, what is changed there is thrown away"
    return Bind(source, mount.target, read_only=True, why=why)


def _tmpfs(target: str, words: tuple[str, ...], *, read_only: bool) -> Tmpfs:
    """Options go to the kernel but for the flags it takes separately."""
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    rest = []
    words, owner = _recorded(words) if owners.are_recorded() else (words, (0, 0))
    for word in words:
        if word in _SWITCHED_OFF:
            flags &= ~_SWITCHED_OFF[word]
        elif word not in (*_SET_ALREADY, "ro"):
            rest.append(word)
    if read_only or "ro" in words:
        flags |= linux.MS_RDONLY
    return Tmpfs(target, ",".join(rest), flags, owner)


def _recorded(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[int, int]]:
    """What is left for the kernel, which knows one id only, and the owner that was asked for."""
    ids = {"uid": 0, "gid": 0}
    rest = []
    for word in words:
        kind, _, value = word.partition("=")
        if kind in ids and value.isdecimal():
            ids[kind] = int(value)
        else:
            rest.append(word)
    return tuple(rest), (ids["uid"], ids["gid"])


def _clear(folder: str) -> None:
    """What was thrown away by an earlier start is gone for good."""
    from rootless import deletion

    deletion.remove(folder)
