"""HTTP exchanges: pools, proxies, redirects we follow ourselves, and failures in sentences.

One `Transport` serves one session and all its threads; `wire` does the protocol. Bodies are handed
out unread. Every failure to get an answer leaves here as a RegistryError.
"""

from __future__ import annotations

from functools import partial
from time import monotonic

from rootless.oci.digest import Digest
from rootless.oci.reference import DOCKER_HUB, HUB_HOSTS
from rootless.record import Record
from rootless.registry import trust, wire
from rootless.registry.certificates import Certificates
from rootless.registry.errors import RegistryError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from ssl import SSLContext
    from typing import TypeVar

    from rootless.registry.url import Url
    from rootless.registry.wire import Answer, Headers

    _Result = TypeVar("_Result")
    Body = bytes | Iterable[bytes] | None

MAX_REDIRECTS = 10
MAX_ERROR_BODY = 64 << 10
_PIECE = 64 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_IDLE = 8  # connections to one place that are kept for later


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
    answer: Headers


class Transport:
    """Connections of one session with the registry at `home`, an https URL."""

    def __init__(self, home: Url, access: Access) -> None:
        self._registry = home.host
        self._home = trust.origin(home)
        self._access = access
        self._headers = {"User-Agent": access.user_agent, "Accept-Encoding": "identity"}
        self._idle: dict[tuple[str, object], list[wire.Connection]] = {}
        self._contexts = _Contexts(self._home, access)
        self._ended = wire.Ended()

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
        import random

        delay = patience.backoff * 2 ** (tried - 1) * random.uniform(0.5, 1.5)
        if self._ended.wait(max(error.retry_after, min(delay, patience.longest_wait))):
            raise error

    def follow(self, request: Request, url: Url) -> Answer:
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

    def send(self, request: Request, url: Url) -> Answer:
        """One exchange, with `url` whatever the request's place is; the body is not read yet."""
        proxy = proxy_for(url, self._access.proxies)
        try:
            idle = self._idle.setdefault((proxy, trust.origin(url)), [])
            connection = _open_one_of(idle) or wire.Connection(url, *self._route(url, proxy))
            headers = {**self._headers, **request.headers}
            keep = partial(_keep, idle)
            response = connection.exchange(request.method, url, headers, request.body, keep)
        except (OSError, ValueError) as error:
            raise failure(url, error, self._access.patience) from error
        if self._access.watch:
            self._access.watch(Exchange(request, url, response.status, response.headers))
        return response

    def close(self) -> None:
        """Close idle connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def stop(self) -> None:
        """Break all connections, and let there be no more: other threads' exchanges fail."""
        self._ended.set()

    def revive(self) -> None:
        """Take back a `stop`: for exchanges that begin now."""
        self._ended = wire.Ended()

    def _route(self, url: Url, proxy: str) -> tuple[wire.Route, wire.Terms]:
        if not proxy:
            return wire.Route(self._contexts.of), self._terms(self._registry)
        try:
            trust.resolve(self._registry, url.host)  # what resolves here must be allowed at least
        except (OSError, UnicodeError):
            pass
        place, login = _proxy(proxy)
        return wire.Route(self._contexts.of, place, login), self._terms(place.host)

    def _terms(self, home: str) -> wire.Terms:
        """For connections to `home` and to where it may send us."""
        patience = self._access.patience
        return wire.Terms(
            patience.window,
            patience.slowest,
            patience.connect,
            patience.read,
            lambda host: trust.resolve(home, host),
            self._ended,
        )


class _Contexts:
    """The TLS settings of one session, which its connections have; they do not have the session."""

    def __init__(self, home: object, access: Access) -> None:
        self._home = home
        self._access = access
        self._made: dict[bool, SSLContext] = {}

    def of(self, url: Url) -> SSLContext:
        """What `url` may show and see; the registry itself more than the system trusts."""
        from rootless.registry import tls

        extra = self._access.certificates != Certificates() and trust.origin(url) == self._home
        if extra not in self._made:
            context = tls.context(verify=self._access.tls_verify)
            if extra:
                self._access.certificates.load_into(context)
            self._made[extra] = context
        return self._made[extra]


def _open_one_of(idle: list[wire.Connection]) -> wire.Connection | None:
    """A connection that can be used again; those that cannot are closed on the way to it."""
    while idle:
        connection = idle.pop()
        if connection.is_open:
            return connection
        connection.close()
    return None


def _keep(idle: list[wire.Connection], connection: wire.Connection) -> None:
    if len(idle) < _IDLE:
        idle.append(connection)
    else:
        connection.close()


