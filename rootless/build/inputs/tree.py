"""Which files a COPY or ADD names: sources found in a context directory or another root.

A source is looked up with RESOLVE_IN_ROOT, so links and `..` in it end inside its root; links
found below it stay links. The rules are Go's filepath.Match for wildcards, and .dockerignore.
Runs in the builder, uid 0 of its user namespace, and only reads: one lstat a file.
"""

from __future__ import annotations

import os
import stat
from errno import ENOENT

from rootless import inroot
from rootless.dockerfile.ignore import Ignore
from rootless.dockerfile.patterns import is_wild, name_pattern
from rootless.errors import NotFoundError, RootlessError
from rootless.linux import SyscallError
from rootless.record import Record

_MAX_DEPTH = 256  # each level holds a descriptor while it is walked


class Folder(Record):
    """One directory of a source: `path` is relative to the source, `files` all but directories.

    One that `is_way` is there for what is below it: with --parents nobody has named it.
    """

    path: str
    stat: os.stat_result
    files: tuple[tuple[str, os.stat_result], ...]
    is_way: bool = False


class Source(Record):
    """One matched file, or a directory with all `folders` below it, parents first.

    `path` finds it in its root, `name` is what it is called at the destination. Names that are
    not UTF-8 carry surrogate escapes. A file has no folders.
    """

    path: str
    name: str
    stat: os.stat_result
    folders: tuple[Folder, ...] = ()


def newest(sources: tuple[Source, ...]) -> int:
    """The latest time (whole seconds) of all that the sources bring; 0 for nothing."""
    found = 0
    for source in sources:
        found = max(found, source.stat.st_mtime_ns)
        for folder in source.folders:
            found = max(
                found, folder.stat.st_mtime_ns, *(one.st_mtime_ns for _, one in folder.files)
            )
    return found // 10**9


def select(
    root_fd: int, pattern: str, ignore: Ignore | None = None, *, parents: bool = False
) -> tuple[Source, ...]:
    """What `pattern` names below `root_fd`; a wildcard may match nothing, in a folder that exists.

    With `parents` it is a folder, all that comes before `/./` or the root itself, with whatever
    the rest of the pattern names in it; that may be nothing. NotFoundError when a plain path does
    not exist or `ignore` excludes it, or a link that matches leads nowhere.
    """
    inner = ""
    if parents:
        pattern, inner = _pivoted(pattern)
    wanted = _components(pattern)
    found = []
    _check_folder(root_fd, wanted, ignore)
    for path in _matches(root_fd, wanted):
        source = _source(root_fd, path, ignore, inner)
        if source is None:
            excluded = _hides(root_fd, path, ignore)
            if excluded and is_wild(pattern):
                continue
            named = path if is_wild(pattern) else pattern
            raise _missing(root_fd, named, path, excluded=excluded)
        found.append(source)
    return tuple(found)


def _pivoted(pattern: str) -> tuple[str, str]:
    """The folder where names begin, and the pattern of what is wanted in it; "" is all."""
    folder, pivot, inner = pattern.partition("/./")
    if not pivot:
        folder, inner = "/", pattern
    return folder, os.path.normpath(f"/{inner}").lstrip("/")


class _Within(Ignore):
    """What is seen of a folder of which only the pattern `inner` is wanted: for the walk, the rest
    is excluded.
    """

    def __init__(self, ignore: Ignore | None, folder: str, inner: str) -> None:
        super().__init__()
        self._ignore = ignore or Ignore()
        self._wanted = Ignore.of(("**", f"!{inner}"))
        self._begin = len(folder) + 1 if folder else 0

    def excludes(self, path: str) -> bool:
        return self._ignore.excludes(path) or self._wanted.excludes(path[self._begin :])

    def may_reinclude(self, directory: str) -> bool:
        if self._ignore.excludes(directory) and not self._ignore.may_reinclude(directory):
            return False
        inner = directory[self._begin :]
        return not self._wanted.excludes(inner) or self._wanted.may_reinclude(inner)


