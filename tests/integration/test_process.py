"""Forked children: what they tell arrives as what it was, and none of them is left behind."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from rootless import process
from rootless.dockerfile.errors import DockerfileError
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.registry.errors import RegistryError
from rootless.sandbox.errors import SandboxError
from tests.support.child import in_child


def raising(error):
    def body():
        raise error

    return body


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_events_come_in_order_and_then_the_value():
    def body(send):
        for number in range(300):
            send(["x" * number * 10, number, "\udcff\n\0"])
        return {"done": True}

    seen = []
    child = process.fork(body)
    assert child.result(seen.append) == {"done": True}
    assert seen == [["x" * number * 10, number, "\udcff\n\0"] for number in range(300)]
    child.kill()
    assert is_gone(child.pid)


@pytest.mark.parametrize(
    "error",
    [
        RootlessError("no", hint="do"),
        IntegrityError("no"),
        NotFoundError("no \udcff\n", hint="do"),
        DockerfileError("no", hint="do"),
        RegistryError("no"),
        SandboxError("no", hint="do", exit_code=127),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_what_it_was(error):
    with pytest.raises(type(error)) as caught:
        process.run(raising(error))
    assert type(caught.value) is type(error)
    back = (caught.value.message, caught.value.hint, caught.value.exit_code)
    assert back == (error.message, error.hint, error.exit_code)


def test_a_kind_that_the_parent_does_not_know_is_a_plain_error():
    class LateError(RootlessError):
        pass

    late = LateError("no", hint="do")
    LateError.__name__ = "AnotherError"
    with pytest.raises(LateError.__base__, match="no") as caught:
        process.run(raising(late))
    assert caught.value.hint == "do"


def test_a_failed_system_call_comes_back_with_its_number_and_file(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        process.run(lambda: os.open(tmp_path / "none", os.O_RDONLY))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(tmp_path / "none"))
    assert "test_process.py" in caught.value.__notes__[0]


def test_a_bug_brings_its_traceback_once(capfd):
    def body():
        return {}["nothing here"]

    with pytest.raises(process.ChildBug, match=r"(?s)Traceback.*in body.*KeyError: 'nothing here'"):
        process.run(body)
    assert capfd.readouterr() == ("", "")


def test_a_value_that_cannot_be_told_is_a_bug():
    with pytest.raises(process.ChildBug, match="cannot be written as JSON"):
        process.run(object)


def test_an_interrupt_in_the_child_is_one_in_the_parent(capfd):
    def body(send):
        send("ready")
        time.sleep(60)

    child = process.fork(body)
    assert child.receive() == process.Event("ready")
    child.send_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        child.receive()
    child.close()
    assert capfd.readouterr() == ("", "")


def test_a_child_blocks_the_signals_that_its_parent_blocks():
    """All of them are blocked while it is forked: none meets it in a copy of our own code."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1,))
    try:
        inside = process.run(lambda: list(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))))
        outside = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert set(inside) == outside == {signal.SIGUSR1}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@pytest.mark.parametrize(("end", "words"), [(9, "signal 9"), (0, "exit code 3")])
def test_a_death_without_a_word_is_an_error(end, words):
    def body(send):
        send(1)
        if end:
            os.kill(os.getpid(), end)
        os._exit(3)

    child = process.fork(body, "the process that packs")
    assert child.receive().value == 1
    with pytest.raises(RootlessError, match=rf"the process that packs died \({words}\)"):
        child.receive()
    child.kill()


def test_half_a_message_is_a_death():
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"\x10\0\0\0[1")
    os.close(write_fd)
    assert process.read_frame(read_fd) is None
    os.close(read_fd)


def test_a_message_without_measure_is_refused():
    """An unpacker may be its image's by now."""
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"\xff\xff\xff\x7f")
    with pytest.raises(IntegrityError, match="told more than it may"):
        process.read_frame(read_fd)
    os.close(read_fd)
    os.close(write_fd)


def test_kill_is_harmless_twice_and_frees_the_descriptor():
    before = os.listdir("/proc/self/fd")
    child = process.fork(lambda _: time.sleep(60))
    for _ in range(2):
        child.kill()
    assert child.wait() == -signal.SIGKILL
    assert is_gone(child.pid)
    assert os.listdir("/proc/self/fd") == before


def test_kill_from_another_thread_ends_who_waits_for_the_result():
    child = process.fork(lambda _: time.sleep(60))
    found = []

    def wait():
        try:
            child.result()
        except RootlessError as error:
            found.append(str(error))

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    child.kill()
    for thread in waiting:
        thread.join(30)
    assert found == ["a worker process died (signal 9)"] * 3


def test_who_is_not_listened_to_any_more_ends():
    def body(send):
        while True:
            send("x" * 5000)

    child = process.fork(body)
    child.receive()
    child.close()
    assert child.wait() == 1


def test_a_child_dies_with_its_parent():
    def body():
        child = process.fork(lambda _: time.sleep(60))
        return child.pid

    pid = in_child(body, enter=False)
    for _ in range(500):
        if is_gone(pid):
            return
        time.sleep(0.01)
    pytest.fail("the child lives on")


def test_a_chroot_hides_nothing_that_telling_needs():
    """In an interpreter that has loaded nothing else, where the child's error must be told too."""
    program = """
import os, sys
from rootless import process, userns
userns.enter()
def body():
    os.chroot("/proc/self/fdinfo")
    os.chdir("/")
    sys.path.clear()
    raise FAULT
try:
    process.run(body)
except BaseException as error:
    print(type(error).__name__, str(error).splitlines()[-1])
"""
    for fault, answer in (
        ("process.RootlessError('no')", "RootlessError no"),
        ("OSError(5, 'no')", "OSError [Errno 5] no"),
        ("KeyError('no')", "ChildBug KeyError: 'no'"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
    ):
        code = program.replace("FAULT", fault)
        if fault == "KeyboardInterrupt":
            code = code.replace("str(error).splitlines()[-1]", "''")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert (done.stdout.strip(), done.stderr) == (answer, "")


@pytest.mark.parametrize(
    ("limit", "words", "cure"),
    [
        (resource.RLIMIT_NPROC, "no more processes can be started: this user may have 1 ", "-u"),
        (resource.RLIMIT_NOFILE, "no more files can be opened: a process may have 4 ", "-n"),
    ],
    ids=["processes", "files"],
)
def test_a_limit_is_a_sentence(limit, words, cure):
    if os.geteuid() == 0 and limit == resource.RLIMIT_NPROC:
        pytest.skip("root has no limit of processes")

    def body():
        few = 1 if limit == resource.RLIMIT_NPROC else 4
        _, most = resource.getrlimit(limit)
        resource.setrlimit(limit, (few, most))
        try:
            process.run(int)
        except RootlessError as error:
            return error.message, error.hint
        finally:
            resource.setrlimit(limit, (most, most))

    message, hint = in_child(body, enter=False)
    assert message.startswith(words)
    assert f"ulimit {cure}" in hint


def test_a_parent_that_has_died_already_is_noticed():
    """Its child has another parent by then, which never is this process itself."""
    pid = os.fork()
    if pid == 0:
        process.die_with_parent(os.getpid())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
