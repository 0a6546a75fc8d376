"""Waiting for many descriptors at once: who serves sockets says what is called when one is ready.

Runs in the holder and in the process that forwards published ports. One thread, no buffers.
"""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR


class Loop:
    """`watch` descriptors, then `run`."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._calls: dict[int, Callable[[int], object]] = {}

    def watch(self, fd: int, events: int, call: Callable[[int], object]) -> None:
        """From now on, or differently from now on: `call(events)` when one of `events` is there."""
        if fd in self._calls:
            self._poll.modify(fd, events)
        else:
            self._poll.register(fd, events)
        self._calls[fd] = call

    def forget(self, fd: int) -> None:
        """Before it is closed; harmless twice."""
        if self._calls.pop(fd, None):
            self._poll.unregister(fd)

    def run(self, tick: Callable[[], bool], seconds: float) -> None:
        """Until `tick`, called at least every `seconds`, says False."""
        while tick():
            for fd, events in self._poll.poll(seconds):
                if call := self._calls.get(fd):
                    call(events)
