"""What a sandbox shares with the host and what it has for itself: namespaces, ids, the kernel."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from rootless import runspec, userns
from rootless.errors import RootlessError
from rootless.sandbox import caps, spawn
from rootless.sandbox.privileges import KEEP_GROUPS
from rootless.userns import IdMap
from tests.integration import test_sandbox
from tests.integration.test_sandbox import PATH
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

NONE = runspec.Network(own=True)
HOST = runspec.Network(own=False)


def run(rootfs, script: str, **given) -> str:
    """Each test may run more than once in its tree."""
    return test_sandbox.run(rootfs.replace(volatile=False), script, **given)


def isolation(**changes) -> runspec.Isolation:
    network = changes.pop("network", NONE)
    return runspec.Isolation("box", network, **changes)


KINDS = {"pid": "pid", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}


@pytest.mark.parametrize("shared", [*KINDS, "all"])
@pytest.mark.parametrize("network", [NONE, HOST], ids=["own-net", "host-net"])
def test_namespaces_of_the_host(rootfs, shared, network):
    which = frozenset(KINDS if shared == "all" else {shared})
    script = "".join(f"readlink /proc/self/ns/{kind}; " for kind in KINDS)
    given = isolation(shared=which, network=network, own_cgroup=True)
    seen = dict(zip(KINDS, run(rootfs, script, isolation=given).split(), strict=True))
    for kind, inside in seen.items():
        assert (inside == os.readlink(f"/proc/self/ns/{kind}")) == (kind in which), kind


def test_the_hosts_processes_are_seen_and_shm_is_the_hosts(rootfs):
    mark = Path(f"/dev/shm/rootless-test-{os.getpid()}")
    mark.write_text("from the host")
    try:
        given = isolation(shared=frozenset({"pid", "ipc"}))
        script = f"cat {mark}; echo; ls -d /proc/{os.getpid()}; hostname"
        assert run(rootfs, script, isolation=given).split("\n")[:3] == [
            "from the host", f"/proc/{os.getpid()}", "box",
        ]  # fmt: skip
        assert run(rootfs, f"ls {mark} 2>&1 || true", isolation=isolation()).endswith(
            "No such file or directory\n"
        )
    finally:
        mark.unlink()


def test_the_hosts_name_cannot_be_changed(rootfs):
    given = isolation(shared=frozenset({"uts"}))
    process = runspec.Process(
        ("sh", "-c", "hostname; hostname x 2>&1 || true"), PATH, capabilities=caps.ALL
    )
    assert run(rootfs, "", process=process, isolation=given).startswith(os.uname().nodename)


@pytest.mark.parametrize("ending", ["main", "supervisor"])
def test_nothing_is_left_of_a_container_among_the_hosts_processes(rootfs, ending):
    """No pid namespace ends with it, so the supervisor does what the kernel would have done."""
    script = f"sleep 612 & setsid sleep 613 & {'sleep 614' if ending == 'supervisor' else 'true'}"

    def body() -> None:
        process = runspec.Process(("sh", "-c", script), PATH)
        spec = runspec.container(
            IdMap((), ()), rootfs, process, isolation(shared=frozenset({"pid"}))
        )
        started = spawn.spawn(spec, 0, 2, 2)
        started.await_exec()
        if ending == "supervisor":
            while not _running("614"):
                time.sleep(0.02)
            started.kill(signal.SIGKILL)
        started.wait()

    child.in_child(body)
    numbers = ["614"] if ending == "supervisor" else ["612", "613"]
    until = time.monotonic() + 20
    while any(map(_running, numbers)) and time.monotonic() < until:
        time.sleep(0.05)
    try:
        assert not any(map(_running, numbers))
    finally:
        for number in ("612", "613", "614"):
            for pid in _running(number):
                os.kill(pid, signal.SIGKILL)


def _running(seconds: str) -> list[int]:
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\0%b\0" % seconds.encode():
                found.append(int(pid))
        except OSError:
            continue
    return found


def test_settings_of_the_kernel(rootfs):
    wanted = (("net.ipv4.ip_forward", "1"), ("kernel.shmmax", "4321"), ("fs.mqueue.msg_max", "7"))
    paths = " ".join("/proc/sys/" + name.replace(".", "/") for name, _ in wanted)
    low = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    text = run(rootfs, f"cat {paths} {low}", isolation=isolation(sysctls=wanted))
    assert text.split() == ["1", "4321", "7", "0"]
    assert Path("/proc/sys/kernel/shmmax").read_text() != "4321\n"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("net.ipv4.nosuch", "1", "No such file or directory"),
        ("net.ipv4.ip_forward", "many", "Invalid argument"),
        ("kernel.panic", "1", "Permission denied"),
    ],
)
def test_settings_that_cannot_be(rootfs, name, value, words):
    with pytest.raises(RootlessError, match=f"--sysctl {name}={value} cannot be set: {words}"):
        run(rootfs, "true", isolation=isolation(sysctls=((name, value),)))


def test_a_port_below_1024_is_for_every_user(rootfs):
    process = runspec.Process((), PATH, user="nobody", capabilities=frozenset())
    script = "timeout 1 nc -l -p 80 </dev/null; echo $?"
    assert run(rootfs, script, process=process) in ("143\n", "124\n")


def test_shm_of_a_size_and_none(rootfs):
    assert "512" in run(rootfs, "df -k /dev/shm", isolation=isolation(shm_size=512 << 10))
    assert run(rootfs, "ls /dev", isolation=isolation(shm_size=0)).split().count("shm") == 0


def test_what_was_hidden_is_seen_and_written_with_a_writable_kernel(rootfs):
    open_ = isolation(
        masked=(), protected=(), writable_kernel=True, writable_cgroup=True, own_cgroup=True
    )
    text = run(rootfs, "cat /proc/self/mountinfo; cat /proc/keys | wc -l", isolation=open_)
    options = {line.split()[4]: line.split()[5] for line in text.splitlines() if " - " in line}
    assert options["/sys"].startswith("rw")
    assert "/proc/keys" not in options
    assert "/proc/sys" not in options
    closed = run(rootfs, "cat /proc/self/mountinfo", isolation=isolation(own_cgroup=True))
    options = {line.split()[4]: line.split()[5] for line in closed.splitlines()}
    assert options["/sys"].startswith("ro")
    assert options["/proc/sys"].startswith("ro")


def test_umask_score_and_groups(rootfs):
    process = runspec.Process(
        (), PATH, umask=0o077, oom_score=77, groups=("12", "34", "12"), user="7"
    )
    script = "umask; cat /proc/self/oom_score_adj; grep Groups /proc/self/status"
    assert run(rootfs, script, process=process).split() == [
        "0077", "77", "Groups:", "0", "12", "34",
    ]  # fmt: skip
    with pytest.raises(RootlessError, match="there is no group 'nosuch'"):
        run(rootfs, script, process=process.replace(groups=("nosuch",)))


def test_groups_of_the_caller_may_be_kept(rootfs):
    process = runspec.Process((), PATH, groups=KEEP_GROUPS)
    kept = run(rootfs, "grep Groups /proc/self/status", process=process).split()[1:]
    mine = [group for group in os.getgroups() if group != os.getgid()]
    assert kept.count("65534") == len(mine)


def own(uid: int) -> IdMap:
    """As --userns=keep-id makes it, in numbers of the outer namespace: 0 there is ours."""
    ranges = ((0, 1, uid), (uid, 0, 1), (uid + 1, uid + 1, 60000))
    return IdMap(ranges, ranges)


def run_with_ids(rootfs, ids: IdMap, script: str, user: str = "", **changes) -> str:
    def body() -> str:
        process = runspec.Process(("sh", "-c", script), PATH, user=user)
        tree = rootfs.replace(volatile=False)
        spec = runspec.container(userns.current(), tree, process, isolation(**changes))
        read_fd, write_fd = os.pipe()
        started = spawn.spawn(spec.replace(own_ids=ids), 0, write_fd, 2)
        os.close(write_fd)
        started.await_exec()
        started.wait()
        with os.fdopen(read_fd) as pipe:
            return pipe.read()

    return child.in_child(body)


def test_ids_of_its_own(rootfs, tmp_path):
    """Whoever started it is 1000 inside; root inside is a subordinate id outside."""
    from rootless.sandbox.operations.tree import Bind

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    script = "id -u; cat /proc/self/uid_map; stat -c %u /mine/file; echo y > /mine/new; echo $$"
    mounts = (Bind(str(tmp_path / "mine"), "/mine"),)
    text = run_with_ids(rootfs, own(1000), script, "1000", mounts=mounts)
    lines = text.splitlines()
    assert (lines[0], lines[-2], lines[-1]) == ("1000", "1000", "1")
    assert [line.split() for line in lines[1:4]] == [
        ["0", "1", "1000"], ["1000", "0", "1"], ["1001", "1001", "60000"],
    ]  # fmt: skip
    assert (tmp_path / "mine/new").stat().st_uid == os.getuid()
    root = run_with_ids(
        rootfs, own(1000), "id -u; cat /mine/file || true; hostname y", mounts=mounts
    )
    assert root.startswith("0\nx")
