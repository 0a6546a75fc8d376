"""`exec`: one more process in a container that runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.background import starting
from tests.support.processes import some_seconds, wait_until, wait_until_gone, with_word
from tests.support.terminal import Terminal

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")
RUN = ("run", "-d", "--network", "none")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("exec")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    names = command.ok("ps", "-aq").split()
    command("rm", "-f", *names)
    child.remove_tree(folder / "store")


@pytest.fixture(scope="module")
def web(store):
    """A container that runs, with what a command in it has from it."""
    flags = ("-e", "COLOUR=green", "-w", "/tmp", "--hostname", "web.example")
    store.ok(*RUN, "--name", "web", *flags, "busybox", "sleep", "100000")
    return "web"


@pytest.fixture
def live(store):
    """`live(flag…, argv=…)`: the id of a container that runs as long as the test."""
    started = []

    def start(*flags, argv=("sleep", "100000")) -> str:
        started.append(store.ok(*RUN, *flags, "busybox", *argv).strip())
        return started[-1]

    yield start
    if started:
        store("rm", "-f", *started)


def start(store, *words, **options):
    return subprocess.Popen(store.command("exec", *words), env=store.environment, **options)


def test_it_is_in_all_namespaces_of_the_container(store, web):
    look = "cd /proc/self/ns; for n in *; do echo $n $(readlink $n); done; cat /proc/1/comm"
    inside = store.ok("exec", web, "sh", "-c", look).splitlines()
    assert inside.pop() == "sleep"
    first = json.loads(
        (store.root / "containers" / full_id(store, web) / "inside.json").read_text()
    )
    for line in inside:
        name, value = line.split()
        assert value == os.readlink(f"/proc/{first['pid']}/ns/{name}")
        if not name.startswith("time"):
            assert value != os.readlink(f"/proc/self/ns/{name}")


def sleeping(seconds: str) -> list[int]:
    """The processes that sleep so long, told from those that are to start them."""
    words = f"sleep\0{seconds}\0".encode()
    return [pid for pid in with_word(seconds) if Path(f"/proc/{pid}/cmdline").read_bytes() == words]


def end(seconds: str) -> None:
    for pid in sleeping(seconds):
        os.kill(pid, signal.SIGKILL)


def full_id(store, name: str) -> str:
    return store.ok("ps", "-q", "--no-trunc", "--filter", f"name={name}").strip()


def test_environment_directory_and_user_are_the_container_s(store, web):
    env = dict(one.split("=", 1) for one in store.ok("exec", web, "env").splitlines())
    assert env == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": "web.example",
        "COLOUR": "green",
        "HOME": "/root",
    }
    assert store.ok("exec", web, "pwd") == "/tmp\n"
    assert store.ok("exec", web, "sh", "-c", "umask; id -u") == "0022\n0\n"


def test_they_can_be_others(store, web, tmp_path):
    (tmp_path / "variables").write_text("# some\nA=file\nB=file\n")
    flags = ("-e", "A=1", "-e", "COLOUR=red", "-e", "EMPTY=", "--env-file", tmp_path / "variables")
    words = store.ok("exec", *flags, "-w", "/etc", "-u", "1000:7", web, "sh", "-c", "pwd; id; env")
    lines = words.splitlines()
    assert lines[0] == "/etc"
    assert lines[1].startswith("uid=1000 gid=7")
    assert {"A=1", "B=file", "COLOUR=red", "EMPTY=", "HOME=/"} <= set(lines)
    assert "COLOUR=green" in store.ok("exec", web, "env"), "it is another process's matter"


STATUS = ("grep", "-E", "^(Cap|NoNewPrivs|Seccomp:|Groups)", "/proc/self/status")


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--cap-drop", "all", "--cap-add", "kill"),
        ("--security-opt", "no-new-privileges"),
        ("--security-opt", "seccomp=unconfined"),
        ("-u", "1000:1000"),
        ("--init",),
    ],
    ids=str,
)
def test_it_may_what_the_container_s_own_process_may(store, live, flags):
    own = f"{' '.join(STATUS[:2])} '{STATUS[2]}' {STATUS[3]} > /tmp/own; exec sleep 100000"
    name = live(*flags, argv=("sh", "-c", own))
    assert store.ok("exec", name, *STATUS) == store.ok("exec", name, "cat", "/tmp/own")


def test_privileged_is_all_of_root_s_powers(store, web):
    lines = store.ok("exec", "--privileged", web, *STATUS).splitlines()
    most = (2 << int(Path("/proc/sys/kernel/cap_last_cap").read_text())) - 1
    for line in lines:
        if line.startswith(("CapPrm", "CapEff", "CapBnd")):
            assert int(line.split()[1], 16) == most


def test_each_has_a_keyring_and_a_session_of_its_own(store, web):
    assert store.ok("exec", web, "sh", "-c", "[ $(cut -d' ' -f6 /proc/self/stat) -gt 1 ] && echo y")


def test_nothing_of_the_host_is_open_in_it(store, web):
    with open("/etc/hostname") as secret:
        os.set_inheritable(secret.fileno(), True)
        argv = store.command("exec", web, "sh", "-c", "ls -l /proc/$$/fd; pwd -P")
        done = subprocess.run(
            argv, env=store.environment, pass_fds=[secret.fileno()], capture_output=True, check=True
        )
    assert [line.split()[8] for line in done.stdout.decode().splitlines()[1:-1]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("sh", "-c", "exit 7"), 7, ""),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (("nope",), 127, "exec: 'nope': executable file not found in $PATH"),
        (("/nope",), 127, "exec: '/nope': No such file or directory"),
        (("/tmp/plain",), 126, "exec: '/tmp/plain': Permission denied"),
        (("/etc",), 126, "exec: '/etc': Permission denied"),
    ],
    ids=str,
)
def test_it_ends_as_the_command_does(store, web, argv, code, words):
    store.ok("exec", web, "touch", "/tmp/plain")
    answer = store("exec", web, *argv)
    assert (answer.exit, answer.stdout) == (code, "")
    assert words in answer.stderr


def test_standard_input_is_only_there_with_i(store, web):
    assert store.ok("exec", "-i", web, "cat", stdin="hello\n") == "hello\n"
    assert store.ok("exec", web, "cat", stdin="hello\n") == ""
    half = "read first; echo got $first; cat | wc -c"
    assert store.ok("exec", "-i", web, "sh", "-c", half, stdin="a\n" + "b" * 100_000) == (
        "got a\n100000\n"
    )


def test_output_and_errors_stay_apart_and_a_closed_pipe_is_no_traceback(store, web):
    answer = store("exec", web, "sh", "-c", "echo out; echo err >&2")
    assert (answer.stdout, answer.stderr) == ("out\n", "err\n")
    command = " ".join(store.command("exec", web, "yes")) + " | head -n 1"
    done = subprocess.run(
        ["bash", "-c", command], env=store.environment, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"y\n", b"")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_is_killed_keeps_nobody_waiting_at_a_pipe(store, web, number):
    """Nor does what it has started, which goes on: docker's client is gone, too."""
    seconds = some_seconds()
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = start(store, "-i", web, "sh", "-c", f"echo there; sleep {seconds}", **options)
    assert running.stdout.readline() == b"there\n"
    wait_until(lambda: sleeping(seconds), "it sleeps")  # else it dies of its signal before
    running.send_signal(number)
    assert running.stdout.read() == b""
    assert b"Traceback" not in running.stderr.read()
    with pytest.raises(BrokenPipeError):
        while True:
            os.write(running.stdin.fileno(), b"x" * 100_000)
    running.communicate(timeout=60)
    assert sleeping(seconds)
    end(seconds)


