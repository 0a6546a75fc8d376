"""The flags of `build` that say what its commands are given: checked, and read as values.

What they name is read here, as the user, before the namespace is entered: a secret's file counts
as it was when the build began. Agents that serve key files are started here too, and end with us.
"""

from __future__ import annotations

import os
import stat
import sys

from rootless.build.plan.stages import ENTITLEMENTS
from rootless.build.request import Surroundings
from rootless.errors import NotFoundError, RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rootless.build.plan.stages import Plan
    from rootless.cli.parser import Arguments
    from rootless.cli.progress import BuildDisplay
    from rootless.cli.settings import Settings
    from rootless.sandbox.spec import Operation, Spec

_MOST_OF_A_SECRET = 500 << 10
_ALLOWED = (*ENTITLEMENTS, "device")
_LIMITS = (
    *("cgroup_parent", "cpu_period", "cpu_quota", "cpu_shares", "cpuset_cpus", "cpuset_mems"),
    *("memory", "memory_swap"),
)
_SANDBOX = (
    *("add_host", "allow", "cap_add", "cap_drop", "device", "dns", "dns_option", "dns_search"),
    *("no_hosts", "secret", "security_opt", "shm_size", "ssh", "ulimit", "volume", *_LIMITS),
)


def surroundings(given: Settings, arguments: Arguments) -> Surroundings:
    """What the commands of a build have; UsageError or RootlessError names what is wrong."""
    if not any(getattr(arguments, field) for field in _SANDBOX):
        return Surroundings()
    from rootless.cli import run_isolation
    from rootless.sandbox import caps

    _warn_of_limits(arguments)
    security = run_isolation.security(arguments.security_opt)
    if security.seccomp not in ("", run_isolation.UNCONFINED):
        raise UsageError(
            "the commands of a build have no seccomp profile of their own",
            hint="--security-opt seccomp=unconfined leaves the filter out",
        )
    changed = arguments.cap_add or arguments.cap_drop
    return Surroundings(
        secrets=_secrets(arguments.secret, given.environment),
        agents=_agents(arguments.ssh, given),
        hosts=None if arguments.no_hosts else tuple(map(_host, arguments.add_host)),
        resolver=_resolver(arguments),
        limits=tuple(map(run_isolation.limit, arguments.ulimit)),
        shm_size=_size("--shm-size", arguments.shm_size) if arguments.shm_size else 64 << 20,
        capabilities=caps.chosen(arguments.cap_add, arguments.cap_drop) if changed else None,
        no_new_privileges=security.no_new_privileges,
        seccomp=not security.seccomp,
        mounts=(*_volumes(arguments.volume), *_devices(arguments.device)),
        allow=allowed(arguments.allow),
    )


def allowed(words: Iterable[str]) -> frozenset[str]:
    """--allow: docker's names of entitlements."""
    for word in words:
        if word.partition("=")[0] not in _ALLOWED:
            raise UsageError(f"unknown entitlement {word}", hint=f"there are {', '.join(_ALLOWED)}")
    return frozenset(words)


def settling(given: Settings, arguments: Arguments) -> Callable[[Plan], Plan]:
    """Gives a plan what the flags say of every stage: --env, --unsetenv and --allow."""
    allow = allowed(arguments.allow) | ({"network.host"} if arguments.network != "none" else set())
    env = {}
    for word in arguments.env:
        name, equals, value = word.partition("=")
        if not name:
            raise UsageError(f"--env {word!r} has no name", hint="write NAME=VALUE or NAME")
        if equals or name in given.environment:
            env[name] = value if equals else given.environment[name]
    allow = frozenset(allow)
    return lambda planned: planned.replace(env=env, unset=arguments.unsetenv, allow=allow)


