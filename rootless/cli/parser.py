"""From the words of a command line to values, by a verb's declaration; docker's (pflag's) rules.

`--name x`, `--name=x`, `-n x`, `-nx`, clusters `-itp 8080:80`, `--rm=false`, `--` ends the flags;
for `run` the image does, too. Pure; errors are UsageErrors in docker's words.
"""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from rootless.cli.table import Option, Verb

_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


class CommandLineError(UsageError):
    """No such command, or not its number of words: docker's exit code is 1, not 125."""

    exit_code = 1


class HelpRequest(Exception):  # noqa: N818 - a request, not an error
    """There is --help among the flags."""


class Arguments:
    """A verb's values by their field names. Flags are bool, texts str (or None), lists tuple."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    if TYPE_CHECKING:

        def __getattr__(self, field: str) -> Any: ...


def parse(verb: Verb, argv: Sequence[str]) -> Arguments:
    """The values in `argv`, the words after the verb; HelpRequest for --help."""
    values = {option.field: option.initial for option in verb.options}
    words: list[str] = []
    pending = iter(argv)
    for word in pending:
        if word == "--":
            words += pending
        elif word[:1] != "-" or word == "-":
            words.append(word)
            if verb.flags_end_at_argument:
                words += pending
        elif word[:2] == "--":
            _long(verb, word, pending, values)
        else:
            _cluster(verb, word, pending, values)
    _assign(verb, words, values)
    return Arguments(values)


def _long(verb: Verb, word: str, pending: Iterator[str], values: dict[str, Any]) -> None:
    name, equals, value = word.partition("=")
    option = _option(verb, name, f"unknown flag: {name}")
    if equals:
        _store(verb, option, name, value, values)
    elif option.kind == "flag":
        values[option.field] = True
    else:
        _store(verb, option, name, _next(verb, name, pending), values)


def _cluster(verb: Verb, word: str, pending: Iterator[str], values: dict[str, Any]) -> None:
    """`-it`, `-p80`, `-itp 80`: flags of one letter; the first that takes a value ends it."""
    letters = word[1:]
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        option = _option(verb, name, f"unknown shorthand flag: {name[1]!r} in {word}")
        if option.kind == "flag" and letters[:1] != "=":
            values[option.field] = True
            continue
        value = letters.removeprefix("=") if letters else _next(verb, name, pending)
        _store(verb, option, name, value, values)
        return


def _option(verb: Verb, name: str, unknown: str) -> Option:
    for option in verb.options:
        if name in option.names:
            return option
    if name in ("--help", "-h"):
        raise HelpRequest
    from rootless.cli import unsupported

    raise unsupported.flag(verb, name) or _usage(verb, unknown, _near(verb, name))


def _near(verb: Verb, name: str) -> str:
    """The beginning of a hint: the flag that was probably meant."""
    from rootless import nearest

    long = [one for option in verb.options for one in option.names if one.startswith("--")]
    begun = [one for one in (*long, "--help") if one.startswith(name)] if len(name) > 2 else []
    if 0 < len(begun) <= 3:
        return f"did you mean {' or '.join(begun)}? "
    meant = nearest.hint(name.lstrip("-"), [one[2:] for one in (*long, "--help")], prefix="--")
    return f"{meant} " if meant else ""


def _next(verb: Verb, name: str, pending: Iterator[str]) -> str:
    for value in pending:
        return value
    raise _usage(verb, f"flag needs an argument: {name}")


def _store(verb: Verb, option: Option, name: str, value: str, values: dict[str, Any]) -> None:
    if option.kind == "list":
        values[option.field] += (value,)
        return
    if option.kind == "flag":
        if value not in _BOOLEANS:
            raise _invalid(verb, name, value, "true or false")
        values[option.field] = _BOOLEANS[value]
        return
    if option.choices and value not in option.choices:
        raise _invalid(verb, name, value, " or ".join(option.choices))
    values[option.field] = value


def _assign(verb: Verb, words: list[str], values: dict[str, Any]) -> None:
    """Give the words that are not flags to the verb's arguments, in order."""
    left = list(words)
    for argument in verb.arguments:
        if argument.arity in ("one", "some") and not left:
            raise _count(verb)
        if argument.arity in ("one", "optional"):
            values[argument.field] = left.pop(0) if left else None
        else:
            values[argument.field], left = tuple(left), []
    if left:
        raise _count(verb)


def _count(verb: Verb) -> CommandLineError:
    """The wrong number of arguments, in docker's words."""
    arities = [argument.arity for argument in verb.arguments]
    least = sum(arity in ("one", "some") for arity in arities)
    most = len(arities)
    if {"some", "any", "rest"} & set(arities):
        how, number = "at least", least
    elif least == most:
        how, number = "exactly", least
    else:
        how, number = ("at least", least) if least else ("at most", most)
    plural = "" if number == 1 else "s"
    wanted = f"requires {how} {number} argument{plural}" if arities else "accepts no arguments"
    return CommandLineError(f"'rootless {verb.name}' {wanted}", hint=_usage_line(verb))


def _invalid(verb: Verb, name: str, value: str, expected: str) -> UsageError:
    return _usage(verb, f"invalid argument {value!r} for {name}: it must be {expected}")


def _usage(verb: Verb, message: str, meant: str = "") -> UsageError:
    return UsageError(message, hint=meant + _usage_line(verb))


def _usage_line(verb: Verb) -> str:
    command = f"rootless {verb.name}".strip()
    return f"usage: {verb.usage}; see '{command} --help'"
