"""One registry: whether it is there, by which scheme, and requests authorized as it asks for.

Threads may share a session: it has one pool of connections, and one token for each set of scopes.
Who asks says which scopes that takes (distribution's token specification: `repository:NAME:pull`).
"""

from __future__ import annotations

from http import HTTPStatus

from rootless.oci.reference import DOCKER_HUB
from rootless.registry import limits, trust
from rootless.registry.credentials import Credentials
from rootless.registry.errors import RegistryError, bad_login, refused, web_page
from rootless.registry.http import (
    MAX_ERROR_BODY,
    Access,
    Request,
    Transport,
    dismiss,
    failure,
    is_page,
    read_all,
)
from rootless.registry.tokens import Scopes, Tokens
from rootless.registry.wire import BrokenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from rootless.registry.url import Url
    from rootless.registry.wire import Answer

_HUB_HOST = "registry-1.docker.io"
_REPEATABLE = frozenset({"GET", "HEAD"})
_FINE = frozenset({HTTPStatus.OK})


class Session:
    """Exchanges with `registry` (a host and perhaps a port, as in Reference.registry).

    `limit` is what it last said of how often one may pull.
    """

    def __init__(
        self,
        registry: str,
        credentials: Credentials | None = None,
        access: Access = Access(),  # noqa: B008 - a frozen value
    ) -> None:
        self.registry = registry
        self.access = access
        self.transport = Transport(trust.parse(f"https://{self._host}/"), access)
        self._login = credentials is not None
        self._tokens = Tokens(self.transport, registry, credentials, access.patience)
        self._base: Url | None = None
        self._challenge = ""
        self.limit = limits.Limit()

    def ask(
        self,
        request: Request,
        scopes: Scopes,
        what: str,
        accept: Collection[int] = _FINE,
    ) -> Answer:
        """The answer to a request below /v2/ if its status is one of `accept`, else RegistryError.

        Redirects are followed where nothing is sent. A login goes to the registry only, also where
        it sends us elsewhere with `request.place`. A body of pieces is not sent twice: ask for
        something else in the same scopes before. `what` names the thing in errors.
        """
        base = self.base()
        url = trust.parse(request.place, base.url)
        trust.check_hop(base, url)
        ours = trust.origin(url) == trust.origin(base)
        authorization = self._authorization(base, scopes) if ours else None
        response = self._send(request, url, authorization)
        if response.status == HTTPStatus.UNAUTHORIZED and ours:
            dismiss(response, self.access.patience)
            challenge = response.headers.get("WWW-Authenticate", "")
            authorization = self._tokens.answer(base, challenge, scopes, authorization)
            if authorization:
                response = self._send(request, url, authorization)
        if response.status in accept:
            self._note(response)
            return response
        raise self.refused(response, what)

    def log_in(self) -> str:
        """Show the login to the registry; the identity token that may stand for it, or "".

        RegistryError, of status 401, where it is not good. A registry that asks for none accepts
        every one, as it does with docker.
        """
        try:
            return self.transport.persist(self._log_in)
        except RegistryError as error:
            raise bad_login(self.registry, error) from None

    def read(self, response: Answer, limit: int) -> bytes:
        """A small answer's body, of which no more than `limit` bytes are read; closes it."""
        try:
            return read_all(response, limit, self.access.patience)
        except OSError as error:
            raise self.broken(error) from error
        finally:
            response.close()

    def refused(self, response: Answer, what: str) -> RegistryError:
        """The error for an answer that is none of those hoped for; closes it."""
        try:
            body = read_all(response, MAX_ERROR_BODY, self.access.patience)
        except OSError:
            body = b""
        response.close()
        return refused(
            what,
            self.registry,
            response.status,
            body,
            login=self._login,
            page=is_page(response, body),
            limit=limits.parse(response.headers),
        )

    def broken(self, error: Exception) -> RegistryError:
        """The error for an answer that broke in its middle."""
        return failure(self.base(), error, self.access.patience)

    def base(self) -> Url:
        """The URL of /v2/, by the scheme that the registry speaks: distribution-spec §3.

        https, but plain http first on loopback, and second where certificates do not matter.
        """
        if self._base is None:
            self._base = self._find()
        return self._base

    def close(self) -> None:
        """Close idle connections."""
        self.transport.close()

    def stop(self) -> None:
        """Let all that other threads ask for fail soon; for good."""
        self.transport.stop()

    def _authorization(self, base: Url, scopes: Scopes) -> str | None:
        """What worked before, or answers the challenge that finding the registry has met.

        So a token is there before the first thing is asked for, which saves asking twice.
        """
        known = self._tokens.header(scopes)
        if known is None and self._challenge:
            return self._tokens.answer(base, self._challenge, scopes, None)
        return known

    def _log_in(self) -> str:
        base = self.base()
        asking = Request("GET", base.url, why="does it want a login?")
        response = self.transport.send(asking, base)
        token = ""
        if response.status == HTTPStatus.UNAUTHORIZED:
            dismiss(response, self.access.patience)
            challenge = response.headers.get("WWW-Authenticate", "")
            authorization, token = self._tokens.log_in(base, challenge)
            headers = {"Authorization": authorization} if authorization else {}
            showing = asking.replace(headers=headers, why="does it take this login?")
            response = self.transport.send(showing, base)
        if response.status != HTTPStatus.OK:
            raise self.refused(response, "a login")
        if is_page(response, self.read(response, MAX_ERROR_BODY)):
            raise web_page(self.registry, "a login")
        return token

    def _note(self, response: Answer) -> None:
        limit = limits.parse(response.headers)
        if limit.left >= 0:
            self.limit = limit

    def _send(self, request: Request, url: Url, authorization: str | None) -> Answer:
        headers = dict(request.headers)
        if authorization:
            headers["Authorization"] = authorization
        request = request.replace(headers=headers)
        if request.method in _REPEATABLE:
            return self.transport.follow(request, url)
        return self.transport.send(request, url)

    def _find(self) -> Url:
        https, http = (trust.parse(f"{one}://{self._host}/v2/") for one in ("https", "http"))
        if trust.is_loopback(http.host):
            choices = [http, https]
        else:
            choices = [https] if self.access.tls_verify else [https, http]
        failures = {}
        for base in choices:
            try:
                if self._pings(base):
                    return base
            except RegistryError as error:
                failures[base.scheme] = error
        raise _unreachable(self.registry, failures)

    @property
    def _host(self) -> str:
        return _HUB_HOST if self.registry == DOCKER_HUB else self.registry

    def _pings(self, base: Url) -> bool:
        """Whether something that speaks `base.scheme` answers; a TLS server answers http by 400."""
        asking = Request(
            "GET", base.url, why=f"is there a registry, and does it speak {base.scheme}?"
        )
        response = self.transport.send(asking, base)
        dismiss(response, self.access.patience)
        if response.status == HTTPStatus.UNAUTHORIZED:
            self._challenge = response.headers.get("WWW-Authenticate", "")
        return not (base.scheme == "http" and response.status == HTTPStatus.BAD_REQUEST)


def _unreachable(registry: str, failures: Mapping[str, RegistryError]) -> RegistryError:
    """The failure to show: https's where both were tried.

    Only a connection that broke is worth another try; one that never came about is not.
    """
    error = failures.get("https") or failures.get("http")
    if error is None:
        return RegistryError(f"{registry} does not answer as a registry does")
    error.temporary = isinstance(error.__cause__, (BrokenError, ConnectionError))
    return error
