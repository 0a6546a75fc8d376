"""An http proxy that connects everybody to one place, whatever place they ask for."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import suppress
from typing import Self


class Tunnel:
    """Answers every CONNECT with `answer`, and tunnels to `target`; `asked` are the requests."""

    def __init__(self, target: str, answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n") -> None:
        self.asked: list[list[str]] = []
        self.target = target
        self.answer = answer
        self._server = _Server(self)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    rbufsize = 0

    def handle(self) -> None:
        tunnel = self.server.tunnel
        tunnel.asked.append(list(iter(lambda: self.rfile.readline().decode().strip(), "")))
        self.wfile.write(tunnel.answer)
        if b" 200 " not in tunnel.answer:
            return
        host, _, port = tunnel.target.rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            pairs = ((self.connection, there), (there, self.connection))
            threads = [threading.Thread(target=_carry, args=pair) for pair in pairs]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Every byte, until `source` has no more; then `target` hears of it."""
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
