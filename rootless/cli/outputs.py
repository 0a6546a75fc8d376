"""What `build` is to give: `-o`, `--push`, `--load` and their like, as values.

Pure but for a look at what stands where something is to be written, so that a mistake is told
before anything is built. `delivery` carries it out.
"""

from __future__ import annotations

import os

from rootless import nearest
from rootless.archive.compression import Compression
from rootless.cli import files, words
from rootless.errors import RootlessError, UsageError
from rootless.oci.reference import Reference
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.cli.parser import Arguments

LOCAL, TAR, OCI, DOCKER, IMAGE, NOTHING = "local", "tar", "oci", "docker", "image", "cacheonly"
_REGISTRY = "registry"
_TYPES = (LOCAL, TAR, OCI, DOCKER, IMAGE, _REGISTRY, NOTHING)
_TREES = (LOCAL, TAR)
_ANNOTATION = "annotation"
_USED = {
    "type", "dest", "name", "push", "push-by-digest", "tar", "compression", "compression-level",
    "force-compression", "oci-mediatypes", "platform-split",
}  # fmt: skip
_WITHOUT_EFFECT = {
    "attestation-prefix", "buildinfo", "context", "danglingname-prefix", "dangling-name-prefix",
    "mode", "name-canonical", "oci-artifact", "prefer-nondist-layers", "registry.insecure",
    "rewrite-timestamp", "store", "unpack",
}  # fmt: skip
"""Keys of docker's that are about its own way of working, or hold here in any case."""


class Output(Record):
    """One thing that comes out. `path` is "" for the store, "-" for standard output.

    `names` are those of this output alone; `is_layout` an OCI layout that is a folder. `split` is
    docker's platform-split, None where nobody said. `is_docker` asks for docker's media types.
    """

    kind: str
    path: str = ""
    names: tuple[Reference, ...] = ()
    push: bool = False
    by_digest: bool = False
    is_layout: bool = False
    compression: Compression | None = None
    force: bool = False
    is_plain: bool = False
    is_docker: bool | None = None
    split: bool | None = None
    annotations: tuple[str, ...] = ()

    @property
    def is_in_store(self) -> bool:
        """Whether the image is to be found in the store afterwards."""
        return self.kind == IMAGE or (self.kind == DOCKER and not self.path)

    @property
    def is_tree(self) -> bool:
        """Whether files come out, and no image."""
        return self.kind in _TREES


def parse(arguments: Arguments) -> tuple[Output, ...]:
    """All that the command line asks for; UsageError, RootlessError."""
    found = [output(text) for text in arguments.output if text]
    if arguments.push:
        found = _pushed(found)
    if arguments.load and not any(one.is_in_store for one in found):
        found.append(Output(DOCKER))
    outputs = tuple(found) or (Output(IMAGE),)
    if arguments.compression:
        wish = Compression.parse(arguments.compression.replace(",", ":"))
        outputs = tuple(
            one if one.compression else one.replace(compression=wish) for one in outputs
        )
    for one in outputs:
        _check(one)
    outputs = tuple(one.replace(path=_absolute(one.path)) for one in outputs)
    if len([one for one in outputs if one.path == "-"]) > 1:
        raise UsageError("two outputs cannot both be standard output", hint="give one a dest=FILE")
    if arguments.iidfile and any(one.is_tree for one in outputs):
        raise UsageError(
            "local and tar exporters are incompatible with image ID file",
            hint="files have no image id: leave out --iidfile",
        )
    return outputs


def _absolute(path: str) -> str:
    return path if path in ("", "-") else os.path.abspath(path)


def _pushed(outputs: list[Output]) -> list[Output]:
    """As docker: images that are asked for are pushed, else there is one more."""
    if any(one.kind == IMAGE for one in outputs):
        return [one.replace(push=True) if one.kind == IMAGE else one for one in outputs]
    return [*outputs, Output(IMAGE, push=True)]


