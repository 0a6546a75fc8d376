"""HTTP/1.1 over one connection, RFC 9112: to the address that was looked at, at a bounded cost.

A name is resolved here, once, for the connection that is then made to that very address; TLS still
verifies the name. An answer may be as long as its reader wants, but what frames it (status lines
however many, headers, chunk sizes, trailers) only MAX_FRAMING bytes longer than its content, and
while we wait for it, it must keep to the pace that `Terms` ask for: RFC 9112 puts a limit on
neither. Bodies are read as they were sent; what is not framed clearly is refused.

Of our own, because a registry that has an image already is asked two questions: the libraries for
this take longer to be imported than both answers to come. `ssl` is imported for https only.
Runs in any thread. Whatever goes wrong is an OSError, of TLS an ssl.SSLError.
"""

from __future__ import annotations

import io
import select
import socket
import threading
from _weakrefset import WeakSet
from collections.abc import Mapping
from time import monotonic

from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ssl import SSLContext
    from typing import Any

    from rootless.registry.url import Url

MAX_FRAMING = 256 << 10
_LINE = 64 << 10  # bytes of one header
_BODILESS = frozenset({204, 304})


class ResolveError(OSError):
    """A name has no address."""


class ConnectError(OSError):
    """Nobody takes the connection."""


class ConnectTimeoutError(OSError):
    """Nobody answered in time."""


class ProxyError(OSError):
    """The proxy cannot be reached, or makes no connection for us."""


class BrokenError(OSError):
    """The connection was there, and ended before the answer did, or what came is none."""


class TooSlowError(TimeoutError):
    """The sender keeps the connection busy, and is not going to finish."""


class Ended(threading.Event):
    """Once set, it breaks all connections made under it, and lets none be made."""

    def __init__(self) -> None:
        super().__init__()
        self._adding = threading.Lock()
        self._connections: WeakSet[Connection] = WeakSet()

    def add(self, connection: Connection) -> None:
        with self._adding:
            self._connections.add(connection)

    def set(self) -> None:
        super().set()
        with self._adding:
            for connection in self._connections:
                connection.shut()


class Terms(Record):
    """How connections are made, and held to a pace.

    In `window` seconds of waiting there must come `slowest` bytes for each of them. `resolve` gives
    the addresses of a host, and raises what forbids to connect to it. `connect` and `read` are
    seconds: for a connection, and for the next byte.
    """

    window: float
    slowest: int
    connect: float
    read: float
    resolve: Callable[[str], list[str]]
    ended: Ended


class Route(Record):
    """How to get to a host: through a `proxy` or not; `login` is what Proxy-Authorization says.

    `tls` makes the context of a connection that is encrypted, for the proxy or for what is behind.
    """

    tls: Callable[[Url], SSLContext]
    proxy: Url | None = None
    login: str = ""


