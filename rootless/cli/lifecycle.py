"""`create`, `start`, `stop`, `kill`, `restart`, `wait` and `rename`: a container's life."""

from __future__ import annotations

from rootless import userns
from rootless.cli import words
from rootless.cli.finding import find
from rootless.cli.several import Several
from rootless.container import events, homes, life, records
from rootless.container.spec import Container
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.spec import ContainerSpec

_ENDED = dict.fromkeys(("stopped", "not-running", "next-exit"), "exited")
_GLANCE = 0.1  # seconds between two looks at a state


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
    several = Several(store, arguments, lambda one: not one.is_running)
    if arguments.attach or arguments.interactive:
        if len(several.names) != 1:
            raise UsageError("you cannot start and attach multiple containers at once")
        from rootless.cli import attach

        return attach.start(given, store, several.find(several.names[0]), arguments)
    ids = _enter(given, store, several.names)
    return each(several.names, lambda name: _start(given, store, ids, several.find(name)))


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
        start_required(given, store, ids, container.spec, before)
        ground = run.grounded(given, store, life.image(store, container), ids)
        life.start(ground, container, monitor.Told(lambda _: None, warn=words.warn))


def start_required(
    given: Settings,
    store: Store,
    ids: userns.IdMap,
    spec: ContainerSpec,
    before: frozenset[str] = frozenset(),
) -> None:
    """Start what a container requires. RootlessError."""
    for name in spec.requires:
        _start(given, store, ids, find(store, name), before | {spec.id})


def _enter(given: Settings, store: Store, names: tuple[str, ...]) -> userns.IdMap:
    """Be where all of these can be started."""
    from rootless.container import networking

    found = (records.search(store, name) for name in names)
    specs = [one.spec for one in found if isinstance(one, Container)]
    return networking.begin(store, specs, given.environment.get("PATH", "")).finish()


def stop(given: Settings, arguments: Arguments) -> int:
    """Ask containers to end, and end them when they do not; all at once."""
    store = Store(given.root)
    several = Several(store, arguments, _is_running)
    await_end = _asked(store, several, arguments)
    return each(several.names, lambda name: _nothing(await_end(name)))


def _nothing(_: object) -> None:
    """The name itself is printed."""


def _is_running(container: Container) -> bool:
    return container.is_running


def _asked(store: Store, several: Several, arguments: Arguments) -> Callable[[str], Container]:
    """Ask all to end; what waits for one, or raises why it could not be asked."""
    seconds = _seconds(arguments)
    asked: dict[str, life.Ending | RootlessError] = {}
    for name in several.names:
        try:
            container = several.find(name)
            asked[name] = life.Ending(store, container, seconds, arguments.signal or "")
        except RootlessError as error:
            asked[name] = error

    def await_end(name: str) -> Container:
        ending = asked[name]
        if isinstance(ending, RootlessError):
            raise ending
        ending.await_end()
        return ending.container

    return await_end


def kill(given: Settings, arguments: Arguments) -> int:
    """Send containers a signal, SIGKILL unless another is named."""
    store = Store(given.root)
    number = life.signal_number(arguments.signal or "KILL")
    several = Several(store, arguments, _is_running)
    return each(several.names, lambda name: life.kill(store, several.find(name), number))


def restart(given: Settings, arguments: Arguments) -> int:
    """Stop containers and start them again, in the background."""
    store = Store(given.root)
    several = Several(store, arguments)
    ids = _enter(given, store, several.names)
    await_end = _asked(store, several, arguments)

    def again(name: str) -> None:
        container = several.find(await_end(name).id)
        _start(given, store, ids, container)
        events.tell(store, "restart", container.spec)

    return each(several.names, again)


def pause(given: Settings, arguments: Arguments) -> int:
    """Stop all processes of containers, until `unpause`."""
    from rootless.container import paused

    store = Store(given.root)
    several = Several(store, arguments, lambda one: one.state.status == "running")
    return each(several.names, lambda name: paused.pause_for_good(store, several.find(name)))


def unpause(given: Settings, arguments: Arguments) -> int:
    """Let the processes of paused containers go on."""
    from rootless.container import paused

    store = Store(given.root)
    several = Several(store, arguments, lambda one: one.state.status == "paused")
    return each(several.names, lambda name: paused.unpause(store, several.find(name)))


def wait(given: Settings, arguments: Arguments) -> int:
    """Wait until containers have ended, and print their exit statuses."""
    store = Store(given.root)
    several = Several(store, arguments)
    conditions = tuple(map(_condition, arguments.condition))

    def end(name: str) -> str:
        container = several.find(name)
        if conditions:
            return _await_status(store, container, conditions)
        homes.await_release(store, container)
        found = records.search(store, container.id)
        if isinstance(found, Container):
            return str(found.state.exit_code)
        return _last_status(store, container)

    return each(several.names, end)


def _last_status(store: Store, container: Container) -> str:
    """How one ended that is removed by now; RootlessError where nobody has told."""
    from rootless.container.events import Journal

    told = [
        event["Actor"]["Attributes"].get("exitCode")
        for event in Journal(store).read()
        if event.get("id") == container.id and event.get("Action") == "die"
    ]
    if not told or not isinstance(told[-1], str):
        raise NotFoundError(f"No such container: {container.name}")
    return told[-1]


def _condition(text: str) -> str:
    """Podman's word for a state, in ours; docker's two for the end. UsageError."""
    from rootless.container.state import STATUSES

    status = _ENDED.get(text, text)
    if status not in STATUSES:
        raise UsageError(
            f"--condition {text!r} is no state", hint=f"there are {', '.join(STATUSES)}"
        )
    return status


def _await_status(store: Store, container: Container, wanted: tuple[str, ...]) -> str:
    """Wait until it is in one of the states, or is gone; its exit status, -1 while it runs."""
    from time import sleep

    while isinstance(found := records.search(store, container.id), Container):
        if found.state.status in wanted:
            return "-1" if found.is_running else str(found.state.exit_code)
        sleep(_GLANCE)
    return "0"


def rename(given: Settings, arguments: Arguments) -> int:
    """Give a container another name."""
    store = Store(given.root)
    name = arguments.name.removeprefix("/")
    if not name or not arguments.container:
        raise UsageError("Neither old nor new names may be empty")
    container = find(store, arguments.container)
    if container.name == name:
        raise RootlessError("Renaming a container with the same name as its current name")
    homes.rewrite(store, container, lambda now: now.replace(name=name))
    return 0


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