def select_all(
    root_fd: int,
    patterns: tuple[str, ...],
    ignore: Ignore | None = None,
    *,
    exclude: tuple[str, ...] = (),
    parents: bool = False,
) -> tuple[Source, ...]:
    """What several patterns name, in their order, less what `exclude` leaves out."""
    found = tuple(
        source
        for pattern in patterns
        for source in select(root_fd, pattern, ignore, parents=parents)
    )
    return without(found, exclude)


def without(sources: tuple[Source, ...], exclude: tuple[str, ...]) -> tuple[Source, ...]:
    """`sources` less what the patterns of --exclude leave out of their folders.

    A pattern counts from the folder that is copied: a file that is a source itself stays. So does
    a folder that nothing is left in.
    """
    if not exclude:
        return sources
    ignore = Ignore.of(exclude)
    found = []
    for source in sources:
        if source.folders:
            found.append(source.replace(folders=tuple(_kept(source, ignore))))
        else:
            found.append(source)
    return tuple(found)


def _kept(source: Source, ignore: Ignore) -> list[Folder]:
    """The folders of a source with the files that stay; the source itself is always there."""
    kept: dict[str, Folder] = {}
    needed = {""}  # excluded folders that something below stays in are among them
    for folder in source.folders:
        top = f"{folder.path}/" if folder.path else ""
        files = [one for one in folder.files if not ignore.excludes(f"{top}{one[0]}")]
        kept[folder.path] = folder.replace(files=tuple(files))
        path = folder.path
        if files or not (ignore.excludes(path) or folder.is_way):
            while path not in needed:
                needed.add(path)
                path = path.rpartition("/")[0]
    return [folder for path, folder in kept.items() if path in needed]


def _check_folder(root_fd: int, wanted: list[str], ignore: Ignore | None) -> None:
    """NotFoundError when the folder before the first wildcard is excluded with all in it."""
    plain = _plain(wanted)
    folder = "/".join(wanted[:plain])
    has_wildcard = plain < len(wanted)
    if (
        has_wildcard
        and _hides(root_fd, folder, ignore)
        and _source(root_fd, folder, ignore) is None
    ):
        raise _missing(root_fd, folder, folder, excluded=True)


def folder_of(pattern: str) -> str:
    """The folder below which a wildcard is looked for; "" where that is the root."""
    wanted = _components(pattern)
    return "/".join(wanted[: _plain(wanted)])


def _plain(wanted: list[str]) -> int:
    """How many components come before the first wildcard."""
    return next((at for at, one in enumerate(wanted) if is_wild(one)), len(wanted))


def open_folder(root_fd: int, path: str) -> int:
    """A descriptor of the directory `path` below `root_fd`, to read from."""
    return inroot.open_path(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)


def real_path(root_fd: int, path: str) -> str:
    """`path` below `root_fd` with all its links followed, without a leading `/`."""
    fd = inroot.open_path(root_fd, path)
    try:
        top, found = (os.readlink(f"/proc/self/fd/{one}") for one in (root_fd, fd))
    finally:
        os.close(fd)
    return found.removeprefix(top).lstrip("/")


def _components(pattern: str) -> list[str]:
    """`pattern` without leading `/`, and with `..` held at the root."""
    return os.path.normpath("/" + pattern).strip("/").split("/") if pattern.strip("/.") else []


def _matches(root_fd: int, wanted: list[str]) -> list[str]:
    """The paths that `wanted`, one pattern a component, stands for; sorted.

    Links are followed before the first wildcard, not after it. What is before must be there.
    """
    plain = _plain(wanted)
    found = ["/".join(wanted[:plain])]
    for at, component in enumerate(wanted[plain:]):
        matches = name_pattern(component)
        follow = os.O_NOFOLLOW if at else 0
        found = [
            f"{path}/{name}".lstrip("/")
            for path in found
            for name in _names(root_fd, path, follow)
            if matches(name)
        ]
    return found


def _names(root_fd: int, path: str, flags: int) -> list[str]:
    """What is in a folder; nothing when it is none, NotFoundError when there is nothing."""
    try:
        return _listing(root_fd, path, flags)
    except SyscallError as error:
        if error.errno == ENOENT:
            raise _missing(root_fd, path, path, excluded=False) from None
        return []


