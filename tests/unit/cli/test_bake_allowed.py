"""What a bake file may reach on this machine."""

from __future__ import annotations

import pytest

from rootless.bake.definition import Resolved
from rootless.bake.overrides import parse
from rootless.cli import bake_allowed
from rootless.errors import RootlessError, UsageError


@pytest.fixture
def check(tmp_path, monkeypatch):
    (tmp_path / "here/sub").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "here/link").symlink_to("../there")
    monkeypatch.chdir(tmp_path / "here")

    def run(target, *words, changes=(), environment=None):
        whole = {"context": ".", "dockerfile": "Dockerfile", **target}
        resolved = Resolved({}, {"a": whole}, frozenset())
        bake_allowed.check(resolved, words, parse(changes, {}), environment or {})

    return run


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"context": "sub", "dockerfile": "../Dockerfile"},
        {"context": "https://example.org/a.git", "dockerfile": "/etc/passwd"},
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
    ({"dockerfile": "../there/D"}, "fs.read=./../there/D"),
    ({"dockerfile": "/etc/passwd"}, "fs.read=/etc/passwd"),
    ({"contexts": {"a": "../there"}}, "fs.read=../there"),
    ({"secret": [{"id": "a", "src": "/etc/passwd"}]}, "fs.read=/etc/passwd"),
    ({"ssh": [{"id": "a", "paths": ["../there/key"]}]}, "fs.read=../there/key"),
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
