"""From a request to a container that runs in the foreground, and to nothing when it is done.

Runs in the CLI process, which is uid 0 of its user namespace, has one thread, and is the parent
of the container's supervisor. Whatever kills this process kills the container; its directory is
then swept by the next command.
"""

from __future__ import annotations

import os
import time

from rootless import roots, runspec
from rootless.container import asked, foreground, records
from rootless.container.spec import Container
from rootless.errors import RootlessError
from rootless.network import choice, dns
from rootless.oci.config import DEFAULT_PATH, encode_run
from rootless.record import Record
from rootless.sandbox import spawn
from rootless.sandbox.operations.tree import Bind, Files, Tmpfs
from rootless.store import skeleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.container.request import Request
    from rootless.container.streams import Streams
    from rootless.container.terminal import Channel
    from rootless.network.attachment import Attachment
    from rootless.oci.config import ImageConfig
    from rootless.sandbox.spawn import Child
    from rootless.sandbox.spec import Spec
    from rootless.store import Store
    from rootless.store.ready import Ready
    from rootless.userns import IdMap

_OWN_NETWORK = frozenset({"none", *choice.PACKAGES})


class Source(Record):
    """Where a container comes from: an image of the store with all its layers."""

    store: Store
    image: Ready


def run(
    source: Source,
    ids: IdMap,
    request: Request,
    tell: Callable[[str], object],
    show: Callable[[Spec], None] | None = None,
) -> int:
    """Run the container to its end; its exit status.

    `tell` is given what the user should know meanwhile, `show` the plan before it happens.

    RootlessError, with docker's exit code, when it cannot be started; then nothing is left.
    """
    container = _record(source, request)
    skeleton.path(source.store)
    home = records.create(source.store, container)
    status = None
    try:
        if request.cidfile:
            _write_cidfile(request.cidfile, container.id)
        status = _run(source, ids, request, home, container, tell, show)
    finally:
        if status is None:
            home.discard()
        else:
            home.finish(container, status, time.time())
    return status


def plan(
    source: Source,
    ids: IdMap,
    request: Request,
    home: str,
    hostname: str,
    await_fd: int = 0,
    terminal_fd: int = 0,
) -> Spec:
    """The container's sandbox, with its writable layer in `home`. Nothing is made yet.

    The descriptors are for whoever carries it out; they matter only where the request has a
    network to await, or a terminal.
    """
    config = source.image.config
    mode = request.network.mode
    process = runspec.Process(
        argv=_argv(request, config),
        env=_environment(request, config, hostname),
        working_dir=_working_dir(request, config),
        user=config.user if request.user is None else request.user,
        capabilities=request.capabilities,
        no_new_privileges=request.no_new_privileges,
        seccomp=request.seccomp,
    )
    connected = mode in choice.PACKAGES
    network = runspec.Network(
        own=mode in _OWN_NETWORK, await_fd=await_fd if connected else -1, provider=mode
    )
    isolation = runspec.Isolation(
        hostname=hostname,
        network=network,
        mounts=(_etc(request, f"{home}/etc", hostname), *request.mounts),
        terminal_fd=terminal_fd if request.terminal else -1,
        read_only=request.read_only,
        own_cgroup=os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
        init=request.init,
    )
    shown = list(source.image.layers)
    bottom = source.store.path("skeleton")
    if shown and not os.path.isdir(bottom):  # a plan before the first container
        bottom = shown.pop()
    root = roots.present(source.store, shown, home, bottom=bottom, volatile=request.remove)
    return runspec.container(ids, root, process, isolation)


def connect_by_hand(request: Request, folder: str) -> tuple[str, ...]:
    """The shell lines that connect a container in `folder` as `run` would; see `byhand`."""
    from rootless.container import byhand

    forward_dns = dns.needs_forwarder(_read("/etc/resolv.conf"))
    return byhand.network(request, folder, forward_dns=forward_dns)


def _record(source: Source, request: Request) -> Container:
    container_id = records.new_id()
    return Container(
        id=container_id,
        name=request.name or ("" if request.remove else _random_name()),
        image=request.image,
        image_id=source.image.id,
        command=_argv(request, source.image.config),
        created=time.time(),
        ports=tuple(str(port) for port in request.ports),
        network=request.network.mode,
        mounts=tuple(one.source for one in request.mounts if isinstance(one, Bind)),
        mount_points=tuple(one.path for one in request.mounts if isinstance(one, Bind | Tmpfs)),
        config=encode_run(configured(request, source.image.config)),
        asked=asked.encode(request, _hostname(request, container_id)),
        remove=request.remove,
    )


def _hostname(request: Request, container_id: str) -> str:
    return request.hostname or container_id[:12]


