"""The flags of isolation, as a user types them: what the command finds inside."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from rootless.sandbox import caps
from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

PROFILE = Path(__file__).parents[1] / "corpus/seccomp/default.json"


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("isolation")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    (folder / "c").mkdir()
    (folder / "c/Dockerfile").write_text(
        "FROM busybox\nRUN echo member:x:33:34::/home/member:/bin/sh >> /etc/passwd;"
        " printf 'own:x:34:\\naudio:x:63:member\\nextra:x:35:\\n' >> /etc/group\n"
    )
    command.ok("build", "-t", "busybox", folder / "c")
    yield command
    child.remove_tree(folder / "store")


def inside(store, *words: str, network: str = "none") -> str:
    """What the command wrote; flags, then the script."""
    *flags, script = words
    network_flags = ("--network", network)
    return store.ok("run", "--rm", *network_flags, *flags, "busybox", "sh", "-c", script)


def status(text: str) -> dict[str, str]:
    return {
        key: value.strip() for key, _, value in (one.partition(":") for one in text.split("\n"))
    }


def mounts(text: str) -> dict[str, str]:
    """Mount point → options, of a mountinfo."""
    lines = (line.split() for line in text.splitlines() if " - " in line)
    return {words[4]: words[5] for words in lines}


def test_privileged(store):
    text = inside(store, "--privileged", "cat /proc/self/status /proc/self/mountinfo")
    found = status(text)
    full = f"{caps.mask(caps.ALL):016x}"
    assert [found[f"Cap{one}"] for one in ("Prm", "Eff", "Bnd", "Inh")] == [full] * 3 + ["0" * 16]
    assert found["Seccomp"] == "0"
    seen = mounts(text)
    assert seen["/sys"].startswith("rw")
    assert not {path for path in seen if path.startswith("/proc/")}
    if os.path.exists("/dev/fuse"):
        assert "/dev/fuse" in seen
    forward = "/proc/sys/net/ipv4/ip_forward"
    script = f"mount -t tmpfs x /mnt && hostname new && hostname; echo 1 > {forward}; cat {forward}"
    script = f"mkdir -p /mnt; {script}"
    assert inside(store, "--privileged", script).split() == ["new", "1"]


def test_a_privileged_container_is_the_users_and_no_more(store, tmp_path):
    """Root of a namespace: what belongs to the machine stays the machine's."""
    before = Path("/proc/sys/kernel/hostname").read_text()
    script = """
    (echo b > /proc/sysrq-trigger) 2>/dev/null && echo sysrq
    (echo 0 > /proc/sys/kernel/randomize_va_space) 2>/dev/null && echo sysctl
    mknod /sda b 8 0 2>/dev/null && echo mknod
    mkdir /c; mount -t cgroup x /c 2>/dev/null && echo cgroup
    hostname other; echo done
    """
    assert inside(store, "--privileged", script) == "done\n"
    assert Path("/proc/sys/kernel/hostname").read_text() == before


def test_a_profile_of_dockers(store, tmp_path):
    shutil.copy(PROFILE, tmp_path / "p.json")
    flags = ("--security-opt", f"seccomp={tmp_path}/p.json")
    script = "grep Seccomp: /proc/self/status; unshare -m true 2>&1; chroot / echo chrooted"
    text = inside(store, *flags, script)
    assert "Seccomp:\t2" in text
    assert "Operation not permitted" in text
    assert "chrooted" in text
    with_admin = inside(store, "--cap-add", "SYS_ADMIN", *flags, "unshare -m echo yes")
    assert with_admin == "yes\n"


def test_a_profile_that_refuses_one_call(store, tmp_path):
    told = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["sethostname"], "action": "SCMP_ACT_KILL_PROCESS"},
        ],
    }
    (tmp_path / "p.json").write_text(json.dumps(told))
    flags = ("--security-opt", f"seccomp={tmp_path}/p.json")
    text = inside(store, *flags, "mkdir /x 2>&1; touch /y && ls /y; hostname z; echo $?")
    assert "No space left on device" in text
    assert text.split()[-2:] == ["/y", "159"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"defaultAction": "SCMP_ACT_HARMLESS"}', "'SCMP_ACT_HARMLESS' is not an action"),
        (
            b'{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"x"}]}',
            "mkdir: 'x'",
        ),
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b" " * (2 << 20), "larger than"),
    ],
)
def test_profiles_that_are_none(store, tmp_path, content, words):
    (tmp_path / "p.json").write_bytes(content)
    done = store("run", "--rm", "--security-opt", f"seccomp={tmp_path}/p.json", "busybox", "true")
    assert (done.exit, words in done.stderr) == (125, True), done.stderr
    assert "Traceback" not in done.stderr