def test_what_is_left_behind_keeps_nobody_waiting_either(store, web):
    seconds = some_seconds()
    words = f"sleep {seconds} & yes left | head -c 50000; echo right >&2"
    running = start(store, web, "sh", "-c", words, stdout=-1, stderr=-1)
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out, err) == (0, b"left\n" * 10_000, b"right\n")
    wait_until(lambda: sleeping(seconds), "it sleeps")
    end(seconds)


@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
def test_all_that_comes_is_carried_in_order(store, web, tmp_path, kind):
    """Much of it, to somebody slow, who reads errors first; and one place for both stays one."""
    words = "cat >&2; seq 200000; seq 10 >&2"
    given = b"".join(b"%d\n" % one for one in range(100_000))
    (tmp_path / "given").write_bytes(given)
    if kind == "file":
        with (tmp_path / "given").open("rb") as source, (tmp_path / "all").open("ab") as both:
            start(
                store, "-i", web, "sh", "-c", words, stdin=source, stdout=both, stderr=both
            ).wait()
        shown = (tmp_path / "all").read_bytes()
    else:
        ours, theirs = map(os.fdopen, os.pipe(), "rw") if kind == "pipe" else socket.socketpair()
        with theirs, ours, (tmp_path / "given").open("rb") as source:
            cat = subprocess.Popen(["cat"], stdin=source, stdout=subprocess.PIPE)
            argv = store.command("exec", "-i", web, "sh", "-c", words)
            running = subprocess.Popen(
                argv, env=store.environment, stdin=cat.stdout, stdout=theirs, stderr=theirs
            )
            theirs.close()
            cat.stdout.close()
            shown = b"".join(iter(lambda: os.read(ours.fileno(), 1000), b""))
        assert (cat.wait(), running.wait()) == (0, 0)
    lines = b"".join(b"%d\n" % one for one in range(1, 200_001))
    assert shown == given + lines + b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"


