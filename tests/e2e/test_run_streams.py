"""Files of the host as a container's standard streams: it gets their bytes, never the files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("streams")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


def run(store, script: str, **streams):
    argv = store.command("run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", script)
    return subprocess.run(argv, env=store.environment, timeout=60, check=False, **streams)


def wait_for(happens) -> None:
    end = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_file_that_is_read_cannot_be_written(store, tmp_path):
    file = tmp_path / "in"
    file.write_text("content\n")
    with file.open() as stdin:
        done = run(store, "cat; echo bad > /proc/self/fd/0; true", stdin=stdin, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"content\n")
    assert file.read_text() == "content\n"


def test_a_log_that_is_written_cannot_be_read_or_emptied(store, tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    script = "echo out; echo err >&2; echo out; : > /proc/self/fd/1; stat -Lc %F /proc/self/fd/1"
    with log.open("a") as stdout:
        run(store, script, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT)
    assert log.read_text() == "before\nout\nerr\nout\nfifo\n"


def test_all_of_it_arrives(store, tmp_path):
    """Megabytes both ways, an exit status, and separate files for output and errors."""
    content = os.urandom(5 << 20)
    (tmp_path / "in").write_bytes(content)
    with (
        open(tmp_path / "in", "rb") as stdin,
        open(tmp_path / "out", "wb") as out,
        open(tmp_path / "err", "wb") as err,
    ):
        done = run(store, "tee /dev/stderr; exit 7", stdin=stdin, stdout=out, stderr=err)
    assert done.returncode == 7
    assert (tmp_path / "out").read_bytes() == content
    assert (tmp_path / "err").read_bytes() == content


def test_nobody_waits_for_input_that_nobody_reads(store, tmp_path):
    (tmp_path / "in").write_bytes(bytes(1 << 20))
    with open(tmp_path / "in", "rb") as stdin:
        assert run(store, "exit 3", stdin=stdin).returncode == 3


def test_a_full_disk_is_said(store, tmp_path):
    """A limit on the size of files stops the copier, and then the command."""
    with open(tmp_path / "out", "wb") as out:
        argv = store.command("run", "--rm", "--network", "none", "busybox", "yes")
        limited = ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", *argv]
        done = subprocess.run(
            limited,
            check=False,
            env=store.environment,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=120,
        )
    assert done.returncode != 0
    assert b"error: a file may not be larger than" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_disk_that_takes_its_time_gets_all(store, tmp_path):
    """Whoever writes to the file goes on when the container has ended."""
    script = "echo ready; while ! [ -e /x/go ]; do sleep 0.02; done; seq 1000; echo end"
    (tmp_path / "x").mkdir()
    words = ("-v", f"{tmp_path}/x:/x", "busybox", "sh", "-c", script)
    with open(tmp_path / "out", "wb") as out:
        running = subprocess.Popen(
            store.command("run", "--rm", "--network", "none", *words),
            env=store.environment, stdout=out, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        wait_for(lambda: (tmp_path / "out").read_bytes() == b"ready\n")
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        (copier,) = (one for one in children if writes(one, tmp_path / "out"))
        (supervisor,) = (one for one in children if one != copier)
        os.kill(int(copier), signal.SIGSTOP)
        (tmp_path / "x/go").touch()
        wait_for(lambda: not Path(f"/proc/{supervisor}").exists())
        time.sleep(0.3)  # for a command that does not wait to go on
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(copier), signal.SIGCONT)
        assert running.wait(120) == 0
    finally:
        running.kill()
        running.wait()
    assert (tmp_path / "out").read_text().split() == ["ready", *map(str, range(1, 1001)), "end"]


def writes(pid, path):
    try:
        return os.readlink(f"/proc/{pid}/fd/1") == str(path)
    except PermissionError:  # nobody looks into the supervisor
        return False


def test_a_signal_reaches_the_command_once(store, tmp_path):
    script = "trap 'echo int' INT; trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done"
    with open(tmp_path / "out", "wb") as out:
        running = subprocess.Popen(
            store.command("run", "--rm", "--network", "none", "busybox", "sh", "-c", script),
            env=store.environment, stdout=out, start_new_session=True,
        )  # fmt: skip
        try:
            wait_for(lambda: b"ready" in (tmp_path / "out").read_bytes())
            os.killpg(running.pid, signal.SIGINT)
            wait_for(lambda: b"int" in (tmp_path / "out").read_bytes())
            os.killpg(running.pid, signal.SIGTERM)
            assert running.wait(120) == 4
        finally:
            running.kill()
            running.wait()
    assert (tmp_path / "out").read_bytes() == b"ready\nint\n"
