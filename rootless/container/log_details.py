"""What a container's log keeps with each line, by --log-opt: labels, variables, a tag. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rootless.container.spec import ContainerSpec

FIELDS = (
    *("Command", "DaemonName", "FullID", "ID"),
    *("ImageFullID", "ImageID", "ImageName", "Name"),
)
"""What a tag may name."""
_SHORT = 12  # letters of an id
_SHORT_DIGEST = len("sha256:") + 5  # docker cuts an image's id as it cuts others


def details(spec: ContainerSpec, options: Mapping[str, str]) -> dict[str, str]:
    """The labels and variables that are named, or match; then the tag."""
    run = spec.run
    found: dict[str, str] = {}
    for option, there in (("labels", run.labels), ("env", run.environment)):
        names = [*options.get(option, "").split(",")]
        names += _matching(options.get(f"{option}-regex", ""), there)
        found.update({name: there[name] for name in names if name in there})
    if text := options.get("tag"):
        found["tag"] = tag(text, fields(spec))
    return found


def _matching(pattern: str, there: Mapping[str, str]) -> Iterator[str]:
    if pattern:
        import re

        meant = re.compile(pattern)
        yield from (name for name in there if meant.search(name))


def fields(spec: ContainerSpec) -> dict[str, str]:
    """The values of `FIELDS`."""
    image = str(spec.image_id)
    return {
        "ID": spec.id[:_SHORT],
        "FullID": spec.id,
        "Name": spec.called,
        "Command": " ".join(spec.command),
        "ImageID": image[:_SHORT_DIGEST],
        "ImageFullID": image,
        "ImageName": spec.image,
        "DaemonName": "rootless",
    }


def tag(text: str, known: Mapping[str, str]) -> str:
    """A tag with its {{.Fields}} filled in; ValueError for what is none."""
    *parts, end = text.split("}}")
    told = []
    for part in parts:
        before, opened, name = part.partition("{{")
        field = name.strip().removeprefix(".")
        if not opened or not name.strip().startswith(".") or field not in known:
            raise ValueError(f"log-tag: {{{{{name}}}}} is no field of a container")
        told.append(before + known[field])
    if "{{" in end:
        raise ValueError("log-tag: unclosed action")
    return "".join((*told, end))
