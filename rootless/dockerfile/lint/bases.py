"""FROM lines: the images and platforms that they name, and the ARGs that they are made of."""

from __future__ import annotations

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.expand import expand
from rootless.dockerfile.instructions import Arg, From
from rootless.dockerfile.lint.findings import Finding
from rootless.dockerfile.lint.suggest import meant
from rootless.errors import RootlessError
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rootless.dockerfile.instructions import Dockerfile
    from rootless.dockerfile.lint.findings import Asked


class Arguments:
    """The ARGs before the first FROM: `values` in this build, `defaults` in one without
    build-args; `declared` are all that FROM may use.
    """

    def __init__(self, dockerfile: Dockerfile, asked: Asked) -> None:
        self.values = dict(asked.arguments)
        self.defaults = dict(asked.arguments)
        self.declared = set(asked.arguments)
        for one in dockerfile.instructions:
            if isinstance(one, From):
                break
            assert isinstance(one, Arg)
            self.declared.update(name for name, _ in one.pairs)
            _declare(one, self.values, asked.build_args, dockerfile.escape)
            _declare(one, self.defaults, {}, dockerfile.escape)


def _declare(one: Arg, values: dict[str, str], build_args: Mapping[str, str], escape: str) -> None:
    for name, default in one.pairs:
        if name in build_args:
            values[name] = build_args[name]
        elif default is not None:
            values[name] = _expanded(default, values, escape)[0]


def _expanded(text: str, values: Mapping[str, str], escape: str) -> tuple[str, set[str]]:
    """What it becomes, and the names that were looked up; as it is where that is impossible."""
    used: set[str] = set()
    try:
        return expand(text, values, escape, used), used
    except DockerfileError:
        return text, used


def check(dockerfile: Dockerfile, known: Arguments) -> Iterator[Finding]:
    for one in dockerfile.heads:
        image, _ = _expanded(one.image, known.defaults, dockerfile.escape)
        if not _is_reference(image):
            detail = (
                f"Default value for ARG {one.image} results in empty or invalid base image name"
            )
            yield Finding("InvalidDefaultArgInFrom", detail, one.location)
    for one in dockerfile.heads:
        yield from _undeclared(one, one.image, known, dockerfile.escape)
        if one.platform:
            yield from _undeclared(one, one.platform, known, dockerfile.escape)
            yield from _platform(one, known, dockerfile.escape)


def check_platforms(dockerfile: Dockerfile, known: Arguments, asked: Asked) -> Iterator[Finding]:
    """Whether each image that is built on is for the platform that its stage is for."""
    for number, one in enumerate(dockerfile.heads):
        wanted = asked.platform(number) if asked.needs(number) else None
        base = asked.base(number) if wanted else None
        if wanted is None or base is None or isinstance(base, int):
            continue
        has = base.platform
        is_other = (has.os, has.architecture) != (wanted.os, wanted.architecture)
        if is_other and has.architecture:
            image, _ = _expanded(one.image, known.values, dockerfile.escape)
            detail = (
                f'Base image {image} was pulled with platform "{has}", '
                f'expected "{wanted}" for current build'
            )
            yield Finding("InvalidBaseImagePlatform", detail, one.location)


def _is_reference(text: str) -> bool:
    try:
        Reference.parse(text)
    except RootlessError:
        return False
    return True


def _undeclared(one: From, text: str, known: Arguments, escape: str) -> Iterator[Finding]:
    _, used = _expanded(text, known.values, escape)
    for name in sorted(used - known.declared):
        detail = f"FROM argument '{name}' is not declared"
        near = meant(name, known.declared)
        detail += f" (did you mean {near}?)" if near else ""
        yield Finding("UndefinedArgInFrom", detail, one.location)


def _platform(one: From, known: Arguments, escape: str) -> Iterator[Finding]:
    value, used = _expanded(one.platform, known.values, escape)
    if used == {"TARGETPLATFORM"} and value == known.values.get("TARGETPLATFORM"):
        detail = (
            f"Setting platform to predefined {one.platform} in FROM "
            "is redundant as this is the default behavior"
        )
        yield Finding("RedundantTargetPlatform", detail, one.location)
    if used:
        return
    try:
        platform = Platform.parse(value)
    except RootlessError:
        return
    if platform.os not in one.name and platform.architecture not in one.name:
        detail = f'FROM --platform flag should not use constant value "{value}"'
        yield Finding("FromPlatformFlagConstDisallowed", detail, one.location)
