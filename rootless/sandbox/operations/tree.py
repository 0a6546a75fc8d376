"""The tree itself: the stacked layers, what is bound and written into it, and the pivot.

Each operation runs in the child, in the container's own mount namespace, as uid 0 of the user
namespace; what it mounts ends with that namespace. `shell` lines are for a shell standing in the
new root.
"""

from __future__ import annotations

import errno
import os

from rootless import linux, owners
from rootless.record import Record
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.quoting import below, printed, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

_PAGE = 4096
HARDENED = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
_FLAG_WORDS = {
    linux.MS_RDONLY: "ro",
    linux.MS_NOSUID: "nosuid",
    linux.MS_NODEV: "nodev",
    linux.MS_NOEXEC: "noexec",
}


class Overlay(Record):
    """Stack `lowers` (topmost first) under a writable `upper` and mount the result on `target`.

    All are host paths; `lowers` may be relative to `base`, which keeps the option line short.
    With `volatile` nothing is synchronised: for trees that are thrown away after a crash.
    """

    base: str
    lowers: tuple[str, ...]
    upper: str
    work: str
    target: str
    volatile: bool = False

    call = "mount(2) overlay"

    def describe(self) -> str:
        return (
            f"stack {len(self.lowers)} read-only directories (the layers, on a skeleton of mount "
            "points) under a writable one: it catches every change, the layers stay as they are"
        )

    def shell(self) -> tuple[str, ...]:
        """$o grows by a line a layer. A folder that is there already may be another user's."""
        home = os.path.dirname(self.target)
        upper, work, target = (
            f'"$c"/{quote(os.path.basename(path))}' for path in (self.upper, self.work, self.target)
        )
        first, *others = (quote(_escape(lower)) for lower in self.lowers)
        return (
            f"umask 022; c={quote(home)}",
            '[ -O "$c" ] || mkdir -m 700 "$c" || exit 1',
            f"mkdir {upper} {work} {target}",
            f"cd {quote(self.base)}",
            f"chown --reference={quote(self.lowers[0])} {upper}",
            f"chmod --reference={quote(self.lowers[0])} {upper}",
            f"o=lowerdir={first}",
            *(f"o=$o:{lower}" for lower in others),
            *(f"o=$o,{quote(option)}" for option in self._writable),
            f'mount -t overlay overlay -o "$o" {target}',
            f"cd {target}",
            # What an image's links lead to outside is not for the lines below.
            'within() { case $(realpath -m "$1") in "$PWD" | "$PWD"/*) ;;',
            '*) echo "$1 leads out of the container" >&2; exit 1;; esac; }',
            'protect() { findmnt -Rrno TARGET "$PWD/$1" | while IFS= read -r p; do',
            'mount -o "remount,bind,$2" "$(printf %b "$p")"; done; }',
        )

    @property
    def options(self) -> str:
        """The option line of mount(2)."""
        lowers = ":".join(map(_escape, self.lowers))
        return ",".join((f"lowerdir={lowers}", *self._writable))

    @property
    def _writable(self) -> tuple[str, ...]:
        directories = (f"upperdir={_escape(self.upper)}", f"workdir={_escape(self.work)}")
        return (*directories, "userxattr", *(("volatile",) if self.volatile else ()))

    def apply(self, newroot: Newroot) -> None:
        self._mount()
        newroot.open(self.target)

    def mount(self) -> None:
        """Mount it, not in a sandbox; RootlessError says why overlayfs is refused."""
        try:
            self._mount()
        except OSError as error:
            from rootless import complaints

            raise complaints.explain_overlay(error, len(self.lowers)) from None

    def _mount(self) -> None:
        os.chdir(self.base)
        self._inherit_root()
        if len(os.fsencode(self.options)) < _PAGE:
            linux.mount("overlay", self.target, "overlay", 0, self.options)
        else:
            self._mount_long()

    def _inherit_root(self) -> None:
        """The upper directory is the new `/`: it gets the mode and owner of the one below."""
        below, upper = os.stat(self.lowers[0]), os.stat(self.upper)
        owner = owners.of_name(self.lowers[0], below, None)
        if owner != owners.of_name(self.upper, upper, None):
            owners.give(self.upper, *owner)
        if below.st_mode != upper.st_mode:
            os.chmod(self.upper, below.st_mode & 0o7777)

    def _mount_long(self) -> None:
        """mount(2) takes one page of options; fsconfig(2) takes layers one by one (Linux 6.5).

        A layer is taken as it is written, but the upper directory's name is unescaped.
        """
        context = linux.fsopen("overlay")
        self._add_lowers(context)
        linux.fsconfig(context, linux.FSCONFIG_SET_STRING, "upperdir", _escape(self.upper))
        linux.fsconfig(context, linux.FSCONFIG_SET_STRING, "workdir", _escape(self.work))
        for flag in ("userxattr", "volatile")[: 2 if self.volatile else 1]:
            linux.fsconfig(context, linux.FSCONFIG_SET_FLAG, flag)
        linux.fsconfig(context, linux.FSCONFIG_CMD_CREATE)
        mounted = linux.fsmount(context)
        target = os.open(self.target, os.O_PATH | os.O_DIRECTORY)
        linux.move_mount(mounted, target)
        for fd in (context, mounted, target):
            os.close(fd)

    def _add_lowers(self, context: int) -> None:
        try:
            for lower in self.lowers:
                linux.fsconfig(context, linux.FSCONFIG_SET_STRING, "lowerdir+", lower)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise SandboxError(
                f"{len(self.lowers)} layers are too many for this kernel, which takes their names "
                "on one page; Linux 6.5 lifts that",
                hint="make an image of fewer steps",
            ) from None


