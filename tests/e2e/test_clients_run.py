"""Programs that others wrote for docker and podman, over containers, volumes and networks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "network", "pasta")

COMPOSE = """
services:
  store:
    image: busybox
    command: ["sh", "-c", "echo ready; cat /data/word; exec httpd -f -p 8000 -h /data"]
    volumes: ["words:/data"]
    stop_grace_period: 1s
  web:
    image: busybox
    command: sleep 600
    depends_on: [store]
    environment: {COLOUR: red}
    stop_grace_period: 1s
volumes:
  words:
"""


@pytest.fixture
def store(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    yield rootless
    for name in rootless.ok("ps", "-aq").split():
        rootless("rm", "-f", "-v", name)


@pytest.fixture
def called(store, tmp_path):
    """Our program under another name: the folder that it is in."""

    def make(name):
        folder = tmp_path / f"as-{name}"
        folder.mkdir()
        program = folder / name
        program.write_text(
            f"#!{sys.executable}\n"
            "import os\n"
            f"os.environ.setdefault('ROOTLESS_ROOT', {str(store.root)!r})\n"
            "from rootless.__main__ import main\n"
            "main()\n"
        )
        program.chmod(0o755)
        return folder

    return make


def test_a_library_made_for_docker_runs_watches_and_removes(store, called):
    whales = pytest.importorskip("python_on_whales")
    docker = whales.DockerClient(client_call=[str(called("docker") / "docker")])
    volume = docker.volume.create("words", labels={"kind": "test"})
    assert (volume.name, volume.labels) == ("words", {"kind": "test"})
    network = docker.network.create("inner")
    script = "echo hello > /data/word; echo started; exec sleep 600"
    web = docker.run(
        "busybox",
        ["sh", "-c", script],
        detach=True,
        name="web",
        envs={"COLOUR": "red"},
        labels={"tier": "front"},
        volumes=[("words", "/data")],
        networks=["inner"],
        hostname="webhost",
    )
    assert web.state.running
    assert web.config.hostname == "webhost"
    assert web.config.labels["tier"] == "front"
    assert [one.name for one in docker.container.list()] == ["web"]
    assert web.execute(["cat", "/data/word"]) == "hello"
    assert docker.execute("web", ["sh", "-c", "echo $COLOUR"]) == "red"
    assert web.logs() == "started\n"
    other = docker.run(
        "busybox", ["nslookup", "web"], detach=True, networks=["inner"], name="other"
    )
    assert docker.wait(other) == 0, other.logs()
    address = web.network_settings.networks["inner"].ip_address
    assert address in other.logs()
    docker.copy(("web", "/data/word"), store.root.parent / "copied")
    assert (store.root.parent / "copied").read_text() == "hello\n"
    web.rename("front")
    web.restart(time=1)
    assert docker.container.inspect("front").state.running
    web.pause()
    assert docker.container.inspect("front").state.paused
    web.unpause()
    web.stop(time=1)
    assert docker.container.inspect("front").state.exit_code == 137
    docker.remove([web, other])
    assert docker.container.list(all=True) == []
    network.remove()
    volume.remove()
    assert docker.volume.list() == []


@pytest.fixture
def compose(called, tmp_path, store):
    """podman-compose with us as its podman, in a project of its own."""
    program = Path(sys.executable).with_name("podman-compose")
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "compose.yaml").write_text(COMPOSE)
    path = f"{called('podman')}:{os.environ['PATH']}"
    environment = {**os.environ, **store.environment, "PATH": path}

    def run(*argv, code=0):
        answer = subprocess.run(
            [program, *argv], cwd=folder, env=environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert answer.returncode == code, answer.stderr[-3000:]
        return answer.stdout

    return run


def test_a_compose_file_is_brought_up_looked_at_and_taken_down(compose, store):
    store.ok("volume", "create", "shop_words")
    store.ok(
        "run", "--rm", "-v", "shop_words:/data", "busybox", "sh", "-c", "echo apple >/data/word"
    )
    assert "words:/data" in compose("config")
    compose("up", "-d")
    names = store.ok("ps", "--format", "{{.Names}}").split()
    assert sorted(names) == ["shop_store_1", "shop_web_1"]
    assert "shop_store_1" in compose("ps")
    # Names by nslookup: the rest of a static busybox asks the C library, which is not there.
    ask = "until a=$(nslookup store | sed -n '4,$s/^Address: //p') && [ $a ]; do sleep 0.2; done"
    fetch = f"{ask}; until wget -q -O - http://$a:8000/word; do sleep 0.2; done"
    assert compose("exec", "-T", "web", "sh", "-c", fetch).strip() == "apple"
    assert compose("exec", "-T", "web", "sh", "-c", "echo $COLOUR").strip() == "red"
    assert "ready" in compose("logs", "store")
    compose("down", "-v")
    assert store.ok("ps", "-aq") == ""
    assert store.ok("volume", "ls", "-q") == "shop_words\n", "it was there before"
    assert "shop" not in store.ok("network", "ls")


@pytest.mark.needs("npm")
def test_a_development_container_is_made_and_entered(called, store, tmp_path):
    npm = shutil.which("npm")
    tools = tmp_path / "tools"
    tools.mkdir()
    subprocess.run(
        [npm, "install", "--silent", "--no-fund", "--no-audit", "@devcontainers/cli"],
        cwd=tools, check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    work = tmp_path / "work"
    (work / ".devcontainer").mkdir(parents=True)
    (work / ".devcontainer" / "devcontainer.json").write_text(
        '{"image": "busybox", "postCreateCommand": "echo created > /made", "remoteUser": "root"}'
    )
    (work / "source.txt").write_text("mine\n")
    docker = called("docker") / "docker"
    environment = {**os.environ, **store.environment}

    def devcontainer(*argv):
        answer = subprocess.run(
            [tools / "node_modules/.bin/devcontainer", argv[0], "--docker-path", docker,
             "--workspace-folder", work, *argv[1:]],
            env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-3000:]
        return answer.stdout

    assert '"outcome":"success"' in devcontainer("up")
    assert devcontainer("exec", "cat", "/made").strip() == "created"
    assert devcontainer("exec", "cat", f"/workspaces/{work.name}/source.txt").strip() == "mine"
