"""All files of a container as one tar: its image's with its own changes, but of no mount.

Runs as (mapped) root; nothing is written to the store but an empty directory in tmp/, which goes.
"""

from __future__ import annotations

from rootless.archive import diff, tar
from rootless.container import writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.archive import Put
    from rootless.container.spec import Container
    from rootless.store import Store


def export(store: Store, container: Container, put: Put) -> None:
    """Call `put` with the tar, chunk by chunk; what a running container changes is told as met.

    NotFoundError when the container is removed meanwhile: what was put is then worthless.
    """
    with (
        writable.present(store, container),
        writable.caught(store, container) as caught,
        writable.whole(store, container, caught) as tree,
    ):
        diff.write_tree(tree.target, put, changing=container.is_running, change=_owned(container))


def _owned(container: Container) -> Callable[[tar.Entry], tar.Entry] | None:
    """Owners as the container sees them, where it has ids of its own."""
    own_ids = container.spec.confinement.own_ids
    if not own_ids:
        return None
    from rootless.store.owned import Owners

    owners = Owners(own_ids, back=True)

    def change(entry: tar.Entry) -> tar.Entry:
        entry.uid, entry.gid = owners(entry.uid, entry.gid)
        return entry

    return change
