"""RUN: one command in a sandbox on a step's root, its output relayed.

The builder spawns the sandbox, with no input and with one pipe for both outputs, and reads that
to its end; with process 1 of the sandbox everything in it dies. Networks are the host's or none.
What a command is given besides (mounts, secrets) `mounts` has made ready before.
"""

from __future__ import annotations

import os
import select

from rootless import runspec
from rootless.sandbox import caps, seccomp
from rootless.sandbox.operations.tree import Bind
from rootless.sandbox.privileges import Execute
from rootless.sandbox.spawn import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rootless.build.carry.layering import Finisher
    from rootless.build.plan.actions import RunCommand
    from rootless.build.request import Surroundings
    from rootless.roots import Root
    from rootless.sandbox.spec import Operation, Spec
    from rootless.userns import IdMap

_CHUNK = 1 << 16
_HOSTS = "127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_RESOLVER = "/etc/resolv.conf"


class Furnished:
    """The mounts of one command. `operations` are for its sandbox, `env` is what they add."""

    def __init__(self, root: Root) -> None:
        """`root` is the tree that the command changes."""
        self.operations: tuple[Operation, ...] = ()
        self.env: dict[str, str] = {}
        self._closers: list[Callable[[], object]] = []
        self._watching: list[Callable[[], object]] = []
        self._folder = root.writable
        self._caught = root.caught

    @property
    def record(self) -> str:
        """The file that lists the mount points which were made."""
        return f"{self._folder}/mounts/made"

    def at_end(self, close: Callable[[], object]) -> None:
        """To be called by `close`, the last first."""
        self._closers.append(close)

    def watch(self, look: Callable[[], object]) -> None:
        """To be called by `close` while everything is still there."""
        self._watching.append(look)

    def release(self) -> None:
        """Let go of all; no command uses it."""
        try:
            while self._closers:
                self._closers.pop()()
        finally:
            if self._closers:
                self.release()

    def close(self) -> None:
        """Look what has changed, let go, take the mount points out of the layer; the command has
        ended.
        """
        try:
            for look in self._watching:
                look()
        finally:
            self.release()
        if self.operations:
            from rootless.sandbox.mountpoints import remove

            remove(self.record, self._caught)


class Runner:
    """Runs the commands of one build; the system call filter is compiled once."""

    def __init__(self, ids: IdMap, network: str, given: Surroundings, hostname: str) -> None:
        self._ids = ids
        self._network = network
        self._given = given
        self._hostname = hostname
        self._keep = caps.DEFAULT if given.capabilities is None else given.capabilities
        confined = given.seccomp
        self._filter = seccomp.program(os.uname().machine, self._keep) if confined else b""

    def run(
        self,
        command: RunCommand,
        root: Root,
        furnished: Furnished,
        relay: Callable[[bytes], None],
        finisher: Finisher,
    ) -> int:
        """The exit status; `relay` gets the output.

        Layers that `finisher` has packed meanwhile are published: however long the command runs,
        what was done before it is in the cache.
        """
        spec = self.spec(command, root, furnished)
        read_fd, write_fd = os.pipe()
        null_fd = os.open(os.devnull, os.O_RDONLY)
        try:
            child = spawn(spec, null_fd, write_fd, write_fd)
        finally:
            os.close(null_fd)
            os.close(write_fd)
        try:
            child.await_exec()
            try:
                _relay(read_fd, relay, finisher)
            except BaseException:
                child.kill()
                child.wait()
                raise
            return child.wait()
        finally:
            os.close(read_fd)

    def shell(
        self, command: RunCommand, root: Root, furnished: Furnished, terminal_fd: int
    ) -> Spec:
        """The sandbox that a command had, as it left it, with a shell on a terminal."""
        root.again()
        spec = self.spec(command, root, furnished, terminal_fd)
        *others, last = spec.operations
        assert isinstance(last, Execute)
        env = {"TERM": "xterm", **last.env}
        return spec.replace(operations=(*others, last.replace(argv=("/bin/sh",), env=env)))

    def spec(
        self, command: RunCommand, root: Root, furnished: Furnished, terminal_fd: int = -1
    ) -> Spec:
        """The sandbox of a command; the files it needs are made in the root's folder."""
        network = self._network if command.network == "default" else command.network
        process = runspec.Process(
            command.argv,
            {**command.env, **command.hidden, **furnished.env},
            command.cwd,
            command.user,
            capabilities=caps.ALL if command.insecure else self._keep,
            no_new_privileges=self._given.no_new_privileges and not command.insecure,
            seccomp=b"" if command.insecure else self._filter,
            limits=self._given.limits,
            owns_working_dir=True,
        )
        isolation = runspec.Isolation(
            self._hostname,
            runspec.Network(own=network == "none"),
            (*self._files(command, network, root.writable), *furnished.operations),
            terminal_fd=terminal_fd,
            shm_size=self._given.shm_size,
            masked=() if command.insecure else runspec.MASKED,
            protected=() if command.insecure else runspec.READ_ONLY,
        )
        return runspec.build_step(self._ids, root, process, isolation)

    def _files(self, command: RunCommand, network: str, folder: str) -> Iterator[Bind]:
        """Small files of the builder's own, over the image's."""
        os.makedirs(f"{folder}/etc", exist_ok=True)
        if self._given.hosts is not None:
            lines = (f"{address}\t{name}\n" for address, name in self._given.hosts)
            hosts = "".join((_HOSTS.format(self._hostname), *lines))
            why = "this machine's loopback, and the names of --add-host"
            yield _file(f"{folder}/etc/hosts", hosts, "/etc/hosts", why)
        why = "names are looked up as on this machine"
        if self._given.resolver is not None:
            why = "names are looked up as --dns says"
            yield _file(f"{folder}/etc/resolv.conf", self._given.resolver, _RESOLVER, why)
        elif network != "none" and os.path.exists(_RESOLVER):
            yield Bind(_RESOLVER, _RESOLVER, read_only=True, why=why)
        if command.script is not None:
            why = "the script of a heredoc"
            yield _file(f"{folder}/etc/script", command.script, command.argv[-1], why, mode=0o755)


def _relay(output_fd: int, relay: Callable[[bytes], None], finisher: Finisher) -> None:
    """Until the command and all it started have closed their output."""
    while True:
        poller = select.poll()
        poller.register(output_fd, select.POLLIN)
        if finisher.ready_fd >= 0:
            poller.register(finisher.ready_fd, select.POLLIN)
        ready = [fd for fd, _ in poller.poll()]
        if finisher.ready_fd in ready:
            finisher.publish_ready()
        if output_fd in ready:
            content = os.read(output_fd, _CHUNK)
            if not content:
                return
            relay(content)


def _file(path: str, content: str, target: str, why: str, *, mode: int = 0o644) -> Bind:
    """A file at `path`, made with this content, to be seen at `target`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        file.write(content.encode("utf-8", "surrogateescape"))
    return Bind(path, target, read_only=True, why=why)