class Bind(Record):
    """Show a file or directory of the host at `path` of the container.

    With `subpath` a part of it, found without leaving it. `propagation` is mount(8)'s word for what
    happens to mounts made below later, `attributes` are MOUNT_ATTR_*. Not `recursive`, what is
    mounted below the source is left out; not `deep`, only the source itself is read-only. All of
    it is given to the container's user `owner`, unless that is None. What is written to one that is
    `scratch` nobody will look for.
    """

    source: str
    path: str
    read_only: bool = False
    why: str = "a volume"
    propagation: str = "rprivate"
    attributes: int = 0
    recursive: bool = True
    deep: bool = True
    subpath: str = ""
    owner: str | None = None
    scratch: bool = False

    call = "open_tree(2), mount_setattr(2), move_mount(2)"

    def describe(self) -> str:
        access = "read-only" if self.read_only else "readable and writable"
        part = f"{self.subpath} of {self.source}" if self.subpath else self.source
        given = f", given to the user {self.owner or 'root'}" if self.owner is not None else ""
        return f"show {part} of the host at {self.path}, {access}: {self.why}{given}"

    def shell(self) -> tuple[str, ...]:
        path, source = below(self.path), quote(self._part)
        target, folder = quote(path), quote(os.path.dirname(path) or ".")
        words = [word for flag, word in _ATTRIBUTE_WORDS.items() if self._attributes & flag]
        propagates = self.propagation != "rprivate"  # which a shell's namespace is anyhow
        return (
            f"within {target}",
            f"if [ -d {source} ]; then mkdir -p {target}",
            f"else mkdir -p {folder}; touch {target}; fi",
            f"mount --{'r' * self.recursive}bind {source} {target}",
            *((f"mount --make-{self.propagation} {target}",) if propagates else ()),
            *((f"protect {target} {','.join(words)}",) if words else ()),
            *self._shell_of_owner(target),
        )

    def apply(self, newroot: Newroot) -> None:
        self.attach(self.open(), newroot)

    def open(self) -> int:
        """A detached copy of the mount; SandboxError when it cannot be shown."""
        try:
            return shown(self.source, self.subpath, recursive=self.recursive)
        except OSError as error:
            raise self._refused(error) from None

    def attach(self, tree: int, newroot: Newroot) -> None:
        """Read-only before it is attached: what the path leads to may be changed any moment."""
        try:
            is_folder = os.fstat(tree).st_mode & 0o170000 == 0o040000
            find = newroot.directory_fd if is_folder else newroot.file_fd
            if self.owner is not None:
                _give(tree, self.owner, newroot)
            self._restrict(tree)
            linux.move_mount(tree, find(self.path))
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> SandboxError:
        return SandboxError(
            f"{self._part} cannot be shown at {self.path}: {error.strerror}",
            hint=self._hint(error),
        )

    def _shell_of_owner(self, target: str) -> tuple[str, ...]:
        if self.owner is None:
            return ()
        return (f"chown -hR {quote(self.owner or '0:0')} {target}",)

    @property
    def _part(self) -> str:
        return f"{self.source}/{self.subpath}" if self.subpath else self.source

    @property
    def _attributes(self) -> int:
        return self.attributes | (linux.MOUNT_ATTR_RDONLY if self.read_only else 0)

    def _restrict(self, tree: int) -> None:
        linux.mount_setattr(
            tree,
            recursive=self.propagation.startswith("r"),
            propagation=_PROPAGATIONS[self.propagation.removeprefix("r")],
        )
        if self._attributes:
            linux.mount_setattr(tree, self._attributes, recursive=self.deep)

    def _hint(self, error: OSError) -> str | None:
        if error.errno == errno.EINVAL and not self.recursive:
            return "something of the host is mounted below it, which cannot be left out here"
        if error.errno == errno.EXDEV:
            return "its path leads out of the volume"
        if error.errno == errno.ENOENT and not self.subpath:
            return f"make it first: mkdir -p {self.source}"
        if error.errno in (errno.EINVAL, errno.ENOTDIR):
            return "a directory is shown where there is one, or nothing; a file where there is none"
        return None


