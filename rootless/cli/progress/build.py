"""The displays of a build, on standard error: nothing, numbered lines, or what runs now."""

from __future__ import annotations

import sys
from time import monotonic

from rootless.build import request
from rootless.cli import words
from rootless.cli.progress.pace import Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from rich import live
    from rich.text import Text

_KEPT_LINES = 400  # of a step's output, to be shown when it fails
_SHOWN_LINES = 6  # of a running step's output


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Output:
    """What a running step says, as lines; keeps the last ones."""

    def __init__(self) -> None:
        self.started = monotonic()
        self.lines: list[str] = []
        self._rest = b""

    def add(self, content: bytes) -> list[str]:
        """The lines that `content` completes."""
        *whole, self._rest = (self._rest + content).split(b"\n")
        new = [_visible(line) for line in whole]
        self.lines = [*self.lines, *new][-_KEPT_LINES:]
        return new

    def end(self) -> list[str]:
        """The last line, if it did not end."""
        return self.add(b"\n") if self._rest else []


def _visible(line: bytes) -> str:
    """A line of output as a terminal would leave it: redrawn parts and control codes gone."""
    import re

    text = line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
    return words.escape(re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text).expandtabs())


def _title(step: request.Step) -> str:
    stage = f"{step.stage} " if step.stage else ""
    return f"[{words.escape(stage)}{step.number}/{step.total}] {words.escape(step.text)}"


class Quiet:
    """Shows nothing, but the output of what failed."""

    def __init__(self) -> None:
        self._running: dict[request.Step, _Output] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.rest()
        if isinstance(error, Exception):
            for output in self._running.values():
                output.end()
                for line in output.lines:
                    _say(line)

    def __call__(self, event: request.Event) -> None:
        if isinstance(event, request.Started):
            self._running[event.step] = _Output()
        elif isinstance(event, request.Output):
            self._running[event.step].add(event.content)
        elif isinstance(event, request.Done):
            self._running.pop(event.step, None)

    def rest(self) -> None:
        pass


class Plain(Quiet):
    """Every line of output behind its step's number, as BuildKit's plain progress."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for step, output in self._running.items():
            self._print(step, output, output.end())

    def __call__(self, event: request.Event) -> None:
        if isinstance(event, request.Started):
            self._running[event.step] = _Output()
            _say(f"#{event.step.number} {_title(event.step)}")
        elif isinstance(event, request.Output):
            output = self._running[event.step]
            self._print(event.step, output, output.add(event.content))
        elif isinstance(event, request.Cached):
            _say(f"#{event.step.number} {_title(event.step)}\n#{event.step.number} CACHED")
        elif isinstance(event, request.Done):
            output = self._running.pop(event.step)
            self._print(event.step, output, output.end())
            _say(f"#{event.step.number} DONE {event.seconds:.1f}s")
        else:
            _announce(event)

    def _print(self, step: request.Step, output: _Output, lines: list[str]) -> None:
        for line in lines:
            _say(f"#{step.number} {monotonic() - output.started:.3f} {line}")


class Live(Quiet):
    """Finished steps as lines, below them what runs now with the end of its output."""

    def __init__(self) -> None:
        super().__init__()
        self._live: live.Live | None = None
        self._pace = Pace()

    def __call__(self, event: request.Event) -> None:
        super().__call__(event)
        if isinstance(event, request.Started | request.Output):
            self._draw()
        elif isinstance(event, request.Cached):
            self._settle(f"✓ {_title(event.step)}  cached")
        elif isinstance(event, request.Done):
            self._settle(f"✓ {_title(event.step)}  {event.seconds:.1f}s")
        else:
            self.rest()
            _announce(event)

    def rest(self) -> None:
        """Take what is drawn away."""
        if self._live:
            self._live.stop()
            self._live = None

    def _settle(self, line: str) -> None:
        self.rest()
        _say(line)
        if self._running:
            self._draw()

    def _draw(self) -> None:
        if self._pace.allows():
            self._live = self._live or self._start()
            self._live.update(self._picture(), refresh=True)

    def _start(self) -> live.Live:
        from rich.console import Console
        from rich.live import Live as Drawn

        drawn = Drawn(
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        drawn.start()
        return drawn

    def _picture(self) -> Text:
        from rich.text import Text

        picture = Text(no_wrap=True, overflow="ellipsis")
        for step, output in self._running.items():
            picture.append(f"» {_title(step)}\n", style="bold")
            for line in output.lines[-_SHOWN_LINES:]:
                picture.append(f"    {line}\n", style="dim")
        return picture


def _announce(event: request.Event) -> None:
    if isinstance(event, request.Warned):
        _say(f"warning: {words.escape(event.message)}")
