"""`rootless run` as a user types it: exit codes, flags, input and output, and what is left."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rootless import linux
from tests.conftest import Rootless
from tests.support import child, images, machine, processes
from tests.support.ports import free_port

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    """One store with busybox for all tests of this file; each cleans up its containers."""
    folder = tmp_path_factory.mktemp("run")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def run(store):
    """`run(…)` is `rootless run --rm --network none … busybox …`, insisting on exit code 0."""

    def run(*words: str, flags: tuple[str, ...] = (), **options):
        return store.ok("run", "--rm", "--network", "none", *flags, "busybox", *words, **options)

    yield run
    assert os.listdir(store.root / "containers") == []


def sh(script: str) -> tuple[str, str, str]:
    return ("sh", "-c", script)


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("busybox", "true"), 0, ""),
        (("busybox", *sh("exit 7")), 7, ""),
        (("--init", "busybox", *sh("kill -9 $$")), 137, ""),
        (("--init", "busybox", *sh("kill -TERM $$")), 143, ""),
        (("busybox", "nothing"), 127, "executable file not found in $PATH"),
        (("busybox", "-it"), 127, "flags of run stand before the image"),
        (("busybox", "/nothing"), 127, "No such file or directory"),
        (("busybox", ""), 127, "exec: '': executable file not found in $PATH"),
        (("busybox", "/etc"), 126, "Permission denied"),
        (("busybox", "n" * 5000), 127, "executable file not found"),
        (("no/such-image", "true"), 125, ""),
        (("--no-such-flag", "busybox"), 125, "no-such-flag"),
        (("--network", "cloud", "busybox"), 125, "cannot attach both user-defined and non-user"),
        (("-u", "web", "busybox", "true"), 125, "there is no user 'web'"),
        (("-u", "4294967296", "busybox", "true"), 125, "is not a user or group id"),
        (("-u", "+1", "busybox", "true"), 125, "is not a user or group id"),
        (("-u", "3000000", "busybox", "true"), 125, "not mapped"),
        (("-w", "relative", "busybox", "true"), 125, "not an absolute path"),
        (("-w", "/proc/self/fd/3", "busybox", "true"), 125, "/proc/self/fd/3"),
        (("-v", "/etc/passwd", "busybox"), 125, "shown at /etc/passwd: Not a directory"),
        (("-v", "/nodir/x:/x", "busybox"), 125, "does not exist and cannot be made"),
        (("-v", "a:b", "busybox"), 125, "volume"),
        (("--dns", "foo", "busybox"), 125, "'foo' is not an IP address"),
        (("-v", "a name:/x", "busybox"), 125, "invalid characters for a local volume name"),
        (("-p", "80", "busybox"), 125, "--network none"),
        (("-v", "/usr:/x", "-v", "/etc:/x/", "busybox"), 125, "Duplicate mount point: /x"),
        (("-v", "/usr:/x/y/../../x", "--tmpfs", "/x", "busybox"), 125, "Duplicate mount point: /x"),
        (("--add-host", "h", "busybox"), 125, 'bad format for add-host: "h"'),
        (("--add-host", ":1.2.3.4", "busybox"), 125, 'bad format for add-host: ":1.2.3.4"'),
        (("--add-host", "h:", "busybox"), 125, 'invalid IP address in add-host: ""'),
        (("--add-host", "h:x", "busybox"), 125, 'invalid IP address in add-host: "x"'),
        (("--add-host", "a:b:1.2.3.4", "busybox"), 125, 'add-host: "b:1.2.3.4"'),
        (("--add-host", "h:host-gateway", "busybox"), 125, "unable to derive the IP value for"),
        (("--platform", "nonsense", "busybox"), 125, "no operating system and no architecture"),
        (("--platform", "a/b/c/d", "busybox"), 125, "is not a platform"),
        (("-e", "=x", "busybox"), 125, "not an environment variable"),
        (("--name", "-x", "busybox"), 125, "Invalid container name (-x)"),
        (("--tmpfs", "/t:size=such", "busybox", "true"), 125, "Invalid argument"),
        (("--hostname", "a b", "busybox"), 125, "not a host name"),
        (("-it", "busybox"), 125, "not a TTY"),
    ],
)
def test_exit_codes_and_complaints(store, words, code, complaint):
    result = store("run", "--rm", "--pull", "never", "--network", "none", *words, timeout=120)
    assert result.exit == code, result.stderr
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\nerror:") == 0
    assert os.listdir(store.root / "containers") == []


def test_environment(run, tmp_path):
    (tmp_path / "env").write_text("# note\n\n  FROM_FILE=a b=c\nBOTH=file\nCALLER\nMISSING\n")
    flags = ("--env-file", str(tmp_path / "env"), "-e", "BOTH=flag", "-e", "EMPTY=", "-e", "TERM2")
    environment = {**os.environ, "CALLER": "mine", "CANARY": "secret"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    lines = run("env", flags=flags, env=environment).splitlines()
    assert {"FROM_FILE=a b=c", "BOTH=flag", "CALLER=mine", "EMPTY=", "HOME=/root"} <= set(lines)
    names = {line.partition("=")[0] for line in lines}
    assert names == {"PATH", "HOSTNAME", "HOME", "FROM_FILE", "BOTH", "CALLER", "EMPTY"}


def test_working_directory_is_made(run):
    assert run("pwd", flags=("-w", "/new/place")) == "/new/place\n"
    assert run("pwd") == "/\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("root", "0:0:/root"),
        ("nobody", "65534:65534:/"),
        ("65534", "65534:65534:/"),
        ("1000", "1000:0:/"),
        ("1000:1001", "1000:1001:/"),
        ("nobody:root", "65534:0:/"),
    ],
)
def test_users(run, user, expected):
    script = "echo $(id -u):$(id -g):$HOME; touch /tmp/mine; stat -c %u /tmp/mine"
    assert run(*sh(script), flags=("-u", user)).splitlines() == [expected, expected.split(":")[0]]


def test_entrypoint(store, run):
    assert run("a", "b", flags=("--entrypoint", "echo")) == "a b\n"
    config = ["-c", 'ENTRYPOINT ["echo", "entry"]', "-c", 'CMD ["cmd"]']
    archive = store.root.parent / "entry.tar"
    archive.write_bytes(
        images.layer({"bin/": b"", "bin/echo": machine.static_busybox().read_bytes()})
    )
    store.ok("import", *config, archive, "entry")
    base = ("run", "--rm", "--network", "none")
    assert store.ok(*base, "entry") == "entry cmd\n"
    assert store.ok(*base, "entry", "x") == "entry x\n"
    assert store.ok(*base, "--entrypoint", "/bin/echo", "entry") == "\n"
    assert store.ok(*base, "--entrypoint", "", "entry", "/bin/echo", "reset") == "reset\n"
    nothing = store(*base, "--entrypoint", "", "entry")
    assert (nothing.exit, "no command is given" in nothing.stderr) == (125, True)


def test_volumes(run, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("host\n")
    volumes = ("-v", f"{tmp_path}/d:/rw", "-v", f"{tmp_path}/d:/ro:ro", "-v", "./made:/made",
               "-v", f"{tmp_path}/d/f:/etc/one:ro")  # fmt: skip
    script = "cat /rw/f /etc/one; echo in >/rw/in; echo m >/made/m; (echo x >/ro/x) 2>&1 | wc -l"
    assert run(*sh(script), flags=volumes, cwd=tmp_path) == "host\nhost\n1\n"
    assert (tmp_path / "d" / "in").read_text() == "in\n"
    assert (tmp_path / "made" / "m").read_text() == "m\n"
    assert (tmp_path / "d" / "in").stat().st_uid == os.getuid()
    assert sorted(os.listdir(tmp_path / "d")) == ["f", "in"]


def test_mounts_inside_each_other_in_any_order(run, tmp_path):
    """As docker: the outer one first; the same twice counts once, and of two tmpfs the last."""
    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("")
    inner, outer = ("-v", f"{tmp_path}/inner:/x/y/z"), ("-v", f"{tmp_path}/outer:/x")
    for flags in (inner + outer, outer + inner + inner):
        assert run(*sh("ls /x /x/y/z"), flags=flags) == "/x:\nouter\ny\n\n/x/y/z:\ninner\n"
    tmpfs = ("--tmpfs", "/x:mode=700", "--tmpfs", "/x/:mode=711", *inner)
    assert run(*sh("stat -c %a /x; ls /x/y/z"), flags=tmpfs) == "711\ninner\n"


def test_names_of_other_hosts(run):
    flags = [
        *("--add-host", "h=1.2.3.4", "--add-host", "i:::1", "--add-host", "j=[::2]"),
        *("--add-host", "k:[::3]", "--add-host", "a b:5.6.7.8"),
    ]
    lines = run("cat", "/etc/hosts", flags=tuple(flags)).splitlines()
    expected = ["1.2.3.4\th", "::1\ti", "::2\tj", "::3\tk", "5.6.7.8\ta b"]
    assert [line for line in lines if line in expected] == expected


def test_host_gateway_with_the_hosts_own_network(store):
    flags = ("--rm", "--network", "host", "--add-host", "me=host-gateway")
    assert "127.0.0.1\tme\n" in store.ok("run", *flags, "busybox", "cat", "/etc/hosts")


@pytest.mark.needs("network")
@pytest.mark.parametrize("program", ["pasta", "slirp4netns"])
def test_host_gateway_reaches_the_host_but_not_its_loopback(store, program):
    machine.require(program)
    flags = ("--rm", "--network", program, "--add-host", "host.docker.internal:host-gateway")
    script = (
        "for a in host.docker.internal 10.0.2.2; do timeout 3 nc -w 3 $a {} </dev/null; done; true"
    )
    with (
        socket.create_server(("0.0.0.0", 0)) as open_to_all,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        for server, words in ((open_to_all, b"hello\n"), (closed, b"secret\n")):
            threading.Thread(target=_greet, args=(server, words), daemon=True).start()
        ports = (open_to_all.getsockname()[1], closed.getsockname()[1])
        words = ("run", *flags, "busybox")
        assert "hello\n" in store.ok(*words, *sh(script.format(ports[0])), timeout=120)
        assert "secret" not in store.ok(*words, *sh(script.format(ports[1])), timeout=120)


def _greet(server: socket.socket, words: bytes) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(words)


def test_an_image_of_another_machine(store, tmp_path):
    (tmp_path / "tar").write_bytes(images.layer({"f": b"x"}))
    store.ok("import", "--platform", "linux/s390x", tmp_path / "tar", "foreign")
    result = store("run", "--rm", "--network", "none", "foreign", "/f")
    assert "image's platform (linux/s390x) does not match the detected host" in result.stderr
    chosen = ("run", "--rm", "--network", "none", "--platform", "linux/s390x", "foreign", "/f")
    assert "WARNING" not in store(*chosen).stderr


def test_tmpfs_read_only_and_hostname(run):
    flags = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/x:size=1m,mode=700", "-h", "web.local")
    script = "hostname; cat /etc/hostname; stat -c %a /x; echo t >/tmp/t; (echo x >/f) 2>&1 | wc -l"
    assert run(*sh(script), flags=flags) == "web.local\nweb.local\n700\n1\n"


def test_standard_input_is_only_there_with_i(run):
    assert run("cat", stdin="typed\n") == ""
    assert run("cat", flags=("-i",), stdin="typed\n" * 30_000) == "typed\n" * 30_000


def test_output_and_errors_stay_apart(store):
    result = store("run", "--rm", "--network", "none", "busybox", *sh("echo out; echo err >&2"))
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_init_reaps_and_is_not_the_command(run):
    script = (
        "echo $$; (sleep 0.05 & echo $! >/orphan); for i in $(seq 600); do "
        "[ -e /proc/$(cat /orphan) ] || break; sleep 0.05; done; "
        "grep -l 'State:.Z' /proc/[0-9]*/status; true"
    )
    assert run(*sh(script), flags=("--init",)) == "2\n"
    assert run(*sh("echo $$")) == "1\n"


def test_networks_none_and_host(store, run):
    assert run(*sh("ls /sys/class/net; nc 127.0.0.1 1 2>&1 </dev/null | grep -c refused")) == (
        "lo\n1\n"
    )
    script = "readlink /proc/self/ns/net"
    inside = store.ok("run", "--rm", "--network", "host", "busybox", *sh(script))
    assert inside.strip() == os.readlink("/proc/self/ns/net")


@pytest.mark.needs("network")
@pytest.mark.parametrize("program", ["pasta", "slirp4netns"])
def test_a_published_port_carries_bytes_both_ways(store, program, request):
    machine.require(program)
    port = free_port()
    flags = ("--rm", "--network", program, "-p", f"127.0.0.1:{port}:8080")
    serve = sh("echo ready; read line | true; nc -l -p 8080 -e sh -c 'read x; echo got $x'")
    argv = store.command("run", *flags, "busybox", *serve)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=store.environment) as running:
        assert running.stdout.readline() == b"ready\n"
        assert _talk(port) == b"got hello\n"
        assert running.wait(120) == 0


def _talk(port: int) -> bytes:
    """Send a line until somebody answers: a forwarder accepts before the server listens."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(b"hello\n")
                if answer := connection.recv(100):
                    return answer
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("nobody answers")