def test_errors_are_read_while_nobody_reads_the_output(store, web):
    words = "seq 100000 & seq 100000 >&2; exec >&2 2>&-; wait"
    running = start(store, web, "sh", "-c", words, stdout=-1, stderr=-1)
    lines = b"".join(b"%d\n" % one for one in range(1, 100_001))
    assert running.stderr.read(len(lines)) == lines
    assert running.communicate(timeout=60) == (lines, b"")
    assert running.returncode == 0


def test_a_full_disk_is_said(store, web):
    with open("/dev/full", "wb") as full:
        answer = start(store, web, "echo", "there", stdout=full, stderr=subprocess.PIPE)
    assert b"No space left" in answer.communicate(timeout=60)[1]


def test_a_file_that_is_written_cannot_be_read(store, web, tmp_path):
    (tmp_path / "log").write_text("secret\n")
    with (tmp_path / "log").open("a") as log:
        start(store, web, "sh", "-c", "stat -Lc %F /proc/self/fd/1", stdout=log).wait(60)
    assert (tmp_path / "log").read_text() == "secret\nfifo\n"


def test_in_the_background(store, web):
    number = some_seconds()
    assert store.ok("exec", "-d", web, "sh", "-c", f"echo hi > /tmp/said; sleep {number}") == ""
    wait_until(lambda: sleeping(number), "it to run")
    assert store.ok("exec", web, "cat", "/tmp/said") == "hi\n"
    end(number)
    wait_until_gone(f"sleep {number}")
    assert store("exec", "-d", web, "nope").exit == 1, "as docker's: nobody waits for its code"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_goes_on_when_the_command_is_killed_and_ends_with_the_container(store, live, number):
    name, seconds = live(), some_seconds()
    running = start(store, name, "sleep", seconds)
    wait_until(lambda: sleeping(seconds), "it")
    running.send_signal(number)
    running.wait(60)
    assert sleeping(seconds)
    store.ok("kill", name)
    wait_until_gone(seconds)


