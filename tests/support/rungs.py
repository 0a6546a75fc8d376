"""The rungs of the privilege ladder, as prefixes of a command: what stands on which one.

range  a user namespace with a range of ids
one    a user namespace with the user's own id only
root   root in a container that docker started with its defaults, which may mount nothing
none   an ordinary user there, without any capability and without any to gain
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Rootless
from tests.support import child, images, one_id, plain

ROOT = plain.prefix()
NONE = plain.prefix("none")
ALL: dict[str, tuple[str, ...]] = {"range": (), "one": one_id.PREFIX, "root": ROOT}
"""Where commands are run."""


@contextmanager
def beside(
    folder: Path, image: images.BaseImage, name: str, prefix: tuple[str, ...]
) -> Iterator[list[Rootless]]:
    """The same image in two stores: one of a range of ids, and one of the rung called `name`."""
    made = []
    for rung, before in (("range", ()), (name, prefix)):
        made.append(Rootless(folder / rung))
        made[-1].prefix = before
        made[-1].ok("load", "-i", image.archive(folder / f"{rung}.tar"))
    yield made
    for one in made:
        child.remove_tree(one.root)
