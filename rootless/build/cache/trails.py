"""What a step was when it was carried out last, to say what is different now: `build --why`.

cache/trails/<place>.json, where `place` is a digest of Dockerfile, context, stage and number of the
step: {"text", "action", "inputs", "chain", "listing"}, of which the last is `contents.listing` of
what it read of the context. Written when a step was carried out; read only to explain. Runs in the
builder, and in the processes that carry strands out; losing one costs an explanation.
"""

from __future__ import annotations

import os
from time import time_ns

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.store import replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.build.cache.key import Key
    from rootless.store import Store

_LONGEST = 1 << 20  # characters of a listing that are kept
_SHOWN = 5  # files, variables: names in one reason
_UNUSED = 30 * 86_400 * 10**9  # ns after which a trail goes


def record(store: Store, key: Key) -> None:
    """Keep what the step with this key was."""
    trail = {
        "text": key.text,
        "action": key.action,
        "inputs": key.inputs,
        "chain": key.beneath.chain_id if key.beneath else "",
        "listing": key.listing if len(key.listing) <= _LONGEST else "",
    }
    with store.writing():
        os.makedirs(store.path("cache", "trails"), mode=0o700, exist_ok=True)
        replace_file(store, _path(store, key), leanjson.dumps(trail), durable=False)


def forget_unused(store: Store) -> None:
    """Delete the trails of steps that nobody has carried out for long."""
    oldest = time_ns() - _UNUSED
    folder = store.path("cache", "trails")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            if os.lstat(os.path.join(folder, name)).st_mtime_ns < oldest:
                os.unlink(os.path.join(folder, name))
        except FileNotFoundError:  # somebody else was faster
            continue


def reason(store: Store, key: Key) -> str:
    """What is different from the last time, a clause for people."""
    try:
        with open(_path(store, key), "rb", buffering=0) as file:
            before = leanjson.loads(file.read(leanjson.MAX_BYTES))
    except (OSError, IntegrityError):
        before = None
    if not isinstance(before, dict):
        return "it was never carried out before"
    found = [*_instruction(before, key), *_beneath(before, key), *_files(before, key)]
    return "; ".join(found) or "its layer is not in the store any more"


def _instruction(before: dict[str, Any], key: Key) -> list[str]:
    """What the Dockerfile, its ARGs and ENVs say."""
    if before.get("text") != key.text:
        return [f"the instruction here was: {_line(before.get('text'))}"]
    now = leanjson.loads(leanjson.dumps(key.action))
    was = before.get("action")
    if was == now or not isinstance(was, list) or not isinstance(now, list):
        return []
    variables = _variables(was, now)
    return variables or ["what the instruction means changed: a flag, USER, WORKDIR or SHELL"]


def _variables(was: list[Any], now: list[Any]) -> list[str]:
    """ARGs and ENVs that a command sees, with their values then and now."""
    try:
        before, after = (dict(one[3]) for one in (was, now) if one[0] == "run")
    except (ValueError, TypeError, IndexError):
        return []
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [
        f"{name} was {_shown(before.get(name))}, is {_shown(after.get(name))}"
        for name in changed[:_SHOWN]
    ]


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value)


def _beneath(before: dict[str, Any], key: Key) -> list[str]:
    chain = key.beneath.chain_id if key.beneath else ""
    if before.get("chain") == chain:
        return []
    short = [str(one).partition(":")[2][:12] or "nothing" for one in (before.get("chain"), chain)]
    return [f"it rests on other layers: {short[0]} before, {short[1]} now"]


def _files(before: dict[str, Any], key: Key) -> list[str]:
    """Which files of the context are new, gone or changed."""
    if before.get("inputs") == key.inputs:
        return []
    was, now = (_parsed(one, key.folder) for one in (before.get("listing"), key.listing))
    if not was or not now:
        return ["the files that it reads changed"]
    found = [
        *(f"{name} changed" for name in now if name in was and was[name] != now[name]),
        *(f"{name} is new" for name in now if name not in was),
        *(f"{name} is gone" for name in was if name not in now),
    ]
    if not found:
        return ["the order of the files that it reads changed"]
    more = len(found) - _SHOWN
    return [*found[:_SHOWN], *([f"and {more} more files"] if more > 0 else [])]


def _parsed(listing: object, top: str) -> dict[str, str]:
    """What is said of each path of a listing, which begins below the folder `top`."""
    found, folder = {}, top
    for line in str(listing or "").split("\n"):
        name, _, rest = line.partition("\0")
        if "\0" in rest:
            found[f"{folder}/{name}".lstrip("/")] = rest
        elif rest:
            folder = f"{top}/{name}".strip("/")
            found[f"{folder}/".lstrip("/") or "the directory"] = rest
    return found


def _line(text: object) -> str:
    return str(text).partition("\n")[0]


def _path(store: Store, key: Key) -> str:
    return store.path("cache", "trails", f"{key.place}.json")
