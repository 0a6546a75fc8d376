"""The flags of `run` as a value: docker's spellings checked and understood."""

from __future__ import annotations

import os
import sys

from rootless.container.request import Request
from rootless.errors import RootlessError, UsageError
from rootless.network import choice, ports
from rootless.sandbox import caps
from rootless.sandbox.operations.tree import Bind, Tmpfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.network.choice import Choice
    from rootless.sandbox.spec import Operation

_VOLUME_WORDS = frozenset({"ro", "rw", "z", "Z", "rprivate", "private"})
_MAX_HOSTNAME = 64
GATEWAY = "host-gateway"


def read(given: Settings, arguments: Arguments) -> Request:
    """The request that the flags make. UsageError or RootlessError names the one that is wrong."""
    network = _network(given, arguments)
    hosts = tuple(host_line(text, network) for text in arguments.add_host)
    _check_terminal(arguments)
    capabilities = caps.chosen(arguments.cap_add, arguments.cap_drop)
    options = security_options(arguments.security_opt)
    return Request(
        image=arguments.image,
        network=network.replace(reaches_host=any(GATEWAY in text for text in arguments.add_host)),
        runtime_dir=given.runtime_dir,
        command=tuple(arguments.command),
        entrypoint=_entrypoint(arguments.entrypoint),
        env=_environment(given, arguments),
        working_dir=arguments.workdir or "",
        user=arguments.user,
        name=arguments.name or "",
        hostname=_hostname(arguments.hostname),
        ports=_ports(arguments, network),
        mounts=_mounts(arguments),
        hosts=hosts,
        dns=tuple(map(address, arguments.dns)),
        remove=arguments.rm,
        read_only=arguments.read_only,
        init=arguments.init,
        interactive=arguments.interactive,
        terminal=arguments.tty,
        capabilities=capabilities,
        no_new_privileges="no-new-privileges" in options,
        seccomp=b"" if "unconfined" in options else _filter(capabilities),
        cidfile=arguments.cidfile or "",
    )


def _network(given: Settings, arguments: Arguments) -> Choice:
    search_path = given.environment.get("PATH", "")
    network = choice.choose(arguments.network or "", search_path, tun=choice.has_tun())
    if network.note and not arguments.quiet:
        print(f"note: {network.note}", file=sys.stderr)
    return network


def _ports(arguments: Arguments, network: Choice) -> tuple[ports.PortMapping, ...]:
    mappings = tuple(one for text in arguments.publish for one in ports.parse(text))
    if not mappings:
        return ()
    if network.mode == "none":
        raise UsageError(
            "ports cannot be published with --network none",
            hint="leave out --network, or -p",
        )
    if network.mode == "host":
        print("note: with --network host, published ports are ignored", file=sys.stderr)
        return ()
    return ports.claim(mappings)


def _check_terminal(arguments: Arguments) -> None:
    if arguments.tty and arguments.interactive and not os.isatty(0) and not arguments.dry_run:
        raise RootlessError(
            "the input device is not a TTY", hint="leave out -t when the input is a pipe or file"
        )


def _entrypoint(text: str | None) -> tuple[str, ...] | None:
    """One word, as docker has it; the empty string resets the image's."""
    if text is None:
        return None
    return (text,) if text else ()


def _environment(given: Settings, arguments: Arguments) -> dict[str, str]:
    """The files first, then -e, later ones winning; a bare NAME is the caller's, if set."""
    env: dict[str, str] = {}
    for text in (*_env_lines(arguments.env_file), *arguments.env):
        name, equals, value = text.partition("=")
        if not name:
            raise UsageError(f"{text!r} is not an environment variable", hint="write -e NAME=VALUE")
        if equals:
            env[name] = value
        elif name in given.environment:
            env[name] = given.environment[name]
    return env


def _env_lines(paths: tuple[str, ...]) -> Iterator[str]:
    from rootless.cli import files

    for path in paths:
        for number, line in enumerate(
            files.read(path).decode(errors="surrogateescape").split("\n"), 1
        ):
            stripped = line.lstrip()
            if not stripped or stripped.startswith("#"):
                continue
            if " " in stripped.partition("=")[0].rstrip("\r"):
                raise UsageError(f"{path}:{number}: a variable's name holds a blank: {stripped!r}")
            yield stripped.rstrip("\r")


def _hostname(name: str | None) -> str:
    if name and (len(name) > _MAX_HOSTNAME or not name.replace("-", "").replace(".", "").isalnum()):
        raise UsageError(
            f"{name!r} is not a host name", hint="use at most 64 letters, digits, '-' and '.'"
        )
    return name or ""


def _mounts(arguments: Arguments) -> tuple[Bind | Tmpfs, ...]:
    """Outer ones before those inside them. Docker's words for two on one target.

    As docker does, the same -v twice counts once, and of two tmpfs on one target the last.
    """
    targets: dict[str, Bind | Tmpfs] = {}
    for one in map(volume, dict.fromkeys(arguments.volume)):
        _claim(targets, one)
    for tmpfs in {os.path.normpath(one.path): one for one in map(_tmpfs, arguments.tmpfs)}.values():
        _claim(targets, tmpfs)
    return tuple(targets[path] for path in sorted(targets, key=lambda path: path.count("/")))


