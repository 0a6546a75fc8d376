"""The same inputs give the same image, whoever builds it, where and when."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import time

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")

TIME = 1_600_000_000
DOCKERFILE = (
    "FROM busybox AS made\n"
    "WORKDIR /w/deep\n"
    "COPY src /w/src\n"
    "COPY <<END /w/here\ntext\nEND\n"
    "ADD packed.tar /w/packed/\n"
    "RUN echo made >/w/out && ln -s x /w/l && mkdir /w/d && touch /w/d/f && rm /w/src/b\n"
    "RUN mkdir /t && stat -c %Y /w /w/out /w/d /w/d/f /w/here /w/src/a >/t/times\n"
    "FROM busybox\n"
    "COPY --from=made /w /w\n"
    "COPY --from=made /t /w/\n"
    "ENV A=b\n"
)


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    (folder / "src").mkdir(parents=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    for name in ("a", "b"):
        (folder / "src" / name).write_text(name)
        (folder / "src" / name).chmod(0o640)
    with tarfile.open(folder / "packed.tar", "w") as tar:
        member = tarfile.TarInfo("inner/file")
        member.mtime = TIME - 5
        tar.addfile(member, io.BytesIO())
    for number, path in enumerate(sorted([*folder.rglob("*"), folder])):
        os.utime(path, (TIME + number, TIME + number))
    return folder


@pytest.fixture
def stores(tmp_path, busybox_image):
    """Makes stores that have busybox."""
    made = []

    def make():
        made.append(Rootless(tmp_path / f"store{len(made)}"))
        made[-1].load(busybox_image, tmp_path)
        return made[-1]

    yield make
    for one in made:
        child.remove_tree(one.root)


def identity(store, *words, **options):
    return store.ok("build", "-q", *words, **options).strip()


def layer_entries(store, image, tmp_path):
    """Name → mtime of all that the image's own layers hold."""
    store.ok("save", "--format", "oci-archive", "-o", tmp_path / "saved.tar", image)
    found = {}
    with tarfile.open(tmp_path / "saved.tar") as tar:
        index = json.load(tar.extractfile("index.json"))
        at = "blobs/" + index["manifests"][0]["digest"].replace(":", "/")
        for one in json.load(tar.extractfile(at))["layers"][1:]:
            content = tar.extractfile("blobs/" + one["digest"].replace(":", "/"))
            with tarfile.open(fileobj=content) as layer:
                found |= {member.name: int(member.mtime) for member in layer}
    return found


def test_two_stores_two_folders_two_users_habits(stores, context, tmp_path):
    """Another place, moment, umask, zone, language, order and number of jobs; with and without
    cache; -o type=oci gives the same bytes."""
    one, two = stores(), stores()
    first = identity(one, "-t", "x", context)
    archive = ["-o", "type=oci,dest=x.tar", "-t", "x"]
    one.ok("build", *archive, context, cwd=tmp_path)
    elsewhere = tmp_path / "elsewhere" / "other"
    shutil.copytree(context, elsewhere, symlinks=True)
    time.sleep(1.1)  # what is told in seconds would differ
    two.environment |= {"TZ": "Asia/Tokyo", "LC_ALL": "C", "HOSTNAME": "other"}
    second = identity(two, "--jobs", "1", elsewhere, preexec_fn=lambda: os.umask(0o077))
    assert second == first
    assert identity(two, "--no-cache", elsewhere) == first
    (tmp_path / "2").mkdir()
    two.ok("build", *archive, elsewhere, cwd=tmp_path / "2")
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "2" / "x.tar").read_bytes()


