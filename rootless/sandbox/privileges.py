"""Operations on the process itself: from its terminal and host name to its account and exec.

They run in the child, most of them after pivot_root, in the order of the list, as the last thing
before the container's command. Nothing is imported here any more: a module found now would be the
image's.
"""

from __future__ import annotations

import errno
import fcntl
import os

from rootless import inroot, linux
from rootless.record import Record
from rootless.sandbox import accounts, caps, trampoline, unseen
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rootless.sandbox.newroot import Newroot

_TIOCGWINSZ, _TIOCSWINSZ = 0x5413, 0x5414
_TIOCSCTTY, _TIOCGPTN, _TIOCSPTLCK, _TIOCGPTPEER = 0x540E, 0x80045430, 0x40045431, 0x5441
_SCM_RIGHTS = 1
KEEP_GROUPS = ("keep-groups",)
_SHOWN = 200  # of a command's name in an error
_READ_INSIDE = (  # a regular file of the image's /etc, its links ending inside, as `inroot` does it
    'text() { "$(PATH=/usr/bin:$PATH command -v python3)" -Ic \'',
    "import os, stat, sys",
    'os.chroot(".")',
    "path = os.path.realpath(sys.argv[1])",
    "try: fd = os.open(path, os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW)",
    "except OSError: sys.exit()",
    "if stat.S_ISREG(os.fstat(fd).st_mode):",
    '    sys.stdout.buffer.write(os.read(fd, 1 << 20))\' "/etc/$1"; }',
)


class Terminal(Record):
    """A terminal of the container's own; its other end goes to the parent over a socket.

    It is /dev/console, too, unless that is another's `console` by now.
    """

    socket_fd: int
    console: bool = True

    call = "open(2) ptmx, ioctl(2) TIOCGPTPEER TIOCSCTTY"

    def describe(self) -> str:
        return "open a terminal of the container's own, so that nothing inside can type into yours"

    def shell(self) -> tuple[str, ...]:
        """script(1) makes a terminal on what is /dev/pts now, and runs the other lines on it."""
        return (
            "mount --rbind dev /dev; export -f within protect",
            "export rest=${inside#*'# on the new terminal'$'\\n'}",
            """SHELL=$(command -v bash) exec script -qec 'exec bash -c "$rest"' /dev/null""",
            "# on the new terminal",
            "touch dev/console; mount --bind dev/pts/0 dev/console",
        )

    def apply(self, newroot: Newroot) -> None:
        master = newroot.master()
        fcntl.ioctl(master, _TIOCSPTLCK, bytes(4))
        number = int.from_bytes(fcntl.ioctl(master, _TIOCGPTN, bytes(4)), "little")
        _copy_size(1, master)  # before anything inside may ask
        slave: int = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
        if self.console:
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


def _copy_size(terminal: int, master: int) -> None:
    try:
        fcntl.ioctl(master, _TIOCSWINSZ, fcntl.ioctl(terminal, _TIOCGWINSZ, bytes(8)))
    except OSError:  # it is no terminal, and has no size to give
        pass


