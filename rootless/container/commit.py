"""A container's changes as the topmost layer of a new image.

The layer is a copy: the container keeps its own files, and may run, end and be removed meanwhile.
`copy` reads all that is needed of the container, which can go on afterwards; `commit` makes the
image. Runs as (mapped) root; unpacking in a forked worker. A crash leaves an owned directory in
tmp/, or a layer that nothing names.
"""

from __future__ import annotations

from rootless import linux
from rootless.archive import apply, diff, places, unpacking
from rootless.container import writable
from rootless.oci.config import History, ImageConfig, decode_run
from rootless.record import Record
from rootless.store import images, layers
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rootless.archive import Put, Read
    from rootless.container.spec import Container
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.layers import Layer


class Label(Record):
    """What an image says of its making: `created` is RFC 3339."""

    created: str
    author: str = ""
    message: str = ""


def configured(store: Store, container: Container) -> ImageConfig:
    """The config of the container's image, changed to how the container runs."""
    config = writable.image(store, container).config
    return config.replace(**decode_run(container.spec.config))


def copy(
    store: Store,
    container: Container,
    *,
    changing: bool,
    when_read: Callable[[], object] = lambda: None,
) -> Staging:
    """Copy the container's changes into a staged diff/; they may be `changing` meanwhile.

    `when_read` is called as soon as all is read: bringing it to the disk may take much longer.
    NotFoundError when the container is removed at the same time.
    """
    staged = Staging(store, ("diff",))
    try:
        with writable.present(store, container), writable.caught(store, container) as directory:
            left_out = writable.stubs(store, container, directory)

            def write(put: Put) -> None:  # through a tar: what that cannot say is no change
                diff.write(directory, put, left_out=left_out, changing=changing)
                when_read()

            unpacking.unpack_apart(write, f"{staged.path}/diff", _unpack(container))
    except BaseException:
        staged.discard()
        raise
    return staged


def _unpack(container: Container) -> Callable[[Read, str], object]:
    """As a layer; what belongs to ids of the container's own belongs to the image's again."""
    owners = None
    if own_ids := container.spec.confinement.own_ids:
        from rootless.store.owned import Owners

        owners = Owners(own_ids, back=True)

    def unpack(read: Read, directory: str) -> None:
        apply.unpack(read, directory, owners=owners)
        linux.syncfs(places.top(directory))

    return unpack


def commit(
    store: Store,
    container: Container,
    copied: Staging,
    label: Label,
    change: Callable[[ImageConfig], ImageConfig],
    references: Collection[Reference] = (),
) -> images.Image:
    """The image of what was copied: without a layer, as docker does it, when nothing changed."""
    parent = writable.image(store, container)
    images.layers_of(store, parent)
    layer = _publish(store, copied)
    config = configured(store, container)
    line = History(
        created=label.created,
        created_by=" ".join(config.cmd or ()),
        comment=label.message,
        author=label.author,
        empty_layer=layer is None,
    )
    added = (layer,) if layer else ()
    config = change(config).replace(
        created=label.created,
        author=label.author,
        diff_ids=(*parent.config.diff_ids, *(one.diff_id for one in added)),
        history=(*parent.config.history, line),
    )
    descriptors = [images.as_oci(blob) for blob in parent.manifest.layers]
    descriptors += map(images.layer_descriptor, added)
    return images.commit(store, config, descriptors, references)


def _publish(store: Store, copied: Staging) -> Layer | None:
    with copied:
        measure = layers.measure(f"{copied.path}/diff")
        return None if measure.diff_id == layers.EMPTY else layers.publish(store, copied, measure)
