"""One connection: to an address that was checked, and answers whose cost is bounded.

A name is resolved here, once, for the connection that is then made to that very address; TLS still
verifies the name. An answer may be as long as its reader wants, but what frames it (status lines
however many, headers, chunk sizes, trailers) only MAX_FRAMING bytes longer than its content, and
while we wait for it, it must keep to the pace that `Terms` ask for: RFC 9112 puts a limit on
neither. Runs in any thread.
"""

from __future__ import annotations

import io
import socket
import threading
from contextlib import suppress
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from rootless.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3.connectionpool import HTTPConnectionPool

MAX_FRAMING = 256 << 10


class Ended(threading.Event):
    """Once set, it breaks all connections made under it, and lets none be made."""

    def __init__(self) -> None:
        super().__init__()
        self._adding = threading.Lock()
        self._connections: WeakSet[HTTPConnection] = WeakSet()

    def add(self, connection: HTTPConnection) -> None:
        with self._adding:
            self._connections.add(connection)

    def set(self) -> None:
        super().set()
        with self._adding:
            for connection in self._connections:
                with suppress(OSError, AttributeError):  # its own thread may be closing it
                    connection.sock.shutdown(socket.SHUT_RDWR)


class Terms(Record):
    """In `window` seconds of waiting there must come `slowest` bytes for each of them.

    `resolve` gives the addresses of a host, and raises what forbids to connect to it.
    """

    window: float
    slowest: int
    resolve: Callable[[str], list[str]]
    ended: Ended


class TooSlowError(TimeoutError):
    """The sender keeps the connection busy, and is not going to finish."""


def equip(pool: HTTPConnectionPool, terms: Terms) -> HTTPConnectionPool:
    """Let `pool` make its connections here."""
    pool.ConnectionCls = _Https if pool.scheme == "https" else _Http
    pool.conn_kw["terms"] = terms
    return pool


class _Terms(HTTPConnection):
    """The part that plain and TLS connections share."""

    def __init__(self, *arguments: Any, terms: Terms, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._terms = terms

    def response_class(  # type: ignore[override]  # http.client does no more than to call it
        self, *arguments: Any, **options: Any
    ) -> HTTPResponse:
        """What reads an answer."""
        answer = HTTPResponse(*arguments, **options)
        answer.fp = _Framed(_Paced(answer.fp.detach(), self._terms))
        return answer

    def connect(self) -> None:
        self._terms.ended.add(self)
        super().connect()
        if self._terms.ended.is_set():
            self.close()
            raise NewConnectionError(self, "it is not wanted any more")

    def _new_conn(self) -> socket.socket:
        try:
            addresses = self._terms.resolve(self.host)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from error
        failure: Exception = NewConnectionError(self, "the name has no address")
        for address in addresses:
            try:
                return create_connection(
                    (address, self.port), self.timeout, socket_options=self.socket_options
                )
            except TimeoutError as error:
                failure = ConnectTimeoutError(self, str(error))
            except OSError as error:
                failure = NewConnectionError(self, str(error))
                failure.__cause__ = error
        raise failure


class _Http(_Terms):
    """http, or http to a proxy."""


class _Https(_Terms, HTTPSConnection):
    """https, or through a proxy's tunnel."""


class _Paced(io.RawIOBase):
    """A socket's bytes; TooSlowError when too few of them come in the time we spend waiting."""

    def __init__(self, raw: io.RawIOBase, terms: Terms) -> None:
        self._raw = raw
        self._terms = terms
        self._waited = 0.0
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        began = monotonic()
        count = self._raw.readinto(buffer)
        self._waited += monotonic() - began
        self._received += count or 0
        if self._waited >= self._terms.window:
            if count and self._received < self._terms.slowest * self._terms.window:
                raise TooSlowError(f"less than {self._terms.slowest} bytes a second")
            self._waited, self._received = 0.0, 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Framed(io.BufferedReader):
    """Knows by how http.client reads: what frames a body by the line, the body by its length."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._framing = MAX_FRAMING
        self._heading = True

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        is_first = self._framing == MAX_FRAMING
        self._framing -= len(line)
        if self._framing < 0:
            raise HTTPException("its answer has headers without end")
        is_cut = not line.endswith(b"\n") and len(line) != size
        if self._heading and is_cut and not (is_first and not line):
            # to http.client they end here, and with them, unframed, an empty body
            raise RemoteDisconnected("its answer ends within the headers")
        self._heading = self._heading and line not in (b"\r\n", b"\n")
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # a chunk of -1 bytes would be all there ever comes
            raise HTTPException("its answer has a part of a negative size")
        content = super().read(size)
        self._framing = min(self._framing + len(content), MAX_FRAMING)
        return content
