"""Digests of context files, and what is remembered of them."""

import json
import os
import time

import pytest

from rootless.build.inputs import tree
from rootless.build.inputs.context import Context
from rootless.errors import RootlessError

OLD = 1_600_000_000


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "context"
    (root / "d").mkdir(parents=True)
    (root / "a").write_text("one")
    (root / "d" / "b").write_text("two")
    os.symlink("a", root / "link")
    return root


def digest(folder, pattern=".", memory="/nonexistent"):
    context = Context(str(folder), None, str(memory))
    try:
        return context.digest(tree.select(context.fd, pattern))
    finally:
        os.close(context.fd)


def test_times_and_place_do_not_count(folder):
    before = digest(folder)
    os.utime(folder / "a", (OLD, OLD))
    assert digest(folder) == before
    folder.rename(folder.with_name("elsewhere"))
    assert digest(folder.with_name("elsewhere")) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a").write_text("eno"),
        lambda folder: (folder / "a").chmod(0o755),
        lambda folder: (folder / "a").rename(folder / "c"),
        lambda folder: (folder / "d").chmod(0o700),
        lambda folder: (folder / "new").mkdir(),
        lambda folder: ((folder / "link").unlink(), os.symlink("d", folder / "link")),
        lambda folder: (folder / "d" / "b").unlink(),
    ],
)
def test_what_counts(folder, change):
    before = digest(folder)
    change(folder)
    assert digest(folder) != before


def test_a_directory_counts_by_its_contents_not_its_name(folder):
    before = digest(folder, "d")
    (folder / "d").rename(folder / "e")
    assert digest(folder, "e") == before


def remember(folder, memory):
    context = Context(str(folder), None, str(memory))
    context._settled = 1 << 62  # as if the files had not been touched for a while
    found = context.digest(tree.select(context.fd, "."))
    context.remember()
    context.close()
    return found


def test_a_remembered_file_is_not_read_again(folder, tmp_path):
    memory = tmp_path / "memory.json"
    first = remember(folder, memory)
    where, _, known = memory.read_text().partition("\n")
    assert (json.loads(where), len(json.loads(known))) == (str(folder), 3)
    memory.write_text(f"{where}\n{json.dumps(dict.fromkeys(json.loads(known), '0' * 64))}")
    assert digest(folder, memory=memory) != first  # it believed what it was told


def test_a_changed_file_is_read_again_even_with_its_old_time(folder, tmp_path):
    memory = tmp_path / "memory.json"
    first = remember(folder, memory)
    before = os.stat(folder / "a")
    (folder / "a").write_text("ONE")
    os.utime(folder / "a", ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert digest(folder, memory=memory) != first


def test_a_file_touched_just_now_is_not_remembered(folder, tmp_path):
    memory = tmp_path / "memory.json"
    context = Context(str(folder), None, str(memory))
    (folder / "fresh").write_text("x")
    context.digest(tree.select(context.fd, "fresh"))
    context.remember()
    context.close()
    assert memory.read_text().partition("\n")[2] == "{}"


def test_a_damaged_memory_costs_only_time(folder, tmp_path):
    memory = tmp_path / "memory.json"
    first = remember(folder, memory)
    memory.write_bytes(b"{torn")
    assert digest(folder, memory=memory) == first


def test_memories_that_nobody_used_for_a_month_go_with_the_next_that_is_written(folder, tmp_path):
    month = 31 * 86_400
    others = [tmp_path / name for name in ("old.json", "torn.json.123", "young.json")]
    for other, age in zip(others, (month, month, 86_400), strict=True):
        other.write_text(json.dumps(str(tmp_path)) + "\n{}")
        os.utime(other, (time.time() - age,) * 2)
    memory = tmp_path / "memory.json"
    remember(folder, memory)
    assert [one.name for one in others if one.exists()] == ["young.json"]
    os.utime(memory, (0, 0))
    remember(folder, memory)
    assert memory.stat().st_mtime > time.time() - 600, "it was of use"


def test_memories_of_directories_that_are_gone_go_too(folder, tmp_path):
    gone = folder.with_name("gone \udcff")
    gone.mkdir()
    (gone / "f").write_text("f")
    remember(gone, tmp_path / "gone.json")
    (folder / "d" / "c").write_text("new")
    remember(folder, tmp_path / "kept.json")
    assert (tmp_path / "gone.json").exists()
    (gone / "f").unlink()
    gone.rmdir()
    (tmp_path / "torn.json").write_text('{"')
    (tmp_path / "half.json.77").write_text("")  # being written by another build
    (folder / "d" / "e").write_text("new")
    remember(folder, tmp_path / "memory.json")
    left = {one.name for one in tmp_path.iterdir() if one.is_file()}
    assert left == {"kept.json", "memory.json", "half.json.77"}


def test_a_context_that_is_not_there(tmp_path):
    with pytest.raises(RootlessError, match="cannot be opened"):
        Context(str(tmp_path / "none"), None, "")
