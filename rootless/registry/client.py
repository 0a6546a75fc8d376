"""One registry or its mirrors, OCI distribution-spec v1.1 §pull: manifests and blobs.

A manifest's digest is checked here. A blob's size is checked here as it arrives, and whoever
writes it down computes its digest (store.blobs.Writer): once, where the bytes come to rest.
Threads may share a client.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

from rootless.errors import IntegrityError, RootlessError
from rootless.leanjson import MAX_BYTES
from rootless.oci import media_types
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.registry import tags
from rootless.registry.errors import RegistryError, web_page
from rootless.registry.http import Access, Request, is_page
from rootless.registry.session import Session
from rootless.registry.sources import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rootless.oci.descriptor import Descriptor
    from rootless.registry.credentials import Credentials
    from rootless.registry.limits import Limit
    from rootless.registry.wire import Answer, Headers

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


class Origin(Record):
    """A place that images come from: who to ask there, and what `place` says of names."""

    session: Session
    place: Place

    def repository(self, registry: str, repository: str) -> str:
        """What a repository of `registry` is called here."""
        return self.place.repository(f"{registry}/{repository}")


class Client:
    """Pulls from `registry` (a host and perhaps a port, as in Reference.registry).

    `origins` are asked in its stead, one after the other: one that fails is not asked again unless
    it is the last.
    """

    def __init__(
        self,
        registry: str,
        credentials: Credentials | None = None,
        access: Access = Access(),  # noqa: B008 - a frozen value
        *,
        origins: Sequence[Origin] = (),
    ) -> None:
        self.registry = registry
        itself = Place(registry, registry)
        self._origins = tuple(origins) or (Origin(Session(registry, credentials, access), itself),)
        self._failures: dict[Origin, RootlessError] = {}
        self._mixed = False  # whether a blob began with what an origin sent that then failed

    def manifest(self, repository: str, reference: str | Digest) -> tuple[bytes, str, Digest]:
        """A manifest or index by tag or digest: its bytes, the sender's media type, its digest."""
        is_digest = isinstance(reference, Digest)
        while True:
            origin = self._origin(is_digest=is_digest)
            attempt = partial(self._manifest, origin, repository, reference)
            try:
                if self._is_last(origin):
                    return origin.session.transport.persist(attempt)
                return attempt()
            except (RegistryError, IntegrityError) as error:
                self._give_up(origin, error)

    def tags(self, repository: str) -> tuple[str, ...]:
        """All tags of a repository, by the word of the registry itself and of no mirror."""
        origin = self._origins[-1]
        return tags.listed(origin.session, origin.repository(self.registry, repository))

    def blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from `offset` on, resumed where a connection breaks.

        Exactly `descriptor.size - offset` bytes in all, or a RegistryError or IntegrityError.
        The digest is the receiver's to check.
        """
        tried, counted_from = 0, offset
        while offset < descriptor.size:
            origin = self._origin(is_digest=True)
            try:
                for chunk in self._part(origin, repository, descriptor, offset):
                    offset += len(chunk)
                    yield chunk
            except (RegistryError, IntegrityError) as error:
                if isinstance(error, IntegrityError) or not self._is_last(origin):
                    self._give_up(origin, error)
                    self._mixed = self._mixed or offset > 0
                    continue
                tried = 1 if offset - counted_from >= PROGRESS else tried + 1
                counted_from = offset
                origin.session.transport.pause(tried, error)

    def doubt(self) -> bool:
        """What came did not have its digest: ask the next origin, or the last one for all of it.

        False where it was the last one that sent all. No thread may be asking for anything: who
        was told to `stop` may ask again.
        """
        for one in self._origins:
            one.session.transport.revive()
        origin = self._origin(is_digest=True)
        if self._is_last(origin):
            mixed, self._mixed = self._mixed, False
            return mixed
        why = f"{origin.session.registry} sends what its digest does not say"
        self._failures[origin] = RegistryError(why)
        return True

    @property
    def limits(self) -> tuple[tuple[str, Limit], ...]:
        """The registries that let us pull only a few images more, and what they said of it."""
        sessions = (origin.session for origin in self._origins)
        return tuple((one.registry, one.limit) for one in sessions if one.limit.is_near)

    def close(self) -> None:
        """Close idle connections."""
        for origin in self._origins:
            origin.session.close()

    def stop(self) -> None:
        """Let all that other threads ask for fail soon; for good."""
        for origin in self._origins:
            origin.session.stop()

    def _origin(self, *, is_digest: bool) -> Origin:
        """Who to ask now."""
        for origin in self._origins[:-1]:
            asked = origin.place.digests if is_digest else origin.place.tags
            if asked and origin not in self._failures:
                return origin
        return self._origins[-1]

    def _is_last(self, origin: Origin) -> bool:
        return origin is self._origins[-1]

    def _give_up(self, origin: Origin, error: RegistryError | IntegrityError) -> None:
        """Go on with the next origin; the last one's error is raised, with what went before."""
        if not self._is_last(origin):
            self._failures[origin] = error
            return
        before = "; ".join(
            f"its mirror {one.session.registry}: {why.message}"
            for one, why in self._failures.items()
        )
        error.hint = "; ".join(filter(None, (error.hint, before))) or None
        raise error

    def _manifest(
        self, origin: Origin, repository: str, reference: str | Digest
    ) -> tuple[bytes, str, Digest]:
        separator = "@" if isinstance(reference, Digest) else ":"
        what = f"{repository}{separator}{reference}"
        why = "the manifest, or an index of manifests, one for each platform"
        if isinstance(reference, Digest):
            why = "what has this digest, which its bytes must have"
        request = Request("GET", f"manifests/{reference}", {"Accept": _ACCEPT}, why=why)
        content, headers = self._whole(origin, repository, request, what)
        media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        announced = headers.get("Docker-Content-Digest")
        expected = [reference] if isinstance(reference, Digest) else []
        if announced and media_type not in _SCHEMA1:  # whose digest leaves its signature out
            expected.append(Digest.parse(announced))
        digest = Digest.of(content)
        for one in expected:
            digest = Digest.of(content, one.algorithm)
            if digest != one:
                raise IntegrityError(
                    f"the manifest {what} from {origin.session.registry} has the digest {digest}, "
                    f"not {one} as announced"
                )
        return content, media_type, digest

    def _whole(
        self, origin: Origin, repository: str, request: Request, what: str
    ) -> tuple[bytes, Headers]:
        response = self._get(origin, repository, request, what)
        content = origin.session.read(response, MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise IntegrityError(f"the manifest {what} is larger than 4 MiB")
        if is_page(response, content):
            raise web_page(origin.session.registry, what)
        return content, response.headers

    def _part(
        self, origin: Origin, repository: str, descriptor: Descriptor, offset: int
    ) -> Iterator[bytes]:
        """What one connection brings of a blob, from `offset` on."""
        what = f"{repository}@{descriptor.digest}"
        response, start = self._open(origin, repository, descriptor, offset)
        try:
            skip, left = offset - start, descriptor.size - start
            if is_page(response, b""):
                raise web_page(origin.session.registry, what)
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
        except OSError as error:
            raise origin.session.broken(error) from error
        finally:
            response.close()  # goes back to the pool when it was read to its end

    def _open(
        self, origin: Origin, repository: str, descriptor: Descriptor, offset: int
    ) -> tuple[Answer, int]:
        """A blob's body, and where it begins: at `offset`, or where the server will not, at 0."""
        what = f"{repository}@{descriptor.digest}"
        why = f"{_kind(descriptor)}: {descriptor.size} bytes whose digest is checked as they come"
        request = Request("GET", f"blobs/{descriptor.digest}", why=why)
        if offset:
            rest = {"Range": f"bytes={offset}-"}
            response = self._get(origin, repository, request.replace(headers=rest), what)
            if response.status == 200:
                return response, 0
            if response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                return response, offset
            response.close()
        response = self._get(origin, repository, request, what)
        if response.status != 200:
            response.close()
            who = origin.session.registry
            raise RegistryError(f"{who} sent a part when asked for the whole of {what}")
        return response, 0

    def _get(self, origin: Origin, repository: str, request: Request, what: str) -> Answer:
        """The successful answer to a GET of something of a repository."""
        name = origin.repository(self.registry, repository)
        scopes = frozenset({f"repository:{name}:pull"})
        request = request.replace(place=f"{name}/{request.place}")
        return origin.session.ask(request, scopes, what, _FOUND)


def _kind(descriptor: Descriptor) -> str:
    is_layer = descriptor.media_type in media_types.LAYERS
    return "a layer" if is_layer else "the config: what to run, and what layers must unpack to"


def _check_length(response: Answer, left: int, what: str) -> None:
    """Refuse a body that announces another length, before reading any of it."""
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:20]) != left:
        raise IntegrityError(
            f"{what} does not have the size its manifest says: "
            f"{left} bytes were expected, {length[:20]} are offered"
        )
