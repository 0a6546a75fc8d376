"""`inspect` and `history`: what an image is and how it was made, in docker's shapes."""

from __future__ import annotations

from rootless import leanjson
from rootless.cli import jsontext, listing, words
from rootless.errors import NotFoundError
from rootless.store import Store, images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.store.images import Image

_CONFIG_DEFAULTS = {
    "User": "",
    "Env": None,
    "Cmd": None,
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
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
    """Print what the named images are; those found even when others are not."""
    store = Store(given.root)
    found: list[dict[str, Any]] = []
    missing: NotFoundError | None = None
    for name in arguments.names:
        try:
            found.append(describe(store, images.resolve(store, name)))
        except NotFoundError as error:
            missing = missing or error
    form = arguments.format or ""
    if form in ("", "json"):
        print(jsontext.compact(found) if form else jsontext.indented(found))
    else:
        from rootless.cli.template import BAD_TEMPLATE, Template, values

        template = Template(form, exit_code=BAD_TEMPLATE)
        for value in found:
            shown = values.of({"ID": value["Id"], **value}, "image")
            print(words.escape(template.render(shown), lines=True))
    if missing:
        raise missing
    return 0


def describe(store: Store, image: Image) -> dict[str, Any]:
    """An image as docker's API shows it."""
    config = leanjson.loads(image.config.encode())
    value = {
        "Id": str(image.id),
        "RepoTags": [one.familiar for one in image.references],
        "RepoDigests": [one.familiar for one in image.repo_digests],
        "Parent": "",
        "Comment": image.config.history[-1].comment if image.config.history else "",
        "Created": image.created,
        "Author": image.config.author,
        "Config": {**_CONFIG_DEFAULTS, **config["config"]},
        "Architecture": image.config.platform.architecture,
        "Variant": image.config.platform.variant,
        "Os": image.config.platform.os,
        "Size": images.size(store, image),
        "GraphDriver": {"Name": "overlay", "Data": _directories(store, image)},
        "RootFS": {"Type": "layers", "Layers": [str(one) for one in image.config.diff_ids]},
        "Descriptor": image.descriptor.replace(annotations={}).encode(),
    }
    if not value["Variant"]:
        del value["Variant"]
    return value


def _directories(store: Store, image: Image) -> dict[str, str]:
    """Where the layers are unpacked, as overlayfs wants them: the topmost first."""
    known = [layers.find(store, diff_id) for diff_id in reversed(image.config.diff_ids)]
    paths = [layer.path for layer in known if layer]
    data = {"LowerDir": ":".join(paths[1:]), "UpperDir": "".join(paths[:1])}
    return {name: value for name, value in data.items() if value}


def history(given: Settings, arguments: Arguments) -> int:
    """Print the instructions that made an image, the last first."""
    store = Store(given.root)
    image = images.resolve(store, arguments.image)
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
            "CreatedAt": entry.created or "N/A",
            "CreatedBy": by,
            "Size": words.size(size) if human else str(size),
            "Comment": entry.comment,
        }
