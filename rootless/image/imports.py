"""An image of a bare root filesystem: `import`.

The tar is read here, wherever it comes from, and unpacked by a forked worker. Runs as (mapped)
root. A crash leaves a swept directory in tmp/, or a layer that nothing names.
"""

from __future__ import annotations

import os

from rootless.archive import unpacking
from rootless.oci.config import History, ImageConfig
from rootless.oci.platform import Platform
from rootless.store import images, layers, staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.archive import Put, Read
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.images import Image

_CHUNK = 1 << 18


def import_tar(
    store: Store,
    read: Read,
    reference: Reference | None,
    *,
    created: str,
    message: str = "",
    change: Callable[[ImageConfig], ImageConfig] = lambda config: config,
) -> Image:
    """Make an image of one layer from a root filesystem's tar, compressed in whatever way.

    `created` is RFC 3339; `change` completes the config. IntegrityError also when the tar has ended
    but `read` goes on and on.
    """

    def write(put: Put) -> None:
        while chunk := read(_CHUNK):
            put(chunk)

    with staging.Staging(store, ("diff",)) as staged:
        directory = os.path.join(staged.path, "diff")
        unpacking.unpack_apart(write, directory)
        layer = layers.publish(store, staged, layers.measure(directory))
    config = ImageConfig(
        Platform.host(),
        created=created,
        diff_ids=(layer.diff_id,),
        history=(History(created=created, comment=message),),
    )
    names = [reference] if reference else []
    return images.commit(store, change(config), [images.layer_descriptor(layer)], names)
