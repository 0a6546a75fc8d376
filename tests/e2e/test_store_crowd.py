"""Removing and pruning without end, beside builds, containers and saves, some of them killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest

from rootless.store import Store
from rootless.store.check import check
from tests.support.child import in_child

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")

DOCKERFILE = "FROM busybox\nRUN echo made >/made\nCOPY f /f\nRUN cat /f /made >/both\n"
SECONDS = 6


@pytest.fixture
def box(rootless, busybox_image, tmp_path):
    rootless.archive = busybox_image.archive(tmp_path / "base.tar")
    rootless.ok("load", "-i", rootless.archive)
    rootless.context = tmp_path / "context"
    rootless.context.mkdir()
    (rootless.context / "f").write_text("content\n")
    (rootless.context / "Dockerfile").write_text(DOCKERFILE)
    return rootless


def start(box, *argv):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(box.command(*argv), env=box.environment, **pipes)


def whole(box):
    assert in_child(lambda: check(Store(str(box.root)))) == ()
    box.ok("load", "-i", box.archive)
    box.ok("build", "-t", "app", box.context)
    assert box.ok("run", "--rm", "--network=none", "app", "cat", "/both") == "content\nmade\n"


def test_a_container_keeps_all_files_while_its_image_is_removed_and_pruned(box):
    names = "for turn in 1 2 3 4 5 6; do ls /bin | wc -l; cat /etc/passwd; sleep 0.1; done"
    for _ in range(4):
        box.ok("load", "-i", box.archive)
        running = start(box, "run", "--rm", "--network=none", "busybox", "sh", "-c", names)
        while running.poll() is None:
            box("rmi", "-f", "busybox", timeout=60)
            box.ok("system", "prune", "-a", "-f", timeout=60)
        told, errors = running.communicate(timeout=60)
        if running.returncode == 125:  # removed before it was found
            assert "o such image" in errors or "Unable to find image" in errors, errors
            continue
        assert (running.returncode, errors) == (0, "")
        lines = told.splitlines()
        assert len(lines) == 18
        assert set(lines[3:]) <= set(lines[:3]), "each turn saw the same files"
    whole(box)


def test_removing_and_pruning_beside_everything_with_some_killed(box, tmp_path):
    chance = random.Random(1)
    works = [
        ("build", "-q", "-t", "app", box.context),
        ("build", "-q", "--no-cache", "-t", "other", box.context),
        ("run", "--rm", "--network=none", "busybox", "cat", "/etc/passwd"),
        ("save", "-o", tmp_path / "saved.tar", "busybox"),
        ("rmi", "-f", "app", "other", "busybox"),
        ("system", "prune", "-f"),
        ("image", "prune", "-a", "-f"),
        ("load", "-i", box.archive),
    ]
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        crowd = [(work, start(box, *work)) for work in chance.sample(works, 5)]
        killed = crowd[0][1]
        time.sleep(chance.uniform(0.02, 0.4))
        os.kill(killed.pid, signal.SIGKILL)
        for work, process in crowd:
            _, errors = process.communicate(timeout=60)
            assert "Traceback" not in errors, (work, errors)
            if process is not killed and process.returncode:
                gone = ("o such image", "Unable to find image", "cannot be reached", "registry")
                assert any(word in errors for word in gone), (work, errors)
        box.ok("load", "-i", box.archive)
    whole(box)