def test_names_and_containers_that_stay(store):
    base = ("run", "--network", "none", "--name", "kept")
    assert store(*base, "busybox", *sh("exit 3")).exit == 3
    again = store(*base, "busybox", "true")
    assert again.exit == 125
    assert 'The container name "/kept" is already in use by container' in again.stderr
    assert store.ok("ps", "-q") == ""
    rows = [line.split() for line in store.ok("ps", "-a").splitlines()]
    assert rows[1][-1] == "kept"
    assert "Exited (3)" in store.ok("ps", "-a")
    assert store.ok("rm", "kept") == "kept\n"
    assert store.ok("ps", "-aq") == ""
    assert os.listdir(store.root / "containers") == []


def test_cidfile(store, run, tmp_path):
    path = tmp_path / "cid"
    assert run("hostname", flags=("--cidfile", str(path))).strip() == path.read_text()[:12]
    assert len(path.read_text()) == 64
    again = store("run", "--rm", "--cidfile", path, "busybox", "true")
    assert (again.exit, "cannot be written" in again.stderr) == (125, True)
    assert "choose a file that does not exist yet" in again.stderr
    nowhere = store("run", "--rm", "--cidfile", tmp_path / "no/dir/cid", "busybox", "true")
    assert (nowhere.exit, f"hint: mkdir -p {tmp_path}/no/dir\n" in nowhere.stderr) == (125, True)


