"""The jobs of a bake: order, what a failure does to the others, and how a log is passed on."""

from __future__ import annotations

import signal
import threading

import pytest

from rootless.errors import RootlessError
from rootless.fleet import Job
from rootless.fleet.carry import JobError, carry_out


class Paper:
    """A scheduler of threads: what each job says, and how it ends, is written here before."""

    title = "Paper"
    shares_files = True

    def __init__(self, **plays):
        self.plays = plays
        self.submitted: list[str] = []
        self.is_cancelled = threading.Event()
        self.refuses_to_cancel = ""

    def submit(self, job):
        self.submitted.append(job.name)
        return job.name

    def follow(self, identity, say):
        pieces, ending = self.plays.get(identity, ([], ""))
        for piece in pieces:
            say(piece)
        if ending == "forever":
            self.is_cancelled.wait(60)
            return "was cancelled"
        if isinstance(ending, Exception):
            raise ending
        return ending

    def cancel(self):
        self.is_cancelled.set()
        if self.refuses_to_cancel:
            raise RootlessError(self.refuses_to_cancel)


@pytest.fixture(autouse=True)
def signals():
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def carried(paper, needs, **options):
    said = []
    carry_out(
        paper,
        needs,
        lambda name: Job(name, ()),
        lambda name, line: said.append((name, line)),
        **options,
    )
    return said


def test_what_others_need_comes_first():
    paper = Paper()
    carried(paper, {"c": {"a", "b"}, "b": {"a"}, "a": set(), "d": set()})
    assert sorted(paper.submitted) == ["a", "b", "c", "d"]
    assert [one for one in paper.submitted if one != "d"] == ["a", "b", "c"]
    assert not paper.is_cancelled.is_set()


def test_all_that_can_be_is_handed_over_at_once_or_as_many_as_is_said():
    needs = {name: set() for name in "abc"}
    paper = Paper(a=([], "forever"), b=([], "forever"), c=([], "failed"))
    with pytest.raises(JobError):
        carried(paper, needs)
    assert paper.submitted == ["a", "b", "c"]
    paper = Paper(a=([], "failed"))
    with pytest.raises(JobError):
        carried(paper, needs, at_once=1)
    assert paper.submitted == ["a"]


def test_a_log_is_passed_on_by_lines():
    paper = Paper(a=([b"on", b"e\ntw", b"o\n\nthree"], ""))
    assert carried(paper, {"a": set()}) == [("a", b"one"), ("a", b"two"), ("a", b"three")]


def test_a_line_without_end_is_passed_on_in_pieces():
    paper = Paper(a=([b"x" * 70000, b"y"], ""))
    said = carried(paper, {"a": set()})
    assert b"".join(line for _, line in said) == b"x" * 70000 + b"y"
    assert len(said) == 2


def test_a_failure_has_the_last_complaint_and_ends_the_others():
    lines = [b"#2 0.1 error: not this one\nerror: Dockerfile:2: it is broken\n\nhint: mend it\n"]
    paper = Paper(a=(lines, "job 7 on n1 failed"), b=([], "forever"))
    with pytest.raises(JobError) as caught:
        carried(paper, {"a": set(), "b": set(), "c": {"a"}})
    assert caught.value.message == "target a: job 7 on n1 failed: Dockerfile:2: it is broken"
    assert paper.is_cancelled.is_set()
    assert "c" not in paper.submitted


def test_who_cannot_follow_says_so():
    paper = Paper(a=([], RootlessError("Slurm does not answer")))
    with pytest.raises(JobError, match="target a: Slurm does not answer"):
        carried(paper, {"a": set()})
    with pytest.raises(ZeroDivisionError):
        carried(Paper(a=([], ZeroDivisionError())), {"a": set()})


def test_jobs_that_cannot_be_cancelled_are_told_beside_the_failure():
    paper = Paper(a=([], "failed"))
    paper.refuses_to_cancel = "nobody answers"
    with pytest.raises(RootlessError, match=r"target a: failed; and jobs may go on, .*: nobody"):
        carried(paper, {"a": set()})
