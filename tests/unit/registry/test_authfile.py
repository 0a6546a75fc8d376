"""Logins kept in docker's file: what is written, what stays, and who may read it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.registry import auth, authfile, turns
from rootless.registry.credentials import Credentials
from rootless.registry.errors import RegistryError

HUB = "https://index.docker.io/v1/"
ME = Credentials("me", "pass:word")
ENTRY = {"auth": b64encode(b"me:pass:word").decode()}


def read(path):
    return json.loads(path.read_text())


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """docker-credential-own, which keeps what it gets, and notes what it was asked."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program = tmp_path / "docker-credential-own"
    program.write_text(f"#!/bin/sh\n(echo $1; cat; echo) >>{tmp_path}/asked\n")
    program.chmod(0o755)
    return tmp_path / "asked"


def test_a_login_is_written_as_docker_writes_it(tmp_path):
    path = tmp_path / "new" / "config.json"
    assert auth.keep(str(path), "r.example:5000", ME) is True
    assert path.read_text() == (
        '{\n\t"auths": {\n\t\t"r.example:5000": {\n\t\t\t"auth": "bWU6cGFzczp3b3Jk"\n\t\t}\n\t}\n}'
    )
    assert auth.find([str(path)], "r.example:5000") == ME


def test_the_same_login_again_changes_nothing(tmp_path):
    path = tmp_path / "config.json"
    auth.keep(str(path), "r.example", ME)
    before = path.stat()
    assert auth.keep(str(path), "r.example", ME) is False
    assert path.stat() == before
    assert auth.keep(str(path), "r.example", Credentials("me", "other")) is True
    assert auth.find([str(path)], "r.example") == Credentials("me", "other")


def test_the_hub_has_its_odd_key_and_no_other(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {"docker.io": {"auth": "b2xkOm9sZA=="}}}))
    auth.keep(str(path), "docker.io", ME)
    assert read(path)["auths"] == {HUB: ENTRY}


def test_what_others_wrote_stays(tmp_path):
    path = tmp_path / "config.json"
    others = {
        "auths": {
            "other.example": {"auth": "eDp5", "email": "é"},
            "r.example/team": {"auth": "eDp5"},
        },
        "HttpHeaders": {"b": "1", "a": "2"},
        "credHelpers": {"x.example": "nowhere"},
        "proxies": None,
        "plugins": {"n": 1.50, "big": 12345678901234567890},
    }
    path.write_text(json.dumps(others))
    auth.keep(str(path), "r.example", ME)
    assert read(path) == {**others, "auths": {**others["auths"], "r.example": ENTRY}}
    auth.forget(str(path), "r.example")
    assert read(path) == others
    assert list(read(path)) == list(others)


def test_an_identity_token_takes_the_place_of_the_password(tmp_path):
    path = tmp_path / "config.json"
    login = Credentials("me", "", "refresh")
    assert auth.keep(str(path), "r.example", login) is False
    entry = {"auth": b64encode(b"me:").decode(), "identitytoken": "refresh"}
    assert read(path)["auths"] == {"r.example": entry}
    assert auth.find([str(path)], "r.example") == login


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_nobody_else_can_read_it(tmp_path, umask):
    path = tmp_path / "new" / "config.json"
    before = os.umask(umask & 0o077)
    try:
        auth.keep(str(path), "r.example", ME)
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        path.chmod(0o644)
        auth.keep(str(path), "s.example", ME)
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "dotfiles").mkdir()
    real = tmp_path / "dotfiles" / "docker.json"
    real.write_text('{"psFormat": "x"}')
    path = tmp_path / "config.json"
    path.symlink_to("dotfiles/docker.json")
    auth.keep(str(path), "r.example", ME)
    assert path.is_symlink()
    assert read(real) == {"psFormat": "x", "auths": {"r.example": ENTRY}}
    assert [one.name for one in real.parent.iterdir()] == ["docker.json"]


