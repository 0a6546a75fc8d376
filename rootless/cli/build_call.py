"""`build --check` and `--call`: what can be said of a Dockerfile without building it.

Everything goes to standard output, as docker's does; what is wrong with the Dockerfile is raised
after it. Base images that are not here are asked for their config only, and nothing is kept.
"""

from __future__ import annotations

import sys

from rootless.build.plan import checks, outline, stages
from rootless.build.plan.recipes import Recipes
from rootless.cli import words
from rootless.dockerfile import DockerfileError, parse
from rootless.dockerfile.lint import Asked, Options, check, rules, writing
from rootless.errors import RootlessError, UsageError
from rootless.oci.reference import Reference
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from rootless.build.plan.outline import Outline
    from rootless.build.plan.recipes import Fetch
    from rootless.build.plan.sources import Remote
    from rootless.build.plan.stages import Plan, Stage
    from rootless.cli.dockerfiles import Written
    from rootless.dockerfile import Dockerfile
    from rootless.dockerfile.errors import Location
    from rootless.dockerfile.lint import Finding
    from rootless.oci.config import ImageConfig
    from rootless.oci.platform import Platform

_METHODS = ("build", "check", "lint", "outline", "targets")
_RULE = "-" * 20


class Call(Record):
    """What --call asks for: a method, text or JSON, and whether findings make it fail."""

    method: str = "build"
    is_json: bool = False
    ignores_status: bool = False

    @classmethod
    def parse(cls, text: str) -> Call:
        """`METHOD[,format=json|text][,ignorestatus=true|false]`; UsageError for anything else."""
        method, *options = text.split(",")
        given = dict(option.partition("=")[::2] for option in options)
        known = {"format": ("json", "text"), "ignorestatus": ("true", "false")}
        if method not in _METHODS:
            from rootless import nearest

            hint = nearest.hint(method, _METHODS) or f"there are {', '.join(_METHODS)}"
            raise UsageError(f"--call has no method {method!r}", hint=hint)
        for name, value in given.items():
            if value not in known.get(name, ()):
                raise UsageError(
                    f"--call {text!r}: {name}={value} is not known",
                    hint="there are format=json, format=text and ignorestatus=true",
                )
        is_json, ignores = given.get("format") == "json", given.get("ignorestatus") == "true"
        return cls("check" if method == "lint" else method, is_json, ignores)


class Subject(Record):
    """The Dockerfile, and what the command line says of the build.

    `fetch` gives an image with its config, whether or not its layers are here; `leaks` what is to
    be said of the layers that a plan leads to.
    """

    written: Written
    build_args: Mapping[str, str]
    platform: Platform
    target: str
    has_image: Callable[[str], bool]
    fetch: Fetch
    contexts: Mapping[str, Remote | str] = {}
    leaks: Callable[[Plan], Iterable[Finding]] = lambda _plan: ()

    def plan(self, dockerfile: Dockerfile) -> Plan:
        given = (self.build_args, self.platform, self.target, self.has_image, self.contexts)
        return stages.plan(dockerfile, *given)


def call(wish: Call, subject: Subject) -> int:
    """Print what `wish` asks for; the exit code."""
    if wish.method == "check":
        return _check(wish, subject)
    dockerfile = parse(subject.written.content, subject.written.name)
    if wish.method == "targets":
        _targets(wish, dockerfile)
    else:
        _outline(wish, dockerfile, outline.outline(subject.plan(dockerfile)))
    return 0


def _json(value: Mapping[str, object]) -> None:
    """As Go writes it for people."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    print(words.escape(text, lines=True))


def _place(location: Location) -> dict[str, Any]:
    numbers = range(location.start_line, location.end_line + 1)
    return {"ranges": [{"start": {"line": one}, "end": {"line": one}} for one in numbers]}


def _filled(**values: Any) -> dict[str, Any]:
    """Without what is empty, as Go's omitempty leaves it out."""
    return {name: value for name, value in values.items() if value}


def _source(dockerfile: Dockerfile) -> str:
    import base64

    return base64.b64encode("\n".join([*dockerfile.source.lines, ""]).encode()).decode()


# ── check ─────────────────────────────────────────────────────────────────────────────────────


def _check(wish: Call, subject: Subject) -> int:
    found, problem = _findings(subject)
    if wish.is_json:
        _print_json(subject, found, problem)
    elif found or not problem:
        _print_text(subject, found)
    if problem:
        sys.stdout.flush()
        problem.exit_code = 1
        raise problem
    return int(bool(found) and not wish.ignores_status)


def _findings(subject: Subject) -> tuple[list[Finding], RootlessError | None]:
    """What the checks find, and what is really wrong, if anything."""
    try:
        dockerfile = parse(subject.written.content, subject.written.name)
    except DockerfileError as error:
        return _before(subject, error), error
    try:
        options = Options.of(dockerfile, subject.build_args)
        planned = subject.plan(dockerfile)
    except RootlessError as error:
        return _by_itself(subject, dockerfile), error
    needed, problem = _resolve(planned, subject)
    found = checks.find(
        planned,
        options,
        subject.written.ignore,
        lambda stage: _config(subject, stage),
        needed.__contains__,
    )
    if problem is None:
        found += [one for one in subject.leaks(planned) if options.wants(one.rule)]
    if violated := options.violated(found):
        problem = problem or RootlessError(violated)
    return found, problem


def _config(subject: Subject, stage: Stage) -> ImageConfig | None:
    assert isinstance(stage.base, Reference)
    try:
        return subject.fetch(stage.base, stage.platform).config
    except RootlessError:
        return None


