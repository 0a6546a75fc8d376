"""Starting containers again, and ending them, from any process of the user's.

`start` runs as uid 0 of the user namespace, the others anywhere: a container's supervisor belongs
to the user, and passes signals on to process 1. What is to end is marked first, so that its monitor
does not start it again.
"""

from __future__ import annotations

import _signal

from rootless import living
from rootless.container import events, homes, launch, monitor, records, writable
from rootless.container.spec import Container
from rootless.errors import RootlessError
from rootless.store import ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.front import Front
    from rootless.container.spec import Damaged
    from rootless.container.start import Ground
    from rootless.store import Store
    from rootless.store.ready import Ready

_PATIENCE = 10  # seconds, where neither the container nor the user says how long
_ENOUGH = 3  # times that somebody who is attached is asked to end
_GONE = 10.0  # seconds for a killed one to be gone


def image(store: Store, container: Container) -> Ready:
    """What a container is made of, held. RootlessError when it is not here any more."""
    return ready.of(store, writable.image(store, container))


def start(
    ground: Ground, container: Container, told: monitor.Told, front: Front | None = None
) -> None:
    """Start a container that has been made before; returns when its command runs.

    Nothing happens where it runs by now. RootlessError when it cannot be started: it stays as it
    is, and says why in its state.
    """
    home = homes.hold(ground.store, container)
    if home is None:
        return
    try:
        launch.in_background(ground, home, told, front)
    finally:
        home.let_go()


def _stop_signal(container: Container) -> int:
    """What its image or its user has chosen, if that is one."""
    try:
        return signal_number(container.spec.run.stop_signal or "TERM")
    except RootlessError:
        return int(_signal.SIGTERM)


class Ending:
    """A container that has been asked to end; `await_end` sees to it that it does.

    So that many can be asked before one is waited for.
    """

    def __init__(
        self,
        store: Store,
        container: Container,
        seconds: int | None = None,
        signal: str = "",
        *,
        for_good: bool = True,
    ) -> None:
        """Ask it by its own signal or this one; after so many seconds it is killed, with less than
        0 never. Nothing happens where it does not run. Unless `for_good` it is started again.
        """
        from time import monotonic

        self._store = store
        self.container = container
        self._process: living.Process | None = None
        if not container.is_running:
            return
        number = signal_number(signal) if signal else _stop_signal(container)
        self._is_for_good = for_good
        (homes.ask_to_stop if for_good else homes.ask_to_begin_again)(store, container)
        self._process = records.process_of(store, container)
        patience = seconds if seconds is not None else container.spec.stop_timeout
        patience = _PATIENCE if patience is None else patience
        self._until = monotonic() + (patience or _GONE) if patience >= 0 else None
        for one in (number, _signal.SIGKILL) if patience == 0 else (number,):
            if self._process:
                self._tell_of(one)
                living.signal(self._process, one)

    def _tell_of(self, number: int) -> None:
        events.tell(self._store, "kill", self.container.spec, signal=str(int(number)))

    def await_end(self) -> None:
        """Return when it has ended, and nobody runs it any more."""
        from time import monotonic

        if not self.container.is_running:
            return
        left = None if self._until is None else max(self._until - monotonic(), 0)
        if self._process and not living.end(self._process, 0, left):
            self._tell_of(_signal.SIGKILL)
            living.kill(self._process, _GONE)
        if self._is_for_good:
            homes.await_release(self._store, self.container)
        events.tell(self._store, "stop", self.container.spec)


def replace(store: Store, name: str) -> None:
    """End and remove the container that has this name, if there is one. RootlessError."""
    found = next((one for one in records.everything(store) if _is_called(one, name)), None)
    if not isinstance(found, Container):
        return
    Ending(store, found).await_end()
    if records.is_recorded(store, found.id):
        homes.remove(store, found)


def _is_called(one: Container | Damaged, name: str) -> bool:
    return isinstance(one, Container) and one.name == name


def kill(store: Store, container: Container, number: int) -> None:
    """Send it a signal; RootlessError where it does not run. SIGKILL is its end for good."""
    process = records.process_of(store, container) if container.is_running else None
    if process is None:
        raise RootlessError(
            f"cannot kill container: {container.name}: container {container.id} is not running"
        )
    events.tell(store, "kill", container.spec, signal=str(int(number)))
    if number == _signal.SIGKILL:
        homes.ask_to_stop(store, container)
        living.kill(process, _GONE)
        homes.await_release(store, container)
    else:
        living.signal(process, number)


def pass_signals(store: Store, container: Container) -> None:
    """From now on what asks this process to end is for the container. Asked a third time it goes,
    for one that is paused, or does not care, would keep it for ever.
    """
    distant = Distant(store, container)
    asked = [0]

    def forward(number: int, _: object) -> None:
        asked[0] += number in (_signal.SIGINT, _signal.SIGTERM)
        if asked[0] >= _ENOUGH:
            raise SystemExit(1)
        distant.kill(number)

    for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM):
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, forward)


class Distant:
    """A container in the hands of another process, as `foreground` wants its child to be."""

    def __init__(self, store: Store, container: Container) -> None:
        self._store = store
        self._container = container

    def kill(self, signal: int = 9) -> None:
        """Send it a signal, unless it has ended."""
        if process := records.process_of(self._store, self._container):
            living.signal(process, signal)


def signal_number(text: str) -> int:
    """Of `TERM`, `SIGTERM`, `15` or `RTMIN+3`; RootlessError for what is none."""
    if text.isdecimal() and 0 < int(text[:4]) < _signal.NSIG:
        return int(text)
    name, plus, more = text.upper().removeprefix("SIG").partition("+")
    number = getattr(_signal, f"SIG{name}", None)
    if isinstance(number, int) and name and (not plus or (name == "RTMIN" and more.isdecimal())):
        number += int(more[:3] or 0)
        if number < _signal.NSIG:
            return number
    raise RootlessError(f"invalid signal: {text}", hint="name it as in TERM, SIGTERM or 15")