def started(store, *words: str, **options):
    """A container in the background that has written its first line."""
    argv = store.command("run", "--rm", "--network", "none", *words)
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, env=store.environment, **options)
    assert running.stdout.readline() == b"ready\n"
    return running


def ended(running) -> tuple[bytes, int]:
    """What else it wrote, and how it ended; it is killed if it does not."""
    try:
        return running.communicate(timeout=120)[0], running.returncode
    finally:
        running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_forwarded(store, number):
    script = f"trap 'echo got; exit 5' {number}; echo ready; while :; do sleep 0.02; done"
    default = lambda: signal.signal(number, signal.SIG_DFL)  # noqa: E731 - nohup's is ignored
    with started(store, "busybox", *sh(script), preexec_fn=default) as running:
        running.send_signal(number)
        assert ended(running) == (b"got\n", 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_one_that_ignores_everything_can_be_ended(store, number):
    default = lambda: signal.signal(number, signal.SIG_DFL)  # noqa: E731
    seconds = processes.some_seconds()
    script = sh(f"echo ready; exec sleep {seconds}")
    with started(store, "busybox", *script, preexec_fn=default) as running:
        # Not the shell any more, which has a handler for SIGINT.
        processes.wait_until(lambda: processes.with_word(seconds), "the command")
        end = time.monotonic() + 60
        while running.poll() is None and time.monotonic() < end:
            running.send_signal(number)  # two that come too quickly are one, however busy we are
            time.sleep(0.1)
        assert ended(running)[1] == 137


def test_signals_that_the_caller_ignores_stay_ignored(store):
    """nohup; a script's job in the background."""
    script = "trap 'echo got; exit 5' HUP; echo ready; sleep 1; echo unharmed"
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    with started(store, "busybox", *sh(script), preexec_fn=ignore) as running:
        running.send_signal(signal.SIGHUP)
        assert ended(running) == (b"unharmed\n", 0)


@pytest.mark.parametrize("flags", [("--rm",), ("--rm", "--init")])
def test_kill_9_leaves_nothing(store, flags):
    mounts = Path("/proc/self/mountinfo").read_text()
    marker = processes.some_seconds()
    script = f"echo ready; sleep {marker} & sleep {marker}"
    with started(store, *flags[1:], "busybox", *sh(script)) as running:
        assert len(processes.saying(marker)) >= 2
        assert store.ok("ps", "-q") != ""
        running.kill()
        running.wait()
    processes.wait_until_gone(marker)
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert store.ok("ps", "-aq") == ""
    store.ok("run", "--rm", "--network", "none", "busybox", "true")
    assert os.listdir(store.root / "containers") == []


def test_a_closed_output_is_no_traceback(store):
    argv = store.command("run", "--rm", "--network", "none", "busybox", "yes")
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=store.environment
    ) as running:
        running.stdout.read(10)
        running.stdout.close()
        assert b"Traceback" not in running.stderr.read()
        assert running.wait(120) != 0


