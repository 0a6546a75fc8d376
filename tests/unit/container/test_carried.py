"""Streams carried by a command, way by way."""

from __future__ import annotations

import os
from select import POLLIN, POLLOUT

import pytest

from rootless.container.carried import _Way

_FULL = 1 << 16


@pytest.fixture
def way():
    """A way between two pipes, and what is to be written to and read from."""
    (source, into), (out_of, target) = os.pipe(), os.pipe()
    for fd in (source, target):
        os.set_blocking(fd, False)
    yield _Way(source, target), into, out_of
    for fd in (source, target, into, out_of):
        os.close(fd)


def test_what_another_reader_has_taken_is_waited_for_anew(way):
    """Readers of one pipe: it was ready, and is empty. The target is ready all the time."""
    carried, into, out_of = way
    source = carried.awaited()
    for _ in range(2):
        assert carried.carry() == 0
    assert carried.awaited() == source
    assert source[1] == POLLIN
    os.write(into, b"more")
    assert carried.carry() == 4
    assert os.read(out_of, 9) == b"more"


def test_who_does_not_read_is_waited_for(way):
    carried, into, out_of = way
    os.write(into, b"x" * _FULL)
    assert carried.carry() == _FULL
    os.write(into, b"y")
    assert carried.carry() == 0
    assert carried.awaited()[1] == POLLOUT
    assert os.read(out_of, _FULL) == b"x" * _FULL
    assert carried.carry() == 1
    assert os.read(out_of, _FULL) == b"y"