def _proxy(text: str) -> tuple[Url, str]:
    """Where a proxy is, and what shows the login to it; RegistryError where it is none."""
    from urllib.parse import unquote

    from rootless.registry.tokens import basic
    from rootless.registry.url import parse

    try:
        place = parse(text if "://" in text else f"http://{text}")
    except ValueError:
        place = None
    if place is None or place.scheme not in ("http", "https") or not place.host:
        shown = trust.redacted(place) if place else "of that name"
        raise RegistryError(
            f"the proxy {shown} is not an http or https URL",
            hint="correct http_proxy, https_proxy or no_proxy in the environment",
        )
    name, _, password = place.login.partition(":")
    return place, basic(unquote(name), unquote(password)) if place.login else ""


def _plain(why: str) -> str:
    """A reason without those of the redirects before."""
    return why.rpartition(" sends us there: ")[2]


def read_all(response: Answer, limit: int, patience: Patience) -> bytes:
    """A small answer's body, of which no more than `limit` bytes are read."""
    deadline = monotonic() + patience.answer
    content = b""
    while len(content) < limit and (piece := response.read(min(_PIECE, limit - len(content)))):
        content += piece
        if monotonic() > deadline:
            raise wire.TooSlowError(f"its answer takes longer than {patience.answer:g} s")
    return content


def dismiss(response: Answer, patience: Patience) -> None:
    """Have done with an answer; its connection serves the next request if its body was small."""
    try:
        read_all(response, MAX_ERROR_BODY, patience)
    except OSError:
        pass
    response.close()


def is_page(response: Answer, content: bytes) -> bool:
    """Whether an answer is a web page, as proxies and login pages of networks send."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") or content.lstrip()[:1] == b"<"


def proxy_for(url: Url, proxies: Mapping[str, str]) -> str:
    """The proxy for a URL, "" for none. Loopback never goes through a proxy."""
    host = url.host.strip("[]")
    if trust.is_loopback(host):
        return ""
    exceptions = [entry.strip().lower() for entry in proxies.get("no", "").split(",")]
    port = trust.origin(url)[2]
    if any(_excepts(entry, host, port) for entry in exceptions if entry):
        return ""
    return proxies.get(url.scheme, "")


def _excepts(entry: str, host: str, port: int | None) -> bool:
    """Whether one entry of no_proxy means `host`: a name, a domain, an address, a network, `*`."""
    from ipaddress import ip_address, ip_network

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
    message, hint, temporary = _explain(url.netloc, error, patience)
    return RegistryError(message, hint=hint, url=trust.redacted(url), temporary=temporary)


def _explain(host: str, error: Exception, patience: Patience) -> tuple[str, str | None, bool]:
    import ssl

    if isinstance(error, wire.ProxyError):
        return f"cannot reach {host} through the proxy", "check http_proxy and https_proxy", True
    if isinstance(error, wire.ResolveError):
        hint = "check the name and the network; without one: rootless load, or rootless import"
        return f"the name {host} cannot be resolved", hint, True
    if isinstance(slow := _cause(error), wire.TooSlowError):
        return f"{host} sends too slowly: {slow}", "try again later", True
    if isinstance(error, TimeoutError):
        return f"{host} said nothing for {patience.read:g} s", "try again later", True
    if isinstance(error, wire.ConnectError):
        return f"cannot connect to {host}: {_reason(error)}", "check the name and the port", True
    if isinstance(error, wire.ConnectTimeoutError):
        wait = f"{patience.connect:g} s"
        return f"{host} could not be reached within {wait}", "check the network and proxies", True
    if isinstance(error, ssl.SSLError):
        return _explain_tls(host, error)
    return f"the connection to {host} broke: {_reason(error)}", "try again later", True


def _explain_tls(host: str, error: Exception) -> tuple[str, str | None, bool]:
    text = str(error).lower()
    folder = f"~/.config/containers/certs.d/{DOCKER_HUB if host in HUB_HOSTS else host}"
    if "wrong_version" in text or "wrong version" in text or "record layer" in text:
        return f"{host} does not speak https", "--tls-verify=false allows plain http", False
    if "alert certificate required" in text or "alert bad certificate" in text:
        hint = f"put it as NAME.cert with NAME.key into a folder for --cert-dir, or into {folder}"
        return f"{host} wants a certificate of yours", hint, False
    if "certificate" in text or "hostname" in text:
        hint = (
            "put its authority's certificate into a folder for --cert-dir, as NAME.crt, or into"
            f" {folder}; --tls-verify=false does without"
        )
        return f"the certificate of {host} cannot be trusted: {_reason(error)}", hint, False
    return f"no secure connection to {host}: {_reason(error)}", None, True


def _reason(error: BaseException) -> str:
    """The innermost cause in the system's own words."""
    import ssl

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