class Headers(Mapping[str, str]):
    """The fields of an answer; names in any case, and fields of one name as one, RFC 9110 §5.3."""

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._fields: dict[str, str] = {}
        for name, value in fields:
            before = self._fields.get(name.lower())
            self._fields[name.lower()] = value if before is None else f"{before}, {value}"

    def discard(self, name: str) -> None:
        """Have none of that name."""
        self._fields.pop(name.lower(), None)

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Connection:
    """A connection to where `url` is, made with the first request.

    One exchange at a time: the answer is closed before the next. It does not know who keeps it
    when it is idle, so that it is closed as soon as that one is gone.
    """

    def __init__(self, url: Url, route: Route, terms: Terms) -> None:
        self._url = url
        self._route = route
        self._terms = terms
        self._socket: Any = None
        terms.ended.add(self)

    @property
    def is_open(self) -> bool:
        """Whether it is made, and nothing has come unasked: not even its end."""
        if self._socket is None:
            return False
        waiting = select.poll()
        waiting.register(self._socket.fileno(), select.POLLIN)
        return not waiting.poll(0)

    def exchange(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        keep: Callable[[Connection], object],
    ) -> Answer:
        """Ask; the answer, whose body is not read yet. A body of pieces says its length itself.

        `keep` gets this connection when the answer has been read and it can serve another request.
        """
        if self._socket is None:
            self._connect()
        head = self._head(method, url, headers, body)
        failure = self._send(head, body)
        try:
            return Answer(self, self._reader(), method, keep)
        except BaseException as error:
            self.close()
            if failure and isinstance(error, OSError):
                raise failure from error
            raise

    @property
    def is_wanted(self) -> bool:
        """Whether there may be further exchanges."""
        return not self._terms.ended.is_set()

    def shut(self) -> None:
        """Let whoever reads or writes it fail; from any thread."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError, ValueError):  # its own thread may be closing it
            pass

    def close(self) -> None:
        """Have no connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def __del__(self) -> None:
        self.close()

    def _reader(self) -> _Framed:
        """What reads one answer; what would come after it is nobody's."""
        return _Framed(_Paced(self._socket, self._terms))

    def _head(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> bytes:
        is_plain = url.scheme == "http"
        target = url.url if self._route.proxy and is_plain else url.target
        lines = {"Host": url.netloc, **headers}
        if self._route.login and is_plain:
            lines["Proxy-Authorization"] = self._route.login
        if isinstance(body, bytes) or (body is None and method not in ("GET", "HEAD")):
            lines["Content-Length"] = str(len(body or b""))
        return _request(f"{method} {target}", lines)

    def _send(self, head: bytes, body: bytes | Iterable[bytes] | None) -> OSError | None:
        """Send a request; who hangs up in its middle may have said why: the failure, if any."""
        try:
            if body is None or isinstance(body, bytes):
                self._socket.sendall(head + (body or b""))
                return None
            self._socket.sendall(head)
            for piece in body:
                self._socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError) as error:
            return error
        except BaseException:
            self.close()
            raise
        return None

    def _connect(self) -> None:
        proxy = self._route.proxy
        first = proxy or self._url
        try:
            self._reach(first)
            if first.scheme == "https":
                self._encrypt(first)
        except OSError as error:
            self.close()
            if proxy:
                raise ProxyError(str(error)) from error
            raise
        except BaseException:
            self.close()
            raise
        try:
            if proxy and self._url.scheme == "https":
                self._tunnel()
                self._encrypt(self._url)
            self._socket.settimeout(self._terms.read)
        except BaseException:
            self.close()
            raise
        if self._terms.ended.is_set():
            self.close()
            raise ConnectError("it is not wanted any more")

    def _reach(self, url: Url) -> None:
        """Connect to one of the addresses that the host has."""
        host = url.host.strip("[]")
        try:
            addresses = self._terms.resolve(host)
        except (socket.gaierror, UnicodeError) as error:
            raise ResolveError(str(error)) from error
        failure: OSError = ConnectError("the name has no address")
        port = url.port or (443 if url.scheme == "https" else 80)
        for address in addresses:
            try:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                self._socket = socket.socket(family, socket.SOCK_STREAM)
                self._socket.settimeout(self._terms.connect)
                self._socket.connect((address, port))
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return
            except OSError as error:
                slow = isinstance(error, TimeoutError)
                failure = (ConnectTimeoutError if slow else ConnectError)(str(error))
                failure.__cause__ = error
                self.close()
        raise failure

    def _encrypt(self, url: Url) -> None:
        from rootless.registry import tls

        name = url.host.strip("[]").rstrip(".")
        self._socket = tls.wrapped(self._socket, self._route.tls(url), name)

    def _tunnel(self) -> None:
        """Let the proxy connect us, RFC 9110 §9.3.6."""
        place = f"{self._url.host}:{self._url.port or 443}"
        lines = {"Host": place}
        if self._route.login:
            lines["Proxy-Authorization"] = self._route.login
        self._socket.settimeout(self._terms.read)
        self._socket.sendall(_request(f"CONNECT {place}", lines))
        _, status, reason, _ = self._reader().heading()
        if status != 200:
            raise ProxyError(f"it answered {status} {reason}")


