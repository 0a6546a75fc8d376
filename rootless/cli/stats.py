"""`stats`: what running containers use, once or as it changes."""

from __future__ import annotations

import sys
import time

from rootless.cli import listing, words
from rootless.cli.finding import find
from rootless.container import records, usage
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.spec import Container
    from rootless.container.usage import Usage

_HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_COLUMNS = tuple(name for name in _HEADERS if name != "Container")
_PAUSE = 1.0  # seconds between two looks
_HOME, _TO_LINE_END, _BELOW = "\033[H", "\033[K", "\033[J"
_UNKNOWN = "--"


def stats(given: Settings, arguments: Arguments) -> int:
    """Print a row for each container, from two looks at it; again and again, but for --no-stream.

    Without names it is about those that run, or with --all about all there are then.
    """
    store = Store(given.root)
    named = [(name, find(store, name)) for name in arguments.names]

    def meant() -> list[tuple[str, Container]]:
        if named:
            return named
        every = records.listing(store)
        return [(one.id, one) for one in every if arguments.all or one.is_running]

    before: Mapping[str, Usage] = _looks(store, meant())
    while True:
        time.sleep(_PAUSE)
        chosen = meant()
        now = _looks(store, chosen)
        rows = [
            _row(called, one, before.get(one.id), now.get(one.id), full=arguments.no_trunc)
            for called, one in chosen
        ]
        show = _show(rows, arguments.format or "")
        if arguments.no_stream:
            show()
            return 0
        _over_the_last(show)
        before = now


def _looks(store: Store, chosen: list[tuple[str, Container]]) -> dict[str, Usage]:
    found = {}
    for _, one in chosen:
        pid = records.pid(store, one)
        if pid and (look := usage.look(pid)):
            found[one.id] = look
    return found


def _show(rows: list[dict[str, str]], form: str) -> Callable[[], None]:
    return lambda: listing.show(rows, _HEADERS, _COLUMNS, form)


def _over_the_last(show: Callable[[], None]) -> None:
    """As docker does it: from the top of the screen, each line up to its end."""
    import io
    from contextlib import redirect_stdout

    written = io.StringIO()
    with redirect_stdout(written):
        show()
    lines = written.getvalue().splitlines()
    sys.stdout.write(_HOME + "".join(f"{line}{_TO_LINE_END}\n" for line in lines) + _BELOW)
    sys.stdout.flush()


def _row(
    called: str, one: Container, before: Usage | None, now: Usage | None, *, full: bool
) -> dict[str, str]:
    """`called` is how the user named it. One that does not run uses nothing."""
    row = {"Container": called, "ID": one.id if full else one.short, "Name": one.name}
    if now is None:
        return {**row, **_NOTHING}
    return {
        **row,
        "CPUPerc": f"{now.percent_of_processor(before or now):.2f}%",
        "MemUsage": f"{binary(now.memory)} / {binary(now.limit)}",
        "MemPerc": f"{now.percent_of_memory:.2f}%",
        "NetIO": f"{_decimal(now.received)} / {_decimal(now.sent)}",
        "BlockIO": f"{_decimal(now.read)} / {_decimal(now.written)}",
        "PIDs": str(now.pids),
    }


_NOTHING = {
    "CPUPerc": "0.00%",
    "MemUsage": "0B / 0B",
    "MemPerc": "0.00%",
    "NetIO": "0B / 0B",
    "BlockIO": "0B / 0B",
    "PIDs": "0",
}


def binary(count: int) -> str:
    """Bytes in units of 1024 with up to four digits, as docker says them: 1.5MiB."""
    value, unit = float(count), 0
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    while value >= 1024 and unit + 1 < len(units):
        value, unit = value / 1024, unit + 1
    return f"{value:.4g}{units[unit]}"


def _decimal(count: int | None) -> str:
    return _UNKNOWN if count is None else words.size(count)