def test_the_rule(stores, context, tmp_path):
    """A file has its own time; what a step makes, that of the newest that it rests on."""
    store = stores()
    identity(store, "-t", "x", context)
    newest = TIME + sorted([*context.rglob("*"), context]).index(context / "src" / "b")
    packed = TIME + sorted([*context.rglob("*"), context]).index(context / "packed.tar")
    entries = layer_entries(store, "x", tmp_path)
    assert entries["w/src/a"] == newest - 1
    assert entries["w/packed/inner/file"] == TIME - 5
    assert entries["w/deep"] == 315_532_800, "nothing is known before the first COPY"
    assert {entries[f"w/{name}"] for name in ("out", "l", "d", "d/f", "times", "here")} == {newest}
    assert newest > packed
    seen = store.ok("run", "--rm", "x", "cat", "/w/times").split()
    assert seen == [str(newest)] * 5 + [str(newest - 1)], "a later step sees the same"
    assert store.ok("inspect", "-f", "{{.Created}}", "x").startswith("2020-09-13T12:26:4")
    assert "second" in store.ok("images", "--format", "{{.CreatedSince}}", "x")
    store.ok("system", "check")


def test_no_later_than_the_epoch(stores, context, tmp_path):
    """Where files were checked out just now: whenever that was."""
    one, two = stores(), stores()
    first = identity(one, "-t", "x", "--source-date-epoch", str(TIME - 100), context)
    for path in [*context.rglob("*"), context]:
        os.utime(path)
    two.environment["SOURCE_DATE_EPOCH"] = str(TIME - 100)
    assert identity(two, "-t", "x", context) == first
    assert identity(two, "--timestamp", str(TIME - 101), context) != first, "the flag wins"
    entries = layer_entries(one, "x", tmp_path)
    assert max(entries.values()) == TIME - 100
    assert entries["w/out"] == TIME - 100
    created = one.ok("inspect", "-f", "{{.Created}}", "x").strip()
    assert created == "2020-09-13T12:25:00Z"


def test_a_new_epoch_repeats_only_what_is_newer(stores, context):
    """A commit's time is new with each commit; what rests on old files stays cached."""
    store = stores()
    (context / "Dockerfile").write_text(
        "FROM busybox\nCOPY src/a /a\nRUN echo 1 >/1\nCOPY src/b /b\nRUN echo 2 >/2\n"
    )
    os.utime(context / "src" / "a", (TIME - 1000, TIME - 1000))
    os.utime(context / "src" / "b")
    store.ok("build", "--source-date-epoch", str(TIME), context)
    said = store("build", "--source-date-epoch", str(TIME + 1), context).stderr
    cached = [line.split()[0] for line in said.splitlines() if line.endswith(" CACHED")]
    assert cached == ["#2", "#3"]
    again = store("build", "--source-date-epoch", str(TIME + 1), context).stderr
    assert again.count(" CACHED") == 4


def test_a_layer_of_newer_files_is_not_taken_for_an_epoch(stores, context, tmp_path):
    store = stores()
    (context / "Dockerfile").write_text("FROM busybox\nCOPY src/a /a\n")
    os.utime(context / "src" / "a")
    store.ok("build", "-q", "-t", "new", context)
    os.utime(context / "src" / "a", (TIME, TIME))
    store.ok("build", "-q", "-t", "old", "--source-date-epoch", str(TIME + 5), context)
    assert layer_entries(store, "old", tmp_path)["a"] == TIME


def test_a_touched_file_repeats_nothing(stores, context):
    """Times are no part of what a file is: the layer that is there is taken."""
    store = stores()
    first = identity(store, context)
    for path in context.rglob("*"):
        os.utime(path)
    assert identity(store, context) == first


def test_the_time_of_building_is_for_lists_only(stores, context):
    """So that nothing which was built just now goes with what is old."""
    store = stores()
    identity(store, "-t", "x", context)
    assert store.ok("images", "-q", "--filter", "since=busybox")
    store.ok("image", "prune", "-f", "-a", "--filter", "until=1h")
    assert store.ok("images", "-q", "x")


@pytest.mark.needs("skopeo")
def test_skopeo_sees_the_same_in_two_archives(stores, context, tmp_path):
    digests = set()
    for number, store in enumerate((stores(), stores())):
        target = f"type=oci,dest={tmp_path}/{number}.tar,compression=zstd"
        store.ok("build", "-o", target, "-t", "x:1", context)
        command = ["skopeo", "inspect", "--raw", f"oci-archive:{tmp_path}/{number}.tar"]
        digests.add(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(digests) == 1
