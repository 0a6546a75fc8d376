"""From a source to a sink: the blobs that the sink lacks, by a few threads; then the manifests.

The threads are ended before anything here returns or raises. A crash leaves what the sink leaves.
"""

from __future__ import annotations

import threading
from _queue import SimpleQueue
from functools import partial
from time import monotonic

from rootless import complaints, process
from rootless.errors import IntegrityError, WrongContentError
from rootless.image.transport import Document, Event
from rootless.leanjson import MAX_BYTES
from rootless.oci.manifest import Index, Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    from rootless.image.transport import Report, Sink, Source
    from rootless.oci.descriptor import Descriptor
    from rootless.oci.digest import Digest
    from rootless.oci.platform import Platform

    _Item = TypeVar("_Item")
    _Result = TypeVar("_Result")

_DEEPEST_INDEX = 4
_ENDING = 5.0  # seconds that threads have to delete what they made, when a copy fails


def copy(
    source: Source, sink: Sink, report: Report, *, platform: Platform | None = None
) -> Document:
    """Copy the image for `platform`, or whatever there is with all that it lists; its manifest."""
    top = source.manifest()
    if platform:
        top, _ = choose(source, top, platform)
    persist(source, lambda: _copy(source, sink, top, report, 0))
    sink.put_manifest(top, top=True)
    return top


def persist(source: Source, attempt: Callable[[], _Result]) -> _Result:
    """The result of `attempt`; anew while what somebody sent is wrong, and others can be asked."""
    while True:
        try:
            return attempt()
        except WrongContentError:
            if not source.doubt():
                raise


def _copy(source: Source, sink: Sink, document: Document, report: Report, depth: int) -> None:
    """Everything that a manifest or index lists."""
    found = document.decode()
    if isinstance(found, Manifest):
        config(source, sink, found)
        blobs(source, sink, found.layers, report)
        return
    if depth == _DEEPEST_INDEX:
        raise IntegrityError(f"the index {document.digest} is nested too deep")
    for entry in {one.digest: one for one in found.manifests}.values():
        below = source.manifest(entry.digest)
        _copy(source, sink, below, report, depth + 1)
        sink.put_manifest(below, top=False)


def choose(source: Source, top: Document, platform: Platform) -> tuple[Document, Manifest]:
    """The manifest for `platform`: `top` itself, or the one of that index; NotFoundError."""
    found = top.decode()
    if isinstance(found, Index):
        chosen = found.choose(platform)
        top = source.manifest(chosen.digest)
        found = top.replace(media_type=top.media_type or chosen.media_type).decode()
    if isinstance(found, Index):
        raise IntegrityError(f"{top.digest} is a list of lists of images")
    return top, found


def config(source: Source, sink: Sink, manifest: Manifest) -> None:
    """Copy the config of an image."""
    blob = manifest.config
    if blob.size > MAX_BYTES:
        raise IntegrityError("the image config is larger than 4 MiB")
    if not sink.has(blob) and not sink.mount(blob):
        sink.put_blob(blob, partial(source.blob, blob), _say_nothing)


def _say_nothing(state: str, current: int) -> None:
    """For what is too small to be shown."""


def blobs(source: Source, sink: Sink, wanted: Iterable[Descriptor], report: Report) -> None:
    """Copy what the sink lacks, the biggest first; the first failure is raised.

    `report` is called in this thread.
    """
    unique = tuple({one.digest: one for one in wanted}.values())
    here: dict[Digest, bool] = {}
    crew = Crew(report, (source.stop, sink.stop))

    def look(blob: Descriptor) -> None:
        here[blob.digest] = sink.has(blob)

    def bring(blob: Descriptor) -> None:
        def tell(state: str, current: int) -> None:
            crew.post(Event(blob.digest.short, state, current, blob.size))

        if origin := sink.mount(blob):
            crew.post(Event(blob.digest.short, "mounted", blob.size, blob.size, origin))
        else:
            sink.put_blob(blob, partial(source.blob, blob), tell)

    crew.run(look, unique)
    for blob in unique:
        state = "exists" if here[blob.digest] else "waiting"
        report(Event(blob.digest.short, state, 0, blob.size))
    missing = [blob for blob in unique if not here[blob.digest]]
    crew.run(bring, sorted(missing, key=lambda blob: -blob.size))


class Crew:
    """A few threads that do the same to item after item; what they post is reported in ours."""

    def __init__(self, report: Report, stops: Sequence[Callable[[], None]]) -> None:
        """`stops` let what the threads wait for fail, when one of them has failed."""
        self._stops = stops
        self._report = report
        self._messages: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        self._stopped = False

    def post(self, event: Event) -> None:
        """To be reported; called in the threads."""
        self._messages.put(event)

    def run(self, work: Callable[[_Item], None], items: Sequence[_Item]) -> None:
        """Do `work` to every item; the first failure is raised."""
        waiting = iter(items)
        threads: list[threading.Thread] = []
        try:
            for _ in range(min(process.at_once(), len(items))):
                thread = threading.Thread(target=self._work, args=(work, waiting), daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # those that there are do the work
                    if not threads:
                        raise complaints.explain_processes() from error
                    break
                threads.append(thread)
            self._listen(len(items))
        except BaseException:
            self._stop()
            raise
        finally:
            deadline = monotonic() + _ENDING
            for thread in threads:
                thread.join(max(0.0, deadline - monotonic()))

    def _listen(self, left: int) -> None:
        while left:
            message = self._messages.get()
            if isinstance(message, Event):
                self._report(message)
            elif message is not None:
                raise message
            else:
                left -= 1

    def _stop(self) -> None:
        """End what still runs; each thread deletes what it has not finished.

        A thread that waits for another process's transfer of the same blob is left to its wait.
        """
        self._stopped = True
        for stop in self._stops:
            stop()

    def _work(self, work: Callable[[_Item], None], waiting: Iterable[_Item]) -> None:
        """A thread's whole life."""
        try:
            for item in waiting:
                if not self._stopped:
                    work(item)
                    self._messages.put(None)
        except BaseException as error:  # noqa: BLE001 - raised in the calling thread
            self._messages.put(error)
