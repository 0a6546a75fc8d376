"""Layers in the making: a step's upper directory becomes a layer while the next step runs.

Computing a diff_id means writing the whole tar, so one forked worker does it for all steps, in
order; the builder publishes what is finished between steps, when nothing is mounted. Until then
a layer is mounted from where it was made. A crash leaves owned directories in `tmp/`, swept later.
"""

from __future__ import annotations

import os

from rootless.build import cache
from rootless.errors import RootlessError
from rootless.oci import media_types
from rootless.oci.digest import Digest
from rootless.store import images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.oci.descriptor import Descriptor
    from rootless.store import Store
    from rootless.store.layers import Layer
    from rootless.store.snapshots import Snapshot


_OCI_TWINS = {
    media_types.DOCKER_LAYER: media_types.OCI_LAYER,
    media_types.DOCKER_LAYER_GZIP: media_types.OCI_LAYER_GZIP,
    media_types.DOCKER_LAYER_ZSTD: media_types.OCI_LAYER_ZSTD,
}


class Entry:
    """One layer of a stack: its directory now, and the published layer as soon as there is one.

    `blob` is how the base image's manifest lists the layer, if that is where it comes from;
    otherwise `created` (RFC 3339) is when a step made it.
    """

    def __init__(
        self,
        path: str,
        layer: Layer | None = None,
        blob: Descriptor | None = None,
        created: str = "",
    ) -> None:
        self.path = path
        self.created = created
        self.layer = layer
        self.blob = blob


class Stack:
    """The layers a stage has so far, base first."""

    def __init__(self, entries: tuple[Entry, ...] = ()) -> None:
        self.entries = list(entries)

    @classmethod
    def of(cls, published: tuple[Layer, ...], blobs: tuple[Descriptor, ...]) -> Stack:
        """Of an image's layers, which its manifest lists as `blobs`."""
        pairs = zip(published, blobs, strict=True)
        return cls(tuple(Entry(layer.path, layer, blob) for layer, blob in pairs))

    def copy(self) -> Stack:
        """A stack that goes on from this one."""
        return Stack(tuple(self.entries))

    @property
    def paths(self) -> tuple[str, ...]:
        """The directories as overlayfs lists them: topmost first."""
        return tuple(entry.path for entry in reversed(self.entries))

    @property
    def is_published(self) -> bool:
        """Whether all diff_ids are known."""
        return all(entry.layer for entry in self.entries)

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """Base first; the stack must be published."""
        return tuple(_layer(entry).diff_id for entry in self.entries)

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        """How a manifest lists the layers; the stack must be published."""
        return tuple(
            _as_oci(entry.blob) if entry.blob else images.layer_descriptor(_layer(entry))
            for entry in self.entries
        )

    @property
    def chain_id(self) -> str:
        """The ChainID, empty without layers; the stack must be published."""
        chain = ""
        for diff_id in self.diff_ids:
            chain = cache.chain_id(chain, diff_id)
        return chain


class Finisher:
    """Turns snapshots into layers, in the order they were submitted."""

    def __init__(self, store: Store, created: str) -> None:
        """`created` is the time that new layers are given."""
        self._store = store
        self._created = created
        self._worker: Worker | None = None
        self._pending: list[tuple[Snapshot, Entry, Callable[[], str]]] = []

    def submit(self, stack: Stack, snapshot: Snapshot, key: Callable[[], str]) -> None:
        """Put the snapshot's upper directory on top of `stack`; `key` is its cache key, asked
        for when all layers below it are published.
        """
        entry = Entry(snapshot.diff, created=self._created)
        stack.entries.append(entry)
        self._pending.append((snapshot, entry, key))
        if self._worker is None:
            self._worker = Worker()
        self._worker.submit(snapshot.diff)

    def publish_ready(self) -> None:
        """Publish what the worker has finished. Nothing may be mounted: directories move."""
        while self._worker and self._pending and self._worker.has_result():
            self._publish(self._worker)

    def finish(self) -> None:
        """Wait for all and publish them."""
        while self._worker and self._pending:
            self._publish(self._worker)

    def close(self) -> None:
        """End the worker and throw away what was not published."""
        if self._worker:
            self._worker.close()
        for snapshot, _, _ in self._pending:
            snapshot.discard()

    def _publish(self, worker: Worker) -> None:
        diff_id, size = worker.result()
        snapshot, entry, key = self._pending[0]
        entry.layer = layers.publish(self._store, snapshot, diff_id, size)
        entry.path = entry.layer.path
        del self._pending[0]
        cache.record(self._store, key(), diff_id, entry.created)


class Worker:
    """A forked process that measures directories: a path a line in, `hex size` a line out."""

    def __init__(self) -> None:
        request_read, self._request_fd = os.pipe()
        self._answer_fd, answer_write = os.pipe()
        self._answers = b""
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._request_fd)
            _measure_all(request_read, answer_write, parent)
        os.close(request_read)
        os.close(answer_write)

    def submit(self, path: str) -> None:
        """Ask for one more measurement."""
        os.write(self._request_fd, os.fsencode(path) + b"\n")

    def has_result(self) -> bool:
        """Whether `result` would return at once."""
        from select import POLLIN, poll

        poller = poll()
        poller.register(self._answer_fd, POLLIN)
        return b"\n" in self._answers or bool(poller.poll(0))

    def result(self) -> tuple[Digest, int]:
        """The next diff_id and tar size; RootlessError says why there is none."""
        while b"\n" not in self._answers:
            chunk = os.read(self._answer_fd, 4096)
            if not chunk:
                raise RootlessError("the process that packs layers died")
            self._answers += chunk
        line, _, self._answers = self._answers.partition(b"\n")
        kind, _, rest = line.decode(errors="replace").partition(" ")
        if kind == "error":
            raise RootlessError(f"the layer cannot be packed: {rest}")
        return Digest("sha256", kind), int(rest)

    def close(self) -> None:
        """End it; a measurement that still runs is of no use to anybody."""
        from signal import SIGKILL

        os.kill(self._pid, SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._request_fd)
        os.close(self._answer_fd)


def _measure_all(request_fd: int, answer_fd: int, parent: int) -> NoReturn:
    """The worker's whole life; it ends with the builder."""
    from rootless import linux

    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, 9)
        if os.getppid() != parent:
            os._exit(1)
        with open(request_fd, "rb") as requests:
            for line in requests:
                os.write(answer_fd, _measure(os.fsdecode(line[:-1])).encode() + b"\n")
    finally:
        os._exit(0)


def _measure(path: str) -> str:
    try:
        diff_id, size = layers.measure(path)
    except (RootlessError, OSError) as error:
        return f"error {error!s}".replace("\n", " ")
    return f"{diff_id.hex} {size}"


def _layer(entry: Entry) -> Layer:
    if entry.layer is None:
        raise AssertionError(f"{entry.path} is not published yet")
    return entry.layer


def _as_oci(blob: Descriptor) -> Descriptor:
    """A base image's layer in a manifest of ours: docker's media types have OCI twins."""
    return blob.replace(media_type=_OCI_TWINS.get(blob.media_type, blob.media_type))
