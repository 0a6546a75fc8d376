"""Mount points that leave no trace, and the memory that takes the place of a directory.

A build step keeps what its command changes, so what was only made to mount something on must go
again. `MountPoints` makes it, in the child, before anything of the image runs, and writes down
what; `remove` takes that away afterwards, in the parent, if it is still the same and empty.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless import inroot, linux
from rootless.record import Record
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

_FILE_FLAGS = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC
_BUSY = (errno.ENOTEMPTY, errno.EEXIST)
_MOST = 1 << 20  # bytes of a list of mount points


class MountPoints(Record):
    """Make what is missing of `folders` and `files`; the new paths are written to `record`.

    What belongs to memory is open to all, as a new tmpfs is: `memory`, some of the folders.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]
    memory: tuple[str, ...]
    record: str

    call = "openat2(2), mkdirat(2)"

    def describe(self) -> str:
        return "make the places to mount on: " + " ".join((*self.folders, *self.files))

    def shell(self) -> tuple[str, ...]:
        folders = [quote(os.path.normpath(path).lstrip("/")) for path in self.folders]
        return tuple(f"within {path}; mkdir -p {path}" for path in folders)

    def apply(self, newroot: Newroot) -> None:
        made: list[str] = []
        for path in self.folders:
            made += _made(newroot, path, is_folder=True, mode=_mode(path in self.memory))
        for path in self.files:
            made += _made(newroot, path, is_folder=False)
        fd = os.open(self.record, _FILE_FLAGS, 0o600)
        os.write(fd, b"".join(os.fsencode(path) + b"\0" for path in made))
        os.close(fd)


class Memory(Record):
    """A tmpfs of at most `size` bytes (0: no limit); a `mode` of None is that of what it covers."""

    path: str
    size: int = 0
    mode: int | None = None
    read_only: bool = False

    call = "mount(2) tmpfs"

    def describe(self) -> str:
        limit = f" of {self.size} bytes at most" if self.size else ""
        return f"mount an empty tmpfs{limit} on {self.path}: memory that is gone with the command"

    def shell(self) -> tuple[str, ...]:
        path = quote(os.path.normpath(self.path).lstrip("/"))
        size = f",size={self.size}" if self.size else ""
        mode = f"{self.mode:o}" if self.mode is not None else f"$(stat -c %a {path})"
        return (
            f"within {path}; mkdir -p {path}",
            f'mount -t tmpfs -o nosuid,nodev{size},mode="{mode}" tmpfs {path}',
        )

    def apply(self, newroot: Newroot) -> None:
        flags = linux.MS_NOSUID | linux.MS_NODEV | (linux.MS_RDONLY if self.read_only else 0)
        try:
            is_new = newroot.existing_fd(self.path) < 0
            fd = newroot.directory_fd(self.path)
            below = 0o1777 if is_new else stat.S_IMODE(os.fstat(fd).st_mode)
            mode = below if self.mode is None else self.mode
            size = f",size={self.size}" if self.size else ""
            linux.mount("tmpfs", f"/proc/self/fd/{fd}", "tmpfs", flags, f"mode={mode:o}{size}")
        except OSError as error:
            raise SandboxError(
                f"a tmpfs cannot be mounted on {self.path}: {error.strerror}"
            ) from None


def remove(record: str, tree: str) -> None:
    """Take away from the directory `tree` what `record` lists and nobody has used.

    No link is followed: what a command has put in the place of a mount point is its own.
    """
    try:
        with open(record, "rb") as file:
            paths = file.read(_MOST).split(b"\0")[:-1]
    except FileNotFoundError:  # the sandbox did not get so far
        return
    root_fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    parents = inroot.Parents(root_fd)
    try:
        for path in reversed(paths):
            _remove(path, parents)
    finally:
        parents.close()
        os.close(root_fd)


def _remove(path: bytes, parents: inroot.Parents) -> None:
    try:
        parent, name = parents.of(path)
        found = os.lstat(name, dir_fd=parent)
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(name, dir_fd=parent)
        elif stat.S_ISREG(found.st_mode) and not found.st_size:
            os.unlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (*inroot.GONE, *_BUSY):
            raise


def _mode(is_memory: bool) -> int:  # noqa: FBT001
    return 0o1777 if is_memory else 0o755


def _made(newroot: Newroot, path: str, *, is_folder: bool, mode: int = 0o755) -> list[str]:
    """Make `path` if it is not there: the real paths of what is new, outermost first."""
    top = os.readlink(f"/proc/self/fd/{newroot.fd}")
    made: list[str] = []

    def tell(fd: int) -> None:
        made.append(os.readlink(f"/proc/self/fd/{fd}").removeprefix(top).strip("/"))

    if is_folder:
        os.close(inroot.make_directory(newroot.fd, os.path.dirname(path), tell=tell))
        fd = inroot.make_directory(newroot.fd, path, mode, tell=tell)
    else:
        fd = inroot.make_file(newroot.fd, path, tell=tell)
    os.close(fd)
    return made
