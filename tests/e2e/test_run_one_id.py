"""`run` where there is one id: root may give away, and others are who they say."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from rootless import living
from tests.support import one_id, processes

pytestmark = [
    pytest.mark.needs("userns", "overlay", "busybox", "setpriv"),
    pytest.mark.skipif(os.geteuid() == 0, reason="root has every id"),
]
ALONE = ("--network", "none")


@pytest.fixture
def one(rootless, busybox_image, tmp_path):
    rootless.prefix = one_id.PREFIX
    rootless.ok("load", "-i", busybox_image.archive(tmp_path / "base.tar"))
    return rootless


@pytest.mark.parametrize("flags", [(), ("--init",), ("--pid", "host"), ("--read-only",)], ids=str)
def test_a_user_is_who_they_are(one, flags):
    said = one.ok("run", "--rm", *ALONE, *flags, "-u", "7:8", "busybox", "sh", "-c", "id -u; id -g")
    assert said == "7\n8\n"


def test_what_is_given_away_stays_so(one):
    command = "touch /a; chown 5:6 /a; ln -s a /b; chown -h 7:8 /b; stat -c %u:%g /a /b; id -u"
    one.ok("run", "--name", "first", *ALONE, "busybox", "sh", "-c", command)
    one.ok("commit", "first", "second")
    said = one.ok("run", "--rm", *ALONE, "second", "stat", "-c", "%u:%g", "/a", "/b")
    assert said == "5:6\n7:8\n"


def test_without_the_capability_nothing_is_given_away(one):
    flags = ("--cap-drop", "ALL")
    answer = one("run", "--rm", *ALONE, *flags, "busybox", "chown", "5", "/bin/busybox")
    assert answer.exit == 1


def _asleep(seconds: str) -> list[int]:
    return [pid for pid in processes.with_word(seconds) if _words(pid)[0] == "sleep"]


def _answerer(seconds: str) -> int:
    """The sibling of a container's process 1, which sleeps."""
    (sleeping,) = _asleep(seconds)
    parent = living.stat(sleeping)[living.PARENT].decode()
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (found,) = {*map(int, children)} - {sleeping}
    return found


