"""Is the image here, or must it be pulled? Asked by `run`, `build` and `pull` in the same way.

`find` looks into the store only and may be called anywhere. `pull` needs the user namespace; its
client is made before, because reading a login may start a helper that needs the user's own ids.
"""

from __future__ import annotations

from rootless.errors import NotFoundError
from rootless.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.transport import Report
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.registry.client import Client
    from rootless.registry.errors import RegistryError
    from rootless.store import Store
    from rootless.store.images import Image


def find(
    store: Store, text: str, wanted: Platform | None = None, policy: str = "missing"
) -> Image | None:
    """The image called `text`, for the platform `wanted` if given; None when it is to be pulled.

    `policy` is docker's: missing, always or never. One that no registry has served and that is for
    another platform is an error, as is one that is not here and never to be pulled: NotFoundError.
    """
    if policy == "always":
        return None
    try:
        image = _resolve(store, text, wanted)
    except NotFoundError:
        if policy == "never":
            raise
        return None
    has = image.config.platform
    if wanted is None or has.runs_on(wanted):
        return image
    if image.repo_digests and policy != "never":
        return None
    raise NotFoundError(
        f"the image {text} is for {has}, not for {wanted}",
        hint=f"use --platform {has}, or give the image for {wanted} that name",
    )


def _resolve(store: Store, text: str, wanted: Platform | None) -> Image:
    """That for the platform, where the name stands for several; else any, to say what it is."""
    try:
        return images.resolve(store, text, wanted)
    except NotFoundError:
        if wanted is None:
            raise
        return images.resolve(store, text)


def pull(
    store: Store,
    reference: Reference,
    *,
    platform: Platform,
    client: Client,
    report: Report,
    strict: bool = True,
) -> Image:
    """Pull the image, as `pull.pull` does; where it cannot be had, say what is here."""
    from rootless.image.pull import pull
    from rootless.registry.errors import RegistryError

    try:
        return pull(
            store, reference, platform=platform, client=client, report=report, strict=strict
        )
    except RegistryError as error:
        suggest(store, reference, error)
        raise


def suggest(store: Store, reference: Reference, error: RegistryError) -> None:
    """Let an error say what is here that may have been meant."""
    if near := images.catalog(store).meant(reference):
        otherwise = f" otherwise {error.hint}" if error.hint else ""
        error.hint = f"did you mean {near}, which is here?{otherwise}"
