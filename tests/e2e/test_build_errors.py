"""Builds that must fail: with which words, which exit code, and what they leave behind."""

from __future__ import annotations

import os
import pty
import signal
import subprocess

import pytest

from tests.support import processes

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def failing(rootless, busybox_image, tmp_path):
    """Build, insist on exit code 1, and return what was said."""
    rootless.load(busybox_image, tmp_path)
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("content")

    def run(dockerfile, *flags):
        (context / "Dockerfile").write_text(dockerfile)
        result = rootless("build", "--progress=plain", *flags, context)
        assert result.exit == 1, result
        assert os.listdir(rootless.root / "tmp") == []
        return result.stderr

    run.context = context
    return run


def test_a_failing_command_shows_output_status_and_lines(failing):
    said = failing("FROM busybox\n# why\nRUN echo shown; \\\n  exit 7\nRUN true\n")
    assert "shown" in said
    assert 'process "/bin/sh -c echo shown;   exit 7" did not complete successfully' in said
    assert "exit code: 7" in said
    assert "   3 | >>> RUN echo shown; \\\n   4 | >>>   exit 7\n" in said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("COPY none /", '"none" not found'),
        ("COPY hidden /", '"hidden" is excluded by .dockerignore'),
        ("COPY --chown=ghost f /", "there is no user 'ghost'"),
        ("COPY --chmod=x f /", "not a file mode"),
        ("COPY f /etc/passwd/x", "/etc/passwd is in the way"),
        ("COPY d /etc/passwd", "/etc/passwd is in the way"),
        ("COPY f /loop", "/loop: too many levels of symbolic links"),
        ("COPY --from=none:1 a /", "none:1"),
        ("USER ghost\nRUN true", "there is no user 'ghost'"),
        ('RUN ["none"]', "executable file not found"),
        ("WORKDIR /etc/passwd", "/etc/passwd is in the way"),
    ],
)
def test_what_cannot_be_done_is_named(failing, line, words):
    (failing.context / "hidden").write_text("f")
    (failing.context / "d").mkdir()
    (failing.context / "d" / "x").write_text("x")
    (failing.context / ".dockerignore").write_text("hidden\n")
    said = failing(f"FROM busybox\nRUN ln -s loop /loop\n{line}\n")
    assert words in said
    assert ">>> " in said


def test_a_file_does_not_replace_a_directory(failing):
    (failing.context / "d").mkdir()
    (failing.context / "d" / "etc").write_text("f")
    assert '"etc": a directory is in the way' in failing("FROM busybox\nCOPY d /\n")


def test_a_context_nested_without_end(failing):
    path = failing.context / "deep"
    for _ in range(300):
        path = path / "d"
    path.mkdir(parents=True)
    assert "nested more than 256 directories deep" in failing("FROM busybox\nCOPY . /\n")


def test_what_is_not_allowed_is_said_before_anything_runs(failing):
    said = failing("FROM busybox\nRUN echo ran\nRUN --security=insecure true\n")
    assert "security.insecure is not allowed" in said
    assert "ran" not in said.replace("echo ran", "")


def test_an_unused_argument_is_a_warning(rootless, failing):
    (failing.context / "Dockerfile").write_text("FROM busybox\n")
    result = rootless("build", "--build-arg", "NOBODY=1", failing.context)
    assert result.exit == 0
    assert "[NOBODY] were not consumed" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_build_leaves_nothing_running(rootless, failing, number):
    sleep = f"sleep {processes.some_seconds()}"
    (failing.context / "Dockerfile").write_text(f"FROM busybox\nRUN echo up; {sleep}\n")
    command = rootless.command("build", "--progress=plain", str(failing.context))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as build:
        while "up" not in build.stderr.readline().replace("echo up", ""):
            pass
        build.send_signal(number)
        build.stderr.read()
    processes.wait_until_gone(sleep)
    rootless.ok("build", "-q", "--target", "a", "-", stdin="FROM busybox AS a\nRUN true\n")
    assert os.listdir(rootless.root / "tmp") == []


ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_build_that_is_asked_to_end_cleans_up(rootless, failing, number, stages, whole_group):
    """Side by side, too; and where all its processes are asked, as by a terminal."""
    sleep = f"sleep {processes.some_seconds()}"
    lines = [f"FROM busybox AS s{one}\nRUN : {one}; echo up; {sleep}\n" for one in range(stages)]
    copies = [f"COPY --from=s{one} /etc/passwd /{one}\n" for one in range(stages)]
    (failing.context / "Dockerfile").write_text("".join([*lines, "FROM busybox\n", *copies]))
    command = rootless.command("build", "--progress=plain", str(failing.context))
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as build:
        for _ in range(stages):
            while "up" not in build.stderr.readline().replace("echo up", ""):
                assert build.poll() is None
        processes.interrupt(build, number, whole_group=whole_group)
    assert os.listdir(rootless.root / "tmp") == []
    processes.wait_until_gone(sleep)