def build_arg_words(paths: Sequence[str]) -> Iterator[str]:
    """The variables in --build-arg-file, as --build-arg would have them."""
    from rootless.cli import files

    for path in paths:
        text = files.read(path).decode(errors="surrogateescape")
        for number, line in enumerate(text.split("\n"), 1):
            word = line.strip()
            if not word or word.startswith("#"):
                continue
            if "=" not in word:
                raise UsageError(f"{path}:{number}: {word!r} is not NAME=VALUE")
            yield word


def _warn_of_limits(arguments: Arguments) -> None:
    flags = [f"--{field.replace('_', '-')}" for field in _LIMITS if getattr(arguments, field)]
    if flags:
        print(
            f"warning: {', '.join(flags)}: an ordinary user has no cgroup to limit here, so "
            "commands run without it",
            file=sys.stderr,
        )


def _secrets(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, bytes]:
    """docker's --secret: id=, and src= (a file) or env=; without both a variable or file `id`."""
    return dict(_secret(word, environment) for word in words)


def _secret(word: str, environment: Mapping[str, str]) -> tuple[str, bytes]:
    values = _fields("--secret", word, ("type", "id", "source", "src", "env"))
    kind, name = values.get("type", ""), values.get("id", "")
    path, variable = values.get("source", values.get("src", "")), values.get("env", "")
    if kind not in ("", "file", "env"):
        raise UsageError(f'unsupported secret type "{kind}"', hint="it is file or env")
    if not name:
        raise UsageError(f"--secret {word!r} has no id", hint="write --secret id=NAME,src=FILE")
    if kind == "env" and not variable:
        path, variable = "", path
    if not (path or variable):
        is_variable = name in environment and kind != "file"
        path, variable = ("", name) if is_variable else (name, "")
    if variable:
        if variable not in environment:
            print(f"warning: secret {name}: there is no variable {variable}", file=sys.stderr)
        return name, os.fsencode(environment.get(variable, ""))
    return name, _content(name, path)


def _content(name: str, path: str) -> bytes:
    from rootless.cli import files

    try:
        content = files.read(path)
    except NotFoundError as error:
        raise NotFoundError(f"secret {name}: {error.message}", hint=error.hint) from None
    if len(content) > _MOST_OF_A_SECRET:
        raise RootlessError(f"secret {name} too big. max size {_MOST_OF_A_SECRET >> 10}KiB")
    return content


def _agents(words: Sequence[str], given: Settings) -> dict[str, str]:
    """docker's --ssh: ID[=SOCKET|KEY,…]; the sockets by id."""
    found: dict[str, str] = {}
    for word in words:
        name, _, place = word.partition("=")
        if not name:
            raise UsageError(f"--ssh {word!r} has no id", hint="write --ssh default")
        if name in found:
            raise UsageError(f'duplicate agent ID "{name}"')
        found[name] = _agent(name, place, given)
    return found


def _agent(name: str, place: str, given: Settings) -> str:
    path = place or given.environment.get("SSH_AUTH_SOCK", "")
    if not path:
        raise RootlessError(
            f"--ssh {name}: there is no ssh agent: SSH_AUTH_SOCK is not set",
            hint='start one: eval "$(ssh-agent)" && ssh-add; or name a key: --ssh default=FILE',
        )
    try:
        mode = os.stat(path.partition(",")[0]).st_mode
    except OSError as error:
        raise NotFoundError(f"--ssh {name}: {path}: {error.strerror}") from None
    if stat.S_ISSOCK(mode):
        return os.path.abspath(path)
    return _key_agent(path.split(","), given)


def _key_agent(paths: list[str], given: Settings) -> str:
    """The socket of an ssh-agent, started for these keys, that ends with this process."""
    import tempfile

    from rootless import programs
    from rootless.build.carry.agents import KeyAgent
    from rootless.cli import files

    keys = [(path, files.read(path)) for path in paths]
    path = given.environment.get("PATH", "")
    agent, add = programs.find("ssh-agent", path), programs.find("ssh-add", path)
    if not (agent and add):
        raise RootlessError(
            "key files are served by ssh-agent, which is not installed",
            hint="install openssh-client, or give the socket of an agent: --ssh default=SOCKET",
        )
    with tempfile.TemporaryDirectory(prefix="rootless-ssh-") as folder:
        return KeyAgent(agent, add, keys, folder).socket


