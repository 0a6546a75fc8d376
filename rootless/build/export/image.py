"""An image in the store: config, manifest and names. Runs in the builder."""

from __future__ import annotations

from rootless.build.plan import config, steps
from rootless.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.build.plan.steps import Recipe
    from rootless.build.stack import Stack
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.images import Image


def export(
    store: Store,
    recipe: Recipe,
    stack: Stack,
    labels: Mapping[str, str],
    tags: tuple[Reference, ...],
) -> Image:
    """The image of a stage whose layers are `stack`, also known as `tags` from now on."""
    times = tuple(entry.created for entry in stack.entries)
    stamped = steps.stamped(recipe.config, times).replace(diff_ids=stack.diff_ids)
    return images.commit(store, config.with_labels(stamped, labels), stack.descriptors, tags)
