"""Sandboxes as an ordinary user starts them: what the command finds, and how failures come back."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rootless
from rootless import linux, runspec, userns
from rootless.errors import RootlessError
from rootless.roots.overlay import Root
from rootless.sandbox import caps, seccomp, spawn, supervisor
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.newroot import Newroot
from rootless.sandbox.operations.tree import Bind, Files, Tmpfs
from rootless.sandbox.privileges import Bound, Execute
from rootless.sandbox.spec import Spec
from rootless.userns import IdMap
from tests.support import child, machine

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

PATH = {"PATH": "/bin:/usr/bin"}


def ids() -> IdMap:
    return IdMap(((0, 1, 1),), ((0, 1, 1),))  # only for the words


def start(rootfs, process, isolation, stdout=1) -> tuple[int, int]:
    """In a process that entered the namespace: the child's pid and, at the end, its status."""
    started = spawn.spawn(runspec.container(ids(), rootfs, process, isolation), 0, stdout, 2)
    started.await_exec()
    return started.pid, started.wait()


def run(rootfs, script, *, process=None, isolation=None) -> str:
    """What `sh -c script` in a sandbox wrote; its status must be 0."""
    process = process or runspec.Process(("sh", "-c", script), PATH)
    if process.argv == ():
        process = process.replace(argv=("sh", "-c", script))
    isolation = isolation or runspec.Isolation("box", runspec.Network(own=True))

    def body() -> tuple[str, int]:
        read_fd, write_fd = os.pipe()
        status = start(rootfs, process, isolation, write_fd)[1]
        os.close(write_fd)
        with os.fdopen(read_fd, "rb") as pipe:
            return pipe.read().decode(errors="surrogateescape"), status

    output, status = child.in_child(body)
    assert status == 0, output
    return output


def with_mounts(*mounts, **changes):
    return runspec.Isolation("box", runspec.Network(own=True), mounts, **changes)


def fields(text: str) -> dict[str, str]:
    return {
        key: value.strip() for key, _, value in (line.partition(":") for line in text.split("\n"))
    }


