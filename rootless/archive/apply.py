"""Unpack a tar stream: a layer into its own directory in overlayfs form, or an archive over a tree.

Runs as root of a user namespace (or real root) in a forked worker that ends afterwards: `unpack`
changes the process's root directory for good, so that no name, link or `..` in a hostile archive
leads out, and takes away `sys.path`, so that no code is ever imported from the archive. The stream
and its decompressor must be opened, and their modules loaded, before. An ordinary user, who may
have no other root, has the kernel look up each path in that directory instead (see `places`).

Keeps image-spec layer.md. The last of several entries of one name wins, an entry wins over a
whiteout of its name, and a directory that replaces something else starts empty. Devices become
placeholders (see `xattrs`). Directories nobody described are root's, 0755, from 1970.

A crash leaves a half-filled directory: unpack where only a rename makes the result visible.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from rootless import complaints, deletion, linux, permissions
from rootless import owners as ownership
from rootless.archive import tar, whiteout, xattrs
from rootless.archive.places import MAX_LINKS, Rooted, within
from rootless.errors import IntegrityError, NoRoomError, RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from rootless.archive import Read

    T = TypeVar("T")

_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL_BITS = 0o7000
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_ARCHIVE_FAULTS = frozenset(
    (
        errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
        errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EINVAL, errno.ENOTEMPTY, errno.E2BIG,
        errno.ERANGE,
    )
)  # fmt: skip
"""What the kernel says when an entry asks for the impossible; the rest is the machine's trouble."""


class Unpacked(Record):
    """How many entries the archive had, and how many bytes its files hold."""

    entries: int
    size: int


def unpack(
    read: Read,
    directory: str,
    *,
    whiteouts: bool = True,
    into: bytes = b"",
    owner: tuple[int, int] | None = None,
    owners: Callable[[int, int], tuple[int, int]] | None = None,
    exact: bool = False,
) -> Unpacked:
    """Unpack into `directory`, which becomes this process's root; reads `read` to its very end.

    With `whiteouts`, `directory` is an empty one and becomes a layer. Without, it is a whole tree:
    the archive goes over what is there, below the folder `into`, as `tar -x` does it, and entries
    named like whiteouts are plain files. As in docker that folder is what the archive sees as `/`,
    and where a link in it leads to a folder that is not there, that is made. Everything belongs to
    `owner` when one is given, and what belongs to some ids to those that `owners` says. With
    `exact` no directory takes the place of something else, nor the other way round, as
    docker's `cp` has it.

    IntegrityError names the entry that cannot be; RootlessError is trouble with disk or ids.
    """
    reader = tar.Reader(read)
    records = ownership.are_recorded()  # asked of /proc, before that is out of reach
    places = within(os.fsencode(directory))
    os.umask(0)
    sys.path.clear()
    entries = size = 0
    try:
        tree = _Tree(reader, places, whiteouts=whiteouts, exact=exact, records=records)
        if into:
            tree.enter(into)
        for entry in reader:
            entries += 1
            size += entry.size
            if owner is not None:
                entry.uid, entry.gid = owner
            if owners is not None:
                entry.uid, entry.gid = owners(entry.uid, entry.gid)
            try:
                tree.place(entry)
            except OSError as error:
                raise _explained(entry, error) from error
        tree.finish()
    finally:
        places.close()
    reader.drain()
    return Unpacked(entries, size)


