"""What passes between us and a registry, as lines of a shell script: `--explain`.

Each request is a comment that says why, the curl line that does the same, and a comment that says
what came back. What must not be shown is a variable: LOGIN (user:password), TOKEN, and where an
upload goes on. Called in whatever thread has the exchange.
"""

from __future__ import annotations

from http import HTTPStatus
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

from rootless.cli import words
from rootless.sandbox.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rootless.registry.http import Exchange, Request

_TOKEN_OF = r""" | sed -E 's/.*"(access_)?token" *: *"([^"]+)".*/\2/')"""
_LOCATION_OF = r" | sed -n 's/^[Ll]ocation: *//p' | tr -d '\r')"
_HIDDEN = frozenset({"refresh_token"})
_OURS = frozenset({"Content-Length", "Content-Range"})  # what curl says by itself, or the file says
_TOLD = ("Docker-Content-Digest", "Content-Type", "WWW-Authenticate", "Range", "Retry-After")
_LONGEST = 1 << 16  # bytes of a manifest that is shown


class Script:
    """Writes to `out` what is exchanged; `folder` is the store's, which has the blobs."""

    def __init__(self, out: TextIO, folder: str, *, tls_verify: bool) -> None:
        self._out = out
        self._folder = folder
        self._curl = "curl -s" if tls_verify else "curl -sk"
        self._lock = Lock()

    def __call__(self, exchange: Exchange) -> None:
        """Explain one."""
        text = "\n".join(map(words.escape, self._lines(exchange)))
        with self._lock:
            print(f"{text}\n", file=self._out, flush=True)

    def _lines(self, exchange: Exchange) -> Iterator[str]:
        yield f"# {exchange.request.why}"
        if exchange.url.url.endswith(exchange.request.place):
            yield self._command(exchange)
        else:  # curl -L follows by itself, and the address may be a secret
            yield f"# {exchange.request.method} {exchange.url.scheme}://{exchange.url.netloc}/…"
        yield f"# → {_came(exchange)}"

    def _command(self, exchange: Exchange) -> str:
        request, url = exchange.request, exchange.url.url
        if request.gives == "TOKEN":
            return f"TOKEN=$({self._curl}{_options(request)} {quote(url)}{_TOKEN_OF}"
        if request.blob is None:
            return f"{self._curl}{_options(request)} {quote(url)}{_kept(request)}"
        variable = f"UPLOAD_{request.blob.short[:8]}"
        place = quote(url) if request.method == "POST" else f'"${variable}{_closing(url)}"'
        line = f"{self._curl}{_options(request)}{self._file(request)} {place}"
        if request.gives != "UPLOAD":
            return line
        told = exchange.answer.get("Location", "")
        start = f"{exchange.url.scheme}://{exchange.url.netloc}" if told.startswith("/") else ""
        return f"{variable}={start and quote(start)}$({line} -o /dev/null -D -{_LOCATION_OF}"

    def _file(self, request: Request) -> str:
        """The bytes of the blob that go along."""
        if request.blob is None or request.body is None:
            return ""
        path = quote(f"{self._folder}/blobs/{request.blob.algorithm}/{request.blob.hex}")
        start, dash, end = request.headers.get("Content-Range", "").partition("-")
        if not dash:
            return f" -T {path}"
        part = f"tail -c +{int(start) + 1} {path} | head -c {int(end) - int(start) + 1}"
        return f" -H 'Content-Range: {start}-{end}' -T <({part})"


def _options(request: Request) -> str:
    """The method, and all that goes along but a blob."""
    options = [_method(request)]
    for name, value in request.headers.items():
        if name == "Authorization":
            basic = value.startswith("Basic ")
            options.append('-u "$LOGIN"' if basic else '-H "Authorization: Bearer $TOKEN"')
        elif name not in _OURS:
            options.append(f"-H {quote(f'{name}: {value}')}")
    options += _body(request)
    return "".join(f" {one}" for one in options if one)


def _method(request: Request) -> str:
    if request.method == "HEAD":
        return "-I"
    if request.method == "GET":
        return "" if request.gives == "TOKEN" else "-L"
    return f"-X {request.method}"


def _body(request: Request) -> list[str]:
    if request.gives == "TOKEN" and isinstance(request.body, bytes):
        fields = parse_qsl(request.body.decode())
        return [f"--data-urlencode {_field(*one)}" for one in fields]
    if request.body is None:
        return ["-d ''"] if request.method in ("POST", "PUT") else []
    if request.blob is not None or not isinstance(request.body, bytes):
        return []
    if len(request.body) > _LONGEST:
        return ["--data-binary @manifest.json"]
    return [f"--data-binary {quote(request.body.decode(errors='backslashreplace'))}"]


def _field(name: str, value: str) -> str:
    return f'{name}="${name.upper()}"' if name in _HIDDEN else quote(f"{name}={value}")


def _closing(url: str) -> str:
    """What ends an upload: it is added to its place, which is a variable."""
    start, found, digest = url.rpartition("digest=")
    return f"{start[-1]}{found}{digest}" if found else ""


def _kept(request: Request) -> str:
    """A blob that comes is put into a file, and looked at; anything else ends its line."""
    if request.method != "GET":
        return ""
    kind, _, name = urlsplit(request.place).path.rpartition("/")
    if not kind.endswith("/blobs"):
        return r" -w '\n'"
    file = name.partition(":")[2][:12]
    return f" -o {file} && sha256sum {file}"


def _came(exchange: Exchange) -> str:
    """What the registry answered."""
    try:
        phrase = HTTPStatus(exchange.status).phrase
    except ValueError:
        phrase = ""
    told = [f"{name}: {exchange.answer[name]}" for name in _TOLD if name in exchange.answer]
    return ", ".join([f"{exchange.status} {phrase}".strip(), *told])
