"""A registry behind a counter: how many requests a command makes, and what bytes they carry.

The counter forwards plain http, unchanged but for its name in Location; only bodies are counted.
"""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Self

    from tests.support.registry import Registry

_OWN = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
_PIECE = 1 << 16


class Cost(NamedTuple):
    """`requests`, the bytes a registry gets (`up`) and sends (`down`)."""

    requests: int = 0
    up: int = 0
    down: int = 0

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(mine - its for mine, its in zip(self, other, strict=True)))


class Counter:
    """In front of `registry`; `address` is where it listens."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.cost = Cost()
        self.asked: list[str] = []
        self.lock = threading.Lock()
        self._server = _Server(self)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, line: str, up: int, down: int) -> None:
        """One request more."""
        with self.lock:
            requests, all_up, all_down = self.cost
            self.cost = Cost(requests + 1, all_up + up, all_down + down)
            self.asked.append(line)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, counter: Counter) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.counter = counter


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format, *args):  # noqa: A002
        pass

    def _forward(self) -> None:
        counter = self.server.counter
        body = self._body()
        other = http.client.HTTPConnection("127.0.0.1", counter.registry.port, timeout=120)
        try:
            headers = {key: value for key, value in self.headers.items() if key.lower() not in _OWN}
            other.request(self.command, self.path, body, {**headers, "Host": counter.address})
            down = self._answer(other.getresponse())
        finally:
            other.close()
        counter.add(f"{self.command} {self.path}", len(body), down)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, answer: http.client.HTTPResponse) -> int:
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in _OWN - {"content-length"}:
                self.send_header(key, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", "0")
        self.end_headers()
        sent = 0
        while piece := answer.read(_PIECE):
            self.wfile.write(piece)
            sent += len(piece)
        return sent
