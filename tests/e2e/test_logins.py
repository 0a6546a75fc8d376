"""Logins in the user's files, and who gets to see one when an image is pulled."""

from __future__ import annotations

import json
import os
from base64 import b64encode

import pytest

from tests.support.hostile_registry import Answer, HostileRegistry, serving
from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns")

SECRET = "hunter2-of-another"
ANSWER = json.dumps({"Username": "me", "Secret": SECRET})


@pytest.fixture
def image(tmp_path):
    return write_layout(tmp_path / "layout", "x:1", [layer({"f": b"x"})])


@pytest.fixture
def pull(rootless, tmp_path):
    """pull(registry, config, helpers) with these logins; helpers are name → shell script."""

    def run(registry, config, helpers=None, **options):
        programs = tmp_path / "programs"
        programs.mkdir(exist_ok=True)
        for name, script in (helpers or {}).items():
            program = programs / f"docker-credential-{name}"
            program.write_text(f"#!/bin/sh\ncat >/dev/null\n{script}\n")
            program.chmod(0o755)
        (tmp_path / "config.json").write_text(json.dumps(config))
        environment = {
            **rootless.environment,
            "DOCKER_CONFIG": str(tmp_path),
            "HOME": str(tmp_path),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        environment.pop("REGISTRY_AUTH_FILE", None)
        words = options.pop("words", None) or ("pull", f"{registry.address}/a/b:1")
        return rootless(*words[:1], "--tls-verify=false", *words[1:], env=environment, **options)

    return run


def wants_login(image):
    honest = serving(image, "a/b")

    def respond(request):
        if not request.headers.get("Authorization"):
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return honest(request)

    return respond


def sent(registry):
    """The Authorization headers that came, each once."""
    return {request.headers.get("Authorization") for request in registry.requests}


def login(user, password):
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


def test_a_login_of_its_own_is_sent(image, pull):
    """That the others are not is of use only where this one is."""
    with HostileRegistry(wants_login(image)) as registry:
        done = pull(registry, {"auths": {registry.address: login("me", SECRET)}})
        assert done.exit == 0, done.stderr
    assert sent(registry) == {None, "Basic " + login("me", SECRET)["auth"]}


@pytest.mark.parametrize(
    "others",
    [
        {"auths": {"other.example": login("me", SECRET)}},
        {"auths": {"https://index.docker.io/v1/": login("me", SECRET)}},
        {"auths": {"127.0.0.1": login("me", SECRET)}},
        {"auths": {"127.0.0.1:1": login("me", SECRET)}},
        {"credHelpers": {"other.example": "good"}},
        {"credsStore": "broken", "auths": {"other.example": login("me", SECRET)}},
        {"credsStore": "broken", "auths": {"https://index.docker.io/v1/": login("me", SECRET)}},
        {"credsStore": "../../good", "auths": {"other.example": login("me", SECRET)}},
    ],
)
def test_the_login_of_another_registry_is_not_sent(image, pull, others):
    helpers = {"broken": "exit 3", "good": f"echo '{ANSWER}'"}
    with HostileRegistry(wants_login(image)) as registry:
        done = pull(registry, others, helpers)
        assert done.exit == 1
        assert "private" in done.stderr
    assert sent(registry) == {None}
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "exit 3",
        f"echo '{ANSWER}'; exit 1",
        f"head -c 2000000 /dev/zero | tr '\\0' ' '; echo '{ANSWER}'",
        "exec cat /dev/zero",
    ],
)
def test_a_broken_helper_of_this_registry_ends_the_pull(image, pull, script):
    """Nothing is asked of the registry then, not even without a login."""
    with HostileRegistry(serving(image, "a/b")) as registry:
        done = pull(registry, {"credHelpers": {registry.address: "own"}}, {"own": script})
    assert done.exit == 1
    assert "the credential helper docker-credential-own for" in done.stderr
    assert registry.requests == []
    assert SECRET not in done.stderr


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
@pytest.mark.parametrize("name", ["../programs/evil", "/evil", "x/../evil"])
def test_a_helper_is_a_name_and_not_a_path(image, pull, tmp_path, key, name):
    """Whatever lies where such a path leads, nothing of it is executed."""
    evil = tmp_path / "programs" / "evil"
    evil.parent.mkdir()
    (evil.parent / "docker-credential-x").mkdir()
    for place in (evil, evil.parent / "docker-credential-evil", tmp_path / "evil"):
        place.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        place.chmod(0o755)
    (evil.parent / "docker-credential-..").mkdir()
    with HostileRegistry(serving(image, "a/b")) as registry:
        value = name if key == "credsStore" else {registry.address: name}
        entry = {"auths": {registry.address: {}}}
        done = pull(registry, {key: value, **entry}, cwd=evil.parent)
    assert done.exit == 1
    assert "not the name of a credential helper" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_password_is_in_no_command_line_and_stays_nowhere(image, pull, rootless, tmp_path):
    """A helper's answer, too, goes through a pipe; the store never has it."""
    note = tmp_path / "processes"
    script = f"cat /proc/[0-9]*/cmdline >{note} 2>/dev/null; echo '{ANSWER}'"
    with HostileRegistry(wants_login(image)) as registry:
        done = pull(registry, {"credHelpers": {registry.address: "own"}}, {"own": script})
        assert done.exit == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert SECRET.encode() not in note.read_bytes()
    for path in rootless.root.rglob("*"):
        if path.is_file() and not path.is_symlink() and "layers" not in path.parts:
            assert SECRET.encode() not in path.read_bytes(), path


