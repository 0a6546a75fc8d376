"""What has changed in a tree, told by stat(2)."""

from __future__ import annotations

import os

import pytest

from rootless.roots import scan


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "tree"
    for folder in ("a/b", "c"):
        (top / folder).mkdir(parents=True)
    for file in ("a/f", "a/b/g", "c/h"):
        (top / file).write_text("same size")
    return top


def changes(tree, change, quiet=()):
    index = scan.look(str(tree))
    change()
    return scan.compare(str(tree), index, quiet)


def test_nothing_has_changed(tree):
    found = changes(tree, lambda: None)
    assert (found.changed, found.gone, found.replaced) == ([], [], set())


def test_the_same_size_and_the_same_time_do_not_hide_a_change(tree):
    file = tree / "a/b/g"
    before = file.stat()

    def change():
        file.write_text("SAME SIZE")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert changes(tree, change).changed == [b"/a/b/g"]


def test_what_is_new_comes_with_all_that_is_in_it(tree):
    def change():
        (tree / "a/b").rename(tree / "c/moved")

    found = changes(tree, change)
    assert found.gone == [b"/a/b"]
    assert set(found.changed) == {b"/a", b"/c", b"/c/moved", b"/c/moved/g"}
    assert found.changed.index(b"/c/moved") < found.changed.index(b"/c/moved/g")


def test_a_directory_in_the_place_of_a_file_begins_anew(tree):
    def change():
        (tree / "c/h").unlink()
        (tree / "c/h").mkdir()

    found = changes(tree, change)
    assert found.replaced == {b"/c/h"}
    assert found.gone == []


def test_the_index_goes_on_from_what_was_found(tree):
    index = scan.look(str(tree))
    (tree / "c/new").write_text("")
    assert scan.compare(str(tree), index).changed == [b"/c", b"/c/new"]
    (tree / "c/new").unlink()
    assert scan.compare(str(tree), index).gone == [b"/c/new"]
    assert scan.compare(str(tree), index).changed == []


def test_what_is_quiet_may_be_moved_away_and_back(tree):
    def change():
        before = os.stat(tree / "c").st_mtime_ns
        (tree / "c/h").rename(tree / "away")
        (tree / "away").rename(tree / "c/h")
        os.utime(tree / "c", ns=(before, before))

    assert changes(tree, change, {b"", b"/c", b"/c/h"}).changed == []
    assert changes(tree, lambda: (tree / "c/h").chmod(0o600), {b"/c/h"}).changed == [b"/c/h"]


def test_what_is_quiet_is_the_same_file(tree, tmp_path):
    """Another one of the same size and times is a change; more in it is none while others work."""

    def change():
        file, folder = (tree / "c/h").stat(), (tree / "c").stat()
        (tmp_path / "other").write_text("other one")
        os.utime(tmp_path / "other", ns=(file.st_atime_ns, file.st_mtime_ns))
        os.replace(tmp_path / "other", tree / "c/h")
        os.utime(tree / "c", ns=(folder.st_atime_ns, folder.st_mtime_ns))

    assert changes(tree, change, {b"/c", b"/c/h"}).changed == [b"/c/h"]
    quiet = {b"/c/h"}
    for changing, found in ((True, []), (False, [b"/c/h"])):
        index = scan.look(str(tree))
        (tree / "c/h").write_text(f"longer than before, {changing}")
        assert scan.compare(str(tree), index, quiet, changing=changing).changed == found


def test_an_entry_is_kept_in_little_more_than_its_name(tree):
    for number in range(2000):
        (tree / f"c/{number:04}").touch()
    index = scan.look(str(tree))
    assert index.entries == 2006
    assert sum(map(len, index.folders.values())) < 100 * index.entries


def test_names_that_are_no_text(tree):
    strange = os.path.join(os.fsencode(tree), b"a", b"\xff\xfe")
    index = scan.look(str(tree))
    os.mkdir(strange)
    os.close(os.open(strange + b"/\x80", os.O_CREAT | os.O_WRONLY))
    found = scan.compare(str(tree), index)
    assert found.changed == [b"/a", b"/a/\xff\xfe", b"/a/\xff\xfe/\x80"]
    os.unlink(strange + b"/\x80")
    os.rmdir(strange)
    assert scan.compare(str(tree), index).gone == [b"/a/\xff\xfe"]


def test_an_index_lies_in_a_file_for_others(tree, tmp_path):
    (tree / "a/\udcff").touch()
    scan.save(scan.look(str(tree)), str(tmp_path / "index"))
    (tree / "c/h").write_text("other")
    assert scan.compare(str(tree), scan.load(str(tmp_path / "index"))).changed == [b"/c/h"]


def test_what_goes_while_it_is_looked_at_has_gone(tree, monkeypatch):
    index = scan.look(str(tree))
    folder = scan._folder

    def going(top, path, **options):
        if path == b"/a/b":
            (tree / "a/b/g").unlink()
            (tree / "a/b").rmdir()
        return folder(top, path, **options)

    monkeypatch.setattr(scan, "_folder", going)
    assert scan.compare(str(tree), index, changing=True).gone == [b"/a/b/g"]


def test_less_what_lies_in_places(tree):
    def change():
        (tree / "in/place").mkdir(parents=True)
        (tree / "in/place/file").touch()
        (tree / "c/h").unlink()

    rest = changes(tree, change).without({b"/in/place", b"/a"}, {b"/in"})
    assert (rest.changed, rest.gone) == ([b"/c"], [b"/c/h"])