def test_the_process_has_what_docker_gives_and_no_more(rootfs):
    program = seccomp.program(os.uname().machine, caps.DEFAULT)
    process = runspec.Process((), PATH, no_new_privileges=True, seccomp=program)
    status = fields(run(rootfs, "cat /proc/self/status; cat /proc/self/setgroups", process=process))
    default = f"{caps.mask(caps.DEFAULT):016x}"
    assert [status[f"Cap{one}"] for one in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [
        "0" * 16, default, default, default, "0" * 16,
    ]  # fmt: skip
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert status["Groups"] == "0"
    assert status["Umask"] == "0022"


def test_another_user_has_no_capabilities(rootfs):
    process = runspec.Process((), PATH, user="nobody")
    text = run(rootfs, "cat /proc/self/status; echo HOME:$HOME; echo id:`id`", process=process)
    status = fields(text)
    assert {status[f"Cap{one}"] for one in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
    assert status["Uid"].split() == ["65534"] * 4
    assert status["HOME"] == "/"
    assert status["id"] == "uid=65534(nobody) gid=65534(nobody) groups=65534(nobody)"


def test_it_is_process_one_of_its_own_session_and_namespaces(rootfs):
    kinds = ("mnt", "pid", "uts", "ipc", "cgroup", "net", "user")
    script = f"echo $$; cut -d' ' -f6 /proc/self/stat; for n in {' '.join(kinds)}; do "
    lines = run(rootfs, script + "readlink /proc/self/ns/$n; done; hostname").splitlines()
    assert lines[:2] == ["1", "1"]
    assert lines[-1] == "box"
    for kind, inside in zip(kinds, lines[2:-1], strict=True):
        assert inside != os.readlink(f"/proc/self/ns/{kind}")


def test_devices(rootfs):
    script = """
    set -e; cd /dev; ls | tr '\\n' ' '; echo
    echo x >null; head -c3 zero | od -An -tx1; head -c8 urandom | wc -c
    (echo x >full) 2>/dev/null && echo full is not full
    readlink fd; readlink ptmx; stat -c %a shm; df shm | tail -1 | cut -d' ' -f1; ls mqueue pts
    """
    lines = run(rootfs, script).splitlines()
    expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert lines[0].split() == expected.split()
    assert lines[1:] == [
        " 00 00 00", "8", "/proc/self/fd", "pts/ptmx", "1777", "shm", "mqueue:", "", "pts:", "ptmx",
    ]  # fmt: skip


@pytest.mark.parametrize("own_network", [True, False])
def test_the_hosts_kernel_is_out_of_reach(rootfs, own_network):
    masked = " ".join(path for path in runspec.MASKED if os.path.exists(path))
    protected = " ".join(path for path in runspec.READ_ONLY if os.path.exists(path))
    script = f"""
    for p in {masked}; do if [ -d $p ]; then ls -A $p; else cat $p; fi; done
    for p in {protected} /sys /sys/kernel; do
        if [ -d $p ]; then touch $p/x; else echo 0 >$p; fi 2>/dev/null && echo $p is writable; done
    echo 1 >/proc/sys/kernel/core_pattern 2>/dev/null && echo writable
    mount -t tmpfs x /tmp 2>/dev/null && echo mounted
    mount -t cgroup2 x /tmp 2>/dev/null && echo mounted
    umount /proc/sys 2>/dev/null && echo unmounted
    true
    """
    isolation = runspec.Isolation("box", runspec.Network(own=own_network))
    assert run(rootfs, script, isolation=isolation) == ""


@pytest.mark.parametrize("own_network", [True, False])
def test_every_mount_of_the_kernels_views_has_dockers_flags(rootfs, own_network):
    isolation = runspec.Isolation("box", runspec.Network(own=own_network))
    mounts = {}
    for line in run(rootfs, "cat /proc/self/mountinfo", isolation=isolation).splitlines():
        words = line.split()
        mounts[words[4]] = set(words[5].split(","))
    hardened = {"nosuid", "nodev", "noexec"}
    assert mounts["/dev/shm"] >= hardened | {"rw"}
    assert mounts["/proc"] >= hardened | {"rw"}
    assert mounts["/dev/mqueue"] >= hardened | {"rw"}
    assert mounts["/dev/pts"] >= {"nosuid", "noexec", "rw"}
    below = [path for path in mounts if path == "/sys" or path.startswith("/sys/")]
    hosts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if not own_network:
        assert {path for path in hosts if path.startswith("/sys/")} <= set(below)
    for path in below:
        assert "ro" in mounts[path], path
    assert mounts["/sys"] >= hardened


def test_nothing_of_the_host_is_left_in_the_mounts(rootfs, tmp_path):
    before = Path("/proc/self/mountinfo").read_text()
    inside = run(rootfs, "cat /proc/self/mountinfo")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert "shared:" not in inside
    points = [line.split()[4] for line in inside.splitlines()]
    assert points[0] == "/"
    allowed = ("/dev", "/proc", "/sys")
    assert [one for one in points[1:] if not one.startswith(allowed)] == []


def test_binds(rootfs, tmp_path):
    source = tmp_path / "s"
    (source / "below").mkdir(parents=True)
    (source / "file").write_text("from the host\n")
    mounts = with_mounts(
        Bind(str(source), "/deep/er/rw"),
        Bind(str(source), "/ro", read_only=True),
        Bind(str(source / "file"), "/etc/one", read_only=True),
    )
    script = """
    cat /ro/file /etc/one; echo new >/deep/er/rw/new
    (echo x >/ro/x; echo x >/ro/below/x; echo x >/etc/one; mkdir /ro/d) 2>&1 | grep -c Read-only
    """
    assert run(rootfs, script, isolation=mounts).splitlines() == ["from the host"] * 2 + ["4"]
    assert (source / "new").read_text() == "new\n"
    assert sorted(os.listdir(source)) == ["below", "file", "new"]


def test_a_read_only_bind_is_read_only_below_too(rootfs, tmp_path):
    (tmp_path / "s" / "below").mkdir(parents=True)

    def body() -> int:
        linux.mount("tmpfs", str(tmp_path / "s/below"), "tmpfs")
        argv = ("sh", "-c", "grep /ro/below /proc/self/mounts && ! touch /ro/below/x")
        mounts = with_mounts(Bind(str(tmp_path / "s"), "/ro", read_only=True))
        return start(rootfs, runspec.Process(argv, PATH), mounts, os.open("/dev/null", 1))[1]

    assert child.in_child(body) == 0


def test_tmpfs_and_placed_files_and_a_read_only_root(rootfs, tmp_path):
    mounts = with_mounts(
        Tmpfs("/var/t", "size=1m,mode=700"),
        Files(str(tmp_path / "c/etc"), (("/etc/hosts", "127.0.0.1\tlocalhost\n"),)),
        read_only=True,
    )
    script = """
    cat /etc/hosts; stat -c %a /var/t; echo x >/var/t/x; echo y >>/etc/hosts; echo z >/dev/shm/z
    head -c 2000000 /dev/zero >/var/t/big; (echo x >/etc/x) 2>&1 | grep -o Read-only; :
    """
    lines = run(rootfs, script, isolation=mounts).splitlines()
    assert lines == ["127.0.0.1\tlocalhost", "700", "Read-only"]
    assert os.listdir(tmp_path / "c/etc") == []


@pytest.mark.parametrize("count", [2, 60, 400])
def test_stacks_of_many_layers_and_odd_names(layer, tmp_path, count):
    base = tmp_path / "a,b:c\\d"
    for name in ("diff", "work", "target", *(f"l{number}" for number in range(count))):
        (base / name).mkdir(parents=True)
    for number in (0, count - 1):
        (base / f"l{number}" / "who").write_text(f"{number}\n")
    lowers = tuple(f"l{number}" for number in range(count))
    if count == 60:  # too long for one page
        lowers = tuple(f"{base}/{'./' * 20}{name}" for name in lowers)
    rootfs = Root(str(base), (*lowers, str(layer)), str(base))
    if count == 60 and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 5):
        with pytest.raises(RootlessError, match="61 layers are too many for this kernel"):
            run(rootfs, "true")
        return
    assert run(rootfs, "cat /who; echo new >/new") == "0\n"
    assert (base / "diff" / "new").read_text() == "new\n"
    child.remove_tree(base)


def test_more_layers_than_the_kernel_stacks(rootfs, tmp_path):
    for number in range(501):
        (tmp_path / f"l{number}").mkdir()
    lowers = tuple(f"l{number}" for number in range(501))
    with pytest.raises(RootlessError, match=r"has 50[12] layers; the kernel stacks at most 500"):
        run(rootfs.replace(base=str(tmp_path), layers=(*lowers, *rootfs.layers)), "true")


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("nothing",), 127, "'nothing': executable file not found in $PATH"),
        (("n" * 5000,), 127, "executable file not found in $PATH"),
        (("/nothing",), 127, "'/nothing': No such file"),
        (("/etc/passwd/x",), 127, "Not a directory"),
        (("/" + "n" * 5000,), 127, "File name too long"),
        (("/vol/plain",), 126, "'/vol/plain': Permission denied"),
        (("/etc",), 126, "'/etc': Permission denied"),
        (("/vol/text",), 126, "Exec format error"),
        (("text",), 126, "'text': Exec format error"),
        (("/vol/lost",), 127, "No such file"),
    ],
)
def test_commands_that_cannot_be_executed(rootfs, tmp_path, argv, code, words):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "plain").write_text("#!/bin/sh\n")
    for name, content in (("text", "just text\n"), ("lost", "#!/no/interpreter\n")):
        (tmp_path / "v" / name).write_text(content)
        (tmp_path / "v" / name).chmod(0o755)
    process = runspec.Process(argv, {"PATH": "/nowhere:/bin:/vol"})
    with pytest.raises(SandboxError) as caught:
        run(rootfs, "", process=process, isolation=with_mounts(Bind(str(tmp_path / "v"), "/vol")))
    assert words in caught.value.message
    assert caught.value.exit_code == code


