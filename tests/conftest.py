"""Markers and fixtures of all tests: what the machine must be able to do, images, a registry."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest

from rootless import living
from tests.support import child, images, machine, running
from tests.support.registry import Registry

# No deadline: the machine may be busy. No database: the checkout may be closed to who runs tests.
hypothesis.settings.register_profile("project", database=None, deadline=None)
hypothesis.settings.load_profile("project")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "needs(*names): what the machine must have (tests/support/machine.py)"
    )
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        # nohup, and & in a script: what is ignored stays so in all that the tests execute
        if signal.getsignal(number) is signal.SIG_IGN:
            interrupts = number == signal.SIGINT  # nobody types one there: timeout(1) sends it
            signal.signal(number, signal.default_int_handler if interrupts else lambda *_: None)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(running.Told(config))
        if config.option.basetemp is None:
            config.pluginmanager.register(running.Folder(config))


def pytest_collection_modifyitems(items):
    """Unit before integration before e2e: the cheapest failure comes first."""
    order = ["unit", "integration", "e2e"]
    items.sort(key=lambda item: next((i for i, n in enumerate(order) if n in item.path.parts), 9))


def pytest_runtest_setup(item):
    for mark in item.iter_markers("needs"):
        machine.require(*mark.args)


@pytest.fixture(scope="session", autouse=True)
def runtime_dir(tmp_path_factory):
    """What a login gives, for us and for skopeo and podman: without one they look under /run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield


class Result(NamedTuple):
    """How a command ended and what it wrote."""

    exit: int
    stdout: str
    stderr: str


class Rootless:
    """The command line, as a subprocess with a store of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix: tuple[str, ...] = ()
        """What starts it in its turn, such as a program that takes rights away."""
        self.environment = {**os.environ, "PYTHONPATH": str(machine.PROJECT)}

    def __call__(self, *argv: str | Path, stdin: str = "", **options: Any) -> Result:
        """Run it to its end, whatever its exit code; `cwd`, `env` and `timeout` are passed on."""
        answer = subprocess.run(
            self.command(*argv),
            input=stdin.encode(),
            capture_output=True,
            check=False,
            **{"env": self.environment, "timeout": 600, **options},
        )
        text = (
            stream.decode(errors="backslashreplace") for stream in (answer.stdout, answer.stderr)
        )
        return Result(answer.returncode, *text)

    def ok(self, *argv: str | Path, **options: Any) -> str:
        """Run it, insist on exit code 0, and return what it wrote to standard output."""
        result = self(*argv, **options)
        assert result.exit == 0, f"exit code {result.exit}\n{result.stderr}\n{result.stdout}"
        return result.stdout

    def command(self, *argv: str | Path) -> list[str]:
        """The whole argv, for those who start it themselves."""
        start = (*self.prefix, sys.executable, "-m", "rootless", "--root", str(self.root))
        return [*start, *map(str, argv)]

    def load(self, image: images.BaseImage, folder: Path) -> str:
        """Load a base image into the store, from `base.tar` in the folder; its name."""
        archive = image.archive(folder / "base.tar")
        if not image.store or self.root.exists() or machine.missing("userns"):
            self.ok("load", "-i", archive)
            return image.name
        if not image.store.exists():
            Rootless(image.store).ok("load", "-i", archive)
        child.copy_tree(image.store, self.root)
        return image.name


def _end_containers(root):
    """What a test has left running, as one that failed does, is not to run on."""
    for path in root.glob("containers/*/process.json"):
        try:
            process = living.Process(**json.loads(path.read_bytes()))
            (path.parent / "stopping").touch()
        except (OSError, ValueError, TypeError):  # it ends by itself, or the test has hurt it
            continue
        if living.is_alive(process):
            living.kill(process, 10)


@pytest.fixture
def rootless(tmp_path):
    """`rootless("run", …)` → Result; `rootless.ok(…)` → stdout. An empty store under tmp_path."""
    yield Rootless(tmp_path / "store")
    _end_containers(tmp_path / "store")
    if os.geteuid() != 0 and machine.missing("userns") is None:
        child.remove_tree(tmp_path / "store")


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """A registry on loopback for the whole session: use repositories of your own."""
    machine.require("registry")
    with Registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def busybox_image(tmp_path_factory):
    machine.require("busybox")
    folder = tmp_path_factory.mktemp("busybox")
    return images.busybox(folder / "layout")._replace(store=folder / "store")


@pytest.fixture(scope="session")
def debian_image():
    machine.require("debootstrap", "unshare", "userns", "subids", "mirror")
    return images.debian()


@pytest.fixture(scope="session")
def python_image():
    machine.require("pypi")
    return images.python()


@pytest.fixture(scope="session")
def node_image(debian_image):
    machine.require("pypi")
    return images.node()
