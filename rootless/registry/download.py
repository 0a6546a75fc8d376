"""A file at an http or https URL that the user named, read once, from its beginning to its end.

No login goes along. A connection that breaks is taken up again where it broke, when the server says
by an ETag or a date that the file is still the same; a file of unknown length that ends too early
is noticed by its framing. Runs in the process that reads, which may hold it open as long as it
likes: only while it waits for bytes is the sender held to a pace.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.registry import http, trust
from rootless.registry import url as urls
from rootless.registry.errors import RegistryError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from rootless.registry.http import Access
    from rootless.registry.url import Url
    from rootless.registry.wire import Answer

_ANOTHER_PROGRAM = "fetch it with another program, and pipe it in: curl URL | rootless import -"
_SECOND_WIND = 1 << 20  # bytes that came before a failure to make the next one the first again


def parse(text: str, instead: str = _ANOTHER_PROGRAM) -> Url:
    """The URL; UsageError when it is no http or https URL, or holds a login: see `instead`."""
    try:
        url = urls.parse(text)
    except ValueError:
        raise UsageError(f"{printable(text, 200)!r} is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(
            f"{printable(text, 200)!r} is not an http or https URL",
            hint="fetch it with another program, and pipe it in",
        )
    if url.login:
        raise UsageError(
            f"{trust.redacted(url)} is given with a login, which would be seen by others",
            hint=instead.replace("curl URL", "curl --netrc URL"),
        )
    return url


def etag(url: Url, access: Access, known: str, login: str = "") -> str:
    """The ETag that the file has now, "" when that is not told; it was `known` before."""
    transport = http.Transport(url, access)
    try:
        request = http.Request("HEAD", url.url, {"If-None-Match": known, **_login(login)})
        response = transport.follow(request, url)
        response.close()
    except RegistryError:
        return ""
    finally:
        transport.close()
    told = response.headers.get("ETag", "")
    if response.status == 304:
        return told or known
    return told if response.status == 200 else ""


class Download:
    """An open answer; `read` it, in one thread, and close it at the end of `with`."""

    def __init__(
        self, url: Url, access: Access, instead: str = _ANOTHER_PROGRAM, login: str = ""
    ) -> None:
        """RegistryError when the server does not answer with the file.

        `instead` is what to do where this program can do nothing about that. `login` is what
        Authorization says to the URL's own server.
        """
        self._login = _login(login)
        self.received = 0
        """Bytes so far."""
        self._url = url
        self._patience = access.patience
        self._transport = http.Transport(url, access)
        self._tried = 0
        self._mark = 0
        try:
            self._response = self._transport.persist(self._begin)
        except BaseException as error:
            self._transport.close()
            if isinstance(error, RegistryError) and "--" in (error.hint or ""):
                error.hint = instead  # flags for registries: there are none here
            raise
        self.headers: Mapping[str, str] = self._response.headers
        self.size = _size(self._response)
        """Bytes of the whole file, None where the server does not say."""

    def read(self, count: int) -> bytes:
        """The next bytes, b"" at the end; RegistryError when they do not come."""
        while True:
            try:
                piece = self._response.read(count)
            except OSError as error:
                self._recover(http.failure(self._url, error, self._patience))
                continue
            self.received += len(piece)
            return piece

    def close(self) -> None:
        """No more of it is wanted."""
        self._response.close()
        self._transport.stop()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self, error: RegistryError) -> None:
        """Go on after the bytes that came, or raise `error`."""
        self._response.close()
        while True:
            if self.received - self._mark >= _SECOND_WIND:
                self._tried = 0
            self._mark = self.received
            self._tried += 1
            self._transport.pause(self._tried, error)
            try:
                self._response = self._resume(error)
            except RegistryError as failure:
                error = failure
            else:
                return

    def _begin(self) -> Answer:
        return self._ask({}, 200)

    def _resume(self, error: RegistryError) -> Answer:
        validator = _validator(self._response)
        if not validator:
            raise RegistryError(error.message, hint=error.hint, url=error.url)
        place = {"Range": f"bytes={self.received}-", "If-Range": validator}
        response = self._ask(place, 206)
        begins = response.headers.get("Content-Range", "").partition("-")[0].strip()
        if begins != f"bytes {self.received}":
            response.close()
            raise RegistryError(f"{self._url.host} goes on at another place than it was asked for")
        return response

    def _ask(self, headers: dict[str, str], wanted: int) -> Answer:
        request = http.Request("GET", self._url.url, {**headers, **self._login})
        response = self._transport.follow(request, self._url)
        if response.status == wanted:
            return response
        status = f"{response.status} {printable(response.reason or '', 60)}".strip()
        http.dismiss(response, self._patience)
        if response.status == 200:
            raise RegistryError(f"{self._url.host} has another file there now: begin again")
        raise RegistryError(
            f"{trust.redacted(self._url)} is answered with: {status}",
            hint="check the address" if response.status in (404, 410) else None,
            status=response.status,
            temporary=response.status >= 500 or response.status == 429,
        )


def _login(text: str) -> dict[str, str]:
    return {"Authorization": text} if text else {}


def _size(response: Answer) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _validator(response: Answer) -> str:
    """What tells that a file is still the same: RFC 9110, 13.1.5."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified", "")
