"""Builds handed to a scheduler that is there already: what a job is, and what a scheduler does.

A scheduler is one module here, and does three things: submit, follow, cancel. `carry` goes over the
jobs. Runs in the command's own process, outside of any namespace. A command that is killed leaves
its jobs to the scheduler, which ends them as any other.
"""

from __future__ import annotations

from typing import Protocol

from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Job(Record):
    """One target: `words` come after `rootless build`, and `stdin` is what that reads.

    `context` names an image that holds the files the target is made from; the words are then
    relative to its /context. "" where a job sees the files of this machine.
    """

    name: str
    words: tuple[str, ...]
    stdin: str = ""
    context: str = ""


class Scheduler(Protocol):
    """Who carries out jobs. All methods raise RootlessError where the scheduler refuses."""

    title: str
    """As people call it."""

    shares_files: bool
    """Whether a job finds this machine's files, by the same paths."""

    def describe(self, job: Job) -> str:
        """What would be handed over, as text that the scheduler's own commands take."""

    def check(self) -> None:
        """NotFoundError where the scheduler is not there; to be called before the first job."""

    def submit(self, job: Job) -> str:
        """Hand it over; what the scheduler calls it."""

    def follow(self, identity: str, say: Callable[[bytes], object]) -> str:
        """Pass on what the job writes until it has ended; "" if well, else why not, in words.

        Called in a thread of its own for each job.
        """

    def cancel(self) -> None:
        """End all jobs that were submitted here and have not ended, also one whose identity nobody
        got to know.
        """

    def close(self) -> None:
        """Remove what is left of jobs that have ended, whose logs were shown."""
