"""Secrets and private keys in a layer, wherever their bytes are cut."""

from __future__ import annotations

import pytest

from rootless.build.carry.leaks import Leaks

KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n"
SECRET = b"correct horse battery"


def leaks(folder, *chunks, secrets=None):
    found = Leaks({"token": SECRET} if secrets is None else secrets)
    found.see(bytes(8))  # a header ends like that
    for chunk in chunks:
        found.see(chunk)
    return found.found(str(folder))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "config").write_bytes(b"x=" + SECRET + b"\n")
    (tmp_path / "etc" / "id").write_bytes(KEY)
    (tmp_path / "etc" / "pub").write_bytes(b"-----BEGIN PUBLIC KEY-----\n")
    (tmp_path / "etc" / "doc").write_bytes(b"A key begins with " + KEY)
    (tmp_path / "etc" / "link").symlink_to("id")
    return tmp_path


@pytest.mark.parametrize("cut", [0, 1, 5, len(SECRET) - 1, len(SECRET)])
def test_a_secret_is_seen_across_chunks(folder, cut):
    found = leaks(folder, b"before " + SECRET[:cut], SECRET[cut:] + b" after")
    assert found == ["the secret 'token' is in a layer, for whoever gets that: /etc/config"]


def test_a_key_is_a_file_that_begins_as_one(folder):
    assert leaks(folder, KEY) == ["a private key is in a layer, for whoever gets that: /etc/id"]
    assert leaks(folder, memoryview(KEY)) != []
    assert leaks(folder, KEY[:20], KEY[20:]) != []
    assert leaks(folder, b"other", bytes(500) + KEY) != []
    assert leaks(folder, b"A key begins with " + KEY) == []
    assert leaks(folder, b"-----BEGIN PUBLIC KEY-----\nPRIVATE KEY-----") == []


def test_what_is_not_there_is_not_told(folder):
    assert leaks(folder, b"correct horse", b"battery") == []
    assert leaks(folder, b"abc", secrets={"short": b"abc"}) == []
    assert leaks(folder, b"abc", secrets={}) == []


def test_the_line_end_of_a_file_is_no_part_of_a_secret(folder):
    assert leaks(folder, SECRET, secrets={"token": SECRET + b"\n"}) != []


def test_a_few_files_are_named(folder):
    for number in range(20):
        (folder / f"id{number:02}").write_bytes(KEY)
    assert len(leaks(folder, KEY)) == 5
