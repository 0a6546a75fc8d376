"""The command in front of a container that has a monitor of its own, and what ties the two.

A socket carries what is typed and shown, as for whoever attaches. A container that is tied to its
command hangs on a leash besides: a pipe of which the command holds the writing end. Its end without
a word means that the command is gone, in whatever way, and ends the container; one byte lets go of
it. Made in the command's process before the monitor is forked from it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket


class Front:
    """Both ends, until each process has said which it is."""

    def __init__(self, *, tied: bool) -> None:
        from _socket import AF_UNIX, SOCK_STREAM, socketpair

        self.here, self.there = socketpair(AF_UNIX, SOCK_STREAM)
        self._leash_there, self._leash_here = os.pipe() if tied else (-1, -1)

    def in_monitor(self) -> tuple[socket, int]:
        """The monitor's ends: of the socket, and of the leash, -1 where there is none."""
        self.here.close()
        _close(self._leash_here)
        return self.there, self._leash_there

    def in_command(self) -> socket:
        """The command's end of the socket."""
        self.there.close()
        _close(self._leash_there)
        return self.here

    def let_go(self) -> None:
        """The container is to go on without this command."""
        if self._leash_here >= 0:
            try:
                os.write(self._leash_here, b"x")
            except BrokenPipeError:  # it has ended just now
                pass


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
