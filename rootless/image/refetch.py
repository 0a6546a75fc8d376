"""Getting back from a registry what an image of the store lacks: behind `system check --repair`.

Only blobs are written, each checked against its digest; no name changes. Runs outside the user
namespace, for logins may be asked of helpers that need the user's own ids.
"""

from __future__ import annotations

from functools import partial

from rootless.errors import IntegrityError
from rootless.image.store import Sink
from rootless.oci import manifest as manifests
from rootless.oci.config import ImageConfig
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index
from rootless.oci.platform import Platform
from rootless.store import blobs, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from rootless.image.transport import Source
    from rootless.oci.descriptor import Descriptor
    from rootless.oci.manifest import Manifest
    from rootless.store import Store


def refetch(
    store: Store, source: Source, entry: Descriptor, lost: Container[Digest] = ()
) -> Iterator[Digest]:
    """Fetch what the image of an index entry lacks; the digest of each blob as it comes.

    `lost` are manifests that were here, of which an index may list some. RegistryError, or
    IntegrityError for what `source` has instead.
    """
    if not blobs.has(store, entry.digest):
        document = source.manifest(entry.digest)
        if Digest.of(document.content) != entry.digest:
            raise IntegrityError(f"the registry has another manifest than {entry.digest}")
        blobs.put(store, document.content)
        yield entry.digest
    found = manifests.decode(blobs.read(store, entry.digest), entry.media_type)
    if isinstance(found, Index):
        wanted = [one for one in found.images if _is_wanted(store, one, lost)]
        for one in wanted or [found.choose(Platform.host())]:
            yield from refetch(store, source, one, lost)
    else:
        yield from _blobs(store, source, found)


def _is_wanted(store: Store, entry: Descriptor, lost: Container[Digest]) -> bool:
    return entry.digest in lost or blobs.has(store, entry.digest)


def _blobs(store: Store, source: Source, manifest: Manifest) -> Iterator[Digest]:
    sink = Sink(store)
    wanted = manifest.config
    if not sink.has(wanted):
        sink.put_blob(wanted, partial(source.blob, wanted), _say_nothing)
        yield wanted.digest
    config = ImageConfig.decode(blobs.read(store, wanted.digest))
    for blob, diff_id in manifest.pair(config.diff_ids):
        is_made_again = blob.digest == diff_id and layers.find(store, diff_id)
        if not is_made_again and not sink.has(blob):
            sink.put_blob(blob, partial(source.blob, blob), _say_nothing)
            yield blob.digest


def _say_nothing(state: str, current: int) -> None:
    """A repair tells what has come, not how."""
