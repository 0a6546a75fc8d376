"""Pushing to one repository: OCI distribution-spec v1.1 §push, over a session that others share.

A blob is looked for, mounted from another repository of the registry, or uploaded: in one stream
that goes on where it broke, at the place the registry says it has got to; in smaller pieces where
a proxy refuses large ones. Digests are the registry's to check: it answers with its own, which is
compared. Threads may share an `Uploads`. A crash leaves an unfinished upload, which registries
throw away after a while.
"""

from __future__ import annotations

from http import HTTPStatus

from rootless.errors import IntegrityError
from rootless.oci import media_types
from rootless.oci.digest import Digest
from rootless.registry import trust
from rootless.registry.errors import RegistryError
from rootless.registry.http import Request, dismiss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.oci.descriptor import Descriptor
    from rootless.registry.session import Session
    from rootless.registry.wire import Answer

    Read = Callable[[int], Iterator[bytes]]
    """A blob's bytes from an offset on; called again where an upload broke."""

    See = Callable[[int], object]
    """Called with how many bytes of a blob have been sent."""

WHOLE = 1 << 20  # a blob of so many bytes goes in one request
PROGRESS = 1 << 20  # a broken upload that got so much further starts counting its tries anew
_PIECE = 64 << 10
_SMALLER = (64 << 20, 8 << 20, 1 << 20)  # pieces to try where a proxy refuses larger ones
_OCTETS = {"Content-Type": "application/octet-stream"}
_MANIFESTS = ", ".join(sorted(media_types.MANIFESTS | media_types.INDEXES))
_TAKEN = (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT)
_PERHAPS = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
_FORBIDDEN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_NOT_UNDERSTOOD = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_LOST = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)


