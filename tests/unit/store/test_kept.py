"""The build cache: what of it goes, in which order, and how much stays."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from rootless.store import kept, layers, removal
from rootless.store.kept import Limits
from rootless.store.usage import Usage

NOW = 1_700_000_000


@pytest.fixture
def steps(store, make_image):
    """`steps("a", 5)`: the record of a step, last of use 5 hours ago, whose layer is 9 bytes."""

    def write(key, hours, *, named=False):
        image = make_image(*([key] if named else []), layer=key)
        diff_id = str(image.config.diff_ids[0])
        path = Path(store.path("cache/steps", f"{key}.json"))
        created = f"2020-01-01T{hours:02}:00:00Z"
        path.write_text(json.dumps({"diff_id": diff_id, "made": created, "text": f"RUN {key}"}))
        os.utime(path, (NOW - hours * 3600,) * 2)
        if not named:
            removal.prune(store)
        return image.config.diff_ids[0]

    return write


def mount(store, name, *, mtime=NOW, size=100):
    folder = Path(store.path("cache/mounts", name))
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "file").write_bytes(b"x" * size)
    (folder / "mount.json").write_text(json.dumps({"id": f"/{name}", "created": 5.0}))
    os.utime(folder / "mount.json", (mtime, mtime))
    return folder


def keys(found):
    return [one.key for one in found]


def test_what_is_told_of_everything(store, steps):
    steps("aa", 5)
    Path(store.path("cache/steps/bb.json")).write_text('{"contents": "sha256:00"}')
    Path(store.path("cache/steps/torn.json")).write_text('{"diff_id": "sha')
    os.mkdir(store.path("cache/contexts"))
    Path(store.path("cache/contexts/cc.json")).write_text('"/home/me"\n{}')
    folder = mount(store, "dd")
    found = {one.key: one for one in kept.listing(store, Usage(store))}
    step = found["aa"]
    assert (step.kind, step.text, step.used) == ("regular", "RUN aa", NOW - 5 * 3600)
    assert step.created == 1577854800.0
    assert [kind for kind, _ in step.pieces] == ["layer"]
    assert (found["bb"].kind, found["bb"].pieces) == ("internal", frozenset())
    assert found["torn"].kind == "regular"
    assert (found["cc"].kind, found["cc"].text) == ("source.local", "local source for /home/me")
    cached = found["dd"]
    assert (cached.kind, cached.text, cached.created) == ("exec.cachemount", "cached mount /dd", 5)
    assert cached.size == 100 + os.stat(folder / "mount.json").st_size
    assert [one.is_mutable for one in found.values()].count(True) == 2


def test_the_least_recently_used_go_first_and_only_as_many_as_needed(store, steps):
    for key, hours in (("bb", 3), ("aa", 9), ("cc", 1)):
        steps(key, hours)
    usage = Usage(store)
    everything = usage.cached()
    total = usage.only_kept(everything)
    one = total // 3

    def chosen(**limits):
        return keys(kept.chosen(store, usage, lambda _: True, Limits(**limits)))

    assert keys(kept.chosen(store, usage, lambda _: True)) == ["aa", "bb", "cc"]
    assert chosen(most=total) == chosen(reserved=total) == []
    assert chosen(most=total - 1) == ["aa"]
    assert chosen(reserved=one) == ["aa", "bb"]
    assert chosen(reserved=1) == ["aa", "bb", "cc"]
    assert chosen(most=1, reserved=2 * one) == ["aa"]
    assert chosen(free=1) == []
    assert chosen(free=1 << 62) == ["aa", "bb", "cc"]
    assert chosen(free=1 << 62, reserved=one) == ["aa", "bb"]


def test_of_the_steps_of_one_build_the_last_go_first(store, steps):
    for key, hours in (("aa", 1), ("bb", 2), ("cc", 3)):
        steps(key, hours)
        path = store.path("cache/steps", f"{key}.json")
        os.utime(path, (NOW // 60 * 60 + hours,) * 2)
    found = kept.chosen(store, Usage(store), lambda _: True)
    assert keys(found) == ["cc", "bb", "aa"], "created later, so it rests on the others"


@pytest.mark.parametrize(
    ("limits", "total", "available", "stays"),
    [
        ({"most": 10}, 100, 0, 10),
        ({"reserved": 10}, 100, 0, 10),
        ({"most": 10, "reserved": 20}, 100, 0, 20),
        ({"free": 30}, 100, 10, 80),
        ({"free": 30}, 100, 50, 100),
        ({"free": 30, "most": 50}, 100, 10, 50),
        ({"free": 300}, 100, 10, -190),
    ],
)
def test_how_much_stays(limits, total, available, stays):
    assert Limits(**limits).kept(total, available) == max(stays, 0)


def test_a_layer_that_two_steps_need_goes_with_the_last(store, steps, make_image):
    diff_id = steps("aa", 9)
    record = Path(store.path("cache/steps/aa.json"))
    twin = Path(store.path("cache/steps/bb.json"))
    twin.write_bytes(record.read_bytes())
    os.utime(twin, (NOW, NOW))
    usage = Usage(store)
    total = usage.only_kept(usage.cached())
    size = record.stat().st_size
    assert total == 2 * size + 9
    both = kept.chosen(store, usage, lambda _: True, Limits(most=total - size - 5))
    assert keys(both) == ["aa", "bb"], "one alone gives back no byte of the layer"
    first, _ = removal.prune_cache(store, lambda *_: True, Limits(most=total - size))
    assert keys(first) == ["aa"]
    assert layers.find(store, diff_id)
    gone, freed = removal.prune_cache(store, lambda *_: True)
    assert (keys(gone), freed) == (["bb"], size + 9)
    assert layers.find(store, diff_id) is None


def test_what_an_image_or_a_container_needs_is_not_counted_as_the_caches(store, steps):
    steps("named", 1, named=True)
    diff_id = steps("aa", 2)
    usage = Usage(store)
    records = sum(one.size for one in usage.cached())
    assert usage.only_kept(usage.cached()) == records + 9
    os.mkdir(store.path("containers/1234"))
    record = json.dumps({"layers": [str(diff_id)]})
    Path(store.path("containers/1234/container.json")).write_text(record)
    usage = Usage(store)
    assert usage.only_kept(usage.cached()) == records


def test_a_cache_mount_that_a_build_uses_stays(store):
    store.create()
    used, free = mount(store, "used"), mount(store, "free")
    fd = os.open(used, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    found = {one.key: one.in_use for one in Usage(store).cached()}
    assert found == {"used": True, "free": False}
    assert keys(kept.chosen(store, Usage(store), lambda _: True)) == ["free"]
    gone, size = removal.prune_cache(store, lambda *_: True)
    assert keys(gone) == ["free"]
    assert size == gone[0].size
    assert used.is_dir()
    assert not free.exists()
    os.close(fd)
    assert keys(removal.prune_cache(store, lambda *_: True)[0]) == ["used"]
    assert os.listdir(store.path("tmp")) == []


def test_a_build_that_is_faster_than_the_prune_keeps_its_mount(store):
    store.create()
    folder = mount(store, "used")
    going = kept.chosen(store, Usage(store), lambda _: True)
    fd = os.open(folder, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert kept.remove(store, going) == []
    os.close(fd)
    os.rename(folder, f"{folder}-away")
    assert kept.remove(store, going) == [], "another pruner was faster"


def test_odd_things_among_the_mounts_stop_nothing(store, tmp_path):
    store.create()
    folder = Path(store.path("cache/mounts"))
    folder.mkdir()
    (folder / "file").write_text("x")
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to(tmp_path)
    (folder / "bare").mkdir()
    (folder / "fifo-record").mkdir()
    (folder / "fifo-record" / "mount.json").write_text("[")
    found = Usage(store).cached()
    assert sorted(keys(found)) == ["bare", "fifo-record"]
    assert sorted(keys(removal.prune_cache(store, lambda *_: True)[0])) == ["bare", "fifo-record"]
    assert tmp_path.is_dir()