def _words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def test_without_who_answers_the_container_ends(one):
    seconds = processes.some_seconds()
    command = one.command(
        "run", "--rm", *ALONE, "busybox", "sh", "-c", f"echo up; exec sleep {seconds}"
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout.readline() == "up\n"
            processes.wait_until(lambda: _asleep(seconds), "a command that sleeps")
            os.kill(_answerer(seconds), signal.SIGKILL)
            assert run.wait(60) == 137
        finally:
            run.kill()
    processes.wait_until_gone(seconds)


def test_a_killed_supervisor_takes_its_step_and_who_answers_along(one, tmp_path):
    seconds = processes.some_seconds()
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN sleep {seconds}\n")
    build = one.command("build", "--progress=plain", tmp_path)
    with subprocess.Popen(build, stderr=subprocess.PIPE, text=True) as command:
        try:
            processes.wait_until(lambda: _asleep(seconds), "a step that sleeps")
            answerer, (sleeper, *_) = _answerer(seconds), _asleep(seconds)
            os.kill(int(living.stat(sleeper)[living.PARENT]), signal.SIGKILL)
            said = command.communicate(timeout=60)[1]
        finally:
            command.kill()
    assert command.returncode == 1
    assert "137" in said
    assert not Path(f"/proc/{answerer}").exists()
    assert not _asleep(seconds)


HOSTILE = """
victim=$1
chown 5 ../../../../../../..$victim; chown -h 5 /proc/1/root$victim; chown 5 /proc/1/cwd$victim
ln -s $victim /link; chown 5 /link
ln -s /proc/1/root /magic; chown 5 /magic$victim; cd /magic && chown 5 .$victim; cd /
mknod ../../../..$victim.node c 5 1; mknod /link/../node c 5 1
touch /m; chown 5 /proc/1/root/m; chown 5 /proc/self/cwd/m
mkdir /d /other; touch /d/f /other/f
(while :; do mv /d /e; ln -s ${victim%/*} /d; rm /d; mv /e /d; done) 2>/dev/null & loop=$!
for i in $(seq 300); do chown 5 /d/f /d/victim; done 2>/dev/null
kill $loop
mkdir -p /sub/bin; cp /bin/busybox /sub/bin; ln -s / /sub/up; touch /sub/f /f
chroot /sub /bin/busybox chown 5:6 /up/f; chroot /sub /bin/busybox chown 7 ../../../f
cd /sub; chroot /sub /bin/busybox sh -c 'cd ..; /bin/busybox chown 8 ../up/bin'
echo done; stat -c %n:%u:%g /m /f /sub/f /bin /sub/bin
"""


def test_nothing_outside_is_recorded(one, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("intact")
    run = ("run", "--rm", *ALONE, "busybox", "sh", "-c", HOSTILE, "sh", victim)
    said = one.ok(*run).partition("done\n")[2]
    assert said == "/m:0:0\n/f:0:0\n/sub/f:7:6\n/bin:0:0\n/sub/bin:8:0\n"
    assert os.listxattr(victim) == []
    assert os.listxattr(tmp_path) == []
    assert not list(tmp_path.glob("*node*"))


def test_a_caller_that_is_killed_while_it_asks_disturbs_nobody(one):
    script = (  # each of them does nothing but ask
        "all=$(seq 300); mkdir /d; cd /d; touch $all; "
        "for i in $all; do chown 5 $all $all $all & usleep 4000; kill -9 $! || exit 3; done; "
        "wait; chown 6 /d/1; stat -c %u /d/1"
    )
    assert one.ok("run", "--rm", *ALONE, "busybox", "sh", "-c", script) == "6\n"


def test_what_a_caller_names_wrongly_is_refused_as_ever(one):
    script = "chown 5 /none; chown 5 /bin/busybox/x; mkdir /f; mknod /f c 5 1; cd /f; chown 5 ''"
    answer = one("run", "--rm", *ALONE, "busybox", "sh", "-c", script)
    words = ["No such file or directory", "Not a directory", "File exists"]
    said = [line.rpartition(": ")[2] for line in answer.stderr.splitlines()]
    assert said == [*words, words[0]]


def test_a_volume_is_given_to_who_uses_it(one):
    run = ("run", "--rm", *ALONE, "-v", "kept:/v:U", "-u", "7:8", "busybox")
    one.ok(*run, "sh", "-c", "mkdir /v/folder; echo x > /v/folder/file; ln -s file /v/folder/link")
    look = "stat -c %u:%g /v /v/folder /v/folder/file /v/folder/link"
    assert one.ok(*run, "sh", "-c", look).split() == ["7:8"] * 4
    again = [word.replace("7:8", "9:0") for word in run]
    assert one.ok(*again, "sh", "-c", look).split() == ["9:0"] * 4


DEVICES = """
mkdir /d && cd /d && mknod c c 1 3 && mknod b b 259 70000 && chown 5:6 b && chmod 620 b && touch f
stat -c '%n %F %t:%T %u:%g %a' c b f; test -c c && test -b b && ! test -f c && echo seen
cp -a /d /copied && tar -cf /t.tar -C / d && mkdir /out && tar -xf /t.tar -C /out
stat -c '%F %t:%T %u:%g' /copied/* /out/d/*
echo x >c; stat -c %F c
"""


def test_a_device_is_seen_as_one(one):
    """Until somebody writes to it: what stands for it is a file."""
    said = one.ok("run", "--rm", *ALONE, "busybox", "sh", "-c", DEVICES).splitlines()
    assert said[:4] == [
        "c character special file 1:3 0:0 644",
        "b block special file 103:11170 5:6 620",
        "f regular empty file 0:0 0:0 644",
        "seen",
    ]
    kinds = ["block special file 103:11170 5:6", "character special file 1:3 0:0"]
    assert said[4:-1] == [*kinds, "regular empty file 0:0 0:0"] * 2
    assert said[-1] == "regular file"
