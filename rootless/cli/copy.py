"""`copy`: an image, or a whole index, from any place to any other, without unpacking it."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from rootless import interrupts, userns
from rootless.cli import fetch, files, progress
from rootless.cli.places import REGISTRY, STORE, THROUGH_STORE, Place
from rootless.errors import UsageError
from rootless.image import copy as copying
from rootless.image import push, registry
from rootless.store import Store, gc, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.image.transport import Document, Sink, Source
    from rootless.registry.client import Client
    from rootless.registry.push import Uploads


def copy(given: Settings, arguments: Arguments) -> int:
    """Copy one image, or with --all every image that an index lists; prints its digest."""
    interrupts.catch()
    copying = Copying(given, arguments)
    userns.enter()
    document = copying.run()
    if arguments.digestfile:
        with files.replacing(arguments.digestfile) as fd:
            files.write_all(fd, str(document.digest).encode(), arguments.digestfile)
    print(document.digest)
    return 0


class Copying:
    """One copy: made, and the logins read, before the user namespace is entered; run in it."""

    def __init__(self, given: Settings, arguments: Arguments) -> None:
        self._given = given
        self._arguments = arguments
        self._store = Store(given.root)
        self._from = Place.parse(arguments.source)
        self._to = Place.parse(arguments.destination)
        if self._to.kind == REGISTRY and self._to.reference.digest:
            raise UsageError(
                "cannot copy to a digest: what is copied has its own", hint="write NAME[:TAG]"
            )
        self._platform = None if arguments.all else fetch.platform(arguments.platform)
        self._reading = self._client() if self._from.kind == REGISTRY else None
        self._writing = self._uploads() if self._to.kind == REGISTRY else None

    def run(self) -> Document:
        """Carry it out; what it left in the store without a name is taken away."""
        try:
            document = self._run()
        finally:
            for end in (self._reading, self._writing):
                if end:
                    end.close()
        if self._from.kind in THROUGH_STORE or self._to.kind == STORE:
            self._store.let_go()
            gc.collect(self._store)
        return document

    def _run(self) -> Document:
        if self._writing and self._from.kind == STORE:
            return self._push(self._writing)
        with ExitStack() as stack:
            source, sink = self._source(stack), self._sink(stack)
            with self._show() as report:
                return copying.copy(source, sink, report, platform=self._platform)

    def _client(self) -> Client:
        verify = self._arguments.src_tls_verify
        return fetch.client(self._given, self._from.reference, tls_verify=verify)

    def _uploads(self) -> Uploads:
        name = self._to.reference
        verify = self._arguments.dest_tls_verify
        return fetch.destination(self._given, name, tls_verify=verify)

    def _push(self, uploads: Uploads) -> Document:
        """From the store, which packs what nobody has packed yet."""
        image = images.resolve(self._store, self._from.name)
        wishes = push.Wishes(lambda: None, None, self._platform)
        with self._show() as report:
            return push.push(self._store, image, self._to.reference, uploads, wishes, report)

    def _beside(self) -> tuple[str, ...]:
        """The repository it comes from, where that is of the same registry."""
        if self._reading is None or self._reading.registry != self._to.reference.registry:
            return ()
        return (self._from.reference.repository,)

    def _show(self) -> progress.TransferDisplay:
        """Standard output is for the digest."""
        show = progress.pushing if self._writing else progress.pulling
        return show(self._given, sys.stderr, quiet=self._arguments.quiet)

    def _source(self, stack: ExitStack) -> Source:
        if self._reading:
            return registry.Source(self._reading, self._from.reference)
        return self._from.source(self._store, stack)

    def _sink(self, stack: ExitStack) -> Sink:
        if self._writing:
            tag = self._to.reference.tag or "latest"
            return registry.Sink(self._writing, tag, lambda _: self._beside())
        return self._to.sink(self._store, stack)
