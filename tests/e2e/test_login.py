"""`login` and `logout`: against docker's registry, a token server, and the Hub's stand-in."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode, b64encode
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.hostile_registry import Answer, HostileRegistry, serving
from tests.support.hub import PASSWORD, USER, Hub
from tests.support.images import layer, write_layout
from tests.support.registry import Registry
from tests.support.terminal import Terminal

SECRET = "hunter2"
HTPASSWD = "me:$2b$05$1N7Ngt096qTJAkUTn9s82O4QJn/lOwHvbHMhewT6FmCPstUw2kxD.\n"
HUB_KEY = "https://index.docker.io/v1/"


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A registry that wants the password of `me`, with the image a/b:1."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "htpasswd").write_text(HTPASSWD)
    image = write_layout(folder / "layout", "x:1", [layer({"f": b"x"})])
    with Registry(folder / "registry") as open_one:
        open_one.push(image, "a/b:1")
    extra = f"auth: {{htpasswd: {{realm: r, path: {folder}/htpasswd}}}}"
    with Registry(folder / "registry", extra=extra) as running:
        yield running.address


@pytest.fixture
def user(rootless, tmp_path):
    """The command line of a user without any login, whose home is tmp_path."""
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
        rootless.environment.pop(name, None)
    (tmp_path / "runtime").mkdir()
    rootless.environment |= {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    return rootless


@pytest.fixture
def config(tmp_path):
    return tmp_path / ".docker" / "config.json"


def entry(user, password):
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.needs("registry", "userns")
def test_login_pull_logout(user, closed, config):
    name = f"{closed}/a/b:1"
    assert user("pull", name).exit == 1
    done = user("login", "-u", "me", "--password-stdin", closed, stdin=f"{SECRET}\n")
    assert (done.exit, done.stdout) == (0, "Login Succeeded\n")
    assert f"credentials are stored unencrypted in '{config}'" in done.stderr
    assert json.loads(config.read_text()) == {"auths": {closed: entry("me", SECRET)}}
    assert config.stat().st_mode & 0o777 == 0o600
    user.ok("pull", name)
    assert user.ok("login", "--get-login", closed) == "me\n"
    assert user.ok("logout", closed) == f"Removing login credentials for {closed}\n"
    assert json.loads(config.read_text()) == {"auths": {}}
    assert user("pull", name).exit == 1
    assert user("login", "--get-login", closed).exit == 1
    assert user.ok("logout", f"http://{closed}/v2/") == f"Removing login credentials for {closed}\n"


@pytest.mark.needs("registry")
def test_a_login_that_is_there_is_tried_first(user, closed):
    user.ok("login", "-u", "me", "-p", SECRET, closed)
    done = user("login", f"https://{closed}/")
    assert done.exit == 0
    assert done.stdout.startswith("Authenticating with existing credentials... [Username: me]\n")
    assert done.stdout.endswith("Login Succeeded\n")
    assert done.stderr == ""


@pytest.mark.needs("registry")
def test_a_login_that_is_good_no_more_is_asked_for_anew(user, closed, config):
    config.parent.mkdir()
    config.write_text(json.dumps({"auths": {closed: entry("me", "old")}, "psFormat": "x"}))
    done = user("login", closed)
    assert done.exit == 1
    assert "Login did not succeed, error: " in done.stderr
    assert "Cannot perform an interactive login from a non TTY device" in done.stderr
    terminal = Terminal(user.command("login", closed), user.environment)
    terminal.expect("Username (me): ")
    terminal.type("\n")
    terminal.expect("Password: ")
    terminal.type(f"{SECRET}\n")
    assert SECRET not in terminal.expect("Login Succeeded")
    assert terminal.close() == 0
    assert json.loads(config.read_text()) == {
        "auths": {closed: entry("me", SECRET)},
        "psFormat": "x",
    }


@pytest.mark.needs("registry")
def test_the_terminal_shows_again_what_is_typed(user, closed):
    """Also after Ctrl-C at the password."""
    import termios

    terminal = Terminal(user.command("login", "-u", "me", closed), user.environment)
    terminal.expect("Password: ")
    assert not termios.tcgetattr(terminal.slave)[3] & termios.ECHO
    terminal.type("\x03")
    assert terminal.process.wait(120) == 130
    assert termios.tcgetattr(terminal.slave)[3] & termios.ECHO
    terminal.close()


@pytest.mark.needs("registry")
@pytest.mark.parametrize(
    ("words", "stdin", "complaint"),
    [
        (["-u", "me", "-p", "wrong"], "", "does not accept this user name and password"),
        (["-u", "you", "--password-stdin"], SECRET, "does not accept this user name and password"),
        (["-u", "me"], SECRET, "Cannot perform an interactive login from a non TTY device"),
        ([], "", "Cannot perform an interactive login from a non TTY device"),
        (["--password-stdin"], SECRET, "requires --username to be set"),
        (["-u", "me", "-p", SECRET, "--password-stdin"], SECRET, "cannot specify both"),
        (["-u", "me", "--password-stdin"], "", "Cannot perform an interactive login"),
        (["-u", "me", "-p", ""], "", "password is empty"),
        (["-u", "", "-p", "x"], "", "username is empty"),
        (["-u", "a:b", "-p", "x"], "", "cannot have a colon"),
        (["-u", "me", "--password-stdin"], "x" * 100_000, "longer than 16 KiB"),
    ],
)
def test_what_is_no_login(user, closed, config, words, stdin, complaint):
    done = user("login", *words, closed, stdin=stdin)
    assert done.exit == 1
    assert complaint in done.stderr
    assert "Succeeded" not in done.stdout
    assert SECRET not in done.stderr
    assert not config.exists()


@pytest.mark.parametrize("server", ["a b", "-", "https://", "me@r.example", "r.example:x", ""])
def test_what_is_no_server(user, server):
    done = user("login", "-u", "me", "-p", "x", "--", server, timeout=120)
    assert done.exit == 1
    assert "is not a registry's host name" in done.stderr or server == ""


@pytest.mark.needs("registry")
@pytest.mark.parametrize("how", ["flag", "variable"])
def test_another_file(user, closed, config, tmp_path, how):
    other = tmp_path / "other.json"
    if how == "variable":
        user.environment["REGISTRY_AUTH_FILE"] = str(other)
    words = ["--authfile", str(other)] if how == "flag" else []
    user.ok("login", "-u", "me", "-p", SECRET, *words, closed)
    assert json.loads(other.read_text()) == {"auths": {closed: entry("me", SECRET)}}
    assert not config.exists()
    user.ok("logout", *words, closed)
    assert json.loads(other.read_text()) == {"auths": {}}


@pytest.mark.needs("registry", "userns")
def test_our_login_wins_and_podmans_is_told_of_when_it_goes(user, closed, tmp_path):
    podmans = tmp_path / "runtime" / "containers" / "auth.json"
    podmans.parent.mkdir(parents=True)
    podmans.write_text(json.dumps({"auths": {closed: entry("me", "old")}}))
    user.ok("login", "-u", "me", "-p", SECRET, closed)
    user.ok("pull", f"{closed}/a/b:1")
    done = user("logout", closed)
    assert done.exit == 0
    assert f"{podmans} has a login for {closed} too" in done.stderr
    user.ok("logout", "--authfile", podmans, closed)
    assert user("logout", closed).stderr == ""


@pytest.mark.needs("registry", "skopeo")
def test_skopeo_uses_our_login_and_we_its(user, closed, config, tmp_path):
    user.ok("login", "-u", "me", "-p", SECRET, closed)
    look = ["skopeo", "inspect", "--tls-verify=false", f"docker://{closed}/a/b:1"]
    environment = user.environment
    subprocess.run(look, env=environment, check=True, capture_output=True)
    config.unlink()
    words = ["--tls-verify=false", "-u", "me", "-p", SECRET, closed]
    subprocess.run(["skopeo", "login", *words], env=environment, check=True, capture_output=True)
    assert user.ok("login", "--get-login", closed) == "me\n"


@pytest.mark.needs("registry", "strace")
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_killed_login_leaves_the_old_file(user, closed, config, call):
    config.parent.mkdir()
    old = json.dumps({"auths": {"other.example": entry("a", "b")}})
    config.write_text(old)
    words = user.command("login", "-u", "me", "-p", SECRET, closed)
    killed = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL", *words]
    subprocess.run(killed, env=user.environment, check=False, capture_output=True)
    unfinished = [one for one in config.parent.iterdir() if one != config]
    assert config.read_text() == old or call == "rename"
    assert all(one.stat().st_mode & 0o777 == 0o600 for one in unfinished)
    user.ok("login", "-u", "me", "-p", SECRET, closed)
    assert set(json.loads(config.read_text())["auths"]) == {"other.example", closed}
    assert list(config.parent.iterdir()) == [config]


# --- token servers --------------------------------------------------------------------------


class TokenServer:
    """Accepts me:hunter2 and the identity token `refresh-1`, which it offers to who asks."""

    def __init__(self, image):
        self.honest = serving(image, "a/b")
        self.asked = []

    def __call__(self, request):
        url = urlsplit(request.path)
        if url.path != "/token":
            if request.headers.get("Authorization") == "Bearer good":
                return self.honest(request)
            wanted = f'Bearer realm="http://{request.headers["Host"]}/token",service="s"'
            return Answer(401, b"{}", {"WWW-Authenticate": wanted})
        form = parse_qs(request.body.decode() or url.query)
        self.asked.append((request.method, form))
        basic = request.headers.get("Authorization", "").removeprefix("Basic ")
        password = b64decode(basic).decode() == f"me:{SECRET}"
        if not password and form.get("refresh_token") != ["refresh-1"]:
            return Answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}')
        answer = {"access_token": "good"}
        if "offline_token" in form:
            answer["refresh_token"] = "refresh-1"
        return Answer(200, json.dumps(answer).encode())


@pytest.mark.needs("userns")
def test_an_identity_token_is_kept_instead_of_the_password(user, config, tmp_path):
    rules = TokenServer(write_layout(tmp_path / "layout", "x:1", [layer({"f": b"x"})]))
    with HostileRegistry(rules) as registry:
        done = user("login", "-u", "me", "-p", SECRET, registry.address)
        assert (done.exit, "unencrypted" in done.stderr) == (0, False), done.stderr
        kept = {registry.address: {**entry("me", ""), "identitytoken": "refresh-1"}}
        assert json.loads(config.read_text()) == {"auths": kept}
        ((method, form),) = rules.asked
        assert (method, form["account"], form["service"]) == ("GET", ["me"], ["s"])
        assert "scope" not in form
        user.ok("pull", f"{registry.address}/a/b:1")
        method, form = rules.asked[-1]
        assert (method, form["grant_type"]) == ("POST", ["refresh_token"])
        assert form["scope"] == ["repository:a/b:pull"]
        assert "Authenticating with existing" in user.ok("login", registry.address)
        assert json.loads(config.read_text()) == {"auths": kept}
        bad = user("login", "-u", "me", "-p", "wrong", registry.address)
        assert "does not accept this user name and password" in bad.stderr
        assert json.loads(config.read_text()) == {"auths": kept}


def test_what_is_no_registry_is_no_login(user, config):
    for answer in (Answer(404), Answer(200, b"<html>", {"Content-Type": "text/html"}), Answer(403)):
        with HostileRegistry(lambda request, answer=answer: answer) as registry:
            done = user("login", "-u", "me", "-p", SECRET, registry.address)
        assert done.exit == 1, answer
        assert SECRET not in done.stderr
    assert not config.exists()


@pytest.mark.needs("registry", "userns")
def test_the_hub(user, config, tmp_path):
    image = write_layout(tmp_path / "layout", "x:1", [layer({"f": b"x"})])
    with Hub(tmp_path / "hub", {"library/x:1": image}) as hub:
        user.environment |= hub.environment
        bad = user("login", "-u", USER, "-p", "wrong")
        assert bad.exit == 1
        assert "docker.io does not accept this user name and password" in bad.stderr
        for server in ([], ["docker.io"], [HUB_KEY]):
            done = user("login", "-u", USER, "--password-stdin", *server, stdin=PASSWORD)
            assert done.exit == 0, done.stderr
        assert json.loads(config.read_text()) == {"auths": {HUB_KEY: entry(USER, PASSWORD)}}
        user.ok("pull", "x:1")
        terminal = Terminal(user.command("login", "--get-login"), user.environment)
        terminal.expect(USER)
        terminal.close()
        config.unlink()
        terminal = Terminal(user.command("login"), user.environment)
        assert "https://hub.docker.com" in terminal.expect("Username: ")
        terminal.type(f"{USER}\n")
        terminal.expect("Password: ")
        terminal.type(f"{PASSWORD}\n")
        terminal.expect("Login Succeeded")
        assert terminal.close() == 0
        assert user.ok("logout") == f"Removing login credentials for {HUB_KEY}\n"
    assert json.loads(config.read_text()) == {"auths": {}}


def test_a_password_is_in_no_command_line(user, tmp_path):
    """What a helper gets comes through a pipe."""
    secret = os.urandom(8).hex()  # other tests have theirs in command lines meanwhile
    programs = tmp_path / "programs"
    programs.mkdir()
    note = tmp_path / "processes"
    program = programs / "docker-credential-own"
    program.write_text(f"#!/bin/sh\ncat /proc/[0-9]*/cmdline >{note} 2>/dev/null; cat >{note}.in\n")
    program.chmod(0o755)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text('{"credsStore": "own"}')
    user.environment["PATH"] = f"{programs}:{user.environment['PATH']}"
    with HostileRegistry(lambda request: Answer(200, b"{}")) as registry:
        user.ok("login", "-u", "me", "--password-stdin", registry.address, stdin=secret)
    assert secret in (tmp_path / "processes.in").read_text()
    assert secret.encode() not in note.read_bytes()
    assert secret not in (tmp_path / ".docker" / "config.json").read_text()