def test_what_lies_where_the_new_file_is_made_is_not_written_to(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("intact")
    path = tmp_path / "config.json"
    (tmp_path / "config.json.rootless-unfinished").symlink_to(victim)
    auth.keep(str(path), "r.example", ME)
    assert victim.read_text() == "intact"
    assert read(path)["auths"] == {"r.example": ENTRY}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["config.json", "victim"]


def test_logins_at_the_same_time_are_all_kept(tmp_path):
    path = str(tmp_path / "config.json")
    code = (
        "import sys; from rootless.registry import auth, credentials\n"
        "for n in range(20): auth.keep(sys.argv[1], f'{sys.argv[2]}{n}', "
        "credentials.Credentials('u', 'p'))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, path, name]) for name in ("a", "b", "c")
    ]
    assert [one.wait() for one in running] == [0, 0, 0]
    assert len(read(tmp_path / "config.json")["auths"]) == 60


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": [1]}', '{"credsStore": "../x"}'])
def test_a_damaged_file_is_named_and_stays(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(RegistryError, match=r"config\.json"):
        auth.keep(str(path), "r.example", ME)
    assert path.read_text() == text


def test_an_empty_file_has_no_logins(tmp_path):
    path = tmp_path / "config.json"
    path.touch()
    assert auth.find([str(path)], "r.example") is None
    auth.keep(str(path), "r.example", ME)
    assert auth.find([str(path)], "r.example") == ME


@pytest.mark.parametrize("kind", ["pipe", "directory", "loop"])
def test_what_is_no_file_is_a_sentence(tmp_path, kind):
    path = tmp_path / "config.json"
    {"pipe": os.mkfifo, "directory": os.mkdir, "loop": lambda at: os.symlink(at, at)}[kind](path)
    with pytest.raises(RegistryError, match=r"config\.json"):
        auth.find([str(path)], "r.example")
    with pytest.raises(RegistryError, match=r"config\.json"):
        auth.keep(str(path), "r.example", ME)


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="cannot write the logins in"):
        auth.keep(str(tmp_path / "file" / "config.json"), "r.example", ME)


def test_a_helper_keeps_the_login_and_the_file_only_a_note(tmp_path, helper):
    path = tmp_path / "config.json"
    path.write_text('{"credsStore": "own"}')
    assert auth.keep(str(path), "docker.io", ME) is False
    verb, request = helper.read_text().splitlines()
    assert verb == "store"
    assert json.loads(request) == {"ServerURL": HUB, "Username": "me", "Secret": "pass:word"}
    assert read(path) == {"credsStore": "own", "auths": {HUB: {}}}
    helper.unlink()
    auth.forget(str(path), "docker.io")
    assert helper.read_text().split() == ["erase", HUB, "erase", "docker.io"]
    assert read(path) == {"credsStore": "own", "auths": {}}


def test_a_helper_gets_an_identity_token_by_its_sign(tmp_path, helper):
    path = tmp_path / "config.json"
    path.write_text('{"credHelpers": {"r.example": "own"}}')
    auth.keep(str(path), "r.example", Credentials("me", "", "refresh"))
    request = json.loads(helper.read_text().splitlines()[1])
    assert request == {"ServerURL": "r.example", "Username": "<token>", "Secret": "refresh"}
    auth.keep(str(path), "s.example", ME)
    assert read(path)["auths"] == {"r.example": {}, "s.example": ENTRY}


def test_a_helper_that_refuses_leaves_all_as_it_was(tmp_path, helper):
    (tmp_path / "docker-credential-own").write_text("#!/bin/sh\nexit 3\n")
    path = tmp_path / "config.json"
    text = '{"credsStore": "own", "auths": {"r.example": {}}}'
    path.write_text(text)
    for act in (
        lambda: auth.keep(str(path), "r.example", ME),
        lambda: auth.forget(str(path), "r.example"),
    ):
        with pytest.raises(RegistryError, match=r"docker-credential-own for r\.example failed"):
            act()
    assert path.read_text() == text


def test_a_helper_that_reads_nothing_is_not_waited_for(tmp_path, helper):
    (tmp_path / "docker-credential-own").write_text("#!/bin/sh\nexit 0\n")
    path = tmp_path / "config.json"
    path.write_text('{"credsStore": "own"}')
    auth.keep(str(path), "r.example", Credentials("me", "x" * 200_000))


def test_forgetting_what_is_not_known(tmp_path):
    path = tmp_path / "none" / "config.json"
    auth.forget(str(path), "r.example")
    assert not path.parent.exists()


@given(st.text(max_size=20).filter(lambda user: ":" not in user), st.text(max_size=40))
def test_every_login_comes_back(tmp_path_factory, user, password):
    path = tmp_path_factory.getbasetemp() / "login.json"
    login = Credentials(user, password.rstrip("\0"))
    auth.keep(str(path), "r.example", login)
    assert auth.find([str(path)], "r.example") == login
    assert "r.example" in authfile.load(str(path))["auths"]


def test_a_directory_that_somebody_keeps_locked_is_named(tmp_path, monkeypatch):
    """Whoever can read a directory can hold its flock for ever."""
    monkeypatch.setattr(turns, "PATIENCE", 0.2)
    path = tmp_path / "config.json"
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        with pytest.raises(RegistryError, match=f"{tmp_path} is kept locked") as caught:
            auth.keep(str(path), "r.example", ME)
        assert "--authfile" in caught.value.hint
        assert not path.exists()
    finally:
        os.close(held)
    auth.keep(str(path), "r.example", ME)
    assert auth.find([str(path)], "r.example") == ME
