"""Strands that do not wait for each other, each carried out by a forked process of its own.

A child tells its events, and at the end its layers or its error; the parent passes the events
on. When one fails, or the build is interrupted, the others are interrupted too;
each cleans up after itself, and dies with the parent.
"""

from __future__ import annotations

from _signal import SIG_IGN, SIGINT, SIGTERM, signal

from rootless import interrupts, process
from rootless.build.request import (
    Cached,
    Done,
    Exported,
    Failed,
    Output,
    Started,
    Step,
    Warned,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.build.request import Event, Report

    Layers = list[tuple[str, str]]
    Body = Callable[[Report], Layers]


class Crew:
    """The children at work, each with the number of its strand."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._working: dict[int, process.Child] = {}

    @property
    def size(self) -> int:
        """How many are at work."""
        return len(self._working)

    def start(self, strand: int, body: Body) -> None:
        """Fork a child for strand number `strand`; `body` returns (diff_id, created) pairs."""

        def work(send: process.Send) -> Layers:
            interrupts.catch()
            return body(lambda event: send(_encode(event)))

        self._working[strand] = process.fork(work, "the process that carried steps out")

    def next_result(self) -> tuple[int, Layers]:
        """Pass events on until a strand is done: its number and its new layers."""
        from select import POLLIN, poll

        poller = poll()
        strands = {child.fileno(): strand for strand, child in self._working.items()}
        for fd in strands:
            poller.register(fd, POLLIN)
        while True:
            for fd, _ in poller.poll():
                message = self._working[strands[fd]].receive()
                if isinstance(message, process.Result):
                    self._working.pop(strands[fd]).close()
                    return strands[fd], message.value
                self._report(_decode(*message.value))

    def close(self) -> None:
        """Interrupt who still works, and wait until they have cleaned up."""
        for child in self._working.values():
            child.send_signal(SIGTERM)  # SIGINT is ignored in the background of a script
        while self._working:
            self._working.popitem()[1].close()


def ignore_interrupts() -> None:
    """While a child cleans up after one interrupt, another must not stop it."""
    signal(SIGINT, SIG_IGN)


def _encode(event: Event) -> tuple[str, object]:
    match event:
        case Started():
            return "started", (_named(event.step), event.reason)
        case Cached():
            return "cached", (_named(event.step), None)
        case Output():
            return "output", (_named(event.step), event.content.decode("latin-1"))
        case Done():
            return "done", (_named(event.step), event.seconds)
        case Failed():
            return "failed", (_named(event.step), event.message)
        case Warned():
            return "warned", event.message
        case Exported():
            raise AssertionError("that is said of a whole build")


def _named(step: Step) -> tuple[object, ...]:
    return step.number, step.total, step.stage, step.place, step.places, step.text


def _decode(kind: str, value: Any) -> Event:
    if kind == "warned":
        return Warned(value)
    named, content = value
    step = Step(*named)
    if kind == "output":
        return Output(step, content.encode("latin-1"))
    if kind == "done":
        return Done(step, content)
    if kind == "failed":
        return Failed(step, content)
    return Started(step, content) if kind == "started" else Cached(step)
