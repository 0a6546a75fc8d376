"""Logical lines to typed instructions: every instruction's own grammar, all flags included.

Pure. Errors leave `parse` with file, line and the marked lines; those of `parse_trigger` have no
place of their own: the caller gives them that of the FROM which brought the trigger.
"""

from __future__ import annotations

from rootless.dockerfile.errors import DockerfileError, Source
from rootless.dockerfile.flags import Flags
from rootless.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    ExecForm,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Pairs,
    Run,
    ScriptForm,
    Shell,
    ShellForm,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from rootless.dockerfile.lexer import (
    Heredoc,
    LogicalLine,
    heredoc_of,
    json_array,
    lex,
    lex_original,
    split_blanks,
    split_keyword,
    split_quoted,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TAKE_ARRAYS = ("ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME")
NOT_TRIGGERS = ("ONBUILD", "FROM", "MAINTAINER")


def parse(content: bytes, name: str = "Dockerfile") -> Dockerfile:
    """The Dockerfile in `content`; `name` is what its errors call it."""
    source = Source.of(content, name)
    try:
        lexed = lex(content)
        instructions = tuple(_located(line, lexed.escape) for line in lexed.lines)
        _check_order(instructions)
    except DockerfileError as error:
        raise source.locate(error) from None
    if not any(isinstance(one, From) for one in instructions):
        raise DockerfileError(f"{name} has no FROM", hint="start with FROM and a base image")
    return Dockerfile(instructions, source, lexed.directives, lexed.escape)


def parse_trigger(text: str, escape: str = "\\") -> Instruction:
    """The instruction that an ONBUILD trigger holds, in the form `Onbuild.trigger` has."""
    line = lex_original(text)
    if line.keyword in NOT_TRIGGERS:
        raise DockerfileError(f"{line.keyword} cannot be an ONBUILD trigger")
    return _instruction(line, escape)


def _located(line: LogicalLine, escape: str) -> Instruction:
    try:
        return _instruction(line, escape)
    except DockerfileError as error:
        near = error.near or line.original[: len(line.keyword)]
        raise DockerfileError(
            error.problem, near=near, hint=error.hint, location=line.location
        ) from None


def _instruction(line: LogicalLine, escape: str) -> Instruction:
    read = _READERS.get(line.keyword)
    if read:
        return read(line, escape)
    from rootless import nearest

    written = line.original[: len(line.keyword)]
    raise DockerfileError(
        f"there is no instruction {written!r}",
        near=written,
        hint=nearest.hint(line.keyword, _READERS),
    )


def _check_order(instructions: tuple[Instruction, ...]) -> None:
    for one in instructions:
        if isinstance(one, From):
            return
        if not isinstance(one, Arg):
            raise DockerfileError(
                "only ARG can stand before the first FROM",
                near=split_blanks(one.original)[0],
                location=one.location,
            )


# ── operands ──────────────────────────────────────────────────────────────────────────────────


def _one(line: LogicalLine, what: str) -> str:
    if not line.operands:
        raise DockerfileError(f"{line.keyword} needs {what}")
    return line.operands


def _plain(line: LogicalLine, what: str) -> str:
    """The only operand of an instruction without flags, blanks and all."""
    Flags.none(line)
    return _one(line, what)


def _exec_args(text: str) -> tuple[str, ...] | None:
    """The strings of the exec form, which the kernel must be able to take."""
    args = json_array(text)
    for arg in args or ():
        if "\0" in arg:
            raise DockerfileError(f"{arg!r} cannot be passed to a program", near="[")
    return args


def _command(text: str) -> Command:
    args = _exec_args(text)
    return ShellForm(text) if args is None else ExecForm(args)


def _plain_command(line: LogicalLine) -> Command:
    """One without flags; without a word, it is an empty one of the shell."""
    Flags.none(line)
    return _command(line.operands)


def _pairs(line: LogicalLine, escape: str) -> Pairs:
    """`name=value …`, or the old `name value` where the value is the rest of the line."""
    text = _plain(line, "a name and a value")
    words = split_quoted(text, escape)
    if not words or "=" not in words[0]:
        return (_old_pair(line.keyword, text),)
    return tuple(_pair(line.keyword, word) for word in words)


def _pair(keyword: str, word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise DockerfileError(
            f"{keyword} {word} has no value",
            near=word,
            hint="write name=value, with quotes around a value that contains blanks",
        )
    if not name:
        raise DockerfileError(f"{keyword} {word} has no name", near=word)
    return name, value


def _old_pair(keyword: str, text: str) -> tuple[str, str]:
    name = split_blanks(text)[0]
    value = text[len(name) :].strip()
    if not value:
        raise DockerfileError(f"{keyword} {name} has no value", hint=f"write {keyword} {name}=…")
    return name, value


# ── instructions ──────────────────────────────────────────────────────────────────────────────


def _from(line: LogicalLine, _escape: str) -> From:
    flags = Flags.of(line, "platform")
    image, *rest = split_blanks(_one(line, "an image"))
    if not rest:
        return From(line.location, line.original, image, flags.text("platform"))
    if len(rest) != 2 or rest[0].upper() != "AS":
        raise DockerfileError("FROM takes an image, or an image AS name", near=rest[0])
    name = rest[1].lower()
    allowed = name.isascii() and name.translate(dict.fromkeys(map(ord, "-_."), "a")).isalnum()
    if not allowed or not name[0].isalpha():
        raise DockerfileError(
            f"a stage cannot be called {rest[1]!r}",
            near=rest[1],
            hint="stage names start with a letter and contain letters, digits, '-', '_' and '.'",
        )
    return From(line.location, line.original, image, flags.text("platform"), name)


def _run(line: LogicalLine, _escape: str) -> Run:
    flags = Flags.of(line, "network", "security", repeated=("mount", "device"))
    return Run(
        location=line.location,
        original=line.original,
        command=_run_command(line.operands, line.heredocs),
        heredocs=line.heredocs,
        mounts=flags.mounts("mount"),
        network=flags.choice("network", ("default", "none", "host")),
        security=flags.choice("security", ("sandbox", "insecure")),
        devices=flags.texts("device"),
    )


def _run_command(text: str, heredocs: tuple[Heredoc, ...]) -> Command | ScriptForm:
    """A lone heredoc is a script; any other is the shell's to read, so it stays in the text."""
    if not heredocs:
        return _command(text)
    if heredoc_of(text):
        script = heredocs[0].content
        return ScriptForm(script) if script.startswith("#!") else ShellForm(script)
    return ShellForm("\n".join([text, *(one.body + one.name for one in heredocs)]))


def _files(line: LogicalLine) -> tuple[tuple[str, ...], str, tuple[Heredoc, ...]]:
    """Sources, destination and heredocs of COPY and ADD."""
    words = _exec_args(line.operands)
    if words is None:
        words = split_blanks(line.operands)
    if len(words) < 2:
        raise DockerfileError(f"{line.keyword} needs at least one source and a destination")
    if line.heredocs and heredoc_of(words[-1]):
        raise DockerfileError("a heredoc cannot be the destination", near=words[-1])
    sources = tuple(one for one in words[:-1] if not (line.heredocs and heredoc_of(one)))
    return sources, words[-1], line.heredocs


def _copy(line: LogicalLine, _escape: str) -> Copy:
    flags = Flags.of(line, "from", "chown", "chmod", "link", "parents", repeated=("exclude",))
    sources, destination, heredocs = _files(line)
    return Copy(
        location=line.location,
        original=line.original,
        sources=sources,
        destination=destination,
        heredocs=heredocs,
        from_=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.truth("link")),
        parents=bool(flags.truth("parents")),
        exclude=flags.texts("exclude"),
    )


def _add(line: LogicalLine, _escape: str) -> Add:
    allowed = ("chown", "chmod", "link", "checksum", "keep-git-dir", "unpack")
    flags = Flags.of(line, *allowed, repeated=("exclude",))
    sources, destination, heredocs = _files(line)
    return Add(
        location=line.location,
        original=line.original,
        sources=sources,
        destination=destination,
        heredocs=heredocs,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.truth("link")),
        exclude=flags.texts("exclude"),
        checksum=flags.text("checksum"),
        keep_git_dir=bool(flags.truth("keep-git-dir")),
        unpack=flags.truth("unpack"),
    )


