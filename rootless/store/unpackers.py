"""Processes that unpack layers, one after the other, while the blobs are still arriving.

An `Unpacker` is forked before any thread starts and serves one thread for as long as there are
layers: so there are as many of them as work is done at once, however many layers an image has. It
chroots into a layer's staging directory and comes back for the next one; all of them are of one
image or archive. Beside that, Landlock lets it change nothing but what is in tmp/. `unpack` shares
out blobs that are whole already. Runs as (mapped) root and holds no socket and no login: whatever
an image does to its unpacker, it does there. A crash leaves a
half-filled directory in tmp/.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack, suppress
from io import BufferedReader
from select import POLLIN, poll
from typing import TYPE_CHECKING, Any

from rootless import leanjson, linux, process
from rootless.archive import landlock, places, unpacking
from rootless.errors import IntegrityError
from rootless.oci.descriptor import Descriptor
from rootless.store import blobs, layers
from rootless.store.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.oci.digest import Digest
    from rootless.process import Send
    from rootless.store import Store

    Pair = tuple[Descriptor, Digest]

_BATCH = 64  # layers that share one wait for the disk; each is an open directory until then
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def verified(found: Mapping[str, Any], blob: Descriptor, diff_id: Digest) -> layers.Measure:
    """What an unpacker found in `blob`; IntegrityError when that is not the layer `diff_id`."""
    measure = layers.Measure.of(found)
    if measure.diff_id != diff_id:
        raise IntegrityError(
            f"the layer {blob.digest} has other contents than the image's "
            f"config says: {measure.diff_id}, not {diff_id}"
        )
    return measure


def unpack(store: Store, pairs: Sequence[Pair]) -> None:
    """Make layers of blobs that are in the store; each must give the diff_id that is with it.

    However many they are, few processes do it, and the disk is waited for now and then. No thread
    may be running. NotFoundError when a blob is missing; what was whole before an IntegrityError
    is a layer, and named by nothing.
    """
    for blob, _ in pairs:
        blobs.open_file(store, blob.digest).close()
    unpackers: list[Unpacker] = []
    try:
        for _ in range(min(process.at_once(), len(pairs))):
            unpackers.append(Unpacker())
        for start in range(0, len(pairs), _BATCH):
            _unpack_batch(store, unpackers, pairs[start : start + _BATCH])
    finally:
        _stop(unpackers)


def unpack_into(store: Store, blob: Digest, diff_id: Digest, folder: str) -> layers.Measure:
    """Unpack a blob of the store into the empty diff/ in `folder`, and leave it there."""
    size = os.path.getsize(blobs.path(store, blob))
    descriptor = Descriptor("", blob, size)
    unpackers = [Unpacker()]
    try:
        (found,) = _share_out(store, unpackers, [(descriptor, diff_id)], [folder])
    finally:
        _stop(unpackers)
    return verified(found, descriptor, diff_id)


def _unpack_batch(store: Store, unpackers: list[Unpacker], pairs: Sequence[Pair]) -> None:
    with ExitStack() as stack:
        staged = [stack.enter_context(Staging(store, ("diff",))) for _ in pairs]
        try:
            found = _share_out(store, unpackers, pairs, [one.path for one in staged])
        except BaseException:
            _stop(unpackers)  # before the directories that they write to are deleted
            raise
        measures = [verified(one, *pair) for one, pair in zip(found, pairs, strict=True)]
        with store.writing():
            for one, measure, (blob, _) in zip(staged, measures, pairs, strict=True):
                layers.seal(one.path, measure, blob)
            linux.syncfs(store.root)
        for one, measure, (blob, _) in zip(staged, measures, pairs, strict=True):
            layers.publish_sealed(store, one, measure.diff_id, blob)


def _share_out(
    store: Store, unpackers: list[Unpacker], pairs: Sequence[Pair], folders: list[str]
) -> list[dict[str, Any]]:
    """What each unpacking found; whoever is done takes the next."""
    found: list[dict[str, Any]] = [{}] * len(pairs)
    busy: dict[int, tuple[Unpacker, int]] = {}
    poller = poll()
    waiting = iter(range(len(pairs)))

    def start(unpacker: Unpacker) -> None:
        for number in waiting:
            blob, diff_id = pairs[number]
            path = blobs.path(store, blob.digest)
            folder = os.path.join(folders[number], "diff")
            unpacker.begin(path, path, blob.size, folder, diff_id.algorithm, durable=False)
            unpacker.feed(blob.size)
            busy[unpacker.fileno()] = (unpacker, number)
            poller.register(unpacker.fileno(), POLLIN)
            break

    for unpacker in unpackers:
        start(unpacker)
    while busy:
        for fd, _ in poller.poll():
            poller.unregister(fd)
            unpacker, number = busy.pop(fd)
            found[number] = unpacker.result()
            start(unpacker)
    return found


def _stop(unpackers: list[Unpacker]) -> None:
    for unpacker in unpackers:
        unpacker.stop()


class Unpacker:
    """One process. For each layer: `begin`, `feed` as often as there is more, `result`."""

    def __init__(self) -> None:
        """Forks; no thread may be running yet."""
        self._writing = threading.Lock()
        feed_fd, self._feed_fd = process.pipe()
        try:
            self._child = process.fork(lambda send: _work(feed_fd, send), "a layer's unpacker")
        except BaseException:
            os.close(self._feed_fd)
            raise
        finally:
            os.close(feed_fd)

    def begin(
        self,
        path: str,
        published: str,
        size: int,
        directory: str,
        algorithm: str,
        *,
        durable: bool = True,
    ) -> None:
        """Unpack into `directory` the blob of `size` bytes that grows at `path`.

        `published` is what the file is called once it is whole, which may come first. What is not
        `durable` the caller puts on disk himself.
        """
        job = {
            "path": path,
            "published": published,
            "size": size,
            "directory": directory,
            "algorithm": algorithm,
            "durable": durable,
        }
        self._tell(leanjson.dumps(job))

    def feed(self, available: int) -> None:
        """The file has so many bytes by now. An unpacker that failed says so in its result."""
        self._tell(b"%d" % available)

    def fileno(self) -> int:
        """Readable when `result` would return at once."""
        return self._child.fileno()

    def result(self) -> dict[str, Any]:
        """Wait for what `unpacking.unpack_layer` returns, or raises."""
        message = self._child.receive()
        assert isinstance(message, process.Event)
        found: dict[str, Any] = message.value
        return found

    def stop(self) -> None:
        """End it, whatever it does; who waits for its result is told."""
        self._child.kill()
        with self._writing:
            if self._feed_fd >= 0:
                os.close(self._feed_fd)
                self._feed_fd = -1

    def _tell(self, line: bytes) -> None:
        with suppress(BrokenPipeError), self._writing:
            if self._feed_fd >= 0:
                os.write(self._feed_fd, line + b"\n")


def _work(feed_fd: int, send: Send) -> None:
    """The process's whole life: lines of JSON are layers, numbers news of the one at hand."""
    is_kept_in = False
    with open(feed_fd, "rb") as feed:
        while line := feed.readline():
            if not line.startswith(b"{"):  # late news of the layer before
                continue
            job = leanjson.loads(line)
            if not is_kept_in:
                staging = os.path.dirname(job["directory"])
                landlock.keep_changes_in(os.path.dirname(staging))
                is_kept_in = True
            send(_unpack(feed, job))


def _unpack(feed: BufferedReader, job: dict[str, Any]) -> dict[str, Any]:
    """One layer. Chroots, where it may, and comes back."""
    root, here, modules = os.open("/", _DIRECTORY), os.open(".", _DIRECTORY), [*sys.path]
    blob = _Growing(feed, job["path"], job["published"], job["size"])
    try:
        directory, durable = job["directory"], job["durable"]
        return unpacking.unpack_layer(blob.read, directory, job["algorithm"], durable=durable)
    finally:
        blob.close()
        places.leave(root, here)
        os.close(root)
        os.close(here)
        sys.path[:] = modules


class _Growing:
    """Reads a blob while another process writes it and tells, in lines, how far it is."""

    def __init__(self, news: BufferedReader, path: str, published: str, size: int) -> None:
        self._news = news
        self._size = size
        self._available = 0
        self._at = 0
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = os.open(published, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, as soon as there are any; b"" at the end of the blob."""
        while self._at >= self._available and self._at < self._size:
            self._available = int(self._news.readline())
        chunk = os.pread(self._fd, min(count, self._available - self._at), self._at)
        self._at += len(chunk)
        return chunk

    def close(self) -> None:
        os.close(self._fd)
