"""The operand of --chmod: octal, or setmode(3)'s symbolic form such as `u=rwX,go=u-w`. Pure."""

from __future__ import annotations

import stat

from rootless.errors import RootlessError
from rootless.record import Record

_CLASSES = {"u": 0o4700, "g": 0o2070, "o": 0o0007, "a": 0o6777}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000, "t": 0o1000}
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_ALL, _STICKY, _EXECUTE, _OTHERS = 0o6777, 0o1000, 0o111, 0o007


class Change(Record):
    """One of `who` (a mask, 0 when nobody is named), `=`, `+` or `-`, and letters."""

    who: int
    operator: str
    letters: str


class Mode(Record):
    """Parsed: either all of `bits`, or `changes` applied to the mode a file already has."""

    bits: int | None
    changes: tuple[Change, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Mode:
        """RootlessError when `text` is neither form."""
        if text and set(text) <= set("01234567") and int(text, 8) <= 0o7777:
            return cls(int(text, 8))
        return cls(None, tuple(one for part in text.split(",") for one in _changes(text, part)))

    def apply(self, mode: int) -> int:
        """The permission bits of a file that has `st_mode` `mode`."""
        if self.bits is not None:
            return self.bits
        found = stat.S_IMODE(mode)
        may_execute = stat.S_ISDIR(mode) or bool(mode & _EXECUTE)
        for change in self.changes:
            found = _apply(change, found, may_execute=may_execute)
        return found


def _changes(text: str, part: str) -> list[Change]:
    """What stands between two commas: who, and operators that each have letters."""
    rest = part.lstrip("ugoa")
    who = 0
    for letter in part[: len(part) - len(rest)]:
        who |= _CLASSES[letter]
    found: list[Change] = []
    while rest[:1] in ("=", "+", "-"):
        after = rest[1:].lstrip("rwxXstugo")
        found.append(Change(who, rest[0], rest[1 : len(rest) - len(after)]))
        rest = after
    if rest or not found:
        raise RootlessError(
            f"--chmod={text}: not a file mode", hint="write it as in 0755 or u=rwX,go=rX"
        )
    return found


def _apply(change: Change, mode: int, *, may_execute: bool) -> int:
    """Letters in their order: a class among them copies its bits as they are by then."""
    who, bits, conditional = change.who, 0, 0
    is_done = change.operator != "="  # what `=` takes away it takes away once
    for letter in change.letters:
        if letter in _SHIFTS:
            if bits:
                mode = _set(change.operator, who, bits, mode)
            mode |= conditional
            mode = _copy(change.operator, who, mode, mode >> _SHIFTS[letter] & 0o7)
            bits, conditional, is_done = 0, 0, True
        elif letter == "X" and change.operator != "-":
            conditional = _EXECUTE & (who or _ALL) if may_execute else 0
        elif letter not in "st" or not who or who & ~_OTHERS:
            who |= _STICKY if letter == "t" else 0
            bits |= _BITS[letter.lower()]
    if bits or not is_done:
        mode = _set(change.operator, who, bits, mode)
    return mode | conditional


def _set(operator: str, who: int, bits: int, mode: int) -> int:
    bits &= who or _ALL
    if operator == "-":
        return mode & ~bits
    if operator == "=":
        mode &= ~(who or _ALL)
    return mode | bits


def _copy(operator: str, who: int, mode: int, bits: int) -> int:
    """Give three permission bits to the classes in `who`; their set-id bits stay."""
    for shift in (6, 3, 0):
        if not who or who & 0o7 << shift:
            kept = mode & ~(0o7 << shift) if operator == "=" else mode
            mode = kept & ~(bits << shift) if operator == "-" else kept | bits << shift
    return mode
