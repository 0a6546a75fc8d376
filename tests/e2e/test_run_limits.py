"""Limits on containers, and what they use: by a cgroup where there is one, else with a warning.

Those that need one run where a user has logged in to a machine with systemd; tests/e2e/test_vm.py
takes them there.
"""

import contextlib
import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child, machine

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

_RUN = ("run", "--network", "none")
_EAT = "x=a; while :; do x=$x$x; done"
_HOLD = "x=$(head -c 20000000 /dev/zero | tr '\\0' a); echo held; sleep 10000; :"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("limits")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def store(loaded):
    yield loaded
    names = loaded.ok("ps", "-aq").split()
    if names:
        loaded.ok("rm", "-f", *names)


@pytest.fixture
def nowhere():
    """A machine whose systemd, if it has one, is not asked."""
    if machine.missing("delegation") is None:
        pytest.skip("a cgroup can be had here")


def _await(tell, wanted):
    """What `tell()` gives as soon as it is `wanted`."""
    until = time.monotonic() + 120
    while not wanted(told := tell()):
        assert time.monotonic() < until, told
        time.sleep(0.1)
    return told


def _written(store, name: str) -> str:
    """What a container wrote to its log."""
    (folder,) = (store.root / "containers").glob(store.ok("inspect", "-f", "{{.Id}}", name).strip())
    lines = (folder / "log.jsonl").read_text().splitlines()
    return "".join(json.loads(line)["log"] for line in lines)


def _scopes() -> list[Path]:
    return [*Path("/sys/fs/cgroup").rglob("rootless-*.scope")]


# ── where there is a cgroup ──────────────────────────────────────────────────────────────────────


