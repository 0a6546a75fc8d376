"""A cgroup of one's own: from systemd where the user has one, else a directory below one's own."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rootless.sandbox import cgroup
from tests.support import machine

_ALL = ("memory", "pids", "cpu")

_MAKE = """
import os, signal, sys
from rootless.sandbox import cgroup
group, missing = cgroup.make(sys.argv[1], tuple(sys.argv[2].split()), sys.argv[3])
print(group.path, flush=True)
"""
_EAT = """
pid = os.fork()
if pid == 0:
    with open(f"{group.path}/cgroup.procs", "w") as procs:
        procs.write("0")
    held = []
    while True:
        held.append(b"x" * (1 << 20))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), group.oom_kills)
"""
_FORKS = """
pid = os.fork()
if pid == 0:
    with open(f"{group.path}/cgroup.procs", "w") as procs:
        procs.write("0")
    for started in range(100):
        try:
            if os.fork() == 0:
                signal.pause()
        except BlockingIOError:
            print(started, flush=True)
            os.kill(0, 9)
os.waitpid(pid, 0)
"""


def _run(script: str, name: str = "f" * 64, needed: str = " ".join(_ALL), parent: str = ""):
    return subprocess.run(
        [sys.executable, "-c", script, name, needed, parent],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(machine.PROJECT)},
        timeout=120,
        start_new_session=True,
    )


def _made(script: str, **given) -> tuple[Path, list[str]]:
    answer = _run(_MAKE + script, **given)
    assert answer.returncode in (0, -9), answer.stderr
    path, *lines = answer.stdout.split("\n")
    return Path(path), [line for line in lines if line]


def _goes(path: Path) -> bool:
    """systemd removes a scope when it hears of its last process's end."""
    until = time.monotonic() + 120
    while path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return not path.exists()


@pytest.mark.needs("delegation")
def test_it_is_a_scope_of_the_users_systemd_and_gone_afterwards():
    script = "print(cgroup.own()); print(*os.listdir(group.path))"
    path, (own, files) = _made(script)
    assert path.name == "container" and path.parent.name.startswith(f"rootless-{'f' * 12}-")
    assert own == f"{path.parent}/monitor"
    assert {"memory.max", "pids.max", "cpu.max", "memory.events"} <= {*files.split()}
    assert _goes(path)


@pytest.mark.needs("delegation")
def test_memory_is_limited_and_who_was_killed_is_counted():
    limit = 'group.set({"memory.max": str(32 << 20), "memory.swap.max": "0"})'
    _, lines = _made(limit + _EAT)
    assert lines == ["-9 1"]


@pytest.mark.needs("delegation")
def test_processes_are_limited():
    _, (started,) = _made('group.set({"pids.max": "5"})' + _FORKS)
    assert started == "4"


@pytest.mark.needs("delegation")
def test_a_slice_may_be_named():
    path, _ = _made("", parent="exam-tests.slice")
    assert path.parts[-4:-2] == ("exam.slice", "exam-tests.slice")


@pytest.mark.needs("delegation")
def test_what_the_kernel_refuses_is_named():
    answer = _run(_MAKE + 'group.set({"memory.max": "many"})')
    assert (
        "memory.max of the container's cgroup cannot be 'many': Invalid argument" in answer.stderr
    )


@pytest.mark.needs("delegation")
def test_a_controller_that_is_not_delegated_is_named():
    _, (missing,) = _made("print(*missing)", needed="memory cpuset")
    assert missing == "cpuset"


@pytest.mark.needs("delegation")
def test_a_process_that_starts_several_has_a_group_for_each():
    script = "second, _ = cgroup.make('e' * 64, ('memory',)); print(second.path, cgroup.own())"
    path, (told,) = _made(script)
    second, own = told.split()
    assert f"rootless-{'e' * 12}-" in second and path.parent != Path(second).parent
    assert own == f"{Path(second).parent}/monitor"


@pytest.mark.needs("delegation")
def test_what_systemd_has_delegated_is_divided_in_place_when_that_is_asked_for():
    """As in a service of one's own with Delegate=yes: it stays the service's."""
    make = _MAKE.replace("sys.argv[3])", "split=True)")
    program = [sys.executable, "-c", make, "f" * 64, "memory"]
    scope = ["systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes"]
    environment = {**os.environ, "PYTHONPATH": str(machine.PROJECT)}
    environment["XDG_RUNTIME_DIR"] = f"/run/user/{os.getuid()}"
    answer = subprocess.run(
        [*scope, *program], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    path = Path(answer.stdout.strip())
    assert path.name == "container" and path.parent.name.startswith("run-")


def test_where_there_is_none_it_says_what_would_help():
    if machine.missing("delegation") is None:
        pytest.skip("here there is one")
    answer = _run(_MAKE)
    assert answer.returncode and "NoGroupError: " in answer.stderr


def test_one_may_be_found_wherever_the_tree_is_mounted():
    here = cgroup.own()
    if not here:
        pytest.skip("no cgroup v2 tree is mounted here")
    told = Path(here, "cgroup.procs").read_text().split()
    assert str(os.getpid()) in told
