"""The modes of an ordinary user's files, recorded where they would lock out their owner."""

from __future__ import annotations

import os

import pytest

from rootless import permissions, rung


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    here = rung.Rung(rung.NONE, "for this test")
    monkeypatch.setattr("rootless.rung._Standing.rung", here)


@pytest.fixture(params=["file", "folder"])
def there(request, tmp_path):
    """Something there, the bits that its owner needs, and how it is opened."""
    path = tmp_path / request.param
    if request.param == "file":
        path.touch(0o644)
        return path, 0o600
    path.mkdir(0o755)
    return path, 0o700


def asked(path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return permissions.of_open(fd)
    finally:
        os.close(fd)


def given(path) -> int:
    return path.stat().st_mode & 0o7777


def recorded(path) -> bool:
    return permissions.ATTRIBUTE in os.listxattr(path)


@pytest.mark.parametrize("mode", [0o000, 0o555, 0o4111, 0o1070], ids=oct)
def test_its_owner_is_let_in_and_what_was_asked_for_is_kept(there, mode):
    path, needed = there
    permissions.give_name(str(path), mode)
    assert given(path) == mode | needed
    assert asked(path) == mode


def test_who_changes_the_mode_has_changed_it(there):
    path, needed = there
    permissions.give_name(str(path), 0o000)
    path.chmod(needed | 0o011)
    assert asked(path) == needed | 0o011


def test_a_mode_that_needs_no_record_has_none(there):
    path, needed = there
    permissions.give_name(str(path), 0o040)
    assert recorded(path)
    permissions.give_name(str(path), needed | 0o040)  # the very mode that it had been given
    assert not recorded(path)
    assert asked(path) == needed | 0o040


def test_what_a_command_has_locked_is_opened_and_recorded(there):
    path, needed = there
    path.chmod(0o050)
    status = permissions.open_up(os.fsencode(path), path.lstat())
    assert (status.st_mode & 0o7777, given(path)) == (needed | 0o050,) * 2
    assert asked(path) == 0o050


@pytest.mark.parametrize(
    "text", [b"", b"0", b"0 600 1", b"x 600", b"-1 600", b"10000 600", b"0  600"], ids=repr
)
def test_a_record_that_nobody_of_ours_wrote_says_nothing(tmp_path, text):
    path = tmp_path / "file"
    path.touch(0o600)
    os.setxattr(path, permissions.ATTRIBUTE, text)
    assert asked(path) == 0o600
