"""docs/counter.md as a new user types it: two containers, a network, a volume, health, restarts."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.machine import PROJECT
from tests.support.page import asked, until
from tests.support.ports import free_port

pytestmark = pytest.mark.needs(
    *("userns", "subids", "overlay", "registry", "network", "mirror", "pasta")
)
COUNTER = PROJECT / "examples" / "counter"


@pytest.fixture
def store(rootless, registry, debian_image):
    pulled = registry.push(debian_image, "counter/debian:bookworm")
    rootless.ok("pull", "-q", "--tls-verify=false", pulled)
    rootless.ok("tag", pulled, debian_image.name)
    yield rootless
    rootless("rm", "-f", "web", "store")
    rootless("network", "rm", "counter")


def counted(port):
    """The visitor's number, as soon as the page counts."""
    _, text = until(lambda: asked(port), lambda answer: answer[0] == 200, "the page")
    return int(text.removeprefix("You are visitor number ").rstrip(".\n"))


def test_the_story(store):
    port = str(free_port())
    store.ok("build", "-q", "-t", "counter-store", COUNTER / "store")
    store.ok("build", "-q", "-t", "counter-web", COUNTER / "web")
    store.ok("network", "create", "counter")
    store.ok("volume", "create", "numbers")
    run = ("run", "-d", "--network", "counter", "--restart", "always")
    keep = (*run, "--name", "store", "-v", "numbers:/data", "counter-store")
    store.ok(*keep)
    store.ok(*run, "--name", "web", "-p", f"127.0.0.1:{port}:8000", "counter-web")

    assert counted(port) == 1
    assert counted(port) == 2
    health = ("inspect", "--format", "{{.State.Health.Status}}", "web")
    until(lambda: store.ok(*health), lambda said: said == "healthy\n", "health")
    assert "(healthy)" in store.ok("ps", "--filter", "name=web")
    assert "listening on port 8000" in store.ok("logs", "web")
    assert store.ok("exec", "store", "redis-cli", "get", "visitors") == "2\n"
    assert "redis-server" in store.ok("top", "store")
    assert f"127.0.0.1:{port}" in store.ok("port", "web")

    pid = ("inspect", "--format", "{{.State.Pid}} {{.RestartCount}}", "store")
    before = store.ok(*pid)
    store("exec", "store", "redis-cli", "shutdown", "nosave")
    until(lambda: store.ok(*pid), lambda now: now.split()[1] == "1" and now != before, "restart")
    assert counted(port) == 3

    store.ok("stop", "-t", "20", "store")
    until(lambda: asked(port), lambda answer: answer[0] == 503, "a page without its store")
    assert store.ok("ps", "--format", "{{.Names}}") == "web\n"
    store.ok("start", "store")
    assert counted(port) == 4

    store.ok("rm", "-f", "store")
    store.ok(*keep)
    assert counted(port) == 5, "the number is in the volume"

    store.ok("rm", "-f", "web", "store")
    store.ok("network", "rm", "counter")
    store.ok("volume", "rm", "numbers")
    store.ok("rmi", "counter-web", "counter-store")
    assert os.listdir(store.root / "containers") == []
    assert json.loads(store.ok("network", "inspect", "bridge"))
    assert asked(port)[0] == 0