def _claim(targets: dict[str, Bind | Tmpfs], one: Bind | Tmpfs) -> None:
    target = os.path.normpath(one.path)
    if target in targets:
        raise RootlessError(f"Duplicate mount point: {target}", hint="mount one thing on one place")
    targets[target] = one


def missing_sources(mounts: tuple[Operation, ...]) -> tuple[str, ...]:
    """What is to be mounted and is not there."""
    sources = (one.source for one in mounts if isinstance(one, Bind))
    return tuple(path for path in sources if not os.path.exists(path))


def make_sources(mounts: tuple[Operation, ...]) -> None:
    """A directory that is to be mounted and missing is made, as by docker."""
    for path in missing_sources(mounts):
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise RootlessError(
                f"{path} does not exist and cannot be made: {error.strerror}",
                hint="give a directory or file that is there",
            ) from None


def volume(text: str) -> Bind:
    """`SRC:DST[:OPTIONS]` with a path as SRC."""
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    words = frozenset(options.split(",")) if options else frozenset()
    if text.startswith("/") and not rest:
        raise UsageError(
            f"volumes without a name are not there yet: {text!r}",
            hint=f"give a directory: -v ./DIR:{text}; or memory: --tmpfs {text}",
        )
    if not target.startswith("/") or not words <= _VOLUME_WORDS:
        raise UsageError(
            f"{text!r} is not a volume", hint="write -v SOURCE:/PATH/IN/CONTAINER[:ro]"
        )
    _check_below_root(target)
    if not source.startswith(("/", ".", "~")):
        raise UsageError(
            f"named volumes are not there yet: {source!r}",
            hint=f"give a directory: -v ./{source or 'DIR'}:{target}",
        )
    path = os.path.abspath(os.path.expanduser(source))
    return Bind(path, target, read_only="ro" in words)


def _check_below_root(path: str) -> None:
    if os.path.normpath(path) in ("/", "//"):
        raise UsageError(
            "nothing can be mounted on the container's root itself", hint="name a directory in it"
        )


def _tmpfs(text: str) -> Tmpfs:
    """`PATH[:OPTIONS]`; options go to the kernel but for the flags it takes separately."""
    from rootless import linux

    path, _, options = text.partition(":")
    if not path.startswith("/"):
        raise UsageError(f"{text!r} is not a tmpfs", hint="write --tmpfs /PATH[:size=64m,mode=700]")
    _check_below_root(path)
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    rest = []
    words = {"exec": linux.MS_NOEXEC, "suid": linux.MS_NOSUID, "dev": linux.MS_NODEV}
    for word in filter(None, options.split(",")):
        if word in words:
            flags &= ~words[word]
        elif word == "ro":
            flags |= linux.MS_RDONLY
        elif word not in ("rw", "noexec", "nosuid", "nodev"):
            rest.append(word)
    return Tmpfs(path, ",".join(rest), flags)


def address(text: str) -> str:
    """An IP address, as a resolver's must be."""
    if not _is_address(text):
        raise UsageError(f"{text!r} is not an IP address", hint="write --dns 9.9.9.9")
    return text


def _is_address(text: str) -> bool:
    import _socket

    try:
        _socket.inet_pton(_socket.AF_INET6 if ":" in text else _socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def host_line(text: str, network: Choice) -> tuple[str, str]:
    """(address, name) of `NAME:ADDRESS` or `NAME=ADDRESS`; IPv6 may stand in brackets."""
    name, separator, address = text.partition("=" if "=" in text else ":")
    wrong = ""
    if address == GATEWAY:
        from rootless.network import gateway

        address = gateway.address(network.mode)
    if not separator or not name or not name.isprintable():
        wrong = f'bad format for add-host: "{text}"'
    elif not _is_address(address := address[1:-1] if address[:1] == "[" else address):
        wrong = f'invalid IP address in add-host: "{address}"'
    if wrong:
        raise UsageError(
            f'invalid argument "{text}" for "--add-host" flag: {wrong}',
            hint=f"write --add-host NAME:ADDRESS, or NAME:{GATEWAY} for this machine",
        )
    return address, name


def security_options(texts: tuple[str, ...]) -> frozenset[str]:
    """The words that matter: no-new-privileges, unconfined."""
    found = set()
    for text in texts:
        name, _, value = text.replace("=", ":", 1).partition(":")
        if name == "no-new-privileges" and value in ("", "true", "false"):
            found |= {name} if value != "false" else set()
        elif (name, value) == ("seccomp", "unconfined"):
            found.add("unconfined")
        elif (name, value) not in (("label", "disable"), ("apparmor", "unconfined")):
            raise UsageError(
                f"unknown security option: {text}",
                hint="there are no-new-privileges and seccomp=unconfined",
            )
    return frozenset(found)


def _filter(capabilities: frozenset[str]) -> bytes:
    from rootless.sandbox import seccomp

    return seccomp.program(os.uname().machine, capabilities)