def output(text: str) -> Output:
    """`DIR`, `-`, or `type=TYPE[,KEY=VALUE]`."""
    if text == "-":
        return Output(TAR, "-")
    fields = words.fields(text, "-o")
    if len(fields) == 1 and "=" not in text:
        return Output(LOCAL, text)
    values: dict[str, str] = {}
    names: list[Reference] = []
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"-o {text}: {field!r} has no value", hint="write KEY=VALUE")
        key = key.strip().lower()
        if key == "name":
            names += map(_name, filter(None, value.split(",")))
        values[key] = value.strip()
    return _made(text, values, tuple(names))


def _name(text: str) -> Reference:
    reference = Reference.parse(text)
    if reference.digest:
        raise UsageError(f"{text!r}: an image cannot be named by a digest", hint="write NAME[:TAG]")
    return reference


def _made(text: str, values: Mapping[str, str], names: tuple[Reference, ...]) -> Output:
    kind = values.get("type")
    if kind is None:
        raise UsageError(f"-o {text}: there is no type", hint=f"write -o type=local,{text}")
    if kind not in _TYPES:
        raise UsageError(
            f"exporter {kind!r} could not be found",
            hint=nearest.hint(kind, _TYPES) or f"types are {', '.join(_TYPES)}",
        )
    for key in values:
        _check_key(text, key)
    wish, is_plain = _compression(values)
    form = values.get("oci-mediatypes")
    return Output(
        kind=IMAGE if kind == _REGISTRY else kind,
        path=_path(kind, values),
        names=names,
        push=kind == _REGISTRY or _is_set(values, "push"),
        by_digest=_is_set(values, "push-by-digest"),
        is_layout=kind == OCI and not _is_set(values, "tar", default=True),
        compression=wish,
        force=_is_set(values, "force-compression"),
        is_plain=is_plain,
        is_docker=None if form is None else not _is_set(values, "oci-mediatypes"),
        split=_is_set(values, "platform-split") if "platform-split" in values else None,
        annotations=_annotations(values),
    )


def _check_key(text: str, key: str) -> None:
    if key in _USED or key in _WITHOUT_EFFECT or key.startswith((_ANNOTATION + ".", "annotation-")):
        return
    hint = nearest.hint(key, sorted(_USED)) or f"keys are {', '.join(sorted(_USED))}"
    raise UsageError(f"-o {text}: there is no key {key!r}", hint=hint)


def _path(kind: str, values: Mapping[str, str]) -> str:
    """Where it goes; archives that are not given a file go to standard output."""
    path = values.get("dest", "")
    if kind in (TAR, OCI) and not path:
        return "-"
    if kind == LOCAL and path in ("", "-"):
        problem = "cannot be stdout" if path else "is required"
        raise UsageError(f"dest {problem} for local exporter", hint="write type=local,dest=DIR")
    return path


def _annotations(values: Mapping[str, str]) -> tuple[str, ...]:
    """`annotation.KEY=V` and `annotation-index.KEY=V`, in the words of --annotation."""
    found = []
    for key, value in values.items():
        kind, dot, name = key.partition(".")
        if dot and (kind == _ANNOTATION or kind.startswith(_ANNOTATION + "-")):
            place = kind.removeprefix(_ANNOTATION).removeprefix("-") or "manifest"
            found.append(f"{place}:{name}={value}")
    return tuple(found)


def _is_set(values: Mapping[str, str], key: str, *, default: bool = False) -> bool:
    text = values.get(key, "")
    if not text:
        return default
    if text.lower() not in ("true", "false", "1", "0"):
        raise UsageError(f"{key}={text!r} is neither true nor false", hint=f"write {key}=true")
    return text.lower() in ("true", "1")