def test_the_container_ends_meanwhile(store, live):
    name = live()
    running = start(
        store, name, "sh", "-c", "echo there; exec sleep 100000", stdout=subprocess.PIPE
    )
    assert running.stdout.readline() == b"there\n"
    store.ok("kill", name)
    assert running.wait(60) == 137
    running.stdout.close()


def test_it_ends_with_a_container_that_has_the_host_s_process_numbers(store, live):
    name, seconds = live("--pid", "host"), some_seconds()
    running = start(store, name, "sleep", seconds)
    wait_until(lambda: sleeping(seconds), "it")
    assert store("exec", name, "sh", "-c", "exit 3").exit == 3
    store.ok("kill", name)
    wait_until_gone(seconds)
    assert running.wait(60) == 137


def test_many_at_once(store, web):
    def one(number: int) -> str:
        return store.ok("exec", web, "sh", "-c", f"echo {number} $(hostname)")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(24))) == [f"{n} web.example\n" for n in range(24)]


def test_into_a_container_in_the_foreground(store):
    with starting(store, "busybox") as begin:
        begin("shown", "--rm")
        assert store.ok("exec", "shown", "cat", "/proc/1/comm") == "sleep\n"


def test_as_soon_as_run_has_returned(store, live):
    for flags in ((), ("--init",)):
        name = live(*flags)
        assert store.ok("exec", name, "echo", "here") == "here\n"


def test_after_a_restart_it_is_in_the_new_one(store, live):
    name = live()
    store.ok("exec", name, "sh", "-c", "echo old > /dev/shm/mark")
    store.ok("restart", "-t", "0", name)
    assert store("exec", name, "cat", "/dev/shm/mark").exit == 1


# --- What cannot be -------------------------------------------------------------------------------


def test_into_what_does_not_run(store, live):
    name = live()
    store.ok("kill", name)
    answer = store("exec", name, "true")
    assert (answer.exit, answer.stderr.split("\n")[0]) == (
        1,
        f"error: container {name} is not running",
    )
    assert "No such container: nope" in store("exec", "nope", "true").stderr


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("-u", "nobody-here"), 1, "there is no user 'nobody-here'"),
        (("-u", "4294967296"), 1, "not a user or group id"),
        (("-w", "/nope"), 127, "chdir to cwd ('/nope') failed: No such file or directory"),
        (("-w", "/proc/1/comm"), 127, "chdir to cwd ('/proc/1/comm') failed: Not a directory"),
        (("-w", "relative"), 128, "must be an absolute path"),
        (("--env-file", "/nope"), 1, "/nope"),
        (("-t", "--detach-keys", "bad,"), 1, "invalid detach keys"),
        (("-t", "-i"), 1, "the input device is not a TTY"),
    ],
    ids=str,
)
def test_wrong_flags(store, web, flags, code, words):
    answer = store("exec", *flags, web, "true")
    assert words in answer.stderr
    assert answer.exit == code
    assert "Traceback" not in answer.stderr


# --- On a terminal --------------------------------------------------------------------------------


@pytest.fixture
def screen(store):
    screens = []

    def begin(*words: str) -> Terminal:
        screens.append(Terminal(store.command("exec", *words), store.environment))
        return screens[-1]

    yield begin
    for one in screens:
        one.process.kill()
        one.process.wait()


def test_a_shell_on_a_terminal_of_its_own(store, web, screen):
    shown = screen("-it", web, "sh")
    shown.expect("# ")
    shown.type("tty; stty size; echo T=$TERM\n")
    before = shown.expect("T=xterm")
    assert "/dev/pts/" in before
    assert "37 91" in before
    shown.resize(20, 55)
    shown.process.send_signal(signal.SIGWINCH)
    shown.type("sleep 0.2; stty size\n")
    shown.expect("20 55")
    seconds = some_seconds()
    shown.type(f"sleep {seconds}\n")
    wait_until(lambda: sleeping(seconds), "sleep")
    shown.type("\x03")
    shown.type("exit 9\n")
    assert shown.close() == 9


