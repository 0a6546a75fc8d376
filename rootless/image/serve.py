"""The store's images over the distribution API (OCI distribution-spec v1.1) by plain http.

One thread a connection, so many at most. Reading is for everybody who can connect; bringing images
only where that is allowed, and never for a web page, whose requests say their origin. Uploads are
unfinished blobs of the store, so many at most: the oldest makes room. Runs as (mapped) root.
"""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import SplitResult, parse_qs, urlsplit

from rootless import leanjson
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.registry import trust
from rootless.store import blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from rootless.image.shelf import Shelf

_CHUNK = 1 << 20
_MOST_CONNECTIONS = 64
_MOST_UPLOADS = 64
_PAGE = 1000
_READING = frozenset({"GET", "HEAD"})
_SILENCE = 60.0  # seconds after which a connection that says nothing is closed
_LINE = 200  # characters of a request to show
_OCTETS = "application/octet-stream"


class _RefusalError(Exception):
    """An answer in the specification's words."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Rules(Record):
    """Who may do what: `local` is a server for this machine alone, by its own names."""

    writable: bool
    local: bool


class Server(ThreadingHTTPServer):
    """Serves `shelf` at `address`; `log` gets a line for each request."""

    daemon_threads = True

    def __init__(
        self, shelf: Shelf, address: tuple[str, int], log: Callable[[str], object], rules: Rules
    ) -> None:
        """OSError where it cannot listen."""
        self.shelf = shelf
        self.log = log
        self.rules = rules
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.uploads = _Uploads(shelf)
        self._places = threading.Semaphore(_MOST_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, once there is a place."""
        self._places.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """That thread's whole life."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def server_close(self) -> None:
        """The end: what is not finished goes away."""
        super().server_close()
        self.uploads.discard()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is its client's affair."""