def _compression(values: Mapping[str, str]) -> tuple[Compression | None, bool]:
    """What is wished, and whether it is to be none at all."""
    kind, level = values.get("compression", ""), values.get("compression-level", "")
    if kind == "estargz":
        raise UsageError("compression=estargz is not supported", hint="write gzip or zstd")
    if kind == "uncompressed":
        return None, True
    if not kind and not level:
        return None, False
    return Compression.parse(f"{kind or 'gzip'}{':' * bool(level)}{level}"), False


def _check(output: Output) -> None:
    """RootlessError for what cannot be written where it is to go."""
    if output.path == "-" and os.isatty(1):
        raise RootlessError(
            f"dest file is required for {output.kind} exporter. refusing to write to console",
            hint="write dest=FILE, or redirect the output",
        )
    if output.path in ("", "-"):
        return
    if output.kind == LOCAL or output.is_layout:
        from rootless.build.export import local

        local.check(output.path)
    elif os.path.isdir(output.path):
        raise RootlessError(
            f"destination file {output.path} is a directory", hint="name the file to write"
        )
    else:
        files.check_parent(output.path)


class Annotations(Record):
    """What --annotation gives to each part of an image; `of_platform` for one's manifest only."""

    manifest: Mapping[str, str] = {}
    index: Mapping[str, str] = {}
    manifest_descriptor: Mapping[str, str] = {}
    index_descriptor: Mapping[str, str] = {}
    of_platform: Mapping[tuple[str, str], Mapping[str, str]] = {}

    def on(self, part: str, platform: object) -> dict[str, str]:
        """Those of `manifest` or `manifest-descriptor` of one platform."""
        every = self.manifest if part == "manifest" else self.manifest_descriptor
        return {**every, **self.of_platform.get((part, str(platform)), {})}


_PARTS = ("manifest", "index", "manifest-descriptor", "index-descriptor")


def parse_annotations(texts: Sequence[str]) -> Annotations:
    """`[PART[,PART…]:]KEY=VALUE`, a part perhaps with its platform: `manifest[linux/arm64]`."""
    every: dict[str, dict[str, str]] = {part: {} for part in _PARTS}
    narrow: dict[tuple[str, str], dict[str, str]] = {}
    for text in texts:
        place, key, value = _annotation(text)
        for word in place.split(","):
            part, bracket, platform = word.strip().partition("[")
            if part not in _PARTS:
                raise UsageError(
                    f"unknown annotation type {part!r}",
                    hint=nearest.hint(part, _PARTS) or f"types are {', '.join(_PARTS)}",
                )
            if bracket:
                from rootless.oci.platform import Platform

                known = str(Platform.parse(platform.rstrip("]")))
                narrow.setdefault((part, known), {})[key] = value
            else:
                every[part][key] = value
    return Annotations(
        every["manifest"],
        every["index"],
        every["manifest-descriptor"],
        every["index-descriptor"],
        narrow,
    )


def _annotation(text: str) -> tuple[str, str, str]:
    """Part, key and value; a part ends with the first colon in front of the equals sign."""
    name, equals, value = text.partition("=")
    place, colon, key = name.partition(":")
    if not colon:
        place, key = "manifest", name
    if not equals or not key:
        raise UsageError(f"invalid annotation {text!r}, expected key=value", hint="write KEY=VALUE")
    return place, key, value


def refuse_attestations(arguments: Arguments) -> None:
    """UsageError for an attestation that is wanted: none is made here."""
    asked = [f"--provenance={arguments.provenance}"] if arguments.provenance else []
    asked += [f"--sbom={arguments.sbom}"] if arguments.sbom else []
    asked += [f"--attest={text}" for text in arguments.attest]
    for text in asked:
        name, _, value = text.partition("=")
        fields = [field.strip().lower() for field in value.split(",")]
        if fields[-1] in ("false", "0") or "disabled=true" in fields:
            continue
        raise UsageError(
            f"{text}: attestations are not supported",
            hint=f"leave it out, or write {name}=false; an SBOM of a saved image can be made by a "
            "scanner: rootless save IMAGE -o FILE",
        )