@pytest.mark.parametrize(
    ("process", "mounts", "words"),
    [
        (runspec.Process(("true",), PATH, user="web"), (), "there is no user 'web'"),
        (runspec.Process(("true",), PATH, user="1000000"), (), "the id is not mapped"),
        (runspec.Process(("true",), PATH, "/proc/self/fd/7"), (), r"symbolic links|cross-device"),
        (runspec.Process(("true",), PATH, "/proc/1/cwd"), (), r"symbolic links|cross-device"),
        (runspec.Process(("true",), {**PATH, "A\0": ""}), (), "null byte"),
        (runspec.Process(("true",), PATH), (Tmpfs("/t", "no=such"),), "Invalid argument"),
        (runspec.Process(("true",), PATH), (Bind("/nowhere", "/t"),), "/nowhere"),
    ],
)
def test_what_fails_is_told_through_the_pipe(rootfs, process, mounts, words):
    with pytest.raises(RootlessError, match=words) as caught:
        run(rootfs, "", process=process, isolation=with_mounts(*mounts))
    assert caught.value.exit_code == 125


def test_descriptors_of_the_caller_are_closed(rootfs):
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        assert run(rootfs, "ls /proc/self/fd | tr '\\n' ' '").split() == ["0", "1", "2", "3"]
    finally:
        os.close(leaked)


