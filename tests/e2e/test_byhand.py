"""The script of `run --dry-run`, pasted into a terminal: the same container as `run` starts."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.ports import free_port
from tests.support.terminal import Terminal

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "unshare")

# What there is to see inside, but for what must differ: numbers, clocks, where the store lies.
LOOK = """
exec > /out/seen 2>&1
echo "id: $(id)"
env | grep -v ^SHLVL= | sort | sed 's/^/env: /'
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status
echo "umask: $(umask), in $(pwd), called $(hostname)"
awk '{ i = 7; while ($i != "-") i++; if ($(i+1) == "overlay") $(i+3) = ""
    print "mount:", $5, $6, $(i+1), $(i+3) }' /proc/self/mountinfo | sort
for f in /etc/hostname /etc/hosts /etc/resolv.conf; do sed "s|^|$f: |" $f; done
ls -la / /etc /dev /dev/shm "$(pwd)" | awk '{
    if (substr($1, 1, 1) == "d") $5 = ""  # how large a directory is, a file system says as it likes
    if (substr($1, 1, 1) == "c") $9 = ""  # the time of a device that everybody writes to
    print "file:", $1, $3, $4, $5, $9, $10, $11 }'
cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start ip_forward /proc/self/oom_score_adj; cd -
df -k /dev/shm | tail -1; ulimit -n; ls /dev
stat -c '%a %u %g %n' / /etc /dev /proc /sys /out "$(pwd)"
ip -o addr 2>/dev/null | grep -vw lo | awk '{ print "address:", $3, $4 }' | grep -v fe80
tty | sed 's/^/tty: /'
[ ! -t 0 ] || stat -c 'tty: %u' "$(tty)" /dev/console
ps | wc -l > /out/processes
exit 5
"""

FLAGS = [
    (),
    ("-w", "/made/here", "-e", "A=b c", "-e", "HOME=/else", "-e", "Q='!!' \"$A\" \\n\té"),
    ("-u", "nobody", "--init"),
    ("-u", "member"),
    ("-u", "member:other"),
    ("-u", "1234"),
    ("-u", "1000:1001", "--read-only", "-w", "/made/here"),
    ("--add-host", "h:1.2.3.4", "--dns", "9.9.9.9", "--tmpfs", "/t:size=1m,mode=711,exec"),
    ("--cap-drop", "SETUID", "--security-opt", "no-new-privileges", "-u", "member"),
    ("--cap-drop", "ALL", "--cap-add", "CHOWN", "-w", "/tmp"),
    ("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"),
    ("--cap-add", "ALL"),
    ("--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges"),
    ("--network", "host"),
    ("--privileged", "--umask", "0027"),
    ("--pid=host", "--cgroupns=host", "--oom-score-adj", "300"),
    ("--group-add", "other", "--group-add", "77", "--shm-size", "1m", "--ulimit", "nofile=90:99"),
    ("--sysctl", "net.ipv4.ip_forward=1", "--device", "/dev/null:/dev/mine", "--no-hosts"),
    ("--group-add", "keep-groups", "--read-only", "--read-only-tmpfs", "--ipc=none"),
    ("-i", "-t", "-u", "member", "--init"),
]
NETWORKS = [
    pytest.param("pasta", marks=pytest.mark.needs("pasta")),
    pytest.param("slirp4netns", marks=pytest.mark.needs("slirp4netns")),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("byhand")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    (folder / "c").mkdir()
    (folder / "c/Dockerfile").write_text(
        "FROM busybox\n"
        "RUN echo member:x:33:34::/home/member:/bin/sh >> /etc/passwd; chmod 700 /root;"
        " printf 'own:x:34:\\nextra:x:35:nobody,member\\nother:x:36:me\\n' >> /etc/group\n"
        "ENV FROM_IMAGE='a  b'\n"
        "WORKDIR /work\n"
    )
    command.ok("build", "-t", "looked-at", folder / "c")
    yield command
    child.remove_tree(folder / "store")


def paste(printed: str, *, bracketed: bool = False) -> str:
    """What a terminal shows when the script and its own clean-up line are pasted into bash."""
    clean_up = printed.splitlines()[-1].partition("afterwards: ")[2]
    script = printed.partition("# The same by hand")[2].partition("\n")[2]
    environment = {**os.environ, "PS1": "ended-$?>", "PS2": "", "TERM": "dumb"}
    typed = Terminal(["bash", "--norc", "--noprofile"], environment)
    typed.type(f"\x1b[200~{script}\x1b[201~\n" if bracketed else script)
    shown = typed.expect("ended-5>", 60)
    typed.type(f"{clean_up}\nexit\n")
    assert typed.close() == 0
    assert not os.path.exists(clean_up.rpartition(" ")[2])
    return shown


def seen(folder: Path) -> str:
    out = folder / "out"
    text = (out / "seen").read_text()
    for file in out.iterdir():
        file.unlink()
    return text


def volumes(folder: Path) -> tuple[str, ...]:
    out, data = folder / "out", folder / "d a't a"
    out.mkdir()
    out.chmod(0o777)
    data.mkdir()
    (data / "file").write_text("from the host\n")
    return (
        *("-v", f"{out}:/out", "-v", f"{data}:/data/deep:ro", "-v", f"{data}/file:/etc/placed"),
        *("-v", f"{folder}/missing:/missing", "-v", "/dev/shm:/shm:ro"),
    )


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: " ".join(flags) or "none")
def test_the_printed_script_starts_the_same_container(store, flags, tmp_path):
    network = () if "--network" in flags else ("--network", "none")
    words = ("--rm", *network, "-h", "same", *volumes(tmp_path), *flags, "looked-at")
    printed = store.ok("run", "--dry-run", *words, "sh", "-c", LOOK)
    paste(printed)
    by_hand = seen(tmp_path)
    if "-t" in flags:
        screen = Terminal(store.command("run", *words, "sh", "-c", LOOK), store.environment)
        assert screen.process.wait(120) == 5
        screen.close()
    else:
        assert store("run", *words, "sh", "-c", LOOK).exit == 5
    assert by_hand.splitlines() == seen(tmp_path).splitlines()


def test_an_image_without_users_is_no_complaint(store, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN rm -f /etc/passwd /etc/group\n")
    store.ok("build", "-t", "bare", tmp_path)
    printed = store.ok("run", "--dry-run", "--network", "none", "bare", "echo", "hello")
    done = subprocess.run(["bash"], input=printed.encode(), capture_output=True, check=False)
    clean_up = printed.splitlines()[-1].partition("afterwards: ")[2]
    subprocess.run(["bash", "-c", clean_up], check=True)
    assert (done.stdout, done.stderr, done.returncode) == (b"hello\n", b"", 0)


PASSWDS = {  # what is made of /etc/passwd → whether a script sees a user `app` there
    "FIFO": ("rm /etc/passwd; mkfifo /etc/passwd", False),
    "link-out": ("ln -sf ../../../../../../../etc/passwd /etc/passwd", False),
    "process-1": ("ln -sf /proc/1/root/etc/passwd /etc/passwd", False),
    "device": ("ln -sf /dev/zero /etc/passwd", False),
    "folder": ("rm /etc/passwd; mkdir /etc/passwd", False),
    "link-inside": ("mv /etc/passwd /usr/users; ln -s /usr/users /etc/passwd", True),
    "huge": ("truncate -s 64M /etc/passwd", True),
    "odd-lines": (
        "sed -i '1i app:x:1x:1::/odd:\\napp:x::1::/odd:\\napp:x:1' /etc/passwd;"
        " sed -i '1i app:x:odd:' /etc/group", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PASSWDS)
def test_a_list_of_users_that_is_something_else(store, kind, tmp_path):
    """It may block for ever, never end, or be this machine's: by hand as by `run`."""
    change, is_known = PASSWDS[kind]
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\n"
        "RUN echo app:x:33:34::/home/app:/bin/sh >> /etc/passwd; "
        "printf 'app:x:34:\\nextra:x:35:nobody,app\\n' >> /etc/group\n"
        f"RUN {change}\n"
    )
    store.ok("build", "-t", kind.lower(), tmp_path)
    look = "grep -E '^(Uid|Gid|Groups)' /proc/self/status; echo $HOME"  # `id` would read the file
    for user in ("", "app", "app:extra", "33", "daemon", "0:none"):
        flags = ("--network", "none", *(("-u", user) if user else ()), kind.lower())
        printed = store.ok("run", "--dry-run", *flags, "sh", "-c", look)
        done = subprocess.run(
            ["bash"], input=printed.encode(), capture_output=True, check=False, timeout=120
        )
        clean_up = printed.splitlines()[-1].partition("afterwards: ")[2]
        subprocess.run(["bash", "-c", clean_up], check=True)
        real = store("run", "--rm", *flags, "sh", "-c", look)
        assert (done.returncode, done.stdout.decode()) == (real.exit, real.stdout), done.stderr
        assert real.exit == (125 if user in ("daemon", "0:none") else 0) or not is_known
        if real.exit:
            assert f"no such user or group: {user}" in done.stderr.decode()


