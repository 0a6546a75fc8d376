"""Which files of a directory a COPY names."""

import os

import pytest

from rootless.build.inputs import tree
from rootless.dockerfile.ignore import Ignore
from rootless.errors import NotFoundError


@pytest.fixture
def root(tmp_path):
    for name in ("a.txt", "b.txt", "d/c.txt", "d/e/f", ".hidden", "[x]"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside").write_text("secret")
    fd = os.open(tmp_path / "root", os.O_RDONLY)
    yield fd
    os.close(fd)


def names(root, pattern, ignore="", **options):
    rules = Ignore.parse(ignore.encode()) if ignore else None
    return [one.name for one in tree.select(root, pattern, rules, **options)]


def listing(root, pattern, ignore="", **options):
    """All files below the one source that matches."""
    rules = Ignore.parse(ignore.encode()) if ignore else None
    (source,) = tree.select(root, pattern, rules, **options)
    return [
        os.path.join(folder.path, name) for folder in source.folders for name, _ in folder.files
    ]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a.txt", ["a.txt"]),
        ("/a.txt", ["a.txt"]),
        ("../../a.txt", ["a.txt"]),
        ("d/../a.txt", ["a.txt"]),
        ("*.txt", ["a.txt", "b.txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
        ("[b-z].txt", ["b.txt"]),
        ("[^a].txt", ["b.txt"]),
        ("*/c.txt", ["c.txt"]),
        ("d/*", ["c.txt", "e"]),
        ("*.none", []),
        ("\\[x\\]", ["[x]"]),
        (".*", [".hidden"]),
    ],
)
def test_patterns(root, pattern, found):
    assert names(root, pattern) == found


def test_a_star_matches_hidden_files_too(root):
    assert ".hidden" in names(root, "*")


def test_a_missing_path_is_an_error(root):
    with pytest.raises(NotFoundError, match='"none" not found'):
        names(root, "none")


def test_an_excluded_path_says_so(root):
    with pytest.raises(NotFoundError, match=r'"a.txt" is excluded by \.dockerignore') as caught:
        names(root, "a.txt", "*.txt")
    assert "!a.txt" in caught.value.hint


def test_a_directory_without_what_is_excluded(root):
    assert listing(root, ".") == [".hidden", "[x]", "a.txt", "b.txt", "d/c.txt", "d/e/f"]
    assert listing(root, ".", "*.txt\nd/e") == [".hidden", "[x]", "d/c.txt"]
    assert listing(root, ".", "*\n!d/e") == ["d/e/f"]


def test_an_empty_directory_stays_unless_excluded(root):
    os.mkdir("empty", dir_fd=root)
    (source,) = tree.select(root, ".")
    assert "empty" in [folder.path for folder in source.folders]
    (source,) = tree.select(root, ".", Ignore.parse(b"empty"))
    assert "empty" not in [folder.path for folder in source.folders]


def test_links_end_inside_the_root(root):
    os.symlink("/a.txt", "absolute", dir_fd=root)
    os.symlink("../outside", "up", dir_fd=root)
    os.symlink("/", "top", dir_fd=root)
    (source,) = tree.select(root, "absolute")
    assert (source.name, source.stat.st_size) == ("absolute", 5)
    with pytest.raises(NotFoundError):
        tree.select(root, "up")
    with pytest.raises(NotFoundError):
        tree.select(root, "top/etc/passwd")
    assert names(root, "top/d/c.txt") == ["c.txt"]


def test_a_link_below_a_source_stays_a_link(root):
    os.symlink("/etc", "d/link", dir_fd=root)
    (source,) = tree.select(root, "d")
    assert (source.name, [name for name, _ in source.folders[0].files]) == ("d", ["c.txt", "link"])


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("d/c.txt", ["d/c.txt"]),
        ("d/./e/f", ["e/f"]),
        ("d/e", ["d/e/f"]),
        ("**/*.txt", ["a.txt", "b.txt", "d/c.txt"]),
        ("d/./**", ["c.txt", "e/f"]),
        ("?/./e", ["e/f"]),
        ("none", []),
    ],
)
def test_parents_keep_the_path_from_the_pivot(root, pattern, found):
    assert listing(root, pattern, parents=True) == found


def test_parents_less_what_is_ignored(root):
    assert listing(root, "d", "d/c.txt", parents=True) == ["d/e/f"]
    assert listing(root, "d/./**", "d/e", parents=True) == ["c.txt"]
    assert listing(root, "**", "d\n!d/e/f", parents=True)[-1] == "d/e/f"
    with pytest.raises(NotFoundError, match="not found"):
        listing(root, "none/./x", parents=True)


def test_parents_walk_only_where_something_may_be(root, monkeypatch):
    seen = []
    monkeypatch.setattr(tree, "_descend", lambda fd, name, *_: seen.append(name) or [])
    listing(root, "a/b", parents=True)
    assert seen == []


def test_names_that_are_not_text(root):
    os.close(os.open(b"\xff", os.O_CREAT | os.O_WRONLY, dir_fd=root))
    assert os.fsdecode(b"\xff") in listing(root, ".")


def test_a_path_of_many_folders_that_are_not_there(root):
    with pytest.raises(NotFoundError, match="not found"):
        names(root, "a/" * 1500 + "x")
    with pytest.raises(NotFoundError, match="not found"):
        names(root, "a/" * 1500 + "*")
