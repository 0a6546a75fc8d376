"""What a container has written: its diff/ over its image's layers, less what we put there.

To mount something on a path that the image lacks, a start makes it, with its parents: empty
directories and files in diff/ that are no change of the container's. Runs as (mapped) root, in
the caller's private mount namespace; what is mounted here is gone with it.
"""

from __future__ import annotations

import os

from rootless import inroot, linux, owners, roots
from rootless.archive import whiteout, xattrs
from rootless.errors import NotFoundError, RootlessError
from rootless.store import images, layers, skeleton, snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.spec import Container
    from rootless.roots import Root, View
    from rootless.store import Store
    from rootless.store.images import Image
    from rootless.store.snapshots import Snapshot

_ALWAYS = ("/dev", "/proc", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
_MADE_DIRECTORY, _MADE_FILE = (0o040755, 0, 0), (0o100644, 0, 0)


class caught:  # noqa: N801 - read as `with writable.caught(store, container) as diff:`
    """The directory, in overlayfs form, with all changes; where they are caught in a copy of all
    files, those up to now, put together for as long as `with` is.
    """

    def __init__(self, store: Store, container: Container) -> None:
        home = store.path("containers", container.id)
        self._diff = f"{home}/diff"
        self._snapshot: Snapshot | None = None
        if container.is_running and roots.unfolded(home):
            self._snapshot = snapshots.create(store)
            self._diff = self._snapshot.diff
            try:
                with store.writing():
                    roots.unfold(home, self._diff)
            except BaseException:
                self._snapshot.discard()
                raise

    def __enter__(self) -> str:
        return self._diff

    def __exit__(self, *_: object) -> None:
        if self._snapshot:
            self._snapshot.discard()


class present:  # noqa: N801 - read as `with writable.present(store, container):`
    """NotFoundError, whatever else went wrong, when somebody has removed the container meanwhile.

    It leaves by a rename before anything of it is deleted: what was read of it may be a part.
    """

    def __init__(self, store: Store, container: Container) -> None:
        self._record = store.path("containers", container.id, "container.json")
        self._name = container.short

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        expected = error is None or isinstance(error, OSError | RootlessError)
        if expected and not os.path.exists(self._record):
            raise NotFoundError(f"No such container: {self._name}: it was removed meanwhile")


def image(store: Store, container: Container) -> Image:
    """The image it was made of. RootlessError when that is not here any more."""
    try:
        found = images.resolve(store, str(container.image_id))
    except NotFoundError:
        found = None
    if found is None or found.id != container.image_id:
        raise RootlessError(
            f"the image {container.image_id.short} of container {container.short} is not here",
            hint=f"get it back: rootless pull {container.image}",
        )
    return found


def below(store: Store, container: Container) -> View:
    """The tree that the container began with, mounted to read from."""
    return roots.view(store, _layers(store, container), bottom=skeleton.path(store))


def whole(store: Store, container: Container, diff: str) -> View:
    """All its files, with the changes in `diff`, mounted to read from."""
    return roots.view(store, (diff, *_layers(store, container)), bottom=skeleton.path(store))


def root(store: Store, container: Container) -> Root:
    """All its files, to be mounted and written to: only by who holds its directory."""
    home = store.path("containers", container.id)
    layers_of = _layers(store, container)
    return roots.present(store, layers_of, home, bottom=skeleton.path(store), volatile=False)


def _layers(store: Store, container: Container) -> tuple[str, ...]:
    """The image's layer directories, topmost first."""
    found = images.layers_of(store, image(store, container))
    paths = tuple(layer.path for layer in layers.visible(found))
    own_ids = container.spec.confinement.own_ids
    if not own_ids:
        return paths
    from rootless.store import owned

    for path in paths:
        owned.make(store, path, own_ids)
    return tuple(owned.path(path, own_ids) for path in paths)


def stubs(store: Store, container: Container, diff: str) -> frozenset[bytes]:
    """Paths in `diff` that are only there to mount on, or to lead there.

    b"." among them says that the container's root has not changed its mode or owner.
    """
    with below(store, container) as tree:
        upper = os.open(diff, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _Stubs(tree.fd, upper).find((*_mounted_on(container), *_ALWAYS))
        finally:
            os.close(upper)


def _mounted_on(container: Container) -> tuple[str, ...]:
    return tuple(one.target for one in container.spec.mounts)


class _Stubs:
    """A search in `upper` for what was made over the tree `lower`; both are descriptors."""

    def __init__(self, lower: int, upper: int) -> None:
        self._lower = lower
        self._upper = upper
        self._found: set[str] = set()

    def find(self, targets: tuple[str, ...]) -> frozenset[bytes]:
        """The deepest first: a directory is one when all in it is."""
        made = filter(None, map(self._made, targets))
        for target in sorted(made, key=lambda path: path.count("/"), reverse=True):
            path = target
            while path and self._is_stub(path):
                self._found.add(path)
                path = os.path.dirname(path)
        if self._is_as_before("."):
            self._found.add(".")
        return frozenset(map(os.fsencode, self._found))

    def _made(self, target: str) -> str:
        """Where `target` was made; "" when it was there before. What led there was, if a link."""
        parts = [part for part in os.path.normpath(target).split("/") if part]
        for count in range(len(parts), -1, -1):
            try:
                fd = inroot.open_path(self._lower, "/".join(parts[:count]))
            except OSError:
                continue
            there = _path_of(fd).removeprefix(_path_of(self._lower)).strip("/")
            os.close(fd)
            return "/".join([*([there] if there else []), *parts[count:]]) if parts[count:] else ""
        return ""

    def _is_stub(self, path: str) -> bool:
        try:
            fd = linux.openat2(
                self._upper, path, os.O_RDONLY | os.O_NONBLOCK, linux.RESOLVE_NO_SYMLINKS
            )
        except OSError:  # not there, or a link or a device by now
            return False
        try:
            if not self._is_as_before(path):
                return False
            if os.fstat(fd).st_mode & 0o170000 == 0o040000:
                return all(f"{path}/{name}" in self._found for name in os.listdir(fd))
            return os.fstat(fd).st_size == 0
        finally:
            os.close(fd)

    def _is_as_before(self, path: str) -> bool:
        """Whether what is at `path` has the mode, owner and attributes it has below, or is new."""
        fd = linux.openat2(
            self._upper, path, os.O_RDONLY | os.O_NONBLOCK, linux.RESOLVE_NO_SYMLINKS
        )
        try:
            status, found = os.fstat(fd), xattrs.read(fd)
        finally:
            os.close(fd)
        now = (status.st_mode, *owners.of(status, found))
        try:
            old = os.lstat(path, dir_fd=self._lower)
        except OSError:
            return not xattrs.portable(found) and now in (_MADE_DIRECTORY, _MADE_FILE)
        if whiteout.is_opaque(found) or status.st_mode != old.st_mode:
            return False
        fd = inroot.open_path(self._lower, path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            before = xattrs.read(fd)
        finally:
            os.close(fd)
        was = (old.st_mode, *owners.of(old, before))
        return now == was and xattrs.portable(found) == xattrs.portable(before)


def _path_of(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")
