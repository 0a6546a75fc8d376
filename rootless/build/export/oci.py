"""`-o type=oci` and `type=docker,dest=…`: images as one archive, or as an OCI image layout.

Layers are compressed as docker does it, with gzip unless something else is wished; what is packed
for that stays in the store as a push's does. Runs as (mapped) root; no thread may be running. A
crash leaves what `image.save` and `image.folder` leave.
"""

from __future__ import annotations

from rootless.build.export.image import is_list
from rootless.image import copy, folder, save
from rootless.image import store as ends
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.archive import Put
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.images import Image

_UNNAMED = "latest"  # what docker calls the only image of a layout


class Named(Record):
    """An image, and how the archive's index is to list it."""

    image: Image
    references: Sequence[Reference] = ()
    annotations: Mapping[str, str] = {}


def write(store: Store, named: Named, put: Put, form: str) -> None:
    """Call `put` with an archive of a `form` that `save` knows, chunk by chunk."""
    descriptor = named.image.descriptor.replace(
        platform=None if is_list(named.image) else named.image.config.platform,
        annotations=named.annotations,
    )
    listed = named.image.replace(descriptor=descriptor)
    references = named.references or (None,)
    chosen = [save.Chosen.of(store, listed, reference) for reference in references]
    save.write(store, chosen, put, form)


def write_layout(store: Store, named: Named, path: str) -> None:
    """Add the image to the OCI image layout at `path`, made where it is missing, by its tags."""
    source = ends.Source(store, named.image)
    tags = [reference.tag or _UNNAMED for reference in named.references] or [_UNNAMED]
    with folder.Folder(path, make=True) as opened:
        for tag in dict.fromkeys(tags):
            sink = folder.Sink(opened, folder.Layout(tag, named.annotations))
            copy.copy(source, sink, lambda _: None)
