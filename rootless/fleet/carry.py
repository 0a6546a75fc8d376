"""The jobs of a bake, from the first that is handed over to the last that ends.

A target that others are made from comes before them; all others are handed over at once, for it is
the scheduler that knows how many there is room for. The first that fails ends the others, and so
does an interrupt. A thread follows each job; what it hears is passed on by the command's own
thread.
"""

from __future__ import annotations

import queue
import threading

from rootless import interrupts
from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from rootless.fleet import Job, Scheduler

    Told = queue.SimpleQueue[tuple[str, "bytes | Ending"]]

_LONGEST_LINE = 1 << 16


class Ending(Record):
    """How a job ended: `why` not well, "" if it did. `error`: it could not be followed."""

    why: str = ""
    error: BaseException | None = None


class JobError(RootlessError):
    """A job that did not end well."""

    exit_code = 1

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"target {name}: {message}")


def carry_out(
    scheduler: Scheduler,
    needs: Mapping[str, AbstractSet[str]],
    prepare: Callable[[str], Job],
    say: Callable[[str, bytes], object],
    *,
    at_once: int = 0,
) -> None:
    """Have every target built after those that it needs, `at_once` at a time (0: all that can be).

    `prepare` makes a target's job when all that it needs is done; `say` gets each line of its log.
    JobError for the first that does not end well, when the others are cancelled.
    """
    interrupts.catch()  # the jobs are elsewhere, and would go on
    told: Told = queue.SimpleQueue()
    waiting, running, done = list(needs), dict[str, _Log](), set[str]()
    try:
        while waiting or running:
            room = (at_once or len(needs)) - len(running)
            for name in [one for one in waiting if needs[one] <= done][:room]:
                waiting.remove(name)
                running[name] = _Log(name, say)
                _begin(scheduler, prepare(name), told)
            name, what = told.get()
            if isinstance(what, Ending):
                running.pop(name).end(what)
                done.add(name)
            else:
                running[name].add(what)
    except BaseException as failure:
        _cancel(scheduler, failure)
        raise


def _cancel(scheduler: Scheduler, failure: BaseException) -> None:
    """End what runs; where that is not possible, too, both are told."""
    try:
        scheduler.cancel()
    except RootlessError as error:
        first = failure.message if isinstance(failure, RootlessError) else "interrupted"
        raise RootlessError(
            f"{first}; and jobs may go on, for they could not be cancelled: {error.message}",
            hint=error.hint,
        ) from failure


def _begin(scheduler: Scheduler, job: Job, told: Told) -> None:
    identity = scheduler.submit(job)

    def follow() -> None:
        try:
            ending = Ending(scheduler.follow(identity, lambda piece: told.put((job.name, piece))))
        except BaseException as error:  # noqa: BLE001 - raised by the command's own thread
            ending = Ending(error=error)
        told.put((job.name, ending))

    threading.Thread(target=follow, daemon=True).start()


class _Log:
    """What a job has written: passed on by lines, and the last complaint kept."""

    def __init__(self, name: str, say: Callable[[str, bytes], object]) -> None:
        self._name = name
        self._say = say
        self._rest = b""
        self._complaint = ""

    def add(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in filter(None, lines):
            if line.startswith(b"error: "):  # what a step writes has the step's number before it
                self._complaint = line[7:].decode(errors="replace")
            self._say(self._name, line)

    def end(self, ending: Ending) -> None:
        """Say what is left; JobError where the job did not end well."""
        self.add(b"\n")
        if isinstance(ending.error, RootlessError):
            raise JobError(self._name, ending.error.message)
        if ending.error:
            raise ending.error
        if ending.why:
            told = f": {self._complaint}" if self._complaint else ""
            raise JobError(self._name, ending.why + told)
