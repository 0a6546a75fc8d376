"""Words for a shell, without importing `shlex` (it compiles regular expressions)."""

from __future__ import annotations

import os

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")


def quote(word: str) -> str:
    """`word` so that a shell reads it back as it is, and a terminal shows it as it is.

    What is not printable is spelt as bash's $'...' has it: it may come from an image.
    """
    if word and _SAFE.issuperset(word):
        return word
    if word.isprintable():
        return "'" + word.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(map(_spelt, word)) + "'"


def _spelt(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if char != "'" and char.isprintable():  # a shell without $'...' would take \' for the end
        return char
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(char))


def below(path: str) -> str:
    """A path of the container as seen from its root; "." is that root."""
    return os.path.normpath(path).lstrip("/") or "."


def printed(text: str) -> str:
    """The shell's command that prints it."""
    text = text.replace("\\", "\\\\").replace("%", "%%")
    return "printf " + quote(text.replace("\n", "\\n").replace("\t", "\\t"))
