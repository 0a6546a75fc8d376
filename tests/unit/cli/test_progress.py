"""What is said while a build or a pull goes on, when nobody looks at a terminal."""

import pytest

from rootless.build import request
from rootless.cli import progress, settings
from rootless.errors import RootlessError
from rootless.transfer import Event

STEP = request.Step(2, 3, "builder", "RUN make")
GIVEN = settings.read({"HOME": "/h"})


def test_plain_build(capsys):
    with progress.building(GIVEN, "plain", quiet=False) as report:
        report(request.Cached(request.Step(1, 3, "", "COPY . .")))
        report(request.Started(STEP))
        report(request.Output(STEP, b"one\nt"))
        report(request.Output(STEP, b"wo\r\n10%\r50%\r100%\nlast"))
        report(request.Done(STEP, 1.25))
        report(request.Warned("odd\x1b[2J"))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[:3] == ["#1 [1/3] COPY . .", "#1 CACHED", "#2 [builder 2/3] RUN make"]
    assert [line.split(" ", 2)[2] for line in lines[3:7]] == ["one", "two", "100%", "last"]
    assert lines[7:] == ["#2 DONE 1.2s", "warning: odd\\x1b[2J"]


def test_output_cannot_command_the_terminal(capsys):
    with progress.building(GIVEN, "plain", quiet=False) as report:
        report(request.Started(STEP))
        report(request.Output(STEP, b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \xff\n"))
    line = capsys.readouterr().err.splitlines()[1]
    assert line.endswith("red \\x1b]0;title\\x07 \ufffd")


def test_quiet_build_shows_the_output_of_what_failed(capsys):
    other = request.Step(1, 3, "", "RUN true")
    with (
        pytest.raises(RootlessError),
        progress.building(GIVEN, "auto", quiet=True) as report,
    ):
        report(request.Started(other))
        report(request.Output(other, b"fine\n"))
        report(request.Done(other, 0.1))
        report(request.Started(STEP))
        report(request.Output(STEP, b"broken\nhere"))
        raise RootlessError("no")
    assert capsys.readouterr().err == "broken\nhere\n"


def test_plain_pull_says_each_state_once(capsys):
    with progress.pulling(GIVEN, quiet=False) as report:
        report(Event("aa", "waiting", 0, 10))
        report(Event("aa", "downloading", 3, 10))
        report(Event("bb", "exists", 0, 5))
        report(Event("aa", "downloading", 9, 10))
        report(Event("aa", "done", 10, 10))
    assert capsys.readouterr().err.splitlines() == [
        "aa: Pulling fs layer",
        "aa: Downloading",
        "bb: Already exists",
        "aa: Pull complete",
    ]


def test_quiet_pull_says_nothing(capsys):
    with progress.pulling(GIVEN, quiet=True) as report:
        report(Event("aa", "waiting", 0, 10))
    assert capsys.readouterr() == ("", "")
