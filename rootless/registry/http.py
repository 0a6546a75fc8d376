"""HTTP exchanges: pools, proxies, redirects we follow ourselves, and failures in sentences.

One `Transport` serves one session and all its threads. urllib3 does the protocol; its retries and
redirects are off, because both would decide about credentials without us. Bodies are handed out
unread. Every failure to get an answer leaves here as a RegistryError.
"""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from ipaddress import ip_address, ip_network
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3
from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Timeout, Url, make_headers, parse_url
from urllib3.util.ssl_ import create_urllib3_context

from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.registry import trust, wire
from rootless.registry.certificates import Certificates
from rootless.registry.errors import RegistryError, printable

if TYPE_CHECKING:
    from urllib3.connectionpool import HTTPConnectionPool

MAX_REDIRECTS = 10
MAX_ERROR_BODY = 64 << 10
_PIECE = 64 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_Result = TypeVar("_Result")
Body = bytes | Iterable[bytes] | None


class Patience(Record):
    """How long to wait, in seconds, and how often to try; `backoff` doubles with each try.

    `connect` is for a connection, `read` for the next byte. A sender of a byte now and then is
    held to a pace: `slowest` bytes for each second that we wait, looked at every `window` seconds;
    below it the connection is given up and the next one goes on. So a download may take as long as
    it needs while it gets on. Manifests and tokens have `answer` seconds in all.
    """

    connect: float = 10.0
    read: float = 30.0
    window: float = 60.0
    slowest: int = 1024
    answer: float = 120.0
    attempts: int = 5
    backoff: float = 0.5
    longest_wait: float = 60.0


class Access(Record):
    """How registries are reached.

    `proxies` maps `http` and `https` to the URL of a proxy, and `no` to the hosts that need none
    as no_proxy lists them. `watch` is told of every exchange, in whatever thread has it.
    """

    tls_verify: bool = True
    proxies: Mapping[str, str] = {}
    user_agent: str = "rootless"
    patience: Patience = Patience()
    certificates: Certificates = Certificates()
    watch: Callable[[Exchange], object] | None = None


class Request(Record):
    """What to ask: `place` is a URL, or relative to one. A `body` of pieces is sent only once.

    For who wants it explained: `why` it is asked, whether the answer `gives` later ones a TOKEN or
    the place of an UPLOAD, and the `blob` that is uploaded.
    """

    method: str
    place: str
    headers: Mapping[str, str] = {}
    body: Body = None
    why: str = ""
    gives: str = ""
    blob: Digest | None = None


class Exchange(Record):
    """A request as it was sent to `url`, secrets and all, and what came back."""

    request: Request
    url: Url
    status: int
    answer: Mapping[str, str]


