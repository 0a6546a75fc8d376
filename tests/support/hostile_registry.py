"""A registry on loopback that does what a test tells it: serves an image, lies, breaks, stalls.

`HostileRegistry(respond)` asks `respond(request)` for each answer and keeps every request in
`requests`. `serving(image)` is the honest `respond` for a test to wrap.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Self

    from tests.support.images import BaseImage
    from tests.support.registry import Registry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Request(NamedTuple):
    """What the client asked, in order to answer it or to look at it afterwards."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """`cut` ends the connection after so many bytes of the body; `stall` waits there first.

    With `reset` it ends with an RST, which may overtake the bytes. `length` is what
    Content-Length says: None for the truth, -1 for a chunked body. `raw` is sent instead of all
    that, until the client hangs up.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    cut: int | None = None
    stall: float = 0.0
    length: int | None = None
    reset: bool = False
    raw: Iterable[bytes] = ()


_UNKNOWN = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
NOT_FOUND = Answer(404, _UNKNOWN)


class HostileRegistry:
    """Runs in threads of the test's own process."""

    def __init__(
        self, respond: Callable[[Request], Answer], host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.respond = respond
        self.requests: list[Request] = []
        self._server = _Server((host, port), _Handler)
        self._server.registry = self
        self.address = f"{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


def serving(image: BaseImage, repository: str, tag: str = "1") -> Callable[[Request], Answer]:
    """Answers as an honest registry that has one image."""
    manifest = image.blob(image.manifest_digest)
    descriptors = [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]
    blobs = {one["digest"]: image.blob(one["digest"]) for one in descriptors}
    return serving_parts(repository, {tag: manifest, image.manifest_digest: manifest}, blobs)


def serving_parts(
    repository: str, manifests: Mapping[str, bytes], blobs: Mapping[str, bytes]
) -> Callable[[Request], Answer]:
    """Answers with these manifests, by tag or digest, and these blobs, by digest."""

    def respond(request: Request) -> Answer:
        kind, _, name = request.path.removeprefix(f"/v2/{repository}/").partition("/")
        if request.path == "/v2/":
            return Answer(200, b"{}")
        if kind == "manifests" and name in manifests:
            body = manifests[name]
            media_type = json.loads(body).get("mediaType", MANIFEST)
            return Answer(200, body, {"Content-Type": media_type})
        if kind == "blobs" and name in blobs:
            return ranged(request, blobs[name])
        return NOT_FOUND

    return respond


def before(registry: Registry) -> Callable[[Request], Answer]:
    """Answers as a real registry does, which is asked for each: a proxy, for a test to break."""

    def respond(request: Request) -> Answer:
        asked = dict(request.headers.items())
        status, headers, body = registry.ask(request.method, request.path, request.body, asked)
        framing = {"content-length", "transfer-encoding", "connection"}
        kept = {name: one for name, one in headers.items() if name.lower() not in framing}
        return Answer(status, body, kept)

    return respond


def ranged(request: Request, content: bytes) -> Answer:
    """Content, or the part of it that the request's Range names."""
    wanted = request.headers.get("Range")
    if not wanted:
        return Answer(200, content)
    start = int(wanted.removeprefix("bytes=").rstrip("-"))
    place = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Answer(206, content[start:], {"Content-Range": place})


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    registry: HostileRegistry

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, self.headers, body)  # type: ignore[arg-type]
        self.server.registry.requests.append(request)
        answer = self.server.registry.respond(request)
        if answer.raw:
            for piece in answer.raw:
                self.wfile.write(piece)
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        chunked = answer.length == -1
        length = len(answer.body) if answer.length is None else answer.length
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(length))
        self.send_header(*framing)
        self.end_headers()
        self._send(answer, chunked=chunked)

    do_POST = do_GET  # noqa: N815 - http.server's names
    do_HEAD = do_GET  # noqa: N815

    def _send(self, answer: Answer, *, chunked: bool) -> None:
        body = answer.body[: answer.cut]
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) if chunked and body else body)
        if answer.stall:
            time.sleep(answer.stall)
        if answer.cut is None:
            self.wfile.write(b"0\r\n\r\n" if chunked else b"")
            return
        if answer.reset:
            at_once = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""
