"""The name that a misspelled variable stands for, as BuildKit guesses it.

Not `nearest`: these words are part of what docker prints, so the distance has to be its own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_FAR = 3
_MOST_LETTERS = 128


def meant(name: str, known: Iterable[str]) -> str:
    """The first of `known` that is nearest, if less than three letters differ; or empty."""
    found, best = "", _FAR
    for one in known:
        if abs(len(one) - len(name)) >= best or len(one) > _MOST_LETTERS:
            continue
        distance = _distance(name, one)
        if distance < best:
            found, best = one, distance
    return found


def _distance(one: str, other: str) -> int:
    """How many letters must be added, left out or changed."""
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        before, row[0] = row[0], at
        for place, wanted in enumerate(other, 1):
            changed = before + (letter != wanted)
            before = row[place]
            row[place] = min(changed, row[place] + 1, row[place - 1] + 1)
    return row[-1]
