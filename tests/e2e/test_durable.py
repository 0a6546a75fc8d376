"""After a power cut, a layer that has its name has its files: what comes to disk before what."""

from __future__ import annotations

import re
import subprocess
from typing import NamedTuple

import pytest

from tests.support import images

pytestmark = pytest.mark.needs("userns", "overlay", "busybox", "strace", "unshare")

# A user's newuidmap is not set-uid under strace: the tests are root of a namespace already.
STRACE = ("unshare", "--map-root-user", "strace", "-f", "-qq", "-y", "--seccomp-bpf", "-s", "300")
CALLS = "syncfs,fsync,rename,renameat,openat,open,chroot"
DOCKERFILE = "FROM busybox\n" + "".join(f"RUN echo {n} >/file{n}\n" for n in range(6))


class Call(NamedTuple):
    """One call: of those that make durable the moment of their return, of others of their start."""

    name: str
    text: str


def calls(rootless, tmp_path, *argv, stdin=""):
    trace = tmp_path / "trace"
    command = [*STRACE, f"--trace={CALLS}", "-o", trace, *rootless.command(*argv)]
    answer = subprocess.run(
        command,
        env=rootless.environment,
        input=stdin.encode(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr.decode()
    return list(_parse(trace.read_text(errors="replace")))


def _parse(trace):
    begun = {}
    for line in trace.splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.startswith("<... "):
            name = rest[5:].split()[0]
            if name in {"fsync", "syncfs"}:
                assert rest.endswith("= 0"), line
                yield Call(name, begun[pid])
        elif (name := rest.partition("(")[0]) not in {"fsync", "syncfs"}:
            yield Call(name, rest)
        elif rest.endswith("<unfinished ...>"):
            begun[pid] = rest
        else:
            assert rest.endswith("= 0"), line
            yield Call(name, rest)


def names_given(found):
    """(position, the staged directory, the layer's new path) of each layer."""
    for position, call in enumerate(found):
        if call.name.startswith("rename"):
            old, new = re.findall(r'"([^"]*)"', call.text)
            if re.search(r"/layers/[0-9a-f]{12}$", new):
                yield position, old, new


def position_of(found, *names, text, start=0, end=None):
    """Where the last such call is; -1 without one."""
    matching = (
        position
        for position, call in enumerate(found[:end])
        if position >= start and call.name in names and text in call.text
    )
    return max(matching, default=-1)


def assert_named_in_order(found, count):
    """The layers' names, and what the image index waits for."""
    named = list(names_given(found))
    assert len(named) == count
    index = position_of(found, "rename", "renameat", text="/index.json")
    last = max(position for position, _, _ in named)
    assert position_of(found, "fsync", text="/layers>", start=last, end=index) > last
    return named


def test_a_built_layer_is_on_disk_before_it_has_its_name(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    found = calls(rootless, tmp_path, "build", "-t", "test", "-", stdin=DOCKERFILE)
    for position, staged, _ in assert_named_in_order(found, 6):
        sealed = position_of(found, "openat", "open", text=f"{staged}/layer.json", end=position)
        assert 0 <= sealed < position_of(found, "syncfs", text="", end=position)


def test_a_layer_of_a_build_costs_no_sync_of_its_own(rootless, busybox_image, tmp_path):
    """What waits together shares one."""
    rootless.load(busybox_image, tmp_path)
    found = calls(rootless, tmp_path, "build", "-t", "test", "-", stdin=DOCKERFILE)
    assert sum(call.name == "syncfs" for call in found) <= 6
    assert sum(call.name == "fsync" and "/layers>" in call.text for call in found) == 1
    assert position_of(found, "fsync", text="layer.json") == -1


def test_a_loaded_layer_is_on_disk_before_it_has_its_name(rootless, tmp_path):
    layers = [images.layer({f"file{number}": b"content" * 1000}) for number in range(2)]
    image = images.write_layout(tmp_path / "layout", "docker.io/library/two:latest", layers)
    archive = image.archive(tmp_path / "image.tar")
    found = calls(rootless, tmp_path, "load", "-i", archive)
    for position, staged, _ in assert_named_in_order(found, 2):
        chroot = position_of(found, "chroot", text=f"{staged}/diff", end=position)
        written = position_of(found, "openat", text='"file', start=chroot, end=position)
        recorded = position_of(found, "openat", text=f"{staged}/layer.json", end=position)
        synced = position_of(found, "syncfs", text="", start=recorded, end=position)
        assert 0 <= chroot < written < recorded < synced


def test_a_loaded_blob_is_on_disk_before_it_has_its_name(rootless, tmp_path):
    image = images.write_layout(
        tmp_path / "layout", "docker.io/library/x:1", [images.layer({"f": b"x"})]
    )
    archive = image.archive(tmp_path / "image.tar")
    found = calls(rootless, tmp_path, "load", "-i", archive)
    index = position_of(found, "rename", "renameat", text="/index.json")
    loaded = [
        (position, re.findall(r'"([^"]*)"', call.text)[0])
        for position, call in enumerate(found[:index])
        if call.name.startswith("rename") and "/blobs/sha256/" in call.text
    ]
    assert len(loaded) >= 3
    for position, unfinished in loaded:
        opened = position_of(found, "openat", text=unfinished, end=position)
        assert 0 <= opened < position_of(found, "syncfs", text="", end=position)
        assert position_of(found, "fsync", text="/blobs/sha256>", start=position, end=index) > 0
