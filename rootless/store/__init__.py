"""The store: images, layers and everything unfinished, in one folder owned by the user.

    oci-layout  index.json      a valid OCI image layout (image-spec image-layout.md); entries are
    blobs/sha256/<hex>          images by full name; one without a name is dangling. A layer listed
                                uncompressed may lack its blob: it is made again from diff/
    layers/<12 hex of diff_id>/ diff/ in overlayfs form; layer.json: diff_id, size of tar, bytes of
                                contents in it, created, opaque if its root hides the layers
                                below, its packed blobs, and who has them; owned-<hash>/: `owned`
    cache/<kind>/               what builds keep for later ones: `kept`; stacks/<manifest>.json: an
                                image of many layers, in short
    containers/<id>/            the container room's; volumes/<name>/: data/ that containers see,
                                flocked as `volumes` says; builders/ networks/ events.jsonl: so, too
    leases/<name>               what a living process uses, a digest a line; flocked by it
    run/  skeleton/             sockets, where there is no $XDG_RUNTIME_DIR; a lowest layer, empty
    quarantine/<when>-<pid>/    what a repair found damaged, with the paths it had
    tmp/                        unfinished work and what is being deleted; what nobody has flocked
                                is swept, but downloads (<algorithm>-<hex>) wait for a day
    lock                        OFD locks: byte 0 shared to write a lease, exclusive to take away
                                what nobody uses; byte 1 exclusive to replace index.json, 2 a list

Everything is published by rename from tmp/: a blob's or a layer's files are on disk before it has
its name, and the name before an index names it. What nobody uses any more (`roots` says what is
used) leaves by a rename back into tmp/ (`gc`). A crash leaves rubbish only in tmp/. Files inside
layers belong to mapped ids, so whoever writes or deletes layers has entered the user namespace;
the rest is the user's own.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import IntegrityError, RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from rootless.oci.digest import Digest
    from rootless.store.lease import Lease

_LAYOUT = b'{"imageLayoutVersion":"1.0.0","rootlessStore":1}'
_EMPTY_INDEX = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
)
FOLDERS = ("blobs/sha256", "layers", "cache/steps", "containers", "leases", "tmp")


class Store:
    """One store folder. Opening it is one small read; folders appear with the first write."""

    def __init__(self, root: str, *, unread: bool = False) -> None:
        """RootlessError when a newer program wrote the folder or it cannot be read.

        `unread` is for who repairs a store whose layout file is damaged.
        """
        self.root = os.path.abspath(root)
        self.swept = False
        self._lease: Lease | None = None
        self._check_owner()
        self._created = unread or self._has_layout()

    def path(self, *parts: str) -> str:
        """An absolute path inside the store."""
        return os.path.join(self.root, *parts)

    def new_path(self) -> str:
        """A path in tmp/ that nothing has yet, for unfinished work."""
        return self.path("tmp", f"{os.getpid()}-{os.urandom(4).hex()}")

    def create(self) -> None:
        """Make the folders, the layout file and an empty index where they are missing."""
        if not self._created:
            from rootless.store import lock

            with self.writing():
                os.makedirs(self.root, mode=0o700, exist_ok=True)
                for folder in FOLDERS:
                    os.makedirs(self.path(folder), mode=0o700, exist_ok=True)
                with lock.index(self):
                    self._write_once("index.json", _EMPTY_INDEX)
                    self._write_once("oci-layout", _LAYOUT)
            self._created = True

    def hold(self, digests: Iterable[Digest]) -> None:
        """Nothing of these digests, nor what it names, is deleted while this process lives.

        Blobs, manifests, configs or layers (by diff_id); a fork goes on holding. Look whether they
        are there *after* this call: what is there then stays. An empty list makes the lease, which
        whoever forks does before, so that what a fork holds outlives the fork.
        """
        from rootless.store.lease import Lease

        self.create()
        with self.writing():
            try:
                if self._lease is None:
                    self._lease = Lease(self)
                self._lease.hold(digests)
            except OSError as error:
                from errno import EROFS

                if error.errno != EROFS:  # else nobody can delete anything there
                    raise

    def let_go(self) -> None:
        """Stop holding anything: the next collection may take it."""
        if self._lease is not None:
            self._lease.end()
            self._lease = None

    def writing(self) -> _Writing:
        """`with store.writing():` turns a full or read-only disk into a sentence."""
        return _Writing(self.root)

    def _write_once(self, name: str, content: bytes) -> None:
        if not os.path.exists(self.path(name)):
            replace_file(self, self.path(name), content)

    def _check_owner(self) -> None:
        """Refuse a folder in which somebody else may change what is run as us."""
        try:
            status = os.stat(self.root)
        except OSError:
            return  # not there yet, or the next look says why
        if status.st_uid != os.geteuid():
            raise RootlessError(
                f"the store {self.root} belongs to somebody else",
                hint="choose another folder with --root or ROOTLESS_ROOT",
            )
        if status.st_mode & 0o022:
            raise RootlessError(
                f"the store {self.root} can be written by others than you",
                hint=f"chmod go-w {self.root}, or choose another folder with --root",
            )

    def _has_layout(self) -> bool:
        try:
            with open(self.path("oci-layout"), "rb") as file:
                layout = leanjson.loads(file.read(4096), f"{self.root}/oci-layout")
        except (FileNotFoundError, NotADirectoryError):
            return False
        except PermissionError:
            from rootless import complaints

            raise complaints.explain_unreadable(self.root) from None
        except IntegrityError as error:
            raise IntegrityError(
                error.message, hint="repair it with: rootless system check --repair"
            ) from None
        version = layout.get("rootlessStore") if isinstance(layout, dict) else None
        if version is None and os.path.isdir(self.path("layers")):
            return True  # a tool that added an image to the layout has written the file anew
        if version != 1:
            raise RootlessError(
                f"the store {self.root} was not written by this version of rootless",
                hint="upgrade rootless, or choose another folder with --root; if it is only "
                "damaged: rootless system check --repair",
            )
        return True


def write_layout(store: Store) -> None:
    """Make the folder a store again whose layout file is damaged."""
    with store.writing():
        replace_file(store, store.path("oci-layout"), _LAYOUT)


def replace_file(store: Store, path: str, content: bytes, *, durable: bool = True) -> None:
    """Put `content` at `path` inside the store: wholly or not at all, even in a power cut.

    What is not `durable` may be lost in one, or damaged.
    """
    from rootless.store import staging

    unfinished, fd = staging.new_file(store)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(fd)
            os.rename(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Writing:
    """Rewords the OSErrors that a person can do something about; lets all others pass."""

    def __init__(self, root: str) -> None:
        self._root = root

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, OSError):
            return
        from rootless import complaints

        if failure := complaints.explain_storage(error, os.fsdecode(error.filename or self._root)):
            raise failure from error
