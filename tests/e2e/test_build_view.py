"""A build on a real terminal: what people see while it works, and what is left at the end."""

from __future__ import annotations

import codecs
import fcntl
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
        assert select.select([self.master], [], [], 30)[0], self.screen.lines
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
        self.code = self.process.wait(30)
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
    terminal = build("FROM busybox\nRUN sleep 2\n")
    terminal.expect(r"» \[2/2\] RUN sleep 2")
    terminal.end()
    assert len(set(re.findall(r"Building (\d+\.\d)s \(1/2\)", terminal.drawn))) >= 5


def test_what_failed_and_what_was_cancelled(build):
    text = (
        "FROM busybox AS a\nRUN seq 30; sleep 1; exit 3\n"
        "FROM busybox AS b\nRUN echo bee; sleep 60\n"
        "FROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
    )
    terminal = build(text, "--jobs", "2")
    lines = seconds_gone(terminal.expect("bee").end())
    assert terminal.code == 1
    at = lines.index("✗ [a 2/2] RUN seq 30; sleep 1; exit 3  failed Ns")
    assert lines[at + 1 : at + 11] == [f"    {number}" for number in range(21, 31)]
    assert lines[at + 11 : at + 13] == [
        "- [b 2/2] RUN echo bee; sleep 60  cancelled Ns",
        "[+] Building Ns (1/5) FAILED",
    ]
    assert lines[at + 13].startswith("error: Dockerfile:2: process ")
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
    text = f"FROM busybox\nRUN echo {words}; seq 9; echo {words}; sleep 0.5\nWORKDIR /{'x' * 90}\n"
    terminal = build(text, columns=columns, rows=9)
    terminal.expect("    漢")
    lines = [line for line in terminal.end() if line[0] in "✓[»"]
    assert [line[0] for line in lines] == ["✓", "✓", "✓", "["]
    assert all("…" in line for line in lines[1:3])


def test_resized_while_it_runs(build):
    terminal = build("FROM busybox\nRUN echo " + "y" * 150 + "; sleep 1.5\n", columns=120)
    terminal.expect(" y{100}")
    terminal.resize(24, 50)
    before = len(terminal.drawn)
    deadline = time.monotonic() + 20
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
    text = "FROM busybox\nRUN seq 100000; sleep 0.2\n"
    terminal = build(text, rows=6, columns=120)  # the image's digest in one line, not the end alone
    lines = terminal.expect("    100000").end()
    assert not [line for line in lines if line.strip().isdecimal()]
    assert terminal.drawn.count("Building") < 120  # drawings, of a hundred thousand lines


def test_no_colour_changes_no_word(build):
    terminal = build("FROM busybox\nRUN false\n", NO_COLOR="1")
    assert any(line.startswith("✗ [2/2] RUN false  failed") for line in terminal.end())
    assert "\x1b[1;31m" not in terminal.drawn
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.drawn)


def test_plain_says_what_docker_says(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    text = (
        "FROM busybox AS a\nRUN seq 12; sleep 1; exit 3\n"
        "FROM busybox AS b\nRUN echo bee; sleep 60\n"
        "FROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
    )
    result = rootless("build", "--progress=plain", "--jobs", "2", "-", stdin=text)
    assert result.exit == 1
    lines = [re.sub(r"\d+\.\d+ ", "", line) for line in result.stderr.splitlines()]
    assert "#1 [a 1/2] FROM docker.io/library/busybox:latest" in lines
    assert "#2 [a 2/2] RUN seq 12; sleep 1; exit 3" in lines
    ran = 'process "/bin/sh -c seq 12; sleep 1; exit 3"'
    at = lines.index(f"#2 ERROR: {ran} did not complete successfully: exit code: 3")
    assert lines[at + 1] == "#3 CANCELED"
    assert lines[at + 2 : at + 4] == ["------", " > [a 2/2] RUN seq 12; sleep 1; exit 3:"]
    assert lines[at + 4 : at + 15] == [*map(str, range(3, 13)), "------"]


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
