"""What the courses have people type, word for word, with `rootless` where they say `docker`.

The commands are taken out of the course's text; each must have been played when the walk ends. The
Docker Hub is one on loopback, under its own names. Ours is a course in tests/corpus; the three that
this project began with are read where they are.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess

import pytest

from tests.support import course, machine
from tests.support.hub import PASSWORD, USER, Hub
from tests.support.images import with_environment
from tests.support.terminal import Terminal

pytestmark = [
    pytest.mark.needs("userns", "subids", "overlay", "registry", "network", "mirror", "pypi"),
    pytest.mark.timeout(1200),  # a mirror may be slow
]
COURSES = [machine.PROJECT / "tests/corpus/courses/images.md"]
COURSES += sorted((machine.SHARED.parent / "courses").glob("*.txt"))
APP = "print('bonjour, le monde')\n"
HISTORY = ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
PROD = "FROM python:3.11-slim\nCOPY app.py /\nCMD python app.py\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory, busybox_image, debian_image, python_image):
    """The Hub, with images under the names that the courses use."""
    folder = tmp_path_factory.mktemp("hub")
    python = ("python:3.11", "python:latest", "python:3.11-slim")
    other = ("jupyter/scipy-notebook", "library/postgres:15", "library/mysql:8.0")
    # Ubuntu 20.04 is older than the rule that pip leaves the system's packages alone.
    ubuntu = with_environment(debian_image, folder / "ubuntu", "PIP_BREAK_SYSTEM_PACKAGES=1")
    images = {
        **dict.fromkeys(("library/ubuntu:20.04", "library/ubuntu:latest"), ubuntu),
        **{f"library/{name}": python_image for name in python},
        **dict.fromkeys((*other, "library/redis:7"), busybox_image),
    }
    with Hub(folder / "hub", images) as running:
        yield running


class Walk:
    """A reader at a shell, with `docker` on the PATH; `left` is what is still to be typed."""

    def __init__(self, rootless, hub, folder, commands):
        self.left = list(commands)
        self._folder = folder
        programs, home = folder / "bin", folder / "home"
        self.project = folder / "project"
        for one in (programs, home, self.project):
            one.mkdir()
        words = shlex.join(rootless.command())
        (programs / "docker").write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (programs / "docker").chmod(0o755)
        self.environment = {
            **rootless.environment,
            **hub.environment,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(home),
            "TERM": "dumb",
        }
        for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE"):
            self.environment.pop(name, None)

    def type(self, command: str, *, given: str = "", **placeholders: str) -> str:
        """Run it if the course has it, and say what it said; a placeholder is what stands there."""
        if command not in self.left:
            return ""
        self.left.remove(command)
        for name, value in placeholders.items():
            command = command.replace(name.replace("_", "-"), value)
        return self.also(command, given=given)

    def also(self, command: str, *, given: str = "") -> str:
        """Run what the course leaves to its reader."""
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.project, env=self.environment, input=given,
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def terminal(self, command: str) -> Terminal:
        """Type it at a terminal of its own."""
        self.left.remove(command)
        return Terminal(["sh", "-c", f"cd {self.project} && {command}"], self.environment)

    def names(self) -> list[str]:
        return self.also("docker images --format '{{.Repository}}:{{.Tag}}'").split()


@pytest.mark.parametrize("text", COURSES, ids=lambda path: path.stem)
def test_every_command_of_a_course_works_word_for_word(text, rootless, hub, tmp_path):
    found = course.read(text)
    walk = Walk(rootless, hub, tmp_path, found.commands)
    _log_in(walk)
    _download(walk)
    _build(walk, found.dockerfiles)
    _change_by_hand(walk)
    _look(walk)
    _publish(walk)
    _clean(walk)
    _search(walk)
    assert not walk.left


def _log_in(walk: Walk) -> None:
    """`docker login`, or what a reader does who has a login already."""
    command = "docker login"
    if command not in walk.left:
        said = walk.also(f"docker login -u {USER} --password-stdin", given=PASSWORD)
        assert "Login Succeeded" in said
        return
    terminal = walk.terminal(command)
    terminal.expect("Username")
    terminal.type(f"{USER}\r")
    terminal.expect("Password")
    terminal.type(f"{PASSWORD}\r")
    before = terminal.expect("Login Succeeded")
    assert terminal.close() == 0
    assert PASSWORD not in before


def _download(walk: Walk) -> None:
    pulls = [one for one in walk.left if one.startswith("docker pull") and "nom_image" not in one]
    for command in pulls:
        name = command.split()[-1]
        said = walk.type(command)
        assert f"Status: Downloaded newer image for {name}" in said or "up to date" in said


def _search(walk: Walk) -> None:
    found = walk.type("docker search python")
    if found:
        assert found.splitlines()[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
        assert "Python is an interpreted language." in found


def _build(walk: Walk, dockerfiles: list[str]) -> None:
    """Each Dockerfile of the text, and then each command that builds."""
    write = {
        "app.py": APP,
        "requirements.txt": "iniconfig\n",
        "main.cpp": '#include <iostream>\nint main() { std::cout << "bonjour, le monde\\n"; }\n',
        "Dockerfile.prod": PROD,
    }
    for name, content in write.items():
        (walk.project / name).write_text(content)
    for number, dockerfile in enumerate(dockerfiles):
        (walk.project / "Dockerfile").write_text(dockerfile)
        walk.also(f"docker build -t course{number} .")
        assert walk.also(f"docker run --rm course{number}").endswith("bonjour, le monde\n")
    (walk.project / "Dockerfile").write_text(PROD)
    for command in [one for one in walk.left if one.startswith("docker build")]:
        walk.type(command)
        name = command.partition(" -t ")[2].split()[0]
        assert walk.also(f"docker run --rm {name}") == "bonjour, le monde\n"


def _change_by_hand(walk: Walk) -> None:
    """A container in which a package is installed becomes an image."""
    if "docker run -it ubuntu bash" not in walk.left:
        return
    terminal = walk.terminal("docker run -it ubuntu bash")
    terminal.expect("# ")
    for command in ("apt update", "apt install python3"):
        walk.left.remove(command)
        terminal.type(f"{command}; echo done $((6 * 7))\r")
        if "install" in command:
            terminal.expect("[Y/n]", patience=300)
            terminal.type("y\r")
        terminal.expect("done 42", patience=600)
    terminal.type("exit\r")
    assert terminal.close() == 0
    container = walk.also("docker ps -lq").strip()
    said = walk.type("docker commit container-id my-image:tag", container_id=container)
    assert said.startswith("sha256:")
    assert walk.also("docker run --rm my-image:tag python3 -c 'print(6 * 7)'") == "42\n"
    walk.also(f"docker rm {container}")


def _look(walk: Walk) -> None:
    walk.also("docker pull -q redis:7; docker tag redis:7 nom_image; docker tag redis:7 my-image")
    listed = walk.type("docker images")
    assert listed.splitlines()[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert {"nom_image", "redis"} <= {line.split()[0] for line in listed.splitlines()}
    for command in ("docker images python", "docker images my-image"):
        lines = walk.type(command).splitlines()[1:]
        assert {line.split()[0] for line in lines} <= {command.split()[-1]}
    assert all(len(one) == 12 for one in walk.type("docker images -q").split())
    if inspected := walk.type("docker inspect my-image"):
        (value,) = json.loads(inspected)
        assert "my-image:latest" in value["RepoTags"]
        assert value["Config"]["Cmd"] == ["/bin/sh"]
    for command in ("docker history my-image", "docker history nom_image"):
        lines = walk.type(command).splitlines()
        assert not lines or lines[0].split() == HISTORY
    walk.type("docker run nom_image")
    walk.also("docker container prune -f")


def _publish(walk: Walk) -> None:
    """Tag, push, forget, and get it back from the Hub."""
    for command in [one for one in walk.left if one.startswith("docker tag")]:
        walk.also(f"docker tag redis:7 {command.split()[2]}")
        walk.type(command)
        assert command.split()[-1] in walk.names()
    for command in [one for one in walk.left if one.startswith("docker push")]:
        name = command.split()[-1]
        walk.also(f"docker tag redis:7 {name}")
        assert " digest: sha256:" in walk.type(command)
        walk.also(f"docker rmi {name}")
        assert "Downloaded newer image" in walk.also(f"docker pull {name}")
        walk.type(f"docker pull {name}")
    for command in [one for one in walk.left if one.startswith("docker run")]:
        walk.type(command)
    walk.also("docker container prune -f")


def _clean(walk: Walk) -> None:
    for name in ("my-image:tag", "nom_image:latest"):
        walk.also(f"docker tag redis:7 {name}")
        command = f"docker rmi {name.removesuffix(':latest')}"
        if command in walk.left:
            assert f"Untagged: {name}" in walk.type(command)
            assert name not in walk.names()
    walk.also("printf 'FROM redis:7\\nRUN echo 1 >/f\\n' | docker build -q -t once -")
    image = walk.also("docker images -q once").strip()
    deleted = walk.type("docker rmi image-id", image_id=image)
    assert not deleted or f"Deleted: sha256:{image}" in deleted
    walk.also("printf 'FROM redis:7\\nRUN echo 2 >/f\\n' | docker build -q -")
    pruned = walk.type("docker image prune", given="y\n") or walk.also("docker image prune -f")
    assert "Total reclaimed space" in pruned
    one_name_each = {"redis:7", "ubuntu:20.04"}  # else docker, too, wants --force to go by id
    for name in walk.names():
        if name not in one_name_each:
            walk.also(f"docker rmi {name}")
    if walk.type("docker rmi $(docker images -q)"):
        assert walk.names() == []
