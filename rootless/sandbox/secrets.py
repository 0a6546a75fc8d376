"""Secrets: files that exist in memory only, and only inside of one sandbox.

Runs in the child, in its own mount namespace: the tmpfs is never seen by another process, and it
is gone with the sandbox, whatever ends that. No description of a secret has its content.
"""

from __future__ import annotations

import os

from rootless import linux, owners
from rootless.record import Record
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

_FLAGS = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
_OPTIONS = "mode=700"


class SecretFile(Record):
    """`content` for the file `path` of the container; ids as inside."""

    path: str
    content: bytes
    mode: int = 0o400
    uid: int = 0
    gid: int = 0

    def __repr__(self) -> str:
        return f"SecretFile({self.path!r}, {len(self.content)} bytes)"


class Secrets(Record):
    """Show files of a tmpfs, mounted at `folder` outside, read-only inside."""

    folder: str
    files: tuple[SecretFile, ...]

    call = "mount(2) tmpfs, open_tree(2), mount_setattr(2), move_mount(2)"

    def describe(self) -> str:
        names = ", ".join(one.path for one in self.files)
        return f"show secrets at {names}: in memory, read-only, gone with this command"

    def shell(self) -> tuple[str, ...]:
        lines = [f'f={quote(self.folder)}; mkdir -p "$f"']
        lines.append(f'mount -t tmpfs -o nosuid,nodev,noexec,{_OPTIONS} tmpfs "$f"')
        for number, one in enumerate(self.files):
            path = os.path.normpath(one.path).lstrip("/")
            target, folder = quote(path), quote(os.path.dirname(path) or ".")
            lines.append(f'install -m {one.mode:o} /dev/null "$f"/{number} # and the secret in it')
            lines.append(f"within {target}; mkdir -p {folder}; touch {target}")
            lines.append(f'mount --bind -o ro "$f"/{number} {target}')
        return tuple(lines)

    def apply(self, newroot: Newroot) -> None:
        linux.mount("tmpfs", self.folder, "tmpfs", _FLAGS, _OPTIONS)
        for number, one in enumerate(self.files):
            source = f"{self.folder}/{number}"
            _write(source, one)
            try:
                tree = linux.open_tree(source)
                linux.mount_setattr(tree, linux.MOUNT_ATTR_RDONLY)
                linux.move_mount(tree, newroot.file_fd(one.path))
            except OSError as error:
                raise SandboxError(
                    f"a secret cannot be shown at {one.path}: {error.strerror}"
                ) from None


def _write(path: str, one: SecretFile) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(one.content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        try:
            owners.give(fd, one.uid, one.gid)
        except OSError as error:
            raise SandboxError(
                f"a secret cannot belong to {one.uid}:{one.gid}: the id is not mapped here "
                f"({error.strerror})",
                hint="rootless doctor says how many ids you have and how to get more",
            ) from None
        os.fchmod(fd, one.mode)
    finally:
        os.close(fd)
