"""Authorization headers for one registry: distribution's token specification, and Basic.

A token is kept for each set of scopes until the registry refuses it. The login goes to the
registry and to its token server only, after `trust` has agreed.
"""

from __future__ import annotations

import threading
from binascii import b2a_base64

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.registry import limits, trust
from rootless.registry.challenge import Challenge, parse
from rootless.registry.errors import RegistryError, refused, web_page
from rootless.registry.http import Patience, Request, Transport, failure, is_page, read_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.registry.credentials import Credentials
    from rootless.registry.url import Url
    from rootless.registry.wire import Answer

MAX_TOKEN_BODY = 1 << 20
CLIENT_ID = "rootless"
Scopes = frozenset[str]
"""What is asked for together: strings like `repository:NAME:pull`."""


class Tokens:
    """What to write into Authorization when asking `registry` for something in `Scopes`."""

    def __init__(
        self, transport: Transport, name: str, credentials: Credentials | None, patience: Patience
    ) -> None:
        self._transport = transport
        self._name = name
        self._credentials = credentials
        self._patience = patience
        self._headers: dict[Scopes, str] = {}
        self._lock = threading.Lock()

    def header(self, scopes: Scopes) -> str | None:
        """The header that worked before, if any."""
        return self._headers.get(scopes)

    def answer(
        self, registry: Url, challenge: str, scopes: Scopes, rejected: str | None
    ) -> str | None:
        """A header that answers `challenge`, or None when there is none but the `rejected` one."""
        with self._lock:
            known = self._headers.get(scopes)
            if known is not None and known != rejected:
                return known  # another thread has just renewed it
            header = self._make(registry, challenge, scopes)
            if header is None or header == rejected:
                return None
            self._headers[scopes] = header
            return header

    def log_in(self, registry: Url, challenge: str) -> tuple[str | None, str]:
        """A header that shows the login, and the identity token that may stand for it or ""."""
        bearer = next((one for one in parse(challenge) if one.scheme == "bearer"), None)
        if bearer is None:
            return self._make(registry, challenge, frozenset()), ""
        answer = self._fetch(registry, bearer, frozenset(), offline=True)
        return f"Bearer {answer['token']}", answer.get("refresh_token", "")

    def _make(self, registry: Url, challenge: str, scopes: Scopes) -> str | None:
        offered = {one.scheme: one for one in reversed(parse(challenge))}
        if "bearer" in offered:
            return f"Bearer {self._fetch(registry, offered['bearer'], scopes)['token']}"
        if "basic" in offered and self._credentials and self._credentials.username:
            return basic(self._credentials.username, self._credentials.password)
        return None

    def _fetch(
        self, registry: Url, bearer: Challenge, scopes: Scopes, *, offline: bool = False
    ) -> dict[str, str]:
        """A `token` from the server that the challenge names; perhaps a `refresh_token`, too.

        That one, which is called an identity token elsewhere, is asked for if `offline`.
        """
        if not bearer.parameters.get("realm"):
            raise RegistryError(f"{self._name} asks for a token and does not say where to get it")
        realm = trust.parse(bearer.parameters["realm"], registry.url)
        trust.check_hop(registry, realm)
        wanted = sorted(scopes.union(bearer.parameters.get("scope", "").split()))
        service = bearer.parameters.get("service")
        query = {"service": service} if service else {}
        if offline and self._credentials:
            account = self._credentials.username
            query.update(account=account, client_id=CLIENT_ID, offline_token="true")
        from urllib.parse import urlencode

        login = self._credentials
        if login:
            trust.check_password(registry, realm)
        if login and login.identity_token:
            form = {**query, "grant_type": "refresh_token", "client_id": CLIENT_ID}
            form.update(refresh_token=login.identity_token, scope=" ".join(wanted))
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            body = urlencode(form).encode()
            request = Request("POST", realm.url, headers, body, _why(wanted), gives="TOKEN")
            response = self._transport.send(request, realm)
        else:
            separator = "&" if realm.query else "?"
            asked = urlencode([*query.items(), *(("scope", one) for one in wanted)])
            url = trust.parse(f"{realm.url}{separator}{asked}")
            headers = {"Authorization": basic(login.username, login.password)} if login else {}
            request = Request("GET", url.url, headers, why=_why(wanted), gives="TOKEN")
            response = self._transport.follow(request, url)
        return self._read(realm, response, " ".join(wanted))

    def _read(self, realm: Url, response: Answer, wanted: str) -> dict[str, str]:
        try:
            body = read_all(response, MAX_TOKEN_BODY, self._patience)
        except OSError as error:
            raise failure(realm, error, self._patience) from error
        finally:
            response.close()
        if response.status != 200:
            what = wanted.split(":")[1] if wanted else "a login"
            login = self._credentials is not None
            raise refused(
                what,
                self._name,
                response.status,
                body,
                login=login,
                page=is_page(response, body),
                limit=limits.parse(response.headers),
            )
        if is_page(response, body):
            raise web_page(f"the token server {trust.redacted(realm)}", "a token")
        try:
            answer = leanjson.loads(body)
            found = {"token": answer.get("token") or answer["access_token"]}
            if refresh := answer.get("refresh_token"):
                found["refresh_token"] = refresh
        except (IntegrityError, LookupError, TypeError, AttributeError):
            found = {"token": None}
        if not all(isinstance(one, str) and _is_plain(one) for one in found.values()):
            raise RegistryError(f"the token server {trust.redacted(realm)} sent no token")
        return found


def _is_plain(token: str) -> bool:
    return token.isascii() and token.isprintable()


def _why(wanted: list[str]) -> str:
    what = " and ".join(wanted) or "to log in"
    return f"a token for what the registry wants to know: {what}"


def basic(name: str, password: str) -> str:
    """What shows a name and a password, RFC 7617."""
    return "Basic " + b2a_base64(f"{name}:{password}".encode(), newline=False).decode()