def test_the_session_keyring_is_another():
    """KEYCTL_GET_KEYRING_ID of the session's, before and after; nothing inside can ask it."""

    def body() -> list[int]:
        call = ctypes.CDLL(None).syscall
        number = {"x86_64": 250}.get(os.uname().machine, 219)
        before = call(number, 0, -3, 1)
        Bound(tuple(caps.ALL)).apply(Newroot())
        return [before, call(number, 0, -3, 1)]

    before, after = child.in_child(body)
    assert before > 0 < after
    assert before != after


@pytest.mark.needs("subids")
def test_where_there_are_no_more_keyrings_the_limit_is_named():
    """A user may have 200 keys; as one of the subordinate ids, so that nobody else lacks them."""

    def body() -> str:
        os.setresuid(4711, 4711, 4711)
        call = ctypes.CDLL(None, use_errno=True).syscall
        number = {"x86_64": 248}.get(os.uname().machine, 217)  # add_key, to the process's keyring
        while call(number, b"user", os.urandom(8).hex().encode(), b"x", 1, -2) > 0:
            pass
        with pytest.raises(SandboxError, match="no more keyrings") as caught:
            Bound(()).apply(Newroot())
        return str(caught.value.hint)

    assert "kernel.keys.maxkeys" in child.in_child(body)


def test_signals_have_their_defaults(rootfs):
    """Whatever the caller ignores or blocks, as nohup and cron do."""
    caught = (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR1)

    def body() -> tuple[int, bytes]:
        for number in (*caught, signal.SIGRTMIN):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {*caught, signal.SIGWINCH})
        read_fd, write_fd = os.pipe()
        process = runspec.Process(("cat", "/proc/self/status"), PATH)
        status = start(rootfs, process, with_mounts(), write_fd)[1]
        return status, os.read(read_fd, 1 << 16)

    ended, output = child.in_child(body)
    status = fields(output.decode())
    assert ended == int(status["SigIgn"], 16) == int(status["SigBlk"], 16) == 0


@pytest.mark.parametrize("init", [False, True])
def test_only_the_standard_descriptors_are_open(rootfs, init):
    """With init, process 1 may not even be looked at."""
    listing = run(rootfs, "ls /proc/1/fd /proc/$$/fd; :", isolation=with_mounts(init=init))
    assert {line for line in listing.splitlines() if line.isdecimal()} == {"0", "1", "2"}


