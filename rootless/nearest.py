"""The names most like one that is not there: what "did you mean" says. Pure.

Only errors ask, so difflib is imported then. The work is bounded whatever the names are: an image
may hold a hundred thousand files in one directory, and names of any length.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_NAMES = 2000
_MOST_LETTERS = 128


def names(wanted: str, known: Iterable[str], count: int = 1) -> tuple[str, ...]:
    """At most `count` of `known` that `wanted` may have meant, the likeliest first.

    Letters may be swapped, missing, too many or in the wrong case.
    """
    from difflib import get_close_matches
    from itertools import islice

    if not 0 < len(wanted) <= _MOST_LETTERS:
        return ()
    lowered: dict[str, str] = {}
    alike = (one for one in known if one != wanted and _is_alike(len(wanted), len(one)))
    for one in islice(alike, _MOST_NAMES):
        lowered.setdefault(one.lower(), one)
    found = get_close_matches(wanted.lower(), lowered, n=count)
    return tuple(lowered[one] for one in found)


def hint(wanted: str, known: Iterable[str], prefix: str = "") -> str | None:
    """`did you mean X?` with `prefix` before the name; None when nothing is near."""
    found = names(wanted, known)
    return f"did you mean {prefix}{found[0]}?" if found else None


def is_slip(wanted: str, known: str) -> bool:
    """Whether `wanted` is `known` written with one slip of the finger, and hardly another word.

    Two letters are swapped, or in a name of four letters one is too many or missing, or in a name
    of five one is wrong. Digits tell names apart: node1 is not node.
    """
    short, long = sorted((wanted, known), key=len)
    if wanted == known or len(short) < 3 or len(long) > min(_MOST_LETTERS, len(short) + 1):
        return False
    at = next((at for at, letter in enumerate(short) if letter != long[at]), len(short))
    one, other = short[at:], long[at:]
    if one[:2] == other[1::-1] and one[2:] == other[2:]:
        return True
    if not (one[:1] + other[:1]).isalpha():
        return False
    if len(short) < len(long):
        return len(short) >= 4 and one == other[1:]
    return len(short) >= 5 and one[1:] == other[1:]


def _is_alike(length: int, other: int) -> bool:
    """Whether two names of these lengths can be near each other at all."""
    return 0 < other <= 2 * length + 2 and length <= 2 * other + 2
