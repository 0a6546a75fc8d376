"""events.jsonl, written: what has happened, an object a line. `container.events` reads it.

The objects are those of docker's events. A line is one write(2) at the end of the file, so that
many may write; a file that has grown large becomes events.jsonl.1, and the one before it goes. It
is told after the fact: a crash, or a full disk, loses an event and nothing else. Any process of the
user's writes, inside the namespace or not.
"""

from __future__ import annotations

import os

from rootless import leanjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.store import Store

NAME = "events.jsonl"
_LARGE = 1 << 20  # bytes; some 2500 events
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SHORT = ("container", "image")  # those that docker also tells in the words of old


def tell(
    store: Store, kind: str, action: str, identity: str, attributes: Mapping[str, str] | None = None
) -> None:
    """Something of this kind (container, image, volume, network, builder) has happened; never an
    error. `identity` is "" where it has happened to many.
    """
    from time import time_ns

    now = time_ns()
    facts = dict(sorted((attributes or {}).items()))
    old: dict[str, object] = {}
    if kind in _SHORT:
        told = {"status": action, "id": identity, "from": ""}
        if kind == "container":
            told["from"] = facts.get("image", "")
        old = {name: text for name, text in told.items() if text}
    event = {
        **old,
        "Type": kind,
        "Action": action,
        "Actor": {"ID": identity, "Attributes": facts},
        "scope": "local",
        "time": now // 1_000_000_000,
        "timeNano": now,
    }
    path = store.path(NAME)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _FLAGS, 0o600)
        try:
            if os.fstat(fd).st_size > _LARGE:
                os.rename(path, f"{path}.1")
            os.write(fd, leanjson.dumps(event) + b"\n")
        finally:
            os.close(fd)
    except OSError:
        pass


def tell_image(store: Store, action: str, identity: object) -> None:
    """Something has happened to an image; docker names it by its id, too."""
    tell(store, "image", action, str(identity), {"name": str(identity)})


def pruned(store: Store, kind: str, size: int = 0) -> None:
    """What nobody needs of this kind has been removed; `size` in bytes."""
    tell(store, kind, "prune", "", {"reclaimed": str(size)})
