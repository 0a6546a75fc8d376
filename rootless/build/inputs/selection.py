"""The context's files that the COPYs and ADDs of one build name; each is looked up once.

Docker sends only what the needed stages name: a folder none of whose files are named is not there.
So a wildcard below a folder must match something, unless something else of the build takes files
of that folder. Runs in the builder, and only reads.
"""

from __future__ import annotations

import os

from rootless.build.inputs import tree
from rootless.build.plan.actions import CopyFiles
from rootless.dockerfile.ignore import Ignore
from rootless.dockerfile.patterns import is_wild, name_pattern
from rootless.errors import NotFoundError
from rootless.linux import SyscallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeGuard

    from rootless.build.inputs.context import Context
    from rootless.build.inputs.tree import Source
    from rootless.build.plan.actions import Action
    from rootless.build.plan.steps import Recipe


class Selection:
    """What every action of `recipes` takes from the `context`."""

    def __init__(self, context: Context | None, recipes: Iterable[Recipe]) -> None:
        self._context = context
        actions = [step.action for recipe in recipes for step in recipe.steps]
        copies = [one for action in actions for one in (action, *action.shown)]
        self._patterns = [text for one in copies if _reads_context(one) for text in one.sources]
        self._found: dict[CopyFiles, tuple[Source, ...]] = {}

    def of(self, action: Action) -> tuple[Source, ...]:
        """What an action names, in its order; NotFoundError when docker would not find it."""
        if not _reads_context(action):
            return ()
        if action not in self._found:
            found = tuple(
                source for pattern in action.sources for source in self._look(action, pattern)
            )
            self._found[action] = tree.without(found, action.exclude)
        return self._found[action]

    def _look(self, action: CopyFiles, pattern: str) -> tuple[Source, ...]:
        assert self._context is not None  # or the recipes had been refused
        fd, ignore = self._context.fd, self._context.ignore
        found = tree.select(fd, pattern, ignore, parents=action.parents)
        if not found and (folder := tree.folder_of(pattern)):
            sent = Ignore.of(followed(fd, self._patterns))
            if not _has(fd, folder, sent, ignore):
                raise NotFoundError(
                    f'"{pattern}" matches nothing',
                    hint="a wildcard below a folder must match a file that .dockerignore lets in",
                )
        return found


def _reads_context(action: Action) -> TypeGuard[CopyFiles]:
    return isinstance(action, CopyFiles) and action.reads_context


def followed(root_fd: int, patterns: Iterable[str]) -> set[str]:
    """The paths and patterns that docker sends for a build that names `patterns`.

    Those without links in them, and the links. What comes after a wildcard that matches a link is
    looked for behind the link; and all that the wildcard matches is sent.
    """
    found: set[str] = set()
    pending = [_relative(pattern) for pattern in patterns]
    while pending:
        seen, rest = "", pending.pop()  # nothing is all of it
        while rest:
            name, _, rest = rest.partition("/")
            seen = f"{seen}/{name}".lstrip("/")
            targets = _targets(root_fd, seen)
            if targets and seen not in found:
                pending += [_relative(f"{target}/{rest}") for target in targets]
            if targets or not rest:
                found.add(seen)
                break
        else:
            found.add("**")
    return found


def _relative(path: str) -> str:
    """Without a leading `/`, and with `..` held at the root."""
    return os.path.normpath("/" + path).strip("/")


def _targets(root_fd: int, path: str) -> list[str]:
    """Where a link leads, from the root; or all the links that a wildcard at the end matches."""
    folder, _, name = path.rpartition("/")
    matches = name_pattern(name) if is_wild(name) else name.__eq__
    try:
        fd = tree.open_folder(root_fd, folder)
    except SyscallError:
        return []
    try:
        with os.scandir(fd) as entries:
            links = [one.name for one in entries if one.is_symlink() and matches(one.name)]
        texts = [os.readlink(link, dir_fd=fd) for link in links]
    finally:
        os.close(fd)
    return [text if text.startswith("/") else f"/{folder}/{text}" for text in texts]


def _has(root_fd: int, path: str, sent: Ignore, ignore: Ignore | None) -> bool:
    """Whether anything of a folder is sent, be it the folder alone."""

    def is_sent(name: str) -> bool:
        return sent.excludes(name) and not (ignore and ignore.excludes(name))

    real = tree.real_path(root_fd, path)
    return not real or any(
        is_sent(name)
        for folder, _, files, _ in os.fwalk(real, dir_fd=root_fd)
        for name in (folder, *(f"{folder}/{file}" for file in files))
    )
