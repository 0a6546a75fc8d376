"""Folders as ends of a copy: an OCI image layout (image-spec image-layout.md), or skopeo's `dir`.

A layout holds many images, by name; a `dir` one. What others wrote there is theirs: files are
opened below the folder's descriptor, regular ones only, and a manifest is what its digest says. A
blob gets its name when it is whole; index.json is replaced whole, by one process at a time. Runs
in any process; a crash leaves `.new-*` files.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from rootless import complaints, inroot, leanjson
from rootless.errors import IntegrityError, NotFoundError, RootlessError, WrongContentError
from rootless.image.transport import Document
from rootless.oci import media_types
from rootless.oci.descriptor import REF_NAME, Descriptor, others
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index
from rootless.registry import turns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Protocol, Self

    from rootless.image.transport import Read, Tell

    class Form(Protocol):
        """How a folder is laid out."""

        def blob(self, digest: Digest) -> str:
            """Where a blob is, below the folder."""

        def manifest(self, digest: Digest) -> str:
            """Where a manifest that an index lists is."""

        def top(self, folder: Folder) -> Document:
            """What the folder is about; NotFoundError."""

        def check(self, folder: Folder) -> None:
            """RootlessError where nothing is to be written."""

        def put_top(self, folder: Folder, document: Document) -> None:
            """Make it be about `document`."""


_CHUNK = 256 << 10
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_DIR_VERSION = b"Directory Transport Version: 1.1\n"
_MOST = 64 << 20  # bytes of an index.json


class Folder:
    """An open folder: `with Folder(path) as folder:`. Threads may share it."""

    def __init__(self, path: str, *, make: bool = False) -> None:
        """NotFoundError when it is not there and not to be made."""
        self.path = path
        try:
            if make:
                os.makedirs(path, exist_ok=True)
            self._fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            problem = f"the folder {path} cannot be made" if make else f"there is no folder {path}"
            written = "such a folder is written by: rootless copy IMAGE oci:FOLDER"
            raise NotFoundError(problem, hint="name another place" if make else written) from None
        except (FileExistsError, NotADirectoryError) as error:
            raise RootlessError(
                f"{path}: {error.strerror}", hint="it is a file, or below one: name a folder"
            ) from None
        except OSError as error:
            hint = complaints.way_out(path, error)
            raise RootlessError(f"{path}: {error.strerror}", hint=hint) from None
        self._making = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def open(self, name: str) -> int:
        """A regular file of it, for reading; NotFoundError."""
        try:
            fd = inroot.open_path(self._fd, name, _READ)
        except OSError as error:
            raise NotFoundError(f"{self.path}/{name}: {error.strerror}") from None
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:
            os.close(fd)
            raise IntegrityError(f"{self.path}/{name} is not a regular file")
        return fd

    def size(self, name: str) -> int | None:
        """How long a file is; None where there is none."""
        try:
            fd = self.open(name)
        except NotFoundError:
            return None
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def read(self, name: str, limit: int = leanjson.MAX_BYTES) -> bytes:
        """A small file; NotFoundError, IntegrityError."""
        with open(self.open(name), "rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise IntegrityError(f"{self.path}/{name} is larger than {limit >> 20} MiB")
        return content

    def names(self, name: str) -> list[str]:
        """What is in a folder below, in order."""
        fd = inroot.open_path(self._fd, name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def write(self, name: str, content: bytes) -> None:
        """A file, whole or not at all."""
        with self.new(name) as new:
            new.write(content)
            new.keep()

    def new(self, name: str) -> _New:
        """A file that is to be called `name`, with the folders it needs; RootlessError."""
        folder = os.path.dirname(name)
        with _Explained(f"{self.path}/{name}"):
            with self._making:
                at = inroot.make_directory(self._fd, folder) if folder else os.dup(self._fd)
            return _New(at, os.path.basename(name), f"{self.path}/{name}")

    def alone(self) -> _Alone:
        """`with folder.alone():` no other process changes what the folder is about."""
        return _Alone(self.path, os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC))


class _Explained:
    """Says which file of a folder it was that could not be written."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if isinstance(error, OSError):
            hint = complaints.way_out(self._path, error)
            raise RootlessError(f"{self._path}: {error.strerror}", hint=hint) from error