@pytest.mark.needs("delegation")
def test_who_takes_more_memory_is_killed(store):
    limits = ("-m", "20m", "--memory-swap", "20m")
    ended = store(*_RUN, "--name", "eater", *limits, "busybox", "sh", "-c", _EAT)
    assert (ended.exit, ended.stderr) == (137, "")
    state = json.loads(store.ok("inspect", "eater"))[0]["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    ended = store("start", "-a", "eater")
    assert ended.exit == 137
    store.ok(*_RUN, "--name", "modest", *limits, "busybox", "true")
    assert store.ok("inspect", "-f", "{{.State.OOMKilled}}", "modest") == "false\n"


@pytest.mark.needs("delegation")
def test_the_container_sees_its_limits_and_nothing_above(store):
    limits = ("-m", "64m", "--memory-swap", "-1", "--cpus", "0.5", "-c", "512", "--pids-limit", "9")
    look = "cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max"
    seen = store.ok(*_RUN, "--rm", *limits, "busybox", "sh", "-c", f"{look} cpu.weight pids.max")
    assert seen.split("\n") == ["0::/", str(64 << 20), "max", "50000 100000", "59", "9", ""]
    refused = store(
        *_RUN, "--rm", *limits, "busybox", "sh", "-c", "echo max > /sys/fs/cgroup/memory.max"
    )
    assert refused.exit == 1 and "Read-only file system" in refused.stderr


@pytest.mark.needs("delegation")
def test_processes_are_counted_and_refused(store):
    fork = "for i in 1 2 3 4 5 6; do sleep 100 & done"
    ended = store(*_RUN, "--rm", "--pids-limit", "4", "busybox", "sh", "-c", fork)
    assert "can't fork: Resource temporarily unavailable" in ended.stderr
    assert store.ok(*_RUN, "--rm", "--pids-limit", "1", "busybox", "echo", "one") == "one\n"


@pytest.mark.needs("delegation")
def test_processors_are_held_back(store):
    """It ends when the kernel says that it was made to wait."""
    wait = "until grep -q '^nr_throttled [1-9]' /sys/fs/cgroup/cpu.stat; do :; done"
    store.ok(*_RUN, "--rm", "--cpus", "0.1", "busybox", "sh", "-c", wait, timeout=120)


@pytest.mark.needs("delegation")
def test_stats_top_and_update_are_about_what_happens(store):
    hold = f"sleep 10000 & sleep 10000 & {_HOLD}"
    limits = ("-m", "64m", "--name", "holder")
    store.ok("run", "-d", "--network", "none", *limits, "busybox", "sh", "-c", hold)
    _await(lambda: _written(store, "holder"), lambda text: text == "held\n")
    row = json.loads(store.ok("stats", "--no-stream", "--format", "json", "holder"))
    used, unit, limit = re.fullmatch(r"([\d.]+)(\w+) / (\w+)", row["MemUsage"]).groups()
    assert (unit, limit) == ("MiB", "64MiB") and 19 < float(used) < 64
    assert (row["Name"], row["PIDs"], row["NetIO"]) == ("holder", "4", "0B / 0B")
    processes = store.ok("top", "holder", "-eo", "pid,comm").splitlines()
    assert [line.split()[1] for line in processes] == ["COMMAND", "sh", *["sleep"] * 3]
    assert store.ok("update", "-m", "128m", "--memory-swap", "-1", "holder") == "holder\n"
    told = store.ok("stats", "--no-stream", "--format", "{{.MemUsage}}", "holder")
    assert told.endswith(" / 128MiB\n")
    kept = json.loads(store.ok("inspect", "holder"))[0]["HostConfig"]
    assert (kept["Memory"], kept["MemorySwap"]) == (128 << 20, -1)
    refused = store("update", "--cpuset-cpus", "4000", "holder")
    assert refused.exit == 1


@pytest.mark.needs("delegation")
def test_nothing_of_a_group_is_left(store):
    before = _scopes()
    store.ok(*_RUN, "--rm", "-m", "64m", "busybox", "true")
    store.ok("run", "-d", "--network", "none", "--name", "ended", "-m", "64m", "busybox", "true")
    store.ok("wait", "ended")
    running = subprocess.Popen(
        store.command(*_RUN, "--rm", "-m", "64m", "busybox", "sleep", "10000"),
        env=store.environment,
    )
    _await(lambda: store.ok("ps", "-q"), bool)
    running.kill()
    running.wait()
    _await(_scopes, lambda found: found == before)


@pytest.mark.needs("delegation")
def test_a_restarted_container_stays_in_bounds(store):
    """Each start begins anew in the same limits; that it was killed is told of the last."""
    command = ("sh", "-c", f"cat /sys/fs/cgroup/pids.max; {_EAT}")
    limits = ("-m", "20m", "--memory-swap", "20m", "--pids-limit", "7")
    policy = ("--name", "again", "--restart", "on-failure:2")
    store.ok("run", "-d", "--network", "none", *policy, *limits, "busybox", *command)
    assert store.ok("wait", "again") == "137\n"
    assert _written(store, "again") == "7\n" * 3
    seen = store.ok("inspect", "-f", "{{.State.OOMKilled}} {{.RestartCount}}", "again")
    assert seen == "true 2\n"


@pytest.mark.needs("delegation")
def test_a_limit_that_is_not_delegated_is_named_and_the_others_hold(store):
    """cpuset is not among what systemd gives to users unless it is told to."""
    both = ("--cpuset-cpus", "0", "--pids-limit", "5")
    told = store(*_RUN, "--rm", *both, "busybox", "cat", "/sys/fs/cgroup/pids.max")
    assert (told.exit, told.stdout) == (0, "5\n")
    assert told.stderr.startswith("WARNING: limits not in force: cpuset.cpus: not delegated")
    assert "Delegate=cpu cpuset io memory pids" in told.stderr
    insists = store(*_RUN, "--rm", *both, "--cgroups", "enabled", "busybox", "true")
    assert insists.exit == 125 and "error: cpuset.cpus: not delegated" in insists.stderr


@pytest.mark.needs("delegation")
def test_exec_is_held_by_the_limits_too(store):
    """Also from a login session, whose processes only systemd may move."""
    store.ok(
        "run", "-d", "--network", "none", "-m", "64m", "--name", "held", "busybox", "sleep", "9999"
    )
    ended = store("exec", "held", "cat", "/proc/self/cgroup")
    assert (ended.exit, ended.stdout, ended.stderr) == (0, "0::/\n", "")
    eaten = store("exec", "held", "sh", "-c", _EAT)
    assert (eaten.exit, eaten.stderr) == (137, "")
    store.ok("exec", "-d", "held", "sleep", "9999")
    used = store.ok("stats", "--no-stream", "--format", "{{.PIDs}}", "held")
    assert used == "2\n"


# ── where there is none ──────────────────────────────────────────────────────────────────────────


def test_without_a_cgroup_it_starts_with_one_warning_that_names_the_fix(store, nowhere):
    ended = store(*_RUN, "--rm", "-m", "64m", "--cpus", "0.5", "busybox", "echo", "up")
    assert (ended.exit, ended.stdout) == (0, "up\n")
    warning, _, rest = ended.stderr.partition("\n")
    assert warning.startswith("WARNING: no limits are in force: ") and rest == ""
    assert re.search(r"boot with|log in", warning)
    ended = store("run", "-d", "--network", "none", "-m", "64m", "busybox", "true")
    assert ended.exit == 0 and ended.stderr.startswith("WARNING: no limits are in force: ")


def test_who_insists_gets_an_error_and_who_does_not_want_one_no_word(store, nowhere):
    insists = store(*_RUN, "--rm", "--cgroups", "enabled", "-m", "64m", "busybox", "true")
    assert insists.exit == 125 and insists.stderr.startswith("error: ")
    assert store.ok("ps", "-aq") == ""
    quiet = store(*_RUN, "--rm", "--cgroups", "disabled", "-m", "64m", "busybox", "true")
    assert (quiet.exit, quiet.stderr) == (0, "")


# ── in both ──────────────────────────────────────────────────────────────────────────────────────


def test_limits_are_kept_and_shown(store):
    given = ("-m", "64m", "--cpus", "0.5", "--cpuset-cpus", "0", "--pids-limit", "-1", "-c", "512")
    store.ok("create", "--name", "kept", *given, "--blkio-weight", "300", "busybox", "true")
    kept = json.loads(store.ok("inspect", "kept"))[0]["HostConfig"]
    assert (kept["Memory"], kept["MemorySwap"], kept["NanoCpus"]) == (
        64 << 20,
        128 << 20,
        5 * 10**8,
    )
    assert (kept["CpusetCpus"], kept["PidsLimit"], kept["CpuShares"]) == ("0", -1, 512)
    assert (kept["BlkioWeight"], kept["MemoryReservation"]) == (300, 0)


def test_a_wrong_limit_is_docker_s_error_and_leaves_nothing(store):
    refused = store("run", "-m", "64x", "busybox", "true")
    assert refused.exit == 125
    assert 'invalid argument "64x" for "-m, --memory" flag: invalid suffix: \'x\'' in refused.stderr
    refused = store("run", "-m", "1m", "busybox", "true")
    assert "Minimum memory limit allowed is 6MB" in refused.stderr
    assert store.ok("ps", "-aq") == ""


@pytest.fixture
def holder(store):
    """A container without limits, and so without a group of its own."""
    store.ok("run", "-d", "--network", "none", "--name", "free", "busybox", "sh", "-c", _HOLD)
    _await(lambda: _written(store, "free"), lambda text: text == "held\n")
    return store


def test_without_a_group_stats_come_from_its_processes(holder):
    row = json.loads(holder.ok("stats", "--no-stream", "--format", "json", "free"))
    assert sorted(row) == [
        *("BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs")
    ]
    assert (row["PIDs"], row["NetIO"], row["BlockIO"]) == ("2", "0B / 0B", "-- / --")
    used, unit = re.match(r"([\d.]+)(\w+) / ", row["MemUsage"]).groups()
    assert unit == "MiB" and 19 < float(used) < 64


def test_stats_have_docker_s_table(holder):
    holder.ok("create", "--name", "idle", "busybox")
    header, row = holder.ok("stats", "--no-stream").splitlines()
    titles = "CONTAINER ID   NAME  CPU %  MEM USAGE / LIMIT  MEM %  NET I/O  BLOCK I/O  PIDS"
    assert re.split(r"\s{2,}", header) == re.split(r"\s{2,}", titles)
    assert re.split(r"\s{2,}", row)[1] == "free"
    idle, free = holder.ok(
        "stats", "-a", "--no-stream", "--format", "{{.Name}} {{.PIDs}}"
    ).splitlines()
    assert (idle, free) == ("idle 0", "free 2")
    missing = holder("stats", "--no-stream", "nosuch")
    assert missing.exit == 1 and "No such container: nosuch" in missing.stderr


def test_stats_go_on_until_nobody_reads(holder):
    command = holder.command("stats", "free")
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=holder.environment) as stats:
        first = [stats.stdout.readline() for _ in range(4)]
        assert first[0].startswith(b"\x1b[HCONTAINER ID") and first[0].endswith(b"\x1b[K\n")
        assert first[2].startswith(b"\x1b[J\x1b[HCONTAINER ID")
        stats.stdout.close()
        assert stats.wait(120) in (0, 1, 141, -13)