class _Tree:
    """The directory being filled; every path is relative to it."""

    def __init__(
        self,
        reader: tar.Reader,
        places: Rooted,
        *,
        whiteouts: bool,
        exact: bool = False,
        records: bool = False,
    ) -> None:
        self._reader = reader
        self._places = places
        self._at = places.at
        self._records = records
        self._whiteouts = whiteouts
        self._exact = exact
        self._directories: dict[bytes, tar.Entry] = {}
        self._inside = b""  # the last parent that was found to lie in the tree
        self._make = {
            tar.FILE: self._file,
            tar.LINK: self._link,
            tar.SYMLINK: self._symlink,
            tar.CHARACTER: self._device,
            tar.BLOCK_DEVICE: self._device,
            tar.DIRECTORY: self._directory,
            tar.FIFO: self._fifo,
        }
        if whiteouts:  # a set-group-id bit inherited from outside would choose new files' group
            root = self._directories[b"."] = _undescribed(b".")
            self._chown(self._at(root.name), root)
            os.chmod(self._at(root.name), root.mode)

    def enter(self, into: bytes) -> None:
        """Make the folder `into`, following links inside the tree, and see nothing else."""
        try:
            path = tar.clean(into)
            if path != b".":
                self._make_parents(path + b"/")
                self.finish()
            self._places.enter(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise RootlessError(f"cannot unpack into {tar.shown(into)!r}: {reason}") from error

    def place(self, entry: tar.Entry) -> None:
        if self._whiteouts and (hides := whiteout.decode(entry.name)):
            self._hide(hides)
        elif entry.name != b".":
            if not self._whiteouts:
                self._check_parent(entry.name.rpartition(b"/")[0])
            if self._exact:
                self._check_kind(entry)
            self._make[entry.kind](entry)
        elif entry.kind != tar.DIRECTORY:
            raise IntegrityError("the archive makes its own root something other than a directory")
        elif self._whiteouts:
            self._directories[b"."] = entry

    def _check_parent(self, parent: bytes) -> None:
        """IntegrityError when a link on the way climbs out of the tree, which docker refuses.

        It would end inside, for the tree is this process's root. A link that begins with `/` is
        meant to: it leads on from there.
        """
        if parent == self._inside:
            return
        try:
            root_fd = self._places.root_fd
            os.close(linux.openat2(root_fd, parent, os.O_PATH, linux.RESOLVE_BENEATH))
            self._inside = parent
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.ENOENT) and self._places.climbs_out(parent):
                raise IntegrityError(
                    f"{tar.shown(parent)!r} leads out of the directory that is unpacked into"
                ) from None

    def finish(self) -> None:
        """Give directories what later entries in them would have changed or been changed by."""
        for path, entry in self._directories.items():
            try:
                fd = os.open(self._at(path), _OPEN_DIRECTORY)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    continue  # a later entry replaced it or what it was in
                raise _explained(entry, error) from error
            self._close_with(fd, entry)
        self._directories.clear()

    def _file(self, entry: tar.Entry) -> None:
        name, mode, reader = entry.name, permissions.file(entry.mode), self._reader
        fd = self._new(name, lambda: os.open(self._at(name), _NEW_FILE, mode))
        try:
            while reader.left:
                piece = reader.chunk()
                written = os.write(fd, piece)
                while written < len(piece):
                    written += os.write(fd, piece[written:])
        except BaseException:
            os.close(fd)
            _unlink(self._at(name))  # the half of a file is none, where others see the folder
            raise
        self._close_with(fd, entry)

    def _close_with(self, fd: int, entry: tar.Entry) -> None:
        """Metadata by descriptor. Order matters: chown clears set-id bits and capabilities."""
        try:
            if entry.uid or entry.gid or not self._whiteouts:
                self._chown(fd, entry)
            is_folder = entry.kind == tar.DIRECTORY
            is_wide = permissions.are_wide(entry.mode, is_folder=is_folder)
            if entry.mode & _SPECIAL_BITS or is_folder or not is_wide:
                permissions.give(fd, entry.mode)
            if entry.xattrs:
                xattrs.write(fd, entry.xattrs)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        except OSError as error:
            raise _explained(entry, error) from error
        finally:
            os.close(fd)

    def _stamp_path(self, entry: tar.Entry) -> None:
        if entry.uid or entry.gid or not self._whiteouts:
            self._chown(self._at(entry.name), entry)
        if entry.mode & _SPECIAL_BITS and entry.kind == tar.FIFO:
            os.chmod(self._at(entry.name), entry.mode)
        owner = (entry.uid, entry.gid) if self._records else (0, 0)
        times = ownership.times(*owner, entry.mtime)
        os.utime(self._at(entry.name), ns=times, follow_symlinks=False)

    def _chown(self, target: int | bytes, entry: tar.Entry) -> None:
        try:
            ownership.give(target, entry.uid, entry.gid, recorded=self._records)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM, errno.EOVERFLOW):
                raise
            name, owner = repr(tar.shown(entry.name)), f"{entry.uid}:{entry.gid}"
            if error.errno == errno.EPERM:  # the id is there: as NFS does it, for a server's root
                raise complaints.explain_giving(name, owner, error) from error
            raise RootlessError(
                f"{name} belongs to {owner}, which is outside the range of ids this user has",
                hint="give the user a longer range in /etc/subuid and /etc/subgid"
                " (usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST USER)"
                f"{complaints.SEE_DOCTOR}",
            ) from error

    def _directory(self, entry: tar.Entry) -> None:
        """Its owner, special bits, attributes and time come last, from `finish`."""
        name, mode = entry.name, permissions.folder(entry.mode)
        try:
            os.mkdir(self._at(name), mode)
        except FileExistsError:
            if not stat.S_ISDIR(self._status(name).st_mode):
                self._start_afresh(name)
        except (FileNotFoundError, NotADirectoryError):
            self._make_parents(name)
            os.mkdir(self._at(name), mode)
        self._directories[name] = entry

    def _symlink(self, entry: tar.Entry) -> None:
        name, target = entry.name, entry.link
        self._new(name, lambda: os.symlink(target, self._at(name)))
        self._forget()
        self._stamp_path(entry)

    def _link(self, entry: tar.Entry) -> None:
        name, target = entry.name, entry.link
        if name == target:
            raise IntegrityError(f"{tar.shown(name)!r} is a hard link to itself")
        at = self._at
        self._new(name, lambda: os.link(at(target), at(name), follow_symlinks=False))
        if not self._whiteouts:  # as docker's ADD: what is said of the last name counts
            self._chown(at(name), entry)
            if not stat.S_ISLNK(self._status(name).st_mode):
                permissions.give_name(at(name), entry.mode)
                os.utime(at(name), ns=(entry.mtime, entry.mtime))

    def _fifo(self, entry: tar.Entry) -> None:
        name, mode = entry.name, entry.mode
        self._new(name, lambda: os.mkfifo(self._at(name), mode))
        self._stamp_path(entry)

    def _device(self, entry: tar.Entry) -> None:
        name, mode = entry.name, permissions.file(entry.mode)
        fd = self._new(name, lambda: os.open(self._at(name), _NEW_FILE, mode))
        try:
            xattrs.mark_device(fd, entry.kind, entry.device)
        except BaseException:
            os.close(fd)
            raise
        self._close_with(fd, entry)

    def _hide(self, hides: whiteout.Whiteout) -> None:
        hidden, opaque = hides.hidden, hides.opaque
        if opaque is not None:
            self._make_parents(opaque + b"/")
            whiteout.make_opaque(self._at(opaque + b"/."))  # also where a link in the tree leads
        elif hidden is not None:
            try:
                whiteout.make(self._at(hidden))
            except FileExistsError:  # this layer's own entry stays, over nothing from below
                if stat.S_ISDIR(self._status(hidden).st_mode):
                    whiteout.make_opaque(self._at(hidden))
            except (FileNotFoundError, NotADirectoryError):
                self._make_parents(hidden)
                whiteout.make(self._at(hidden))

    def _new(self, name: bytes, make: Callable[[], T]) -> T:
        """Make something that must not be there, clearing the way when that fails."""
        try:
            return make()
        except FileExistsError:
            self._remove(name)
        except (FileNotFoundError, NotADirectoryError):
            self._make_parents(name)
        return make()

    def _make_parents(self, name: bytes, links: int = MAX_LINKS) -> None:
        end = name.find(b"/")
        while end > 0:
            parent = name[:end]
            try:
                os.mkdir(self._at(parent), 0o755)
                self._describe(parent)
            except FileExistsError:
                if self._whiteouts and self._is_whiteout(parent):
                    self._start_afresh(parent)
                    self._directories[parent] = _undescribed(parent)
                elif not self._whiteouts and links and self._places.leads_nowhere(parent):
                    target = os.path.join(os.path.dirname(parent), os.readlink(self._at(parent)))
                    self._make_parents(target.lstrip(b"/") + b"/", links - 1)
            end = name.find(b"/", end + 1)

    def _describe(self, parent: bytes) -> None:
        """What a directory is that no entry tells of: root's in a layer; in a tree that is there,
        of the group that a parent with setgid gives it.
        """
        if self._whiteouts:
            self._directories[parent] = _undescribed(parent)
        else:
            os.chmod(self._at(parent), 0o755)

    def _start_afresh(self, name: bytes) -> None:
        """A directory in the place of something else shows nothing of the layers below."""
        os.unlink(self._at(name))
        self._forget()
        os.mkdir(self._at(name), 0o755)
        if self._whiteouts:
            whiteout.make_opaque(self._at(name))

    def _remove(self, name: bytes) -> None:
        self._directories.pop(name, None)
        deletion.remove(self._at(name))
        self._forget()

    def _forget(self) -> None:
        """A link has been made, or something removed: paths may lead elsewhere."""
        self._inside = b""
        self._places.forget()

    def _status(self, name: bytes) -> os.stat_result:
        return os.lstat(self._at(name))

    def _is_whiteout(self, name: bytes) -> bool:
        return whiteout.is_one(self._at(name), self._status(name))

    def _check_kind(self, entry: tar.Entry) -> None:
        """RootlessError, in docker's words, when a directory would take the place of something
        else, or something else that of a directory.
        """
        try:
            is_folder = stat.S_ISDIR(self._status(entry.name).st_mode)
        except OSError:
            return
        if is_folder != (entry.kind == tar.DIRECTORY):
            kinds = ("directory", "non-directory") if is_folder else ("non-directory", "directory")
            raise RootlessError(
                f'cannot overwrite {kinds[0]} "{tar.shown(entry.name)}" with {kinds[1]}'
            )


