"""The tags of a repository: distribution-spec §listing-tags, page by page, as far as one may go."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci.reference import is_tag
from rootless.registry import trust
from rootless.registry.errors import RegistryError, web_page
from rootless.registry.http import Request, is_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.registry.session import Session
    from rootless.registry.wire import Answer

MAX_TAGS = 20_000
MAX_PAGES = 500
_MAX_BODY = 4 << 20


def listed(session: Session, repository: str) -> tuple[str, ...]:
    """All tags, in the registry's order and each once.

    RegistryError where there is no such repository, or no end to the list; IntegrityError for what
    is no list of tags.
    """
    found: dict[str, None] = {}
    place = f"{repository}/tags/list"
    for _ in range(MAX_PAGES):
        tags, place = session.transport.persist(partial(_page, session, repository, place))
        found.update(dict.fromkeys(tags))
        if not place:
            return tuple(found)
        if len(found) > MAX_TAGS:
            break
    raise RegistryError(f"the list of the tags of {repository} on {session.registry} does not end")


def _page(session: Session, repository: str, place: str) -> tuple[list[str], str]:
    """The tags on one page, and where the next one is, "" if nowhere."""
    scopes = frozenset({f"repository:{repository}:pull"})
    request = Request("GET", place, why="which tags are there?")
    response = session.ask(request, scopes, repository, (HTTPStatus.OK,))
    content = session.read(response, _MAX_BODY + 1)
    if is_page(response, content):
        raise web_page(session.registry, f"the tags of {repository}")
    what = f"the list of the tags of {repository} on {session.registry}"
    if len(content) > _MAX_BODY:
        raise IntegrityError(f"{what} is larger than 4 MiB a page")
    answer = leanjson.loads(content, what)
    tags = answer.get("tags") or [] if isinstance(answer, dict) else None
    if not isinstance(tags, list) or not all(isinstance(one, str) and is_tag(one) for one in tags):
        raise IntegrityError(f"{what} has what is no tag")
    return tags, _next(session, response)


def _next(session: Session, response: Answer) -> str:
    """The URL that the Link header has for the next page, RFC 8288; RegistryError for another host.

    A registry behind a proxy may not know by which scheme and port we speak to it.
    """
    target, _, relation = response.headers.get("Link", "").partition(">")
    if not target.startswith("<") or "next" not in relation.partition("rel=")[2].lower():
        return ""
    url = trust.parse(target[1:], session.base().url)
    if url.host != session.base().host:
        raise RegistryError(f"{session.registry} keeps its list of tags on {url.host}; refused")
    return session.base().replace(path=url.path, query=url.query).url
