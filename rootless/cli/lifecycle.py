"""`create`, `start`, `stop`, `kill`, `restart`, `wait` and `rename`: a container's life."""

from __future__ import annotations

from rootless import userns
from rootless.cli import words
from rootless.container import homes, life, records
from rootless.container.spec import Container, Damaged
from rootless.errors import RootlessError, UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings


def create(given: Settings, arguments: Arguments) -> int:
    """Make a container that is not started yet, and print its id."""
    from rootless.cli import run
    from rootless.container.state import ContainerState

    made = run.make(given, arguments)
    try:
        run.write_cidfile(made.home)
    except BaseException:
        made.home.discard()
        raise
    made.home.tell(ContainerState("created"))
    made.home.let_go()
    print(made.home.spec.id)
    return 0


def start(given: Settings, arguments: Arguments) -> int:
    """Start containers that do not run, in the background or attached to this terminal."""
    store = Store(given.root)
    if arguments.attach or arguments.interactive:
        if len(arguments.names) > 1:
            raise UsageError("you cannot start and attach multiple containers at once")
        from rootless.cli import attach

        return attach.start(given, store, find(store, arguments.names[0]), arguments)
    ids = _enter(given, store, arguments.names)
    return each(arguments.names, lambda name: _start(given, store, ids, find(store, name)))


def _start(
    given: Settings,
    store: Store,
    ids: userns.IdMap,
    container: Container,
    before: frozenset[str] = frozenset(),
) -> None:
    """Start it, and before it what it requires; `before` are the ids on the way here."""
    from rootless.cli import run
    from rootless.container import monitor

    if container.state.status == "paused":
        raise RootlessError(
            "cannot start a paused container, try unpause instead",
            hint=f"rootless unpause {container.name}",
        )
    if not container.is_running and container.id not in before:
        for name in container.spec.requires:
            _start(given, store, ids, find(store, name), before | {container.id})
        ground = run.grounded(given, store, life.image(store, container), ids)
        life.start(ground, container, monitor.Told(lambda _: None, warn=words.warn))


def _enter(given: Settings, store: Store, names: tuple[str, ...]) -> userns.IdMap:
    """Be where all of these can be started."""
    from rootless.container import networking

    found = (records.search(store, name) for name in names)
    specs = [one.spec for one in found if isinstance(one, Container)]
    return networking.begin(store, specs, given.environment.get("PATH", "")).finish()


def stop(given: Settings, arguments: Arguments) -> int:
    """Ask containers to end, and end them when they do not."""
    store = Store(given.root)
    seconds = _seconds(arguments)
    return each(
        arguments.names,
        lambda name: life.stop(store, find(store, name), seconds, arguments.signal or ""),
    )


def kill(given: Settings, arguments: Arguments) -> int:
    """Send containers a signal, SIGKILL unless another is named."""
    store = Store(given.root)
    number = life.signal_number(arguments.signal or "KILL")
    return each(arguments.names, lambda name: life.kill(store, find(store, name), number))


def restart(given: Settings, arguments: Arguments) -> int:
    """Stop containers and start them again, in the background."""
    store = Store(given.root)
    seconds = _seconds(arguments)
    ids = _enter(given, store, arguments.names)

    def again(name: str) -> None:
        container = find(store, name)
        life.stop(store, container, seconds, arguments.signal or "")
        _start(given, store, ids, find(store, container.id))

    return each(arguments.names, again)


def wait(given: Settings, arguments: Arguments) -> int:
    """Wait until containers have ended, and print their exit statuses."""
    store = Store(given.root)

    def end(name: str) -> str:
        container = find(store, name)
        homes.await_release(store, container)
        found = records.search(store, container.id)
        return str(found.state.exit_code if isinstance(found, Container) else 0)

    return each(arguments.names, end)


def rename(given: Settings, arguments: Arguments) -> int:
    """Give a container another name."""
    store = Store(given.root)
    container = find(store, arguments.container)
    name = arguments.name.removeprefix("/")
    if container.name == name:
        raise RootlessError("Renaming a container with the same name as its current name")
    homes.rewrite(store, container.spec.replace(name=name))
    return 0


def find(store: Store, name: str) -> Container:
    """The container of this name or id; RootlessError when its record is damaged, too."""
    found = records.find(store, name)
    if isinstance(found, Damaged):
        raise RootlessError(
            f"container {found.id[:12]} is damaged: {found.why}",
            hint=f"its files are in {store.path('containers', found.id, 'diff')}",
        )
    return found


def each(names: tuple[str, ...], do: Callable[[str], str | None]) -> int:
    """Do it for every name, and print each, or what it answers; goes on after an error, which is
    raised at the end.
    """
    errors: list[RootlessError] = []
    for name in names:
        try:
            answer = do(name)
        except RootlessError as error:
            errors.append(error)
        else:
            print(words.escape(name if answer is None else answer), flush=True)
    if errors:
        raise RootlessError("\n".join(error.message for error in errors), hint=errors[0].hint)
    return 0


def _seconds(arguments: Arguments) -> int | None:
    """--time, and its newer name."""
    text = arguments.timeout if arguments.timeout is not None else arguments.time
    if text is None:
        return None
    if not text.removeprefix("-").isdecimal():
        raise UsageError(f"--time {text!r} is not a number of seconds", hint="write -t 10")
    return int(text[:9])