def test_a_bracketed_paste_is_one_line_for_the_shell(store, tmp_path):
    words = ("--network", "none", "-h", "same", *volumes(tmp_path), "looked-at")
    paste(store.ok("run", "--dry-run", *words, "sh", "-c", LOOK), bracketed=True)
    assert "called same" in seen(tmp_path)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_published_port_answers(store, network, tmp_path):
    """By hand as by `run`: the page arrives, and the container has the same addresses."""
    serve = LOOK.replace("exit 5", "echo ready > /out/ready; echo page | nc -l -p 80; exit 5")
    found = []
    for by_hand in (True, False):
        port = free_port()
        words = ("--network", network, "-p", f"{port}:80", "-h", "same")
        (tmp_path / str(by_hand)).mkdir()
        words = (*words, *volumes(tmp_path / str(by_hand)), "looked-at", "sh", "-c", serve)
        if by_hand:
            script = tmp_path / "script"
            script.write_text(store.ok("run", "--dry-run", *words))
            argv = ["bash", script]
        else:
            argv = store.command("run", "--rm", *words)
        running = subprocess.Popen(argv, env=store.environment, stdin=subprocess.DEVNULL)
        try:
            assert answer(port) == b"page\n"
            assert running.wait(120) == 5
        finally:
            running.kill()
            running.wait()
        found.append(seen(tmp_path / str(by_hand)))
    clean_up = script.read_text().splitlines()[-1].partition("afterwards: ")[2]
    subprocess.run(["bash", "-c", clean_up], check=True)
    assert not os.path.exists(clean_up.rpartition(" ")[2])
    assert "address: inet" in found[0]
    assert found[0].splitlines() == found[1].splitlines()


def answer(port: int) -> bytes:
    """What comes from the port, once somebody listens inside: before, it is closed at once."""
    end = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                if content := connection.recv(100):
                    return content
        except OSError:
            pass
        assert time.monotonic() < end, "nobody answers"
        time.sleep(0.1)


def test_lines_are_short(store, tmp_path):
    """But for what the user has written, in one word."""
    flags = ("-it", "-p", "80", "--read-only", "--cap-add", "ALL", "-v", "/tmp:/x:ro")
    printed = store.ok("run", "--dry-run", *flags, "looked-at", "true")
    script = printed.partition("# The same by hand")[2].splitlines()[:-1]
    assert [line for line in script if len(line) > 100] == []
