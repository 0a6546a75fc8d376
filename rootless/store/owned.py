"""Copies of layers whose files belong to other ids: for containers that have ids of their own.

The overlayfs of an ordinary user cannot translate ids, so a container in which uid 0 is not the
user's gets its layers copied, each file given to whoever stands for its owner there. A copy is
`layers/<id>/owned-<hash of the map>`, beside diff/, and goes with its layer; it takes as much room
as the layer does. Made through a tar, as layers are, in tmp/, and published by a rename; runs as
(mapped) root.
"""

from __future__ import annotations

import os
import stat

from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.archive import Read
    from rootless.store import Store
    from rootless.userns import IdMap, IdRange


def path(layer: str, ids: IdMap) -> str:
    """Where the copy of a layer's diff/ is, or will be, for this map (inside, outside, count)."""
    from hashlib import sha256

    key = sha256(repr((ids.uids, ids.gids)).encode()).hexdigest()[:8]
    return f"{os.path.dirname(layer)}/owned-{key}"


def make(store: Store, layer: str, ids: IdMap) -> None:
    """Make the copy, if it is not there. RootlessError names a file whose owner is not mapped."""
    target = path(layer, ids)
    if os.path.isdir(target):
        return
    from rootless import linux
    from rootless.archive import apply, diff, places, unpacking
    from rootless.owners import of_name
    from rootless.store.staging import Staging

    owners = Owners(ids)

    def unpack(read: Read, directory: str) -> None:
        apply.unpack(read, directory, owners=owners)
        linux.syncfs(places.top(directory))

    with store.writing(), Staging(store, ("diff",)) as staged:
        copy = f"{staged.path}/diff"
        unpacking.unpack_apart(lambda put: diff.write(layer, put) and None, copy, unpack)
        root = os.stat(layer)
        os.chown(copy, *owners(*of_name(layer, root, None)))
        os.chmod(copy, stat.S_IMODE(root.st_mode))
        try:
            os.rename(copy, target)
        except OSError:
            if not os.path.isdir(target):  # else somebody else was faster
                raise


class Owners:
    """Who owns in the outer namespace what belongs to an id in the inner one.

    Or the other way, `back`: there, root stands for whoever is nobody inside.
    """

    def __init__(self, ids: IdMap, *, back: bool = False) -> None:
        self._ids = ids
        self._back = back

    def __call__(self, uid: int, gid: int) -> tuple[int, int]:
        return self._of(self._ids.uids, uid, "user"), self._of(self._ids.gids, gid, "group")

    def _of(self, ranges: tuple[IdRange, ...], number: int, what: str) -> int:
        for inside, outside, count in ranges:
            first, other = (outside, inside) if self._back else (inside, outside)
            if first <= number < first + count:
                return other + number - first
        if self._back:  # the store's own mount points, and what a volume's owner has left
            return 0
        raise RootlessError(
            f"a file belongs to {what} {number}, whom the container's ids do not have",
            hint="give it more ids: --userns=auto:size=65536, or a longer --uidmap and --gidmap",
        )
