"""RUN: one command in a sandbox on a step's root, its output relayed.

The builder spawns the sandbox, with no input and with one pipe for both outputs, and reads that
to its end; with process 1 of the sandbox everything in it dies. Networks are the host's or none.
"""

from __future__ import annotations

import os
import select

from rootless import runspec
from rootless.sandbox import caps, seccomp
from rootless.sandbox.operations import Bind
from rootless.sandbox.spawn import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.carry.layering import Finisher
    from rootless.build.plan.actions import RunCommand
    from rootless.roots import Root
    from rootless.sandbox.spec import Spec
    from rootless.userns import IdMap

_CHUNK = 1 << 16
_NAMES = ("/etc/resolv.conf", "/etc/hosts")


class Runner:
    """Runs the commands of one build; the system call filter is compiled once."""

    def __init__(self, ids: IdMap, network: str) -> None:
        self._ids = ids
        self._network = network
        self._filter = seccomp.program(os.uname().machine, caps.DEFAULT)

    def run(
        self,
        command: RunCommand,
        root: Root,
        relay: Callable[[bytes], None],
        finisher: Finisher,
    ) -> int:
        """The exit status; `relay` gets the output.

        Layers that `finisher` has packed meanwhile are published: however long the command runs,
        what was done before it is in the cache.
        """
        spec = self._spec(command, root)
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

    def _spec(self, command: RunCommand, root: Root) -> Spec:
        network = self._network if command.network == "default" else command.network
        own_network = network == "none"
        env = {**command.hidden, **command.env}
        process = runspec.Process(
            command.argv, env, command.cwd, command.user, seccomp=self._filter
        )
        mounts = (*_name_service(own_network=own_network), *_script(command, root.writable))
        return runspec.build_step(self._ids, root, process, mounts, own_network=own_network)


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


def _name_service(*, own_network: bool) -> list[Bind]:
    """With the host's network a command looks names up as the host does."""
    if own_network:
        return []
    why = "names are looked up as on this machine"
    return [Bind(path, path, read_only=True, why=why) for path in _NAMES if os.path.exists(path)]


def _script(command: RunCommand, folder: str) -> list[Bind]:
    """A `#!` heredoc as an executable file at the path that the command names."""
    if command.script is None:
        return []
    os.mkdir(f"{folder}/scripts")
    path = f"{folder}/scripts/script"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755)
    with open(fd, "wb") as file:
        file.write(command.script.encode("utf-8", "surrogateescape"))
    return [Bind(path, command.argv[0], read_only=True, why="the script of a heredoc")]