@pytest.mark.needs("subids", "overlay")
@pytest.mark.parametrize("here", ["neither", "the base"])
def test_a_trigger_of_the_base_asks_its_helper_outside(image, pull, rootless, tmp_path, here):
    """That the base copies from another registry is known when the namespace is entered already,
    where a helper would be another user, without its keyring.
    """
    (tmp_path / "context").mkdir()
    helper = f"(id -u; readlink /proc/self/ns/user) >>{tmp_path}/asked; echo '{ANSWER}'"
    with HostileRegistry(wants_login(image)) as private:
        trigger = f"COPY --from={private.address}/a/b:1 /f /copied"
        base = write_layout(tmp_path / "base", "x:1", [layer({"f": b"y"})], {"OnBuild": [trigger]})
        with HostileRegistry(serving(base, "base")) as open_to_all:
            name = f"{open_to_all.address}/base:1"
            (tmp_path / "context/Dockerfile").write_text(f"FROM {name}\n")
            if here == "the base":
                rootless.ok("pull", "--tls-verify=false", name)
            config = {"credHelpers": {private.address: "own"}}
            words = ("build", "-t", "built", tmp_path / "context")
            done = pull(private, config, {"own": helper}, words=words)
            assert done.exit == 0, done.stderr
    own = os.readlink("/proc/self/ns/user")
    assert (tmp_path / "asked").read_text() == f"{os.getuid()}\n{own}\n"
    assert sent(private) == {None, "Basic " + login("me", SECRET)["auth"]}
    assert rootless.ok("history", "-q", "built").count("\n") == 2


@pytest.mark.needs("subids")
def test_a_broken_helper_of_a_triggers_registry_is_told(image, pull, tmp_path):
    (tmp_path / "context").mkdir()
    with HostileRegistry(serving(image, "a/b")) as private:
        trigger = f"COPY --from={private.address}/a/b:1 /f /copied"
        base = write_layout(tmp_path / "base", "x:1", [layer({"f": b"y"})], {"OnBuild": [trigger]})
        with HostileRegistry(serving(base, "base")) as open_to_all:
            dockerfile = f"FROM {open_to_all.address}/base:1\n"
            (tmp_path / "context/Dockerfile").write_text(dockerfile)
            config = {"credHelpers": {private.address: "own"}}
            words = ("build", tmp_path / "context")
            done = pull(private, config, {"own": "exit 3"}, words=words)
    assert done.exit == 1
    assert "the credential helper docker-credential-own for" in done.stderr
    assert private.requests == []


def test_logins_in_the_environment_go_before_all_files(image, rootless, tmp_path):
    """As docker reads DOCKER_AUTH_CONFIG; a file that is named goes before it."""

    def pair(text):
        return {"auth": b64encode(text.encode()).decode()}

    with HostileRegistry(wants_login(image)) as registry:
        name = f"{registry.address}/a/b:1"
        config = {"auths": {registry.address: pair("file:x")}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        inline = {"auths": {registry.address: pair("inline:x")}, "credHelpers": {"x": "y"}}
        environment = {
            **rootless.environment,
            "DOCKER_CONFIG": str(tmp_path),
            "DOCKER_AUTH_CONFIG": json.dumps(inline),
        }
        environment.pop("REGISTRY_AUTH_FILE", None)
        pull = ("pull", "-q", "--tls-verify=false")
        rootless.ok(*pull, name, env=environment)
        assert sent(registry) - {None} == {f"Basic {pair('inline:x')['auth']}"}
        registry.requests.clear()
        who = ("login", "--get-login", registry.address)
        assert rootless.ok(*who, env=environment) == "inline\n"
        registry.requests.clear()
        rootless.ok(*pull, "--authfile", tmp_path / "config.json", name, env=environment)
        assert sent(registry) - {None} == {f"Basic {pair('file:x')['auth']}"}
        registry.requests.clear()
        other = {**environment, "DOCKER_AUTH_CONFIG": '{"auths": {"other.example": {}}}'}
        rootless.ok(*pull, name, env=other)
        assert sent(registry) - {None} == {f"Basic {pair('file:x')['auth']}"}
        said = rootless(*pull, name, env={**environment, "DOCKER_AUTH_CONFIG": "{"})
        assert said.exit == 1
        assert "DOCKER_AUTH_CONFIG is damaged" in said.stderr
