"""Changes: the instructions that `commit` and `import` apply to an image's config, as `-c 'CMD …'`.

Pure. Which instructions may be one is docker's rule. An instruction here does to a config what it
does in a Dockerfile, but makes no file: WORKDIR only names a directory.
"""

from __future__ import annotations

from rootless.build.plan import stages, steps
from rootless.dockerfile import Dockerfile, DockerfileError, instructions, parse
from rootless.dockerfile.errors import Location, Source
from rootless.errors import UsageError
from rootless.oci.config import DEFAULT_PATH
from rootless.oci.platform import Platform
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rootless.dockerfile import Instruction
    from rootless.oci.config import ImageConfig

ALLOWED = {
    "CMD": instructions.Cmd,
    "ENTRYPOINT": instructions.Entrypoint,
    "ENV": instructions.Env,
    "EXPOSE": instructions.Expose,
    "HEALTHCHECK": instructions.Healthcheck,
    "LABEL": instructions.Label,
    "ONBUILD": instructions.Onbuild,
    "STOPSIGNAL": instructions.Stopsignal,
    "USER": instructions.User,
    "VOLUME": instructions.Volume,
    "WORKDIR": instructions.Workdir,
}
_HEAD = "FROM scratch"
_SHOWN = 100  # characters of a change in an error


class Changes(Record):
    """Instructions, understood as far as that is possible without a config.

    `texts` are the changes as they were written; an instruction of the second is on "line" 2.
    """

    texts: tuple[str, ...] = ()
    instructions: tuple[Instruction, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Changes:
        """UsageError names the change that is wrong, or is none."""
        found = [one for at, text in enumerate(texts, 1) for one in _parsed(at, text)]
        return cls(tuple(texts), tuple(found))

    def apply(self, config: ImageConfig) -> ImageConfig:
        """The config with all changes; times and history stay. UsageError names a wrong change."""
        if not self.instructions:
            return config
        head = parse(_HEAD.encode()).instructions
        text = Dockerfile((*head, *self.instructions), Source("--change", self.texts))
        planned = stages.plan(text, {}, Platform.host())
        try:
            changed = steps.resolve(planned, planned.target, config).config
        except DockerfileError as error:
            raise _named(self.texts[_line(error) - 1], error) from None
        return _without_default_path(config, changed).replace(
            created=config.created, history=config.history
        )


def _parsed(at: int, text: str) -> Iterator[Instruction]:
    """The instructions of change number `at`; mostly one."""
    try:
        found = parse(f"{_HEAD}\n{text}".encode("utf-8", "surrogateescape")).instructions[1:]
    except DockerfileError as error:
        raise _named(text, error) from None
    if not found:
        raise UsageError(f"--change {text!r} is no instruction", hint=_hint())
    for one in found:
        keyword = one.original.split(maxsplit=1)[0].upper()
        if not isinstance(one, tuple(ALLOWED.values())):
            raise UsageError(f"{keyword} is not a valid change command", hint=_hint())
        yield one.replace(location=Location(at, at))


def _hint() -> str:
    return f"a change is one of {', '.join(ALLOWED)}: it sets how an image is run"


def _line(error: DockerfileError) -> int:
    return error.location.start_line if error.location else 1


def _named(text: str, error: DockerfileError) -> UsageError:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return UsageError(f"--change {shown!r}: {error.problem}", hint=error.hint or _hint())


def _without_default_path(before: ImageConfig, after: ImageConfig) -> ImageConfig:
    """A build gives every image a PATH; a change leaves one without as it is."""
    if "PATH" in before.environment or after.environment.get("PATH") != DEFAULT_PATH:
        return after
    return after.replace(env=tuple(one for one in after.env if not one.startswith("PATH=")))
