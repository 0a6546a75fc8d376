"""`logs`: what containers have written, and what they write from now on."""

from __future__ import annotations

import os
import select
import sys
import time

from rootless.cli import filters
from rootless.cli.finding import find
from rootless.container import logs as kept
from rootless.container.log_reader import Reader
from rootless.errors import RootlessError, UsageError
from rootless.record import Record
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.log_reader import Entry
    from rootless.container.spec import Container

_FDS = {"stdout": 1, "stderr": 2}
_CHUNK = 1 << 16
_PAUSE = 50  # milliseconds between two looks at a log that grows


def logs(given: Settings, arguments: Arguments) -> int:
    """Print the logs of containers, one after the other; with --follow, as they grow."""
    store = Store(given.root)
    shown = _shown(arguments)
    last = _last(arguments.tail)
    followed = [
        _followed(store.path("containers", one.id), last, shown, _prefix(one, arguments))
        for one in (_readable(find(store, name)) for name in arguments.names)
    ]
    for one in followed:
        one.print()
    while arguments.follow and (followed := [one for one in followed if one.goes_on]):
        _rest()
        for one in followed:
            one.print()
    return 0


class _Shown(Record):
    """Which lines are meant, by their time stamps, and what is shown with each."""

    since: str
    until: str
    timestamps: bool
    details: bool

    @property
    def is_all(self) -> bool:
        """Whether all lines are, with nothing besides."""
        return not (self.since or self.until or self.timestamps or self.details)

    @property
    def is_over(self) -> bool:
        """Whether nothing that comes can be meant any more."""
        return bool(self.until) and kept.stamp(time.time_ns()) > self.until


def _shown(arguments: Arguments) -> _Shown:
    since, until = (_moment(name, getattr(arguments, name)) for name in ("since", "until"))
    return _Shown(since, until, arguments.timestamps, arguments.details)


def _moment(name: str, text: str | None) -> str:
    """A time as the log has it; "" for none."""
    if not text:
        return ""
    try:
        return kept.stamp(int(filters.moment(text) * 1e9))
    except (OverflowError, ValueError):
        raise UsageError(f'invalid value for "{name}": {text!r} is no time') from None
    except UsageError as error:
        raise UsageError(f'invalid value for "{name}": {error.message}', hint=error.hint) from None


def _last(text: str | None) -> int | None:
    if text in (None, "", "all") or (text[0] == "-" and text[1:].isdecimal()):
        return None
    if not text.isdecimal():
        raise UsageError(f"--tail {text!r} is not a number of lines", hint="write --tail 10 or all")
    return int(text[:9])


def _readable(container: Container) -> Container:
    if container.spec.log_driver == "none":
        raise RootlessError(
            "configured logging driver does not support reading",
            hint="without --log-driver none there is a log",
        )
    return container


def _prefix(container: Container, arguments: Arguments) -> bytes:
    """What tells the lines of several containers apart."""
    if arguments.names_shown:
        return f"{container.name} ".encode()
    return f"{container.short} ".encode() if len(arguments.names) > 1 else b""


def _followed(folder: str, last: int | None, shown: _Shown, prefix: bytes) -> _Followed:
    plain = shown.is_all and not prefix
    return _Followed(Reader(folder, last, plain=plain), shown, prefix)


class _Followed:
    """A log that is being printed; `goes_on` while more may come."""

    def __init__(self, reader: Reader, shown: _Shown, prefix: bytes) -> None:
        self.goes_on = True
        self._reader = reader
        self._shown = shown
        self._prefix = prefix
        self._is_amid = {"stdout": False, "stderr": False}
        self._held = bytearray()
        self._stream = "stdout"

    def print(self) -> None:
        """All that is there now."""
        self.goes_on = self._reader.is_growing() and not self._shown.is_over
        for entry in self._reader.available():
            if self._shown.until and entry[1] > self._shown.until:
                self.goes_on = False
                break
            if entry[1] >= self._shown.since:
                self._put(entry)
        self._flush()
        if not self.goes_on and self._reader.damaged:
            count = self._reader.damaged
            plural = "" if count == 1 else "s"
            print(f"warning: {count} damaged line{plural} of the log left out", file=sys.stderr)

    def _put(self, entry: Entry) -> None:
        stream, _, content, _ = entry
        if stream != self._stream or len(self._held) > _CHUNK:
            self._flush()
            self._stream = stream
        if not self._is_amid[stream]:
            self._held += self._before(entry)
        self._held += content
        self._is_amid[stream] = not content.endswith(b"\n")

    def _before(self, entry: Entry) -> bytes:
        """What is shown before a line."""
        _, moment, _, details = entry
        words = [moment] if self._shown.timestamps else []
        if self._shown.details:
            quoted = {_quoted(name): _quoted(text) for name, text in sorted(details.items())}
            words.append(",".join(f"{name}={text}" for name, text in quoted.items()))
        return self._prefix + "".join(f"{word} " for word in words).encode()

    def _flush(self) -> None:
        rest = memoryview(bytes(self._held))
        self._held.clear()
        while rest:
            rest = rest[os.write(_FDS[self._stream], rest) :]


def _rest() -> None:
    """Wait a little; BrokenPipeError when nobody reads any more."""
    poll = select.poll()
    poll.register(1, 0)
    if poll.poll(_PAUSE):
        raise BrokenPipeError


def _quoted(text: str) -> str:
    """As a form's field, so that a comma or a line in it is none."""
    from urllib.parse import quote_plus

    return quote_plus(text, errors="replace")
