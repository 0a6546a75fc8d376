"""Operations on the process itself: terminal, directory, capabilities, filter, account, exec.

They run in the child after pivot_root, in the order of the list, the last thing before the
container's command. Nothing is imported here any more: a module found now would be the image's.
"""

from __future__ import annotations

import fcntl
import os

from rootless import inroot, linux
from rootless.record import Record
from rootless.sandbox import accounts, caps, trampoline
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.sandbox.newroot import Newroot

_TIOCSCTTY, _TIOCGPTN, _TIOCSPTLCK, _TIOCGPTPEER = 0x540E, 0x80045430, 0x40045431, 0x5441
_SCM_RIGHTS = 1
_SHOWN = 200  # of a command's name in an error


class Terminal(Record):
    """A terminal of the container's own; its other end goes to the parent over a socket."""

    socket_fd: int

    call = "open(2) ptmx, ioctl(2) TIOCGPTPEER TIOCSCTTY"

    def describe(self) -> str:
        return "open a terminal of the container's own, so that nothing inside can type into yours"

    def shell(self) -> tuple[str, ...]:
        return ("# script -q /dev/null gives a shell a terminal of its own",)

    def apply(self, newroot: Newroot) -> None:
        master = inroot.open_path(newroot.fd, "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(master, _TIOCSPTLCK, bytes(4))
        number = int.from_bytes(fcntl.ioctl(master, _TIOCGPTN, bytes(4)), "little")
        slave: int = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
        pts = newroot.file(f"dev/pts/{number}")
        linux.mount(pts, newroot.file("dev/console"), None, linux.MS_BIND)
        self._send(master)
        fcntl.ioctl(slave, _TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        os.close(master)
        newroot.terminal_fd = slave

    def _send(self, master: int) -> None:
        from _socket import AF_UNIX, SOCK_STREAM, SOL_SOCKET, socket

        channel = socket(AF_UNIX, SOCK_STREAM, fileno=self.socket_fd)
        channel.sendmsg([b"t"], [(SOL_SOCKET, _SCM_RIGHTS, master.to_bytes(4, "little"))])
        channel.close()


class WorkingDirectory(Record):
    """Go to `path`, which is made if missing."""

    path: str

    call = "chdir(2)"

    def describe(self) -> str:
        return f"work in {self.path}"

    def shell(self) -> tuple[str, ...]:
        if self.path == "/":
            return ()
        return (f"mkdir -p {quote(self.path.lstrip('/'))}",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
        os.fchdir(inroot.make_directory(root_fd, self.path))


class Bound(Record):
    """Give up for good every capability that is not in `keep`; take a new session keyring."""

    keep: tuple[str, ...]

    call = "prctl(2) PR_CAPBSET_DROP, keyctl(2)"

    def describe(self) -> str:
        return (
            f"give up all of root's powers but {len(self.keep)}: nothing started from here on "
            "can get the others back"
        )

    def shell(self) -> tuple[str, ...]:
        return ("# done by setpriv --bounding-set in the last line",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        linux.join_session_keyring()
        caps.bound(frozenset(self.keep))


class NoNewPrivileges(Record):
    """setuid programs and file capabilities give nothing any more."""

    call = "prctl(2) PR_SET_NO_NEW_PRIVS"

    def describe(self) -> str:
        return "let no program gain powers by exec: setuid bits and file capabilities are ignored"

    def shell(self) -> tuple[str, ...]:
        return ("# done by setpriv --no-new-privs in the last line",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)


class Seccomp(Record):
    """Filter system calls by a BPF program of `struct sock_filter`s."""

    program: bytes

    call = "seccomp(2) SECCOMP_SET_MODE_FILTER"

    def describe(self) -> str:
        return (
            f"filter system calls ({len(self.program) // 8} BPF instructions): those that reach "
            "deep into the kernel and that containers do not need fail with EPERM"
        )

    def shell(self) -> tuple[str, ...]:
        return ("# no shell tool installs a seccomp filter; without it more system calls work",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        linux.seccomp(self.program)


class Become(Record):
    """Become the `user[:group]` of the image, with `keep` as capabilities if that is root."""

    user: str
    keep: tuple[str, ...]

    call = "setgroups(2), setresgid(2), setresuid(2), capset(2)"

    def describe(self) -> str:
        return f"become {self.user or 'root'} of the container, as its own /etc/passwd says"

    def shell(self) -> tuple[str, ...]:
        """$u, $g and $h for the last line: ids and home as the image's own files say."""
        user, _, group = (self.user or "0").partition(":")
        column = "$3" if user.isdecimal() else "$1"
        find = f"awk -F: -v n={quote(user)} '{column} == n' etc/passwd"
        lines = [f"IFS=: read -r _ _ u g _ h _ < <({find})"]
        if user.isdecimal():
            home = "/root" if user == "0" else "/"
            lines.append(f"u={user} g=${{g:-0}} h=${{h:-{home}}}")
        if group.isdecimal():
            lines.append(f"g={group}")
        elif group:
            lines.append(f"g=$(awk -F: -v n={quote(group)} '$1 == n {{print $3}}' etc/group)")
        return tuple(lines)

    def apply(self, newroot: Newroot) -> None:
        root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
        account = accounts.resolve(self.user, root_fd)
        newroot.home = account.home
        if newroot.terminal_fd >= 0:
            os.fchown(newroot.terminal_fd, account.uid, -1)
        try:
            _set_groups(account.groups)
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
        except OSError as error:
            raise SandboxError(
                f"user {self.user} ({account.uid}:{account.gid}) cannot be used here: the id is "
                f"not mapped ({error.strerror})",
                hint="rootless doctor says how many ids you have and how to get more",
            ) from None
        caps.limit(frozenset(self.keep if account.uid == 0 else ()))


class Execute(Record):
    """Become the command: `argv` found on the PATH of `env`, as the last thing ever done here."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: str = "/"
    user: str = ""
    keep: tuple[str, ...] = ()
    no_new_privileges: bool = False

    call = "execve(2)"

    def describe(self) -> str:
        return "become the command: " + " ".join(quote(word) for word in self.argv)

    def shell(self) -> tuple[str, ...]:
        env = " ".join(quote(f"{name}={value}") for name, value in self.env.items())
        bounding = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in self.keep)
        privileges = f"--inh-caps=-all --bounding-set=-all{',' if bounding else ''}{bounding}"
        if self.no_new_privileges:
            privileges += " --no-new-privs"
        command = " ".join(quote(word) for word in self.argv)
        enter = f'--root=. --wd={quote(self.working_dir)} "--setgid=$g" "--setuid=$u"'
        return (
            f'exec env -i HOME="$h" {env} "$(command -v setpriv)" {privileges} '
            f'"$(command -v unshare)" {enter} {command}',
        )

    def apply(self, newroot: Newroot) -> None:
        """What the kernel says of the file itself comes by `trampoline.REPORT_FD`."""
        env = dict(self.env)
        env.setdefault("HOME", newroot.home)
        os.umask(0o022)
        path = self._path(env.get("PATH", ""))
        trampoline.execute(newroot.program_fd, newroot.report_fd, path, self.argv, env)

    def _path(self, folders: str) -> str:
        """The command's file; what is no program is passed over, as docker does."""
        name = self.argv[0]
        if "/" in name:
            return name
        for folder in folders.split(":"):
            path = f"{folder or '.'}/{name}"
            if _is_program(path):
                return path
        raise SandboxError(
            f"exec: {name[:_SHOWN]!r}: executable file not found in $PATH",
            hint="flags of run stand before the image"
            if name.startswith("-")
            else f"PATH is {self.env.get('PATH', 'not set')}",
            exit_code=127,
        )


def _is_program(path: str) -> bool:
    try:
        regular = os.stat(path).st_mode & 0o170000 == 0o100000
    except OSError:
        return False
    return regular and os.access(path, os.X_OK)


def _set_groups(groups: tuple[int, ...]) -> None:
    """Where only one id is mapped, the kernel denies setgroups: there are no others to have."""
    try:
        os.setgroups(groups)
    except PermissionError:
        pass
