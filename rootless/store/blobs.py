"""Blobs: bytes under their digest, blobs/<algorithm>/<hex> (image-spec image-layout.md §blobs).

A blob that has its name is whole: it was hashed as it was written, synced, then renamed. Reading
does not hash again; `check` does. Runs in any process of the user's, inside or outside the
namespace. A crash leaves a file in tmp/; a named download found there is resumed.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.errors import IntegrityError, NotFoundError, WrongContentError
from rootless.leanjson import MAX_BYTES
from rootless.oci.digest import Digest
from rootless.store import replace_file, staging, sync_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from hashlib import _Hash
    from io import FileIO
    from typing import Self

    from rootless.archive import Put
    from rootless.oci.descriptor import Descriptor
    from rootless.store import Store

_CHUNK = 1 << 20
_UNFINISHED = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def path(store: Store, digest: Digest) -> str:
    """Where the blob is or would be. The only place that turns a digest into a path."""
    return store.path("blobs", digest.algorithm, digest.hex)


def has(store: Store, digest: Digest) -> bool:
    """Whether the blob is on disk."""
    return os.path.exists(path(store, digest))


def open_file(store: Store, digest: Digest) -> FileIO:
    """The blob opened for reading; the caller closes it. NotFoundError when it is not on disk."""
    try:
        fd = os.open(path(store, digest), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return open(fd, "rb", buffering=0)
    except IsADirectoryError:
        raise IntegrityError(f"the blob {digest} is a directory") from None
    except FileNotFoundError:
        raise NotFoundError(
            f"the blob {digest} is missing from the store {store.root}",
            hint="pull or build the image again",
        ) from None


def read(store: Store, digest: Digest, limit: int = MAX_BYTES) -> bytes:
    """A small blob's bytes; NotFoundError, or IntegrityError when it is over `limit` bytes."""
    with open_file(store, digest) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise IntegrityError(f"the blob {digest} is larger than {limit} bytes")
    return content


def put(store: Store, content: bytes, algorithm: str = "sha256") -> Digest:
    """Store bytes, held; nothing is written when they are there already."""
    digest = Digest.of(content, algorithm)
    store.hold([digest])
    if not has(store, digest):
        with store.writing():
            replace_file(store, path(store, digest), content)
    return digest


def copy(store: Store, digest: Digest, put: Put) -> None:
    """Call `put` with a blob's bytes, chunk by chunk."""
    with open_file(store, digest) as file:
        while chunk := file.read(_CHUNK):
            put(chunk)


class Writer:
    """A blob being written: `write` its chunks in order, then `publish`; else it is discarded.

    The blob is held, be it made or `present` already.

    With an `expected` descriptor the unfinished file is named after its digest. A second writer
    of the same blob waits for the first and then finds `present` true; one that finds the bytes
    of an interrupted writer goes on after them: `size` is how many there are. Such a file is kept
    when writing fails. Others may read `path` while it grows.
    """

    def __init__(
        self, store: Store, expected: Descriptor | None = None, *, algorithm: str = "sha256"
    ) -> None:
        """`algorithm` is that of the digest where nothing is `expected`."""
        store.hold([expected.digest] if expected else ())
        self._store = store
        self._expected = expected
        self._algorithm = expected.digest.algorithm if expected else algorithm
        self._hash = _new_hash(self._algorithm)
        self.size = 0
        with store.writing():
            opened = _open_resumable(store, expected) if expected else staging.new_file(store)
            self.path, self._fd = opened
        self.present = expected is not None and has(store, expected.digest)
        self._resume()

    def write(self, chunk: bytes | memoryview) -> None:
        """Append; IntegrityError once there is more than expected."""
        if self._expected and self.size + len(chunk) > self._expected.size:
            self.restart()
            raise self._damaged(f"is larger than the {self._expected.size} bytes announced")
        with self._store.writing():
            _write_all(self._fd, chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Forget the bytes so far, for a sender that cannot resume."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = _new_hash(self._algorithm)
        self.size = 0

    def publish(self) -> Digest:
        """Sync and name the blob; IntegrityError, and no blob, when it is not what was expected."""
        self._verify(self.digest)
        self._store.hold([self.digest])
        with self._store.writing():
            os.fsync(self._fd)
            sync_directory(self._name())
        return self.digest

    def rehash(self, algorithm: str) -> None:
        """Let `digest` be of another algorithm: reads what was written so far."""
        if algorithm == self._algorithm:
            return
        self._algorithm, self._hash = algorithm, _new_hash(algorithm)
        with open(self.path, "rb", buffering=0) as written:
            while chunk := written.read(_CHUNK):
                self._hash.update(chunk)

    @property
    def digest(self) -> Digest:
        """Of what was written so far."""
        return Digest(self._hash.name, self._hash.hexdigest())

    def _name(self) -> str:
        """Give the file, which is on disk, its name; the folder that has it now."""
        final = path(self._store, self.digest)
        folder = os.path.dirname(final)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.rename(self.path, final)
        self._close()
        return folder

    def discard(self) -> None:
        """Close; delete the unfinished file unless a later writer can resume it."""
        if self._fd >= 0:
            if self.present or self._expected is None or self.size == 0:
                os.unlink(self.path)
            self._close()

    def _resume(self) -> None:
        while not self.present and (chunk := os.read(self._fd, _CHUNK)):
            self._hash.update(chunk)
            self.size += len(chunk)
        if self._expected and self.size > self._expected.size:
            self.restart()

    def _verify(self, digest: Digest) -> None:
        wanted = self._expected
        if wanted is None or (digest, self.size) == (wanted.digest, wanted.size):
            return
        size = self.size
        if size < wanted.size:
            raise self._damaged(f"ends after {size} of {wanted.size} bytes")
        self.restart()
        raise WrongContentError(
            f"the blob {wanted.digest} has other contents: they hash to {digest}"
        )

    def _damaged(self, how: str) -> IntegrityError:
        assert self._expected is not None
        return IntegrityError(f"the blob {self._expected.digest} {how}")

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def forget(store: Store, digest: Digest) -> None:
    """Take away what an interrupted writer has left of a blob, unless another goes on with it."""
    staging.delete(_unfinished(store, digest))


def publish_all(store: Store, writers: Sequence[Writer]) -> None:
    """`publish` writers that expect nothing: they wait for the disk together."""
    store.hold([writer.digest for writer in writers])
    with store.writing():
        linux.syncfs(store.root)
        for folder in {writer._name() for writer in writers}:
            sync_directory(folder)


def _new_hash(algorithm: str) -> _Hash:
    import hashlib

    return hashlib.new(algorithm)


def _open_resumable(store: Store, expected: Descriptor) -> tuple[str, int]:
    """The unfinished file of this digest, ours alone: waits while another process has it."""
    name = _unfinished(store, expected.digest)
    while True:
        fd = os.open(name, _UNFINISHED, 0o644)
        if staging.owns(fd, name, wait=True):
            return name, fd
        os.close(fd)  # the one before us published or deleted it while we waited


def _unfinished(store: Store, digest: Digest) -> str:
    return store.path("tmp", f"{digest.algorithm}-{digest.hex}")


def _write_all(fd: int, chunk: bytes | memoryview) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(fd, rest) :]
