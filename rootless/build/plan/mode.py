"""The operand of --chmod: octal, or chmod(1)'s symbolic form such as `u=rwX,go-w`. Pure."""

from __future__ import annotations

import stat

from rootless.errors import RootlessError
from rootless.record import Record

_CLASSES = {"u": 0o4700, "g": 0o2070, "o": 0o0007}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000}
_SPECIAL, _STICKY = 0o6000, 0o1000


class Clause(Record):
    """One of `who` (a mask), `=`, `+` or `-`, and letters."""

    who: int
    operator: str
    letters: str


class Mode(Record):
    """Parsed: either all of `bits`, or `clauses` applied to the mode a file already has."""

    bits: int | None
    clauses: tuple[Clause, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Mode:
        """RootlessError when `text` is neither form."""
        if text and set(text) <= set("01234567") and int(text, 8) <= 0o7777:
            return cls(int(text, 8))
        return cls(None, tuple(_clause(text, part) for part in text.split(",")))

    def apply(self, mode: int) -> int:
        """The permission bits of a file that has `st_mode` `mode`."""
        if self.bits is not None:
            return self.bits
        for clause in self.clauses:
            mode = _apply(clause, mode)
        return stat.S_IMODE(mode)


def _clause(text: str, part: str) -> Clause:
    letters = part.lstrip("ugoa")
    named = part[: len(part) - len(letters)]
    operator, rest = letters[:1], letters[1:]
    if operator not in ("=", "+", "-") or not set(rest) <= set("rwxXst"):
        raise RootlessError(
            f"--chmod={text}: not a file mode", hint="write it as in 0755 or u=rwX,go=rX"
        )
    everyone = not named or "a" in named
    who = 0o7777 if everyone else sum(_CLASSES[one] for one in set(named))
    return Clause(who, operator, rest)


def _apply(clause: Clause, mode: int) -> int:
    bits = 0
    for letter in clause.letters:
        if letter == "X":
            bits |= 0o111 if stat.S_ISDIR(mode) or mode & 0o111 else 0
        elif letter == "t":
            bits |= _STICKY
        else:
            bits |= _BITS[letter] & clause.who
    bits &= clause.who | _STICKY
    if clause.operator == "+":
        return mode | bits
    if clause.operator == "-":
        return mode & ~bits
    cleared = clause.who & ~_SPECIAL if stat.S_ISDIR(mode) else clause.who  # as GNU chmod has it
    return mode & ~cleared | bits