def _run(
    source: Source,
    ids: IdMap,
    request: Request,
    home: records.Home,
    container: Container,
    tell: Callable[[str], object],
    show: Callable[[Spec], None] | None,
) -> int:
    connected = request.network.mode in choice.PACKAGES
    await_read, await_write = os.pipe() if connected else (-1, -1)
    channel = _channel() if request.terminal else None
    hostname = _hostname(request, container.id)
    terminal_fd = channel.child_fd if channel else -1
    spec = plan(source, ids, request, home.path, hostname, await_read, terminal_fd)
    if show:
        show(spec)
    stdin = 0 if request.interactive else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    streams = None if request.terminal else _streams(stdin)
    child = spawn.spawn(spec, *(streams.stdio if streams else (stdin, 1, 2)))
    foreground.forward_signals(child, tell)
    home.started(child.pid)
    attachment = None
    try:
        if connected:
            os.close(await_read)
            attachment = _connect(request, child)
            attachment.wait_ready()
            _let_go(await_write)
        if streams:
            streams.start()
        status = _follow(child, request, channel, tell)
        if streams:
            streams.finish()
        return status
    except BaseException as error:
        child.kill()
        if isinstance(error, OSError | RootlessError):
            child.await_exec()  # where it failed before us, its own words say why
        child.wait()
        raise
    finally:
        if attachment:
            attachment.stop()


def _streams(stdin: int) -> Streams | None:
    """Copies between pipes and those standard streams that are files of the host, if any."""
    files = frozenset(fd for fd in (stdin, 1, 2) if _is_file(fd))
    if not files:
        return None
    from rootless.container.streams import Streams

    return Streams(stdin, files)


def _is_file(fd: int) -> bool:
    """Whether it has a content on the host: a file, a directory, a disk."""
    try:
        return os.fstat(fd).st_mode & 0o170000 in (0o100000, 0o040000, 0o060000)
    except OSError:  # closed
        return False


def _write_cidfile(path: str, container_id: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RootlessError(
            f"the container's id cannot be written to {path}: {error.strerror}",
            hint="choose a file that does not exist yet",
        ) from None
    os.write(fd, container_id.encode())
    os.close(fd)


def _follow(
    child: Child,
    request: Request,
    channel: Channel | None,
    tell: Callable[[str], object],
) -> int:
    """From the start of the command to its exit status."""
    if channel is None:
        child.await_exec()
        return child.wait()
    from rootless.container import terminal

    master = channel.receive()
    child.await_exec()
    return terminal.converse(child, master, interactive=request.interactive, tell=tell)


def _connect(request: Request, child: Child) -> Attachment:
    from rootless.network import attach

    return attach.start(
        request.network,
        child.pid,
        request.ports,
        forward_dns=dns.needs_forwarder(_read("/etc/resolv.conf")),
        run_dir=request.runtime_dir,
    )


def _let_go(await_fd: int) -> None:
    """Tell the container that its network is there; where it was killed meanwhile, nobody hears."""
    try:
        os.write(await_fd, b"x")
    except BrokenPipeError:
        pass
    os.close(await_fd)


def _channel() -> Channel:
    from rootless.container.terminal import Channel

    return Channel()


def _random_name() -> str:
    from rootless.container.names import random_name

    return random_name()


def configured(request: Request, config: ImageConfig) -> ImageConfig:
    """How the container runs, as an image made of it will say; docker's rules and order."""
    entrypoint, cmd = config.entrypoint, request.command or config.cmd
    if request.entrypoint is not None:
        entrypoint, cmd = request.entrypoint or None, request.command or None
    env = {**request.env, **{k: v for k, v in config.environment.items() if k not in request.env}}
    ports = (f"{one.container_port}/{one.protocol}" for one in request.ports)
    return config.replace(
        user=config.user if request.user is None else request.user,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        entrypoint=entrypoint,
        cmd=cmd,
        working_dir=request.working_dir or config.working_dir,
        exposed_ports=tuple(dict.fromkeys((*config.exposed_ports, *ports))),
        shell=(),
        onbuild=(),
    )


def _argv(request: Request, config: ImageConfig) -> tuple[str, ...]:
    """Docker's rule: an entrypoint of the user's own drops the image's CMD."""
    if request.entrypoint is not None:
        argv = (*request.entrypoint, *request.command)
    else:
        argv = (*(config.entrypoint or ()), *(request.command or config.cmd or ()))
    if not argv:
        raise RootlessError(
            "no command is given, and the image has none",
            hint=f"write one: rootless run {request.image} COMMAND",
        )
    return argv


def _environment(request: Request, config: ImageConfig, hostname: str) -> dict[str, str]:
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if request.terminal:
        env["TERM"] = "xterm"
    return {**env, **config.environment, **request.env}


def _working_dir(request: Request, config: ImageConfig) -> str:
    path = request.working_dir or config.working_dir or "/"
    if not path.startswith("/"):
        raise RootlessError(
            f"the working directory {path!r} is not an absolute path",
            hint="begin it with / : it is a path inside the container",
        )
    return path


def _etc(request: Request, folder: str, hostname: str) -> Files:
    """hostname, hosts and resolv.conf of the container's own, in /etc."""
    contents = (
        ("/etc/hostname", f"{hostname}\n"),
        ("/etc/hosts", dns.hosts(hostname, extra=request.hosts)),
        ("/etc/resolv.conf", _resolv_conf(request)),
    )
    return Files(folder, contents)


def _resolv_conf(request: Request) -> str:
    """The host's, less what cannot be reached from a network of one's own."""
    host, mode = _read("/etc/resolv.conf"), request.network.mode
    if mode == "none":
        return ""
    forwarder = ""
    if mode in choice.PACKAGES and dns.needs_forwarder(host):
        from rootless.network import attach

        forwarder = attach.FORWARDERS[mode]
    elif mode == "host" and not request.dns:
        return host
    return dns.resolv_conf(host, forwarder, request.dns)


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(1 << 16).decode(errors="replace")
    except OSError:
        return ""
