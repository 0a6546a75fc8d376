from __future__ import annotations

import json
import time
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.registry import credentials
from rootless.registry.auth import find
from rootless.registry.credentials import Credentials
from rootless.registry.errors import RegistryError

HUB = "https://index.docker.io/v1/"


def login(text):
    return {"auth": b64encode(text.encode()).decode()}


@pytest.fixture
def written(tmp_path):
    def write(config, name="config.json"):
        path = tmp_path / name
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return str(path)

    return write


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Installs docker-credential-NAME, a shell script that notes what it is asked for."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def install(name, script):
        program = tmp_path / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\ncat >>{tmp_path}/asked\n{script}\n")
        program.chmod(0o755)
        return (tmp_path / "asked").read_text

    return install


def test_no_file_no_login(tmp_path):
    assert find([str(tmp_path / "none"), str(tmp_path / "a" / "b")], "r.example", "x") is None


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("docker.io", HUB),
        ("docker.io", "docker.io"),
        ("docker.io", "https://registry-1.docker.io/v2/"),
        ("r.example:5000", "r.example:5000"),
        ("r.example", "https://r.example"),
        ("r.example", "http://r.example/v2/"),
        ("r.example", "r.example/team"),
        ("r.example", "r.example/team/app"),
    ],
)
def test_keys_that_mean_a_registry(written, registry, key):
    path = written({"auths": {key: login("me:pass:word")}})
    assert find([path], registry, "team/app") == Credentials("me", "pass:word")


@pytest.mark.parametrize(
    "key", ["evil.example", "r.example.evil", "xr.example", "r.example/tea", "r.example/team/app/x"]
)
def test_logins_of_others_stay_with_them(written, key):
    path = written({"auths": {key: login("me:secret")}})
    assert find([path], "r.example", "team/app") is None


def test_the_longest_path_wins(written):
    auths = {"r.example": login("a:1"), "r.example/team": login("b:2"), "r.example/t": login("c:3")}
    assert find([written({"auths": auths})], "r.example", "team/app") == Credentials("b", "2")


def test_the_first_file_with_a_login_wins(written):
    other = written({"auths": {"other": login("x:y")}}, "1")
    first = written({"auths": {"r.example": login("a:1")}}, "2")
    second = written({"auths": {"r.example": login("b:2")}}, "3")
    assert find([other, first, second], "r.example", "x") == Credentials("a", "1")


def test_identity_tokens(written):
    path = written({"auths": {"r.example": {**login("me:"), "identitytoken": "token"}}})
    assert find([path], "r.example", "x") == Credentials("me", "", "token")


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": 3}', '{"auths": {"r": {"auth": "%"}}}'])
def test_damaged_files_are_named(written, text):
    with pytest.raises(RegistryError, match=r"config\.json"):
        find([written(text)], "r", "x")


def test_secrets_are_not_shown(written):
    path = written({"auths": {"r.example": login("me:hunter2")}})
    assert "hunter2" not in repr(find([path], "r.example", "x"))


def test_helper_of_a_registry(written, helper):
    asked = helper("own", """echo '{"Username":"me","Secret":"pw","ServerURL":"r.example"}'""")
    path = written({"credHelpers": {"r.example": "own"}})
    assert find([path], "r.example", "x") == Credentials("me", "pw")
    assert find([path], "other.example", "x") is None
    assert asked() == "r.example"


def test_helper_with_a_token_for_the_hub(written, helper):
    asked = helper("own", """echo '{"Username":"<token>","Secret":"t"}'""")
    path = written({"credsStore": "own"})
    assert find([path], "docker.io", "library/x") == Credentials("", "", "t")
    assert asked() == HUB


def test_helper_that_knows_nothing(written, helper):
    helper("own", "echo credentials not found in native keychain; exit 1")
    assert find([written({"credHelpers": {"r": "own"}})], "r", "x") is None


@pytest.mark.parametrize(
    "script",
    [
        "exit 3",
        "echo nonsense",
        "echo '{}'",
        """echo '{"Username":"me","Secret":3}'""",
        "exec yes",
        "sleep 60",
    ],
)
def test_broken_helpers_fail_for_their_own_registry_only(written, helper, monkeypatch, script):
    monkeypatch.setattr(credentials, "TIMEOUT", 0.5)
    helper("broken", script)
    path = written({"credHelpers": {"r.example": "broken"}})
    with pytest.raises(RegistryError, match=r"docker-credential-broken for r\.example failed"):
        find([path], "r.example", "x")
    assert find([path], "other.example", "x") is None


def test_a_helper_that_hangs_is_ended_with_all_it_started(written, helper, monkeypatch, tmp_path):
    monkeypatch.setattr(credentials, "TIMEOUT", 0.5)
    helper("own", f"sleep 600 & echo $! $$ >{tmp_path}/pids; sleep 600")
    with pytest.raises(RegistryError, match="does not finish"):
        find([written({"credHelpers": {"r.example": "own"}})], "r.example", "x")
    for pid in (tmp_path / "pids").read_text().split():
        for _ in range(200):  # a killed process takes its moment to end
            if not lives(pid):
                break
            time.sleep(0.05)
        assert not lives(pid)


def lives(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize("name", ["../../tmp/x", "a/b", "/bin/sh", "", "-x", ".", "a b", 3])
def test_helper_names_are_names(written, name):
    with pytest.raises(RegistryError, match="not the name of a credential helper"):
        find([written({"credHelpers": {"r": name}})], "r", "x")


def test_a_missing_store_matters_only_where_it_holds_a_login(written):
    path = written({"credsStore": "nowhere", "auths": {"mine.example": {}}})
    assert find([path], "other.example", "x") is None
    with pytest.raises(RegistryError, match="cannot be started"):
        find([path], "mine.example", "x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(st.fixed_dictionaries({}, optional={"auths": JSON, "credHelpers": JSON}) | JSON)
def test_any_file_gives_a_login_or_a_sentence(tmp_path_factory, config):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(config))
    with suppress(RegistryError):
        find([str(path)], "r", "x")
