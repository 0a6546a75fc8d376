"""Paths of an archive, looked up by descriptors."""

import os

import pytest

from rootless.archive.places import _MOST_OPEN, Places


@pytest.fixture
def places(tmp_path):
    for number in range(2 * _MOST_OPEN):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").write_text(str(number))
    places = Places()
    places.enter(os.fsencode(tmp_path))
    yield places
    places.forget()


def read(place):
    with open(place, "rb") as file:
        return int(file.read())


def test_each_path_is_its_own_however_many_are_open(places):
    for number in (*range(2 * _MOST_OPEN), 0, 5):
        assert read(places.at(b"%d/file" % number)) == number


def test_two_paths_are_good_at_once_even_if_one_was_first_of_all(places):
    for number in range(_MOST_OPEN):
        places.at(b"%d/file" % number)
    oldest, new = places.at(b"0/file"), places.at(b"%d/file" % _MOST_OPEN)
    assert (read(oldest), read(new)) == (0, _MOST_OPEN)


def test_no_path_leads_out(places, tmp_path):
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(OSError):
        places.at(b"out/passwd")
    assert read(places.at(b"../../../../0/file")) == 0
    for path in (b"..", b"0/..", b"0/../.."):
        assert os.path.samefile(places.at(path), tmp_path)
