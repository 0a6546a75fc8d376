"""Names for containers whose user gave none: an adjective and a maker of computing. Pure, but for
the random numbers.
"""

from __future__ import annotations

import os
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIES = 10
_NUMBERS = 10_000
_ADJECTIVES = """
agile amber brave bright calm candid clever cosy daring eager early fleet fond frank gentle glad
golden handy happy honest humble jolly keen kind lively lucid merry mild modest neat nimble noble
patient plain polite proud quick quiet ready serene sharp silent sincere smart steady sunny tidy
upbeat vivid warm wise witty
"""
_MAKERS = """
aiken babbage backus boole booth church codd conway dahl diffie dijkstra engelbart feinler floyd
goldberg hamilton hamming hellman hoare holberton hopper jennings johnson kay kernighan knuth
lamport lederberg liskov lovelace mccarthy mcilroy merkle milner minsky naur nygaard perlman
pouzin ritchie rivest sammet shamir shannon stallman sutherland thompson torvalds turing vaughan
wilkes wirth zuse
"""


def of(container_id: str) -> str:
    """That of one which is gone with its command: its id says it, and nobody has to look whether
    it is taken.
    """
    adjectives, makers = _ADJECTIVES.split(), _MAKERS.split()
    number = int.from_bytes(container_id[:16].encode(errors="replace"), "big")
    rest, first = divmod(number, len(adjectives))
    rest, second = divmod(rest, len(makers))
    return f"{adjectives[first]}_{makers[second]}{rest % _NUMBERS}"


def random_names() -> Iterator[str]:
    """Two words joined by an underscore, as docker makes them; after a few tries, and a number."""
    adjectives, makers = _ADJECTIVES.split(), _MAKERS.split()
    for attempt in count():
        first, second, third = os.urandom(3)
        number = "" if attempt < _TRIES else str(third)
        yield f"{adjectives[first % len(adjectives)]}_{makers[second % len(makers)]}{number}"
