"""What is said while a build or a pull goes on, when nobody looks at a terminal."""

import base64
import io
import json
import signal
import sys
from datetime import datetime

import pytest

from rootless.build import request
from rootless.cli import progress, settings
from rootless.cli.progress import build, pull, push, rawjson
from rootless.cli.progress.block import Block, cut, width
from rootless.cli.progress.output import Given, Output
from rootless.errors import RootlessError
from rootless.image.transport import Event

STEP = request.Step(2, 3, "builder", 2, 3, "RUN make")
GIVEN = settings.read({"HOME": "/h"})


def test_plain_build(capsys):
    with progress.building(GIVEN, "plain", quiet=False) as report:
        report(request.Cached(request.Step(1, 3, "", 1, 1, "COPY . .")))
        report(request.Started(STEP))
        report(request.Output(STEP, b"one\nt"))
        report(request.Output(STEP, b"wo\r\n10%\r50%\r100%\nlast"))
        report(request.Done(STEP, 1.25))
        report(request.Warned("odd\x1b[2J"))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[:4] == ["#1 [1/1] COPY . .", "#1 CACHED", "", "#2 [builder 2/3] RUN make"]
    assert [line.split(" ", 2)[2] for line in lines[4:8]] == ["one", "two", "100%", "last"]
    assert lines[8:] == ["#2 DONE 1.2s", "warning: odd\\x1b[2J"]


def test_plain_says_what_became_of_the_image_last(capsys):
    with progress.building(GIVEN, "plain", quiet=False) as report:
        report(request.Cached(request.Step(1, 1, "", 1, 1, "COPY . .")))
        report.exported(Given(["writing image sha256:12", "naming to \x1b[2J"]))
    assert capsys.readouterr().err.splitlines()[2:-1] == [
        "",
        "#2 exporting to image",
        "#2 writing image sha256:12 done",
        "#2 naming to \\x1b[2J done",
    ]


