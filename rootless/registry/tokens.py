"""Authorization headers for one registry: distribution's token specification, and Basic.

A token is kept for each scope until the registry refuses it. The login goes to the registry and
to its token server only, after `trust` has agreed.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from urllib.parse import urlencode

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import Url

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.registry import trust
from rootless.registry.auth import Credentials
from rootless.registry.challenge import Challenge, parse
from rootless.registry.errors import RegistryError, refused, web_page
from rootless.registry.http import Patience, Transport, failure, is_page, read_all

MAX_TOKEN_BODY = 1 << 20
CLIENT_ID = "rootless"


class Tokens:
    """What to write into Authorization when asking `registry` for something in a scope."""

    def __init__(
        self, transport: Transport, name: str, credentials: Credentials | None, patience: Patience
    ) -> None:
        self._transport = transport
        self._name = name
        self._credentials = credentials
        self._patience = patience
        self._headers: dict[str, str] = {}
        self._lock = threading.Lock()

    def header(self, scope: str) -> str | None:
        """The header that worked before, if any."""
        return self._headers.get(scope)

    def answer(self, registry: Url, challenge: str, scope: str, rejected: str | None) -> str | None:
        """A header that answers `challenge`, or None when there is none but the `rejected` one."""
        with self._lock:
            known = self._headers.get(scope)
            if known is not None and known != rejected:
                return known  # another thread has just renewed it
            header = self._make(registry, challenge, scope)
            if header is None or header == rejected:
                return None
            self._headers[scope] = header
            return header

    def _make(self, registry: Url, challenge: str, scope: str) -> str | None:
        offered = {one.scheme: one for one in reversed(parse(challenge))}
        if "bearer" in offered:
            return f"Bearer {self._fetch(registry, offered['bearer'], scope)}"
        if "basic" in offered and self._credentials and self._credentials.username:
            return _basic(self._credentials)
        return None

    def _fetch(self, registry: Url, bearer: Challenge, scope: str) -> str:
        """A token from the server that the challenge names."""
        if not bearer.parameters.get("realm"):
            raise RegistryError(f"{self._name} asks for a token and does not say where to get it")
        realm = trust.parse(bearer.parameters["realm"], registry.url)
        trust.check_hop(registry, realm)
        query = {"scope": bearer.parameters.get("scope") or scope}
        if service := bearer.parameters.get("service"):
            query["service"] = service
        login = self._credentials
        if login:
            trust.check_password(registry, realm)
        if login and login.identity_token:
            form = {**query, "grant_type": "refresh_token", "client_id": CLIENT_ID}
            form["refresh_token"] = login.identity_token
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._transport.send("POST", realm, headers, urlencode(form).encode())
        else:
            separator = "&" if realm.query else "?"
            url = trust.parse(f"{realm.url}{separator}{urlencode(query)}")
            headers = {"Authorization": _basic(login)} if login else {}
            response = self._transport.get(url, headers)
        return self._read(realm, response, scope)

    def _read(self, realm: Url, response: BaseHTTPResponse, scope: str) -> str:
        try:
            body = read_all(response, MAX_TOKEN_BODY, self._patience)
        except (HTTPError, OSError) as error:
            raise failure(realm, error, self._patience) from error
        finally:
            response.close()
        if response.status != 200:
            what = scope.split(":")[1]
            login = self._credentials is not None
            raise refused(
                what, self._name, response.status, body, login=login, page=is_page(response, body)
            )
        if is_page(response, body):
            raise web_page(f"the token server {trust.redacted(realm)}", "a token")
        try:
            answer = leanjson.loads(body)
            token = answer.get("token") or answer["access_token"]
        except (IntegrityError, LookupError, TypeError, AttributeError):
            token = None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise RegistryError(f"the token server {trust.redacted(realm)} sent no token")
        return token


def _basic(login: Credentials) -> str:
    return "Basic " + b64encode(f"{login.username}:{login.password}".encode()).decode()
