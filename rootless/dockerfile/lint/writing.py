"""How a Dockerfile is written: lines, casing, comments, the names of stages."""

from __future__ import annotations

from rootless.dockerfile.errors import Location
from rootless.dockerfile.instructions import Arg, From, Maintainer
from rootless.dockerfile.lexer import continues, split_blanks
from rootless.dockerfile.lint.findings import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rootless.dockerfile.instructions import Dockerfile, Instruction

RESERVED = ("context", "scratch")


def check(dockerfile: Dockerfile) -> Iterator[Finding]:
    for one in dockerfile.instructions:
        yield from _empty_continuation(dockerfile, one.location)
    comments = Comments(dockerfile)
    for one in dockerfile.instructions:
        if isinstance(one, From):
            yield from _from(one)
        elif isinstance(one, Maintainer):
            detail = "Maintainer instruction is deprecated in favor of using label"
            yield Finding("MaintainerDeprecated", detail, one.location)
        yield from _description(one, comments)
    yield from _stage_names(dockerfile)
    yield from _casing(dockerfile)


def written(one: Instruction) -> str:
    """The keyword in its own casing."""
    return split_blanks(one.original)[0]


def _empty_continuation(dockerfile: Dockerfile, location: Location) -> Iterator[Finding]:
    """At the last line of the instruction, less its heredocs: as BuildKit places it."""
    is_empty = False
    at = location.start_line
    going_on = at < location.end_line and _continues(dockerfile, at)
    while going_on and at < location.end_line:
        at += 1
        text = dockerfile.source.lines[at - 1].strip()
        is_empty |= not text
        going_on = text[:1] in ("", "#") or _continues(dockerfile, at)
    if is_empty:
        yield Finding("NoEmptyContinuation", "Empty continuation line", Location(at, at))


def _continues(dockerfile: Dockerfile, number: int) -> bool:
    return continues(dockerfile.source.lines[number - 1], dockerfile.escape)


def _from(one: From) -> Iterator[Finding]:
    if not one.name:
        return
    keyword, *_, as_, name = split_blanks(one.original)
    if name != name.lower():
        detail = f"Stage name '{name}' should be lowercase"
        yield Finding("StageNameCasing", detail, one.location)
    matching = {keyword.lower(): as_.lower(), keyword.upper(): as_.upper()}.get(keyword, as_)
    if as_ != matching:
        detail = f"'{as_}' and '{keyword}' keywords' casing do not match"
        yield Finding("FromAsCasing", detail, one.location)


def _description(one: Instruction, comments: Comments) -> Iterator[Finding]:
    if isinstance(one, From):
        names: Sequence[str] = [one.name] if one.name else []
    elif isinstance(one, Arg):
        names = [name for name, _ in one.pairs]
    else:
        return
    above = comments.above(one.location)
    if not above or not names or above[-1].split(" ")[0] in names:
        return
    name = names[0] if len(names) == 1 else "<arg_key>"
    kind = "FROM" if isinstance(one, From) else "ARG"
    detail = f"Comment for {kind} should follow the format: `# {name} <description>`"
    yield Finding("InvalidDefinitionDescription", detail, one.location)


class Comments:
    """The comments between instructions, without the directives at the top."""

    def __init__(self, dockerfile: Dockerfile) -> None:
        self._lines = dockerfile.source.lines
        self._ends = {len(dockerfile.directives)}
        self._ends |= {one.location.end_line for one in dockerfile.instructions}

    def above(self, location: Location) -> list[str]:
        """Those that describe what follows them; one without words ends it."""
        found: list[str] = []
        number = location.start_line - 1
        while number > 0 and number not in self._ends:
            text = self._lines[number - 1].strip()
            if text == "#":
                break
            if text.startswith("#"):
                found.append(text[1:].strip())
            number -= 1
        return found[::-1]

    def describing(self, name: str, location: Location) -> str:
        """What they say about `name`: `# name says this` gives `says this`."""
        said = (one for one in self.above(location) if one.startswith(name + " "))
        return next(said, "").removeprefix(name).strip() if name else ""


def _stage_names(dockerfile: Dockerfile) -> Iterator[Finding]:
    seen = set()
    for one in dockerfile.instructions:
        if not isinstance(one, From) or not one.name:
            continue
        if one.name in RESERVED:
            detail = f'Stage name should not use the same name as reserved stage "{one.name}"'
            yield Finding("ReservedStageName", detail, one.location)
        if one.name in seen:
            detail = f'Duplicate stage name "{one.name}", stage names should be unique'
            yield Finding("DuplicateStageName", detail, one.location)
        seen.add(one.name)


def _casing(dockerfile: Dockerfile) -> Iterator[Finding]:
    """What differs from most; ARGs before the first FROM have no vote and no blame."""
    instructions = dockerfile.instructions
    first = next(at for at, one in enumerate(instructions) if isinstance(one, From))
    words = [(written(one), one.location) for one in instructions[first:]]
    lower = sum(word == word.lower() for word, _ in words)
    upper = sum(word == word.upper() for word, _ in words)
    for word, location in words:
        if word != (word.lower() if lower > upper else word.upper()):
            casing = "lowercase" if lower > upper else "uppercase"
            detail = f"Command '{word}' should match the case of the command majority ({casing})"
            yield Finding("ConsistentInstructionCasing", detail, location)