def test_the_detach_keys_leave_it(store, web, screen):
    seconds = some_seconds()
    shown = screen(
        "-it",
        web,
        "sh",
        "-c",
        f"echo ready; sleep {seconds}; yes | head -c 1000000; echo > /tmp/read",
    )
    shown.expect("ready")
    shown.type("\x10\x11")
    shown.expect("read escape sequence")
    assert shown.process.wait(60) == 1
    assert termios.tcgetattr(shown.slave) == shown.before
    assert sleeping(seconds)
    end(seconds)
    # and what it writes now, much more than a terminal holds, is read by somebody
    wait_until(lambda: store("exec", web, "cat", "/tmp/read").exit == 0, "all of it to be read")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_on_a_terminal_too_it_goes_on_when_the_command_is_killed(store, web, screen, number):
    seconds = some_seconds()
    shown = screen("-it", web, "sh", "-c", f"echo ready; sleep {seconds}")
    shown.expect("ready")
    shown.process.send_signal(number)
    shown.process.wait(60)
    assert sleeping(seconds)
    if number != signal.SIGKILL:
        assert termios.tcgetattr(shown.slave) == shown.before
    end(seconds)


# --- Hostile containers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trap",
    [
        "busybox mkfifo /etc/passwd /etc/group",
        "ln -s /proc/1/environ /etc/passwd; ln -s /dev/zero /etc/group",
        "ln -s /proc/self/fd/0 /etc/passwd; ln -s ../../../../../etc/group /etc/group",
        "yes root:x:7:7::/: | busybox head -c 30000000 > /etc/group; ln -s group /etc/passwd",
        "mkdir /etc/passwd",
    ],
    ids=str,
)
def test_files_of_accounts_that_are_traps(store, live, trap):
    name = live(argv=("sh", "-c", f"rm -rf /etc/passwd /etc/group; {trap}; exec sleep 100000"))
    wait_until(lambda: store("exec", name, "test", "-e", "/etc/passwd", timeout=60).exit == 0, "it")
    look = ("grep", "-E", "^[UG]id", "/proc/self/status")  # id(1) would fall into the trap
    seen = store.ok("exec", "-u", "1000:5", name, *look, timeout=60).split()
    assert seen == ["Uid:", *["1000"] * 4, "Gid:", *["5"] * 4]
    assert store("exec", "-u", "somebody", name, "id", timeout=60).exit == 1


def test_a_working_directory_that_is_gone(store, live):
    name = live("-w", "/work")
    store.ok("exec", name, "rm", "-rf", "/work")
    assert store("exec", name, "pwd").exit == 127
    for path in ("/proc/self/fd/3", "/proc/1/cwd", "/proc/self/cwd/../../.."):
        store.ok("exec", "-w", "/", name, "sh", "-c", f"rm -f /work; ln -s {path} /work")
        answer = store("exec", name, "pwd", "-P")
        assert answer.exit in (126, 127) or answer.stdout in ("/\n", "/work\n"), answer
        assert store("exec", name, "ls", "/srv/venv").stdout == ""


