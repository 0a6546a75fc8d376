"""`$NAME`, `${NAME:-word}` and the like in the strings of a compose file. Pure.

compose-spec, 12-interpolation.md.
"""

from __future__ import annotations

from rootless.bake.errors import BakeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SIGNS = (":-", "-", ":?", "?", ":+", "+")
_DEEPEST = 20


def interpolate(text: str, environment: Mapping[str, str], depth: int = 0) -> str:
    """The text with the values put in; `$$` is a dollar."""
    found: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        found.append(text[at:dollar])
        after = text[dollar + 1 : dollar + 2]
        if after == "$":
            found.append("$")
            at = dollar + 2
        elif after == "{":
            end = _closing(text, dollar + 2)
            found.append(_substituted(text[dollar + 2 : end], environment, depth))
            at = end + 1
        else:
            name = _name(text[dollar + 1 :])
            if not name:
                raise BakeError(f"{text[:80]!r}: a $ that means itself is written $$")
            found.append(environment.get(name, ""))
            at = dollar + 1 + len(name)
    return "".join(found) + text[at:]


def _closing(text: str, start: int) -> int:
    depth = 1
    for at in range(start, len(text)):
        if text[at] == "{" and text[at - 1] == "$":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
    raise BakeError(f"{text[:80]!r}: a ${{ without its }}")


def _name(text: str) -> str:
    length = 0
    while length < len(text) and (
        text[length].isascii() and (text[length].isalnum() or text[length] == "_")
    ):
        length += 1
    return "" if text[:1].isdecimal() else text[:length]


def _substituted(inner: str, environment: Mapping[str, str], depth: int) -> str:
    name = _name(inner)
    rest = inner[len(name) :]
    sign = next((sign for sign in _SIGNS if rest.startswith(sign)), "")
    if not name or (rest and not sign) or depth > _DEEPEST:
        raise BakeError(f"${{{inner[:60]}}} is no variable")
    value = environment.get(name)
    there = bool(value) if sign.startswith(":") else value is not None
    word = rest[len(sign) :]
    if sign.endswith("+"):
        return interpolate(word, environment, depth + 1) if there else ""
    if there or not sign:
        return value or ""
    word = interpolate(word, environment, depth + 1)
    if sign.endswith("?"):
        raise BakeError(f"the variable {name} is needed: {word or 'it is not set'}")
    return word


def dotenv(text: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file; '…' is taken as it is, the rest is interpolated."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = line.strip().removeprefix("export ").strip()
        name, equals, value = words.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name or name.startswith("#"):
            continue
        if value[:1] == "'" and value.count("'") > 1:
            found[name] = value[1 : value.index("'", 1)]
            continue
        if value[:1] == '"' and value.count('"') > 1:
            value = value[1 : value.index('"', 1)].replace("\\n", "\n")
        else:
            value = value.partition(" #")[0].rstrip()
        found[name] = interpolate(value, {**found, **environment})
    return found