def test_top_is_what_ps_says(holder):
    header, shell, sleep = holder.ok("top", "free").splitlines()
    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert shell.endswith(f"sh -c {_HOLD}") and sleep.endswith("sleep 10000")
    assert header.index("PID") == 20
    assert holder.ok("top", "free", "-o", "pid,comm").split()[-2:][1] == "sleep"
    refused = holder("top", "free", "-eo", "comm")
    assert refused.exit == 1 and "Couldn't find PID field in ps output" in refused.stderr
    refused = holder("top", "free", "--foo")
    assert refused.exit == 1 and "error: ps: exit status 1: " in refused.stderr
    holder.ok("stop", "-t", "0", "free")
    stopped = holder("top", "free")
    assert stopped.exit == 1 and "is not running" in stopped.stderr


def test_an_update_without_a_group_says_what_to_do(holder):
    refused = holder("update", "-m", "64m", "free")
    assert refused.exit == 1 and "runs without a cgroup of its own" in refused.stderr
    assert holder.ok("inspect", "-f", "{{.HostConfig.Memory}}", "free") == "0\n"
    holder.ok("stop", "-t", "0", "free")
    holder.ok("update", "-m", "64m", "free")
    assert holder.ok("inspect", "-f", "{{.HostConfig.Memory}}", "free") == f"{64 << 20}\n"


def test_an_update_needs_something_to_change(store):
    refused = store("update", "any")
    assert refused.exit == 1
    assert "you must provide one or more flags when using this command" in refused.stderr


def test_the_policy_of_a_running_container_counts_from_now_on(holder):
    assert holder.ok("update", "--restart", "on-failure:1", "free") == "free\n"
    process = int(holder.ok("inspect", "-f", "{{.State.Pid}}", "free"))
    with contextlib.suppress(ProcessLookupError):
        subprocess.run(["kill", "-9", str(process)], check=True)
    count = ("inspect", "-f", "{{.RestartCount}}", "free")
    _await(lambda: holder.ok(*count), lambda text: text == "1\n")
    refused = holder("update", "--restart", "sometimes", "free")
    assert refused.exit == 1 and "invalid restart policy" in refused.stderr
