"""Where an image may be, as skopeo writes it: a registry, the store, a folder or an archive."""

from __future__ import annotations

import os
import tempfile

from rootless import nearest
from rootless.cli import files
from rootless.errors import UsageError
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
            fd = files.open_file(self.path, os.O_RDONLY)
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


class _Packing(folder.Sink):
    """An archive on its way: a layout beside it, packed when all is there."""

    def __init__(self, place: Place) -> None:
        self._place = place
        beside = os.path.dirname(os.path.abspath(place.path))
        try:
            self._work = tempfile.TemporaryDirectory(prefix=".rootless-", dir=beside)
        except OSError as error:
            raise UsageError(f"{beside}: {error.strerror}") from None
        self._layout = folder.Folder(self._work.name)
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