@pytest.mark.parametrize("how", ["tty", "plain"])
def test_a_build_whose_terminal_is_closed_cleans_up(rootless, failing, how):
    sleep = f"sleep {processes.some_seconds()}"
    (failing.context / "Dockerfile").write_text(f"FROM busybox\nRUN echo u''p; {sleep}\n")
    pid, terminal = pty.fork()
    if pid == 0:
        argv = rootless.command("build", f"--progress={how}", failing.context)
        os.execvpe(argv[0], [*map(str, argv)], rootless.environment)
    seen = b""
    while b"up" not in seen:
        seen += os.read(terminal, 1 << 16)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGHUP
    assert os.listdir(rootless.root / "tmp") == []
    processes.wait_until_gone(sleep)


def test_what_is_to_be_ignored_stays_so(rootless, failing):
    """As by nohup."""
    (failing.context / "Dockerfile").write_text("FROM busybox\nRUN echo up; sleep 1\n")
    command = ["nohup", *rootless.command("build", "--progress=plain", str(failing.context))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as build:
        while "up" not in build.stderr.readline().replace("echo up", ""):
            assert build.poll() is None
        build.send_signal(signal.SIGHUP)
        said = build.stderr.read()
    assert build.returncode == 0, said


def test_with_many_ids_a_wrong_argument_is_nothing_but_that(failing):
    said = failing("FROM busybox\nRUN chown 4294967294 /etc/passwd\n")
    assert "Invalid argument" in said
    assert "hint: open a shell where it failed" in said


def test_an_owner_outside_of_the_range_is_named(failing):
    said = failing("FROM busybox\nCOPY --chown=4000000000 f /\n")
    assert "nothing can belong to 4000000000:4000000000 here: the id is not mapped" in said
    assert "rootless doctor" in said


@pytest.mark.parametrize("epoch", ["x", "-1", "1.5", "253402300800", "9" * 30])
def test_an_epoch_that_no_clock_shows(rootless, failing, epoch):
    rootless.environment["SOURCE_DATE_EPOCH"] = epoch
    said = failing("FROM busybox\nRUN true\n")
    assert f"SOURCE_DATE_EPOCH is {epoch!r}, not a number of seconds since 1970" in said


def test_the_last_epoch_of_all(rootless, failing):
    rootless.environment["SOURCE_DATE_EPOCH"] = "253402300799"
    (failing.context / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    rootless.ok("build", "-t", "late", failing.context)
    assert rootless.ok("inspect", "-f", "{{.Created}}", "late") == "9999-12-31T23:59:59Z\n"


def test_a_trigger_that_fails_is_quoted_at_our_from(failing, rootless):
    base = "FROM busybox\nONBUILD COPY f /\nONBUILD RUN echo shown; exit 3\n"
    rootless.ok("build", "-t", "triggers", "-", stdin=base)
    said = failing("# ours\nFROM triggers\nRUN true\n")
    assert " > [3/4] ONBUILD RUN echo shown; exit 3:" in said
    assert "ONBUILD RUN echo shown; exit 3 (of the base): process" in said
    assert "   2 | >>> FROM triggers\n   3 |     RUN true\n" in said
    (failing.context / "f").unlink()
    said = failing("FROM triggers\n")
    assert 'ONBUILD COPY f / (of the base): "f" not found' in said


def test_a_chain_of_copies_shows_the_line_that_fails(failing):
    said = failing(
        "FROM busybox AS one\nRUN touch /here\nFROM scratch AS two\nCOPY --from=one /here /x\n"
        "FROM scratch\nCOPY --from=two /xx /\n"
    )
    assert '"/xx" not found' in said
    assert "   6 | >>> COPY --from=two /xx /" in said
    assert "did you mean x?" in said
    said = failing(
        "FROM busybox AS one\nFROM scratch AS two\nCOPY --from=one /gone /x\n"
        "FROM scratch\nCOPY --from=two /x /\n"
    )
    assert "   3 | >>> COPY --from=one /gone /x" in said


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("FROM scratch\nRUN --network=hots y\n", "did you mean host?"),
        ("FROM scratch\nRUN --security=insecur y\n", "did you mean insecure?"),
        ("FROM scratch\nRUN --mount=typ=cache,target=/x y\n", "did you mean type?"),
        ("FROM scratch\nRUN --mount=type=cach,target=/x y\n", "did you mean cache?"),
        ("ARG VERSION=1\nFROM scratch:$VERSOIN\n", "did you mean $VERSION?"),
        ("FROM scratch\nHEALTHCHECK CDM x\n", "did you mean CMD?"),
        ("FROM scratch\nSTOPSIGNAL SIGTREM\n", "did you mean SIGTERM?"),
        ("FROM --platfrom=x scratch\n", "did you mean --platform?"),
    ],
)
def test_a_slip_is_told(failing, text, hint):
    assert f"hint: {hint}" in failing(text)
