"""`events`: what happens to containers, told as it happens."""

from __future__ import annotations

import sys
import time

from rootless.cli import filters, jsontext, words
from rootless.container.events import Journal
from rootless.errors import UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.cli.filters import Filters
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

    Event = dict[str, Any]

_KEYS = ("container", "event", "image", "label", "type")
_PAUSE = 0.05  # seconds between two looks at the journal


def events(given: Settings, arguments: Arguments) -> int:
    """Print what happens, until --until or an interrupt."""
    since, until = (_moment(name, getattr(arguments, name)) for name in ("since", "until"))
    asked = filters.parse(arguments.filter, _KEYS)
    show = _printer(arguments.format or "")
    journal = Journal(Store(given.root))
    first = since if since is not None else time.time()
    while True:
        is_over = until is not None and time.time() > until
        for event in journal.read():
            at = event.get("timeNano", 0) / 1e9
            if at >= first and (until is None or at <= until) and _is_meant(event, asked):
                show(event)
                sys.stdout.flush()
        if is_over:
            return 0
        time.sleep(_PAUSE)


def _moment(name: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        return filters.moment(text)
    except UsageError as error:
        raise UsageError(f'invalid value for "{name}": {error.message}', hint=error.hint) from None


def _is_meant(event: Event, asked: Filters) -> bool:
    """Values of one key are alternatives, but all labels must be there."""
    about = event["Actor"]["Attributes"]
    name = str(about.get("name", ""))
    known = {
        "container": lambda value: value in (name, event["id"]) or event["id"].startswith(value),
        "event": lambda value: value in (event["Action"], event["Action"].partition(":")[0]),
        "image": lambda value: value in (event["from"], str(event["from"]).partition(":")[0]),
        "type": lambda value: value == event["Type"],
    }
    return asked.has_labels(about) and all(
        any(map(is_it, values)) for key, is_it in known.items() if (values := asked.values(key))
    )


def _printer(form: str) -> Callable[[Event], None]:
    """What prints an event: docker's line, JSON, or a template."""
    if form in ("json", "{{json .}}"):
        return lambda event: print(jsontext.compact(event))
    if form:
        from rootless.cli.template import Template

        template = Template(form)
        return lambda event: print(words.escape(template.render(event), lines=True))
    return lambda event: print(words.escape(_line(event)))


def _line(event: Event) -> str:
    about = ", ".join(f"{name}={value}" for name, value in event["Actor"]["Attributes"].items())
    whole, part = divmod(event["timeNano"], 10**9)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(whole)) + f".{part:09d}"
    zone = time.strftime("%z", time.localtime(whole))
    at = f"{moment}{zone[:3]}:{zone[3:]}"
    return f"{at} {event['Type']} {event['Action']} {event['id']} ({about})"
