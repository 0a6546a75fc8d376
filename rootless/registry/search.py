"""Searching a registry for images: the Docker Hub's API, which some others have too.

`GET /v1/search?q=TERM&n=COUNT`, without a login, as docker asks. What comes is
somebody else's text.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from urllib.parse import urlencode

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci.reference import DOCKER_HUB
from rootless.record import Record
from rootless.registry import trust
from rootless.registry.errors import RegistryError, web_page
from rootless.registry.http import Request, is_page
from rootless.registry.session import Session

_HUB = "https://index.docker.io/"
_MAX_BODY = 4 << 20


class Found(Record):
    """A repository that a search found."""

    name: str
    description: str
    stars: int
    is_official: bool
    is_automated: bool


def search(session: Session, term: str, count: int) -> tuple[Found, ...]:
    """What the registry of the session knows of `term`, in its order; `count` is a wish.

    RegistryError where it cannot be searched; IntegrityError for what is no answer.
    """
    return session.transport.persist(partial(_search, session, term, count))


def _search(session: Session, term: str, count: int) -> tuple[Found, ...]:
    base = _HUB if session.registry == DOCKER_HUB else session.base().url
    url = trust.parse(f"/v1/search?{urlencode({'q': term, 'n': count})}", base)
    request = Request("GET", url.url, {"Accept": "application/json"})
    response = session.transport.follow(request, url)
    if response.status == HTTPStatus.NOT_FOUND:
        response.close()
        raise RegistryError(
            f"{session.registry} cannot be searched",
            hint="the Docker Hub can: rootless search TERM",
        )
    if response.status != HTTPStatus.OK:
        raise session.refused(response, f"what is called {term}")
    content = session.read(response, _MAX_BODY + 1)
    if is_page(response, content):
        raise web_page(session.registry, f"what is called {term}")
    return tuple(map(_found, _results(session.registry, content)))


def _results(registry: str, content: bytes) -> list[object]:
    what = f"what {registry} has found"
    if len(content) > _MAX_BODY:
        raise IntegrityError(f"{what} is larger than 4 MiB")
    answer = leanjson.loads(content, what)
    results = answer.get("results") or [] if isinstance(answer, dict) else None
    if not isinstance(results, list):
        raise IntegrityError(f"{what} is no list of images")
    return results


def _found(result: object) -> Found:
    """One result; what is not there, or of another kind, is empty."""
    entry = result if isinstance(result, dict) else {}
    name, description, stars = (entry.get(key) for key in ("name", "description", "star_count"))
    return Found(
        name if isinstance(name, str) else "",
        description if isinstance(description, str) else "",
        stars if isinstance(stars, int) else 0,
        entry.get("is_official") is True,
        entry.get("is_automated") is True,
    )
