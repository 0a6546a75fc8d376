"""Layers in the making: a step's upper directory becomes a layer while the next step runs.

Computing a diff_id means writing the whole tar, so one forked worker does it for all steps, in
order; the builder publishes what is finished, even while a command runs. Until then a layer is
mounted from where it was made, so a directory that turns out to be a layer the store has already
is kept until nothing is mounted. A crash leaves owned directories in `tmp/`, swept later.
"""

from __future__ import annotations

import os

from rootless import linux, process
from rootless.build.carry.leaks import Leaks
from rootless.build.stack import Entry
from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.build.cache import Cache
    from rootless.build.cache.key import Key
    from rootless.build.stack import Stack
    from rootless.store import Store
    from rootless.store.snapshots import Snapshot


class Finisher:
    """Turns snapshots into layers, in the order they were submitted."""

    def __init__(
        self,
        store: Store,
        cache: Cache,
        secrets: Mapping[str, bytes],
        warn: Callable[[str], object],
    ) -> None:
        """`warn` is told where one of the `secrets`, or a private key, has got into a layer."""
        self._secrets = secrets
        self._warn = warn
        self._store = store
        self._cache = cache
        self._worker: Worker | None = None
        self._pending: list[tuple[Snapshot, Entry, Key]] = []
        self._retired: list[Snapshot] = []

    def submit(self, stack: Stack, snapshot: Snapshot, entry: Entry, key: Key) -> None:
        """Put the layer, which is in the snapshot's directory, on top of `stack`; `key` is recorded
        when all layers below it are published.
        """
        stack.add(entry)
        self._pending.append((snapshot, entry, key))
        if self._worker is None:
            self._worker = Worker(self._store, self._secrets)
        self._worker.submit(snapshot.path)

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
            diff_id, leaks = worker.result()
            entry.layer = layers.publish_sealed(self._store, snapshot, diff_id)
        except BaseException:
            self._give_up()
            raise
        for leak in leaks:
            self._warn(leak)
        entry.path = entry.layer.path
        del self._pending[0]
        if snapshot.is_ours:
            self._retired.append(snapshot)
        self._cache.record(key, diff_id, entry.created)

    def _give_up(self) -> None:
        """None of what is left will be a layer; a command may still be running on it."""
        self._retired += [snapshot for snapshot, _, _ in self._pending]
        self._pending.clear()


class Worker:
    """A forked process that seals layers, in the order in which they are submitted."""

    def __init__(self, store: Store, secrets: Mapping[str, bytes]) -> None:
        requests, self._request_fd = process.pipe()

        def body(send: process.Send) -> None:
            os.close(self._request_fd)
            while folders := _read_waiting(requests):
                _seal_all(store, folders, secrets, send)

        try:
            self._child = process.fork(body, "the process that packs layers")
        finally:
            os.close(requests)

    @property
    def answer_fd(self) -> int:
        """Readable when `result` would return at once."""
        return self._child.fileno()

    def submit(self, folder: str) -> None:
        """Ask for one more layer, staged in `folder`."""
        process.write_frame(self._request_fd, "event", folder)

    def has_result(self) -> bool:
        """Whether `result` would return at once."""
        return _is_readable(self.answer_fd)

    def result(self) -> tuple[Digest, list[str]]:
        """The next diff_id, its layer sealed and on disk, and what to warn of; RootlessError says
        why there is none.
        """
        diff_id, leaks = self._child.receive().value
        return Digest("sha256", diff_id), leaks

    def close(self) -> None:
        """End it; a measurement that still runs is of no use to anybody."""
        self._child.kill()
        os.close(self._request_fd)


def _read_waiting(requests: int) -> list[str]:
    """Wait for a request, and take those with it that wait already; none at the end."""
    folders: list[str] = []
    while not folders or _is_readable(requests):
        request = process.read_frame(requests)
        if request is None:
            break
        folders.append(request[1])
    return folders


def _seal_all(
    store: Store, folders: list[str], secrets: Mapping[str, bytes], send: process.Send
) -> None:
    """Layers that wait together share the time that the disk takes; those below a bad one count."""
    sealed, failure = [], None
    with store.writing():
        for folder in folders:
            try:
                sealed.append(_seal(folder, secrets))
            except RootlessError as error:
                failure = error
                break
        linux.syncfs(folders[0])
    for one in sealed:
        send(one)
    if failure:
        raise RootlessError(f"the layer cannot be packed: {failure}", hint=failure.hint)


def _seal(folder: str, secrets: Mapping[str, bytes]) -> list[object]:
    """What `Worker.result` is told."""
    directory = os.path.join(folder, "diff")
    leaks = Leaks(secrets)
    measure = layers.measure(directory, leaks.see)
    layers.seal(folder, measure)
    return [measure.diff_id.hex, leaks.found(directory)]


def _is_readable(fd: int) -> bool:
    from select import POLLIN, poll

    poller = poll()
    poller.register(fd, POLLIN)
    return bool(poller.poll(0))
