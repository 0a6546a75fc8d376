"""How often a registry lets us pull, by the headers of its answers. Pure; they are its words.

The Docker Hub's `RateLimit-Limit` and `RateLimit-Remaining` (`100;w=21600`: so many in so many
seconds), their draft standard's `RateLimit-Reset` (seconds), and Retry-After, RFC 9110 §10.2.3.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from rootless.record import Record

FEW = 10
_LONGEST = 10 * 86_400  # seconds; what claims more is no answer to "when"


class Limit(Record):
    """`allowed` pulls in `window` seconds, of which there are `left`; -1 and 0 for unknown.

    `wait`: seconds after which more may be had, 0 when that is not said.
    """

    allowed: int = -1
    left: int = -1
    window: int = 0
    wait: int = 0

    @property
    def quota(self) -> str:
        """As in "100 in 6 hours"; "" when it is not known."""
        if self.allowed < 0:
            return ""
        return f"{self.allowed} in {span(self.window)}" if self.window else str(self.allowed)

    @property
    def is_near(self) -> bool:
        """Whether few pulls are left."""
        return 0 <= self.left <= FEW

    def __str__(self) -> str:
        left = f"{self.left} more image{'' if self.left == 1 else 's'}"
        of = f", of {self.quota}" if self.quota else ""
        more = f"; there are more in {span(self.wait)}" if self.wait else ""
        return f"{left} may be pulled{of}{more}"


def parse(headers: Mapping[str, str]) -> Limit:
    """What the headers of an answer say; those that say nothing clear are left out."""
    allowed, window = _quota(headers.get("RateLimit-Limit", ""))
    left, other = _quota(headers.get("RateLimit-Remaining", ""))
    wait = _seconds(headers.get("Retry-After", "")) or _seconds(headers.get("RateLimit-Reset", ""))
    return Limit(allowed, left, max(window, other, 0), min(wait, _LONGEST))


def span(seconds: int) -> str:
    """A time to wait, in words and rounded up."""
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * unit or seconds == unit:
            count = -(-seconds // unit)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def _quota(text: str) -> tuple[int, int]:
    """A number and the seconds it is for, as in `100;w=21600`; -1 and 0 when there is none."""
    count, _, rest = text.partition(";")
    name, _, window = rest.partition("=")
    return _number(count, -1), _number(window, 0) if name.strip() == "w" else 0


def _seconds(text: str) -> int:
    """Seconds from now, given as a number or as a date; 0 for neither."""
    if text.strip()[:1].isdecimal():
        return _number(text, 0)
    if not text:
        return 0
    from email.utils import parsedate_to_datetime

    try:
        return max(0, int(parsedate_to_datetime(text[:40]).timestamp() - time.time()) + 1)
    except (ValueError, TypeError, OverflowError):
        return 0


def _number(text: str, otherwise: int) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else otherwise
