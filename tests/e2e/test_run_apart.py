"""Attacks from inside on what lies around: mounts, cgroups, terminals, other containers."""

from __future__ import annotations

import os
import platform
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child, images, machine
from tests.support.terminal import Terminal

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

RUN = ("run", "--rm", "--network", "none")

# ioctl(0, TIOCSCTTY, 1) to steal the terminal, ioctl(0, TIOCSTI, "X") to type into it; the exit
# status is the errno of the latter.
TYPE = bytes.fromhex(
    "b810000000 31ff be0e540000 ba01000000 0f05"
    "b810000000 31ff be12540000 488d1513000000 0f05"
    "f7d8 89c7 b83c000000 0f05 90 90 90 90 90 90 58"
)


def program(code: bytes) -> bytes:
    """A static executable of x86-64: one segment, which is the whole file."""
    address, size = 0x400000, 0x78 + len(code)
    head = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, address + 0x78, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, address, address, size, size, 4096) + code


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("apart")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    files = {
        "bin/": b"",
        "bin/busybox": machine.static_busybox().read_bytes(),
        "bin/sh": "busybox",
        "type": program(TYPE),
    }
    image = images.write_layout(folder / "image", "typing:1", [images.layer(files)], {})
    command.ok("load", "-i", image.archive(folder / "typing.tar"))
    yield command
    for name in command.ok("ps", "-aq").split():
        command("rm", "-f", name)
    child.remove_tree(folder / "store")


def sh(store, *words: str) -> str:
    *flags, script = words
    return store.ok(*RUN, *flags, "busybox", "sh", "-c", script)


def test_no_mount_propagates(store, tmp_path):
    """Neither out of a container nor into it."""
    before = Path("/proc/self/mountinfo").read_text()
    script = "cat /proc/self/mountinfo; mkdir -p /t; mount -t tmpfs x /v; mount -t tmpfs x /t"
    text = sh(store, "--privileged", "-v", f"{tmp_path}:/v", script)
    assert " - " in text
    assert not [line for line in text.splitlines() if "shared:" in line or "master:" in line]
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.parametrize("flags", [(), ("--cap-add", "ALL")], ids=["usual", "all"])
def test_no_agent_of_cgroups_is_set(store, flags):
    """CVE-2022-0492: release_agent, also where old cgroups can be mounted."""
    script = """mkdir -p /c
    mount -t cgroup -o memory x /c 2>/dev/null || mount -t cgroup -o rdma x /c 2>/dev/null
    for f in $(find / -name release_agent 2>/dev/null); do
      (echo /evil > $f) 2>/dev/null && echo written
    done
    mkdir /sys/fs/cgroup/x 2>/dev/null && echo made
    echo done"""
    assert sh(store, *flags, script) == "done\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="machine instructions of x86-64")
@pytest.mark.parametrize(
    "flags", [(), ("--security-opt", "seccomp=unconfined"), ("--privileged",)], ids=str
)
def test_nothing_types_into_the_callers_terminal(store, flags):
    """CVE-2017-5226: without -t the streams are the caller's terminal; what is typed there stays
    untyped, with no filter in the way either.
    """
    argv = store.command(*RUN, "-i", *flags, "typing:1", "/type")
    script = '"$@"; echo "ended-$?"; read -t 1 x; echo "got=[$x]"'
    shown = Terminal(["bash", "-c", script, "bash", *argv], store.environment)
    text = shown.expect("got=[", 60) + shown.expect("]", 10)
    shown.close()
    assert "ended-1" in text or "ended-5" in text or "ended-25" in text, text
    assert "[X" not in text


def legacy_tiocsti() -> bool:
    """Whether the kernel lets anybody type into a terminal at all."""
    switch = Path("/proc/sys/dev/tty/legacy_tiocsti")
    return not switch.exists() or switch.read_text().strip() == "1"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="machine instructions of x86-64")
