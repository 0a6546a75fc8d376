"""A build on a real terminal: what people see while it works, and what is left at the end."""

from __future__ import annotations

import base64
import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from tests.support.screen import Screen

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


class Terminal:
    """A build on a terminal; `drawn` is all that came."""

    def __init__(self, rootless, dockerfile, *flags, rows=24, columns=80, **environment):
        self.master, slave = pty.openpty()
        self.screen = Screen(rows, columns)
        self.resize(rows, columns)
        variables = {**rootless.environment, "TERM": "xterm-256color", **environment}
        argv = rootless.command("build", *flags, "-")
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=slave, stderr=slave, env=variables
        )
        os.close(slave)
        self.process.stdin.write(dockerfile.encode())
        self.process.stdin.close()
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.drawn = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        self.screen.rows, self.screen.columns = rows, columns

    def read(self):
        """Take what comes next; False at the end."""
        assert select.select([self.master], [], [], 120)[0], self.screen.lines
        try:
            piece = os.read(self.master, 1 << 16)
        except OSError:  # EIO: nobody has the other side open any more
            return False
        while re.search(rb"\x1b\[?[0-?]*$", piece):  # in the middle of a command
            piece += os.read(self.master, 1)
        text = self.decoder.decode(piece)
        self.drawn += text
        self.screen.feed(text)
        return True

    def expect(self, pattern):
        while not re.search(pattern, "\n".join(self.screen.lines)):
            assert self.read(), self.screen.lines
        return self

    def end(self):
        while self.read():
            pass
        os.close(self.master)
        self.code = self.process.wait(120)
        return [line for line in self.screen.lines if line]


@pytest.fixture
def build(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    return lambda *words, **how: Terminal(rootless, *words, **how)


def seconds_gone(lines):
    return [re.sub(r"\d+\.\d+s", "Ns", line) for line in lines]


def test_what_is_left_of_a_good_build(build):
    text = "FROM busybox AS base\nRUN seq 500; sleep 0.3\nFROM base\nWORKDIR /x\n"
    assert seconds_gone(build(text).end())[:4] == [
        "✓ [base 1/2] FROM docker.io/library/busybox:latest  Ns",
        "✓ [base 2/2] RUN seq 500; sleep 0.3  Ns",
        "✓ [stage-1 1/1] WORKDIR /x  Ns",
        "[+] Building Ns (3/3) FINISHED",
    ]
    again = seconds_gone(build(text).end())
    assert again[1] == "✓ [base 2/2] RUN seq 500; sleep 0.3  cached"
    assert again[3] == "[+] Building Ns (3/3, 2 cached) FINISHED"


def test_the_clock_runs_while_nothing_is_printed(build):
    terminal = build("FROM busybox\nRUN sleep 600\n")
    terminal.expect(r"» \[2/2\] RUN sleep 600")
    while len(set(re.findall(r"Building (\d+\.\d)s \(1/2\)", terminal.drawn))) < 5:
        assert terminal.read()
    terminal.process.send_signal(signal.SIGINT)
    terminal.end()


def test_what_failed_and_what_was_cancelled(build):
    text = (
        "FROM busybox AS a\nRUN seq 30; sleep 3; exit 3\n"
        "FROM busybox AS b\nRUN echo bee; sleep 60\n"
        "FROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
    )
    terminal = build(text, "--jobs", "2")
    lines = seconds_gone(terminal.expect("bee").end())
    assert terminal.code == 1
    at = lines.index("✗ [a 2/2] RUN seq 30; sleep 3; exit 3  failed Ns")
    assert lines[at + 1 : at + 5] == [
        "- [b 2/2] RUN echo bee; sleep 60  cancelled Ns",
        "[+] Building Ns (1/5) FAILED",
        "------",
        " > [a 2/2] RUN seq 30; sleep 3; exit 3:",
    ]
    said = [re.sub(r"^\d+\.\d{3} ", "", line) for line in lines[at + 5 : at + 35]]
    assert said == [str(number) for number in range(1, 31)], "all of it, and when it came"
    assert lines[at + 35] == "------"
    assert lines[at + 36].startswith("error: Dockerfile:2: process ")
    assert not [line for line in lines if line.startswith("»")]


def test_an_interrupted_build(build):
    terminal = build("FROM busybox\nRUN echo here; sleep 60\n").expect("    here")
    terminal.process.send_signal(signal.SIGINT)
    lines = seconds_gone(terminal.end())
    assert terminal.code == 130
    assert lines[1:] == [
        "- [2/2] RUN echo here; sleep 60  cancelled Ns",
        "[+] Building Ns (1/2) CANCELLED",
        "interrupted",
    ]


@pytest.mark.parametrize("columns", [50, 20])
def test_lines_are_cut_also_wide_ones(build, columns):
    words = "漢字" * 40
    text = f"FROM busybox\nRUN echo {words}; seq 9; echo {words}; sleep 2\nWORKDIR /{'x' * 90}\n"
    terminal = build(text, columns=columns, rows=9)
    terminal.expect("    漢")
    lines = [line for line in terminal.end() if line[0] in "✓[»"]
    assert [line[0] for line in lines] == ["✓", "✓", "✓", "["]
    assert all("…" in line for line in lines[1:3])


def test_resized_while_it_runs(build):
    terminal = build("FROM busybox\nRUN echo " + "y" * 150 + "; sleep 3\n", columns=120)
    terminal.expect(" y{100}")
    terminal.resize(24, 50)
    before = len(terminal.drawn)
    deadline = time.monotonic() + 60
    while len(re.findall(r"Building", terminal.drawn[before:])) < 4:
        assert time.monotonic() < deadline
        assert terminal.read()
    late = terminal.drawn[before:].rpartition("Building")[0].rpartition("Building")[2]
    rows = re.sub(r"\x1b\[[0-?]*[A-Za-z]", "", late).split("\r\n")
    assert max(map(len, rows)) <= 50
    lines = seconds_gone(terminal.end())
    assert lines[-2].startswith("writing image") or lines[-3] == "[+] Building Ns (2/2) FINISHED"
    assert not [line for line in lines if line.startswith("»")]


def test_a_hundred_lines_of_output_need_few_rows(build):
    text = "FROM busybox\nRUN seq 100000; sleep 1\n"
    began = time.monotonic()
    terminal = build(text, rows=6, columns=120)  # the image's digest in one line, not the end alone
    lines = terminal.expect("    100000").end()
    ticks = 10 * (time.monotonic() - began)
    assert not [line for line in lines if line.strip().isdecimal()]
    assert terminal.drawn.count("Building") < 100 + ticks  # drawings, of a hundred thousand lines


def test_no_colour_changes_no_word(build):
    terminal = build("FROM busybox\nRUN false\n", NO_COLOR="1")
    assert any(line.startswith("✗ [2/2] RUN false  failed") for line in terminal.end())
    assert "\x1b[1;31m" not in terminal.drawn
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.drawn)


