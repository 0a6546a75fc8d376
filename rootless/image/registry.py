"""A registry's end of a copy: one image or index of one repository."""

from __future__ import annotations

from rootless.image.transport import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.oci.descriptor import Descriptor
    from rootless.oci.digest import Digest
    from rootless.oci.reference import Reference
    from rootless.registry.client import Client


class Source:
    """What a reference names."""

    def __init__(self, client: Client, reference: Reference) -> None:
        self._client = client
        self._repository = reference.repository
        self._name = reference.digest or reference.tag or "latest"

    def manifest(self, digest: Digest | None = None) -> Document:
        """As `transport.Source`; RegistryError, IntegrityError."""
        return Document(*self._client.manifest(self._repository, digest or self._name))

    def blob(self, blob: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """As `transport.Source`; resumed where a connection breaks."""
        return self._client.blob(self._repository, blob, offset)

    def stop(self) -> None:
        """Break all connections."""
        self._client.stop()