def test_the_program_that_types_does_so_where_it_may(store):
    """Else the test above would see nothing: on a terminal of its own it is let."""
    shown = Terminal(
        store.command(*RUN, "-it", "--privileged", "typing:1", "/bin/sh", "-c", "/type; echo s=$?"),
        store.environment,
    )
    text = shown.expect("s=", 60) + shown.expect("\n", 10)
    shown.close()
    assert ("X" in text) == legacy_tiocsti(), text


def test_processes_of_another_container_are_closed(store):
    """CVE-2015-8709 and its like, where one sees the others' processes at all."""
    store.ok("run", "-d", "--name", "victim", "--network", "none", "-e", "SECRET=abc", "busybox",
             "sleep", "600")  # fmt: skip
    supervisor = int(store.ok("inspect", "-f", "{{.State.Pid}}", "victim"))
    (inside,) = map(int, Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split())
    assert b"SECRET=abc" in Path(f"/proc/{inside}/environ").read_bytes()  # we may: it is ours
    script = f"""cd /proc
    for p in {supervisor} {inside}; do
      [ -d $p ] || echo unseen $p
      cat $p/environ $p/mem 2>/dev/null; ls $p/root/ 2>/dev/null
      readlink $p/fd/0 $p/exe $p/cwd $p/ns/mnt
    done; echo end"""
    try:
        for flags in ((), ("--cap-add", "SYS_PTRACE"), ("--privileged",)):
            text = sh(store, "--pid=host", *flags, script)
            assert text == "end\n", (flags, text)
        assert f"unseen {inside}" in sh(store, "--cap-add", "SYS_PTRACE", script)
    finally:
        store.ok("rm", "-f", "victim")


def test_a_mount_target_that_is_exchanged_meanwhile(store, tmp_path):
    """CVE-2021-30465: whoever shares a volume swaps a directory for a link, again and again."""
    shared, victim, given = (tmp_path / name for name in ("shared", "victim", "given"))
    for folder in (shared, victim, given, shared / "a", shared / "a/b"):
        folder.mkdir()
    (given / "mark").write_text("given")
    (victim / "file").write_text("the host's")
    (shared / "out").symlink_to(victim)
    swap = (
        "while [ ! -e stop ]; do mv a real 2>/dev/null; mv out a 2>/dev/null;"
        " mv a out 2>/dev/null; mv real a 2>/dev/null; done"
    )
    swapping = subprocess.Popen(["sh", "-c", swap], cwd=shared)
    try:
        volumes = ("-v", f"{shared}:/v", "-v", f"{given}:/v/a/b")
        for _ in range(25):
            store(*RUN, *volumes, "busybox", "sh", "-c", "echo x > /v/a/b/written 2>/dev/null")
    finally:
        (shared / "stop").touch()
        swapping.wait(60)
    assert os.listdir(victim) == ["file"]
    assert (victim / "file").read_text() == "the host's"
    assert set(os.listdir(given)) <= {"mark", "written"}


def test_groups_of_the_caller_open_nothing(store):
    """CVE-2022-2990, CVE-2022-36109: the ids inside have the image's groups, not ours."""
    for flags in ((), ("-u", "1000"), ("-u", "1000:7")):
        groups = sh(store, *flags, "grep Groups /proc/self/status").split()[1:]
        assert groups == (["7"] if ":" in "".join(flags) else ["0"]), flags
    assert sh(store, "-u", "1000", "cat /proc/self/setgroups") == "allow\n"


def test_files_of_containers_with_slices_of_ids(store, tmp_path):
    """--userns=auto: what one leaves in a shared place is nobody's to the other."""
    tmp_path.chmod(0o755)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    volume = ("-v", f"{tmp_path}/shared:/s")
    store.ok("create", "--name", "first", "--network", "none", "--userns=auto", *volume, "busybox",
             "sh", "-c", "echo mine > /s/file; chmod 600 /s/file; chmod 700 /s/file")  # fmt: skip
    try:
        store.ok("start", "-a", "first")
        look = "stat -c %u /s/file; cat /s/file 2>/dev/null || echo closed; rm -f /s/file; echo $?"
        text = sh(store, "--userns=auto", *volume, look).split()
        assert text[:2] == ["65534", "closed"]
    finally:
        store.ok("rm", "-f", "first")
        child.remove_tree(tmp_path / "shared")


