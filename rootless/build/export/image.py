"""An image in the store: config, manifest and names; several as one list. Runs in the builder."""

from __future__ import annotations

from time import time

from rootless.build.plan import config as configs
from rootless.build.plan import steps, times
from rootless.oci import media_types
from rootless.oci.descriptor import Descriptor
from rootless.oci.manifest import Index, Manifest, in_words
from rootless.store import blobs, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.build.plan.steps import Recipe
    from rootless.build.request import Form, Request
    from rootless.build.stack import Stack
    from rootless.store import Store
    from rootless.store.images import Image


def export(store: Store, recipe: Recipe, stack: Stack, request: Request) -> Image:
    """The image of a stage whose layers are `stack`."""
    form = request.form
    made = tuple(entry.created for entry in stack.entries)
    epoch = "" if request.epoch is None else times.text(request.epoch)
    config = steps.stamped(recipe.config, made, epoch)
    if form.squash:
        from rootless.build.export import squash

        request.enter()
        stack = squash.squash(store, stack, form.squash)
        config = config.replace(history=squash.history(config.history, len(stack.entries) - 1))
    config = config.replace(diff_ids=stack.diff_ids, platform=form.platform or config.platform)
    content = configs.with_labels(config, form.labels, form.unset_labels).encode()
    blobs.put(store, content)
    listed = Descriptor.of(content, media_types.OCI_CONFIG)
    manifest = Manifest(media_types.OCI_MANIFEST, listed, stack.descriptors, form.annotations)
    return _put(store, manifest, form, _built(request.epoch))


def index(
    store: Store,
    built: Sequence[Image],
    form: Form,
    described: Sequence[Mapping[str, str]],
    epoch: int | None,
) -> Image:
    """A list of images, one a platform; `described` are the annotations of each one's entry."""
    entries = tuple(
        one.descriptor.replace(platform=one.config.platform, annotations=annotations)
        for one, annotations in zip(built, described, strict=True)
    )
    found = Index(media_types.OCI_INDEX, entries, form.annotations)
    return _put(store, found, form, _built(epoch))


def _built(epoch: int | None) -> str:
    """What lists of images are to say; it is no part of the image."""
    return times.text(int(time()) if epoch is None else epoch)


def is_list(image: Image) -> bool:
    """Whether its names stand for an index."""
    return image.descriptor.media_type in media_types.INDEXES


def _put(store: Store, found: Manifest | Index, form: Form, built: str) -> Image:
    if form.is_docker:
        found = in_words(found, media_types.DOCKER_TWINS)
    content = found.encode()
    if form.is_listed:
        added = images.Addition(content, found.media_type, form.tags, built=built)
        return images.add_all(store, [added])[0]
    blobs.put(store, content)
    image = images.load(store, Descriptor.of(content, found.media_type))
    images.hold(store, image)
    return image
