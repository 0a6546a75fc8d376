"""One registry, OCI distribution-spec v1.1 §pull: manifests and blobs.

A manifest's digest is checked here. A blob's size is checked here as it arrives, and whoever
writes it down computes its digest (store.blobs.Writer): once, where the bytes come to rest.
Threads may share a client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from rootless.errors import IntegrityError
from rootless.leanjson import MAX_BYTES
from rootless.oci import media_types
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.registry.credentials import Credentials
from rootless.registry.errors import RegistryError, web_page
from rootless.registry.http import Access, Request, is_page
from rootless.registry.session import Session

CHUNK = 256 << 10
PROGRESS = 1 << 20  # a broken transfer that brought this much starts counting its tries anew
_ACCEPT = ", ".join(
    (
        media_types.OCI_MANIFEST,
        media_types.OCI_INDEX,
        media_types.DOCKER_MANIFEST,
        media_types.DOCKER_INDEX,
    )
)
_FOUND = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
_SCHEMA1 = (media_types.DOCKER_SCHEMA1, media_types.DOCKER_SCHEMA1_SIGNED)


class Client:
    """Pulls from `registry` (a host and perhaps a port, as in Reference.registry)."""

    def __init__(
        self,
        registry: str,
        credentials: Credentials | None = None,
        access: Access = Access(),  # noqa: B008 - a frozen value
    ) -> None:
        self.registry = registry
        self.session = Session(registry, credentials, access)

    def manifest(self, repository: str, reference: str | Digest) -> tuple[bytes, str, Digest]:
        """A manifest or index by tag or digest: its bytes, the sender's media type, its digest."""
        separator = "@" if isinstance(reference, Digest) else ":"
        what = f"{repository}{separator}{reference}"
        path = f"{repository}/manifests/{reference}"
        content, headers = self.session.transport.persist(
            lambda: self._whole(repository, path, what)
        )
        media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        announced = headers.get("Docker-Content-Digest")
        expected = [reference] if isinstance(reference, Digest) else []
        if announced and media_type not in _SCHEMA1:  # whose digest leaves its signature out
            expected.append(Digest.parse(announced))
        digest = Digest.of(content)
        for one in expected:
            digest = Digest(one.algorithm, hashlib.new(one.algorithm, content).hexdigest())
            if digest != one:
                raise IntegrityError(
                    f"the manifest {what} from {self.registry} has the digest {digest}, "
                    f"not {one} as announced"
                )
        return content, media_type, digest

    def blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from `offset` on, resumed where a connection breaks.

        Exactly `descriptor.size - offset` bytes in all, or a RegistryError or IntegrityError.
        The digest is the receiver's to check.
        """
        tried, counted_from = 0, offset
        while offset < descriptor.size:
            try:
                for chunk in self._part(repository, descriptor, offset):
                    offset += len(chunk)
                    yield chunk
            except RegistryError as error:
                tried = 1 if offset - counted_from >= PROGRESS else tried + 1
                counted_from = offset
                self.session.transport.pause(tried, error)

    def close(self) -> None:
        """Close idle connections."""
        self.session.close()

    def stop(self) -> None:
        """Let all that other threads ask for fail soon; for good."""
        self.session.stop()

    def _whole(self, repository: str, path: str, what: str) -> tuple[bytes, Mapping[str, str]]:
        response = self._get(repository, path, {"Accept": _ACCEPT}, what)
        content = self.session.read(response, MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise IntegrityError(f"the manifest {what} is larger than 4 MiB")
        if is_page(response, content):
            raise web_page(self.registry, what)
        return content, response.headers

    def _part(self, repository: str, descriptor: Descriptor, offset: int) -> Iterator[bytes]:
        """What one connection brings of a blob, from `offset` on."""
        what = f"{repository}@{descriptor.digest}"
        response, start = self._open(repository, descriptor, offset)
        try:
            skip, left = offset - start, descriptor.size - start
            if is_page(response, b""):
                raise web_page(self.registry, what)
            _check_length(response, left, what)
            while left:
                chunk = response.read(min(CHUNK, left))
                if not chunk:
                    raise IntegrityError(f"{what} is shorter than its manifest says")
                left -= len(chunk)
                if skip < len(chunk):
                    yield chunk[skip:] if skip else chunk
                skip = max(0, skip - len(chunk))
            if response.read(1):
                raise IntegrityError(f"{what} is longer than its manifest says")
        except (HTTPError, OSError) as error:
            raise self.session.broken(error) from error
        finally:
            response.close()  # goes back to the pool when it was read to its end

    def _open(
        self, repository: str, descriptor: Descriptor, offset: int
    ) -> tuple[BaseHTTPResponse, int]:
        """A blob's body, and where it begins: at `offset`, or where the server will not, at 0."""
        what = f"{repository}@{descriptor.digest}"
        path = f"{repository}/blobs/{descriptor.digest}"
        if offset:
            response = self._get(repository, path, {"Range": f"bytes={offset}-"}, what)
            if response.status == 200:
                return response, 0
            if response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                return response, offset
            response.close()
        response = self._get(repository, path, {}, what)
        if response.status != 200:
            response.close()
            raise RegistryError(f"{self.registry} sent a part when asked for the whole of {what}")
        return response, 0

    def _get(
        self, repository: str, path: str, headers: Mapping[str, str], what: str
    ) -> BaseHTTPResponse:
        """The successful answer to a GET below /v2/."""
        scopes = frozenset({f"repository:{repository}:pull"})
        return self.session.ask(Request("GET", path, headers), scopes, what, _FOUND)


def _check_length(response: BaseHTTPResponse, left: int, what: str) -> None:
    """Refuse a body that announces another length, before reading any of it."""
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:20]) != left:
        raise IntegrityError(
            f"{what} does not have the size its manifest says: "
            f"{left} bytes were expected, {length[:20]} are offered"
        )