def test_many_at_once_leave_nothing(store):
    """All of them start, see only themselves, and end; whoever is killed, too."""
    before = Path("/proc/self/mountinfo").read_text()
    flags = ((), ("--userns=auto",), ("--userns=keep-id", "--privileged"), ("--pid=host",))
    running = [
        subprocess.Popen(
            store.command(*RUN, *flags[number % 4], "busybox", "sleep", f"6{number:03}"),
            env=store.environment,
            stderr=subprocess.DEVNULL,
        )
        for number in range(8)
    ]
    numbers = {f"6{number:03}".encode() for number in range(8)}
    until = time.monotonic() + 120
    while _sleeping() & numbers != numbers:
        assert time.monotonic() < until, [one.poll() for one in running]
        time.sleep(0.1)
    for one in running:
        one.kill()
        one.wait()
    while _sleeping() & numbers:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert Path("/proc/self/mountinfo").read_text() == before
    sh(store, "true")  # whoever makes one sweeps
    assert os.listdir(store.root / "containers") == []


def _sleeping() -> set[bytes]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"sleep":
            found.add(words[1])
    return found


def test_who_sees_the_processes_of_another_does_not_see_it_start(store):
    """Before it executes its command it is still this program, with this machine's files."""
    look = "while :; do for p in /proc/[0-9]*; do readlink $p/exe; done; done 2>/dev/null >/seen"
    watcher = ("--cap-add", "SYS_PTRACE", "busybox", "sh", "-c", look)
    store.ok("run", "-d", "--network", "none", "--name", "watcher", *watcher)
    for _ in range(5):
        store.ok(*RUN, "--pid", "container:watcher", "busybox", "true")
    seen = set(store.ok("exec", "watcher", "cat", "/seen").split())
    store.ok("rm", "-f", "watcher")
    assert "/bin/busybox" in seen
    assert {name for name in seen if "python" in name} == set()


@pytest.mark.needs("network")
def test_no_powers_over_the_bridges_are_had_on_a_network(store):
    """They belong to a user namespace that no container is in."""
    store.ok("network", "create", "shared")
    on = ("run", "--rm", "--network", "shared", "--privileged")
    for name in ("one", "two"):  # side by side: the kernel gives a number that is free again
        store.ok(*on, "-d", "--name", name, "busybox", "sleep", "600")
    first, second = (
        store.ok("exec", name, "readlink", "/proc/self/ns/user") for name in ("one", "two")
    )
    assert first != second
    store.ok("rm", "-f", "one", "two")
    whose = "ip link add name spy link eth0 type macvlan && ip link show spy | grep -c spy"
    assert store.ok(*on, "busybox", "sh", "-c", whose).strip() == "1", (
        "its own network it may change"
    )
    store.ok("network", "rm", "shared")


@pytest.mark.parametrize("how", [("kill",), ("rm", "-f"), ("stop", "-t", "0")])
def test_nothing_is_left_of_one_among_the_processes_of_this_machine(store, how):
    marked = f"4{os.getpid() % 1000:03}{how[0].encode()[0]}"
    script = f"setsid sleep {marked} & exec sleep {marked}"
    store.ok(
        "run",
        "-d",
        "--network",
        "none",
        "--pid",
        "host",
        "--name",
        "open",
        "busybox",
        "sh",
        "-c",
        script,
    )
    while len(_asleep(marked)) < 2:
        time.sleep(0.01)
    store.ok(*how, "open")
    store("rm", "-f", "open")
    assert _asleep(marked) == []


def _asleep(marked: str) -> list[str]:
    found = subprocess.run(
        ["pgrep", "-f", f"^sleep {marked}"], capture_output=True, text=True, check=False
    )
    return found.stdout.split()
