"""Neither root nor namespaces, but proot: RUN and `run` of a user in a plain container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.e2e.test_rung_none import NO_PROOT
from tests.e2e.test_rung_root import secrets_in
from tests.support import rungs
from tests.support.machine import PROJECT
from tests.support.processes import wait_until

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "proot")

DOCKERFILE = """
FROM {base} AS one
ENV HELLO=world
RUN mkdir -m 555 /a && echo $HELLO > /a/f && chmod 000 /a/f && ln -s f /a/l && mkfifo /a/p
RUN rm -r /bin/vi /a/l && cat /a/f > /a/g; chmod 4755 /a/g; ln /a/g /a/h; echo x > /dev/null
COPY --chown=12:13 --chmod=640 Dockerfile /copied/here
RUN --mount=type=cache,target=/cache echo cached >> /cache/log && cp /cache/log /copied/log
RUN --mount=type=secret,id=s,mode=0400 wc -c < /run/secrets/s > /size && test -s /etc/resolv.conf
RUN --mount=type=bind,target=/ctx --mount=type=tmpfs,target=/t cp /ctx/Dockerfile /t/x && mkdir /new
WORKDIR /new/below
RUN pwd > /where; id -u > /me; chown 5:6 /me
RUN <<end
#!/bin/sh
echo from a script > /said
end
USER 5:6
RUN id -u > /tmp/id; test -w /tmp
FROM {base}
COPY --from=one /a /b
COPY --from=one /copied /copied
COPY --from=one /where /me /said /tmp/id /
RUN mv /b /moved; rm -rf /home; mkdir -p /home/again; (sleep 3600 &)
"""
NAP = f"sleep 75{os.getpid()}"
LOSSES = "warning: commands are run by proot, for there are neither namespaces nor root"


@pytest.fixture
def folder(tmp_path, busybox_image):
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=busybox_image.name))
    (tmp_path / "secret").write_text("the secret")
    return context


@pytest.fixture
def both(tmp_path, busybox_image):
    with rungs.beside(tmp_path, busybox_image, "none", rungs.NONE) as made:
        yield made


def build(rootless, folder, *flags):
    secret = folder.parent / "secret"
    argv = ("--progress=plain", "-t", "t", "--secret", f"id=s,src={secret}", *flags, folder)
    answer = rootless("build", *argv)
    assert answer.exit == 0, answer.stderr
    return answer.stderr


def layers(rootless):
    return json.loads(rootless.ok("inspect", "-f", "{{json .RootFS.Layers}}", "t"))


@pytest.mark.parametrize("target", ["one", ""])
def test_layers_in_which_nothing_is_given_away_are_the_same(both, folder, target):
    """What another USER makes is root's here; what root gives away is not."""
    flags = ("--target", target) if target else ()
    told = [build(one, folder, *flags) for one in both]
    assert LOSSES not in told[0]
    assert told[1].count(LOSSES) == 1
    found = [layers(one) for one in both]
    other = [number for number, pair in enumerate(zip(*found, strict=True)) if pair[0] != pair[1]]
    assert len(found[0]) == (11 if target else 5)
    assert other == ([10] if target else [3])


