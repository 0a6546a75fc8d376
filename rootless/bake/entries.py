"""Outputs, caches, secrets, ssh keys and attestations of a target. Pure.

Each is a dict of strings (`paths` of ssh is a list, `disabled` of an attestation a bool), however
it was written: `type=local,dest=out` or an object.
"""

from __future__ import annotations

from rootless.bake.errors import BakeError
from rootless.bake.hcl import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from rootless.bake.hcl.values import Value

    Entry = dict[str, Any]

_SECRET_KEYS = ("id", "src", "env")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def fields(text: str) -> list[str]:
    """The fields of one line of CSV; BakeError for an empty one."""
    if not text:
        raise BakeError("an empty word is no list")
    if '"' not in text:
        return text.split(",")
    import csv

    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise BakeError(f"{text!r}: {error}") from None


def boolean(text: str, what: str = "a switch") -> bool:
    """true or false as Go reads them."""
    if text not in _TRUE + _FALSE:
        raise BakeError(f"{what}: {text!r} is neither true nor false")
    return text in _TRUE


def _pair(field: str, whole: str) -> tuple[str, str]:
    key, equals, value = field.partition("=")
    if not equals:
        raise BakeError(f"{whole!r}: {field!r} is not key=value")
    return key.strip().lower(), value


def _typed(text: str) -> Entry:
    found: Entry = {"type": ""}
    found.update(_pair(field, text) for field in fields(text))
    if not found["type"]:
        raise BakeError(f"{text!r}: type= is missing")
    return found


def _output(text: str) -> Entry:
    split = fields(text)
    if split == [text] and not text.startswith("type="):
        return {"type": "tar" if text == "-" else "local", "dest": text}
    return _typed(text)


def _cache(text: str) -> Entry:
    split = fields(text)
    if len(split) == 1 and "=" not in split[0]:
        return {"type": "registry", "ref": split[0]}
    return _typed(text)


def caches(texts: Iterable[str]) -> list[Entry]:
    """Caches as --set and compose write them: `a,b` is two of a registry."""
    found: list[Entry] = []
    for text in texts:
        if text:
            found += [_cache(one) for one in (fields(text) if "=" not in text else [text])]
    return found


def _secret(text: str) -> Entry:
    return _secret_of([_pair(field, text) for field in fields(text)])


def _secret_of(pairs: Iterable[tuple[str, str]]) -> Entry:
    found: Entry = {}
    of = ""
    for key, value in pairs:
        if key == "type" and value in ("file", "env"):
            of = value
        elif key in ("source", *_SECRET_KEYS):
            found["src" if key == "source" else key] = value
        else:
            raise BakeError(f"a secret has no {key}={value!r}", hint="write id=, src= or env=")
    if of == "env" and not found.get("env"):
        found["env"] = found.pop("src", "")
    return found


def _ssh(text: str) -> Entry:
    name, equals, paths = text.partition("=")
    return {"id": name, "paths": paths.split(",")} if equals else {"id": name}


def _attest(text: str) -> Entry:
    found = _typed(text)
    if "disabled" in found:
        found["disabled"] = boolean(found["disabled"], text)
    return found


_PARSERS: dict[str, Callable[[str], Entry]] = {
    "output": _output,
    "cache": _cache,
    "secret": _secret,
    "ssh": _ssh,
    "attest": _attest,
}


def parse(kind: str, text: str) -> Entry:
    """One entry written as a string."""
    return _PARSERS[kind](text)


def of_value(kind: str, value: Value) -> Entry:
    """One entry written as a string or as an object."""
    if not isinstance(value, dict):
        return parse(kind, values.text(value))
    if kind == "secret":
        given = {key: one for key, one in value.items() if one is not None}
        return _secret_of((key.strip().lower(), values.text(given[key])) for key in given)
    found: Entry = {}
    for key, one in value.items():
        if one is None:
            continue
        if kind == "ssh" and key == "paths":
            found[key] = [values.text(path) for path in values.elements(one)]
        elif kind == "attest" and key == "disabled":
            found[key] = values.boolean(one)
        else:
            found[key] = values.text(one)
    if kind in ("output", "cache", "attest") and not found.get("type"):
        raise BakeError("type is missing")
    return found


def without_twins(found: list[Entry], kind: str) -> list[Entry]:
    """Each entry once; of attestations, each type once, as the last one has it."""
    if kind == "attest":
        by_type: dict[str, Entry] = {}
        for entry in found:
            by_type[entry["type"]] = entry
        return list(by_type.values())
    # docker's order: from the end, a twin behind an entry gives its place to the last one
    found = list(found)
    for at in range(len(found) - 2, -1, -1):
        for twin in range(at + 1, len(found)):
            if found[at] == found[twin]:
                found[twin] = found[-1]
                found.pop()
                break
    return found


def attest_of(kind: str, text: str) -> str:
    """`--sbom` and `--provenance`: `true`, `false` or attributes → an attestation's text."""
    if text in _TRUE + _FALSE:
        return f"type={kind},disabled={'false' if text in _TRUE else 'true'}"
    return f"type={kind},{text}"