def test_with_init_the_command_is_not_process_one(rootfs):
    isolation = with_mounts(init=True)
    script = "echo $$; tr '\\0' ' ' </proc/1/environ | wc -c; readlink /proc/1/exe || echo hidden"
    first, *_ = run(rootfs, f"{script} 2>/dev/null", isolation=isolation).splitlines()
    assert first == "2"


PROGRAM = """
import os, sys
from rootless import runspec, userns
from rootless.roots.overlay import Root
from rootless.sandbox import spawn
ids = userns.enter()
upper, lower, argv = sys.argv[1], sys.argv[2], tuple(sys.argv[3:])
rootfs = Root("/", (lower,), upper)
process = runspec.Process(argv, {"PATH": "/bin"})
isolation = runspec.Isolation("box", runspec.Network(own=True))
child = spawn.spawn(runspec.container(ids, rootfs, process, isolation))
child.await_exec()
print(child.pid, flush=True)
sys.exit(child.wait())
"""


def program(rootfs, *argv) -> list[str]:
    return [sys.executable, "-c", PROGRAM, rootfs.writable, rootfs.layers[0], *argv]


def gone(pid: int) -> bool:
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


class Swapper:
    """A process that makes a name mean something else whenever it can, until the end of `with`.

    It stands for a container that shares a volume with one that is being started.
    """

    def __init__(self, folder: Path, name: str, target: Path) -> None:
        os.symlink(target, folder / "link")
        self._folder, self._name = folder, name
        self._pid = 0

    def __enter__(self) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._swap()
            finally:
                os._exit(0)

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def _swap(self) -> None:
        exchange = 2
        rename = ctypes.CDLL(None).renameat2
        name, link = (os.fsencode(self._folder / one) for one in (self._name, "link"))
        while True:
            if rename(-100, name, -100, link, exchange):  # it succeeds as soon as it is made
                continue
            time.sleep(0.0001)
            rename(-100, name, -100, link, exchange)
            for remove in (os.rmdir, os.unlink):
                try:
                    remove(name)
                except OSError:
                    continue


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_name_that_changes_its_meaning_does_not_lead_outside(rootfs, tmp_path, kind):
    """A volume is shared with somebody who swaps a mount point for a link, at any moment."""
    shared, victim = tmp_path / "shared", tmp_path / "victim"
    shared.mkdir()
    victim.mkdir() if kind == "directory" else victim.write_text("the host's")
    victim.chmod(0o700)
    source = tmp_path / "source"
    source.mkdir() if kind == "directory" else source.write_text("x")
    mounts = with_mounts(Bind(str(shared), "/v"), Bind(str(source), "/v/d"))
    before = victim.stat()

    def body() -> None:
        with Swapper(shared, "d", victim):
            for _ in range(200):
                try:
                    start(rootfs, runspec.Process(("true",), PATH), mounts)
                except RootlessError:  # it may well fail to start
                    continue

    child.in_child(body)
    after = victim.stat()
    assert (after.st_mode, after.st_ctime_ns) == (before.st_mode, before.st_ctime_ns)


def test_a_parent_that_died_before_the_tie_is_noticed(tmp_path, monkeypatch):
    """Killed between clone and tie: the signal never comes, but the pipe to it is broken."""
    tmp_path.chmod(0o777)
    marker = tmp_path / "ran"
    go_read, go_write = os.pipe()
    tie = supervisor._tie_to_parent

    def late(*words: int) -> None:
        os.read(go_read, 1)
        tie(*words)

    pid = os.fork()
    if pid == 0:
        try:
            monkeypatch.setattr(supervisor, "_tie_to_parent", late)
            ids = userns.enter()
            execute = Execute(("/bin/sh", "-c", f"echo ran > {marker}"), PATH)
            spawn.spawn(Spec(ids, ("mount", "pid"), (execute,)))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    os.write(go_write, b"x")
    time.sleep(0.5)
    assert not marker.exists()


