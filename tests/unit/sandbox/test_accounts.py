"""Users of an image whose passwd and group may be anything."""

from __future__ import annotations

import os

import pytest

from rootless.errors import RootlessError
from rootless.sandbox import accounts
from rootless.sandbox.accounts import Account

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
# a comment
short:x:5
web:x:33:34::/srv/web:/bin/sh
homeless:x:44:44:::/bin/sh
1000:x:0:0:a number for a name:/evil:/bin/sh
odd:x:minus:1::/:/bin/sh
huge:x:4294967296:1::/:/bin/sh
signed:x:+7:-7::/:/bin/sh
crlf:x:55:55::/home/crlf:/bin/sh\r
"""
GROUP = """\
root:x:0:
web:x:34:
staff:x:50:daemon,web
www:x:60:web
own:x:34:web
30:x:0:
huge:x:4294967296:web
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(PASSWD, newline="")
    (tmp_path / "etc" / "group").write_text(GROUP)
    return tmp_path


def resolve(text, root):
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        return accounts.resolve(text, fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("", Account()),
        ("root", Account()),
        ("0", Account()),
        ("daemon", Account(1, 1, (1, 50), "/usr/sbin")),
        ("1", Account(1, 1, (1, 50), "/usr/sbin")),
        ("web", Account(33, 34, (34, 50, 60), "/srv/web")),
        ("33", Account(33, 34, (34, 50, 60), "/srv/web")),
        ("0033", Account(33, 34, (34, 50, 60), "/srv/web")),
        ("homeless", Account(44, 44, (44,), "/")),
        ("crlf", Account(55, 55, (55,), "/home/crlf")),
        ("web:staff", Account(33, 50, (50,), "/srv/web")),
        ("web:0", Account(33, 0, (0,), "/srv/web")),
        ("web:77", Account(33, 77, (77,), "/srv/web")),
        (":staff", Account(0, 50, (50,))),
        ("web:", Account(33, 34, (34, 50, 60), "/srv/web")),
        ("1234", Account(1234, 0, (0,), "/")),
        ("1234:1234", Account(1234, 1234, (1234,), "/")),
        ("4294967294", Account(4294967294, 0, (0,), "/")),
    ],
)
def test_users(root, text, account):
    assert resolve(text, root) == account


def test_a_number_is_never_a_name(root):
    """CVE-2016-3697: a user or group called 1000 whose id is 0."""
    assert resolve("1000", root) == Account(1000, 0, (0,), "/")
    assert resolve("33:30", root).gid == 30


@pytest.mark.parametrize(
    "text",
    [
        *("nobody", "web:nobody", "huge", "odd", "signed", "short", "WEB", " web", "web ", " 0"),
        *("4294967295", "4294967296", "0:4294967295", "9" * 5000, "-1", "+1", "+0", "0:-1"),
        *("0x0", "0.0", "\u0660", "1e3", "web:staff:x", "::", "0:0:0", "\0", "web\n"),
    ],
)
def test_what_is_nobody(root, text):
    with pytest.raises(RootlessError, match=r"there is no (user|group)|is not a user or group id"):
        resolve(text, root)


def test_without_the_files(tmp_path):
    assert resolve("", tmp_path) == resolve("root", tmp_path) == resolve("0:root", tmp_path)
    assert resolve("7:8", tmp_path) == Account(7, 8, (8,), "/")
    with pytest.raises(RootlessError, match="no user 'web'") as caught:
        resolve("web", tmp_path)
    assert "numeric id" in caught.value.hint


def _fifo(path, _tmp_path):
    os.mkfifo(path)


def _link_to_the_hosts(path, _tmp_path):
    path.symlink_to("/etc/passwd")


def _climbing_link(path, tmp_path):
    (tmp_path.parent / "passwd").write_text("root:x:4242:4242::/:\nweb:x:4242:4242::/:\n")
    path.symlink_to("../../../passwd")


def _directory(path, _tmp_path):
    path.mkdir()


def _loop(path, _tmp_path):
    path.symlink_to("passwd")


def _device(path, _tmp_path):
    path.symlink_to("/dev/zero")


def _binary(path, _tmp_path):
    path.write_bytes(bytes(range(256)) * 5000)


@pytest.mark.parametrize(
    "make", [_fifo, _link_to_the_hosts, _climbing_link, _directory, _loop, _device, _binary]
)
def test_files_that_are_something_else_say_nothing(tmp_path, make):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    make(root / "etc" / "passwd", tmp_path)
    assert resolve("", root) == Account()
    with pytest.raises(RootlessError, match="there is no user 'web'"):
        resolve("web", root)


def test_only_the_beginning_of_an_endless_file_counts(tmp_path):
    (tmp_path / "etc").mkdir()
    filler = "#\n" * (1 << 19)
    (tmp_path / "etc" / "passwd").write_text(f"a:x:1:1::/:\n{filler}b:x:2:2::/:\n")
    assert resolve("a", tmp_path).uid == 1
    with pytest.raises(RootlessError):
        resolve("b", tmp_path)