class Answer:
    """What came back: `read` its body, then `close` it."""

    def __init__(
        self,
        connection: Connection,
        reader: _Framed,
        method: str,
        keep: Callable[[Connection], object],
    ) -> None:
        version, self.status, self.reason, fields = reader.heading()
        self.headers = Headers(fields)
        self._connection: Connection | None = connection
        self._keep = keep
        self._reader = reader
        self._chunked = False
        self._left: int | None = None
        """Bytes of the body or of this chunk that are to come; None when only its end tells."""
        self._ended = method == "HEAD" or self.status in _BODILESS
        if not self._ended:
            self._frame()
        options = self.headers.get("Connection", "").lower()
        is_odd = self._chunked and "Content-Length" in self.headers  # RFC 9112 §6.3, item 3
        self._keeps = version != "HTTP/1.0" and "close" not in options and not is_odd

    def read(self, count: int) -> bytes:
        """The next bytes, `count` of them but at the end, where none is left: b""."""
        if self._ended or count <= 0:
            return b""
        if self._chunked:
            return self._read_chunks(count)
        content = self._reader.read(count if self._left is None else min(count, self._left))
        if self._left is None:
            self._ended, self._keeps = len(content) < count, False
            return content
        return self._counted(content)

    def close(self) -> None:
        """Have done with it."""
        connection, self._connection = self._connection, None
        if connection and self._ended and self._keeps and connection.is_wanted:
            self._keep(connection)
        elif connection:
            connection.close()
        self._ended = True

    def _frame(self) -> None:
        """How the body ends, RFC 9112 §6.3."""
        coding = self.headers.get("Transfer-Encoding", "").strip().lower()
        if coding and coding != "chunked":
            raise BrokenError("its answer is encoded in an unknown way")
        self._chunked = bool(coding)
        lengths = {one.strip() for one in self.headers.get("Content-Length", "").split(",")}
        if coding or lengths == {""}:
            self._left = 0 if coding else None
            return
        length = lengths.pop()
        if lengths or not length.isascii() or not length.isdecimal() or len(length) > 18:
            raise BrokenError("its answer has a length that is none")
        self._left = int(length)
        self._ended = self._left == 0

    def _counted(self, content: bytes) -> bytes:
        """Some of the body, of which so many bytes are less to come."""
        assert self._left is not None
        self._left -= len(content)
        if not content:
            raise BrokenError(f"its answer ends {self._left} bytes too early")
        self._ended = self._left == 0 and not self._chunked
        return content

    def _read_chunks(self, count: int) -> bytes:
        pieces = []
        while count and not self._ended:
            if not self._left:
                self._next_chunk()
                continue
            piece = self._counted(self._reader.read(min(count, self._left)))
            pieces.append(piece)
            count -= len(piece)
            if not self._left and self._reader.line():
                raise BrokenError("its answer has a part that is longer than it says")
        return b"".join(pieces)

    def _next_chunk(self) -> None:
        size = self._reader.line().partition(b";")[0].strip()
        if not size or len(size) > 15 or not frozenset(b"0123456789abcdefABCDEF").issuperset(size):
            raise BrokenError("its answer has a part of no size")
        self._left = int(size, 16)
        if self._left == 0:
            while self._reader.line():
                pass  # trailers
            self._ended = True


class _Paced(io.RawIOBase):
    """A socket's bytes; TooSlowError when too few of them come in the time we spend waiting."""

    def __init__(self, source: Any, terms: Terms) -> None:
        self._source = source
        self._terms = terms
        self._waited = 0.0
        self._received = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        began = monotonic()
        count = int(self._source.recv_into(buffer))
        self._waited += monotonic() - began
        self._received += count
        if self._waited >= self._terms.window:
            if count and self._received < self._terms.slowest * self._terms.window:
                raise TooSlowError(f"less than {self._terms.slowest} bytes a second")
            self._waited, self._received = 0.0, 0
        return count


class _Framed(io.BufferedReader):
    """What frames a body is read by the line, and counted; the body by its length."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self._framing = MAX_FRAMING

    def heading(self) -> tuple[str, int, str, list[tuple[str, str]]]:
        """The version, status, reason and fields of the next answer that is final."""
        self._framing = MAX_FRAMING
        while True:
            version, status, reason = _status(self.line(first=True))
            fields = self._fields()
            if status >= 200:
                return version, status, reason, fields

    def line(self, *, first: bool = False) -> bytes:
        """The next line, without its end."""
        line = self.readline(_LINE)
        self._framing -= len(line)
        if self._framing < 0 or len(line) == _LINE:
            raise BrokenError("its answer has headers without end")
        if not line and first:
            raise BrokenError("it hung up without an answer")
        if not line.endswith(b"\n"):
            raise BrokenError("its answer ends within the headers")
        return line[:-1].removesuffix(b"\r")

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._framing = min(self._framing + len(content), MAX_FRAMING)
        return content

    def _fields(self) -> list[tuple[str, str]]:
        fields: list[tuple[str, str]] = []
        while line := self.line().decode("latin-1"):
            name, colon, value = line.partition(":")
            if line[0] in " \t" and fields:  # a line that goes on, RFC 9112 §5.2
                fields[-1] = (fields[-1][0], f"{fields[-1][1]} {line.strip()}")
            elif not colon or not name.isprintable() or " " in name:
                raise BrokenError("its answer has a header that is none")
            else:
                fields.append((name, value.strip()))
        return fields


def _status(line: bytes) -> tuple[str, int, str]:
    """A status line, RFC 9112 §4."""
    version, _, rest = line.decode("latin-1").partition(" ")
    status, _, reason = rest.strip().partition(" ")
    if version not in ("HTTP/1.0", "HTTP/1.1") or len(status) != 3 or not status.isdecimal():
        raise BrokenError("it does not answer in HTTP/1.1")
    return version, int(status), reason.strip()


def _request(first: str, headers: Mapping[str, str]) -> bytes:
    """A request's head; ValueError for a field that would be two: its value may be a login."""
    lines = [f"{first} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    for name, line in zip(("", *headers), lines, strict=True):
        if not line.isascii() or not line.replace("\t", " ").isprintable():
            what = f"the header {name[:150]!r}" if name else "the URL"
            raise ValueError(f"{what} has characters that cannot be sent")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
