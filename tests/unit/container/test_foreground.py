"""Which signals a container gets that runs in the foreground."""

from __future__ import annotations

import os
import signal

import pytest

from rootless.container import foreground
from tests.support.child import in_child


class Started:
    """A container that notes what it is sent."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def kill(self, number: int = 9) -> None:
        self.got.append(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_comes_while_it_starts_is_for_the_container(number):
    """It may speak, and be answered, before whoever started it knows what it has started."""

    def too_early(*_):
        raise AssertionError("this process got it")

    def spawn():
        os.kill(os.getpid(), number)
        return Started()

    def body():
        signal.signal(number, too_early)
        child = foreground.spawned(spawn, print)
        os.kill(os.getpid(), number)
        return child.got

    assert in_child(body, enter=False) == [number, number]


def test_the_third_request_to_end_is_not_asked_any_more():
    told = []

    def body():
        child = foreground.spawned(Started, told.append)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        return child.got, told

    said = "got 3 SIGTERM/SIGINTs, forcefully exiting"
    assert in_child(body, enter=False) == ([signal.SIGINT, signal.SIGTERM, 9], [said])


def test_what_the_caller_ignores_stays_ignored():
    def body():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        child = foreground.spawned(Started, print)
        os.kill(os.getpid(), signal.SIGHUP)
        return child.got

    assert in_child(body, enter=False) == []
