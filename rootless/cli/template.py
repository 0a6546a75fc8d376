"""Go templates for --format, as far as people use them with docker.

`{{.Config.Env}}`, `{{json .X}}`, `{{join .X ","}}`, `{{index .X 0 "key"}}`, `{{len .X}}`, `upper`,
`lower`, `println`, pipes and `{{-` `-}}`. Anything else is an error, never printed as it stands.
"""

from __future__ import annotations

import json
import re

from rootless.cli import words
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_HINT = 'known are {{.Field.Sub}}, {{json .Field}}, {{join .Field ","}} and {{index .Field 0}}'
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|`[^`]*`|-?\d+|\||\.[\w.]*|\w+)')


def render(template: str, value: object) -> str:
    """`template` with its expressions replaced by what they find in `value`."""
    made = ""
    rest = template.replace("\\t", "\t").replace("\\n", "\n")
    while rest:
        before, opened, rest = rest.partition("{{")
        if not opened:
            return made + before
        expression, closed, rest = rest.partition("}}")
        if not closed:
            raise _bad(template, "a '{{' is not closed")
        if expression.startswith("- "):
            before, expression = before.rstrip(), expression[2:]
        if expression.endswith(" -"):
            rest, expression = rest.lstrip(), expression[:-2]
        made += before + _shown(_pipeline(expression, value))
    return made


def compact(value: object) -> str:
    """`value` as one line of JSON that is safe on a terminal."""
    return safe_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def indented(value: object) -> str:
    """`value` as JSON for people, as `docker inspect` prints it."""
    return safe_json(json.dumps(value, ensure_ascii=False, indent=4))


def safe_json(text: str) -> str:
    """JSON text whose unprintable characters are escaped, so that it stays the same JSON."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )


def _pipeline(expression: str, value: object) -> Any:
    tokens = _tokens(expression)
    result: tuple[Any, ...] = ()
    for stage in _stages(tokens):
        if not stage:
            raise _bad(expression, "an expression is empty")
        result = (_command(expression, stage, result, value),)
    return result[0]


def _stages(tokens: list[str]) -> list[list[str]]:
    """The commands between the pipes."""
    stages: list[list[str]] = [[]]
    for token in tokens:
        if token == "|":
            stages.append([])
        else:
            stages[-1].append(token)
    return stages


def _tokens(expression: str) -> list[str]:
    tokens, at = [], 0
    while at < len(expression.rstrip()):
        found = _TOKEN.match(expression, at)
        if found is None:
            raise _bad(expression, f"{expression[at:]!r} is not understood")
        tokens.append(found[1])
        at = found.end()
    return tokens


def _command(expression: str, tokens: list[str], piped: tuple[Any, ...], value: object) -> Any:
    """One command of a pipeline: a function with arguments, or a single value."""
    function = _FUNCTIONS.get(tokens[0])
    if function is None and (len(tokens) > 1 or piped or tokens[0][0].isalpha()):
        raise _bad(expression, f"{tokens[0]!r} is not a known function")
    if function is None:
        return _operand(tokens[0], value)
    arguments = [_operand(token, value) for token in tokens[1:]]
    try:
        return function(*arguments, *piped)
    except (TypeError, LookupError, ValueError, AttributeError):
        raise _bad(expression, f"{tokens[0]} cannot be used like that") from None


def _operand(token: str, value: object) -> Any:
    if token[0] == '"':
        return json.loads(token)
    if token[0] == "`":
        return token[1:-1]
    if token[0] != ".":
        if not token.lstrip("-").isdigit():
            raise _bad(token, f"{token!r} is not a field; fields begin with a dot")
        return int(token)
    for name in filter(None, token.split(".")):
        value = _field(value, name)
    return value


def _field(value: object, name: str) -> object:
    """A field by its name; ID and Id are the same to docker, so they are here."""
    if not isinstance(value, dict):
        raise UsageError(f"the template asks for {name!r} of something that has no fields")
    if name in value:
        return value[name]
    for known, found in value.items():
        if known.lower() == name.lower():
            return found
    known = ", ".join(map(str, value)) or "none"
    raise UsageError(
        f"the template asks for a field {name!r} that is not there",
        hint=f"fields are: {words.escape(known)}",
    )


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) else value[key]
    return value


def _shown(value: Any) -> str:
    """As Go's %v prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        pairs = " ".join(f"{key}:{_shown(value[key])}" for key in sorted(value))
        return f"map[{pairs}]"
    return str(value)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": compact,
    "join": lambda value, separator: separator.join(value or ()),
    "index": _index,
    "len": len,
    "lower": str.lower,
    "println": lambda *values: " ".join(map(_shown, values)) + "\n",
    "upper": str.upper,
}


def _bad(template: str, why: str) -> UsageError:
    return UsageError(f"the template {template.strip()!r} cannot be used: {why}", hint=_HINT)
