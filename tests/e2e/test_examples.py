"""The projects under examples/: built from bases of a registry on loopback, and run."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from tests.support.machine import PROJECT

EXAMPLES = PROJECT / "examples"
pytestmark = pytest.mark.needs("userns", "subids", "overlay", "registry")


@pytest.fixture
def fetch(rootless, registry):
    """Pull a base image from the registry on loopback and give it the name it has on the Hub."""

    def pull(image):
        repository = image.name.removeprefix("docker.io/library/")
        pulled = registry.push(image, f"examples/{repository}")
        rootless.ok("pull", "-q", "--tls-verify=false", pulled)
        rootless.ok("tag", pulled, image.name)

    return pull


def test_hello(rootless, fetch, busybox_image):
    fetch(busybox_image)
    rootless.ok("build", "-t", "hello", EXAMPLES / "hello")
    first, second, third = rootless.ok("run", "--rm", "hello").splitlines()
    assert first.startswith("Hello from a container on Linux ")
    assert second == "Built by user 0 of another container."
    assert third.startswith("In here I am root, process number 1, on a host called ")


@pytest.mark.needs("network", "mirror")
def test_cpp_leaves_its_compiler_behind(rootless, fetch, debian_image, busybox_image):
    fetch(debian_image)
    fetch(busybox_image)
    rootless.ok("build", "-t", "cpp", EXAMPLES / "cpp")
    assert rootless.ok("run", "--rm", "cpp") == "Hello world, from C++ 201703\n"
    assert rootless("run", "--rm", "cpp", "g++", "--version").exit == 127


@pytest.mark.needs("network", "pypi")
def test_python_app_keeps_its_packages_when_only_the_source_changes(
    rootless, fetch, python_image, tmp_path
):
    fetch(python_image)
    source = tmp_path / "source"
    shutil.copytree(EXAMPLES / "python-app", source)
    rootless.ok("build", "-t", "app", source)
    assert rootless.ok("run", "--rm", "app").startswith("Python 3.12.")

    (source / "app.py").write_text("import humanize\nprint(humanize.intword(10**6))\n")
    again = rootless("build", "--progress", "plain", "-t", "app", source)
    assert again.exit == 0
    assert "Collecting humanize" not in again.stdout + again.stderr
    assert rootless.ok("run", "--rm", "app") == "1.0 million\n"
    assert "Dockerfile" not in rootless.ok("run", "--rm", "app", "ls", "/app")


@pytest.mark.needs("network", "mirror", "pypi")
def test_flask_answers_on_a_published_port(rootless, fetch, debian_image):
    fetch(debian_image)
    rootless.ok("build", "-t", "web", EXAMPLES / "flask")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    argv = rootless.command("run", "--rm", "-p", f"127.0.0.1:{port}:8000", "web")
    with subprocess.Popen(argv, env=rootless.environment, stderr=subprocess.PIPE) as running:
        try:
            page = _page(f"http://127.0.0.1:{port}/", running)
        finally:
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=30)
    assert "served by user 0 of the container" in page, said


def _page(url: str, server: subprocess.Popen[bytes]) -> str:
    """The page, once the server has started."""
    for _ in range(300):
        assert server.poll() is None, server.communicate()[1].decode()
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer")
