"""`search`: images of the Docker Hub, or of another registry that can be searched."""

from __future__ import annotations

import sys

from rootless.cli import fetch, filters, listing
from rootless.errors import UsageError
from rootless.oci.reference import DOCKER_HUB, split_registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.registry.search import Found

_MOST, _USUAL = 100, 25  # docker's
_WIDTH = 45  # characters of a description in a table, as docker has it
_HEADERS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
}


def search(given: Settings, arguments: Arguments) -> int:
    """List what the registry has found and the filters let through."""
    from rootless.registry import search as searching

    wanted = filters.parse(arguments.filter, ("is-automated", "is-official", "stars"))
    stars = max(map(_stars, wanted.values("stars")), default=0)
    official, automated = wanted.flag("is-official"), wanted.flag("is-automated")
    if automated:
        print(
            'WARNING: the "is-automated" filter is deprecated, and searching for '
            '"is-automated=true" will not yield any results in future.',
            file=sys.stderr,
        )
    count = _count(arguments.limit)
    registry, term = split_registry(arguments.term)
    if registry == DOCKER_HUB:
        term = term.removeprefix("library/")
    if not term:
        raise UsageError("there is nothing to search for", hint="rootless search TERM")
    session = fetch.session(
        given, registry, None, tls_verify=arguments.tls_verify, cert_dir=arguments.cert_dir
    )
    found = searching.search(session, term, count)
    kept = [
        one
        for one in found
        if one.stars >= stars
        and official in (None, one.is_official)
        and automated in (None, one.is_automated)
    ]
    form = arguments.format or ""
    rows = [_row(one, full=arguments.no_trunc, json=_is_json(form)) for one in kept]
    listing.show(rows, _HEADERS, list(_HEADERS), form)
    return 0


def _row(found: Found, *, full: bool, json: bool) -> dict[str, str]:
    words = " ".join(found.description.splitlines())
    if not full and len(words) > _WIDTH:
        words = f"{words[: _WIDTH - 1]}…"
    official = ("false", "true") if json else ("", "[OK]")
    return {
        "Name": found.name,
        "Description": words,
        "StarCount": str(found.stars),
        "IsOfficial": official[found.is_official],
        "IsAutomated": official[found.is_automated],
    }


def _is_json(form: str) -> bool:
    return form == "json" or "{{json .}}" in form


def _stars(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(f"invalid filter 'stars={text}'", hint="write stars=NUMBER")
    return int(text)


def _count(text: str) -> int:
    """How many results to ask for; 0 stands for the usual number."""
    count = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
    if not 0 <= count <= _MOST:
        raise UsageError(f"limit {text} is outside the range of [1, {_MOST}]")
    return count or _USUAL
