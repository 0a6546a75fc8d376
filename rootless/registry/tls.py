"""TLS over a socket, and over a connection that is encrypted already, to an https proxy.

Imports `ssl`, which takes 10 ms: only where something is encrypted.
"""

from __future__ import annotations

import ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Any

_PIECE = 64 << 10


def context(*, verify: bool) -> ssl.SSLContext:
    """What the system trusts; without `verify` anything."""
    made = ssl.create_default_context()
    made.set_alpn_protocols(["http/1.1"])
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def wrapped(below: socket, context: ssl.SSLContext, name: str) -> Any:
    """The connection encrypted, `name` being whose certificate it is to show."""
    if isinstance(below, ssl.SSLSocket):
        return _Within(below, context, name)
    return context.wrap_socket(below, server_hostname=name)


class _Within:
    """TLS within TLS, as much of a socket as a `Connection` needs."""

    def __init__(self, below: ssl.SSLSocket, context: ssl.SSLContext, name: str) -> None:
        self._below = below
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        self._pump(self._tls.do_handshake)

    def sendall(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[self._pump(self._tls.write, view) :]

    def recv_into(self, buffer: Any) -> int:
        try:
            return int(self._pump(self._tls.read, len(buffer), buffer))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0

    def fileno(self) -> int:
        return self._below.fileno()

    def settimeout(self, seconds: float) -> None:
        self._below.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        self._below.shutdown(how)

    def close(self) -> None:
        self._below.close()

    def _pump(self, work: Any, *arguments: Any) -> Any:
        """The result of `work`, once enough has come and gone below."""
        while True:
            try:
                result = work(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                if content := self._below.recv(_PIECE):
                    self._in.write(content)
                else:
                    self._in.write_eof()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if content := self._out.read():
            self._below.sendall(content)