class Transport:
    """Connections of one session with the registry at `home`, an https URL."""

    def __init__(self, home: Url, access: Access) -> None:
        self._registry = home.host or ""
        self._home = trust.origin(home)
        self._access = access
        self._headers = {"User-Agent": access.user_agent, "Accept-Encoding": "identity"}
        self._pools: dict[tuple[str, bool], PoolManager] = {}
        self._ended = wire.Ended()
        if not access.tls_verify:
            urllib3.disable_warnings(InsecureRequestWarning)

    def persist(self, attempt: Callable[[], _Result]) -> _Result:
        """The result of `attempt`, tried again while it fails with a temporary RegistryError."""
        tried = 0
        while True:
            try:
                return attempt()
            except RegistryError as error:
                tried += 1
                self.pause(tried, error)

    def pause(self, tried: int, error: RegistryError) -> None:
        """Wait before try number `tried` + 1, or raise `error` where waiting is no use."""
        patience = self._access.patience
        if not error.temporary or tried >= patience.attempts:
            raise error
        if error.retry_after > patience.longest_wait:
            raise error
        delay = patience.backoff * 2 ** (tried - 1) * random.uniform(0.5, 1.5)
        if self._ended.wait(max(error.retry_after, min(delay, patience.longest_wait))):
            raise error

    def follow(self, request: Request, url: Url) -> BaseHTTPResponse:
        """The first answer that is no redirect. Authorization goes to the first origin only.

        Nor is it another's to ask for: only the first origin's challenge is handed on.
        """
        first = trust.origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = self.send(request, url)
            location = response.headers.get("Location")
            if trust.origin(url) != first:
                response.headers.discard("WWW-Authenticate")
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            target = trust.parse(location, url.url)
            trust.check_hop(url, target)
            if trust.origin(target) != first:
                kept = {key: one for key, one in request.headers.items() if key != "Authorization"}
                request = request.replace(headers=kept)
            request = request.replace(why=f"{url.host} sends us there: {_plain(request.why)}")
            url = target
        raise RegistryError(f"{self._registry} redirects more than {MAX_REDIRECTS} times")

    def send(self, request: Request, url: Url) -> BaseHTTPResponse:
        """One exchange, with `url` whatever the request's place is; the body is not read yet."""
        pool = self._pool(url)
        try:
            response = pool.request(
                request.method,
                url.url,
                body=request.body,
                headers={**self._headers, **request.headers},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, LocationValueError, ValueError, OSError) as error:
            raise failure(url, error, self._access.patience) from error
        if self._access.watch:
            self._access.watch(Exchange(request, url, response.status, response.headers))
        return response

    def close(self) -> None:
        """Close idle connections."""
        for pool in self._pools.values():
            pool.clear()

    def stop(self) -> None:
        """Break all connections, and let there be no more: other threads' exchanges fail."""
        self._ended.set()

    def _pool(self, url: Url) -> PoolManager:
        proxy = proxy_for(url, self._access.proxies)
        if proxy:
            with suppress(OSError, UnicodeError):  # what resolves here must be allowed at least
                trust.resolve(self._registry, url.host or "")
        at_home = self._access.certificates != Certificates() and trust.origin(url) == self._home
        pool = self._pools.get((proxy, at_home))
        if pool is None:
            context = self._context() if at_home else None
            pool = self._pools[proxy, at_home] = self._make_pool(proxy, context)
        return pool

    def _context(self) -> ssl.SSLContext:
        """What the registry itself may show and see, besides what the system trusts."""
        context = create_urllib3_context(
            cert_reqs=ssl.CERT_REQUIRED if self._access.tls_verify else ssl.CERT_NONE
        )
        context.load_default_certs()
        self._access.certificates.load_into(context)
        return context

    def _make_pool(self, proxy: str, context: ssl.SSLContext | None) -> PoolManager:
        patience = self._access.patience
        timeout = Timeout(connect=patience.connect, read=patience.read)
        checks = "CERT_REQUIRED" if self._access.tls_verify else "CERT_NONE"
        if not proxy:
            terms = self._terms(self._registry)
            return _Direct(terms, maxsize=8, timeout=timeout, cert_reqs=checks, ssl_context=context)
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        if parts.scheme not in ("http", "https") or not parts.host:
            raise RegistryError(
                f"the proxy {trust.redacted(parts)} is not an http or https URL",
                hint="correct http_proxy, https_proxy or no_proxy in the environment",
            )
        login = make_headers(proxy_basic_auth=parts.auth) if parts.auth else None
        address = trust.redacted(parts)
        terms = self._terms(parts.host)
        return _Proxied(
            terms,
            address,
            proxy_headers=login,
            maxsize=8,
            timeout=timeout,
            cert_reqs=checks,
            ssl_context=context,
        )

    def _terms(self, home: str) -> wire.Terms:
        """For connections to `home` and to where it may send us."""
        patience, resolve = self._access.patience, partial(trust.resolve, home)
        return wire.Terms(patience.window, patience.slowest, resolve, self._ended)


