"""The projects under examples/: built from bases of a registry on loopback, and run."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest

from tests.support.machine import PROJECT
from tests.support.ports import free_port

EXAMPLES = PROJECT / "examples"
MOUNTS = "type=exec.cachemount"
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
    with serving(rootless, "web", 8000) as (url, running):
        page = _page(url, running)
    assert "served by user 0 of the container" in page


@pytest.mark.needs("network", "mirror", "pypi", "npm")
def test_node_answers_with_a_package_of_npm(rootless, fetch, node_image, tmp_path):
    fetch(node_image)
    source = tmp_path / "source"
    shutil.copytree(EXAMPLES / "node", source)
    rootless.ok("build", "-t", "node-app", source)
    with serving(rootless, "node-app", 3000) as (url, running):
        page = _page(url, running)
    assert re.fullmatch(r"Node.js v24\S*, user 1000, up for .+\n", page)
    with (source / "server.js").open("a") as file:
        file.write("// changed\n")
    again = rootless("build", "--progress", "plain", "-t", "node-app", source)
    assert again.exit == 0
    assert re.search(r"^#\d+ \[packages .*npm ci.*\n#\d+ CACHED$", again.stderr, re.MULTILINE)


@pytest.mark.needs("network")
def test_a_static_site_is_served_and_its_health_looked_after(rootless, fetch, busybox_image):
    fetch(busybox_image)
    rootless.ok("build", "-t", "site", "--build-arg", "TITLE=Ours", EXAMPLES / "static")
    with serving(rootless, "site", 8080) as (url, running):
        assert "<title>Ours: index</title>" in _page(url, running)
        assert "Nothing runs but a web server." in _page(f"{url}about.html", running)
    told = json.loads(rootless.ok("inspect", "site"))[0]["Config"]
    assert told["Healthcheck"]["Test"][0] == "CMD-SHELL"
    assert "sh" not in rootless.ok("run", "--rm", "--entrypoint", "ls", "site", "/www")


def test_a_worker_works_until_it_is_told_to_stop(rootless, fetch, busybox_image):
    fetch(busybox_image)
    rootless.ok("build", "-t", "worker", EXAMPLES / "worker")
    argv = rootless.command("run", "--rm", "-e", "INTERVAL=0.1", "worker")
    with subprocess.Popen(argv, env=rootless.environment, stdout=subprocess.PIPE) as running:
        lines = [running.stdout.readline().decode() for _ in range(3)]
        running.send_signal(signal.SIGTERM)
        rest = running.stdout.read().decode()
    assert lines == [f"run {number}, as worker\n" for number in (1, 2, 3)]
    assert re.search(r"^stopped after \d+ rounds$", rest, re.MULTILINE)
    assert running.returncode == 0


@pytest.mark.needs("network")
def test_services_share_their_base(rootless, fetch, busybox_image):
    fetch(busybox_image)
    folder = EXAMPLES / "services"
    for target in ("test", "api", "mailer"):
        rootless.ok("build", "--target", target, "-t", f"shop-{target}", folder)
    with serving(rootless, "shop-api", 8080) as (url, running):
        assert json.loads(_page(url, running)) == {"apple": 45}
    mail = rootless.ok("run", "--rm", "--network", "none", "shop-mailer")
    assert mail == "To: customers\nBread is 310 cents today, says shop.\n"
    layers = [
        json.loads(rootless.ok("inspect", f"shop-{one}"))[0]["RootFS"]["Layers"]
        for one in ("api", "mailer")
    ]
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]


@pytest.mark.needs("network", "pypi")
def test_a_monorepo_installs_apart_from_its_sources(rootless, fetch, python_image, tmp_path):
    fetch(python_image)
    source = tmp_path / "source"
    shutil.copytree(EXAMPLES / "monorepo", source)
    rootless.ok("build", "-t", "repo", source)
    assert rootless.ok("run", "--rm", "repo") == "HELLO WORLD, AND 1.0 MILLION OTHERS\n"
    assert rootless.ok("run", "--rm", "repo", "find", "/repo", "-name", "*.py").splitlines() == [
        *("/repo/greet/src/greet.py", "/repo/shout/src/shout.py"),
    ]
    with (source / "packages/greet/src/greet.py").open("a") as file:
        file.write("# changed\n")
    again = rootless("build", "--progress", "plain", "-t", "repo", source)
    assert re.search(r"RUN for list .*\n#\d+ CACHED$", again.stderr, re.MULTILINE)


@pytest.mark.needs("network", "mirror", "pypi", "npm")
def test_downloads_are_kept_beside_the_image(rootless, fetch, node_image, tmp_path):
    fetch(node_image)
    source = tmp_path / "source"
    shutil.copytree(EXAMPLES / "caches", source)
    rootless.ok("build", "-t", "caches", source)
    assert rootless.ok("run", "--rm", "caches") == "1.0 million\n"
    kept = rootless.ok("buildx", "du", "--format", "{{.Description}}", "--filter", MOUNTS)
    assert sorted(kept.splitlines()) == [
        "cached mount /root/.cache/pip",
        "cached mount /root/.npm",
        "cached mount /var/cache/apt",
        "cached mount /var/lib/apt",
    ]
    places = "/root/.cache /root/.npm /var/cache/apt /var/lib/apt"
    look = f"find {places} -type f 2>/dev/null; true"
    assert rootless.ok("run", "--rm", "caches", "sh", "-c", look) == ""

    rows = rootless.ok("buildx", "du", "--format", "json", "--filter", MOUNTS).splitlines()
    (apt,) = [row for row in map(json.loads, rows) if "/var/cache/apt" in row["Description"]]
    assert apt["Size"].endswith("MB"), "the packages that apt downloaded"

    (source / "requirements.txt").write_text("humanize==4.9.0\nsix==1.16.0\n")
    again = rootless("build", "--progress", "plain", "-t", "caches", source)
    assert again.exit == 0
    assert re.search(r"apt-get install .*\n#\d+ CACHED$", again.stderr, re.MULTILINE)
    rootless.ok("builder", "prune", "-f", "--filter", MOUNTS)
    assert rootless.ok("buildx", "du", "--format", "{{.ID}}", "--filter", MOUNTS) == ""


def test_a_secret_is_read_and_left_behind(rootless, fetch, busybox_image, tmp_path):
    fetch(busybox_image)
    (tmp_path / "token.txt").write_text("correct-horse-battery-staple")
    secret = f"id=token,src={tmp_path / 'token.txt'}"
    rootless.ok("build", "--secret", secret, "-t", "sealed", EXAMPLES / "secret")
    sealed = rootless.ok("run", "--rm", "--network", "none", "sealed")
    assert sealed == "sealed with a token of 28 characters\n"
    rootless.ok("save", "-o", tmp_path / "sealed.tar", "sealed")
    unpacked = subprocess.run(
        ["grep", "-r", "-l", "correct-horse", rootless.root, tmp_path / "sealed.tar"],
        capture_output=True,
        check=False,
    )
    assert unpacked.stdout == b""
    without = rootless("build", "--no-cache", EXAMPLES / "secret")
    assert without.exit == 1
    assert "token" in without.stderr.partition("error:")[2]


@pytest.mark.needs("network", "mirror", "ssh-agent")
def test_an_agent_signs_for_a_step(rootless, fetch, debian_image, busybox_image, tmp_path):
    fetch(debian_image)
    fetch(busybox_image)
    key, agent = tmp_path / "key", tmp_path / "agent"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL) as running:
        try:
            variables = {**rootless.environment, "SSH_AUTH_SOCK": str(agent)}
            while not agent.exists():
                time.sleep(0.05)
            subprocess.run(["ssh-add", "-q", key], env=variables, check=True)
            rootless.ok("build", "--ssh", "default", "-t", "keys", EXAMPLES / "ssh", env=variables)
        finally:
            running.terminate()
    shown = rootless.ok("run", "--rm", "--network", "none", "keys")
    assert shown.split()[:2] == key.with_suffix(".pub").read_text().split()[:2]


@contextlib.contextmanager
def serving(rootless, image, port):
    """A container whose `port` is published: its URL and the process, which ends at the end.

    By force: process 1 of a container hears no Ctrl-C that it does not listen for.
    """
    free = free_port()
    publish = ("--name", "served", "-p", f"127.0.0.1:{free}:{port}")
    argv = rootless.command("run", *publish, image)
    with subprocess.Popen(argv, env=rootless.environment, stderr=subprocess.PIPE) as running:
        try:
            yield f"http://127.0.0.1:{free}/", running
        finally:
            rootless("rm", "-f", "served")
            running.kill()
            running.communicate()


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