def test_a_supervisor_whom_nobody_hears_goes_no_further(monkeypatch):
    """It is a copy of the command: what that would do next is not for it to do."""

    def body() -> int:
        report_read, report_write = os.pipe()
        os.close(report_read)
        spec = Spec(userns.enter(), ("mount", "pid"), (Execute(("/bin/true",), PATH),))
        pid = os.fork()
        if pid == 0:
            try:
                monkeypatch.setattr(supervisor, "_tie_to_parent", None)
                supervisor.run(spec, (0, 1, 2), report_write, (-1, -1))
            finally:
                os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert child.in_child(body) == 125


def test_the_supervisor_is_out_of_reach(rootfs):
    """Of those inside: there is no such process. Of all others: it is not traceable."""

    def body() -> tuple[str, list[str], str]:
        read_fd, write_fd = os.pipe()
        argv = ("sh", "-c", "ls -d /proc/[0-9]*; kill -0 2 2>&1; echo; read x")
        stdin_read, stdin_write = os.pipe()
        process = runspec.Process(argv, PATH)
        spec = runspec.container(ids(), rootfs, process, with_mounts())
        started = spawn.spawn(spec, stdin_read, write_fd, write_fd)
        os.close(write_fd)
        started.await_exec()
        said = b""
        while b"\n\n" not in said:
            said += os.read(read_fd, 4096)
        try:
            seen = os.listdir(f"/proc/{started.pid}/fd")
            link = os.readlink(f"/proc/{started.pid}/exe")
        except PermissionError as error:
            seen, link = [], type(error).__name__
        os.write(stdin_write, b"x\n")
        started.wait()
        return said.decode(), seen, link

    said, seen, link = child.in_child(body)
    assert {"/proc/1"} <= set(said.split()[: said.split().index("sh:")]) <= {"/proc/1", "/proc/2"}
    assert "can't kill pid 2" in said
    assert (seen, link) == ([], "PermissionError")


@pytest.mark.needs("strace")
def test_nothing_is_imported_once_the_root_is_the_images(rootfs, tmp_path):
    trace = tmp_path / "trace"
    calls = "trace=openat,open,openat2,pivot_root,execve,newfstatat,stat"
    strace = ["strace", "-f", "-e", calls, "-o", trace, *program(rootfs, "true")]

    def body() -> bytes:  # as root of a namespace already: a traced newuidmap has no powers
        return subprocess.run(strace, capture_output=True, check=False, env=_environment()).stderr

    complaint = child.in_child(body)
    lines = trace.read_text().splitlines()
    pivots = [number for number, line in enumerate(lines) if "pivot_root(" in line]
    assert len(pivots) == 1, complaint
    pid = lines[pivots[0]].split()[0]
    after = [line for line in lines[pivots[0] :] if line.split()[0] == pid]
    (last,) = (n for n, line in enumerate(after) if "execve(" in line and line.endswith("= 0"))
    assert any("etc/passwd" in line for line in after[:last])
    assert [
        line for line in after[:last] if any(x in line for x in (".py", ".so", "__init__"))
    ] == []


def test_a_failure_in_the_child_imports_nothing(rootfs):
    """Its words are found by the parent: a child that imports ends here without a report."""

    def body() -> str:
        sys.modules.pop("rootless.complaints", None)
        vars(rootless).pop("complaints", None)
        parent = os.getpid()
        sys.addaudithook(
            lambda event, _: event == "import" and os.getpid() != parent and os._exit(77)
        )
        try:
            start(
                rootfs.replace(layers=("/nowhere",)),
                runspec.Process(("true",), PATH),
                with_mounts(),
            )
        except RootlessError as error:
            return error.message
        return "no report"

    assert re.match("the layers could not be stacked: .*No such file", child.in_child(body))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(machine.PROJECT), "PYTHONDONTWRITEBYTECODE": "1"}