class _Direct(PoolManager):
    """Pools whose connections keep to `terms`."""

    def __init__(self, terms: wire.Terms, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._terms = terms

    def _new_pool(self, *arguments: Any, **options: Any) -> HTTPConnectionPool:
        return wire.equip(super()._new_pool(*arguments, **options), self._terms)


class _Proxied(_Direct, ProxyManager):
    """The same through a proxy, where all connections are made to it."""


def _plain(why: str) -> str:
    """A reason without those of the redirects before."""
    return why.rpartition(" sends us there: ")[2]


def read_all(response: BaseHTTPResponse, limit: int, patience: Patience) -> bytes:
    """A small answer's body, of which no more than `limit` bytes are read."""
    deadline = monotonic() + patience.answer
    content = b""
    while len(content) < limit and (piece := response.read(min(_PIECE, limit - len(content)))):
        content += piece
        if monotonic() > deadline:
            raise wire.TooSlowError(f"its answer takes longer than {patience.answer:g} s")
    return content


def dismiss(response: BaseHTTPResponse, patience: Patience) -> None:
    """Have done with an answer; its connection serves the next request if its body was small."""
    with suppress(HTTPError, OSError, ValueError):
        read_all(response, MAX_ERROR_BODY, patience)
    response.close()


def is_page(response: BaseHTTPResponse, content: bytes) -> bool:
    """Whether an answer is a web page, as proxies and login pages of networks send."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") or content.lstrip()[:1] == b"<"


def proxy_for(url: Url, proxies: Mapping[str, str]) -> str:
    """The proxy for a URL, "" for none. Loopback never goes through a proxy."""
    host = (url.host or "").strip("[]").lower()
    if trust.is_loopback(host):
        return ""
    exceptions = [entry.strip().lower() for entry in proxies.get("no", "").split(",")]
    port = trust.origin(url)[2]
    if any(_excepts(entry, host, port) for entry in exceptions if entry):
        return ""
    return proxies.get(url.scheme or "", "")


def _excepts(entry: str, host: str, port: int | None) -> bool:
    """Whether one entry of no_proxy means `host`: a name, a domain, an address, a network, `*`."""
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit() and ":" not in name:
        if int(wanted) != port:
            return False
        entry = name
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        domain = entry.removeprefix("*").lstrip(".")
        return entry == "*" or host == domain or host.endswith(f".{domain}")


def failure(url: Url, error: Exception, patience: Patience) -> RegistryError:
    """The sentence for an exchange that broke, by what broke it."""
    host = url.host if url.port is None else f"{url.host}:{url.port}"
    message, hint, temporary = _explain(str(host), error, patience)
    return RegistryError(message, hint=hint, url=trust.redacted(url), temporary=temporary)


def _explain(host: str, error: Exception, patience: Patience) -> tuple[str, str | None, bool]:
    if isinstance(error, ProxyError):
        return f"cannot reach {host} through the proxy", "check http_proxy and https_proxy", True
    if isinstance(error, NameResolutionError):
        hint = "check the name and the network; without one: rootless load, or rootless import"
        return f"the name {host} cannot be resolved", hint, True
    if isinstance(slow := _cause(error), wire.TooSlowError):
        return f"{host} sends too slowly: {slow}", "try again later", True
    if isinstance(error, (ReadTimeoutError, socket.timeout)):
        return f"{host} said nothing for {patience.read:g} s", "try again later", True
    if isinstance(error, NewConnectionError):
        return f"cannot connect to {host}: {_reason(error)}", "check the name and the port", True
    if isinstance(error, ConnectTimeoutError):
        wait = f"{patience.connect:g} s"
        return f"{host} could not be reached within {wait}", "check the network and proxies", True
    if isinstance(error, (SSLError, ssl.SSLError)):
        return _explain_tls(host, error)
    return f"the connection to {host} broke: {_reason(error)}", "try again later", True


def _explain_tls(host: str, error: Exception) -> tuple[str, str | None, bool]:
    text = str(error).lower()
    if "wrong_version" in text or "wrong version" in text or "record layer" in text:
        return f"{host} does not speak https", "--tls-verify=false allows plain http", False
    if "alert certificate required" in text or "alert bad certificate" in text:
        hint = (
            "put it as NAME.cert with NAME.key into a folder for --cert-dir, or into"
            f" ~/.config/containers/certs.d/{host}"
        )
        return f"{host} wants a certificate of yours", hint, False
    if "certificate" in text or "hostname" in text:
        hint = (
            "put its authority's certificate into a folder for --cert-dir, as NAME.crt, or into"
            f" ~/.config/containers/certs.d/{host}; --tls-verify=false does without"
        )
        return f"the certificate of {host} cannot be trusted: {_reason(error)}", hint, False
    return f"no secure connection to {host}: {_reason(error)}", None, True


def _reason(error: BaseException) -> str:
    """The innermost cause in the system's own words."""
    error = _cause(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return printable(str(error), 200)


def _cause(error: BaseException) -> BaseException:
    """What began it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
