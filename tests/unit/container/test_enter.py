"""What is told where a container ends while somebody is about to enter it."""

from __future__ import annotations

import os

import pytest

from rootless.container import enter
from rootless.container.spec import Container, ContainerSpec
from rootless.container.state import ContainerState
from rootless.errors import RootlessError
from rootless.store import Store


def test_one_that_has_ended_meanwhile_is_not_running(tmp_path):
    store = Store(str(tmp_path))
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it stays as a zombie: without namespaces
    spec = ContainerSpec(id="ab" * 32, name="web", image="base", image_id="", created=0.0)
    container = Container(spec, ContainerState("running"))
    try:
        with pytest.raises(RootlessError, match="is not running"):
            enter._entrance(store, pid, -1, container, print)
    finally:
        os.waitpid(pid, 0)
    with pytest.raises(RootlessError, match="is not running"):
        enter._entrance(store, pid, -1, container, print)