def test_proc_dev_and_programs_of_the_container_s_own(store, live):
    """With CAP_SYS_ADMIN it can cover what others would look at: nothing of ours does."""
    cover = (
        "mkdir /t; mount -t tmpfs t /t && mkdir /t/self && mount --bind /t /proc;"
        " mount -t tmpfs t /dev; touch /dev/null; busybox mkfifo /dev/ptmx; mkdir /dev/pts;"
        " busybox mkfifo /dev/pts/ptmx; echo done > /t/done; exec sleep 100000"
    )
    flags = ("--cap-add", "sys_admin", "--security-opt", "seccomp=unconfined")
    name = live(*flags, argv=("sh", "-c", cover))
    wait_until(lambda: store("exec", name, "cat", "/t/done").stdout == "done\n", "the covers")
    assert store.ok("exec", name, "echo", "works") == "works\n"
    command = store.command("exec", "-t", name, "true")
    done = subprocess.run(
        command, env=store.environment, capture_output=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr


def test_nothing_is_loaded_from_the_container(store, live):
    """Its Python and its libraries would write a file."""
    stdlib = os.path.dirname(os.__file__)
    trap = f"mkdir -p {stdlib}; cd {stdlib}; for m in {' '.join(sorted(sys.stdlib_module_names))};"
    trap += (
        ' do echo \'open("/tmp/loaded", "w")\' > $m.py; done; touch /tmp/ready; exec sleep 100000'
    )
    name = live(argv=("sh", "-c", trap))
    wait_until(lambda: store("exec", name, "test", "-e", "/tmp/ready").exit == 0, "the traps")
    for words in (("-u", "nobody-here", name, "true"), ("-w", "/x", name, "true"), (name, "nope")):
        assert store("exec", *words).exit in (1, 127)
    assert store("exec", name, "cat", "/tmp/loaded").exit == 1


def test_the_launcher_cannot_be_opened_or_traced(store, live):
    """CVE-2019-5736 and its kin: what looks at every process that comes sees nothing of ours."""
    watch = (
        "while :; do for p in /proc/[0-9]*; do"
        " l=$(readlink $p/exe 2>/dev/null); case $l in *python*) echo $p $l >> /tmp/caught;; esac;"
        " grep -l python $p/maps 2>/dev/null >> /tmp/caught; done; done"
    )
    name = live(argv=("sh", "-c", watch))
    for _ in range(8):
        store.ok("exec", name, "true")
    assert store("exec", name, "cat", "/tmp/caught").stdout == ""
    answer = store("exec", name, "/proc/self/exe", "-c", "print(1)")
    assert answer.stdout == ""
    assert answer.exit != 0


HUNT = "exec 2>/dev/null; while :; do kill -STOP -1; done"
"""What process 1 does to all others that it sees, before they are what they are to be."""


STOPPED = "it was stopped before it could start"


def _refused(store, *words):
    """The answer that a hunter made, who may be too slow: then there is no such program."""
    for _ in range(100):
        answer = store(*words, timeout=60)
        assert answer.exit != 0
        if STOPPED in answer.stderr:
            return answer
    raise AssertionError("nobody was caught")


def test_one_that_is_stopped_before_it_executes_is_ended(store, live):
    """Root in the container sees it as soon as it has joined the processes."""
    name = live(argv=("sh", "-c", HUNT))
    for flags, code in (((), 126), (("-d",), 1)):
        refused = _refused(store, "exec", *flags, name, "never")
        assert refused.exit == code
        assert f"exec: 'never': {STOPPED}" in refused.stderr
    seen = store.ok("top", name, "-o", "pid,args").splitlines()[1:]
    assert len(seen) == 1, "what was stopped is gone"


def test_one_that_shares_the_processes_of_a_hunter(store, live):
    name = live("--name", "hunter", argv=("sh", "-c", HUNT))
    flags = ("--rm", *RUN[2:], "--pid", f"container:{name}")
    refused = _refused(store, *RUN[:1], *flags, "busybox", "never")
    assert refused.exit == 126
    assert store.ok("ps", "-q").split() != []


def test_a_health_check_that_is_stopped_before_it_executes_fails_in_its_time(store, live):
    flags = ("--health-cmd", "true", "--health-interval", "200ms", "--health-retries", "1")
    name = live(*flags, "--health-timeout", "300ms", argv=("sh", "-c", HUNT))
    wait_until(
        lambda: store.ok("inspect", "-f", "{{.State.Health.Status}}", name).strip() == "unhealthy",
        "a failure",
    )
    found = json.loads(store.ok("inspect", "-f", "{{json .State.Health.Log}}", name))
    assert "Health check exceeded timeout (0.3s)" in [one["Output"] for one in found]
