"""Where an image may be, as skopeo writes it: a registry, the store, a folder or an archive."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile

from rootless import complaints, nearest
from rootless.cli import files
from rootless.errors import RootlessError, UsageError
from rootless.image import archives, folder, save
from rootless.image import store as ends
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import Store, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import ExitStack

    from rootless.image.transport import Document, Sink, Source

REGISTRY, STORE = "docker", "containers-storage"
_ARCHIVES = (save.DOCKER_ARCHIVE, save.OCI_ARCHIVE)
THROUGH_STORE = (STORE, *_ARCHIVES)
"""Kinds whose images pass through the store when they are copied from there."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = (REGISTRY, STORE, "oci", "dir", *_ARCHIVES)


class Place(Record):
    """A `kind` of _KINDS; `path` of a folder or file; `name` of the image there, or ""."""

    kind: str
    path: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """`KIND:PATH[:NAME]`, `docker://NAME`, or the bare name of an image of the store."""
        kind, colon, rest = text.partition(":")
        if kind == REGISTRY and rest.startswith("//"):
            return cls(kind, "", rest.removeprefix("//"))
        if kind == "docker-daemon":
            raise UsageError(
                "docker-daemon: is not a place that rootless knows",
                hint="docker save NAME | rootless load; rootless save NAME | docker load",
            )
        if not colon or kind not in _KINDS:
            if rest.startswith(("/", ".")):  # no tag and no port begins like that
                raise UsageError(
                    f"{kind}: is not a place that rootless knows",
                    hint=nearest.hint(kind, _KINDS) or f"places are {', '.join(_KINDS)}",
                )
            return cls(STORE, "", text)
        if kind == STORE:
            return cls(kind, "", rest)
        path, _, name = (rest, "", "") if kind == "dir" else rest.partition(":")
        if not path:
            raise UsageError(f"{text}: there is no path", hint=f"write {kind}:PATH")
        return cls(kind, path, name)

    @property
    def reference(self) -> Reference:
        """The name in a registry or in the store."""
        if not self.name:
            raise UsageError("the image needs a name", hint="write NAME[:TAG]")
        return Reference.parse(self.name)

    def source(self, store: Store, stack: ExitStack) -> Source:
        """What is to be copied from there, but for a registry."""
        if self.kind == STORE:
            return ends.Source(store, images.resolve(store, self.name))
        if self.kind in _ARCHIVES:
            fd = files.open_archive(
                self.path, "an archive is written by: rootless save -o FILE IMAGE"
            )
            stack.callback(os.close, fd)
            return archives.Source(store, lambda count: os.read(fd, count), self.name)
        opened = stack.enter_context(folder.Folder(self.path))
        return folder.Source(opened, self._form)

    def sink(self, store: Store, stack: ExitStack) -> Sink:
        """What takes the copy there, but for a registry."""
        if self.kind == STORE:
            return ends.Taking(store, (self.reference,))
        if self.kind in _ARCHIVES:
            return stack.enter_context(_Packing(self))
        opened = stack.enter_context(folder.Folder(self.path, make=True))
        return folder.Sink(opened, self._form)

    @property
    def _form(self) -> folder.Form:
        return folder.Directory() if self.kind == "dir" else folder.Layout(self.name)


class _Workplace:
    """A folder beside a file that is to be; locked while we live, so that others sweep it then."""

    def __init__(self, path: str) -> None:
        beside, name = os.path.split(path)
        prefix = f".rootless-{name[:100]}-"
        _sweep(beside, prefix)
        while True:
            self.name = tempfile.mkdtemp(prefix=prefix, dir=beside)
            self._fd = os.open(self.name, _FOLDER)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            if os.path.isdir(self.name):  # else somebody has swept it before it was locked
                return
            os.close(self._fd)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.name, ignore_errors=True)
        os.close(self._fd)


def _sweep(beside: str, prefix: str) -> None:
    """Delete what killed commands have left there."""
    for name in os.listdir(beside):
        if not name.startswith(prefix):
            continue
        path = os.path.join(beside, name)
        try:
            fd = os.open(path, _FOLDER)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(fd)


class _Packing(folder.Sink):
    """An archive on its way: a layout beside it, packed when all is there."""

    def __init__(self, place: Place) -> None:
        self._place = place
        try:
            self._work = _Workplace(os.path.abspath(place.path))
        except OSError as error:
            hint = complaints.way_out(place.path, error)
            raise RootlessError(f"{place.path}: {error.strerror}", hint=hint) from None
        self._layout = folder.Folder(f"{self._work.name}/layout", make=True)
        super().__init__(self._layout, folder.Layout(place.name))

    def __enter__(self) -> _Packing:
        return self

    def __exit__(self, *_: object) -> None:
        with self._work, self._layout:
            pass

    def put_manifest(self, document: Document, *, top: bool) -> None:
        """As `transport.Sink`; with the top one the archive appears."""
        super().put_manifest(document, top=top)
        if top:
            with files.replacing(self._place.path) as fd:
                save.pack(
                    self._layout,
                    document,
                    self._place.name,
                    lambda chunk: files.write_all(fd, chunk, self._place.path),
                    self._place.kind,
                )
