"""Stages that do not depend on each other, each built by a forked process of its own.

A child sends JSON lines on a pipe: its events, and at the end its layers or its error. The parent
passes the events on. When one stage fails, or the build is interrupted, the others are interrupted
too; each cleans up after itself, and dies with the parent.
"""

from __future__ import annotations

import os
from _signal import SIG_IGN, SIGINT, signal

from rootless import leanjson
from rootless.build.request import Cached, Done, Output, Started, Step
from rootless.errors import RootlessError
from rootless.store import worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from rootless.build.request import Event, Report

    Layers = list[tuple[str, str]]
    Body = Callable[[Report], Layers]


class Crew:
    """The children at work, by the pipe they report on."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._working: dict[int, tuple[int, int]] = {}
        self._unread: dict[int, bytes] = {}

    @property
    def is_busy(self) -> bool:
        """Whether somebody works."""
        return bool(self._working)

    def start(self, stage: int, body: Body) -> None:
        """Fork a child for stage number `stage`; `body` returns (diff_id, created) pairs."""
        read_fd, write_fd = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(read_fd)
            _work(body, write_fd, parent)
        os.close(write_fd)
        self._working[read_fd] = (stage, pid)
        self._unread[read_fd] = b""

    def next_result(self) -> tuple[int, Layers]:
        """Pass events on until a stage is done: its number and its new layers."""
        from select import POLLIN, poll

        poller = poll()
        for fd in self._working:
            poller.register(fd, POLLIN)
        while True:
            for fd, _ in poller.poll():
                content = os.read(fd, 1 << 16)
                if not content:
                    raise RootlessError("the process that built a stage died")
                *lines, self._unread[fd] = (self._unread[fd] + content).split(b"\n")
                for line in lines:
                    kind, value = leanjson.loads(line, "a stage's report")
                    if kind == "layers":
                        return self._dismiss(fd), value
                    if kind == "error":
                        raise RootlessError(value[0], hint=value[1])
                    self._report(_decode(kind, value))

    def close(self) -> None:
        """Interrupt who still works, and wait until they have cleaned up."""
        for _, pid in self._working.values():
            os.kill(pid, SIGINT)
        for fd in list(self._working):
            self._dismiss(fd)

    def _dismiss(self, fd: int) -> int:
        stage, pid = self._working.pop(fd)
        os.close(fd)
        os.waitpid(pid, 0)
        return stage


def _work(body: Body, write_fd: int, parent: int) -> NoReturn:
    """A child's whole life."""

    def send(kind: str, value: object) -> None:
        content = memoryview(leanjson.dumps([kind, value]) + b"\n")
        while content:
            content = content[os.write(write_fd, content) :]

    try:
        worker.die_with(parent)
        send("layers", body(lambda event: send(*_encode(event))))
    except RootlessError as error:
        send("error", (error.message, error.hint))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    except BaseException:  # noqa: BLE001 - a bug: the traceback is for whoever mends it
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)


def ignore_interrupts() -> None:
    """While a child cleans up after one interrupt, another must not stop it."""
    signal(SIGINT, SIG_IGN)


def _encode(event: Event) -> tuple[str, object]:
    assert isinstance(event, Started | Output | Cached | Done)
    step = event.step
    named = (step.number, step.total, step.stage, step.text)
    if isinstance(event, Output):
        return "output", (named, event.content.decode("latin-1"))
    if isinstance(event, Done):
        return "done", (named, event.seconds)
    return ("started" if isinstance(event, Started) else "cached"), (named, None)


def _decode(kind: str, value: Any) -> Event:
    named, content = value
    step = Step(*named)
    if kind == "output":
        return Output(step, content.encode("latin-1"))
    if kind == "done":
        return Done(step, content)
    return Started(step) if kind == "started" else Cached(step)
