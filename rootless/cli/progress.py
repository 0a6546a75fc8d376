"""Progress of pulls and builds on standard error: lines anywhere, live displays on a terminal.

`pulling` and `building` choose the display; it is a context manager whose value takes the events
of `transfer` or `build.request`. rich draws the live ones, without its refreshing thread: what is
drawn here runs in processes that fork. It is imported when there is something to draw.
"""

from __future__ import annotations

import os
import sys
from time import monotonic

from rootless.build import request
from rootless.cli import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, Self

    from rich.live import Live
    from rich.progress import Progress, TaskID
    from rich.text import Text

    from rootless.cli.settings import Settings
    from rootless.transfer import Event

    class PullDisplay(Protocol):
        """Shows a pull."""

        def __enter__(self) -> Self: ...
        def __exit__(self, *_: object) -> None: ...
        def __call__(self, event: Event) -> None: ...

    class BuildDisplay(Protocol):
        """Shows a build. `rest` clears the terminal for somebody else until the next event."""

        def __enter__(self) -> Self: ...
        def __exit__(self, kind: object, error: object, trace: object) -> None: ...
        def __call__(self, event: request.Event) -> None: ...
        def rest(self) -> None: ...


_FRAME = 0.07  # seconds between two drawings, in the long run
_BURST = 20  # drawings at once: the last line before a silence should not be the one left out
_KEPT_LINES = 400  # of a step's output, to be shown when it fails
_SHOWN_LINES = 6  # of a running step's output
_PULL_WORDS = {
    "waiting": "Pulling fs layer",
    "downloading": "Downloading",
    "unpacking": "Extracting",
    "done": "Pull complete",
    "exists": "Already exists",
}


def pulling(given: Settings, *, quiet: bool) -> PullDisplay:
    """The display of a pull."""
    if quiet:
        return _QuietPull()
    return _LivePull() if _can_draw(given) else _PlainPull()


def building(given: Settings, how: str, *, quiet: bool) -> BuildDisplay:
    """The display of a build; `how` is --progress: auto, plain or tty."""
    if quiet:
        return _QuietBuild()
    is_live = how == "tty" or (how == "auto" and _can_draw(given))
    return _LiveBuild() if is_live else _PlainBuild()


def _can_draw(given: Settings) -> bool:
    return os.isatty(2) and given.environment.get("TERM") != "dumb"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Pace:
    """Keeps drawing from costing more than what is drawn."""

    def __init__(self) -> None:
        self._next = 0.0

    def allows(self) -> bool:
        """Whether to draw now; a no counts for nothing."""
        now = monotonic()
        self._next = max(self._next, now - _BURST * _FRAME)
        if self._next > now:
            return False
        self._next += _FRAME
        return True


class _QuietPull:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        pass


class _PlainPull(_QuietPull):
    """One line for each new state of a layer."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        if self._states.get(event.layer) != event.state:
            self._states[event.layer] = event.state
            _say(f"{event.layer}: {_PULL_WORDS[event.state]}")


class _LivePull(_QuietPull):
    """One line a layer, with a bar."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress: Progress = Progress(
            TextColumn("{task.fields[layer]}"),
            TextColumn("{task.description:<16}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            console=Console(stderr=True),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[str, TaskID] = {}
        self._pace = _Pace()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.refresh()
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        task = self._tasks.get(event.layer)
        if task is None:
            task = self._progress.add_task("", total=event.total, layer=event.layer, amount="")
            self._tasks[event.layer] = task
        is_over = event.state in ("done", "exists")
        self._progress.update(
            task,
            description=_PULL_WORDS[event.state],
            completed=event.total if is_over else event.current,
            amount="" if event.state == "waiting" else _amount(event, is_over=is_over),
        )
        if is_over or self._pace.allows():
            self._progress.refresh()


def _amount(event: Event, *, is_over: bool) -> str:
    total = words.size(event.total)
    return total if is_over else f"{words.size(event.current)}/{total}"


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


class _QuietBuild:
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


class _PlainBuild(_QuietBuild):
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


class _LiveBuild(_QuietBuild):
    """Finished steps as lines, below them what runs now with the end of its output."""

    def __init__(self) -> None:
        super().__init__()
        self._live: Live | None = None
        self._pace = _Pace()

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

    def _start(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        live = Live(
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live

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
