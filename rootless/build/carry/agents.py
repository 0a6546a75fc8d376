"""ssh agents for `RUN --mount=type=ssh`: a socket of our own in front of the user's.

An agent answers only its own user, and would do for a command whatever it asks, such as forgetting
a key. So a process of ours listens on a socket that belongs to whom the mount names, and passes on
two questions: which keys there are, and a signature. Private keys never leave the agent. Key files
are served by an ssh-agent that is started for the build and has its keys in memory.

The process is forked by the builder, is uid 0 of its namespace (the user outside), and ends with
it. A crash leaves sockets in an owned folder of tmp/, nothing else.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from rootless import linux, owners, process
from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILURE = b"\0\0\0\1\x05"
_ALLOWED = (11, 13)  # SSH_AGENTC_REQUEST_IDENTITIES, SSH_AGENTC_SIGN_REQUEST
_LONGEST = 1 << 18  # bytes of a message, as OpenSSH has it
_MOST = 64  # connections at the same time
_PATIENCE = 20  # seconds for an agent to answer


class Door(Record):
    """Where a command reaches the agent behind the socket `agent`: `path` is ours, for it alone."""

    agent: str
    path: str
    mode: int
    uid: int
    gid: int


def open_doors(doors: Sequence[Door]) -> process.Child:
    """Make the sockets, and listen on them in a child until it is killed."""
    listeners = []
    try:
        for door in doors:
            listeners.append((_listen(door), door.agent))
        return process.fork(lambda _: _serve(listeners), "the process between a command and ssh")
    finally:
        for listener, _ in listeners:
            listener.close()


def _listen(door: Door) -> socket:
    """A socket whose name may be longer than an address can be."""
    folder, name = os.path.split(door.path)
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{folder_fd}/{name}")
        owners.give(door.path, door.uid, door.gid)
        os.chmod(door.path, door.mode)
        listener.listen(_MOST)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder_fd)
    return listener


def connect(path: str) -> socket:
    """A connection to a socket, whatever the length of its path; OSError when nobody listens."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        connection.settimeout(_PATIENCE)
        connection.connect(f"/proc/self/fd/{fd}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(fd)
    return connection


def _serve(listeners: list[tuple[socket, str]]) -> None:
    """One question at a time: an agent answers fast, and a command that stalls waits alone."""
    from select import POLLIN, poll

    callers: dict[int, _Caller] = {}
    poller = poll()
    agents = {}
    for listener, agent in listeners:
        listener.settimeout(0)
        agents[listener.fileno()] = (listener, agent)
        poller.register(listener.fileno(), POLLIN)
    while True:
        for fd, _ in poller.poll():
            if fd in agents:
                caller = _accept(*agents[fd], room=_MOST - len(callers))
                if caller:
                    callers[caller.fileno()] = caller
                    poller.register(caller.fileno(), POLLIN)
            elif not callers[fd].hear():
                poller.unregister(fd)
                callers.pop(fd).close()


def _accept(listener: socket, agent: str, *, room: int) -> _Caller | None:
    try:
        fd, _ = listener._accept()  # type: ignore[attr-defined]
    except BlockingIOError:
        return None
    connection = socket(AF_UNIX, SOCK_STREAM, fileno=fd)
    if room <= 0:
        connection.close()
        return None
    return _Caller(connection, agent)


class _Caller:
    """One connection of a command."""

    def __init__(self, connection: socket, agent: str) -> None:
        self._connection = connection
        self._connection.settimeout(_PATIENCE)
        self._agent = agent
        self._heard = bytearray()

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    def hear(self) -> bool:
        """Read what has come, and answer what is complete; False at the end."""
        try:
            piece = self._connection.recv(1 << 16)
            self._heard += piece
            while len(self._heard) >= 4:
                size = int.from_bytes(self._heard[:4], "big")
                if not 0 < size <= _LONGEST:
                    return False
                if len(self._heard) < 4 + size:
                    break
                question = bytes(self._heard[: 4 + size])
                del self._heard[: 4 + size]
                self._connection.sendall(self._answer(question))
        except OSError:
            return False
        return bool(piece)

    def _answer(self, question: bytes) -> bytes:
        if question[4] not in _ALLOWED:
            return _FAILURE
        try:
            agent = connect(self._agent)
        except OSError:
            return _FAILURE
        try:
            agent.sendall(question)
            size = int.from_bytes(_exactly(agent, 4), "big")
            if not 0 < size <= _LONGEST:
                return _FAILURE
            return size.to_bytes(4, "big") + _exactly(agent, size)
        except OSError:
            return _FAILURE
        finally:
            agent.close()


def _exactly(connection: socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = connection.recv(size - len(content))
        if not piece:
            raise ConnectionResetError
        content += piece
    return content


class KeyAgent:
    """An ssh-agent that holds `keys`, (name, content) pairs, and ends with this process.

    Its `socket` has no name any more: it is a descriptor of ours, which forks of ours have too.
    """

    def __init__(
        self, agent: str, add: str, keys: Sequence[tuple[str, bytes]], folder: str
    ) -> None:
        """`agent` and `add` are the programs; `folder` is empty and ours. RootlessError."""
        path = os.path.join(folder, "agent")
        env = {"PATH": "/usr/bin:/bin", "HOME": folder}
        argv = [agent, "-D", "-a", path]
        self._child = process.fork(lambda _: _execute(argv, env), "ssh-agent")
        try:
            self._await(path)
            for name, content in keys:
                _add(add, path, name, content)
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            self.socket = f"/proc/self/fd/{fd}"
            os.unlink(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it; its keys go with it."""
        self._child.kill()

    def _await(self, path: str) -> None:
        """Until it listens, or has ended."""
        from time import sleep

        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        for _ in range(1000):
            try:
                connect(path).close()
            except OSError:
                if os.waitid(os.P_PID, self._child.pid, options):
                    break
                sleep(0.01)
            else:
                return
        raise RootlessError(
            "ssh-agent, which is to serve the keys of --ssh, did not start",
            hint="add the keys to an agent of yours (ssh-add FILE) and give --ssh default",
        )


def _execute(argv: list[str], env: dict[str, str]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.setsid()
    # It is setgid on some systems, and such a program outlives who started it.
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    os.execve(argv[0], argv, env)


def _add(program: str, agent: str, name: str, content: bytes) -> None:
    """Give the agent a key; a question for its passphrase is answered with nothing."""
    import subprocess

    env = {
        "PATH": "/usr/bin:/bin",
        "SSH_AUTH_SOCK": agent,
        "SSH_ASKPASS": "/bin/false",
        "SSH_ASKPASS_REQUIRE": "force",
        "DISPLAY": "none",
    }
    done = subprocess.run(
        [program, "-q", "-"],
        input=content,
        env=env,
        capture_output=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        raise RootlessError(
            f"{name} is no private key that an agent takes without a passphrase",
            hint=f"add it to an agent of yours (ssh-add {name}) and give --ssh default",
        )
