"""`run` in a plain container of docker's: nothing is kept apart but files, and that is said."""

from __future__ import annotations

import os
import shlex
import subprocess
import tarfile

import pytest

from tests.conftest import Rootless
from tests.support import child, plain, rungs
from tests.support.processes import wait_until

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


# Where something is mounted, as on any machine.
MADE = ("A /in", "A /in/volume", "A /scratch")


@pytest.fixture
def inside(tmp_path, busybox_image):
    one = Rootless(tmp_path / "store")
    one.prefix = plain.prefix()
    one.ok("load", "-i", busybox_image.archive(tmp_path / "base.tar"))
    yield one
    for name in one("ps", "-aq").stdout.split():
        one("rm", "-f", name)
    child.remove_tree(one.root)


def left(store) -> list[str]:
    """What is in the directories of containers besides what is on any machine."""
    usual = {"attach", "container.json", "diff", "etc", "log.jsonl", "state.json", "target", "work"}
    found = [name for folder in (store / "containers").iterdir() for name in os.listdir(folder)]
    return sorted(set(found) - usual)


def test_the_kernel_refuses_what_it_refuses_there(inside):
    for command in ("unshare -U true", "unshare -m true", "mount -t tmpfs x /mnt"):
        words = [*plain.prefix(), *command.split()]
        answer = subprocess.run(words, capture_output=True, text=True, check=False)
        assert answer.returncode != 0
        assert "permi" in answer.stderr.lower()


def test_it_runs_and_says_once_that_nothing_is_kept_apart(inside):
    answer = inside("run", "--rm", "busybox", "sh", "-c", "id -u; cat /etc/hostname; exit 3")
    assert answer.exit == 3
    assert answer.stdout.startswith("0\n")
    assert answer.stderr.count("kept apart from nothing") == 1
    assert os.listdir(inside.root / "containers") == []
    assert os.listdir(inside.root / "tmp") == []


def test_nothing_is_in_dev_null_a_moment_after_it_was_written(inside):
    script = """
        exec 9>>/dev/null
        for n in 1 2 3 4; do echo $n; dd if=/dev/urandom bs=60000 count=1 2>&1; done >&9
        while [ -s /dev/null ]; do sleep 0.01; done
        echo again >&9
        while [ -s /dev/null ]; do sleep 0.01; done
        cp /dev/null /copy && cat </dev/null && wc -c </copy && stat -c %a /dev/null
    """
    assert inside.ok("run", "--rm", "busybox", "timeout", "20", "sh", "-c", script) == "0\n666\n"
    assert os.listdir(inside.root / "tmp") == []


def test_doctor_shows_which_way_it_will_be(inside):
    answer = inside("doctor")
    assert answer.exit == 0, answer.stdout
    assert "✓ copies:" in answer.stdout
    assert "✓ store:" in answer.stdout
    assert "way: rung 3, root without namespaces; storage: copies (user namespaces are forb" in (
        answer.stdout
    )
    assert "--security-opt seccomp=unconfined" in answer.stdout


def test_the_images_files_are_never_changed(inside):
    run = ("run", "--rm", "busybox", "sh", "-c")
    look = "cat /etc/group; ls -l /bin/vi /etc/passwd"
    before = inside.ok(*run, look)
    assert inside.ok(*run, "echo x > /etc/group; rm /bin/vi /etc/passwd; cat /etc/group") == "x\n"
    assert inside.ok(*run, look) == before


def test_what_it_has_written_is_there_as_on_any_machine(inside, tmp_path):
    write = "echo hi > /made; rm /bin/vi; mkdir /a; chown 7:8 /a; echo y > /etc/resolv.conf"
    inside.ok("run", "--name", "one", "busybox", "sh", "-c", write)
    assert left(inside.root) == []
    assert inside.ok("diff", "one").splitlines() == ["A /a", "C /bin", "D /bin/vi", "A /made"]
    inside.ok("cp", "one:/made", tmp_path / "made")
    assert (tmp_path / "made").read_text() == "hi\n"
    (tmp_path / "in").write_text("from outside")
    inside.ok("cp", tmp_path / "in", "one:/a/in")
    inside.ok("export", "-o", tmp_path / "all.tar", "one")
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = archive.getnames()
        assert (archive.getmember("a").uid, archive.getmember("a").gid) == (7, 8)
    assert {"made", "a/in"} <= set(names)
    assert "bin/vi" not in names
    inside.ok("commit", "one", "mine")
    shown = inside.ok("run", "--rm", "mine", "sh", "-c", "cat /made /a/in; ls /bin/vi 2>&1; id -u")
    assert shown == "hi\nfrom outsidels: /bin/vi: No such file or directory\n0\n"


