"""A registry on loopback that takes pushes, and fails where a test tells it to.

`Taking()` keeps what was pushed in `blobs` and `manifests`, each under (repository, digest or
tag), and every request in `requests`. `fail(method, fault)` makes the next request of that method
fail; faults wait in line. It hands out upload places that are relative or absolute, and can ask for
tokens, which it hands out itself.
"""

from __future__ import annotations

import base64
import http.server
import json
import re
import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.support.hostile_registry import digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

UNKNOWN = b'{"errors":[{"code":"BLOB_UNKNOWN","message":"unknown"}]}'


class Fault(NamedTuple):
    """`keep` so many bytes of the body, then answer `status`, or hang up where that is 0.

    With `after` the request is carried out first. `forget` drops the upload.
    """

    status: int = 0
    keep: int = 0
    headers: Mapping[str, str] = {}
    after: bool = False
    forget: bool = False


class Taken(NamedTuple):
    """A request; `size` is how many bytes of its body were read."""

    method: str
    path: str
    headers: Mapping[str, str]
    size: int


class Taking:
    """Runs in threads of the test's own process."""

    def __init__(self, *, tokens: bool = False, absolute: str = "", limit: int = 0) -> None:
        """`absolute`: the host and port of upload places; `limit`: the largest body."""
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[Taken] = []
        self.scopes: list[list[str]] = []
        self.valid: set[str] = set()
        self.lies: dict[str, str] = {}
        self.refuses: set[str] = set()  # media types of manifests
        self.tokens = tokens
        self.absolute = absolute
        self.limit = limit
        self._faults: dict[str, list[Fault]] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.registry = self
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail(self, method: str, *faults: Fault) -> None:
        self._faults.setdefault(method, []).extend(faults)

    def fault(self, method: str) -> Fault | None:
        waiting = self._faults.get(method)
        return waiting.pop(0) if waiting else None

    def asked(self, *methods: str) -> list[str]:
        """`METHOD path` of every request, or of those by these methods; no pings, no tokens."""
        return [
            f"{one.method} {one.path}"
            for one in self.requests
            if one.path.startswith("/v2/") and one.path != "/v2/"
            if not methods or one.method in methods
        ]

    def image(self, repository: str, tag: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.manifests[repository, tag])
        return found

    def layers(self, repository: str, tag: str) -> list[bytes]:
        """The blobs of an image's layers, each checked against its digest and size."""
        found = []
        for one in self.image(repository, tag)["layers"]:
            content = self.blobs[repository, one["digest"]]
            assert (digest(content), len(content)) == (one["digest"], one["size"])
            found.append(content)
        return found


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    registry: Taking

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        registry = self.server.registry
        length = int(self.headers.get("Content-Length") or 0)
        fault = registry.fault(self.command)
        kept = min(fault.keep, length) if fault and not fault.after else length
        too_large = registry.limit and length > registry.limit
        body = self.rfile.read(0 if too_large else kept)
        head = dict(self.headers.items())
        registry.requests.append(Taken(self.command, self.path, head, len(body)))
        if too_large:
            self.close_connection = True
            return self._answer(413)
        if fault and not fault.after:
            return self._fail(fault, body)
        answer = self._respond(body)
        if fault:
            return self._fail(fault, b"")
        return self._answer(*answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _handle  # noqa: N815

    def _fail(self, fault: Fault, body: bytes) -> None:
        registry = self.server.registry
        place = urlsplit(self.path).path
        if place in registry.uploads:
            registry.uploads[place] += body
            if fault.forget:
                del registry.uploads[place]
        self.close_connection = True
        if fault.status:
            self._answer(fault.status, fault.headers)
        else:
            self.connection.close()

    def _answer(self, status: int, headers: Mapping[str, str] = {}, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _respond(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        registry = self.server.registry
        url = urlsplit(self.path)
        query = {key: value[-1] for key, value in parse_qs(url.query).items()}
        if url.path == "/token":
            return self._token(parse_qs(url.query).get("scope", []))
        if registry.tokens and self._is_stranger():
            realm = f'Bearer realm="http://{registry.address}/token",service="taking"'
            return 401, {"WWW-Authenticate": realm}, b""
        if url.path == "/v2/":
            return 200, {}, b"{}"
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs|blobs/uploads)/([^/]*)", url.path)
        if found is None:
            return 404, {}, b""
        repository, kind, name = found.groups()
        if kind == "manifests":
            return self._manifest(repository, name, body)
        if kind == "blobs":
            there = registry.blobs.get((repository, name))
            return (404, {}, UNKNOWN) if there is None else (200, {}, there)
        return self._upload(repository, url.path, query, body)

    def _is_stranger(self) -> bool:
        told = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return told not in self.server.registry.valid

    def _token(self, scopes: list[str]) -> tuple[int, Mapping[str, str], bytes]:
        registry = self.server.registry
        registry.scopes.append(sorted(scopes))
        token = base64.b64encode(f"{len(registry.scopes)}".encode()).decode()
        registry.valid.add(token)
        return 200, {}, json.dumps({"token": token}).encode()

    def _manifest(
        self, repository: str, name: str, body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        registry = self.server.registry
        if self.command == "PUT":
            value = json.loads(body)
            if value["mediaType"] in registry.refuses:
                return 400, {}, b'{"errors":[{"code":"MANIFEST_INVALID","message":"old"}]}'
            needed = [value["config"], *value["layers"]] if "config" in value else []
            if any((repository, one["digest"]) not in registry.blobs for one in needed):
                return 400, {}, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"no"}]}'
            registry.manifests[repository, name] = body
            registry.manifests[repository, digest(body)] = body
            told = registry.lies.get("manifest", digest(body))
            return 201, {"Docker-Content-Digest": told}, b""
        there = registry.manifests.get((repository, name))
        if there is None:
            return 404, {}, UNKNOWN
        media_type = json.loads(there)["mediaType"]
        return 200, {"Docker-Content-Digest": digest(there), "Content-Type": media_type}, there

    def _upload(
        self, repository: str, path: str, query: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        registry = self.server.registry
        if self.command == "POST":
            return self._begin(repository, path, query)
        if path not in registry.uploads:
            return 404, {}, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"gone"}]}'
        there = registry.uploads[path]
        place = {"Location": registry.absolute + path}
        if self.command == "GET":
            return 204, {**place, "Range": f"0-{max(0, len(there) - 1)}"}, b""
        start = int(self.headers.get("Content-Range", "0-").partition("-")[0])
        if self.command == "PATCH" and start != len(there):
            return 416, {}, b""
        registry.uploads[path] = there + body
        if self.command == "PATCH":
            return 202, {**place, "Range": f"0-{len(there + body) - 1}"}, b""
        content = registry.uploads.pop(path)
        if digest(content) != query["digest"]:
            return 400, {}, b'{"errors":[{"code":"DIGEST_INVALID","message":"other bytes"}]}'
        registry.blobs[repository, query["digest"]] = content
        told = registry.lies.get("blob", query["digest"])
        return 201, {"Docker-Content-Digest": told}, b""

    def _begin(
        self, repository: str, path: str, query: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        registry = self.server.registry
        other = registry.blobs.get((query.get("from", ""), query.get("mount", "")))
        if other is not None:
            registry.blobs[repository, query["mount"]] = other
            return 201, {}, b""
        place = f"{path}{len(registry.requests)}"
        registry.uploads[place] = b""
        return 202, {"Location": registry.absolute + place}, b""

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""
