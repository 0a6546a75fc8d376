"""The answerer and who asks: in a root of its own, or gone, when another has its number."""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
from collections.abc import Callable

import pytest

from rootless import linux
from rootless.sandbox import seccomp
from rootless.sandbox.oneid import answering, caller, calls, credentials
from tests.support import child

pytestmark = pytest.mark.needs("userns")
GONE = 4711  # no call with this number waits


def _caller() -> caller.Caller:
    """Of a call that waits no more; the process of its number is this one."""
    everything = struct.pack(f"<{len(seccomp.ALLOW)}Q", *seccomp.ALLOW)
    listener = linux.seccomp(everything, linux.SECCOMP_FILTER_FLAG_NEW_LISTENER)
    os.chdir("/proc")
    return caller.Caller(listener, GONE, os.getpid(), "chown", (0,) * 6)


def _refused(act: Callable[[caller.Caller], object]) -> bool:
    def body() -> bool:
        asking = _caller()
        had = os.listdir("/proc/self/fd")
        try:
            act(asking)
        except FileNotFoundError:
            return os.listdir("/proc/self/fd") == had
        return False

    return child.in_child(body)


@pytest.mark.parametrize(
    "act",
    [
        lambda one: one.open_fd(0),
        lambda one: one.open_fd(caller.AT_FDCWD),
        lambda one: one.open_path(caller.AT_FDCWD, b"/etc", 0),
        lambda one: one.open_path(caller.AT_FDCWD, b"self", 0),
        lambda one: one.open_parent(caller.AT_FDCWD, b"/new"),
        lambda one: one.umask(),
        lambda one: one.stack,
        lambda one: one.give_fd(0, 0),
    ],
    ids=["fd", "cwd", "path", "relative", "parent", "umask", "stack", "give"],
)
def test_nothing_of_who_has_its_number_is_opened_or_told(act):
    assert _refused(act)


def test_nothing_is_written_into_who_has_its_number():
    def body() -> bytes:
        import ctypes

        asking = _caller()
        memory = ctypes.create_string_buffer(b"intact")
        with pytest.raises(FileNotFoundError):
            asking.write(ctypes.addressof(memory), b"broken")
        return memory.value

    assert child.in_child(body) == b"intact"


def test_who_has_its_number_becomes_nobody_else():
    def body() -> bool:
        asking = _caller()
        before = resource.getrlimit(calls.RLIMIT_LOCKS)
        answerer = answering._Answerer(asking._listener, socket.socket())
        with pytest.raises(FileNotFoundError):
            answerer._become(asking, credentials.Credentials(uids=(5, 5, 5)))
        return resource.getrlimit(calls.RLIMIT_LOCKS) == before

    assert child.in_child(body)


class _Waiting(caller.Caller):
    """One that waits for as long as anybody looks."""

    def check(self) -> None:
        pass


def _in(root: str) -> int:
    """A process that has this root, and is in a folder of it."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.chroot(root)
        os.chdir("/folder")
        os.close(write_fd)
        os.close(read_fd)
        signal.pause()
    os.close(write_fd)
    os.read(read_fd, 1)  # the end of it: the child has closed it, too
    os.close(read_fd)
    return pid


def test_names_mean_what_they_mean_in_the_callers_root(tmp_path):
    (tmp_path / "root" / "folder").mkdir(parents=True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "root" / "link").symlink_to("/folder")
    (tmp_path / "root" / "up").symlink_to("../../folder")
    meant = os.stat(tmp_path / "root" / "folder").st_ino

    def body() -> list[int]:
        pid = _in(str(tmp_path / "root"))
        os.chdir("/proc")
        asking = _Waiting(-1, 0, pid, "chown", (0,) * 6)
        names = (b"/folder", b".", b"/link", b"../link", b"../up", b"/../folder", b"../../folder")
        try:
            found = [asking.open_path(caller.AT_FDCWD, name, 0) for name in names]
            return [os.fstat(fd).st_ino for fd in found]
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    assert child.in_child(body) == [meant] * 7