def test_masks(store):
    seen = mounts(inside(store, "cat /proc/self/mountinfo"))
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware", "/proc/interrupts"} & set(seen)
    assert seen["/proc/sys"].startswith("ro")
    open_ = mounts(inside(store, "--security-opt", "unmask=ALL", "cat /proc/self/mountinfo"))
    assert not {path for path in open_ if path.startswith(("/proc/", "/sys/fi"))}
    some = ("--security-opt", "unmask=/proc/k*:/proc/sys", "--security-opt", "mask=/proc/cpuinfo")
    part = mounts(inside(store, *some, "cat /proc/self/mountinfo"))
    assert "/proc/cpuinfo" in part
    assert not {"/proc/keys", "/proc/kcore", "/proc/sys"} & set(part)
    assert "/proc/interrupts" in part or not os.path.exists("/proc/interrupts")
    assert inside(store, *some, "cat /proc/cpuinfo") == ""


KINDS = ("pid", "ipc", "uts", "cgroup")


@pytest.mark.parametrize("network", ["none", "host"])
def test_namespaces_of_the_host(store, network):
    flags = ("--pid=host", "--ipc=host", "--uts=host", "--cgroupns=host")
    script = "".join(f"readlink /proc/self/ns/{kind};" for kind in KINDS)
    shared = inside(store, *flags, script, network=network).split()
    assert shared == [os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS]
    own = inside(store, script, network=network).split()
    assert not set(own) & set(shared)


def test_the_hosts_name(store):
    name = socket.gethostname()
    text = inside(store, "--uts=host", "hostname; cat /etc/hostname; echo $HOSTNAME")
    assert text.split() == [name] * 3


def test_no_shared_memory(store):
    assert "shm" not in inside(store, "--ipc=none", "ls /dev").split()
    assert "shm" in inside(store, "--ipc=shareable", "ls /dev").split()


def test_limits_of_the_process(store):
    flags = ("--ulimit", "nofile=40:50", "--oom-score-adj", "500", "--umask", "0027")
    script = "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; umask; df -k /dev/shm | tail -1"
    words = inside(store, *flags, "--shm-size", "1m", script).split()
    assert words[:4] == ["40", "50", "500", "0027"]
    assert words[5] == "1024"


def test_more_groups(store):
    script = "grep Groups /proc/self/status"
    assert inside(store, "--group-add", "audio", "--group-add", "44", script).split()[1:] == [
        "0", "44", "63",
    ]  # fmt: skip
    member = inside(store, "-u", "member", "--group-add", "extra", script).split()[1:]
    assert member == ["34", "35", "63"]
    done = store("run", "--rm", "--group-add", "nosuch", "busybox", "true")
    assert (done.exit, "there is no group 'nosuch'" in done.stderr) == (125, True)


def test_own_groups_are_kept(store, tmp_path):
    mine = [group for group in os.getgroups() if group != os.getgid()]
    kept = inside(store, "--group-add", "keep-groups", "grep Groups /proc/self/status").split()
    assert kept.count("65534") == len(mine)


def test_time_zone_and_hosts(store):
    if os.path.exists("/usr/share/zoneinfo/Asia/Tokyo"):
        assert inside(store, "--tz", "Asia/Tokyo", "date +%z") == "+0900\n"
    assert inside(store, "--no-hosts", "cat /etc/hosts 2>/dev/null; true") == ""


def test_a_read_only_root_with_memory(store):
    script = "touch /tmp/a /run/b /var/tmp/c && echo ok; touch /d 2>&1; stat -c %a /tmp /run"
    text = inside(store, "--read-only", "--read-only-tmpfs", script)
    assert text.split("\n")[0] == "ok"
    assert "Read-only file system" in text
    assert text.split()[-2:] == ["1777", "755"]
    own = ("--read-only", "--read-only-tmpfs", "--tmpfs", "/tmp:mode=711")
    assert inside(store, *own, "stat -c %a /tmp") == "711\n"


def test_proxies_are_handed_on(store, monkeypatch):
    monkeypatch.setitem(store.environment, "http_proxy", "http://proxy:1")
    assert "http_proxy" not in inside(store, "env")
    assert "http_proxy=http://proxy:1" in inside(store, "--http-proxy", "env")