class Uploads:
    """Pushes to `repository` of a session's registry."""

    def __init__(self, session: Session, repository: str) -> None:
        self.registry = session.registry
        self.repository = repository
        self._session = session
        self._scopes = frozenset({f"repository:{repository}:pull,push"})
        self._begun: dict[Digest, _Upload] = {}
        self._pieces: tuple[int, ...] = _SMALLER
        self._piece: int | None = None

    def digest(self, name: str) -> Digest | None:
        """What the registry has under a tag; None where it has nothing, or does not say."""
        why = "what has the name now? If it is this very image, there is nothing to do"
        place = f"{self.repository}/manifests/{name}"
        request = Request("HEAD", place, {"Accept": _MANIFESTS}, why=why)
        response = self._persist(request, f"{self.repository}:{name}", _PERHAPS)
        told = response.headers.get("Docker-Content-Digest")
        return Digest.parse(told) if told and response.status == HTTPStatus.OK else None

    def has(self, blob: Descriptor) -> bool:
        """Whether the repository has the blob."""
        why = "does the repository have this blob?"
        request = Request("HEAD", f"{self.repository}/blobs/{blob.digest}", why=why)
        response = self._persist(request, self._what(blob), _PERHAPS)
        return response.status == HTTPStatus.OK

    def mount(self, blob: Descriptor, other: str) -> bool:
        """Take the blob from another repository of the registry, if it has it and lets us."""
        from urllib.parse import quote

        place = f"{self.repository}/blobs/uploads/?mount={blob.digest}&from={quote(other, safe='')}"
        scopes = self._scopes | {f"repository:{other}:pull"}
        try:
            why = f"take the blob from {other}, without its bytes; else begin an upload"
            request = Request("POST", place, why=why, gives="UPLOAD", blob=blob.digest)
            response = self._session.ask(request, scopes, self._what(blob), _TAKEN)
        except RegistryError:  # whatever is wrong, uploading it will say
            return False
        dismiss(response, self._session.access.patience)
        if response.status != HTTPStatus.CREATED:
            self._begun[blob.digest] = self._upload(response, place)
        return response.status == HTTPStatus.CREATED

    def put(self, blob: Descriptor, read: Read, see: See) -> None:
        """Upload the blob, which the repository does not have."""
        if blob.size <= WHOLE:
            self._session.transport.persist(lambda: self._put_whole(blob, read))
            see(blob.size)
            return
        upload = self._begun.pop(blob.digest, None)
        tried, furthest = 0, 0
        while True:
            try:
                if upload is None or not upload.place:
                    upload = self._begin(blob)
                self._stream(upload, blob, read, see)
                self._finish(upload, blob)
                return
            except RegistryError as error:
                if self._takes_smaller(error):
                    continue
                if error.status in _LOST and upload:
                    error.temporary, upload.place = True, ""
                reached = self._reached(upload, blob)
                tried = 1 if reached - furthest >= PROGRESS else tried + 1
                furthest = max(furthest, reached)
                self._session.transport.pause(tried, error)

    def put_manifest(self, name: str | Digest, content: bytes, media_type: str) -> None:
        """Put a manifest or an index under a tag or its digest, once all that it lists is there."""
        place = f"{self.repository}/manifests/{name}"
        why = "all that it lists is there: the name may stand for it"
        request = Request("PUT", place, {"Content-Type": media_type}, content, why)
        separator = "@" if isinstance(name, Digest) else ":"
        try:
            response = self._persist(request, f"{self.repository}{separator}{name}", _TAKEN)
        except RegistryError as error:
            if error.status in _NOT_UNDERSTOOD and media_type in media_types.DOCKER_TWINS:
                error.hint = (
                    "if the registry is too old for OCI images: rootless push --format docker"
                )
            raise
        self._check(response, Digest.of(content))

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def stop(self) -> None:
        """Let all that other threads ask for fail soon; for good."""
        self._session.stop()

    def _what(self, blob: Descriptor) -> str:
        return f"{self.repository}@{blob.digest}"

    def _ask(self, request: Request, what: str, accept: tuple[int, ...]) -> Answer:
        """The answer, its body read; who may not push is told so."""
        try:
            response = self._session.ask(request, self._scopes, what, accept)
        except RegistryError as error:
            if error.status not in _FORBIDDEN:
                raise
            raise RegistryError(
                f"{self.registry} does not let you push to {self.repository}{_said(error.message)}",
                hint=f"log in with an account that may: rootless login {self.registry}",
                status=error.status,
                code=error.code,
            ) from error
        dismiss(response, self._session.access.patience)
        return response

    def _persist(self, request: Request, what: str, accept: tuple[int, ...]) -> Answer:
        return self._session.transport.persist(lambda: self._ask(request, what, accept))

    def _begin(self, blob: Descriptor) -> _Upload:
        place = f"{self.repository}/blobs/uploads/"
        request = Request("POST", place, why="begin an upload", gives="UPLOAD", blob=blob.digest)
        return self._upload(self._ask(request, self._what(blob), _TAKEN), place)

    def _upload(self, response: Answer, asked: str) -> _Upload:
        return _Upload(self._location(response, asked))

    def _location(self, response: Answer, asked: str) -> str:
        """Where an upload goes on: anywhere, but the login goes to the registry only."""
        told = response.headers.get("Location")
        if not told:
            raise RegistryError(f"{self.registry} takes uploads and does not say where")
        here = trust.parse(asked, self._session.base().url)
        return trust.parse(told, here.url).url

    def _put_whole(self, blob: Descriptor, read: Read) -> None:
        upload = self._begun.pop(blob.digest, None) or self._begin(blob)
        content = _content(blob, read)
        why = f"all {blob.size} bytes; the registry checks the digest"
        request = Request("PUT", upload.closing(blob), _OCTETS, content, why, blob=blob.digest)
        self._check(self._ask(request, self._what(blob), _TAKEN), blob.digest)

    def _stream(self, upload: _Upload, blob: Descriptor, read: Read, see: See) -> None:
        """Send what is left of a blob, in one piece or in several."""
        while upload.offset < blob.size:
            start = upload.offset
            end = min(blob.size, start + (self._piece or blob.size))
            headers = {**_OCTETS, "Content-Length": str(end - start)}
            if start or end < blob.size:
                headers["Content-Range"] = f"{start}-{end - 1}"
            body = _Body(blob, read, start, end, see)
            request = Request(
                "PATCH",
                upload.place,
                headers,
                body,
                f"bytes {start} to {end - 1} of the blob",
                "UPLOAD",
                blob.digest,
            )
            response = self._ask(request, self._what(blob), _TAKEN)
            upload.place = self._location(response, upload.place)
            upload.offset = end

    def _finish(self, upload: _Upload, blob: Descriptor) -> None:
        """Close an upload; an answer that was lost is found out by looking."""

        def attempt() -> None:
            try:
                headers = {**_OCTETS, "Content-Length": "0"}
                why = "that was all; the registry checks the digest"
                request = Request("PUT", upload.closing(blob), headers, why=why, blob=blob.digest)
                self._check(self._ask(request, self._what(blob), _TAKEN), blob.digest)
            except RegistryError:
                if not self.has(blob):
                    raise

        self._session.transport.persist(attempt)

    def _reached(self, upload: _Upload | None, blob: Descriptor) -> int:
        """How much of a broken upload has come, by the registry's own account."""
        if upload is None or not upload.place:
            return 0
        why = "how far has the upload got?"
        request = Request("GET", upload.place, why=why, blob=blob.digest)
        try:
            response = self._ask(request, self._what(blob), _TAKEN)
        except RegistryError as error:
            if error.status in _LOST:
                upload.place = ""
            return upload.offset
        if response.headers.get("Location"):
            upload.place = self._location(response, upload.place)
        start, dash, last = response.headers.get("Range", "").removeprefix("bytes=").partition("-")
        has_some = start == "0" and dash and last.isdecimal() and 0 < int(last[:16]) < blob.size
        upload.offset = int(last) + 1 if has_some else 0
        return upload.offset

    def _takes_smaller(self, error: RegistryError) -> bool:
        """Whether there is a smaller piece to try, where a body was too large for somebody."""
        if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or not self._pieces:
            return False
        self._piece, *rest = self._pieces
        self._pieces = tuple(rest)
        return True

    def _check(self, response: Answer, digest: Digest) -> None:
        told = response.headers.get("Docker-Content-Digest")
        if told and told.startswith(f"{digest.algorithm}:") and told != str(digest):
            raise IntegrityError(f"{self.registry} took {digest} and says that it is {told[:150]}")


