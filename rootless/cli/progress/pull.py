"""The displays of a pull: nothing, a line for each news, or bars with rate and total."""

from __future__ import annotations

from time import monotonic

from rootless.cli import words
from rootless.cli.progress.pace import Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self, TextIO

    from rich.progress import Progress, TaskID

    from rootless.image.transport import Event

_WORDS = {
    "waiting": "Pulling fs layer",
    "downloading": "Downloading",
    "unpacking": "Extracting",
    "done": "Pull complete",
    "exists": "Already exists",
}


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        pass


class Plain(Quiet):
    """One line for each new state of a layer."""

    words = _WORDS

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._states: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        if self._states.get(event.layer) != event.state:
            self._states[event.layer] = event.state
            said = self.words[event.state] + event.origin
            print(f"{event.layer}: {said}", file=self._out, flush=True)


class Sum:
    """How much of all layers has come, and how fast.

    `moving` is the state in which bytes move; in those of `others` there are none to be counted.
    """

    def __init__(self, moving: str = "downloading", others: tuple[str, ...] = ("exists",)) -> None:
        self._moving = moving
        self._others = others
        self._began = 0.0
        self._resumed: dict[str, int] = {}
        self._current: dict[str, int] = {}
        self._totals: dict[str, int] = {}

    def add(self, event: Event, now: float) -> None:
        """Count what an event tells; `now` in seconds."""
        if event.state in self._others:
            return
        self._totals[event.layer] = event.total
        if event.state == self._moving:
            self._began = self._began or now
            self._resumed.setdefault(event.layer, event.current)
        if event.state != "waiting":
            self._current[event.layer] = event.current

    @property
    def current(self) -> int:
        """Bytes."""
        return sum(self._current.values())

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(self._totals.values())

    def said(self, now: float) -> str:
        """`12MB/63MB  24MB/s`; the rate is that of what came since the first byte."""
        amount = f"{words.size(self.current)}/{words.size(self.total)}"
        seconds = now - self._began
        if not self._began or seconds <= 0:
            return amount
        came = self.current - sum(self._resumed.values())
        return f"{amount}  {words.size(round(came / seconds))}/s"


class Live(Quiet):
    """One line a layer, with a bar, and one for all of them."""

    words = _WORDS
    moving = "downloading"
    over: tuple[str, ...] = ("done", "exists")

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress: Progress = Progress(
            TextColumn("{task.fields[layer]}"),
            TextColumn("{task.description:<16}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            console=Console(file=out),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[str, TaskID] = {}
        self._states: dict[str, str] = {}
        self._sum = self.sum()
        self._all: TaskID | None = None
        self._pace = Pace()

    def sum(self) -> Sum:
        """What counts all layers."""
        return Sum()

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
        is_over = event.state in self.over
        self._progress.update(
            task,
            description=self.words[event.state] + event.origin,
            total=event.total,
            completed=event.total if is_over else event.current,
            amount="" if event.state == "waiting" else _amount(event, is_over=is_over),
        )
        self._show_sum(event)
        is_new = self._states.get(event.layer) != event.state  # may be the last for a while
        self._states[event.layer] = event.state
        if is_new or self._pace.allows():
            self._progress.refresh()

    def _show_sum(self, event: Event) -> None:
        """The last line, from when there is something to download."""
        now = monotonic()
        self._sum.add(event, now)
        if event.state != self.moving and self._all is None:
            return
        if self._all is None:
            self._all = self._progress.add_task("", layer="all layers  ", amount="")
        self._progress.update(
            self._all,
            completed=self._sum.current,
            total=self._sum.total,
            amount=self._sum.said(now),
        )


def _amount(event: Event, *, is_over: bool) -> str:
    total = words.size(event.total)
    return total if is_over else f"{words.size(event.current)}/{total}"
