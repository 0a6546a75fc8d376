"""Layers in the making: a step's upper directory becomes a layer while the next step runs.

Computing a diff_id means writing the whole tar, so one forked worker does it for all steps, in
order; the builder publishes what is finished, even while a command runs. Until then a layer is
mounted from where it was made, so a directory that turns out to be a layer the store has already
is kept until nothing is mounted. A crash leaves owned directories in `tmp/`, swept later.
"""

from __future__ import annotations

import os

from rootless import process
from rootless.build import cache
from rootless.build.stack import Entry
from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.stack import Stack
    from rootless.store import Store
    from rootless.store.snapshots import Snapshot


class Finisher:
    """Turns snapshots into layers, in the order they were submitted."""

    def __init__(self, store: Store, created: str) -> None:
        """`created` is the time that new layers are given."""
        self._store = store
        self._created = created
        self._worker: Worker | None = None
        self._pending: list[tuple[Snapshot, Entry, Callable[[], str]]] = []
        self._retired: list[Snapshot] = []

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

    @property
    def ready_fd(self) -> int:
        """Readable when `publish_ready` has something to do; -1 when nothing is being packed."""
        return self._worker.answer_fd if self._worker and self._pending else -1

    def publish_ready(self) -> None:
        """Publish what the worker has finished. Directories move: nobody may be about to mount
        one by its path, while those that are mounted already do not mind.
        """
        while self._worker and self._pending and self._worker.has_result():
            self._publish(self._worker)

    def discard_retired(self) -> None:
        """Throw away what was made a second time; nothing may be mounted."""
        while self._retired:
            self._retired.pop().discard()

    def finish(self) -> None:
        """Wait for all and publish them; nothing may be mounted."""
        while self._worker and self._pending:
            self._publish(self._worker)
        self.discard_retired()

    def close(self) -> None:
        """End the worker and throw away what was not published."""
        if self._worker:
            self._worker.close()
        self._give_up()
        self.discard_retired()

    def _publish(self, worker: Worker) -> None:
        """Publish the lowest; when that fails, all that lies on it is lost too."""
        snapshot, entry, key = self._pending[0]
        try:
            diff_id, size = worker.result()
            entry.layer = layers.publish(self._store, snapshot, diff_id, size)
        except BaseException:
            self._give_up()
            raise
        entry.path = entry.layer.path
        del self._pending[0]
        if snapshot.is_ours:
            self._retired.append(snapshot)
        cache.record(self._store, key(), diff_id, entry.created)

    def _give_up(self) -> None:
        """None of what is left will be a layer; a command may still be running on it."""
        self._retired += [snapshot for snapshot, _, _ in self._pending]
        self._pending.clear()


class Worker:
    """A forked process that measures directories, in the order in which they are submitted."""

    def __init__(self) -> None:
        requests, self._request_fd = process.pipe()

        def body(send: process.Send) -> None:
            os.close(self._request_fd)
            while request := process.read_frame(requests):
                send(_measure(request[1]))

        try:
            self._child = process.fork(body, "the process that packs layers")
        finally:
            os.close(requests)

    @property
    def answer_fd(self) -> int:
        """Readable when `result` would return at once."""
        return self._child.fileno()

    def submit(self, path: str) -> None:
        """Ask for one more measurement."""
        process.write_frame(self._request_fd, "event", path)

    def has_result(self) -> bool:
        """Whether `result` would return at once."""
        from select import POLLIN, poll

        poller = poll()
        poller.register(self.answer_fd, POLLIN)
        return bool(poller.poll(0))

    def result(self) -> tuple[Digest, int]:
        """The next diff_id and tar size; RootlessError says why there is none."""
        hex_digest, size = self._child.receive().value
        return Digest("sha256", hex_digest), size

    def close(self) -> None:
        """End it; a measurement that still runs is of no use to anybody."""
        self._child.kill()
        os.close(self._request_fd)


def _measure(path: str) -> tuple[str, int]:
    try:
        diff_id, size = layers.measure(path)
    except (RootlessError, OSError) as error:
        raise RootlessError(f"the layer cannot be packed: {error}") from error
    return diff_id.hex, size