def test_plain_says_what_docker_says(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    text = (
        "FROM busybox AS a\nRUN seq 12; sleep 3; exit 3\n"
        "FROM busybox AS b\nRUN echo bee; sleep 60\n"
        "FROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
    )
    result = rootless("build", "--progress=plain", "--jobs", "2", "-", stdin=text)
    assert result.exit == 1
    lines = [re.sub(r"\d+\.\d+ ", "", line) for line in result.stderr.splitlines()]
    assert "#1 [a 1/2] FROM docker.io/library/busybox:latest" in lines
    assert "#2 [a 2/2] RUN seq 12; sleep 3; exit 3" in lines
    ran = 'process "/bin/sh -c seq 12; sleep 3; exit 3"'
    at = lines.index(f"#2 ERROR: {ran} did not complete successfully: exit code: 3")
    assert lines[at + 1] == "#3 CANCELED"
    assert lines[at + 2 : at + 4] == ["------", " > [a 2/2] RUN seq 12; sleep 3; exit 3:"]
    assert lines[at + 4] == "[2 lines before these are not repeated]"
    assert lines[at + 5 : at + 16] == [*map(str, range(3, 13)), "------"]


@pytest.mark.parametrize(
    ("flag", "term", "is_live"),
    [
        ("--progress=auto", "xterm", True),
        ("--progress=auto", "dumb", False),
        ("--progress=plain", "xterm", False),
        ("--progress=tty", "dumb", True),
        ("-q", "xterm", False),
    ],
)
def test_when_a_terminal_is_drawn_on(build, flag, term, is_live):
    shown = build("FROM busybox\nRUN echo said\n", flag, TERM=term)
    shown.end()
    assert shown.code == 0
    assert ("\x1b[" in shown.drawn, "FINISHED" in shown.drawn) == (is_live, is_live)
    assert ("#2 [2/2] RUN echo said" in shown.drawn) == (not is_live and flag != "-q")


def test_tty_wants_a_terminal(rootless, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    result = rootless("build", "--progress=tty", tmp_path)
    assert result.exit == 1
    assert "failed to get console: provided file is not a console" in result.stderr


def test_a_step_that_cannot_begin_fails_too(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "Dockerfile").write_text("FROM busybox\nCOPY nothing /\n")
    result = rootless("build", "--progress=plain", tmp_path / "c")
    assert "#2 [2/2] COPY nothing /\n#2 ERROR: " in result.stderr


def test_programs_read_a_build(rootless, busybox_image, tmp_path):
    """Every byte that a command wrote is in the logs; nothing else is on the line."""
    rootless.load(busybox_image, tmp_path)
    text = "FROM busybox\nRUN seq 20000; printf '\\033[31m\\377\\rend' >&2\nRUN exit 3\n"
    result = rootless("build", "--progress=rawjson", "-", stdin=text)
    assert (result.exit, result.stdout) == (1, "")
    lines, _, _ = result.stderr.partition("error: ")
    events = [json.loads(line) for line in lines.splitlines()]
    logs = [log for event in events for log in event.get("logs", ())]
    said = b"".join(base64.b64decode(log["data"]) for log in logs)
    assert said == b"".join(b"%d\n" % one for one in range(1, 20001)) + b"\033[31m\377\rend"
    last = {one["digest"]: one for event in events for one in event.get("vertexes", ())}
    base, ran, failed = last.values()
    assert ran["inputs"] == [base["digest"]]
    assert failed["inputs"] == [ran["digest"]]
    assert {log["vertex"] for log in logs} == {ran["digest"]}
    assert failed["error"].endswith("did not complete successfully: exit code: 3")
    assert all(one["completed"] >= one["started"] for one in last.values())
    again = rootless("build", "--progress=rawjson", "-", stdin=text).stderr
    assert '"cached":true' in again


def test_quiet_says_the_id_and_none_nothing(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    good, bad = "FROM busybox\nRUN echo said\n", "FROM busybox\nRUN echo said; false\n"
    image = rootless.ok("build", "-q", "-", stdin=good)
    assert rootless("build", "--progress=quiet", "-", stdin=good) == (0, image, "")
    assert rootless("build", "--progress=none", "-", stdin=good) == (0, "", "")
    failed = rootless("build", "--progress=none", "-", stdin=bad)
    assert failed.exit == 1
    assert failed.stderr.startswith("error: Dockerfile:2: process ")
    variables = {**rootless.environment, "BUILDKIT_PROGRESS": "quiet"}
    assert rootless.ok("build", "-", stdin=good, env=variables) == image
    together = rootless("build", "-q", "--progress=plain", "-", stdin=good)
    assert together.exit == 1
    assert "progress=plain and quiet cannot be used together" in together.stderr
    wrong = rootless("build", "--progress=rawjsn", "-", stdin=good)
    assert wrong.exit == 125


def test_a_base_that_is_pulled_is_part_of_what_programs_read(
    rootless, registry, busybox_image, tmp_path
):
    name = registry.push(busybox_image, "view/base")
    text = f"FROM {name}\nRUN true\n"
    for how in ("rawjson", "none"):
        flags = ("--tls-verify=false", f"--progress={how}")
        result = rootless("build", *flags, "-", stdin=text)
        assert (result.exit, result.stdout) == (0, "")
        if how == "none":
            assert result.stderr == ""
            continue
        events = [json.loads(line) for line in result.stderr.splitlines()]
        statuses = [one for event in events for one in event.get("statuses", ())]
        assert any(one["name"] == "done" and one["completed"] for one in statuses if "name" in one)
        rootless.ok("rmi", "-f", name)
        rootless.ok("system", "prune", "-af")


def test_a_build_says_the_same_into_a_pipe_as_to_a_file(rootless, busybox_image, tmp_path):
    """Whoever stops reading ends the build without a traceback."""
    rootless.load(busybox_image, tmp_path)
    text = "FROM busybox\nRUN seq 200000\n"
    for how in ("plain", "rawjson"):
        argv = rootless.command("build", "--no-cache", f"--progress={how}", "-")
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=rootless.environment
        ) as running:
            running.stdin.write(text.encode())
            running.stdin.close()
            assert running.stderr.readline()
            running.stderr.close()
            assert running.wait(120) == 141
