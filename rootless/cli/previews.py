"""What a pull or a push would do: `--dry-run`."""

from __future__ import annotations

from rootless.cli import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.image.push import Wishes
    from rootless.image.transport import Event
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.registry.client import Client
    from rootless.registry.push import Uploads
    from rootless.store import Store
    from rootless.store.images import Image

_WORDS = {
    "exists": "exists already",
    "downloading": "would be downloaded",
    "mounted": "would be mounted from ",
    "uploading": "would be pushed",
    "packing": "would be compressed and pushed",
}
_MOVES = ("downloading", "uploading", "packing")


def pull(store: Store, reference: Reference, platform: Platform, client: Client) -> None:
    """Print what a pull would download."""
    from rootless.image.pull import preview

    document, events = preview(store, reference, platform=platform, client=client)
    _print(events)
    print(f"Digest: {document.digest}")
    print(f"Would download {_sum(events)}; nothing has been changed")


def push(
    store: Store, image: Image, reference: Reference, uploads: Uploads, wishes: Wishes
) -> None:
    """Print what a push would send."""
    from rootless.image.push import preview

    document, events = preview(store, image, reference, uploads, wishes)
    _print(events)
    known = document and f"{document.digest} size: {len(document.content)}"
    print(f"{reference.tag}: digest: {known or 'known when all layers are compressed'}")
    less = ", before compression" if any(one.state == "packing" for one in events) else ""
    print(f"Would push {_sum(events)}{less}; nothing has been changed")


def _print(events: Sequence[Event]) -> None:
    for event in events:
        amount = f", {words.size(event.total)}" if event.state in _MOVES else ""
        print(f"{event.layer}: {_WORDS[event.state]}{event.origin}{amount}")


def _sum(events: Sequence[Event]) -> str:
    moved = sum(one.total for one in events if one.state in _MOVES)
    return f"{words.size(moved)} of {words.size(sum(one.total for one in events))}"
