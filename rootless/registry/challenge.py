"""The WWW-Authenticate header, RFC 9110 §11.6.1. Pure; the text is the registry's."""

from __future__ import annotations

from collections.abc import Mapping

from rootless.record import Record

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TOKEN68 = frozenset(_TOKEN - frozenset("!#$%&'*^`|")) | {"/"}
_BLANK = " \t"


class Challenge(Record):
    """One way to authenticate: `scheme` and the names of `parameters` in lower case."""

    scheme: str
    parameters: Mapping[str, str] = {}


def parse(header: str) -> tuple[Challenge, ...]:
    """All challenges up to the first place where the text is not one."""
    challenges: list[tuple[str, dict[str, str]]] = []
    at = 0
    while True:
        at = _skip(header, at, _BLANK + ",")
        word, at = _run(header, at, _TOKEN)
        if not word:
            break
        equals = _skip(header, at, _BLANK)
        if header[equals : equals + 1] != "=":
            at = _skip_token68(header, at)
            challenges.append((word.lower(), {}))
        elif challenges:
            value, at = _value(header, _skip(header, equals + 1, _BLANK))
            challenges[-1][1].setdefault(word.lower(), value)
        else:
            break
    return tuple(Challenge(scheme, parameters) for scheme, parameters in challenges)


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at


def _run(text: str, at: int, alphabet: frozenset[str]) -> tuple[str, int]:
    end = at
    while end < len(text) and text[end] in alphabet:
        end += 1
    return text[at:end], end


def _skip_token68(text: str, at: int) -> int:
    """Past the `token68` of the scheme that ends at `at`, if one stands there."""
    start = _skip(text, at, _BLANK)
    word, end = _run(text, start, _TOKEN68)
    end = _skip(text, end, "=")
    rest = _skip(text, end, _BLANK)
    return rest if word and (rest == len(text) or text[rest] == ",") else at


def _value(text: str, at: int) -> tuple[str, int]:
    """A token or a quoted string; one that never ends runs to the end of the header."""
    if text[at : at + 1] != '"':
        return _run(text, at, _TOKEN)
    value = []
    at += 1
    while at < len(text) and text[at] != '"':
        at += text[at] == "\\"
        value.append(text[at : at + 1])
        at += 1
    return "".join(value), at + 1
