"""`inspect` and `history`: what containers and images are, in docker's shapes."""

from __future__ import annotations

import sys

from rootless.cli import fetch, jsontext, listing, words
from rootless.container import records
from rootless.container.spec import Damaged
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.record import Record
from rootless.store import Store, images, volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.cli.template import Template
    from rootless.container.spec import Container
    from rootless.store.images import Image
    from rootless.store.volumes import Volume

_KINDS = ("container", "image", "network", "volume")
_LISTS = "list what there is with: rootless ps -a, and: rootless images"
_HISTORY_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_CREATED_BY_WIDTH = 45


def inspect(given: Settings, arguments: Arguments) -> int:
    """Print what the named containers and images are; those found even when others are not."""
    return _inspect(given, arguments, _kinds(arguments.type), sized=arguments.size)


def inspect_images(given: Settings, arguments: Arguments) -> int:
    """The same of images only."""
    return _inspect(given, arguments, ("image",), sized=False, platform=arguments.platform)


def inspect_containers(given: Settings, arguments: Arguments) -> int:
    """The same of containers only."""
    return _inspect(given, arguments, ("container",), sized=arguments.size)


def _inspect(
    given: Settings,
    arguments: Arguments,
    kinds: tuple[str, ...],
    *,
    sized: bool,
    platform: str | None = None,
) -> int:
    form = arguments.format or ""
    template = _template(form)
    finder = _Finder(Store(given.root), kinds, sized=sized, platform=platform)
    found: list[Found] = []
    errors: list[RootlessError] = []
    for name in arguments.names:
        try:
            found.append(finder.find(name))
        except RootlessError as error:
            errors.append(error)
    if template is None:
        values = [one.value for one in found]
        print(jsontext.compact(values) if form else jsontext.indented(values))
    else:
        _render(template, found, errors)
    if errors:
        raise RootlessError("\n".join(error.message for error in errors), hint=errors[0].hint)
    return 0


class Found(Record):
    """Docker's object of a thing, and which kind of thing it is."""

    kind: str
    value: dict[str, Any]


class _Finder:
    """Looks for a name among things of some kinds, in their order."""

    def __init__(
        self, store: Store, kinds: Sequence[str], *, sized: bool, platform: str | None
    ) -> None:
        self.store = store
        self.kinds = kinds
        self.sized = sized
        self.platform = platform
        self.entered = False

    def find(self, name: str) -> Found:
        """The first of that name. RootlessError."""
        if self.kinds == ("container",):
            return self._container(records.find(self.store, name))
        if self.kinds == ("image",):
            return self._image(fetch.here(self.store, name, self.platform))
        if self.kinds == ("volume",):
            return self._volume(volumes.find(self.store, name))
        if self.kinds == ("network",):
            return self._network(name)
        if container := records.search(self.store, name):
            return self._container(container)
        try:
            image = images.resolve(self.store, name)
        except (NotFoundError, UsageError) as error:
            if isinstance(error, NotFoundError) and not error.message.startswith("No such"):
                raise  # a blob of it is what is not there
            return self._other(name, error.hint)
        if self.sized:
            print("WARNING: --size ignored for image", file=sys.stderr)
        return self._image(image)

    def _other(self, name: str, hint: str | None) -> Found:
        """What is neither a container nor an image; `hint` may say which image was meant."""
        try:
            return self._network(name)
        except NotFoundError:
            if volume := volumes.search(self.store, name):
                return self._volume(volume)
        raise self._missing(name, hint)

    def _network(self, name: str) -> Found:
        from rootless.cli import networks as told

        return Found("network", told.value(self.store, name))

    def _missing(self, name: str, hint: str | None) -> NotFoundError:
        """Nothing has that name; what was meant is a container or, as `hint` may say, an image."""
        from rootless import nearest

        meant = nearest.hint(name, [one.name for one in records.listing(self.store)])
        if hint and hint.startswith("did you mean"):
            meant = meant or hint
        return NotFoundError(f"No such object: {name}", hint=meant or _LISTS)

    def _image(self, image: Image) -> Found:
        from rootless.image import inspection

        return Found("image", inspection.inspect(self.store, image).encode())

    def _volume(self, volume: Volume) -> Found:
        from rootless.cli import volumes as told

        return Found("volume", told.value(volume))

    def _container(self, found: Container | Damaged) -> Found:
        from rootless.container import inspection

        if isinstance(found, Damaged):
            raise RootlessError(
                f"container {found.id[:12]} is damaged: {found.why}",
                hint=f"remove it with: rootless rm {found.id[:12]}",
            )
        if self.sized and not self.entered:
            from rootless import userns

            userns.enter()  # the files of a container belong to mapped ids
            self.entered = True
        value = inspection.inspect(self.store, found, sized=self.sized).encode()
        return Found("container", value)


def _kinds(asked: str | None) -> tuple[str, ...]:
    if asked and asked not in _KINDS:
        known = ", ".join(f'"{kind}"' for kind in _KINDS)
        raise RootlessError(f'unknown type: "{asked}": must be one of {known}')
    return (asked,) if asked else _KINDS


def _template(form: str) -> Template | None:
    """The template in a --format; None where it asks for JSON."""
    if form in ("", "json"):
        return None
    from rootless.cli.template import BAD_TEMPLATE, Template

    return Template(form, exit_code=BAD_TEMPLATE)


def _render(template: Template, found: list[Found], errors: list[RootlessError]) -> None:
    """Print what the template makes of each; what it cannot be used for joins the errors."""
    made = []
    for one in found:
        try:
            made.append(rendered(template, one))
        except RootlessError as error:
            errors.append(error)
    for text in made or [""]:
        print(words.escape(text, lines=True))


def rendered(template: Template, found: Found) -> str:
    """What a template makes of it, by docker's two tries: with the types of its API, then with
    the JSON alone, as it is. TemplateError."""
    from rootless.cli import inspected
    from rootless.cli.template import TemplateError

    typed = {"image": inspected.image, "container": inspected.container}.get(found.kind)
    if typed is None:
        return template.render(found.value, strict=True)
    try:
        return template.render(typed(found.value))
    except TemplateError:
        return template.render(found.value, strict=True)


def history(given: Settings, arguments: Arguments) -> int:
    """Print the instructions that made an image, the last first."""
    store = Store(given.root)
    image = fetch.here(store, arguments.image, arguments.platform)
    rows = list(_history(store, image, full=arguments.no_trunc, human=arguments.human))
    rows[0:1] = [
        {**row, "ID": listing.shown_id(image, full=arguments.no_trunc)} for row in rows[0:1]
    ]
    if arguments.quiet and not arguments.format:
        for row in rows:
            print(row["ID"])
        return 0
    created = "CreatedSince" if arguments.human else "CreatedAt"
    columns = ["ID", created, "CreatedBy", "Size", "Comment"]
    listing.show(rows, _HISTORY_HEADERS, columns, arguments.format or "")
    return 0


def _history(store: Store, image: Image, *, full: bool, human: bool) -> Iterator[dict[str, str]]:
    sizes = reversed(images.layer_sizes(store, image))
    for entry in reversed(image.config.history):
        size = 0 if entry.empty_layer else next(sizes, 0)
        by = entry.created_by.replace("\t", " ")
        if not full and len(by) > _CREATED_BY_WIDTH:
            by = by[: _CREATED_BY_WIDTH - 1] + "…"
        yield {
            "ID": "<missing>",
            "CreatedSince": words.since(entry.created),
            "CreatedAt": words.rfc3339(entry.created),
            "CreatedBy": by,
            "Size": words.size(size) if human else str(size),
            "Comment": entry.comment,
        }