class _Upload:
    """One upload under way: where it goes on, and how many bytes have been taken."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.offset = 0

    def closing(self, blob: Descriptor) -> str:
        """The URL that ends it."""
        return f"{self.place}{'&' if '?' in self.place else '?'}digest={blob.digest}"


class _Body:
    """Some of a blob's bytes, as often as they are asked for."""

    def __init__(self, blob: Descriptor, read: Read, start: int, end: int, see: See) -> None:
        self._blob = blob
        self._read = read
        self._start = start
        self._end = end
        self._see = see

    def __iter__(self) -> Iterator[bytes]:
        at = self._start
        for chunk in self._read(at):
            for start in range(0, len(chunk), _PIECE):  # each has the time of one send
                piece = chunk[start : min(start + _PIECE, start + self._end - at)]
                yield piece
                at += len(piece)
                self._see(at)
                if at == self._end:
                    return
        raise _changed(self._blob)


def _content(blob: Descriptor, read: Read) -> bytes:
    """All of a small blob; of one that does not end, no more than it may have."""
    content = bytearray()
    for chunk in read(0):
        content += chunk
        if len(content) > blob.size:
            break
    if len(content) != blob.size:
        raise _changed(blob)
    return bytes(content)


def _changed(blob: Descriptor) -> IntegrityError:
    return IntegrityError(f"the blob {blob.digest} does not have {blob.size} bytes any more")


def _said(message: str) -> str:
    """The registry's own words, which end an error's message in parentheses."""
    return f" ({message.rpartition(' (')[2]}" if message.endswith(")") else ""