class Tmpfs(Record):
    """An empty file system in memory at `path` of the container.

    `owner` is whose its directory is where that must be recorded.
    """

    path: str
    options: str = ""
    flags: int = linux.MS_NOSUID | linux.MS_NODEV
    owner: tuple[int, int] = (0, 0)

    call = "mount(2) tmpfs"

    def describe(self) -> str:
        return f"mount an empty tmpfs on {self.path}: memory that is gone with the container"

    def shell(self) -> tuple[str, ...]:
        path = quote(below(self.path))
        words = [word for flag, word in _FLAG_WORDS.items() if self.flags & flag]
        options = ",".join([*words, self.options] if self.options else words)
        option = f"-o {quote(options)} " if options else ""
        return (f"within {path}; mkdir -p {path}", f"mount -t tmpfs {option}tmpfs {path}")

    def apply(self, newroot: Newroot) -> None:
        try:
            linux.mount("tmpfs", newroot.directory(self.path), "tmpfs", self.flags, self.options)
        except OSError as error:
            raise SandboxError(
                f"a tmpfs cannot be mounted on {self.path}: {error.strerror}",
                hint=f"look at its options: {self.options}" if self.options else None,
            ) from None
        if self.owner != (0, 0):
            self._record(newroot.directory(self.path))

    def _record(self, path: str) -> None:
        """Linux 6.6 lets a tmpfs keep it; before, it stays root's."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            owners.record(fd, *self.owner)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
        finally:
            os.close(fd)


class Files(Record):
    """Small files of the container's own over the image's: (path, content) pairs.

    They live in memory, on a tmpfs mounted at `folder` outside, and are bound from there.
    """

    folder: str
    contents: tuple[tuple[str, str], ...]

    call = "mount(2) tmpfs, write(2), mount(2) bind"

    def describe(self) -> str:
        names = ", ".join(path for path, _ in self.contents)
        return f"give it {names} of its own, kept in memory, without touching the image's"

    def shell(self) -> tuple[str, ...]:
        lines = [f'f={quote(self.folder)}; mkdir -p "$f"']
        lines.append('mount -t tmpfs -o nosuid,nodev,noexec,mode=755,size=1m tmpfs "$f"')
        for path, content in self.contents:
            source = f'"$f"/{quote(os.path.basename(path))}'
            target, folder = quote(below(path)), quote(os.path.dirname(below(path)) or ".")
            lines.append(f": > {source}")
            lines += [f"{printed(line)} >> {source}" for line in content.splitlines(keepends=True)]
            lines.append(f"within {target}; mkdir -p {folder}; touch {target}")
            lines.append(f"mount --bind {source} {target}")
        return tuple(lines)

    def apply(self, newroot: Newroot) -> None:
        self.write()
        for path, _ in self.contents:
            linux.mount(self.source(path), newroot.file(path), None, linux.MS_BIND)

    def write(self) -> None:
        """Make them, in a new tmpfs on the folder."""
        linux.mount("tmpfs", self.folder, "tmpfs", HARDENED, "mode=755,size=1m")
        for path, content in self.contents:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            fd = os.open(self.source(path), flags, 0o644)
            os.write(fd, content.encode())
            os.close(fd)

    def source(self, path: str) -> str:
        """Where the file for this path lies outside."""
        return f"{self.folder}/{os.path.basename(path)}"


class Directory(Record):
    """Make a directory in the container's tree while that can still be written."""

    path: str

    call = "mkdir(2)"

    def describe(self) -> str:
        return f"make sure that there is a {self.path}"

    def shell(self) -> tuple[str, ...]:
        path = quote(below(self.path))
        return (f"within {path}; mkdir -p {path}",)

    def apply(self, newroot: Newroot) -> None:
        newroot.directory(self.path)