def _resolve(planned: Plan, subject: Subject) -> tuple[set[int], RootlessError | None]:
    """The numbers of the stages to look at, all without a target; and the first that is wrong."""
    needed: set[int] = set()
    problem: RootlessError | None = None
    for stage in reversed(planned.stages) if not subject.target else (planned.target,):
        if stage.number in needed:
            continue
        needed.add(stage.number)
        try:
            recipes = Recipes(planned.replace(target=stage), subject.fetch, has_context=True)
            needed |= {one.stage.number for one in recipes.ordered}
        except RootlessError as error:
            problem = error
    return needed, problem


def _before(subject: Subject, error: DockerfileError) -> list[Finding]:
    """About the lines above the one that no parser understands."""
    content = subject.written.content.split(b"\n")
    try:
        dockerfile = parse(b"\n".join(content[: max(error.line - 1, 0)]), subject.written.name)
    except DockerfileError:
        return []
    return _by_itself(subject, dockerfile)


def _by_itself(subject: Subject, dockerfile: Dockerfile) -> list[Finding]:
    """Without looking into stages that make no plan."""
    try:
        options = Options.of(dockerfile, subject.build_args)
    except RootlessError:
        return []
    asked = Asked(
        base=lambda _number: None,
        needs=lambda _number: False,
        build_args=subject.build_args,
        arguments=stages.platform_arguments(subject.platform, subject.target),
    )
    return check(dockerfile, asked, options)


def _print_text(subject: Subject, found: list[Finding]) -> None:
    if not found:
        print("Check complete, no warnings found.")
        return
    counted = "1 warning has" if len(found) == 1 else f"{len(found)} warnings have"
    print(f"Check complete, {counted} been found!")
    from rootless.dockerfile.errors import Source

    source = Source.of(subject.written.content, subject.written.name)
    for one in sorted(found, key=lambda finding: finding.location.start_line):
        print("\nWARNING: " + " - ".join(filter(None, (one.rule, rules.url(one.rule)))))
        print(words.escape(one.detail))
        print(f"{words.escape(source.name)}:{one.location.start_line}")
        print(f"{_RULE}\n{source.excerpt(one.location)}\n{_RULE}")


def _print_json(subject: Subject, found: list[Finding], problem: RootlessError | None) -> None:
    import base64

    data = base64.b64encode(subject.written.content).decode()
    name = subject.written.name
    value: dict[str, Any] = {
        "warnings": [_finding(one) for one in found] or None,
        "sources": [{"filename": name, "data": data, "language": "Dockerfile"}],
    }
    if isinstance(problem, DockerfileError):
        place = _place(problem.location) if problem.location else None
        value["buildError"] = _filled(message=problem.problem, location=place)
    elif problem:
        value["buildError"] = {"message": problem.message}
    _json(value)


def _finding(one: Finding) -> dict[str, Any]:
    return _filled(
        ruleName=one.rule,
        description=rules.description(one.rule),
        url=rules.url(one.rule),
        detail=one.detail,
        location=_place(one.location),
    )


# ── targets and outline ───────────────────────────────────────────────────────────────────────


def _targets(wish: Call, dockerfile: Dockerfile) -> None:
    comments = writing.Comments(dockerfile)
    heads = dockerfile.heads
    said = [comments.describing(one.name, one.location) for one in heads]
    if not wish.is_json:
        names = [one.name for one in heads]
        names[-1] = f"{names[-1]} (default)".strip()
        _table(("TARGET", "DESCRIPTION"), *zip(names, said, strict=True), gap=1)
        return
    targets = [
        _filled(
            name=one.name,
            default=one is heads[-1],
            description=description,
            base=one.image,
            platform=one.platform,
            location=_place(one.location),
        )
        for one, description in zip(heads, said, strict=True)
    ]
    _json({"targets": targets, "sources": [_source(dockerfile)]})


def _outline(wish: Call, dockerfile: Dockerfile, shown: Outline) -> None:
    if wish.is_json:
        _json(_outline_value(dockerfile, shown))
        return
    if shown.name or shown.description:
        rows = [("TARGET:", shown.name or "(default)"), ("DESCRIPTION:", shown.description)]
        _table(*(row for row in rows if row[1]), gap=1)
        print()
    parameters = [(one.name, one.value, one.description) for one in shown.parameters]
    _section(("BUILD ARG", "VALUE", "DESCRIPTION"), parameters)
    for head, accesses in (("SECRET", shown.secrets), ("SSH", shown.ssh)):
        rows = [(one.name, "true" if one.required else "") for one in accesses]
        _section((head, "REQUIRED"), rows)


def _section(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if rows:
        _table(head, *rows, gap=3)
        print()


def _table(*rows: tuple[str, ...], gap: int) -> None:
    """Columns as Go's tabwriter sets them: all cells padded but a row's last."""
    cells = [[words.escape(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) + gap for column in zip(*cells, strict=True)]
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("".join([*padded[:-1], row[-1]]))


def _outline_value(dockerfile: Dockerfile, shown: Outline) -> dict[str, Any]:
    parameters = [
        _filled(
            name=one.name,
            description=one.description,
            value=one.value,
            location=_place(one.location),
        )
        for one in shown.parameters
    ]
    accesses = [
        [
            _filled(name=one.name, required=one.required, location=_place(one.location))
            for one in kind
        ]
        for kind in (shown.secrets, shown.ssh)
    ]
    return _filled(
        name=shown.name,
        description=shown.description,
        args=parameters,
        secrets=accesses[0],
        ssh=accesses[1],
        sources=[_source(dockerfile)],
    )