def test_many_at_once_have_their_own_names_and_files(store):
    base = ("run", "--network", "none", "--name", "only-one", "busybox")
    results = []

    def one() -> None:
        results.append(store(*base, *sh("echo x >/x; sleep 0.3; ls /x | wc -l")))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.exit for result in results) == [0, 125, 125, 125]
    assert all("already in use" in one.stderr for one in results if one.exit)
    store.ok("rm", "only-one")


def test_explain_tells_everything_and_runs(store):
    result = store("run", "--rm", "--network", "none", "--explain", "busybox", "echo", "done")
    assert (result.exit, result.stdout) == (0, "done\n")
    numbers = re.findall(r"^(\d+)\. ", result.stderr, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert "pivot_root(2)" in result.stderr


def _everything_in(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*") if "layers" not in path.parts)


def test_a_dry_run_makes_nothing(store, tmp_path):
    before = _everything_in(store.root)
    flags = ("--dry-run", "--name", "planned", "-v", f"{tmp_path}/made:/x", "--cidfile",
             f"{tmp_path}/cid")  # fmt: skip
    assert "What would happen" in store.ok("run", *flags, "--network", "none", "busybox", "true")
    missing = store("run", "--dry-run", "127.0.0.1:1/no/such", "true", timeout=120)
    assert (missing.exit, missing.stdout) == (125, "")
    assert "a dry run downloads nothing" in missing.stderr
    empty = Rootless(tmp_path / "empty")
    assert empty("run", "--dry-run", "busybox", "true").exit == 125
    assert _everything_in(store.root) == before
    assert os.listdir(tmp_path) == []


def test_a_dry_run_cannot_command_a_terminal(store):
    shown = store.ok(
        "run", "--dry-run", "--network", "none", "busybox", "echo", "\x1b[2J\x9b\u202e\n"
    )
    assert all(char.isprintable() or char == "\n" for char in shown)


def test_inspectable_records(store):
    store.ok("run", "--network", "none", "--name", "record", "busybox", "true")
    (name,) = os.listdir(store.root / "containers")
    record = json.loads((store.root / "containers" / name / "container.json").read_bytes())
    assert (record["id"], record["name"], record["config"]["Cmd"]) == (
        *(name, "record"),
        ["true"],
    )
    state = json.loads((store.root / "containers" / name / "state.json").read_bytes())
    assert state["exit_code"] == 0
    store.ok("rm", "record")


def test_a_store_that_cannot_be_written(store):
    def body() -> tuple[int, str]:
        linux.mount(str(store.root), str(store.root), None, linux.MS_BIND)
        linux.mount_setattr(str(store.root), linux.MOUNT_ATTR_RDONLY)
        result = store("run", "--rm", "--network", "none", "busybox", "true")
        return result.exit, result.stderr

    code, complaint = child.in_child(body)
    assert code == 125
    assert "Read-only file system" in complaint
    assert "--root" in complaint
    assert "Traceback" not in complaint


@pytest.mark.skipif(os.geteuid() == 0, reason="root proves nothing here")
def test_without_subordinate_ids_root_runs_and_others_are_seen(store, busybox_image, tmp_path):
    """One mapped id, as where newuidmap is missing."""
    program = (
        "import sys; from rootless import programs; programs.SYSTEM_PATH = '/nowhere';"
        "from rootless.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", program, "--root", str(tmp_path / "single")]
    archive = busybox_image.archive(tmp_path / "base.tar")
    loaded = subprocess.run([*argv, "load", "-i", archive], env=store.environment, check=False)
    assert loaded.returncode == 0
    run = [*argv, "run", "--rm", "--network", "none"]
    for words, uid in ((["busybox"], 0), (["-u", "nobody", "busybox"], 65534)):
        answer = subprocess.run(
            [*run, *words, "id", "-u"], env=store.environment, check=False, capture_output=True
        )
        assert (answer.returncode, answer.stdout) == (0, b"%d\n" % uid), answer.stderr


def test_a_read_only_root_has_its_working_directory(run):
    assert run("pwd", flags=("--read-only", "-w", "/made/here")) == "/made/here\n"


@pytest.mark.parametrize("flags", [("-v", ".:/"), ("--tmpfs", "/"), ("--tmpfs", "/x/..")])
def test_nothing_hides_the_root(store, flags):
    result = store("run", "--rm", *flags, "busybox", "true")
    assert (result.exit, "container's root itself" in result.stderr) == (125, True)
