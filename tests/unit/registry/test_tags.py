"""Lists of tags in pages: where a registry may say that the next one is."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from rootless.registry import tags
from rootless.registry.errors import RegistryError
from rootless.registry.session import Session


class Pages(http.server.BaseHTTPRequestHandler):
    """Two pages; the first has the server's `link`, and the second is wherever that leads."""

    def do_GET(self):
        path = self.requestline.split()[1]  # `self.path` has lost slashes
        self.server.paths.append(path)
        body = json.dumps({"name": "a", "tags": [f"t{len(self.server.paths)}"]}).encode()
        self.send_response(200)
        if path.endswith("/tags/list"):
            self.send_header("Link", f'<{self.server.link}>; rel="next"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nobody reads it."""


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.address = f"127.0.0.1:{server.server_port}"
    server.paths = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("start", "path"),
    [
        ("", "/v2/a/tags/more?last=x"),
        ("http://{}", "//evil.example/x?last=x"),
        ("https://127.0.0.1:1", "/v2/a/tags/more"),  # behind a proxy
    ],
)
def test_the_next_page_is_the_registrys_own(server, start, path):
    server.link = start.format(server.address) + path
    assert tags.listed(Session(server.address), "a") == ("t2", "t3")
    assert server.paths == ["/v2/", "/v2/a/tags/list", path]


def test_another_host_is_refused(server):
    server.link = "//evil.example/x"
    with pytest.raises(RegistryError, match=r"evil\.example; refused"):
        tags.listed(Session(server.address), "a")
