"""What a bake file may reach on this machine."""

from __future__ import annotations

import os

import pytest

from rootless.bake import attributes, entries
from rootless.bake.overrides import parse
from rootless.cli import bake_allowed
from rootless.cli.bake_words import arguments, command, text_of
from rootless.errors import RootlessError, UsageError


@pytest.fixture
def check(tmp_path, monkeypatch):
    (tmp_path / "here/sub").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "here/link").symlink_to("../there")
    monkeypatch.chdir(tmp_path / "here")

    def run(target, *words, changes=(), environment=None):
        whole = {"context": ".", "dockerfile": "Dockerfile", **target}
        bake_allowed.parse(words, parse(changes, {}), environment or {}).check("a", whole)

    return run


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"context": "sub", "dockerfile": "../Dockerfile"},
        {"context": "https://example.org/a.git", "dockerfile": "../Dockerfile"},
        {"context": "https://example.org/a.git", "dockerfile": "cwd://sub/Dockerfile"},
        {"contexts": {"a": "oci-layout://sub:tag"}},
        {"secret": [{"id": "token"}]},
        {"contexts": {"a": "docker-image://b", "c": "target:d", "e": "sub"}},
        {"output": [{"type": "tar", "dest": "-"}, {"type": "local", "dest": "sub/out"}]},
        {"secret": [{"id": "a", "env": "B"}, {"id": "b", "src": "sub/key"}]},
        {"dockerfile": "/etc/passwd", "dockerfile-inline": "FROM a"},
    ],
)
def test_what_is_here_or_elsewhere_is_allowed(check, target):
    check(target)


OUTSIDE = [
    ({"context": "../there"}, "fs.read=../there"),
    ({"context": "link"}, "fs.read=link"),
    ({"dockerfile": "../there/D"}, "fs.read=../there/D"),
    ({"dockerfile": "/etc/passwd"}, "fs.read=/etc/passwd"),
    ({"contexts": {"a": "../there"}}, "fs.read=../there"),
    ({"secret": [{"id": "a", "src": "/etc/passwd"}]}, "fs.read=/etc/passwd"),
    ({"secret": [{"id": "/etc/passwd"}]}, "fs.read=/etc/passwd"),
    ({"context": "sub", "dockerfile": "cwd://../there/D"}, "fs.read=../there/D"),
    ({"context": "https://a.org/a.git", "dockerfile": "/etc/passwd"}, "fs.read=/etc/passwd"),
    ({"contexts": {"a": "oci-layout:///etc:tag"}}, "fs.read=/etc"),
    ({"contexts": {"a": "cwd://oci-layout:///etc@sha256:0"}}, "fs.read=/etc"),
    ({"output": [{"type": "local", "DEST ": " ../here2"}]}, "fs.write=../here2"),
    ({"cache-from": [{"type": "local", "src": "../there"}]}, "fs.read=../there"),
    ({"cache-to": [{"type": "local", "dest": "../there"}]}, "fs.write=../there"),
    ({"output": [{"type": "local", "dest": "../here2"}]}, "fs.write=../here2"),
]


@pytest.mark.parametrize(("target", "allow"), OUTSIDE)
def test_what_is_outside_needs_a_word(check, target, allow):
    with pytest.raises(RootlessError) as caught:
        check(target)
    assert caught.value.hint.endswith(f"--allow {allow}")
    check(target, allow)
    check(target, "fs=*")
    check(target, environment={"BUILDX_BAKE_ENTITLEMENTS_FS": "0"})


def test_to_read_is_not_to_write(check):
    with pytest.raises(RootlessError):
        check({"output": [{"type": "local", "dest": "../there"}]}, "fs.read=*")


def test_what_the_command_line_sets_is_the_users_word(check):
    check({"output": [{"type": "local", "dest": "../o"}]}, changes=["a.output=../o"])
    check({"context": "../there"}, changes=["a.context=../there"])


