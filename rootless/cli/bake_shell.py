"""Targets as lines that a shell could carry out, for `bake --dry-run`."""

from __future__ import annotations

from rootless.sandbox.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.bake_words import Command


def line(name: str, command: Command) -> str:
    """A comment with the target's name, and its command."""
    words = " ".join(quote(word) for word in command.words)
    text = f"# {name}\nrootless build {words}"
    if not command.stdin:
        return text
    written = command.stdin.rstrip()
    end = "EOF"
    while end in written.splitlines():  # a heredoc of the Dockerfile's own
        end += "_"
    return f"{text} <<'{end}'\n{written}\n{end}"