def test_devices(store):
    script = "echo x 2>/dev/null > /dev/mine; head -c2 /dev/zero | wc -c; ls -l /dev/mine | cut -c1"
    assert inside(store, "--device", "/dev/full:/dev/mine:r", script + "; true").split() == [
        "2",
        "c",
    ]


def test_users_in_every_form(store):
    def ids(user: str) -> str:
        return inside(store, "-u", user, "id -u; id -g").replace("\n", " ").strip()

    assert ids("0") == ids("root") == ids("") == ids("0:0") == "0 0"
    assert (ids("member"), ids("member:audio"), ids("33:7")) == ("33 34", "33 63", "33 7")
    assert (ids("1000"), ids("1000:")) == ("1000 0", "1000 0")
    assert ids(":63") == "0 63"


@pytest.mark.parametrize(
    "user",
    [
        "4294967296", "4294967295", "2147483648", "99999999999999999999", "+1", "-1", " 1", "1 ",
        "1.5", "0x0", "a:b:c", "root:nosuch", "nosuch", "1:-1", "٣", "0:4294967296", "\t0",
        "1000:x", "daemon ", "member:audio:", "00:0:0",
    ],
)  # fmt: skip
def test_users_that_are_none_are_never_root(store, user):
    """CVE-2016-3697, CVE-2024-40635: case by case an error, and nobody has run."""
    done = store("run", "--rm", "--network", "none", "-u", user, "busybox", "id")
    assert (done.exit, done.stdout) == (125, ""), done.stderr
    assert done.stderr.startswith("error: ")


def test_inspect_tells_and_a_restart_keeps(store):
    flags = ("--shm-size", "2m", "--sysctl", "net.ipv4.ip_forward=1", "--umask", "077")
    name = "told"
    store.ok("create", "--name", name, "--network", "none", *flags, "busybox", "sh", "-c", "umask")
    try:
        told = json.loads(store.ok("inspect", name))[0]["HostConfig"]
        assert told["ShmSize"] == 2 << 20
        assert told["Sysctls"] == {"net.ipv4.ip_forward": "1"}
        for _ in range(2):
            assert store.ok("start", "-a", name) == "0077\n"
    finally:
        store.ok("rm", "-f", name)


@pytest.fixture
def other(store):
    flags = ("--network", "none", "--ipc=shareable")
    store.ok("run", "-d", "--name", "other", *flags, "busybox", "sleep", "678")
    yield "container:other"
    store.ok("rm", "-f", "other")


def test_processes_and_memory_of_another_container(store, other):
    script = "ps -o args | grep -c '^sleep 678'; echo x > /dev/shm/seen"
    script += "; readlink /proc/1/ns/ipc; readlink /proc/self/ns/ipc"
    lines = inside(store, "--pid", other, "--ipc", other, script).splitlines()
    assert lines[0] == "1"
    assert lines[1] == lines[2]
    assert (
        inside(store, "--ipc", other, "cat /dev/shm/seen; ps | grep -c 'sleep 67[8]'; true")
        == "x\n0\n"
    )
    assert inside(store, "--pid", other, "ls /dev/shm; hostname") != "seen\n"
    assert "sleep" in inside(store, "--pid", other, "cat /proc/1/cmdline")


def test_others_that_cannot_be_shared(store, other):
    store.ok("run", "-d", "--name", "closed", "--network", "none", "busybox", "sleep", "600")
    store.ok("create", "--name", "still", "busybox", "true")
    try:
        for flags, words in (
            (("--ipc=container:closed",), "non-shareable IPC"),
            (("--pid=container:still",), "non running container"),
            (("--pid=container:nosuch",), "No such container: nosuch"),
            (("--pid=container:",), "--pid: invalid PID mode"),
            (("--uts=container:other",), "--uts: invalid UTS mode"),
            (("--pid=container:other", "--userns=keep-id"), "cannot be shared with ids"),
        ):
            done = store("run", "--rm", "--network", "none", *flags, "busybox", "true")
            assert (done.exit, words in done.stderr) == (125, True), (flags, done.stderr)
    finally:
        store.ok("rm", "-f", "closed", "still")


def test_a_container_ends_with_the_one_whose_processes_it_shares(store):
    store.ok("run", "-d", "--name", "first", "--network", "none", "busybox", "sleep", "600")
    flags = ("--network", "none", "--pid=container:first")
    store.ok("run", "-d", "--name", "second", *flags, "busybox", "sleep", "600")
    assert "second" in store.ok("ps", "--format", "{{.Names}}")
    store.ok("rm", "-f", "first")
    assert store.ok("wait", "second").strip() == "137"
    store.ok("rm", "second")
