"""The flags of a container as the words that would give them again, in one spelling."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.cli.parser import Arguments
    from rootless.cli.table import Option

_OF_ONE_RUN = frozenset(
    ("name", "detach", "rm", "cidfile", "restart", "replace", "dry_run", "explain", "quiet", "pull")
)


def spelled(options: tuple[Option, ...], arguments: Arguments) -> tuple[str, ...]:
    """`--flag=value` of all that differs from the default, the image, and the command. Without
    what is of this one container, or of this one start of it.
    """
    flags = (word for option in options for word in _words(option, arguments))
    return (*flags, arguments.image, *arguments.command)


def _words(option: Option, arguments: Arguments) -> Iterator[str]:
    value = getattr(arguments, option.field)
    if option.field in _OF_ONE_RUN or value == option.initial:
        return
    name = option.names[-1]
    if option.kind == "flag":
        yield name if value else f"{name}=false"
    else:
        yield from (f"{name}={one}" for one in (value if option.kind == "list" else (value,)))