class _New:
    """A file being written, in the folder of the descriptor `at`; without `keep` it goes away."""

    def __init__(self, at: int, name: str, path: str) -> None:
        self._at = at
        self._name = name
        self._explained = _Explained(path)
        self._new = f".new-{os.getpid()}-{os.urandom(4).hex()}"
        fd = os.open(self._new, _NEW, 0o644, dir_fd=at)
        self._file = open(fd, "wb")  # noqa: SIM115 - closed by `keep` or at the end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of what is thrown away
            self._file.close()
        if self._new:
            os.unlink(self._new, dir_fd=self._at)
        os.close(self._at)

    def write(self, chunk: bytes) -> None:
        """Append; RootlessError."""
        with self._explained:
            self._file.write(chunk)

    def keep(self) -> None:
        """Give it its name; RootlessError."""
        with self._explained:
            self._file.close()
            os.rename(self._new, self._name, src_dir_fd=self._at, dst_dir_fd=self._at)
        self._new = ""


class _Alone:
    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd

    def __enter__(self) -> None:
        if not turns.take(self._fd):
            os.close(self._fd)
            raise RootlessError(
                f"{self._path} is kept locked by another program",
                hint="see which with lslocks, end it and try again, or name another folder",
            )

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class Layout:
    """An OCI image layout, and the image in it called `name`, or by `@` and its digest; "" is the
    only one.

    What is put there is listed with `annotations`.
    """

    def __init__(self, name: str = "", annotations: Mapping[str, str] | None = None) -> None:
        self._name = name
        self._annotations = dict(annotations or {})

    def blob(self, digest: Digest) -> str:
        """As `Form`."""
        return f"blobs/{digest.algorithm}/{digest.hex}"

    manifest = blob

    def top(self, folder: Folder) -> Document:
        """As `Form`."""
        entries = self._index(folder).manifests
        found = [one for one in entries if self._name in _names(one)]
        if len({one.digest for one in found}) != 1:
            names = ", ".join(sorted(one.annotations.get(REF_NAME, "") for one in entries)[:20])
            what = f"no image called {self._name}" if self._name else "not exactly one image"
            hint = f"name one of: {names}" if names.strip(", ") else None
            raise NotFoundError(f"{folder.path} has {what}", hint=hint)
        return _document(folder, self.blob(found[0].digest), found[0].digest, found[0].media_type)

    def check(self, folder: Folder) -> None:
        """As `Form`: a store of ours is a layout, too, but whoever writes there has its locks."""
        if folder.size("oci-layout") is None or folder.size("lock") is None:
            return
        if b"rootlessStore" in folder.read("oci-layout"):
            raise RootlessError(
                f"{folder.path} is a store of rootless, not a layout to write into",
                hint=f"rootless --root {folder.path} copy SOURCE NAME",
            )

    def put_top(self, folder: Folder, document: Document) -> None:
        """As `Form`: the name is another's no more."""
        annotations = self._annotations | ({REF_NAME: self._name} if self._name else {})
        media_type = document.decode().media_type
        entry = Descriptor(
            media_type, document.digest, len(document.content), annotations=annotations
        )
        folder.write(self.blob(document.digest), document.content)
        with folder.alone():
            if folder.size("oci-layout") is None:
                folder.write("oci-layout", _LAYOUT)
            there = self._index(folder)
            kept = [one for one in there.manifests if self._keeps(one, entry)]
            folder.write("index.json", there.replace(manifests=(*kept, entry)).encode())

    def _keeps(self, other: Descriptor, new: Descriptor) -> bool:
        name = other.annotations.get(REF_NAME, "")
        return name != self._name if name else other.digest != new.digest

    def _index(self, folder: Folder) -> Index:
        if folder.size("index.json") is None:
            return Index(media_types.OCI_INDEX, ())
        what = f"{folder.path}/index.json"
        value = leanjson.loads(folder.read("index.json", _MOST), what)
        entries = value.get("manifests") if isinstance(value, dict) else None
        if not isinstance(entries, list):
            raise IntegrityError(f"{what} lists no manifests")
        rest = others(value, ("schemaVersion", "mediaType", "manifests"))
        return Index(media_types.OCI_INDEX, tuple(map(Descriptor.decode, entries)), rest=rest)


