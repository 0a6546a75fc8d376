"""`-o type=tar`: the files of images, with their owners, as one tar in docker's form.

Names have no `./` in front, and the root has no entry. Runs as (mapped) root with one thread.
"""

from __future__ import annotations

from rootless.build.export import trees
from rootless.build.export.trees import How, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.archive import Put
    from rootless.store import Store


def write(store: Store, wanted: Sequence[Tree], put: Put, epoch: int | None = None) -> None:
    """Call `put` with the archive, chunk by chunk; `epoch` is the time of all files, if given."""
    trees.write(store, wanted, put, How(epoch))
