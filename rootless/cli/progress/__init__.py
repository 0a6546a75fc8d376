"""Progress of pulls and builds: lines anywhere, live displays on a terminal.

`pulling` and `building` choose the display; it is a context manager whose value takes the events
of `transfer` or `build.request`. rich draws the live ones, without its refreshing thread: what is
drawn here runs in processes that fork. It is imported when there is something to draw.

pull, build     the displays            pace     how often they draw
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, Self, TextIO

    from rootless.build import request
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


def pulling(given: Settings, out: TextIO, *, quiet: bool) -> PullDisplay:
    """The display of a pull, on `out`: docker's is standard output for `pull` itself."""
    from rootless.cli.progress import pull

    if quiet:
        return pull.Quiet()
    return pull.Live(out) if _can_draw(given, out) else pull.Plain(out)


def building(given: Settings, how: str, *, quiet: bool) -> BuildDisplay:
    """The display of a build, on standard error; `how` is --progress: auto, plain or tty."""
    from rootless.cli.progress import build

    if quiet:
        return build.Quiet()
    is_live = how == "tty" or (how == "auto" and _can_draw(given, sys.stderr))
    return build.Live() if is_live else build.Plain()


def _can_draw(given: Settings, out: TextIO) -> bool:
    return out.isatty() and given.environment.get("TERM") != "dumb"