class _Uploads:
    """Blobs on their way in, by the name of their upload."""

    def __init__(self, shelf: Shelf) -> None:
        self._store = shelf.store
        self._lock = threading.Lock()
        self._open: dict[str, blobs.Writer] = {}

    def begin(self) -> str:
        """A new one's name."""
        import uuid

        name = str(uuid.uuid4())
        writer = blobs.Writer(self._store)
        with self._lock:
            self._open[name] = writer
            if len(self._open) > _MOST_UPLOADS:
                self._open.pop(next(iter(self._open))).discard()
        return name

    def take(self, name: str) -> blobs.Writer:
        """Nobody else's until it is put back."""
        with self._lock:
            writer = self._open.pop(name, None)
        if writer is None:
            raise _RefusalError(404, "BLOB_UPLOAD_UNKNOWN")
        return writer

    def put_back(self, name: str, writer: blobs.Writer) -> None:
        """To go on with later."""
        with self._lock:
            self._open[name] = writer

    def discard(self) -> None:
        """Forget all of them."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].discard()


class _Handler(BaseHTTPRequestHandler):
    """One connection's requests."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE

    def do_GET(self) -> None:
        """Reading."""
        self._answer(self._get)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def do_POST(self) -> None:
        """Uploads begin."""
        self._answer(self._post)

    def do_PATCH(self) -> None:
        """Uploads go on."""
        self._answer(self._patch)

    def do_PUT(self) -> None:
        """Uploads end; manifests."""
        self._answer(self._put)

    def do_DELETE(self) -> None:
        """Nothing is deleted here."""
        self._answer(_unsupported)

    def _answer(self, respond: Callable[[str, Mapping[str, list[str]]], None]) -> None:
        self._expect_body()
        try:
            url = _url(self.path)
            self._check_host()
            if self.command not in _READING:
                self._check_writing()
            if url.path.rstrip("/") == "/v2" and self.command in _READING:
                self._send(200, b"{}", "application/json")
                return
            if not url.path.startswith("/v2/"):
                raise _RefusalError(404, "NAME_UNKNOWN")
            respond(url.path.removeprefix("/v2/"), parse_qs(url.query))
        except _RefusalError as refusal:
            self._refuse(refusal)
        except NotFoundError as error:
            self._refuse(_RefusalError(404, "NAME_UNKNOWN", error.message))
        except IntegrityError as error:
            self._refuse(_RefusalError(400, "MANIFEST_INVALID", error.message))
        except RootlessError as error:
            self._refuse(_RefusalError(500, "UNKNOWN", error.message))

    def _expect_body(self) -> None:
        """Let this be the connection's last request unless its body, if any, is read to its end.

        What is left of one would be the next request: a web page may send what it likes as a body,
        and so could speak without its origin.
        """
        length, coding = self.headers.get("Content-Length"), self.headers.get("Transfer-Encoding")
        self._stays = not self.close_connection and not (length and coding)
        if length not in {None, "0"} or coding:
            self.close_connection = True

    def _check_host(self) -> None:
        """A web page that gave its own name this machine's address reads nothing here."""
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        except ValueError:
            raise _RefusalError(400, "UNSUPPORTED", "the Host of the request is none") from None
        if self.server.rules.local and not trust.is_loopback(host):
            raise _RefusalError(403, "DENIED", "this registry is for its own machine")

    def _check_writing(self) -> None:
        if not self.server.rules.writable:
            raise _RefusalError(405, "UNSUPPORTED", "this registry is read-only")
        if self.headers.get("Origin"):
            raise _RefusalError(403, "DENIED", "web pages bring nothing here")

    def _get(self, path: str, query: Mapping[str, list[str]]) -> None:
        if path == "_catalog":
            self._page("repositories", self.server.shelf.repositories(), query)
            return
        name, kind, last = _split(path)
        if kind == "tags" and last == "list":
            self._page("tags", self.server.shelf.tags(name), query, name=name)
        elif kind == "manifests":
            self._manifest(name, last)
        elif kind == "blobs":
            self._blob(name, _digest(last))
        elif kind == "uploads":
            self._progress(name, last, 204)
        else:
            raise _RefusalError(404, "NAME_UNKNOWN")

    def _manifest(self, name: str, reference: str) -> None:
        try:
            document = self.server.shelf.document(name, reference)
        except (NotFoundError, IntegrityError) as error:
            raise _RefusalError(404, "MANIFEST_UNKNOWN", error.message) from None
        headers = {"Docker-Content-Digest": str(document.digest)}
        self._send(200, document.content, document.media_type, headers)

    def _blob(self, name: str, digest: Digest) -> None:
        shelf = self.server.shelf
        size = shelf.size(name, digest)
        if size is None:
            raise _RefusalError(404, "BLOB_UNKNOWN")
        start = self._range(size)
        chunks = shelf.blob(name, digest, start or 0) if self.command == "GET" else iter(())
        first = next(chunks, b"")  # an error is an answer as long as none has begun
        self.send_response(206 if start is not None else 200)
        self.send_header("Content-Type", _OCTETS)
        self.send_header("Docker-Content-Digest", str(digest))
        self.send_header("Accept-Ranges", "bytes")
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - (start or 0)))
        self.end_headers()
        try:
            self.wfile.write(first)
            for chunk in chunks:
                self.wfile.write(chunk)
        except (RootlessError, OSError) as error:  # too late to say so but by hanging up
            self.close_connection = True
            self.server.log(f"{self.address_string()} {digest.short}: {error}")

    def _range(self, size: int) -> int | None:
        """Where to begin: only `bytes=N-` is understood; what else is asked gets all of it."""
        unit, _, rest = self.headers.get("Range", "").partition("=")
        first, dash, last = rest.partition("-")
        if unit != "bytes" or not dash or not first.isdecimal() or (last and last.isdecimal()
            and int(last[:20]) != size - 1):  # fmt: skip
            return None
        start = int(first[:20])
        if start >= size:
            raise _RefusalError(416, "RANGE_INVALID")
        return start

    def _post(self, path: str, query: Mapping[str, list[str]]) -> None:
        name, kind, last = _split(path)
        if kind != "uploads" or last:
            raise _RefusalError(404, "NAME_UNKNOWN")
        shelf = self.server.shelf
        if "mount" in query:
            digest, origin = _digest(query["mount"][0]), query.get("from", [""])[0]
            if origin and shelf.mount(name, digest, origin):
                self._created(f"/v2/{name}/blobs/{digest}", digest)
                return
        upload = self.server.uploads.begin()
        if "digest" in query:
            self._finish(name, upload, query)
            return
        self._progress(name, upload, 202)

    def _patch(self, path: str, _: Mapping[str, list[str]]) -> None:
        name, kind, upload = _split(path)
        if kind != "uploads":
            raise _RefusalError(404, "NAME_UNKNOWN")
        writer = self.server.uploads.take(upload)
        try:
            start = self.headers.get("Content-Range", "").partition("-")[0]
            if start and start != str(writer.size):
                raise _RefusalError(416, "RANGE_INVALID")
            for piece in self._body():
                writer.write(piece)
        finally:
            self.server.uploads.put_back(upload, writer)
        self._progress(name, upload, 202)

    def _put(self, path: str, query: Mapping[str, list[str]]) -> None:
        name, kind, last = _split(path)
        if kind == "uploads":
            self._finish(name, last, query)
        elif kind == "manifests":
            content = b"".join(self._body(leanjson.MAX_BYTES))
            media_type = self.headers.get("Content-Type", "")
            digest = self.server.shelf.put(name, last, content, media_type)
            self._created(f"/v2/{name}/manifests/{digest}", digest)
        else:
            raise _RefusalError(404, "NAME_UNKNOWN")

    def _finish(self, name: str, upload: str, query: Mapping[str, list[str]]) -> None:
        """The rest of a blob, which must be what its digest says."""
        digest = _digest(query.get("digest", [""])[0])
        with self.server.uploads.take(upload) as writer:
            for piece in self._body():
                writer.write(piece)
            writer.rehash(digest.algorithm)
            if writer.digest != digest:
                raise _RefusalError(400, "DIGEST_INVALID", f"the content hashes to {writer.digest}")
            writer.publish()
        self.server.shelf.take(name, digest)
        self._created(f"/v2/{name}/blobs/{digest}", digest)

    def _progress(self, name: str, upload: str, status: int) -> None:
        """Where an upload is."""
        writer = self.server.uploads.take(upload)
        self.server.uploads.put_back(upload, writer)
        headers = {
            "Location": f"/v2/{name}/blobs/uploads/{upload}",
            "Range": f"0-{max(0, writer.size - 1)}",
            "Docker-Upload-UUID": upload,
        }
        self._send(status, b"", "", headers)

    def _created(self, place: str, digest: Digest) -> None:
        self._send(201, b"", "", {"Location": place, "Docker-Content-Digest": str(digest)})

    def _body(self, limit: int | None = None) -> Iterator[bytes]:
        """What comes with the request, by length or in chunks."""
        total = 0
        for piece in self._pieces():
            total += len(piece)
            if limit is not None and total > limit:
                raise _RefusalError(413, "SIZE_INVALID")
            yield piece

    def _pieces(self) -> Iterator[bytes]:
        coding = self.headers.get("Transfer-Encoding", "").lower()
        if coding not in {"", "chunked"}:
            raise _RefusalError(400, "UNSUPPORTED", "a body is sent as it is, or in chunks")
        if coding:
            yield from self._chunks()
        else:
            yield from self._exactly(_number(self.headers.get("Content-Length", "0"), 10))
        self.close_connection = not self._stays

    def _chunks(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            yield from self._exactly(size)
            self.rfile.readline(3)
        while self.rfile.readline(1000).strip():
            pass

    def _chunk_size(self) -> int:
        line = self.rfile.readline(100)
        if not line:
            raise ConnectionResetError
        return _number(line.partition(b";")[0].strip().decode("latin-1"), 16)

    def _exactly(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self.rfile.read(min(left, _CHUNK))
            if not piece:
                raise ConnectionResetError
            left -= len(piece)
            yield piece

    def _page(
        self, key: str, items: list[str], query: Mapping[str, list[str]], **more: str
    ) -> None:
        """A part of a list, and where the next is."""
        count = min(_number(query.get("n", [str(_PAGE)])[0], 10), _PAGE)
        last = query.get("last", [""])[0]
        rest = [item for item in items if item > last]
        headers = {}
        if count and len(rest) > count:
            path = urlsplit(self.path).path
            headers["Link"] = f'<{path}?n={count}&last={rest[count - 1]}>; rel="next"'
        self._send(200, leanjson.dumps({**more, key: rest[:count]}), "application/json", headers)

    def _refuse(self, refusal: _RefusalError) -> None:
        errors = [{"code": refusal.code, "message": refusal.message or refusal.code}]
        self.close_connection = self.command not in {"GET", "HEAD"}  # of its body some may be left
        self._send(refusal.status, leanjson.dumps({"errors": errors}), "application/json")

    def _send(
        self, status: int, content: bytes, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if kind:
            self.send_header("Content-Type", kind)
        if self.close_connection:
            self.send_header("Connection", "close")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def version_string(self) -> str:
        """No more than the name."""
        return "rootless"

    def log_request(self, code: object = "-", size: object = "-") -> None:  # noqa: ARG002
        """One line for each answer."""
        request = getattr(self, "requestline", "")
        is_tls = request.startswith("\x16\x03")
        said = "TLS, where plain http is spoken" if is_tls else request[:_LINE]
        self.server.log(f"{self.address_string()} {int(str(code))} {said}")

    def log_error(self, format: str, *words: object) -> None:  # noqa: A002 - the library's name
        """Its answer is logged."""


def _url(path: str) -> SplitResult:
    try:
        return urlsplit(path)
    except ValueError:
        raise _RefusalError(400, "NAME_INVALID") from None


def _unsupported(_path: str, _query: Mapping[str, list[str]]) -> None:
    raise _RefusalError(405, "UNSUPPORTED")


def _split(path: str) -> tuple[str, str, str]:
    """NAME/KIND/LAST: the kind is tags, manifests, blobs or uploads."""
    name, slash, last = path.rpartition("/")
    if name.endswith("/blobs/uploads"):
        return name.removesuffix("/blobs/uploads"), "uploads", last
    name, _, kind = name.rpartition("/")
    if not slash or not name:
        raise _RefusalError(404, "NAME_UNKNOWN")
    return name, kind, last


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except IntegrityError as error:
        raise _RefusalError(400, "DIGEST_INVALID", error.message) from None


def _number(text: str, base: int) -> int:
    try:
        number = int(text[:20], base)
    except ValueError:
        number = -1
    if number < 0:
        raise _RefusalError(400, "SIZE_INVALID")
    return number
