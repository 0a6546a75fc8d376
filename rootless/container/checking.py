"""Carrying out a container's health checks: each is one more process in it, as of `exec`.

`Watch` is a process of the monitor's that makes them in turn and keeps what it finds in
health.json. It ends with the monitor, and holds nothing of it: no lock, no stream of the
container's. A check that takes too long is killed; what it started goes on, as in docker.
"""

from __future__ import annotations

import _signal
import os
import select
import time

from rootless import linux, process
from rootless.container import enter, events, health, homes, records
from rootless.container.health import Check, Health
from rootless.container.spec import Container
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.oci.config import Healthcheck
    from rootless.sandbox.spawn import Child
    from rootless.store import Store

_LONGEST = 1_000_000.0  # seconds of one poll(2)
_CHUNK = 1 << 16


class Watch:
    """Makes the checks of a container that runs, from now on until `end`."""

    def __init__(self, store: Store, container_id: str, rule: Healthcheck) -> None:
        parent = os.getpid()
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _live(store, container_id, rule, parent)
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def end(self) -> None:
        """Make none any more."""
        os.kill(self._pid, _signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _live(store: Store, container_id: str, rule: Healthcheck, parent: int) -> NoReturn:
    """The process's whole life."""
    try:
        process.die_with_parent(parent)
        os.setsid()
        for number in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP}:
            _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        linux.close_range(0)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        _watch(store, container_id, rule)
    finally:
        os._exit(0)


def _watch(store: Store, container_id: str, rule: Healthcheck) -> None:
    """Until it is killed, or the container is gone. One that is paused is left in peace."""
    container = records.load(store, container_id)
    assert isinstance(container, Container)
    started = container.state.started
    found = (container.state.health or Health()).begun_anew()
    homes.tell_health(store, container, found)
    while True:
        time.sleep(found.pause(rule, time.time() - started))
        container = records.load(store, container_id)
        if not isinstance(container, Container):
            return
        if container.state.status == "running":
            before, found = found, found.after(check(store, container, rule), rule, started)
            homes.tell_health(store, container, found)
            if found.status != before.status:
                events.tell(store, f"health_status: {found.status}", container.spec)
            if found.status == health.UNHEALTHY:
                react(store, container)


def react(store: Store, container: Container) -> None:
    """Do what its user wants done when it is unhealthy, if anything."""
    action = container.spec.on_unhealthy
    if not action:
        return
    from rootless.container import life

    if action == "kill":
        life.kill(store, container, _signal.SIGKILL)
    else:
        life.Ending(store, container, for_good=action == "stop").await_end()


def check(store: Store, container: Container, rule: Healthcheck) -> Check:
    """Make one check. What cannot be carried out is a failure, and its output says why."""
    start = time.time()
    try:
        code, output = _execute(store, container, rule)
    except RootlessError as error:
        code, output = health.TIMED_OUT, error.message
    return Check(start, time.time(), code, output)


def _execute(store: Store, container: Container, rule: Healthcheck) -> tuple[int, str]:
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    read_fd, write_fd = process.pipe()
    os.set_blocking(read_fd, False)
    seconds = health.timeout(rule)
    until = time.monotonic() + seconds
    try:
        try:
            entry = enter.Entry(health.command(rule))
            child = enter.begin(store, container, entry, (null, write_fd, write_fd))
        finally:
            os.close(write_fd)
            os.close(null)
        output = _Output(read_fd)
        try:
            child.await_exec(until)
            has_ended = _ends(child, output, until)
        except TimeoutError:
            has_ended = False
        if not has_ended:
            child.end()
            return health.TIMED_OUT, f"Health check exceeded timeout ({seconds:g}s)"
        return child.wait(), output.text()
    finally:
        os.close(read_fd)


class _Output:
    """What comes through a pipe: its beginning is kept."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._kept = bytearray()
        self._is_cut = False

    def read(self) -> bool:
        """Take what is there; whether more may come."""
        try:
            content = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return True
        room = health.MOST_OUTPUT - len(self._kept)
        self._kept += content[:room]
        self._is_cut = self._is_cut or len(content) > room
        return bool(content)

    def text(self) -> str:
        """All that is left in the pipe, too, which others may still hold open."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while poll.poll(0) and self.read():
            pass
        return self._kept.decode(errors="replace") + ("..." if self._is_cut else "")


def _ends(child: Child, output: _Output, until: float) -> bool:
    """Wait for the command, and take what it says; False when the time is over."""
    pidfd = os.pidfd_open(child.pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(output.fd, select.POLLIN)
    try:
        while (left := until - time.monotonic()) > 0:
            ready = dict(poll.poll(min(left, _LONGEST) * 1000))
            if output.fd in ready and not output.read():
                poll.unregister(output.fd)
            if pidfd in ready:
                return True
        return False
    finally:
        os.close(pidfd)
