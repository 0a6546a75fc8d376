"""`top`: the processes of a running container, as the host's ps(1) shows them."""

from __future__ import annotations

from rootless.cli.finding import find
from rootless.cli.words import escape
from rootless.container import members, records
from rootless.errors import RootlessError, UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

_LEAST_WIDTH, _GAP = 20, 3
_PATIENCE = 30  # seconds for ps
_MOST = 1 << 24  # bytes of what it says
_SHAPES = ("COLUMNS", "PS_FORMAT", "PS_PERSONALITY")


def top(given: Settings, arguments: Arguments) -> int:
    """Print ps's columns for them; `-ef` is what docker asks for where nothing else is said."""
    store = Store(given.root)
    container = find(store, arguments.container)
    pid = records.pid(store, container) if container.is_running else 0
    if not pid:
        raise RootlessError(
            f"container {container.id} is not running",
            hint=f"start it with: rootless start {container.name}",
        )
    options = tuple(arguments.options) or ("-ef",)
    rows = _rows(_told(options, given, members.find(pid)), set(members.find(pid)))
    print("\n".join(_columns(rows)))
    return 0


def _told(options: Sequence[str], given: Settings, pids: Iterable[int]) -> str:
    """What ps says of these; as docker does, of all where an option of theirs forbids to name them.

    Options as -o alone show only what is on our own terminal.
    """
    try:
        return _ps((*options, f"-q{','.join(map(str, pids))}"), given)
    except RootlessError:
        return _ps(options, given)


def _ps(options: Sequence[str], given: Settings) -> str:
    """What ps says, as wide as it wants to."""
    import subprocess

    from rootless import programs

    path = programs.find("ps", given.environment.get("PATH", ""))
    if not path:
        raise RootlessError("ps is not installed here", hint="install procps")
    answer = subprocess.run(
        [path, *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_PATIENCE,
        env={name: value for name, value in given.environment.items() if name not in _SHAPES},
    )
    if answer.returncode:
        said = answer.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise RootlessError(
            f"ps: exit status {answer.returncode}: {said[0]}",
            hint="what follows CONTAINER are options of ps(1): see man ps",
        )
    return answer.stdout[:_MOST].decode(errors="replace")


def _rows(told: str, pids: set[int]) -> list[list[str]]:
    """The header and the container's lines, each cut at blanks: the last column may hold some."""
    lines = told.splitlines()
    header = lines[0].split() if lines else []
    if "PID" not in header:
        raise UsageError(
            "Couldn't find PID field in ps output", hint="let pid be one of the columns"
        )
    at = header.index("PID")
    rows = [header]
    for line in lines[1:]:
        fields = line.split(None, len(header) - 1)
        if len(fields) > at and fields[at].isdecimal() and int(fields[at]) in pids:
            rows.append(fields)
    return rows


def _columns(rows: list[list[str]]) -> list[str]:
    """As docker prints them: each at least 20 wide, with 3 blanks between."""
    shown = [[escape(field.rstrip()) for field in row] for row in rows]
    widths = [
        max(_LEAST_WIDTH, *(len(row[at]) + _GAP for row in shown if at < len(row) - 1), 0)
        for at in range(max(map(len, shown)) - 1)
    ]
    return [
        "".join(field.ljust(width) for field, width in zip(row[:-1], widths, strict=False))
        + row[-1]
        for row in shown
    ]