def test_the_second_start_goes_on_where_the_first_has_ended(inside):
    inside.ok("run", "--name", "one", "busybox", "sh", "-c", "echo x >> /log; rm -f /bin/vi")
    inside.ok("start", "-a", "one")
    assert inside.ok("cp", "one:/log", "-")[512:516] == "x\nx\n"
    assert inside.ok("diff", "one").splitlines() == ["C /bin", "D /bin/vi", "A /log"]
    assert left(inside.root) == []


def test_volumes_and_directories_of_the_outer_container(inside, tmp_path):
    flags = ("--rm", "-v", f"{tmp_path}/v:/v", "-v", "named:/n", "--tmpfs", "/t")
    inside.ok("run", *flags, "busybox", "sh", "-c", "echo a > /v/f; echo b > /n/g; echo c > /t/h")
    assert (tmp_path / "v/f").read_text() == "a\n"
    assert inside.ok("run", "--rm", "-v", "named:/n:ro", "busybox", "cat", "/n/g") == "b\n"


def test_what_a_tmpfs_can_be_without_mounts_it_is(inside):
    rungs.check_memory(inside)


def test_a_terminal_of_this_machine(inside):
    rungs.check_terminal(inside)


def test_an_image_is_shown_as_a_copy(inside, tmp_path):
    rungs.check_image_mount(inside, tmp_path / "image")
    assert left(inside.root) == []


@pytest.mark.parametrize("options", ["", ":ro"])
def test_a_directory_with_the_store_in_it_cannot_be_given(inside, tmp_path, options):
    """Nothing can be mounted: it would be copied into itself."""
    answer = inside("run", "--rm", "-v", f"{tmp_path}:/v{options}", "busybox", "true")
    assert answer.exit == 125
    assert "own files are in it" in answer.stderr
    assert os.listdir(inside.root / "containers") == []


def test_one_in_the_background_and_its_end(inside):
    mine = f"sleep 77{os.getpid()}"
    inside.ok("run", "-d", "--name", "bg", "busybox", "sh", "-c", f"touch /x; {mine} & {mine}")
    assert "touch" in inside.ok("ps", "--no-trunc")
    look = ["pgrep", "-f", f"{mine}$"]
    assert subprocess.run(look, capture_output=True, check=False).returncode == 0
    inside.ok("kill", "bg")
    assert left(inside.root) == []
    assert inside.ok("diff", "bg").splitlines() == ["A /x"]
    assert subprocess.run(look, capture_output=True, check=False).returncode == 1


CHANGE = (
    "echo a > /made; rm /bin/vi; mkdir -p /d/e; chmod 700 /root; echo on; "
    "while :; do mkdir -p /busy/a; touch /busy/a/b; rm -r /busy; done"
)


