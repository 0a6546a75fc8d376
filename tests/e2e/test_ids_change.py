"""One store, used with one id and with a range of ids in turn."""

from __future__ import annotations

import hashlib
import os

import pytest

from rootless import owners
from tests.support import child, one_id

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "setpriv")
ALONE = ("--network", "none")
OTHERS = """FROM busybox
RUN mkdir /d /d/in && echo x >/d/f && ln -s f /d/l && mkfifo /d/p && ln /d/f /d/second \\
 && chown 5:6 /d && chown 7:8 /d/f /d/in && chown -h 9:10 /d/l && chown 11 /d/p \\
 && chmod 4750 /d/f && chmod 2700 /d/in && chown 3 /bin
"""
LOOK = "cd /d && stat -c '%n %u:%g %a' . in f second l p /bin"
OWNED = [
    ". 5:6 755", "in 7:8 2700", "f 7:8 4750", "second 7:8 4750", "l 9:10 777", "p 11:0 644",
    "/bin 3:0 755",
]  # fmt: skip


@pytest.fixture
def stand(rootless, busybox_image, tmp_path):
    """stand(prefix): the command there, all on one store."""
    archive = busybox_image.archive(tmp_path / "base.tar")
    (tmp_path / "Dockerfile").write_text(OTHERS)

    def at(prefix=()):
        rootless.prefix = prefix
        return rootless

    def fill(prefix):
        at(prefix).ok("load", "-i", archive)
        rootless.ok("build", "-q", "-t", "made", tmp_path)

    at.fill = fill
    yield at
    rootless.prefix = ()
    names = rootless.ok("ps", "-aq").split()
    if names:
        rootless("rm", "-f", *names)


def _said(command, *words):
    return command.ok("run", "--rm", *ALONE, *words, "made", "sh", "-c", LOOK).splitlines()


def test_what_one_id_made_is_its_owners_with_a_range(stand, tmp_path):
    stand.fill(one_id.PREFIX)
    one = stand(one_id.PREFIX)
    assert _said(one) == OWNED
    one.ok("save", "-o", tmp_path / "one.tar", "made")
    many = stand()
    assert _said(many) == OWNED
    assert _said(many) == OWNED, "the second time"
    many.ok("save", "-o", tmp_path / "many.tar", "made")
    digests = [
        hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("one.tar", "many.tar")
    ]
    assert digests[0] == digests[1]
    left = child.in_child(lambda: [*_recorded(many.root / "layers")])
    assert left == []


def _recorded(folder):
    for path, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            if owners.ATTRIBUTE in os.listxattr(f"{path}/{name}", follow_symlinks=False):
                yield f"{path}/{name}"


def test_a_container_and_a_volume_go_along(stand):
    stand.fill(one_id.PREFIX)
    change = "touch /own /v/file; chown 21:22 /own; chown 23:24 /v/file; chown 25 /v"
    look = "stat -c %u:%g /own /v/file /v"
    one = stand(one_id.PREFIX)
    flags = ("--name", "box", *ALONE, "-v", "kept:/v", "made", "sh", "-c")
    assert one.ok("run", *flags, f"test -e /own || {{ {change}; }}; {look}").split() == [
        *("21:22", "23:24", "25:0"),
    ]
    many = stand()
    assert many.ok("start", "-a", "box").split() == ["21:22", "23:24", "25:0"]
    said = many.ok("run", "--rm", *ALONE, "-v", "kept:/v", "busybox", "stat", "-c", "%u", "/v/file")
    assert said == "23\n"


def test_what_was_given_in_part_is_given_in_the_end(stand):
    """As after a kill in the middle: some files are done, and the tree is still marked."""
    stand.fill(one_id.PREFIX)
    layers = [
        stand().root / "layers" / name / "diff" for name in os.listdir(stand().root / "layers")
    ]

    def half() -> int:
        found = [file for layer in layers if (file := layer / "d" / "f").exists()]
        for file in found:
            os.removexattr(file, owners.ATTRIBUTE)
            os.chown(file, 7, 8)
            os.chmod(file, 0o4750)
        return len(found)

    assert child.in_child(half) == 1
    assert _said(stand()) == OWNED


def test_a_range_builds_on_what_one_id_made(stand, tmp_path):
    stand.fill(one_id.PREFIX)
    (tmp_path / "Dockerfile").write_text(
        "FROM made\nRUN touch /n && chown 5 /n && mv /d/f /d/moved\n"
    )
    stand().ok("build", "-q", "-t", "more", tmp_path)
    command = "stat -c %u:%g /n /d/moved /d/second"
    said = stand().ok("run", "--rm", *ALONE, "more", "sh", "-c", command)
    assert said.split() == ["5:0", "7:8", "7:8"]


def test_what_a_range_made_is_refused_by_name_with_one_id(stand, tmp_path):
    stand.fill(())
    one = stand(one_id.PREFIX)
    for words in (
        ("run", "--rm", *ALONE, "made", "true"),
        ("build", "-q", "--no-cache", "-t", "two", tmp_path),
    ):
        (tmp_path / "Dockerfile").write_text("FROM made\nRUN true\n")
        refused = one(*words)
        assert refused.exit != 0
        assert "/diff/" in refused.stderr
        assert "belongs to another id: it was made with a range of ids" in refused.stderr
        assert "--root" in refused.stderr
    refused = one("save", "-o", tmp_path / "none.tar", "made")
    assert refused.exit == 1
    assert "closed to one id" in refused.stderr
    assert one.ok("run", "--rm", *ALONE, "busybox", "echo", "here") == "here\n", "only root's"
    assert _said(stand()) == OWNED
    assert stand().ok("run", "--rm", *ALONE, "busybox", "echo", "here") == "here\n"
