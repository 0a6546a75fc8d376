"""The displays of a build for people, on standard error: nothing, numbered lines, what runs now.

The live one has a clock that goes on while nothing is printed: a timer of the process whose signal
draws. Forked and cloned children do not inherit timers; system calls go on after the signal.
"""

from __future__ import annotations

import _signal
import sys
from time import monotonic

from rootless.build import request
from rootless.cli import words
from rootless.cli.progress.block import Block, cut, width
from rootless.cli.progress.output import Output, title, visible
from rootless.cli.progress.pace import Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from rootless.cli.progress import TransferDisplay
    from rootless.cli.progress.output import Given
    from rootless.cli.settings import Settings

_SHOWN_LINES = 6  # of a running step's output
_REPEATED_LINES = 10  # of a failed step's, where all were printed; as many as docker repeats
_TICK = 0.1  # seconds
_GREEN, _RED, _YELLOW, _BOLD, _DIM = "32", "1;31", "33", "1", "2"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _title(step: request.Step) -> str:
    return words.escape(title(step))


def _repeat(step: request.Step, lines: list[str]) -> list[str]:
    """What a failed step said, which others may have moved out of sight, as docker repeats it."""
    return ["------", f" > {_title(step)}:", *lines, "------"]


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        pass

    def __call__(self, event: request.Event) -> None:
        pass

    def rest(self) -> None:
        pass

    def pulling(self, given: Settings, name: str) -> TransferDisplay:  # noqa: ARG002
        from rootless.cli import progress

        return progress.pulling(given, sys.stderr, quiet=True)

    def exported(self, given: Given) -> None:
        pass


class Quiet(Silent):
    """Shows the image's id, on standard output, or the output of what failed."""

    def __init__(self) -> None:
        self._running: dict[request.Step, Output] = {}

    def __call__(self, event: request.Event) -> None:
        if isinstance(event, request.Started):
            self._running[event.step] = Output()
        elif isinstance(event, request.Output):
            self._running[event.step].add(event.content)
        elif isinstance(event, request.Done):
            self._running.pop(event.step)
        elif isinstance(event, request.Failed) and event.step in self._running:
            for line in self._running.pop(event.step).all():
                _say(line)

    def exported(self, given: Given) -> None:
        if given.name:
            print(given.name)


class Plain(Silent):
    """Every line of output behind its step's number, as BuildKit's plain progress."""

    def __init__(self) -> None:
        self._running: dict[request.Step, Output] = {}
        self._failed: tuple[request.Step, Output] | None = None
        self._total = 0
        self._has_spoken = False
        self._exporting = monotonic()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            return
        for step, output in self._running.items():
            self._print(step, output, output.end())
            _say(f"#{step.number} CANCELED")
        if self._failed:
            step, output = self._failed
            _say("\n".join(_repeat(step, output.repeated(_REPEATED_LINES))))

    def __call__(self, event: request.Event) -> None:
        match event:
            case request.Started():
                self._start(event.step)
                if event.reason:
                    _say(f"#{event.step.number} not cached: {words.escape(event.reason)}")
            case request.Output():
                output = self._running[event.step]
                self._print(event.step, output, output.add(event.content))
            case request.Cached():
                self._head(event.step.number, _title(event.step))
                _say(f"#{event.step.number} CACHED")
            case request.Done():
                self._end(event.step)
                _say(f"#{event.step.number} DONE {event.seconds:.1f}s")
            case request.Failed():
                self._failed = event.step, self._end(event.step)
                _say(f"#{event.step.number} ERROR: {_line(event.message)}")
            case request.Warned():
                _say(_warning(event))
            case request.Exported():
                pass
        if isinstance(event, request.Cached | request.Done):
            self._total = event.step.total
            self._exporting = monotonic()

    def pulling(self, given: Settings, name: str) -> TransferDisplay:  # noqa: ARG002
        from rootless.cli import progress

        return progress.pulling(given, sys.stderr, quiet=False)

    def exported(self, given: Given) -> None:
        """The last step of a build: it has the number after all others."""
        number = self._total + 1
        self._head(number, given.heading)
        for line in given.lines:
            _say(f"#{number} {words.escape(line)} done")
        _say(f"#{number} DONE {monotonic() - self._exporting:.1f}s")

    def _start(self, step: request.Step) -> None:
        self._running[step] = Output()
        self._head(step.number, _title(step))

    def _head(self, number: int, title: str) -> None:
        """The line that a step begins with, an empty one between it and others."""
        _say(f"\n#{number} {title}" if self._has_spoken else f"#{number} {title}")
        self._has_spoken = True

    def _end(self, step: request.Step) -> Output:
        if step not in self._running:
            self._start(step)
        output = self._running.pop(step)
        self._print(step, output, output.end())
        return output

    def _print(self, step: request.Step, output: Output, lines: list[bytes]) -> None:
        """All that came at once is written at once."""
        if lines:
            head = f"#{step.number} {output.seconds:.3f} "
            _say("\n".join([head + visible(line) for line in lines]))