@pytest.mark.parametrize("word", ["fs", "fs.read=", "files=/", "fs.exec=/"])
def test_a_word_that_is_none(check, word):
    with pytest.raises(UsageError):
        check({}, word)


RIGHTS = [
    ({"entitlements": ["security.insecure"]}, "security.insecure", "entitlements"),
    ({"ssh": [{"id": "default"}]}, "ssh", "ssh"),
]


@pytest.mark.parametrize(("target", "word", "_"), RIGHTS)
def test_a_file_grants_itself_nothing(check, target, word, _):
    for words in ((), ("fs=*",), ("network.host",)):
        with pytest.raises(RootlessError, match=word) as caught:
            check(target, *words, environment={"BUILDX_BAKE_ENTITLEMENTS_FS": "0"})
    assert caught.value.hint.endswith(f"--allow {word}")
    check(target, word)


@pytest.mark.parametrize(("target", "word", "key"), RIGHTS)
def test_a_right_that_the_command_line_sets_is_granted(check, target, word, key):
    value = "default" if word == "ssh" else word
    check(target, changes=[f"a.{key}={value}"])
    if word == "ssh":
        with pytest.raises(RootlessError):
            check({"ssh": [{"id": "other"}]}, changes=["a.ssh=default"])


@pytest.mark.parametrize("key", [{"id": "a", "paths": ["../there/key"]}, {"id": "a=../there/key"}])
def test_a_key_is_a_file_too(check, key):
    with pytest.raises(RootlessError, match=r"read \.\./there/key"):
        check({"ssh": [key]}, "ssh")
    check({"ssh": [key]}, "ssh", "fs.read=../there")


def test_a_directory_that_is_called_like_a_url_is_one(check, tmp_path):
    target = {"context": "x://../../there"}
    check(target)
    (tmp_path / "here/x:").mkdir()
    for wrong in (target, {"contexts": {"a": "x://../../there"}}):
        with pytest.raises(RootlessError, match="outside of this directory"):
            check(wrong)


def test_a_secret_may_be_spelled_in_many_ways(check):
    for written in ({"id": "a", "SOURCE": "/etc/passwd"}, "id=a,source=/etc/passwd"):
        secret = attributes.decoded("secret", [written])
        assert secret == [{"id": "a", "src": "/etc/passwd"}]
        with pytest.raises(RootlessError):
            check({"secret": secret})
    with pytest.raises(RootlessError, match="no file='b'"):
        attributes.decoded("secret", [{"id": "a", "file": "b"}])
    os.symlink("../there", "token")
    with pytest.raises(RootlessError, match="would read token"):
        check({"secret": [{"id": "token"}]})
    check({"secret": [{"id": "token"}]}, environment={"token": "x"})


@pytest.mark.parametrize("value", ['a",dest=../o,name="b', "a\nb", "a\rb", 'a"', '"', 'x",", ="y'])
def test_a_value_stays_one_field(check, value):
    entry = {"type": "tar", "dest": "o", "name": value}
    assert entries.parse("output", text_of(entry)) == entry
    secret = {"id": value, "src": "../there"}
    assert entries.parse("secret", text_of(secret)) == secret


def test_a_name_of_a_context_holds_no_path():
    target = {"context": ".", "dockerfile": "D", "contexts": {"a=d": "s/../v"}}
    with pytest.raises(RootlessError, match="is no name"):
        command("a", target, {}, linked=False)


def test_no_value_is_a_flag():
    target = {"context": "--volume=/etc:/e", "dockerfile": "D", "tags": ["--push"]}
    made = command("a", target, {}, linked=False)
    found = arguments("a", made)
    assert (found.context, found.tag) == ("--volume=/etc:/e", ("--push",))
    assert (found.volume, found.push) == ((), False)
    attest = [{"type": "push", "disabled": True}]
    with pytest.raises(RootlessError, match="no type 'push'"):
        command("a", {**target, "attest": attest}, {}, linked=False)