class Join(Record):
    """Go into the container's own cgroup, and, if that is its `own` view, take it for the root."""

    path: str
    own: bool = True

    call = "write(2) cgroup.procs, unshare(2) CLONE_NEWCGROUP"

    def describe(self) -> str:
        return f"join the cgroup {self.path}, whose limits hold for all the container starts"

    def shell(self) -> tuple[str, ...]:
        """The namespace is made before the first line: it shows the cgroup that one was in."""
        return (f"echo $$ > {quote(f'{self.path}/cgroup.procs')}",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        fd = os.open(f"{self.path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"0")
        finally:
            os.close(fd)
        if self.own:
            linux.unshare(linux.CLONE_NEWCGROUP)


class Hostname(Record):
    """Name the container, where the filter of an outer one lets it: podman's own forbids it, though
    it allows namespaces. /etc/hostname tells the name in any case.
    """

    name: str

    call = "sethostname(2)"

    def describe(self) -> str:
        return f"call this container {self.name}: its own uts namespace, the host keeps its name"

    def shell(self) -> tuple[str, ...]:
        return (f"hostname {quote(self.name)}",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        try:
            linux.sethostname(self.name)
        except linux.SyscallError as error:
            if error.errno != errno.EPERM:
                raise


class Loopback(Record):
    """Bring up `lo`, which a new network namespace has down."""

    call = "ioctl(2) SIOCSIFFLAGS"

    def describe(self) -> str:
        return "bring up lo: a new network namespace has nothing but a loopback that is down"

    def shell(self) -> tuple[str, ...]:
        return ("ip link set lo up",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        linux.loopback_up()


class OomScore(Record):
    """How soon the kernel ends this when memory runs out: -1000 (never) to 1000 (first)."""

    score: int

    call = "write(2) /proc/self/oom_score_adj"

    def describe(self) -> str:
        return f"let the kernel weigh it with {self.score} when memory runs out"

    def shell(self) -> tuple[str, ...]:
        return (f"echo {self.score} > /proc/self/oom_score_adj",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        try:
            fd = os.open("/proc/self/oom_score_adj", os.O_RDONLY | os.O_CLOEXEC)
            has = int(os.read(fd, 16))
            os.close(fd)
            if has == self.score:  # as its parent has given it
                return
            fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            os.write(fd, str(self.score).encode())
            os.close(fd)
        except OSError as error:
            raise SandboxError(
                f"--oom-score-adj {self.score} cannot be set: {error.strerror}",
                hint="only the machine's root can make a process safer than it is",
            ) from None


class Await(Record):
    """Wait until the parent says that the network is there; end if it says it is not."""

    fd: int
    what: str

    call = "read(2)"

    def describe(self) -> str:
        return f"wait for {self.what}, which the parent started beside this"

    def shell(self) -> tuple[str, ...]:
        return (f"# {self.what} has connected this network namespace before",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        if not os.read(self.fd, 1):
            os._exit(125)
        os.close(self.fd)


class WorkingDirectory(Record):
    """Go to `path`, which is made if missing, for `owner`: a user of the image, "" for root."""

    path: str
    owner: str = ""

    call = "chdir(2)"

    def describe(self) -> str:
        return f"work in {self.path}"

    def shell(self) -> tuple[str, ...]:
        if self.path == "/":
            return ()
        path = quote(os.path.normpath(self.path).lstrip("/"))
        owned = (f"# what that makes is {quote(self.owner)}'s",) if self.owner else ()
        return (f"within {path}; mkdir -p {path}", *owned)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY)

        def give(fd: int) -> None:
            from rootless import owners  # `runspec` has loaded it

            account = accounts.resolve(self.owner, root_fd)
            made = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            owners.give(made, account.uid, account.gid)
            os.close(made)

        tell = give if self.owner else None
        os.fchdir(inroot.make_directory(root_fd, self.path, tell=tell))


class ChangeDirectory(Record):
    """Go to `path` of a container that runs: it must be there."""

    path: str

    call = "chdir(2)"

    def describe(self) -> str:
        return f"work in {self.path}"

    def shell(self) -> tuple[str, ...]:
        return (f"cd {quote(self.path)}",)

    def apply(self, newroot: Newroot) -> None:
        """By a descriptor that lies in the root: what it is named by may change any moment."""
        try:
            os.fchdir(inroot.open_path(newroot.fd, self.path, os.O_PATH | os.O_DIRECTORY))
        except OSError as error:
            raise SandboxError(
                f"chdir to cwd ({self.path!r}) failed: {error.strerror}",
                hint="name a directory of the container: -w /PATH",
                exit_code=127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126,
            ) from None


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
        return ("# done by the last lines: prctl(24) drops a capability from the bounding set",)

    def apply(self, newroot: Newroot) -> None:  # noqa: ARG002 - an operation's signature
        try:
            linux.join_session_keyring()
        except OSError as error:
            if error.errno != errno.EDQUOT:
                raise
            raise SandboxError(
                "the kernel gives this user no more keyrings: each container and exec has one",
                hint="end some, or raise the limit: sudo sysctl -w kernel.keys.maxkeys=2000",
            ) from None
        caps.bound(frozenset(self.keep))


class NoNewPrivileges(Record):
    """setuid programs and file capabilities give nothing any more."""

    call = "prctl(2) PR_SET_NO_NEW_PRIVS"

    def describe(self) -> str:
        return "let no program gain powers by exec: setuid bits and file capabilities are ignored"

    def shell(self) -> tuple[str, ...]:
        return ("# done by the last lines: prctl(38)",)

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
    """Become the `user[:group]` of the image, with `keep` as capabilities if that is root.

    `groups` are more groups, by the image's names or numbers; KEEP_GROUPS alone is those that the
    caller has on this machine, which have no number inside.
    """

    user: str
    keep: tuple[str, ...]
    groups: tuple[str, ...] = ()

    call = "setgroups(2), setresgid(2), setresuid(2), capset(2)"

    def describe(self) -> str:
        who = f"become {self.user or 'root'} of the container, as its own /etc/passwd says"
        if self.groups == KEEP_GROUPS:
            return f"{who}, and stay in your own groups"
        return f"{who}, in the groups {', '.join(self.groups)} too" if self.groups else who

    def shell(self) -> tuple[str, ...]:
        """$u, $g, $h and $s for the last line: ids, home and groups as the image's files say."""
        user, _, group = (self.user or "0").partition(":")
        column = "$3" if user.isdecimal() else "$1"
        listed = "$3 ~ /^[0-9]+$/ && $4 ~ /^[0-9]+$/"
        nobody = quote(f"the image has no such user or group: {self.user}")
        lines = [
            *_READ_INSIDE,
            "ids() { IFS=: read -r n _ u g _ h _; }",
            f"ids < <(text passwd | awk -F: -v n={quote(user)} \\",
            f"'{column} == n && {listed} && NF > 5 {{print; exit}}')",
        ]
        if user.isdecimal() or user == "root":
            number, home = ("0", "/root") if user in ("0", "root") else (user, "/")
            lines.append(f"u=${{u:-{number}}} g=${{g:-0}} h=${{h:-{home}}}")
        if group.isdecimal():
            lines.append(f"g={group}")
        elif group:
            lines.append(f"g=$(text group | awk -F: -v n={quote(group)} \\")
            lines.append("'$1 == n && $3 ~ /^[0-9]+$/ {print $3; exit}')")
        lines.append(f'[ "$u" -a "$g" ] || {{ echo {nobody} >&2; exit 125; }}')
        lines.append("s=$g h=${h:-/}")
        if not group:
            lines.append('[ -z "$n" ] || s=$g$(text group | n=$n g=$g awk -F: \\')
            lines.append("""'$3 ~ /^[0-9]+$/ && $3 != ENVIRON["g"] && """ "\\")
            lines.append("""index(","$4",", ","ENVIRON["n"]",") {printf ",%s", $3}')""")
        lines += self._more_groups()
        lines.append('[ ! -e dev/console ] || chown "$u" dev/console')
        return tuple(lines)

    def _more_groups(self) -> Iterator[str]:
        if self.groups == KEEP_GROUPS:
            yield "s="
            return
        for group in self.groups:
            if group.isdecimal():
                yield f"s=$s,{group}"
                continue
            yield f"n=$(text group | awk -F: -v n={quote(group)} \\"
            yield "'$1 == n && $3 ~ /^[0-9]+$/ {print $3; exit}')"
            nobody = quote(f"the image has no such group: {group}")
            yield f'[ "$n" ] || {{ echo {nobody} >&2; exit 125; }}; s=$s,$n'

    def apply(self, newroot: Newroot) -> None:
        root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
        account = accounts.resolve(self.user, root_fd)
        newroot.home = account.home
        if newroot.terminal_fd >= 0:
            unseen.give_terminal(newroot.terminal_fd, account.uid)
        try:
            if self.groups != KEEP_GROUPS:
                more = (accounts.group_id(name, root_fd) for name in self.groups)
                unseen.set_groups(
                    tuple(dict.fromkeys((*account.groups, *more))), newroot.answerer_fd
                )
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
    umask: int = 0o022

    call = "execve(2)"

    def describe(self) -> str:
        return "become the command: " + " ".join(quote(word) for word in self.argv)

    def shell(self) -> tuple[str, ...]:
        """In Python: no tool enters a root without powers that the command may not have."""
        new_privileges = ("    prctl(38, 1, 0, 0, 0)",) if self.no_new_privileges else ()
        keep, where = caps.mask(frozenset(self.keep)), quote(self.working_dir)
        umask = (f"umask {self.umask:03o}",) if self.umask != 0o022 else ()
        return (
            *umask,
            'e=(HOME="$h")',
            *(f"e+=({quote(f'{name}={value}')})" for name, value in self.env.items()),
            'exec "$(PATH=/usr/bin:$PATH command -v python3)" -Ic \'',
            "import ctypes, os, sys",
            "def become(keep, where, uid, gid, groups, count, *words):",
            '    env = dict(one.split("=", 1) for one in words[:int(count)])',
            "    argv = words[int(count):]",
            "    prctl = ctypes.CDLL(None).prctl",
            "    os.get_exec_path({})  # loads what it needs while it is there",
            '    os.chroot(".")',
            "    os.chdir(where)",
            *new_privileges,
            "    for number in range(64):",
            "        int(keep) >> number & 1 or prctl(24, number, 0, 0, 0)",
            '    if groups and open("/proc/self/setgroups").read() != "deny\\n":',
            '        os.setgroups([int(one) for one in groups.split(",")])',
            "    os.setresgid(*[int(gid)] * 3)",
            "    os.setresuid(*[int(uid)] * 3)",
            "    os.execvpe(argv[0], argv, env)",
            f"become(*sys.argv[1:])' {keep} {where} \\",
            '"$u" "$g" "$s" "${#e[@]}" "${e[@]}" \\',
            " ".join(quote(word) for word in self.argv),
        )

    def apply(self, newroot: Newroot) -> None:
        """What the kernel says of the file itself comes by `trampoline.REPORT_FD`."""
        env = dict(self.env)
        env.setdefault("HOME", newroot.home)
        os.umask(self.umask)
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
