"""Who a process is: its number alone does not say."""

from __future__ import annotations

import fcntl
import os
import subprocess

from rootless import living


def test_a_process_is_known_until_it_ends():
    with subprocess.Popen(["sleep", "600"]) as other:
        process = living.identify(other.pid)
        assert living.is_alive(process)
        assert process.namespace == os.stat("/proc/self/ns/pid").st_ino
        assert living.kill(process, 10)
        assert not living.is_alive(process), "a zombie is dead: nothing of its namespace is left"
        other.wait()
        assert not living.is_alive(process)
        assert living.kill(process, 10), "ended already"


def test_a_number_given_to_another_process_is_never_signalled():
    with subprocess.Popen(["sleep", "600"]) as other:
        process = living.identify(other.pid)
        for wrong in (
            process.replace(started=process.started - 1),
            process.replace(boot="another"),
            process.replace(namespace=1),
        ):
            assert not living.is_alive(wrong)
            living.kill(wrong, 0)
        assert other.poll() is None
        assert not living.kill(process.replace(namespace=1), 0), "not seen from here is not gone"
        other.kill()


def test_a_name_with_blanks_and_parentheses(tmp_path):
    program = tmp_path / "a) Z 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "600"]) as other:
        assert living.is_alive(living.identify(other.pid))
        other.kill()


def test_who_looks_is_not_taken_for_the_holder(tmp_path):
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    fcntl.flock(first, fcntl.LOCK_SH)
    assert not living.is_held(str(tmp_path)), "another who looks"
    os.close(first)
    fcntl.flock(second, fcntl.LOCK_EX)
    assert living.is_held(str(tmp_path))
    os.close(second)
    assert not living.is_held(str(tmp_path))
