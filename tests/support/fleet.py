"""What builds cost a registry, scene by scene: for docs/fleet.md (scripts/fleet) and its test.

A machine is a store. The image is one of a language's kind: a base, packages above it (made up,
and as hard to compress as real ones are), a program of which the last line changes.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, NamedTuple

from tests.support.counting import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.counting import Counter

_DOCKERFILE = """\
FROM {place}/base
COPY packages /packages
RUN cp -r /packages /installed
COPY program /program
RUN cp /program /built
"""


class Scene(NamedTuple):
    """What one machine asked of the registry for one command."""

    name: str
    cost: Cost


def scenes(
    counter: Counter, machine: Callable[[str], Callable[..., str]], folder: Path, size: int
) -> Iterator[Scene]:
    """All of them in their order, after the base was pushed to `base`.

    `machine(name)` is what carries out a command with the store of that name, and insists on
    success; `size` are the bytes of the packages.
    """
    place = f"{counter.address}/fleet"
    project = _project(folder / "project", place, size)
    cache = f"type=registry,ref={place}/cache"
    build = (
        *("build", "--push", "-t", f"{place}/app", f"--cache-from={cache}"),
        *(f"--cache-to={cache},mode=max", "--progress=plain", str(project)),
    )

    def cost(name: str, who: str, *command: str) -> Scene:
        before = counter.cost
        machine(who)(*command)
        return Scene(name, counter.cost - before)

    yield cost("cold: pull the base, build, push, share the cache", "one", *build)
    yield cost("the same machine, nothing changed", "one", *build)
    yield cost("a new machine, nothing changed", "two", *build)
    (project / "program").write_text("a line more\n")
    yield cost("the same machine, the program changed", "one", *build)
    yield cost("a new machine, after that", "three", *build)
    yield cost("a machine that only runs it: pull", "four", "pull", f"{place}/app")
    yield cost("the same again", "four", "pull", f"{place}/app")
    yield cost("one that had the version before: pull", "two", "pull", f"{place}/app")


def _project(folder: Path, place: str, size: int) -> Path:
    (folder / "packages").mkdir(parents=True)
    (folder / "Dockerfile").write_text(_DOCKERFILE.format(place=place))
    (folder / "program").write_text("a line\n")
    text = random.Random(1)
    for number in range(64):
        half = size // 128
        words = bytes(text.choices(b"etaoin", k=half)) + text.randbytes(half)
        (folder / "packages" / f"file{number}").write_bytes(words)
    os.utime(folder / "program", (0, 0))
    return folder
