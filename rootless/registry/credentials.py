"""What a login is, and the helpers that keep them: docker-credential-NAME, by docker's protocol.

`get`, `store` and `erase` are their words; what they need and say passes through pipes, never
through a command line. A helper has its time and may say a bounded much. Runs in the calling
process, which has not entered a user namespace: a helper there could not reach the desktop's
keyring.
"""

from __future__ import annotations

import os
import select
import signal
import time

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.record import Record
from rootless.registry.errors import RegistryError, printable

TIMEOUT = 20.0
MAX_OUTPUT = 64 << 10
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_NOT_FOUND = b"credentials not found"
_TOKEN = "<token>"  # the user name that says: the secret is an identity token


class Credentials(Record):
    """A login: user and password, or an identity token which stands for both."""

    username: str
    password: str
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"


class Helper:
    """The helper called `name`, which the file at `path` names."""

    def __init__(self, path: str, name: object) -> None:
        if not isinstance(name, str) or not name or name[0] in ".-" or not _NAME.issuperset(name):
            shown = printable(str(name), 80)
            raise RegistryError(f"{shown!r} in {path} is not the name of a credential helper")
        self._program = f"docker-credential-{name}"

    def get(self, server: str) -> Credentials | None:
        """The login for `server`; None when it knows of nothing."""
        status, output = self._run("get", server, server.encode())
        if status != 0 and _NOT_FOUND in output:
            return None
        try:
            if status != 0:
                raise IntegrityError(f"it exited with status {status}")
            answer = leanjson.loads(output, "its answer")
            user, secret = answer["Username"], answer["Secret"]
            if not isinstance(user, str) or not isinstance(secret, str):
                raise IntegrityError("its answer has no login")
        except (IntegrityError, LookupError, TypeError) as error:
            why = error.message if isinstance(error, IntegrityError) else "its answer has no login"
            raise self._broken(server, why) from None
        return Credentials("", "", secret) if user == _TOKEN else Credentials(user, secret)

    def store(self, server: str, login: Credentials) -> None:
        """Let it keep the login for `server`."""
        token = login.identity_token
        entry = {
            "ServerURL": server,
            "Username": _TOKEN if token else login.username,
            "Secret": token or login.password,
        }
        status, _ = self._run("store", server, leanjson.dumps(entry))
        if status != 0:
            raise self._broken(server, f"it exited with status {status}")

    def erase(self, server: str) -> None:
        """Let it forget the login for `server`, if it has one."""
        status, output = self._run("erase", server, server.encode())
        if status != 0 and _NOT_FOUND not in output:
            raise self._broken(server, f"it exited with status {status}")

    def _run(self, action: str, server: str, request: bytes) -> tuple[int, bytes]:
        """Exit status and output."""
        import subprocess  # 3 ms, and most login files name no helper

        try:
            process = subprocess.Popen(
                [self._program, action],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            why = f"it cannot be started: {error.strerror}"
            raise self._broken(server, why) from None
        assert process.stdin
        assert process.stdout
        try:
            _give(process.stdin.fileno(), request)
            process.stdin.close()
            output = _collect(process.stdout.fileno(), time.monotonic() + TIMEOUT)
            if output is None:
                raise self._broken(server, "it does not finish or says too much")
            return process.wait(timeout=TIMEOUT), output
        except subprocess.TimeoutExpired:
            raise self._broken(server, "it does not finish") from None
        finally:
            process.stdout.close()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _broken(self, server: str, why: str) -> RegistryError:
        return RegistryError(
            f"the credential helper {self._program} for {server} failed: {why}",
            hint="repair it, or take its line out of the login file",
        )


def _give(fd: int, request: bytes) -> None:
    os.set_blocking(fd, False)  # a helper that reads nothing gets what fits into the pipe
    try:
        os.write(fd, request)
    except (BrokenPipeError, BlockingIOError):
        pass  # its exit status tells why


def _collect(fd: int, deadline: float) -> bytes | None:
    """All that comes until the end; None when it comes too late or is too much."""
    output = b""
    while (left := deadline - time.monotonic()) > 0 and len(output) <= MAX_OUTPUT:
        if select.select([fd], [], [], left)[0]:
            chunk = os.read(fd, 4096)
            if not chunk:
                return output
            output += chunk
    return None