def _listing(root_fd: int, path: str, flags: int = 0) -> list[str]:
    fd = inroot.open_path(root_fd, path, os.O_RDONLY | os.O_DIRECTORY | flags)
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def _source(root_fd: int, path: str, ignore: Ignore | None, wanted: str = "") -> Source | None:
    """The source at `path`, links followed; None when it is missing or excluded.

    What a link leads to is excluded under its own name. `wanted` is a pattern of what is to be
    seen of a folder, else all of it is.
    """
    try:
        fd = inroot.open_path(root_fd, path)
    except SyscallError:
        return None
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    name = os.path.basename(path)
    shown = real_path(root_fd, path) if ignore or wanted else path
    excluded = _hides(root_fd, path, ignore)
    if not stat.S_ISDIR(found.st_mode) or (shown != path and _excludes(ignore, path)):
        return None if excluded else Source(path, name, found)
    fd = open_folder(root_fd, path)
    try:
        seen = _Within(ignore, shown, wanted) if wanted else ignore
        folders = _walk(fd, "", shown, seen, found)
    finally:
        os.close(fd)
    if excluded and len(folders) == 1 and not folders[0].files:
        return None
    if wanted:
        named = Ignore.of(("**", f"!{wanted}"))
        folders = [one.replace(is_way=named.excludes(one.path)) for one in folders]
    return Source(path, name, found, tuple(folders))


def _walk(
    fd: int, path: str, shown: str, ignore: Ignore | None, found: os.stat_result
) -> list[Folder]:
    """The directory `fd` and all below; `shown` is its path as .dockerignore knows it."""
    files = []
    below: list[Folder] = []
    with os.scandir(fd) as entries:
        ordered = sorted(entries, key=_name)
    for entry in ordered:
        name = entry.name
        inner = f"{shown}/{name}" if shown else name
        excluded = ignore is not None and ignore.excludes(inner)
        if not entry.is_dir(follow_symlinks=False):
            if not excluded:
                files.append((name, entry.stat(follow_symlinks=False)))
        elif not excluded or (ignore is not None and ignore.may_reinclude(inner)):
            folders = _descend(fd, name, f"{path}/{name}" if path else name, inner, ignore)
            if not excluded or len(folders) > 1 or folders[0].files:
                below += folders
    return [Folder(path, found, tuple(files)), *below]


def _descend(fd: int, name: str, path: str, shown: str, ignore: Ignore | None) -> list[Folder]:
    if path.count("/") >= _MAX_DEPTH:
        raise RootlessError(f"{path[:60]}… is nested more than {_MAX_DEPTH} directories deep")
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
    try:
        return _walk(inner, path, shown, ignore, os.fstat(inner))
    finally:
        os.close(inner)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _hides(root_fd: int, path: str, ignore: Ignore | None) -> bool:
    """Whether a path is excluded, or what it leads to."""
    if ignore is None:
        return False
    try:
        real = real_path(root_fd, path)
    except SyscallError:  # it leads nowhere
        real = path
    return _excludes(ignore, path) or _excludes(ignore, real)


def _excludes(ignore: Ignore | None, path: str) -> bool:
    return ignore is not None and path != "" and ignore.excludes(path)


def _missing(root_fd: int, pattern: str, path: str, *, excluded: bool) -> NotFoundError:
    if excluded:
        return NotFoundError(
            f'"{pattern}" is excluded by .dockerignore',
            hint=f"add a line !{pattern.lstrip('/')} to .dockerignore to let it in",
        )
    if ".." in pattern.split("/"):
        hint = (
            "nothing outside of the context can be copied: "
            "build with the directory above as the context, and name the Dockerfile with -f"
        )
        return NotFoundError(f'"{pattern}" not found', hint=hint)
    from rootless import nearest

    folder, _, name = path.rpartition("/")
    try:
        beside = _listing(root_fd, folder)
    except SyscallError:
        beside = []
    meant = nearest.hint(name, beside, prefix=f"{folder}/" if folder else "")
    return NotFoundError(
        f'"{pattern}" not found',
        hint=meant
        or "sources are paths inside the context, less what .dockerignore leaves out, "
        "or inside what --from names",
    )
