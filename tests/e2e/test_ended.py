"""Commands that are asked to end while they work: they clean up, and the next try works.

Each is kept at its work by who does not go on: an archive that does not end, a reader who does not
read, a registry that does not answer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.hostile_registry import Answer, HostileRegistry, serving
from tests.support.processes import wait_until

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")
ENDINGS = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def archive(tmp_path_factory, busybox_image):
    return busybox_image.archive(tmp_path_factory.mktemp("ended") / "base.tar")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    """With `busybox`, and a container `made` with a large file."""
    folder = tmp_path_factory.mktemp("ended")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    script = "head -c 20000000 /dev/urandom >/large"
    command.ok("run", "--network=none", "--name", "made", "busybox", "sh", "-c", script)
    yield command
    child.remove_tree(folder / "store")


def begin(store, *argv, **options):
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **options}
    argv = store.command(*argv)
    return subprocess.Popen(argv, env=store.environment, stderr=subprocess.PIPE, **options)


def end(store, running, number) -> None:
    """Ask it, and see that it has cleaned up."""
    running.send_signal(number)
    said = running.communicate(timeout=120)[1].decode()
    assert running.returncode == 128 + number, said
    assert said.endswith("interrupted\n")
    assert "Traceback" not in said
    left = [one for one in (store.root / "tmp").iterdir() if one.is_dir()]
    assert left == []


def in_work(store) -> list[Path]:
    """The files that it has made in tmp/, which may vanish."""
    folder = store.root / "tmp"
    walked = os.walk(folder, onerror=lambda _: None)
    return [one for top, _, names in walked for name in names if (one := Path(top, name)).exists()]


def at_work(store) -> None:
    wait_until(lambda: in_work(store), "its work")


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("words", [("load",), ("import", "-", "half:1")], ids=" ".join)
def test_an_archive_that_does_not_end(rootless, archive, number, words):
    """Half of it has come."""
    content = archive.read_bytes()
    running = begin(rootless, *words, stdin=subprocess.PIPE)
    running.stdin.write(content[: len(content) // 2])
    running.stdin.flush()
    wait_until(lambda: any(one.stat().st_size for one in in_work(rootless)), "its work")
    end(rootless, running, number)
    assert os.listdir(rootless.root / "tmp") == []
    assert rootless.ok("images", "-q") == ""
    argv = rootless.command(*words)
    subprocess.run(argv, env=rootless.environment, input=content, check=True)


@pytest.mark.parametrize("number", ENDINGS)
def test_files_that_do_not_come(store, archive, number):
    content = archive.read_bytes()
    running = begin(store, "cp", "-", "made:/tmp", stdin=subprocess.PIPE)
    running.stdin.write(content[: len(content) // 2])  # so it reads
    end(store, running, number)
    argv = store.command("cp", "-", "made:/tmp")
    subprocess.run(argv, env=store.environment, input=content, check=True)


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize(
    "words",
    [
        ("save", "busybox"),
        ("export", "made"),
        ("cp", "made:/large", "-"),
        ("volume", "export", "data"),
    ],
    ids=lambda words: words[0],
)
def test_a_reader_that_does_not_read(store, number, words):
    if words[0] == "volume":
        fill = "head -c 1000000 /dev/zero >/v/zeros"
        store.ok("run", "--rm", "--network=none", "-v", "data:/v", "busybox", "sh", "-c", fill)
    running = begin(store, *words)
    os.read(running.stdout.fileno(), 1)
    end(store, running, number)
    again = subprocess.run(
        store.command(*words), env=store.environment, check=True, capture_output=True
    )
    assert len(again.stdout) > 1_000_000


@pytest.mark.parametrize("number", ENDINGS)
def test_a_commit(store, number):
    """Interrupted while it copies, or when it is done: then it has been in time."""
    running = begin(store, "commit", "made", "committed:1")
    at_work(store)
    running.send_signal(number)
    said = running.communicate(timeout=120)[1].decode()
    assert running.returncode in (0, 128 + number)
    assert "Traceback" not in said
    assert [one for one in (store.root / "tmp").iterdir() if one.is_dir()] == []
    store.ok("commit", "made", "committed:1")
    store.ok("rmi", "committed:1")


class Stalling:
    """A registry that serves half of each blob, and goes on when it is `released`."""

    def __init__(self, answer) -> None:
        self.released = threading.Event()
        self.asked = threading.Event()
        self._answer = answer

    def __call__(self, request):
        found = self._answer(request)
        if "/blobs/sha256" not in request.path or len(found.body) < 10_000:
            return found
        self.asked.set()
        return found if self.released.is_set() else Answer(raw=self._slowly(found.body))

    def _slowly(self, body):
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        yield body[: len(body) // 2]
        self.released.wait(60)


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("words", [("pull",), ("run", "--rm", "--network=none")], ids=" ".join)
def test_a_registry_that_does_not_go_on(rootless, busybox_image, number, words):
    stalling = Stalling(serving(busybox_image, "slow/image"))
    with HostileRegistry(stalling) as registry:
        name = f"{registry.address}/slow/image:1"
        argv = (*words, name, "true") if words[0] == "run" else (*words, name)
        running = begin(rootless, *argv)
        assert stalling.asked.wait(60)
        at_work(rootless)
        end(rootless, running, number)
        stalling.released.set()
        rootless.ok(*argv)
    rootless.ok("rmi", name)


@pytest.mark.parametrize("number", ENDINGS)
def test_a_registry_that_takes_nothing(store, number):
    asked = threading.Event()
    released = threading.Event()

    def answer(request):
        asked.set()
        released.wait(60)
        return Answer(404)

    with HostileRegistry(answer) as registry:
        name = f"{registry.address}/slow/image:1"
        store.ok("tag", "busybox", name)
        running = begin(store, "push", name)
        assert asked.wait(60)
        end(store, running, number)
        released.set()
    store.ok("rmi", name)
