"""An image in the store: config, manifest and names; several as one list. Runs in the builder."""

from __future__ import annotations

from rootless.build.plan import config as configs
from rootless.build.plan import steps
from rootless.oci import media_types
from rootless.oci.descriptor import Descriptor
from rootless.oci.manifest import Index, Manifest, in_words
from rootless.store import blobs, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rootless.build.plan.steps import Recipe
    from rootless.build.request import Form
    from rootless.build.stack import Stack
    from rootless.store import Store
    from rootless.store.images import Image


def export(
    store: Store, recipe: Recipe, stack: Stack, form: Form, enter: Callable[[], object]
) -> Image:
    """The image of a stage whose layers are `stack`; `enter` enters the user namespace."""
    times = tuple(entry.created for entry in stack.entries)
    config = steps.stamped(recipe.config, times)
    if form.squash:
        from rootless.build.export import squash

        enter()
        stack = squash.squash(store, stack, form.squash)
        config = config.replace(history=squash.history(config.history, len(stack.entries) - 1))
    config = config.replace(diff_ids=stack.diff_ids)
    content = configs.with_labels(config, form.labels, form.unset_labels).encode()
    blobs.put(store, content)
    listed = Descriptor.of(content, media_types.OCI_CONFIG)
    manifest = Manifest(media_types.OCI_MANIFEST, listed, stack.descriptors, form.annotations)
    return _put(store, manifest, form)


def index(
    store: Store, built: Sequence[Image], form: Form, described: Sequence[Mapping[str, str]]
) -> Image:
    """A list of images, one a platform; `described` are the annotations of each one's entry."""
    entries = tuple(
        one.descriptor.replace(platform=one.config.platform, annotations=annotations)
        for one, annotations in zip(built, described, strict=True)
    )
    return _put(store, Index(media_types.OCI_INDEX, entries, form.annotations), form)


def is_list(image: Image) -> bool:
    """Whether its names stand for an index."""
    return image.descriptor.media_type in media_types.INDEXES


def _put(store: Store, found: Manifest | Index, form: Form) -> Image:
    if form.is_docker:
        found = in_words(found, media_types.DOCKER_TWINS)
    content = found.encode()
    if form.is_listed:
        return images.add(store, content, found.media_type, form.tags)
    blobs.put(store, content)
    image = images.load(store, Descriptor.of(content, found.media_type))
    images.hold(store, image)
    return image