def test_what_one_that_runs_has_changed_is_known(inside, tmp_path):
    """And nothing of what is only put there while it runs: /dev, /proc, /etc/hosts, a volume."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/file").touch()
    flags = ("-v", f"{tmp_path}/volume:/in/volume", "--tmpfs", "/scratch")
    inside.ok("run", "-d", "--name", "bg", *flags, "busybox", "sh", "-c", CHANGE)
    wait_until(lambda: "on" in inside.ok("logs", "bg"), "the changes")
    expected = ["D /bin/vi", "A /d", "A /d/e", "A /made", "C /root"]
    found = inside.ok("diff", "bg").splitlines()
    assert [one for one in found if "/busy" not in one and one not in MADE] == ["C /bin", *expected]
    inside.ok("export", "-o", tmp_path / "all.tar", "bg")
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = set(archive.getnames())
    assert {"made", "d/e", "bin/sh"} <= names
    assert not names & {"bin/vi", "proc/cpuinfo", "dev/null", "in/volume/file"}
    inside.ok("commit", "bg", "mine")
    assert "running" in inside.ok("inspect", "-f", "{{.State.Status}}", "bg")
    inside.ok("rm", "-f", "bg")
    inside.ok("create", "--name", "two", "mine", "true")
    assert inside.ok("cp", "two:/made", "-")[512:514] == "a\n"
    assert inside("cp", "two:/bin/vi", "-").exit
    assert os.listdir(inside.root / "tmp") == []


def together(inside, *commands: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Commands one after the other in one outer container: others see none of its processes."""
    words = inside.command()[len(inside.prefix) :]
    script = "; ".join(shlex.join([*words, *one]) for one in commands)
    return subprocess.run(
        [*inside.prefix, "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=inside.environment,
    )


def test_another_command_is_executed_in_one(inside):
    look = "id -u; echo $A; pwd; cat /mine; exit 7"
    answer = together(
        inside,
        ("run", "-d", "--name", "bg", "busybox", "sh", "-c", "echo x > /mine; sleep 1000"),
        ("exec", "bg", "sh", "-c", "while ! [ -s /mine ]; do :; done; echo y >> /mine"),
        ("exec", "-e", "A=b", "-w", "/bin", "-u", "5", "bg", "sh", "-c", look),
    )
    assert answer.returncode == 7, answer.stderr
    assert answer.stdout.splitlines()[1:] == ["5", "b", "/bin", "x", "y"]


def test_one_of_another_user_can_be_entered_too(inside):
    """Nobody may look into its process here: that takes a capability which docker does not give."""
    answer = together(
        inside,
        ("run", "-d", "--name", "bg", "--user", "5", "busybox", "sleep", "1000"),
        ("exec", "bg", "id", "-u"),
        ("exec", "-u", "0", "bg", "id", "-u"),
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[1:] == ["5", "0"]
    inside.ok("run", "-d", "--name", "two", "--user", "5", "busybox", "sleep", "1000")
    assert b"localhost" in inside.ok("cp", "two:/etc/hosts", "-").encode()


def test_what_is_executed_in_one_leaves_nothing_and_ends_with_it(inside):
    mine = f"sleep 78{os.getpid()}"
    answer = together(
        inside,
        ("run", "-d", "--name", "bg", "busybox", "sleep", "1000"),
        ("exec", "bg", "sh", "-c", f"{mine} & {mine} & true"),
        ("exec", "-d", "bg", "sh", "-c", f"{mine} & {mine}"),
        ("rm", "-f", "bg"),
    )
    assert answer.returncode == 0, answer.stderr
    look = ["pgrep", "-f", f"{mine}$"]
    wait_until(lambda: subprocess.run(look, check=False, capture_output=True).returncode, "ends")


def test_what_is_executed_in_one_has_no_more_than_there_is(inside):
    answer = together(
        inside,
        ("run", "-d", "--name", "bg", "busybox", "sleep", "1000"),
        ("exec", "--privileged", "bg", "true"),
    )
    assert answer.returncode
    assert "this needs CAP_SYS_ADMIN" in answer.stderr


@pytest.mark.parametrize(("command", "status"), [("test -s /ok", "unhealthy"), ("id", "healthy")])
def test_its_health_is_checked(inside, command, status):
    flags = ("--health-cmd", command, "--health-interval", "1s", "--health-retries", "1")
    inside.ok("run", "-d", "--name", "bg", *flags, "busybox", "sleep", "1000")
    form = "{{.State.Health.Status}}"
    wait_until(lambda: inside.ok("inspect", "-f", form, "bg").strip() == status, status)


def test_one_that_cannot_be_executed_leaves_no_tree(inside):
    assert inside("run", "--name", "one", "busybox", "/nothing").exit == 127
    assert left(inside.root) == []


def test_one_is_removed_while_it_runs(inside):
    inside.ok("run", "-d", "--name", "bg", "busybox", "sleep", "1000")
    inside.ok("rm", "-f", "bg")
    assert os.listdir(inside.root / "containers") == []


@pytest.mark.parametrize(
    ("flags", "lacks"),
    [
        (("--network", "none"), "network"),
        (("-p", "8080:80"), "ports"),
        (("--read-only",), "--read-only"),
        (("--sysctl", "net.ipv4.ip_forward=1"), "--sysctl"),
        (("--privileged",), "CAP_"),
        (("--cap-add", "SYS_ADMIN"), "CAP_SYS_ADMIN"),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_named(inside, flags, lacks):
    answer = inside("run", "--rm", *flags, "busybox", "true")
    assert answer.exit
    assert "this needs" in answer.stderr
    assert lacks in answer.stderr
    assert os.listdir(inside.root / "tmp") == []
