"""`commit` and `diff`: what a container has changed, as an image and as a list."""

from __future__ import annotations

import sys
import time
from functools import partial

from rootless import interrupts, userns
from rootless.cli import words
from rootless.cli.finding import find
from rootless.container import events, records
from rootless.errors import RootlessError, UsageError
from rootless.oci.reference import Reference
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.pause import Pause
    from rootless.container.spec import Container


def commit(given: Settings, arguments: Arguments) -> int:
    """Make an image of a container's changes, and print its id."""
    interrupts.catch()
    from rootless.build.plan.changes import Changes
    from rootless.container import commit as committing

    store = Store(given.root)
    changes = Changes.parse(arguments.change)
    references = [_tag(arguments.name)] if arguments.name else []
    container = find(store, arguments.container)
    changes.apply(committing.configured(store, container))  # complain before anything is stopped
    pause = _pause(store, container) if arguments.pause and container.is_running else None
    try:
        userns.enter()
        copied = committing.copy(
            store,
            container,
            changing=container.is_running and not pause,
            when_read=partial(_resume, pause),
        )
    finally:
        _resume(pause)
    label = committing.Label(_now(), arguments.author or "", arguments.message or "")
    image = committing.commit(store, container, copied, label, changes.apply, references)
    about = {"comment": label.message, "imageID": str(image.id), "imageRef": ""}
    if references:
        about["imageRef"] = references[0].familiar
    events.tell(store, "commit", container.spec, **about)
    print(image.id)
    return 0


def diff(given: Settings, arguments: Arguments) -> int:
    """Print a line for each file that a container has added, changed or deleted."""
    from rootless.container import changes

    store = Store(given.root)
    container = find(store, arguments.container)
    userns.enter()
    for kind, path in changes.changes(store, container):
        print(kind, words.escape(path.decode("utf-8", "backslashreplace")))
    return 0


def _tag(text: str) -> Reference:
    reference = Reference.parse(text)
    if reference.digest:
        raise UsageError(
            "refusing to create a tag with a digest reference", hint="write REPOSITORY[:TAG]"
        )
    return reference


def _pause(store: Store, container: Container) -> Pause | None:
    """Stop the container; say so where that cannot be done."""
    from rootless.container.pause import Pause

    supervisor = records.process_of(store, container)
    try:
        if supervisor is None:
            raise RootlessError("which process it runs in is not known here")
        return Pause(store.path("containers", container.id), supervisor)
    except RootlessError as error:
        told = f"note: the container is not paused meanwhile: {error.message}"
        print(words.escape(told), file=sys.stderr)
    return None


def _resume(pause: Pause | None) -> None:
    """Let the container go on, and say who does not."""
    if pause and (left := pause.end()):
        told = " and ".join(map(str, left))
        print(
            f"warning: process {told} of the container could not be told to go on: "
            f"kill -CONT {' '.join(map(str, left))}",
            file=sys.stderr,
        )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