def test_the_second_time_everything_is_cached(both, folder):
    none = both[1]
    build(none, folder)
    first = none.ok("images", "-q", "t")
    again = build(none, folder)
    assert again.count("CACHED") == 14
    assert LOSSES not in again
    assert none.ok("images", "-q", "t") == first
    assert list((none.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda one: one.name)
def test_a_builder_that_is_killed_takes_its_step_and_its_secret_along(both, folder, number):
    """Also a secret that the command has moved, and what it has put into the background."""
    none = both[1]
    line = f"RUN --mount=type=secret,id=s mv /run /away; {NAP} & echo it has begun; {NAP}"
    (folder / "Dockerfile").write_text(f"FROM busybox\n{line}\n")
    secret = f"id=s,src={folder.parent / 'secret'}"
    with subprocess.Popen(
        none.command("build", "--progress=plain", "--secret", secret, folder),
        stderr=subprocess.PIPE,
        env=none.environment,
        text=True,
        start_new_session=True,
    ) as building:
        assert building.stderr
        while not building.stderr.readline().endswith(" it has begun\n"):
            assert building.poll() is None
        try:
            assert secrets_in(none.root) != []
            assert sleepers(none) != []
            building.send_signal(number)
            wait_until(lambda: not secrets_in(none.root), "the end of the secret")
            wait_until(lambda: not sleepers(none), "the end of the step")
            wait_until(lambda: not loaders(), "the end of what proot has left")
        finally:
            building.kill()


def loaders():
    """Files of ours that a proot has made which is gone."""
    ours = ["find", "/tmp", "-maxdepth", "1", "-name", "prooted-*", "-uid", str(os.getuid())]
    found = subprocess.run(ours, capture_output=True, text=True, check=False).stdout.splitlines()
    return [one for one in found if not os.path.exists(f"/proc/{one.split('-')[1]}")]


def sleepers(rootless):
    """Processes that run below this store's proot."""
    found = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True)
    lines = found.stdout.splitlines()
    return [one for one in lines if NAP in one]


@pytest.mark.parametrize(
    ("flag", "line", "lacks"),
    [
        ("--allow=security.insecure", "RUN --security=insecure true", "this needs CAP_SYS_ADMIN"),
        ("--pull=false", "RUN --network=none true", "this needs a network of its own"),
        ("--pull=false", 'RUN ["nosuch"]', "executable file not found in $PATH"),
        ("--pull=false", 'RUN ["/etc"]', "exec: '/etc': Permission denied"),
        ("--pull=false", "RUN exit 7", "did not complete successfully: exit code: 7"),
    ],
)
def test_what_cannot_be_had_is_named(both, folder, flag, line, lacks):
    (folder / "Dockerfile").write_text(f"FROM busybox\n{line}\n")
    answer = both[1]("build", flag, folder)
    assert answer.exit == 1
    (error,) = (one for one in answer.stderr.splitlines() if one.startswith("error: "))
    assert lacks in error


def test_a_container_runs_as_a_convenience(both):
    none = both[1]
    script = "echo $A; id -u; pwd; echo kept > /file; exit 7"
    flags = ("--name", "cc", "-e", "A=b", "-u", "5", "-w", "/tmp")
    answer = none("run", *flags, "busybox", "sh", "-c", script)
    assert (answer.exit, answer.stdout) == (7, "b\n5\n/tmp\n"), answer.stderr
    assert "commands are run by proot" in answer.stderr
    assert none.ok("diff", "cc").splitlines() == ["A /file"]
    none.ok("commit", "cc", "made")
    assert none.ok("run", "--rm", "made", "cat", "/file") == "kept\n"
    none.ok("rm", "cc")
    left = ("sh", "-c", "sleep 7533 & echo on")  # ends with it
    assert none.ok("run", "--rm", "busybox", *left, timeout=30) == "on\n"
    none.ok("run", "-d", "--name", "dd", "busybox", "sleep", "7532")
    assert none.ok("ps", "-q")
    none.ok("rm", "-f", "dd")
    assert none.ok("ps", "-aq") == ""


@pytest.fixture
def running(both):
    """One that runs, of which /mine is seen by others."""
    none = both[1]
    none.ok("run", "-d", "--name", "bg", "busybox", "sh", "-c", "echo x > /mine; exec sleep 1000")
    try:
        wait_until(lambda: none("exec", "bg", "test", "-s", "/mine").exit == 0, "its file")
        yield none
    finally:
        none("rm", "-f", "bg")