class Live(Silent):
    """A line for each finished step; below them a block with the clock and what runs now."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._block = Block(sys.stderr)
        self._pace = Pace()
        self._running: dict[request.Step, Output] = {}
        self._started = monotonic()
        self._total = self._done = self._cached = 0
        self._failed: tuple[request.Step, Output] | None = None
        self._may_draw = False  # not while an event is being shown, nor while we rest
        self._old_handler: Any = _signal.SIG_DFL

    def __enter__(self) -> Self:
        self._old_handler = _signal.signal(_signal.SIGALRM, self._tick)
        _signal.siginterrupt(_signal.SIGALRM, False)  # noqa: FBT003
        _signal.setitimer(_signal.ITIMER_REAL, _TICK, _TICK)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        _signal.signal(_signal.SIGALRM, self._old_handler)
        self._may_draw = False
        if error is None:
            self._block.settle([self._header("FINISHED")] if self._total else ())
            return
        left = [
            self._painted(f"- {_title(step)}", f"cancelled {output.seconds:.1f}s", _YELLOW)
            for step, output in self._running.items()
        ]
        ending = "FAILED" if isinstance(error, Exception) else "CANCELLED"
        self._block.settle([*left, self._header(ending)] if self._total else ())
        if self._failed:  # nowhere else on a terminal is all that it said
            step, output = self._failed
            self._block.settle(_repeat(step, output.repeated()))

    def __call__(self, event: request.Event) -> None:
        self._may_draw = False
        self._take(event)
        if self._running and self._pace.allows():
            self._block.draw(self._picture())
        self._may_draw = not isinstance(event, request.Exported)

    def rest(self) -> None:
        """Take what is drawn away, until the next event."""
        self._may_draw = False
        self._block.clear()

    def pulling(self, given: Settings, name: str) -> TransferDisplay:  # noqa: ARG002
        from rootless.cli import progress

        return progress.pulling(given, sys.stderr, quiet=False)

    def exported(self, given: Given) -> None:
        for line in given.lines:
            _say(words.escape(line))

    def _tick(self, *_: object) -> None:
        """The signal's handler: it comes between any two steps of this program's one thread."""
        if self._may_draw:
            self._may_draw = False
            try:
                self._block.draw(self._picture())
            except OSError:  # the terminal is gone: the next event, or the end, will say so
                return
            self._may_draw = True

    def _take(self, event: request.Event) -> None:
        match event:
            case request.Started():
                self._total = event.step.total
                self._running[event.step] = Output()
                if event.reason:
                    reason = words.escape(event.reason)
                    self._block.settle([f"? {_title(event.step)}", f"    not cached: {reason}"])
            case request.Output():
                self._running[event.step].add(event.content)
            case request.Cached():
                self._total = event.step.total
                self._cached += 1
                self._settle(event.step, "✓", "cached", _GREEN)
            case request.Done():
                self._settle(event.step, "✓", f"{event.seconds:.1f}s", _GREEN)
            case request.Failed():
                self._fail(event.step)
            case request.Warned():
                self._block.settle([_warning(event)])
            case request.Exported():
                pass

    def _settle(self, step: request.Step, mark: str, end: str, code: str) -> None:
        self._running.pop(step, None)
        self._done += 1
        self._block.settle([self._painted(f"{mark} {_title(step)}", end, code)])

    def _fail(self, step: request.Step) -> None:
        """The line of the step that failed; what it said comes at the end."""
        self._total = step.total
        output = self._running.pop(step, None) or Output()
        output.end()
        self._failed = step, output
        self._block.settle(
            [self._painted(f"✗ {_title(step)}", f"failed {output.seconds:.1f}s", _RED)]
        )

    def _header(self, ending: str = "") -> str:
        cached = f", {self._cached} cached" if self._cached else ""
        clock = f"{monotonic() - self._started:.1f}s"
        text = f"[+] Building {clock} ({self._done}/{self._total}{cached}) {ending}"
        return self._paint(cut(text.rstrip(), self._block.size.columns), _BOLD)

    def _picture(self) -> list[str]:
        """As much as the screen holds: the header, then the steps; each keeps its newest lines."""
        columns, rows = self._block.size
        steps = list(self._running.items())[: max(0, rows - 2)]
        shown = min(_SHOWN_LINES, (rows - 2 - len(steps)) // len(steps)) if steps else 0
        lines = [self._header()]
        for step, output in steps:
            lines.append(_between(f"» {_title(step)}", f"{output.seconds:.1f}s", columns))
            for line in output.last(shown):
                lines.append(self._paint(cut(f"    {line}", columns), _DIM))
        return lines

    def _painted(self, left: str, right: str, code: str) -> str:
        """A line that is as long as the terminal allows, its mark in colour."""
        line = _between(left, right, self._block.size.columns)
        return self._paint(line[:1], code) + line[1:]

    def _paint(self, text: str, code: str) -> str:
        return words.paint(text, code, self._colour)


def _between(left: str, right: str, columns: int) -> str:
    """`left`, cut so that `right` has its place after it."""
    return f"{cut(left, columns - width(right) - 2)}  {right}"


def _line(message: str) -> str:
    return words.escape(message.partition("\n")[0])


def _warning(event: request.Warned) -> str:
    return f"warning: {words.escape(event.message)}"