def _undescribed(path: bytes) -> tar.Entry:
    return tar.Entry(path, tar.DIRECTORY, 0o755)


def _unlink(name: bytes) -> None:
    try:
        os.unlink(name)
    except OSError:
        pass


def _explained(entry: tar.Entry, error: OSError) -> RootlessError:
    name, reason = repr(tar.shown(entry.name)), error.strerror or str(error)
    if error.errno in _NO_ROOM:
        full = f"the disk is full: {name} could not be unpacked"
        return NoRoomError(full, hint=_hint(error.errno))
    if error.errno not in _ARCHIVE_FAULTS:
        return RootlessError(f"cannot unpack {name}: {reason}", hint=_hint(error.errno))
    if entry.kind == tar.LINK:
        return IntegrityError(
            f"{name} cannot be a hard link to {tar.shown(entry.link)!r}: {reason}"
        )
    return IntegrityError(f"the entry {name} is impossible: {reason}")


def _hint(number: int | None) -> str | None:
    if number in _NO_ROOM:
        return "free space with: rootless system prune, or move the store with --root"
    if number == errno.EFBIG:
        return "files may not be so large here; raise the limit: ulimit -f unlimited"
    if number == errno.ENOTSUP:
        return (
            "the file system of the store keeps no extended attributes: move it with --root"
            f"{complaints.SEE_DOCTOR}"
        )
    return None
