"""Progress of pulls, pushes and builds: lines anywhere, live displays on a terminal.

`pulling` and its like choose the display; it is a context manager whose value takes the events
of `image.transport` or `build.request`. No thread draws: what is drawn here runs in processes that
fork. rich draws the bars of a pull, and is imported when there are some.

pull, push, build   the displays; download a file's   pace     how often they draw
rawjson             a build for other programs        block    lines that are drawn again and again
output              what a build's step prints
"""

from __future__ import annotations

import sys

from rootless.cli import words
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, Self, TextIO

    from rootless.build import request
    from rootless.cli.progress import download
    from rootless.cli.progress.output import Given
    from rootless.cli.settings import Settings
    from rootless.image.transport import Event
    from rootless.registry.download import Download

    class TransferDisplay(Protocol):
        """Shows a pull or a push."""

        def __enter__(self) -> Self: ...
        def __exit__(self, *_: object) -> None: ...
        def __call__(self, event: Event) -> None: ...

    class BuildDisplay(Protocol):
        """Shows a build. `rest` clears the terminal for somebody else until the next event.

        `pulling` is the display of a base image that is pulled meanwhile; `exported` says what
        came out.
        """

        def __enter__(self) -> Self: ...
        def __exit__(self, kind: object, error: object, trace: object) -> None: ...
        def __call__(self, event: request.Event) -> None: ...
        def rest(self) -> None: ...
        def pulling(self, given: Settings, name: str) -> TransferDisplay: ...
        def exported(self, given: Given) -> None: ...


def pulling(given: Settings, out: TextIO, *, quiet: bool, plain: bool = False) -> TransferDisplay:
    """The display of a pull, on `out`: docker's is standard output for `pull` itself."""
    from rootless.cli.progress import pull

    if quiet:
        return pull.Quiet()
    return pull.Live(out) if _can_draw(given, out) and not plain else pull.Plain(out)


def pushing(given: Settings, out: TextIO, *, quiet: bool, plain: bool = False) -> TransferDisplay:
    """The display of a push, on `out`: docker's is standard output for `push` itself."""
    from rootless.cli.progress import push

    if quiet:
        return push.Quiet()
    return push.Live(out) if _can_draw(given, out) and not plain else push.Plain(out)


MODES = ("auto", "plain", "tty", "quiet", "none", "rawjson")
"""How a build can be shown: what `--progress` takes, and BUILDKIT_PROGRESS."""


def building(given: Settings, how: str, *, quiet: bool) -> BuildDisplay:
    """The display of a build, on standard error; `how` is --progress, one of `MODES`."""
    how = _mode(given, how, quiet=quiet)
    if how == "rawjson":
        from rootless.cli.progress import rawjson

        return rawjson.RawJson(sys.stderr)
    from rootless.cli.progress import build

    if how in ("quiet", "none"):
        return build.Quiet() if how == "quiet" else build.Silent()
    if how == "tty" and not sys.stderr.isatty():
        raise RootlessError(
            "failed to get console: provided file is not a console",
            hint="--progress=tty draws on a terminal: leave it out, or write --progress=plain",
        )
    is_live = how == "tty" or (how == "auto" and _can_draw(given, sys.stderr))
    if is_live:
        return build.Live(colour=words.colours(sys.stderr, given.environment))
    return build.Plain()


def _mode(given: Settings, how: str, *, quiet: bool) -> str:
    """docker's rules: -q rules out the others, and BUILDKIT_PROGRESS says what auto means."""
    if quiet:
        if how not in ("auto", "quiet"):
            raise RootlessError(
                f"progress={how} and quiet cannot be used together", hint="leave out one of them"
            )
        return "quiet"
    wanted = given.environment.get("BUILDKIT_PROGRESS") or how
    if how == "auto" and wanted not in MODES:
        raise RootlessError(
            f"BUILDKIT_PROGRESS: invalid progress mode {wanted!r}",
            hint=f"it is one of {', '.join(MODES)}; unset BUILDKIT_PROGRESS",
        )
    return wanted if how == "auto" else how


def downloading(given: Settings, coming: Download) -> download.Display:
    """The display of a file that comes, on standard error; its value reads the file."""
    from rootless.cli.progress import download

    return download.Display(coming, sys.stderr, draws=_can_draw(given, sys.stderr))


def _can_draw(given: Settings, out: TextIO) -> bool:
    return out.isatty() and given.environment.get("TERM") != "dumb"