def _host(text: str) -> tuple[str, str]:
    from rootless.cli import run_flags
    from rootless.network.choice import Choice

    return run_flags.host_line(text, Choice("host"))


def _resolver(arguments: Arguments) -> str | None:
    """What resolv.conf says; None for this machine's."""
    from rootless.cli import run_flags
    from rootless.network import dns

    servers, search, options = arguments.dns, arguments.dns_search, arguments.dns_option
    if not (servers or search or options):
        return None
    addresses = tuple(map(run_flags.address, servers)) if servers != ("none",) else ()
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="surrogateescape") as file:
            host = "" if servers == ("none",) else file.read()
    except OSError:
        host = ""
    said = {"search": " ".join(search), "options": " ".join(options)}
    lines = [line for line in host.splitlines() if not said.get(line.partition(" ")[0])]
    lines += [f"{word} {values}" for word, values in said.items() if values]
    text = "".join(f"{line}\n" for line in lines)
    return dns.resolv_conf(text, "", addresses) if addresses else text


def _size(flag: str, text: str) -> int:
    from rootless.build.plan.mounts import size_of

    size = size_of(text)
    if not size:
        raise UsageError(f"{flag} {text!r} is not a size", hint="write it as in 64m or 1g")
    return size


def _volumes(words: Sequence[str]) -> list[Operation]:
    from rootless.cli import run_mounts
    from rootless.container import mounts

    volumes = tuple(map(run_mounts.volume, words))
    for one, word in zip(volumes, words, strict=True):
        if one.kind != "bind" or "O" in one.options:
            raise UsageError(
                f"--volume {word!r}: a build has no volumes",
                hint="give a directory: -v ./DIR:/PATH",
            )
    if missing := mounts.missing(volumes):
        raise NotFoundError(f"{missing[0]}, which --volume names, is not there")
    return list(map(mounts.bind, volumes))


def _devices(words: Sequence[str]) -> list[Operation]:
    if not words:
        return []
    from rootless.sandbox import hardware

    return [bind for word in words for bind in hardware.of_flag(word).binds]


def _fields(flag: str, word: str, known: tuple[str, ...]) -> dict[str, str]:
    from rootless import nearest
    from rootless.dockerfile.flags import fields

    values = {}
    for field in fields(word):
        key, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"{flag}: invalid field '{field}' must be a key=value pair")
        if key.lower() not in known:
            hint = nearest.hint(key.lower(), known) or f"the keys are {', '.join(known)}"
            raise UsageError(f"{flag}: unexpected key '{key}' in '{field}'", hint=hint)
        values[key.lower()] = value
    return values


def debug_shell(display: BuildDisplay) -> Callable[[Callable[[int], Spec]], None]:
    """What is done where a command fails: a shell on the terminal, in the command's place."""

    def look_around(make: Callable[[int], Spec]) -> None:
        display.rest()
        if not (os.isatty(0) and os.isatty(1)):
            print("no shell is opened: there is no terminal to type on", file=sys.stderr)
            return
        from rootless.container import terminal
        from rootless.sandbox.spawn import spawn

        print("a shell where the command failed; Ctrl-D leaves it", file=sys.stderr)
        streams = terminal.Own(interactive=True, tell=_say)
        child = spawn(make(streams.terminal_fd))
        streams.start()
        try:
            child.await_exec()
        except RootlessError as error:
            print(f"no shell can be opened: {error.message}", file=sys.stderr)
            return
        streams.follow(child)

    return look_around


def _say(text: str) -> None:
    print(text, file=sys.stderr)
