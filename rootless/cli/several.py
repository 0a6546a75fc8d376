"""Which containers a verb is about: those named, and those that podman's flags mean.

The store is looked through once, however many names there are.
"""

from __future__ import annotations

from rootless.cli.parser import CommandLineError
from rootless.container import records
from rootless.container.spec import Container, Damaged
from rootless.errors import NotFoundError, RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.cli.parser import Arguments
    from rootless.store import Store


class Several:
    """`names` are as they were typed, or ids; `find` gives the container of one as it is now."""

    def __init__(
        self,
        store: Store,
        arguments: Arguments,
        every: Callable[[Container], bool] = lambda _: True,
    ) -> None:
        """`every` says which containers --all means. UsageError where nothing is named."""
        self._store = store
        self._listed = records.everything(store)
        self._ignores = getattr(arguments, "ignore", False)
        self.names = tuple(dict.fromkeys(self._named(arguments, every)))

    def find(self, name: str) -> Container:
        """The container of a name, read anew; RootlessError when its record is damaged, too."""
        known = records.match(self._listed, name)
        found = records.load(self._store, known.id) if known else None
        return usable(self._store, found or records.find(self._store, name))

    def _named(self, arguments: Arguments, every: Callable[[Container], bool]) -> tuple[str, ...]:
        containers = [one for one in self._listed if isinstance(one, Container)]
        named = [*arguments.names, *map(_from_file, getattr(arguments, "cidfiles", ()))]
        if self._ignores:
            named = [name for name in named if records.match(self._listed, name)]
        if arguments.latest:
            named += [one.id for one in containers[:1]]
        if arguments.filters:
            from rootless.cli.chosen import Chosen

            chosen = Chosen(self._store, arguments.filters)
            named += [one.id for one in containers if chosen.has(one)]
        elif arguments.all:
            named += [one.id for one in containers if every(one)]
        asked = arguments.names or arguments.latest or arguments.filters or arguments.all
        if not (asked or getattr(arguments, "cidfiles", ())):
            raise CommandLineError(
                "this command requires at least 1 argument", hint="name a container, or --all"
            )
        if arguments.names and (arguments.all or arguments.latest):
            raise UsageError("--all and --latest go without names", hint="leave out one of them")
        return tuple(named)


def _from_file(path: str) -> str:
    from rootless.cli import files

    text = files.read(path).decode(errors="replace").strip()
    if not text:
        raise NotFoundError(f"{path} holds no container's id")
    return text


def usable(store: Store, found: Container | Damaged) -> Container:
    """The container, if its record can be read."""
    if isinstance(found, Damaged):
        raise RootlessError(
            f"container {found.id[:12]} is damaged: {found.why}",
            hint=f"its files are in {store.path('containers', found.id, 'diff')}",
        )
    return found