def test_another_command_is_executed_in_one(running):
    look = "id -u; echo $A; pwd; cat /mine /etc/hostname; cat; exit 7"
    flags = ("-i", "-e", "A=b", "-w", "/bin", "-u", "5", "bg")
    answer = running("exec", *flags, "sh", "-c", look, stdin="typed\n")
    name = running.ok("inspect", "-f", "{{.Config.Hostname}}", "bg")
    assert (answer.exit, answer.stdout) == (7, f"5\nb\n/bin\nx\n{name}typed\n"), answer.stderr
    running.ok("exec", "bg", "chown", "5:6", "/mine")
    assert running.ok("exec", "bg", "stat", "-c", "%u:%g", "/mine") == "5:6\n"
    assert running.ok("diff", "bg").splitlines() == ["A /mine"]
    running.ok("exec", "-d", "bg", "sh", "-c", "echo of another > /other")
    wait_until(lambda: running("exec", "bg", "cat", "/other").stdout == "of another\n", "a file")


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("bg", "nosuch"), 127, "exec: 'nosuch': executable file not found in $PATH"),
        (("bg", "/etc"), 126, "exec: '/etc': Permission denied"),
        (("-w", "/nosuch", "bg", "true"), 127, "chdir to cwd ('/nosuch') failed"),
    ],
)
def test_what_cannot_be_executed_in_one_is_named(running, argv, code, said):
    answer = running("exec", *argv)
    assert answer.exit == code
    assert said in answer.stderr


def test_without_proot_nothing_is_executed_in_one(running):
    before, running.prefix = running.prefix, NO_PROOT.prefix
    answer = running("exec", "bg", "true", cwd=PROJECT)
    running.prefix = before
    assert answer.exit == 1
    assert "no namespaces that could be entered, and there is no proot" in answer.stderr
    assert "install the package proot" in answer.stderr


def test_what_is_executed_in_one_leaves_nothing_and_ends_with_it(running):
    running.ok("exec", "bg", "sh", "-c", f"{NAP} & {NAP} & true")
    assert sleepers(running) == []
    running.ok("exec", "-d", "bg", "sh", "-c", f"{NAP} & {NAP}")
    wait_until(lambda: len(sleepers(running)) > 1, "its beginning")
    running.ok("rm", "-f", "bg")
    wait_until(lambda: not sleepers(running), "its end")
    wait_until(lambda: not loaders(), "the end of what proot has left")


HEALTH = "{{json .State.Health}}"


@pytest.mark.parametrize(
    ("command", "code", "status", "output"),
    [
        ("echo seen; cat /mine", 0, "healthy", "seen\nx\n"),
        ("echo seen; cat /nosuch", 1, "unhealthy", "seen\ncat: can't open '/nosuch': "),
        (f"{NAP} & {NAP}", -1, "unhealthy", "Health check exceeded timeout (1s)"),
    ],
    ids=["healthy", "failing", "slow"],
)
def test_its_health_is_checked(both, command, code, status, output):
    none = both[1]
    flags = ("--health-cmd", command, "--health-interval", "1s", "--health-timeout", "1s")
    script = ("sh", "-c", "echo x > /mine; exec sleep 1000")
    if code == 0:
        flags = flags[:-2]
    none.ok("run", "-d", "--name", "bg", *flags, "--health-retries", "1", "busybox", *script)
    try:
        wait_until(lambda: health(none)["Status"] == status, status)
        last = health(none)["Log"][-1]
        assert last["ExitCode"] == code
        assert last["Output"].startswith(output)
        assert none("healthcheck", "run", "bg").exit == int(code != 0)
    finally:
        none("rm", "-f", "bg")
    wait_until(lambda: not sleepers(none), "the end of its checks")
    wait_until(lambda: not loaders(), "the end of what proot has left")


def test_a_check_that_is_stopped_from_outside_is_ended_all_the_same(both):
    """Where processes see each other, one may stop who looks after the check."""
    none = both[1]
    flags = ("--health-cmd", f"{NAP} & {NAP}", "--health-interval=1s", "--health-timeout=5s")
    none.ok("run", "-d", "--name=bg", *flags, "--health-retries=1", "busybox", "sleep", "1000")

    def stopped():
        for pid in traced(none):
            try:
                os.kill(parent(parent(pid)), signal.SIGSTOP)
            except OSError:  # its time was over
                continue
            return True
        return False

    try:
        wait_until(stopped, "a check")
        wait_until(lambda: health(none)["Status"] == "unhealthy", "its end")
    finally:
        none("rm", "-f", "bg")
    wait_until(lambda: not sleepers(none), "the end of its checks")


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def traced(rootless):
    """Whatever runs a command of ours below this store's proot: proots."""
    found = subprocess.run(
        ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
    )
    lines = [line.split(None, 1) for line in found.stdout.splitlines()]
    start = f"/usr/bin/proot -v -1 -r {rootless.root}/"
    return [int(pid) for pid, args in lines if args.startswith(start) and NAP in args]


