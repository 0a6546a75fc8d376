"""`events`: what happens to containers, images and volumes, told as it happens."""

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

_KINDS = ("container", "image", "volume", "network", "builder", "daemon", "pod", "config", "secret")
_ELSEWHERE = ("machine", "node", "plugin", "service", "system")  # docker's and podman's: never here
_KEYS = (*_KINDS, "event", "label", "scope", "type")
_PAUSE = 0.05  # seconds between two looks at the journal


def events(given: Settings, arguments: Arguments) -> int:
    """Print what happens, until --until or an interrupt."""
    since, until = (_moment(name, getattr(arguments, name)) for name in ("since", "until"))
    asked = filters.parse(arguments.filter, _KEYS)
    _check_kinds(asked.values("type"))
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


def _check_kinds(asked: tuple[str, ...]) -> None:
    """UsageError for what nothing that is told of is."""
    from rootless import nearest

    for kind in asked:
        if kind not in (*_KINDS, *_ELSEWHERE):
            hint = nearest.hint(kind, _KINDS, prefix="type=") or f"types are {', '.join(_KINDS)}"
            raise UsageError(f"invalid filter 'type={kind}'", hint=hint)


def _moment(name: str, text: str | None) -> float | None:
    if not text:
        return None
    try:
        return filters.moment(text)
    except UsageError as error:
        raise UsageError(f'invalid value for "{name}": {error.message}', hint=error.hint) from None


def _is_meant(event: Event, asked: Filters) -> bool:
    """Values of one key are alternatives; all labels must be there."""
    actor = event["Actor"]
    for key in {key for key, _ in asked.pairs}:
        values = asked.values(key)
        if key == "label":
            if not asked.has_labels(actor["Attributes"]):
                return False
        elif key in _KINDS:
            if not _is_about(event, key, values):
                return False
        else:
            there = event[{"event": "Action", "type": "Type", "scope": "scope"}[key]]
            if not any(there == one or there.startswith(f"{one}:") for one in values):
                return False
    return True


def _is_about(event: Event, kind: str, values: tuple[str, ...]) -> bool:
    """Whether it is about one of these things, by name or id; an image is also a container's."""
    identity, facts = event["Actor"]["ID"], event["Actor"]["Attributes"]
    names = {facts.get("name", "")} if event["Type"] == kind else set()
    names |= {facts.get(kind, "")} if event["Type"] != kind else {identity}
    short = {name.partition(":")[0] for name in names}
    begun = event["Type"] == kind and any(identity.startswith(one) for one in values)
    return begun or not names.isdisjoint(values) or not short.isdisjoint(values)


def _printer(form: str) -> Callable[[Event], None]:
    """What prints an event: docker's line, JSON, or a template."""
    if form in ("json", "{{json .}}"):
        return lambda event: print(jsontext.compact(event))
    if form:
        from rootless.cli.template import BAD_TEMPLATE, Template

        template = Template(form, exit_code=BAD_TEMPLATE)
        return lambda event: print(words.escape(template.render(_struct(event)), lines=True))
    return lambda event: print(words.escape(_line(event)))


def _line(event: Event) -> str:
    """TIME TYPE ACTION ID (NAME=VALUE, …)"""
    seconds, part = divmod(event["timeNano"], 1_000_000_000)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    zone = f"{zone[:3]}:{zone[3:]}" if zone.strip("+-0") else "Z"
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{part:09d}{zone}"
    actor = event["Actor"]
    facts = ", ".join(f"{name}={value}" for name, value in sorted(actor["Attributes"].items()))
    about = f"{moment} {event['Type']} {event['Action']} {actor['ID']}"
    return f"{about} ({facts})" if facts else about


def _struct(event: Event) -> Any:
    """As Go has it."""
    from rootless.cli.template import values

    actor = event["Actor"]
    facts = values.Map(dict(actor["Attributes"]), "string", "")
    who = values.Struct("events.Actor", {"ID": actor["ID"], "Attributes": facts})
    fields = {
        "Status": event.get("status", ""),
        "ID": event.get("id", ""),
        "From": event.get("from", ""),
        "Type": event["Type"],
        "Action": event["Action"],
        "Actor": who,
        "Scope": event["scope"],
        "Time": event["time"],
        "TimeNano": event["timeNano"],
    }
    return values.Struct("events.Message", fields)