def _raw(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_a_build_for_programs(capsys):
    first = request.Step(1, 3, "builder", 1, 3, "FROM x")
    with progress.building(GIVEN, "rawjson", quiet=False) as report:
        report(request.Cached(first))
        report(request.Started(STEP))
        report(request.Output(STEP, b"\x1b[31m\xff\n"))
        report(request.Done(STEP, 1.25))
        report(request.Warned("odd"))
        report.exported(Given(["writing image sha256:12"]))
    cached, begun, said, done, definition, warned, exporting, written, exported = _raw(capsys)
    (one,) = cached["vertexes"]
    assert (one["name"], one["cached"]) == ("[builder 1/3] FROM x", True)
    assert one["digest"].startswith("sha256:")
    (two,) = begun["vertexes"]
    assert two["inputs"] == [one["digest"]]
    assert "completed" not in two
    (log,) = said["logs"]
    assert (log["vertex"], base64.b64decode(log["data"])) == (two["digest"], b"\x1b[31m\xff\n")
    (ended,) = done["vertexes"]
    assert ended == {**two, "completed": ended["completed"]}
    assert datetime.fromisoformat(ended["completed"]) >= datetime.fromisoformat(two["started"])
    (warning,) = warned["warnings"]
    assert warning["vertex"] == definition["vertexes"][0]["digest"]
    assert base64.b64decode(warning["short"]) == b"odd"
    assert written["statuses"][0]["id"] == "writing image sha256:12"
    assert written["statuses"][0]["vertex"] == exporting["vertexes"][0]["digest"]
    assert exported["vertexes"][0]["name"] == "exporting to image"


def test_what_failed_and_what_was_cancelled_for_programs(capsys):
    other = request.Step(3, 3, "", 1, 1, "RUN true")
    with (
        pytest.raises(RootlessError),
        progress.building(GIVEN, "rawjson", quiet=False) as report,
    ):
        report(request.Started(STEP))
        report(request.Started(other))
        report(request.Failed(STEP, "no"))
        raise RootlessError("no")
    *_, failed, cancelled = [line["vertexes"][0] for line in _raw(capsys)]
    assert (failed["name"], failed["error"]) == ("[builder 2/3] RUN make", "no")
    assert (cancelled["name"], cancelled["error"]) == ("[1/1] RUN true", "context canceled")


def test_a_pull_for_programs(capsys):
    with (
        progress.building(GIVEN, "rawjson", quiet=False) as report,
        report.pulling(GIVEN, "docker.io/library/x:1") as pulling,
    ):
        pulling(Event("aa", "downloading", 3, 10))
        pulling(Event("aa", "done", 10, 10))
    began, some, all_, ended = _raw(capsys)
    assert began["vertexes"][0]["name"] == "[internal] pull docker.io/library/x:1"
    assert [(one["current"], one["total"]) for one in some["statuses"] + all_["statuses"]] == [
        (3, 10),
        (10, 10),
    ]
    assert "completed" not in some["statuses"][0]
    assert all_["statuses"][0]["completed"]
    assert ended["vertexes"][0]["completed"]


@pytest.mark.parametrize(
    ("how", "variable", "quiet", "kind"),
    [
        ("auto", "", False, build.Plain),
        ("auto", "rawjson", False, rawjson.RawJson),
        ("auto", "quiet", False, build.Quiet),
        ("plain", "quiet", False, build.Plain),
        ("none", "", False, build.Silent),
        ("auto", "rawjson", True, build.Quiet),
        ("auto", "nonsense", True, build.Quiet),
        ("quiet", "", True, build.Quiet),
    ],
)
def test_which_display_is_meant(how, variable, quiet, kind):
    given = settings.read({"HOME": "/h", "BUILDKIT_PROGRESS": variable})
    assert type(progress.building(given, how, quiet=quiet)) is kind


@pytest.mark.parametrize(
    ("how", "variable", "quiet", "said"),
    [
        ("plain", "", True, "progress=plain and quiet cannot be used together"),
        ("none", "", True, "progress=none and quiet cannot be used together"),
        ("auto", "rawjsn", False, "BUILDKIT_PROGRESS: invalid progress mode 'rawjsn'"),
        ("auto", "tty", False, "failed to get console"),
    ],
)
def test_displays_that_are_refused(how, variable, quiet, said):
    given = settings.read({"HOME": "/h", "BUILDKIT_PROGRESS": variable})
    with pytest.raises(RootlessError, match=said):
        progress.building(given, how, quiet=quiet)


def test_none_says_nothing_even_of_what_fails(capsys):
    with (
        pytest.raises(RootlessError),
        progress.building(GIVEN, "none", quiet=False) as report,
    ):
        report(request.Started(STEP))
        report(request.Output(STEP, b"broken\n"))
        report(request.Failed(STEP, "no"))
        raise RootlessError("no")
    report.exported(Given(["writing image"]))
    assert capsys.readouterr() == ("", "")


def test_output_cannot_command_the_terminal(capsys):
    with progress.building(GIVEN, "plain", quiet=False) as report:
        report(request.Started(STEP))
        report(request.Output(STEP, b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \xff\n"))
    line = capsys.readouterr().err.splitlines()[1]
    assert line.endswith("red \\x1b]0;title\\x07 \ufffd")


def test_quiet_build_shows_the_output_of_what_failed(capsys):
    other = request.Step(1, 3, "", 1, 1, "RUN true")
    with (
        pytest.raises(RootlessError),
        progress.building(GIVEN, "auto", quiet=True) as report,
    ):
        report(request.Started(other))
        report(request.Output(other, b"fine\n"))
        report(request.Done(other, 0.1))
        report(request.Started(STEP))
        report(request.Output(STEP, b"broken\nhere"))
        report(request.Failed(STEP, "no"))
        raise RootlessError("no")
    assert capsys.readouterr().err == "broken\nhere\n"


def test_plain_pull_says_each_state_once(capsys):
    with progress.pulling(GIVEN, sys.stdout, quiet=False) as report:
        report(Event("aa", "waiting", 0, 10))
        report(Event("aa", "downloading", 3, 10))
        report(Event("bb", "exists", 0, 5))
        report(Event("aa", "downloading", 9, 10))
        report(Event("aa", "done", 10, 10))
    assert capsys.readouterr().out.splitlines() == [
        "aa: Pulling fs layer",
        "aa: Downloading",
        "bb: Already exists",
        "aa: Pull complete",
    ]


def test_quiet_pull_says_nothing(capsys):
    with progress.pulling(GIVEN, sys.stdout, quiet=True) as report:
        report(Event("aa", "waiting", 0, 10))
    assert capsys.readouterr() == ("", "")


def test_plain_push_has_dockers_words(capsys):
    with progress.pushing(GIVEN, sys.stdout, quiet=False) as report:
        for state in ("waiting", "packing", "packing", "uploading", "done"):
            report(Event("aa", state, 0, 10))
        report(Event("bb", "waiting", 0, 10))
        report(Event("bb", "mounted", 10, 10, "library/busybox"))
        report(Event("cc", "exists", 0, 10))
    assert capsys.readouterr().out.splitlines() == [
        "aa: Preparing",
        "aa: Compressing",
        "aa: Pushing",
        "aa: Pushed",
        "bb: Preparing",
        "bb: Mounted from library/busybox",
        "cc: Layer already exists",
    ]


def test_a_live_push_counts_what_is_sent_only():
    out = io.StringIO()
    with push.Live(out) as report:
        report(Event("aa", "waiting", 0, 90_000))
        report(Event("bb", "exists", 0, 50_000))
        report(Event("aa", "packing", 60_000, 90_000))
        report(Event("aa", "uploading", 4_000, 10_000))
        report(Event("aa", "done", 10_000, 10_000))
    *_, layer, existing, total = [line for line in out.getvalue().splitlines() if line.strip()]
    assert "Pushed" in layer
    assert "Layer already exists" in existing
    assert "10kB/10kB" in total


def test_the_sum_of_a_pull_has_rate_and_total():
    total = pull.Sum()
    for event in (Event("aa", "waiting", 0, 10_000), Event("bb", "waiting", 0, 30_000)):
        total.add(event, 1.0)
    total.add(Event("cc", "exists", 0, 99), 1.0)
    assert total.said(1.0) == "0B/40kB"
    total.add(Event("aa", "downloading", 5_000, 10_000), 1.0)  # resumed: these came earlier
    total.add(Event("aa", "downloading", 10_000, 10_000), 2.0)
    total.add(Event("bb", "downloading", 1_000, 30_000), 2.0)
    total.add(Event("bb", "downloading", 16_000, 30_000), 3.0)
    assert total.said(3.0) == "26kB/40kB  10kB/s"


class Terminal(io.StringIO):
    """As far as rich asks."""

    def isatty(self):
        return True


def test_a_live_pull_shows_each_new_state_at_once(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with pull.Live(out) as report:
        report(Event("aa", "waiting", 0, 10_000))
        for size in range(100):  # more often than is drawn
            report(Event("aa", "downloading", size * 100, 10_000))
        report(Event("aa", "unpacking", 10_000, 10_000))
        assert "Extracting" in out.getvalue()


def test_a_live_pull_ends_with_all_bars(capsys):
    out = io.StringIO()
    with pull.Live(out) as report:
        report(Event("aa", "waiting", 0, 10_000))
        report(Event("aa", "downloading", 4_000, 10_000))
        report(Event("aa", "unpacking", 10_000, 10_000))
        report(Event("aa", "done", 10_000, 10_000))
    last = [line for line in out.getvalue().splitlines() if line.strip()][-2:]
    assert "Pull complete" in last[0]
    assert "10kB/10kB" in last[1]


def test_the_clock_does_not_draw_into_a_drawing(monkeypatch):
    """On a terminal that takes so long that the clock ticks while it is written to."""
    written = []

    def write(_, pieces):
        written.append("".join(pieces))
        assert len(written) < 100, "drawings begin inside of drawings"
        if signal.getsignal(signal.SIGALRM) is not before:
            signal.raise_signal(signal.SIGALRM)

    before = signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr(Block, "_write", write)
    with build.Live(colour=False) as view:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for event in (request.Started(STEP), request.Output(STEP, b"said\n")):
            view(event)
        already = len(written)
        for _ in range(5):
            signal.raise_signal(signal.SIGALRM)
        assert len(written) == already + 5
        view.rest()
        resting = len(written)
        signal.raise_signal(signal.SIGALRM)
        assert len(written) == resting


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("漢字", 4, "漢字"),
        ("漢字", 3, "漢…"),
        ("漢字x", 4, "漢…"),
        ("e\u0301e", 2, "e\u0301e"),
        ("abc", 0, ""),
    ],
)
def test_cut(text, columns, shown):
    assert cut(text, columns) == shown
    assert width(shown) <= columns


def test_output_keeps_the_newest_lines_and_no_endless_one():
    output = Output()
    output.add(b"".join(b"%d\n" % number for number in range(1000)) + b"10%\r20%")
    assert output.last(3) == ["998", "999", "20%"]
    assert len(output.all()) == 1001
    for _ in range(4):
        output.add(b"x" * 40_000)
    assert max(map(len, output.all())) <= 1 << 17
    assert output.last(0) == []


def test_what_is_repeated_of_an_output_is_bounded_and_says_so():
    output = Output()
    output.add(b"".join(b"%d\n" % number for number in range(100_000)))
    said, *lines = output.repeated()
    assert said == "[98000 lines before these are not repeated]"
    assert [line.split()[1] for line in lines] == [*map(str, range(98_000, 100_000))]
    for _ in range(300):
        output.add(b"y" * 60_000 + b"\n")
    said, *lines = output.repeated()
    assert 1 <= len(lines) * 60_000 <= 1 << 20
    assert said == f"[{100_300 - len(lines)} lines before these are not repeated]"
    few = Output()
    few.add(b"a\nb\n")
    assert [line.split()[1] for line in few.repeated()] == ["a", "b"]
    assert few.repeated(1)[0] == "[1 lines before these are not repeated]"