def _env(line: LogicalLine, escape: str) -> Env:
    return Env(line.location, line.original, _pairs(line, escape))


def _label(line: LogicalLine, escape: str) -> Label:
    return Label(line.location, line.original, _pairs(line, escape))


def _arg(line: LogicalLine, escape: str) -> Arg:
    pairs = []
    for word in split_quoted(_one(line, "a name"), escape):  # docker ignores flags here
        name, equals, default = word.partition("=")
        if not name:
            raise DockerfileError(f"ARG {word} has no name", near=word)
        pairs.append((name, default if equals else None))
    return Arg(line.location, line.original, tuple(pairs))


def _workdir(line: LogicalLine, _escape: str) -> Workdir:
    return Workdir(line.location, line.original, _plain(line, "a path"))


def _user(line: LogicalLine, _escape: str) -> User:
    return User(line.location, line.original, _plain(line, "a user"))


def _expose(line: LogicalLine, _escape: str) -> Expose:
    return Expose(line.location, line.original, split_blanks(_plain(line, "a port")))


def _volume(line: LogicalLine, _escape: str) -> Volume:
    text = _plain(line, "a path")
    paths = _exec_args(text)
    if paths is None:
        paths = split_blanks(text)
    if not paths or not all(map(str.strip, paths)):
        raise DockerfileError("VOLUME needs paths that are not empty")
    return Volume(line.location, line.original, paths)


