"""What texts name elsewhere: the forms that BuildKit takes, and what is refused before git runs."""

from __future__ import annotations

import pytest

from rootless.dockerfile import remote
from rootless.dockerfile.remote import GitSource
from rootless.errors import UsageError

SHA = "1b8680b9f49fe636397ba1b33cb77e2e2bac3622"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://e.com/foo.git", GitSource("https://e.com/foo.git")),
        ("HTTP://e.com/foo.git", GitSource("HTTP://e.com/foo.git")),
        ("https://e.com/foo.git#dead", GitSource("https://e.com/foo.git", "dead")),
        ("https://e.com/foo.git#release/1.2", GitSource("https://e.com/foo.git", "release/1.2")),
        ("https://e.com/foo.git#a/b:c/d", GitSource("https://e.com/foo.git", "a/b", "c/d")),
        ("https://e.com/foo.git#:c", GitSource("https://e.com/foo.git", "", "c")),
        ("https://e.com/foo.git#a%2Fb", GitSource("https://e.com/foo.git", "a/b")),
        ("https://u:p@e.com/foo.git", GitSource("https://u:p@e.com/foo.git")),
        ("git://e.com/foo", GitSource("git://e.com/foo")),
        ("ssh://git@e.com:22/foo", GitSource("ssh://git@e.com:22/foo")),
        ("git@e.com:foo/bar", GitSource("git@e.com:foo/bar")),
        ("git@e.com:foo.git#v1:d", GitSource("git@e.com:foo.git", "v1", "d")),
        (
            "https://e.com/f.git?ref=v1.0.0&subdir=/d",
            GitSource("https://e.com/f.git", "v1.0.0", "/d"),
        ),
        ("https://e.com/f.git?tag=v1", GitSource("https://e.com/f.git", "refs/tags/v1")),
        ("https://e.com/f.git?branch=v1", GitSource("https://e.com/f.git", "refs/heads/v1")),
        ("https://e.com/f.git?ref=v1#v1", GitSource("https://e.com/f.git", "v1")),
        (
            f"https://e.com/f.git?commit={SHA}",
            GitSource("https://e.com/f.git", SHA, commit=SHA),
        ),
        (
            f"https://e.com/f.git?ref=v1&checksum={SHA}",
            GitSource("https://e.com/f.git", "v1", commit=SHA),
        ),
        (
            "https://e.com/f.git?keep-git-dir&submodules=false",
            GitSource("https://e.com/f.git", keep_git_dir=True, submodules=False),
        ),
        (
            "https://e.com/f.git?keep-git-dir=0",
            GitSource("https://e.com/f.git", keep_git_dir=False),
        ),
    ],
)
def test_a_repository(text, source):
    assert remote.git(text) == source


@pytest.mark.parametrize(
    "text",
    [
        *("https://e.com/", "https://e.com/foo", "https://e.com/foo.git/", "./.git", ".git"),
        *("https://e.com/foo.git.bar", "e.com/foo.git", "https://e.com/d.git:#branch", "a@b"),
        *("file:///r.git", "ftp://e.com/r.git", "ext::sh -c x", "C:x", "name@dom ain:x", ""),
        "github.com/a/b",
    ],
)
def test_what_is_none(text):
    assert remote.git(text) is None


def test_docker_knows_one_host_by_its_name():
    assert remote.git("github.com/a/b#v1", short=True) == GitSource("https://github.com/a/b", "v1")
    assert remote.git("gitlab.com/a/b", short=True) is None


@pytest.mark.parametrize(
    "text",
    [
        "https://e.com/f.git#--upload-pack=touch /tmp/x",
        *("https://e.com/f.git#-x", "https://e.com/f.git?ref=-x", "git@e.com:f#--help"),
        *("https://e.com/f.git#a..b", "https://e.com/f.git#a^", "https://e.com/f.git#@{1}"),
        *("https://e.com/f.git?ref=a:b", "https://e.com/f.git#a%0ab", "https://e.com/f.git#a%00"),
        *("ssh://-oProxyCommand=x/y", "ssh://a@-oProxyCommand=x/y", "git@-oProxyCommand:y"),
        *("-x@e.com:y", "git@e.com:-x", "ssh://:22/x", "https:///f.git", "git://e.com/a b"),
        *("https://e.com/f.git?foo=1", "https://e.com/f.git?ref=", "https://e.com/f.git?ref=a#b"),
        *("https://e.com/f.git?ref=a&ref=b", "https://e.com/f.git?subdir=a#:b"),
        *("https://e.com/f.git?tag=a&branch=a", "https://e.com/f.git?keep-git-dir=maybe"),
        *("https://e.com/f.git?commit=xyz", "https://e.com/f.git?commit=abc123"),
    ],
)
def test_what_would_be_something_else_to_git(text):
    with pytest.raises(UsageError):
        remote.git(text)


def test_a_key_that_is_misspelt():
    with pytest.raises(UsageError, match="'brnach'") as caught:
        remote.git("https://e.com/f.git?brnach=a")
    assert caught.value.hint == "did you mean branch?"


@pytest.mark.parametrize(
    ("remotely", "shown"),
    [
        ("https://user:secret@e.com/f.git", "https://e.com/f.git"),
        ("https://token@e.com:8443/f.git", "https://e.com:8443/f.git"),
        ("ssh://git@e.com/f", "ssh://git@e.com/f"),
        ("git@e.com:f", "git@e.com:f"),
    ],
)
def test_no_login_is_shown(remotely, shown):
    assert GitSource(remotely).shown == shown


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://e.com/f.txt", "f.txt"),
        ("http://e.com/a/f.txt?x=y/z#q/r", "f.txt"),
        ("http://e.com/dir/", "dir"),
        ("http://e.com/%66.txt", "f.txt"),
        ("http://e.com/a/..%2f..%2fb", "b"),
        ("http://e.com/a/..", "__unnamed__"),
        ("http://e.com/", "__unnamed__"),
        ("http://e.com", "__unnamed__"),
    ],
)
def test_the_name_of_a_file(url, name):
    assert remote.file_name(url) == name


def test_flags_and_the_url_must_agree():
    source = GitSource("https://e.com/f.git")
    kept = remote.agreed(source, keep_git_dir=True, checksum=SHA)
    assert (kept.keep_git_dir, kept.commit) == (True, SHA)
    assert remote.agreed(kept, keep_git_dir=None, checksum="") == kept
    with pytest.raises(UsageError, match="--keep-git-dir"):
        remote.agreed(kept, keep_git_dir=False, checksum="")
    with pytest.raises(UsageError, match="--checksum"):
        remote.agreed(kept, keep_git_dir=None, checksum=SHA[::-1])
    with pytest.raises(UsageError, match="not a commit"):
        remote.agreed(source, keep_git_dir=None, checksum="xyz")