def _names(entry: Descriptor) -> tuple[str | None, ...]:
    """What an image in a layout may be called by."""
    return ("", entry.annotations.get(REF_NAME), f"@{entry.digest}")


class Directory:
    """What skopeo calls `dir`: manifest.json, and each blob under its bare hex."""

    def blob(self, digest: Digest) -> str:
        """As `Form`."""
        return digest.hex

    def manifest(self, digest: Digest) -> str:
        """As `Form`."""
        return f"{digest.hex}.manifest.json"

    def top(self, folder: Folder) -> Document:
        """As `Form`."""
        content = folder.read("manifest.json")
        return Document(content, "", Digest.of(content))

    def check(self, folder: Folder) -> None:
        """As `Form`."""

    def put_top(self, folder: Folder, document: Document) -> None:
        """As `Form`."""
        folder.write("version", _DIR_VERSION)
        folder.write("manifest.json", document.content)


def _document(folder: Folder, name: str, digest: Digest, media_type: str = "") -> Document:
    """A manifest whose bytes are what its digest says."""
    content = folder.read(name)
    _check(folder, name, Digest.of(content, digest.algorithm), digest)
    return Document(content, media_type, digest)


def _check(folder: Folder, name: str, found: Digest, expected: Digest) -> None:
    if found != expected:
        why = f"{folder.path}/{name} has other contents: they hash to {found.hex}"
        raise WrongContentError(why)


class Source:
    """An image in a folder."""

    def __init__(self, folder: Folder, form: Form) -> None:
        self._folder = folder
        self._form = form

    def manifest(self, digest: Digest | None = None) -> Document:
        """As `transport.Source`; NotFoundError, IntegrityError."""
        if digest is None:
            return self._form.top(self._folder)
        return _document(self._folder, self._form.manifest(digest), digest)

    def blob(self, blob: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """As `transport.Source`; NotFoundError, IntegrityError."""
        name = self._form.blob(blob.digest)
        with open(self._folder.open(name), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size != blob.size:
                raise IntegrityError(
                    f"{self._folder.path}/{name} has {size} bytes instead of {blob.size}"
                )
            file.seek(offset)
            while chunk := file.read(min(_CHUNK, size - offset)):
                offset += len(chunk)
                yield chunk

    def doubt(self) -> bool:
        """As `transport.Source`: there is this folder only."""
        return False

    def stop(self) -> None:
        """Nothing here waits for others."""


class Sink:
    """An image on its way into a folder."""

    def __init__(self, folder: Folder, form: Form) -> None:
        form.check(folder)
        self._folder = folder
        self._form = form

    def has(self, blob: Descriptor) -> bool:
        """As `transport.Sink`: a file of that name and size."""
        return self._folder.size(self._form.blob(blob.digest)) == blob.size

    def mount(self, blob: Descriptor) -> str | None:  # noqa: ARG002 - there is one place only
        """Never."""
        return None

    def put_blob(self, blob: Descriptor, read: Read, tell: Tell) -> None:
        """As `transport.Sink`; IntegrityError when it is not what its digest says."""
        import hashlib

        name = self._form.blob(blob.digest)
        hashed, size = hashlib.new(blob.digest.algorithm), 0
        with self._folder.new(name) as new:
            tell("downloading", 0)
            for chunk in read(0):
                new.write(chunk)
                hashed.update(chunk)
                size += len(chunk)
                tell("downloading", size)
            found = Digest(blob.digest.algorithm, hashed.hexdigest())
            _check(self._folder, name, found, blob.digest)
            new.keep()
        tell("done", blob.size)

    def put_manifest(self, document: Document, *, top: bool) -> None:
        """As `transport.Sink`."""
        if top:
            self._form.put_top(self._folder, document)
        else:
            self._folder.write(self._form.manifest(document.digest), document.content)

    def stop(self) -> None:
        """Nothing here waits for others."""