def _cmd(line: LogicalLine, _escape: str) -> Cmd:
    return Cmd(line.location, line.original, _plain_command(line))


def _entrypoint(line: LogicalLine, _escape: str) -> Entrypoint:
    return Entrypoint(line.location, line.original, _plain_command(line))


def _healthcheck(line: LogicalLine, _escape: str) -> Healthcheck:
    kind, rest = split_keyword(_one(line, "CMD and a command, or NONE"))
    if kind == "NONE":  # and any flags: docker ignores them
        if rest:
            raise DockerfileError("HEALTHCHECK NONE takes nothing more", near=rest)
        return Healthcheck(line.location, line.original, None)
    flags = Flags.of(line, "interval", "timeout", "start-period", "start-interval", "retries")
    command = _command(rest)
    if kind != "CMD":
        from rootless import nearest

        hint = nearest.hint(kind, ("CMD", "NONE"))
        raise DockerfileError(f"HEALTHCHECK takes CMD or NONE, not {kind}", hint=hint)
    if not rest or command == ExecForm(()):
        raise DockerfileError("HEALTHCHECK CMD needs a command")
    return Healthcheck(
        location=line.location,
        original=line.original,
        command=command,
        interval=flags.duration("interval"),
        timeout=flags.duration("timeout"),
        start_period=flags.duration("start-period"),
        start_interval=flags.duration("start-interval"),
        retries=flags.count("retries"),
    )


def _shell(line: LogicalLine, _escape: str) -> Shell:
    args = _exec_args(_plain(line, "a JSON array"))
    if not args:
        raise DockerfileError('SHELL takes a JSON array, like ["/bin/bash", "-c"]')
    return Shell(line.location, line.original, args)


def _stopsignal(line: LogicalLine, _escape: str) -> Stopsignal:
    return Stopsignal(line.location, line.original, _one(line, "a signal"))


def _onbuild(line: LogicalLine, escape: str) -> Onbuild:
    """As in docker, only a trigger's form is looked at; the build that it is for asks the rest."""
    keyword, _ = split_keyword(_plain(line, "an instruction"))
    if keyword in NOT_TRIGGERS:
        raise DockerfileError(f"{keyword} cannot be an ONBUILD trigger", near=keyword)
    trigger = line.original[len("ONBUILD") :].lstrip()
    inner = lex_original(trigger)
    if inner.keyword in ("ENV", "LABEL") and inner.operands:
        _pairs(inner, escape)
    elif inner.keyword in _TAKE_ARRAYS:
        json_array(inner.operands)
    return Onbuild(line.location, line.original, trigger)


def _maintainer(line: LogicalLine, _escape: str) -> Maintainer:
    return Maintainer(line.location, line.original, _plain(line, "a name"))


_READERS: dict[str, Callable[[LogicalLine, str], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}

KEYWORDS = frozenset(_READERS)
