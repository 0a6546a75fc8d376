"""COPY, ADD and WORKDIR on a step's root: owners looked up, archives told from plain files.

Runs in the builder; an archive is unpacked by a forked worker that makes the root its own.
"""

from __future__ import annotations

import os

from rootless import inroot, owners
from rootless.build.carry.copy import Placement, Target
from rootless.build.inputs import contents
from rootless.errors import IntegrityError, NotFoundError
from rootless.sandbox import accounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.inputs.context import Changes
    from rootless.build.inputs.tree import Source
    from rootless.build.plan.actions import CopyFiles, MakeFolder

_BLOCK = 512


def make_folder(root_fd: int, action: MakeFolder) -> None:
    """WORKDIR: what is missing of the path belongs to the current user."""
    owner = _working_owner(action.user, root_fd)
    target = Target(root_fd, Placement(owner))
    os.close(target.make_folders(action.path))


def copy(
    root_fd: int,
    root: str,
    action: CopyFiles,
    sources: tuple[Source, ...],
    source_fd: int,
    changes: Changes | None = None,
    *,
    keeps_owners: bool = False,
) -> None:
    """COPY and ADD from below `source_fd` into the root, mounted (or lying) at the path `root`.

    `changes` hears of what changed meanwhile, where that may be. Files of an image `keeps_owners`,
    and those of an archive; others become root's.
    """
    owner = _owner(action.owner, root_fd) if action.owner else None
    target = Target(root_fd, Placement(owner, action.mode, is_image=keeps_owners), changes)
    for name, content in action.contents:
        body = content.encode("utf-8", "surrogateescape")
        target.place_content(body, action.destination, name)
    archives = [one for one in sources if action.unpacks and _is_archive(one, source_fd)]
    plain = tuple(one for one in sources if one not in archives)
    for archive in archives:
        # --chmod is for files that are copied; what an archive brings, and its folder, is as it is
        os.close(Target(root_fd, target.how.replace(mode=None)).make_folders(action.destination))
        _unpack(archive, source_fd, root, action.destination, owner)
        if changes:
            _note_archive(archive, source_fd, changes)
    target.place(plain, source_fd, action.destination)


def _note_archive(archive: Source, source_fd: int, changes: Changes) -> None:
    """Of an archive that changed while it was unpacked nobody knows what was unpacked."""
    fd = inroot.open_path(source_fd, archive.path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if changes.is_doubtful(archive.path, archive.stat, os.fstat(fd)):
            is_unknown = archive.path in changes.names
            held = os.urandom(16).hex() if is_unknown else contents.of_file(fd)
            changes.copied[archive.path] = (held, None)
    finally:
        os.close(fd)


def _owner(text: str, root_fd: int) -> tuple[int, int]:
    """--chown, and WORKDIR's user; unlike for a command, a number alone is the group too, and no
    group behind a colon is root's.
    """
    if text.isdecimal():
        text = f"{text}:{text}"
    account = accounts.resolve(f"{text}0" if text.endswith(":") else text, root_fd)
    owners.check(account.uid, account.gid)
    return account.uid, account.gid


def _working_owner(text: str, root_fd: int) -> tuple[int, int] | None:
    """WORKDIR's user, None for root. As in docker one that the image does not know is root too, if
    it knows any, and one whose group it does not know has the user's own.
    """
    for known in filter(None, (text, text.partition(":")[0])):
        try:
            return _owner(known, root_fd)
        except NotFoundError:
            if not inroot.read_file(root_fd, "etc/passwd"):
                raise
    return None


def _is_archive(source: Source, source_fd: int) -> bool:
    """Whether a file's content, whatever its name, is a tar, compressed or not."""
    from rootless.archive import codecs, tar

    if source.folders:
        return False
    fd = inroot.open_path(source_fd, source.path, os.O_RDONLY | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        try:
            return tar.is_header(_beginning(codecs.decompress(file.read)))
        except IntegrityError:
            return False


def _beginning(read: Callable[[int], bytes]) -> bytes:
    """The first block of a stream, or as much as there is."""
    block = b""
    while len(block) < _BLOCK and (piece := read(_BLOCK - len(block))):
        block += piece
    return block


def _unpack(
    source: Source, source_fd: int, root: str, destination: str, owner: tuple[int, int] | None
) -> None:
    """Unpack an archive; with --chown all of it is that user's."""
    from rootless import process
    from rootless.archive import apply, codecs

    def unpack() -> int:
        fd = inroot.open_path(source_fd, source.path, os.O_RDONLY | os.O_NONBLOCK)
        with open(fd, "rb", buffering=0) as file:
            read = codecs.decompress(file.read)
            into = os.fsencode(destination.strip("/"))
            return apply.unpack(read, root, whiteouts=False, into=into, owner=owner).entries

    process.run(unpack)
