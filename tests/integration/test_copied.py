"""Trees of copies, and what a step has changed in them, where nothing can be mounted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rootless import linux, roots, rung
from rootless.archive import whiteout
from rootless.roots import compare, lasting, merging
from rootless.sandbox import seccomp, syscalls
from rootless.sandbox.seccomp import ALLOW
from rootless.store import Store, snapshots
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay")


@pytest.fixture
def store(tmp_path):
    yield Store(str(tmp_path / "store"))
    child.remove_tree(tmp_path / "store")


def lower(store: Store) -> str:
    """A layer with a bit of everything."""
    snapshot = snapshots.create(store)
    top = Path(snapshot.diff)
    for folder in ("d/e", "gone", "anew", "again"):
        (top / folder).mkdir(parents=True)
    for file in ("d/f", "d/e/g", "gone/x", "anew/old", "again/old", "h"):
        (top / file).write_text(file)
    os.link(top / "d/e/g", top / "d/link")
    os.symlink("../h", top / "d/soft")
    os.mkfifo(top / "d/fifo")
    os.chown(top / "d/f", 5, 6)
    (top / "d/f").chmod(0o4755)
    os.setxattr(top / "h", "user.note", b"kept")
    store.held = snapshot  # type: ignore[attr-defined]
    return snapshot.diff


def change(top: Path) -> None:
    """What a command might do."""
    (top / "d/f").write_text("changed")
    (top / "d/e/g").unlink()
    (top / "d/e/new").symlink_to("nowhere")
    (top / "h").chmod(0o600)
    (top / "gone/x").unlink()
    (top / "gone").rmdir()
    (top / "anew/old").unlink()
    (top / "anew").rmdir()
    (top / "anew").write_text("a file now")
    (top / "new").mkdir()
    (top / "again/old").unlink()
    (top / "again").rmdir()
    (top / "new").rename(top / "again")  # not the same directory, nor its number
    (top / "again/young").write_text("")
    (top / "made/deep").mkdir(parents=True)
    os.chown(top / "made", 7, 8)


def made_by(store: Store, layers: list[str]) -> str:
    snapshot = snapshots.create(store)
    store.kept = [*getattr(store, "kept", []), snapshot]  # type: ignore[attr-defined]
    bottom, names = roots.empty(snapshot), tuple(layers)
    root = roots.present(store, layers, snapshot.path, bottom=bottom, names=names)
    with root.mount() as tree:
        change(Path(tree.target))
    return root.commit()


def test_a_layer_is_what_overlayfs_would_have_made_of_it(store):
    def body():
        below = [lower(store)]
        stacked = made_by(store, below)
        rung.decide(rung.ROOT, "for this test")
        copied = made_by(store, below)
        rung.decide(rung.RANGE, "again")
        with (
            roots.view(store, [stacked, *below]) as one,
            roots.view(store, [copied, *below]) as two,
        ):
            return [str(found) for found in compare.compare(one.fd, two.fd)]

    assert child.in_child(body) == []


def test_both_forms_of_a_whiteout_hide_when_layers_are_put_together(store):
    def body():
        below = lower(store)
        above = snapshots.create(store)
        whiteout.make(os.fsencode(f"{above.diff}/h"))
        os.mkdir(f"{above.diff}/d")
        whiteout._make_file(os.fsencode(f"{above.diff}/d/f"))
        os.mkdir(f"{above.diff}/anew")
        whiteout.make_opaque(os.fsencode(f"{above.diff}/anew"))
        tree = snapshots.create(store)
        merging.merge([above.diff, below], tree.target)
        top = Path(tree.target)
        return sorted(str(one.relative_to(top)) for one in top.rglob("*"))

    # of d/f and h, and of what was in anew, nothing is left
    found = child.in_child(body)
    in_d = ["d/e", "d/e/g", "d/fifo", "d/link", "d/soft"]
    assert found == ["again", "again/old", "anew", "d", *in_d, "gone", "gone/x"]


def test_the_next_step_goes_on_in_the_same_tree(store):
    def body():
        rung.decide(rung.ROOT, "for this test")
        below = [lower(store)]
        first = made_by(store, below)
        os.utime(f"{first}/made", ns=(10**9, 10**9))
        snapshot = snapshots.create(store)
        layers = (first, *below)
        root = roots.present(store, layers, snapshot.path, bottom="", names=layers)
        time = os.stat(f"{root.target}/made").st_mtime_ns
        (Path(root.target) / "made/more").touch()
        diff = Path(root.commit())
        return time, sorted(str(one.relative_to(diff)) for one in diff.rglob("*"))

    assert child.in_child(body) == (10**9, ["made", "made/more"])


def test_a_tree_that_was_left_in_the_middle_is_not_used_again(store):
    def body():
        rung.decide(rung.ROOT, "for this test")
        below = [lower(store)]
        names = tuple(below)
        one, other = snapshots.create(store), snapshots.create(store)
        left = roots.present(store, below, one.path, bottom="", names=names)
        Path(left.target, "half").touch()
        again = roots.present(store, below, other.path, bottom="", names=names)
        found = os.listdir(again.target)
        roots.let_go()
        return "half" in found, os.path.exists(again.target)

    assert child.in_child(body) == (False, False)


def test_a_layer_below_is_never_written_to(store):
    def body():
        rung.decide(rung.ROOT, "for this test")
        below = lower(store)
        before = {path: os.lstat(path).st_ctime_ns for path in map(str, Path(below).rglob("*"))}
        made_by(store, [below])
        after = {path: os.lstat(path).st_ctime_ns for path in map(str, Path(below).rglob("*"))}
        return before == after, stat.S_IMODE(os.lstat(f"{below}/d/f").st_mode)

    assert child.in_child(body) == (True, 0o4755)


def without_exchange() -> None:
    """As on a file system that has none: there is no renameat2(2) for this process any more."""
    verdicts = {"renameat2": seccomp.ENOSYS}
    entries = [
        (audit, seccomp.search(seccomp.runs(syscalls.names(table), verdicts, ALLOW, ALLOW)))
        for audit, table in seccomp.ENTRIES[linux.MACHINE]
    ]
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.seccomp(seccomp.assemble(entries))


@pytest.mark.parametrize("calls", range(6))
@pytest.mark.parametrize("exchanges", [True, False])
def test_who_is_killed_while_changes_are_kept_loses_none_of_before(
    tmp_path, monkeypatch, exchanges, calls
):
    """A container's, at its end: neither when they are put in their place, nor when others go."""
    home = tmp_path / "home"
    (home / "diff").mkdir(parents=True)
    (tmp_path / "layer").mkdir()
    left = [calls]

    def counted(call):
        def tried(*words, **options):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return call(*words, **options)

        return tried

    def body():
        if not exchanges:
            without_exchange()
        layers = (str(tmp_path / "layer"),)
        root = lasting.Root(layers, str(home))
        (home / "tree/before").write_text("before")
        root.commit()
        root = lasting.Root(layers, str(home))
        (home / "tree/after").write_text("after")
        with monkeypatch.context() as patch:
            changes = ((os, "rename"), (os, "rmdir"), (os, "unlink"), (linux, "renameat2"))
            for module, name in changes:
                patch.setattr(module, name, counted(getattr(module, name)))
            try:
                root.commit()
            except KeyboardInterrupt:
                pass
        assert not exchanges or (home / "diff/before").read_text() == "before"
        root = lasting.Root(layers, str(home))
        found = {one.name: one.read_text() for one in (home / "tree").iterdir()}
        root.commit()
        return found, sorted(os.listdir(home))

    found, left_over = child.in_child(body)
    assert found["before"] == "before"
    assert found.get("after", "after") == "after"
    assert left_over == ["diff"]
