"""A registry's ends of a copy: one image or index of one repository."""

from __future__ import annotations

from rootless.image.transport import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rootless.image.transport import Read, Tell
    from rootless.oci.descriptor import Descriptor
    from rootless.oci.digest import Digest
    from rootless.oci.reference import Reference
    from rootless.registry.client import Client
    from rootless.registry.push import Uploads


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

    def doubt(self) -> bool:
        """As `transport.Source`: a mirror is asked no more."""
        return self._client.doubt()

    def stop(self) -> None:
        """Break all connections."""
        self._client.stop()


class Sink:
    """What is to have the name `tag` in one repository; without one, only its digest."""

    def __init__(
        self,
        uploads: Uploads,
        tag: str,
        elsewhere: Callable[[Digest], Iterable[str]] = lambda _: (),
    ) -> None:
        """`elsewhere`: other repositories of the registry that may have a blob."""
        self._uploads = uploads
        self._tag = tag
        self._elsewhere = elsewhere

    def present(self) -> Digest | None:
        """What has the name now, where the registry tells."""
        return self._uploads.digest(self._tag) if self._tag else None

    def has(self, blob: Descriptor) -> bool:
        """As `transport.Sink`; RegistryError."""
        return self._uploads.has(blob)

    def mount(self, blob: Descriptor) -> str | None:
        """As `transport.Sink`: from the first repository that has it."""
        for repository in self._elsewhere(blob.digest):
            if self._uploads.mount(blob, repository):
                return repository
        return None

    def put_blob(self, blob: Descriptor, read: Read, tell: Tell) -> None:
        """As `transport.Sink`; goes on where a connection breaks."""
        tell("uploading", 0)
        self._uploads.put(blob, read, lambda sent: tell("uploading", sent))
        tell("done", blob.size)

    def put_manifest(self, document: Document, *, top: bool) -> None:
        """As `transport.Sink`; RegistryError, IntegrityError."""
        media_type = document.decode().media_type
        name = self._tag if top and self._tag else document.digest
        self._uploads.put_manifest(name, document.content, media_type)

    def stop(self) -> None:
        """Break all connections."""
        self._uploads.stop()
