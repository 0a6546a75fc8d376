"""The last operation of a sandbox that has neither a root of its own nor mounts: proot(1).

proot traces a command and all that it starts, and looks up each of their paths in a tree. Who they
are, and that they may give files away, is make-believe. It is no barrier: what wants to see the
rest of the machine does. Runs in the child; proot and what it traces are ended by the supervisor.
"""

from __future__ import annotations

import errno
import os

from rootless import inroot
from rootless.sandbox import accounts
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.privileges import Execute
from rootless.sandbox.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

SHOWN = ("/proc", "/dev", "/sys")
"""What is seen of this machine as it is."""
_SHOWN = 200  # of a command's name in an error


class Proot(Execute):
    """Become `argv`, below `program`, in the directory `tree`."""

    program: str = "proot"
    tree: str = "."

    call = "execve(2), ptrace(2)"

    def describe(self) -> str:
        command = " ".join(quote(word) for word in self.argv)
        return f"become the command, below proot, which looks up its paths in the tree: {command}"

    def shell(self) -> tuple[str, ...]:
        env = " ".join(quote(f"{name}={value}") for name, value in self.env.items())
        words = " ".join(quote(word) for word in (*self._options(0, 0), *self.argv))
        return (f"exec env -i {env} {words}",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        root_fd = os.open(self.tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        account = accounts.resolve(self.user, root_fd)
        env = dict(self.env)
        env.setdefault("HOME", account.home)
        self._check(root_fd, env.get("PATH", ""))
        os.umask(self.umask)
        words = (*self._options(account.uid, account.gid), *self.argv)
        os.execve(self.program, words, env)

    def _options(self, uid: int, gid: int) -> tuple[str, ...]:
        shown = (word for path in SHOWN for word in ("-b", path))
        who = ("-i", f"{uid}:{gid}")
        return (self.program, "-v", "-1", "-r", self.tree, *shown, "-w", self.working_dir, *who)

    def _check(self, root_fd: int, folders: str) -> None:
        """SandboxError, with docker's words and codes, where the command is not to be found."""
        name = self.argv[0]
        if "/" not in name:
            places = [f"{folder or '.'}/{name}" for folder in folders.split(":")]
            if not any(self._errno(root_fd, path) == 0 for path in places):
                raise SandboxError(
                    f"exec: {name[:_SHOWN]!r}: executable file not found in $PATH",
                    hint=f"PATH is {self.env.get('PATH', 'not set')}",
                    exit_code=127,
                )
        elif number := self._errno(root_fd, name):
            raise SandboxError(
                f"exec: {name[:_SHOWN]!r}: {os.strerror(number)}",
                exit_code=126 if number == errno.EACCES else 127,
            )

    def _errno(self, root_fd: int, path: str) -> int:
        """Why a path of the tree cannot be executed; 0 where it can."""
        try:
            fd = inroot.open_path(root_fd, os.path.join(self.working_dir, path))
        except OSError as error:
            return error.errno or errno.ENOENT
        mode = os.fstat(fd).st_mode
        os.close(fd)
        return 0 if mode & 0o170000 == 0o100000 and mode & 0o111 else errno.EACCES
