"""The Docker Hub on loopback: its names, TLS, tokens and search, behind a proxy of our own.

`Hub.environment` makes a program meet it where the real one would be: https_proxy leads there,
SSL_CERT_FILE trusts it. Anybody may pull; pushing needs the login USER and PASSWORD.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from tests.support.images import BaseImage

USER, PASSWORD = "dk-saber", "correct horse"
_REGISTRY = "registry-1.docker.io"
_OTHERS = ("auth.docker.io", "index.docker.io", "hub.docker.com", "docker.io")
_AUTH = """\
auth:
  token:
    realm: https://auth.docker.io/token
    service: registry.docker.io
    issuer: auth.docker.io
    rootcertbundle: {}
"""
_FOUND = [
    {"name": "python", "description": "Python is an interpreted language.", "star_count": 9999},
    {"name": "pypy", "description": "PyPy is a fast Python.", "star_count": 389},
]


class Hub:
    """A registry with tokens, what is around it, and a proxy that leads to them by name."""

    def __init__(self, folder: Path, images: Mapping[str, BaseImage]) -> None:
        """`images`: what is there, by REPOSITORY:TAG."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        with Registry(folder / "registry") as seeding:
            for name, image in images.items():
                seeding.push(image, name)
        _make_certificates(folder)
        self._registry = Registry(
            folder / "registry",
            extra=_AUTH.format(folder / "hub.pem"),
            environment={
                "REGISTRY_HTTP_TLS_CERTIFICATE": str(folder / "hub.pem"),
                "REGISTRY_HTTP_TLS_KEY": str(folder / "hub.key"),
            },
        )
        self._services = _Services(folder)
        ports = dict.fromkeys(_OTHERS, self._services.server_address[1])
        self._proxy = _Proxy({_REGISTRY: self._registry.port, **ports})

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to meet this Hub, besides an environment of its own."""
        return {
            "https_proxy": f"http://127.0.0.1:{self._proxy.server_address[1]}",
            "no_proxy": "127.0.0.1,localhost",
            "SSL_CERT_FILE": str(self._folder / "ca.pem"),
        }

    def __enter__(self) -> Self:
        for server in (self._services, self._proxy):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._services, self._proxy):
            server.shutdown()
            server.server_close()
        self._registry.stop()


def _make_certificates(folder: Path) -> None:
    """ca.pem, and hub.pem with hub.key for all names of the Hub."""
    names = ",".join(f"DNS:{name}" for name in (_REGISTRY, *_OTHERS))
    subject = ["-subj", "/CN=hub", "-days", "2", "-newkey", "rsa:2048", "-nodes", "-x509"]
    _openssl(folder, "req", *subject, "-keyout", "ca.key", "-out", "ca.pem")
    issued = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName={names}"]
    usage = ["-addext", "basicConstraints=critical,CA:FALSE"]
    _openssl(
        folder, "req", *subject, *issued, *usage, "-keyout", "hub.key", "-out", "hub.pem"
    )  # fmt: skip


def _openssl(folder: Path, *argv: str, given: bytes = b"") -> bytes:
    done = subprocess.run(
        ["openssl", *argv], cwd=folder, input=given, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class _Proxy(socketserver.ThreadingTCPServer):
    """CONNECT to the names of the Hub; every other is refused."""

    daemon_threads = True

    def __init__(self, ports: Mapping[str, int]) -> None:
        self.ports = ports
        super().__init__(("127.0.0.1", 0), _Tunnel)


class _Tunnel(socketserver.StreamRequestHandler):
    server: _Proxy
    rbufsize = 0

    def handle(self) -> None:
        verb, name, _ = self.rfile.readline().decode().split(" ", 2)
        while self.rfile.readline().strip():
            pass
        port = self.server.ports.get(name.rpartition(":")[0])
        if verb != "CONNECT" or port is None:
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port)) as there:
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=_carry, args=(there, self.connection), daemon=True)
            back.start()
            _carry(self.connection, there)
            back.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Every byte, until `source` has no more; then `target` hears of it."""
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Services(http.server.ThreadingHTTPServer):
    """The Hub's token server and its search."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "hub.pem", folder / "hub.key")
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a handshake that never ends holds up nobody."""
        with suppress(OSError), self._context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Services
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/token":
            self._token(parse_qs(url.query), _basic(self.headers.get("Authorization", "")))
        elif url.path in {"/v1/search", "/v1/search/"}:
            wanted = parse_qs(url.query)["q"][0]
            found = [
                {"is_official": True, "is_automated": False, **one}
                for one in _FOUND
                if wanted in str(one).lower()
            ]
            self._answer(200, {"num_results": len(found), "results": found})
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        login = (form.get("username", [""])[0], form.get("password", [""])[0])
        self._token({**form, "scope": form.get("scope", [""])[0].split()}, login)

    def _token(self, asked: Mapping[str, list[str]], login: tuple[str, str] | None) -> None:
        if login not in {None, (USER, PASSWORD)}:
            self._answer(401, {"details": "incorrect username or password"})
            return
        allowed = {"pull", "push"} if login else {"pull"}
        access = []
        for scope in asked.get("scope", []):
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            granted = sorted(allowed.intersection(actions.split(",")))
            access.append({"type": kind, "name": name, "actions": granted})
        token = _sign(self.server.folder, access)
        self._answer(200, {"token": token, "access_token": token, "expires_in": 300})

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _basic(header: str) -> tuple[str, str] | None:
    if not header.startswith("Basic "):
        return None
    user, _, password = base64.b64decode(header[6:]).decode().partition(":")
    return user, password


def _sign(folder: Path, access: list[dict[str, Any]]) -> str:
    """A token as distribution's registry reads it: RFC 7519, RS256, with its certificate."""
    der = _openssl(folder, "x509", "-in", "hub.pem", "-outform", "DER")
    head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    now = int(time.time())
    claims = {
        "iss": "auth.docker.io",
        "sub": USER,
        "aud": "registry.docker.io",
        "exp": now + 300,
        "nbf": now - 10,
        "iat": now,
        "jti": os.urandom(8).hex(),
        "access": access,
    }
    signed = b".".join(_segment(json.dumps(part).encode()) for part in (head, claims))
    signature = _openssl(folder, "dgst", "-sha256", "-sign", "hub.key", given=signed)
    return (signed + b"." + _segment(signature)).decode()


def _segment(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