class Protect(Record):
    """Make parts of the tree read-only; "/" is the container's whole root."""

    paths: tuple[str, ...]

    call = "mount(2) bind, mount_setattr(2)"

    def describe(self) -> str:
        return "make read-only: " + " ".join(self.paths)

    def shell(self) -> tuple[str, ...]:
        lines = []
        for name in (quote(below(path)) for path in self.paths):
            if name == ".":
                lines.append("mount -o remount,bind,ro .")
            else:
                lines.append(f"[ ! -e {name} ] || {{ mount --rbind {name} {name}")
                lines.append(f"protect {name} ro; }}")
        return tuple(lines)

    def apply(self, newroot: Newroot) -> None:
        for path in self.paths:
            target = newroot.existing_fd(path)
            if path == "/":
                linux.mount_setattr(target, linux.MOUNT_ATTR_RDONLY)
            elif target >= 0:
                tree = linux.open_tree(target)
                linux.mount_setattr(tree, linux.MOUNT_ATTR_RDONLY, recursive=True)
                linux.move_mount(tree, target)


class PivotRoot(Record):
    """Make the new tree the root, and let go of the old one."""

    call = "pivot_root(2), umount2(2)"

    def describe(self) -> str:
        return "make this tree the root and detach the host's: from here on the host is gone"

    def shell(self) -> tuple[str, ...]:
        return (
            "# pivot_root . . && umount -l . : a shell cannot go on after it, for its tools stay",
            "# behind on the old root; chroot in the last lines stands in for it",
        )

    def apply(self, newroot: Newroot) -> None:
        os.fchdir(newroot.fd)
        linux.pivot_root(".", ".")
        linux.umount2(".", linux.MNT_DETACH)
        os.chdir("/")


_ATTRIBUTE_WORDS = {
    linux.MOUNT_ATTR_RDONLY: "ro",
    linux.MOUNT_ATTR_NOSUID: "nosuid",
    linux.MOUNT_ATTR_NODEV: "nodev",
    linux.MOUNT_ATTR_NOEXEC: "noexec",
}
_PROPAGATIONS = {
    "private": linux.MS_PRIVATE,
    "slave": linux.MS_SLAVE,
    "shared": linux.MS_SHARED,
}


def shown(mounted: str, part: str, *, recursive: bool = True) -> int:
    """A detached copy of a mount, or of a part of it, which no link in it leads out of. OSError."""
    if not part:
        return linux.open_tree(mounted, recursive=recursive)
    root_fd = os.open(mounted, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        part_fd = linux.openat2(root_fd, part, os.O_PATH, linux.RESOLVE_BENEATH)
        try:
            return linux.open_tree(part_fd, recursive=recursive)
        finally:
            os.close(part_fd)
    finally:
        os.close(root_fd)


def _give(tree: int, user: str, newroot: Newroot) -> None:
    from rootless.sandbox import accounts, ownership

    account = accounts.resolve(user, newroot.fd)
    ownership.give(tree, account.uid, account.gid)


def _escape(path: str) -> str:
    """overlayfs splits its options at commas and its layers at colons."""
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")
