"""The context's files that the COPYs and ADDs of one build name; each is looked up once.

Docker sends only what the needed stages name: a folder none of whose files are named is not there.
So a wildcard below a folder must match something, unless something else of the build takes files
of that folder. Runs in the builder, and only reads.
"""

from __future__ import annotations

from rootless.build import tree
from rootless.build.steps import CopyFiles
from rootless.errors import NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeGuard

    from rootless.build.context import Context
    from rootless.build.steps import Action, Recipe
    from rootless.build.tree import Source


class Selection:
    """What every action of `recipes` takes from the `context`."""

    def __init__(self, context: Context | None, recipes: Iterable[Recipe]) -> None:
        self._context = context
        actions = (step.action for recipe in recipes for step in recipe.steps)
        self._actions = [one for one in actions if _reads_context(one)]
        self._found: dict[CopyFiles, dict[str, tuple[Source, ...]]] = {}

    def of(self, action: Action) -> tuple[Source, ...]:
        """What an action names, in its order; NotFoundError when docker would not find it."""
        if not _reads_context(action):
            return ()
        found = self._look(action)
        for pattern, sources in found.items():
            folder = tree.folder_of(pattern)
            if not sources and folder and not self._is_sent(folder):
                raise NotFoundError(
                    f'"{pattern}" matches nothing',
                    hint="a wildcard below a folder must match a file that .dockerignore lets in",
                )
        return tuple(source for pattern in action.sources for source in found[pattern])

    def _look(self, action: CopyFiles) -> dict[str, tuple[Source, ...]]:
        """The sources of each pattern; only that of a wildcard may be without one."""
        assert self._context is not None  # or the recipes had been refused
        if action not in self._found:
            self._found[action] = {
                pattern: tree.select(
                    self._context.fd, pattern, self._context.ignore, parents=action.parents
                )
                for pattern in action.sources
            }
        return self._found[action]

    def _is_sent(self, folder: str) -> bool:
        return any(
            source.path == folder
            or source.path.startswith(f"{folder}/")
            or (source.folders and f"{folder}/".startswith(f"{source.path}/".lstrip("/")))
            for source in self._sent()
        )

    def _sent(self) -> Iterator[Source]:
        for action in self._actions:
            try:
                found = self._look(action)
            except NotFoundError:  # its own step says so
                continue
            for sources in found.values():
                yield from sources


def _reads_context(action: Action) -> TypeGuard[CopyFiles]:
    return isinstance(action, CopyFiles) and action.origin is None and bool(action.sources)
