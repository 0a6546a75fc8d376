"""http and https URLs, RFC 3986: parsed once, made absolute, and written so that they can be sent.

Pure. A `Url` holds only what may stand in a request line: whatever may not is percent-encoded, so
no text of a registry's can end the line or begin another.
"""

from __future__ import annotations

from rootless.record import Record

PORTS = {"http": 80, "https": 443}
_DIGITS = frozenset("0123456789")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SCHEME = _LETTERS | _DIGITS | frozenset("+-.")
_HEX = _DIGITS | frozenset("abcdefABCDEF")
_NAME = _LETTERS | _DIGITS | frozenset("._-")
_ADDRESS = _HEX | frozenset("[]:.")
_SENT = _LETTERS | _DIGITS | frozenset("-._~!$&'()*+,;=:@/?")


class Url(Record):
    """An absolute URL without its fragment; `host` in lower case, of IPv6 in brackets.

    `scheme` may be any, and `host` empty: who asks for one says what it may be.
    """

    scheme: str
    host: str
    port: int | None = None
    path: str = "/"
    query: str | None = None
    login: str = ""

    @property
    def netloc(self) -> str:
        """The host, with its port where one was given."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def target(self) -> str:
        """What is asked for at the host."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def url(self) -> str:
        """All of it, but a login."""
        return f"{self.scheme}://{self.netloc}{self.target}"


def parse(text: str, base: Url | None = None) -> Url:
    """An absolute URL, or one relative to `base`; ValueError where `text` is neither."""
    text = text.strip().partition("#")[0]
    scheme, colon, rest = text.partition(":")
    if colon and scheme[:1] in _LETTERS and scheme and _SCHEME.issuperset(scheme):
        return _at(scheme.lower(), rest)
    if base is None:
        raise ValueError("a URL has no scheme")
    if text.startswith("//"):
        return _at(base.scheme, text)
    path, mark, query = text.partition("?")
    if not path:
        return base.replace(query=_sendable(query)) if mark else base
    if not path.startswith("/"):
        path = base.path.rpartition("/")[0] + "/" + path
    return base.replace(path=_path(path), query=_sendable(query) if mark else None)


def _at(scheme: str, rest: str) -> Url:
    """What stands behind `scheme:`."""
    if not rest.startswith("//"):
        raise ValueError("a URL has no host")
    ends = [at for at in (rest.find("/", 2), rest.find("?", 2)) if at > 0]
    end = min(ends, default=len(rest))
    login, _, place = rest[2:end].rpartition("@")
    host, port = _place(place)
    path, mark, query = rest[end:].partition("?")
    return Url(scheme, host, port, _path(path), _sendable(query) if mark else None, login)


def _place(text: str) -> tuple[str, int | None]:
    """A host and its port."""
    host, bracket, rest = text.partition("]")
    if bracket:
        host, colon, port = f"{host}]", rest[:1], rest[1:]
        if not host.startswith("[") or colon not in ("", ":"):
            raise ValueError("a URL has a bracket in its host")
    else:
        host, _, port = text.partition(":")
    if not _DIGITS.issuperset(port) or len(port) > 5 or int(port or 0) > 0xFFFF:
        raise ValueError("a URL has a port that is none")
    if not (_ADDRESS if bracket else _NAME).issuperset(host):
        raise ValueError("a URL has a host that is none")
    return host.lower(), int(port) if port else None


def _path(text: str) -> str:
    """A path from the root on, with nothing in it that leads up."""
    parts: list[str] = []
    names = _sendable(text).split("/")[1:]
    for name in names:
        if name == "..":
            del parts[-1:]
        elif name != ".":
            parts.append(name)
    if names and names[-1] in (".", ".."):
        parts.append("")
    return "/" + "/".join(parts)


def _sendable(text: str) -> str:
    """The text with all percent-encoded that may not be sent as it is."""
    if _SENT.issuperset(text):
        return text
    return "".join(_encoded(text, at) for at in range(len(text)))


def _encoded(text: str, at: int) -> str:
    char = text[at]
    if char in _SENT or (
        char == "%" and len(text) > at + 2 and _HEX.issuperset(text[at + 1 : at + 3])
    ):
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode(errors="replace"))