def health(rootless):
    return json.loads(rootless.ok("inspect", "-f", HEALTH, "bg"))


def test_what_a_tmpfs_can_be_without_mounts_it_is(both):
    rungs.check_memory(both[1])


def test_a_terminal_of_this_machine(both):
    rungs.check_terminal(both[1])


def test_an_image_is_shown_as_a_copy(both, tmp_path):
    rungs.check_image_mount(both[1], tmp_path / "image")


def test_doctor_says_who_runs_commands(both):
    assert "✓ commands:        run by proot" in both[1]("doctor").stdout


def test_doctor_says_that_the_user_has_asked_for_it(both, monkeypatch):
    monkeypatch.setitem(both[0].environment, "ROOTLESS_RUNG", "none")
    told = both[0]("doctor").stdout
    assert "✗ user namespace:  ROOTLESS_RUNG=none asks for it\n    fix: unset ROOTLESS_RUNG" in told


@pytest.mark.needs("network", "mirror")
def test_apt_installs_and_newer_calls_do_not_see_this_machine(both, tmp_path, debian_image):
    """`ls` of Debian asks by statx, and `mv -n` by renameat2, which proot does not know."""
    none = both[1]
    none.ok("load", "-i", debian_image.archive(tmp_path / "debian.tar"))
    outside = tmp_path / "outside"
    outside.write_text("this machine's")
    context = tmp_path / "debian"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f"""FROM {debian_image.name} AS apt
RUN apt-get update -q && apt-get install -yq --no-install-recommends hello cron
FROM apt
RUN ! ls {outside} && ! mv -n {outside} /moved && ! test -e {outside}
RUN hello > /said && ls -l /usr/sbin/cron && dpkg --verify cron
"""
    )
    none.ok("build", "-t", "t", context)
    assert outside.read_text() == "this machine's"
    assert none.ok("run", "--rm", "t", "cat", "/said") == "Hello, world!\n"
    both[0].ok("load", "-i", tmp_path / "debian.tar")
    trees = [tree(one, tmp_path / f"{number}.tar", context) for number, one in enumerate(both)]
    assert trees[0] == trees[1]
    assert any(gid > 100 for _, _, _, gid, _, _ in trees[1])  # that of cron's own group


def tree(rootless, path, context):
    """Name, kind, mode, owner and link of each file that apt has left."""
    rootless.ok("build", "--target", "apt", "--output", f"type=tar,dest={path}", context)
    with tarfile.open(path) as tar:
        return [(one.name, one.mode, one.uid, one.gid, one.type, one.linkname) for one in tar]


def test_what_is_given_away_is_seen_inside_and_is_in_the_layer(both, folder, tmp_path):
    (folder / "Dockerfile").write_text(
        """FROM busybox
RUN mkdir /d /e && echo a > /f && ln -s f /l && mkfifo /p && chmod 4755 /f && chmod 0 /e
RUN chown 5:6 /f && chown -h 7:8 /l && chown -R 9:10 /d /p /e && chgrp 50 /d
RUN stat -c %u:%g /f /d /e
RUN chown 0:0 /p && touch /e/in && cp -a /d /copy && (umask 777; echo b > /n; chown 3 /n)
RUN chown 1:1 /etc/resolv.conf /proc/version /dev/null; test -e /f
"""
    )
    answer = both[1]("build", "--no-cache", "--progress=plain", folder)
    for told in (" 5:6\n", " 9:50\n", " 9:10\n"):
        assert told in answer.stderr
    outputs = []
    for number, one in enumerate(both):
        path = tmp_path / f"{number}.tar"
        one.ok("build", "--output", f"type=tar,dest={path}", folder)
        outputs.append(path.read_bytes())
    assert outputs[0] == outputs[1]
