"""Resource limits of a command: setrlimit(2), by docker's names. Runs in the child.

Raising a hard limit is for the machine's root: whoever asks has looked what there is (`clamped`).
"""

from __future__ import annotations

import resource

from rootless import linux
from rootless.errors import UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

NAMES = {
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "locks": 10,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}
UNLIMITED = resource.RLIM_INFINITY


class Limit(Record):
    """`name` is one of NAMES; UNLIMITED (-1) for no limit."""

    name: str
    soft: int
    hard: int

    def clamped(self) -> Limit:
        """The nearest to it that this process may set."""
        most = resource.getrlimit(NAMES[self.name])[1]
        if most == UNLIMITED:
            return self
        soft, hard = (
            most if one == UNLIMITED else min(one, most) for one in (self.soft, self.hard)
        )
        return Limit(self.name, soft, hard)


def parse(text: str) -> Limit:
    """`NAME=SOFT[:HARD]`, as docker reads it; UsageError."""
    name, equals, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    numbers = [_number(one) for one in (soft, hard if colon else soft)]
    wrong = ""
    if not equals or None in numbers:
        wrong = f"invalid ulimit argument: {text}"
    elif name not in NAMES:
        wrong = f"invalid ulimit type: {name}"
    if wrong:
        raise UsageError(
            f'invalid argument "{text}" for "--ulimit" flag: {wrong}',
            hint=f"write NAME=SOFT[:HARD]; the names are {', '.join(NAMES)}",
        )
    first, second = (one for one in numbers if one is not None)
    if second != UNLIMITED and (first == UNLIMITED or first > second):
        raise UsageError(
            f'invalid argument "{text}" for "--ulimit" flag: ulimit soft limit must be less than '
            f"or equal to hard limit: {first} > {second}"
        )
    return Limit(name, first, second)


def _number(text: str) -> int | None:
    if text in ("-1", "unlimited"):
        return UNLIMITED
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


class Limits(Record):
    """Set them, for the command and all it starts: the last thing before that."""

    limits: tuple[Limit, ...]

    call = "setrlimit(2)"

    def describe(self) -> str:
        shown = ", ".join(f"{one.name} {one.soft}:{one.hard}" for one in self.limits)
        return f"limit what the command may use: {shown}"

    def shell(self) -> tuple[str, ...]:
        return tuple(
            f"prlimit --pid $$ --{one.name}={_shown(one.soft)}:{_shown(one.hard)}"
            for one in self.limits
        )

    def apply(self, newroot: Newroot) -> None:
        """What was opened on the way is closed first: the last operation opens one or two more."""
        first = 3
        for fd in sorted((newroot.program_fd, newroot.report_fd)):
            if fd > first:
                linux.close_range(first, fd - 1)
            first = max(first, fd + 1)
        linux.close_range(first)
        for one in self.limits:
            resource.setrlimit(NAMES[one.name], (one.soft, one.hard))


def _shown(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)
