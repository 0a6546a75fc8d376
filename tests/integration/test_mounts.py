"""What is mounted in a sandbox for it alone: propagation, parts of volumes, owners, thrown away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless import linux, runspec
from rootless.errors import RootlessError
from rootless.sandbox.operations.scratch import Scratch
from rootless.sandbox.operations.tree import Bind
from tests.integration.test_sandbox import PATH, Swapper, run, start, with_mounts
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "s"
    (folder / "sub/deep").mkdir(parents=True)
    (folder / "file").write_text("from the host\n")
    (folder / "sub/deep/f").write_text("deep\n")
    (folder / "out").symlink_to("/etc")
    (folder / "up").symlink_to("../..")
    (folder / "in").symlink_to("sub/deep")
    return folder


def test_mounts_of_the_host_do_not_come_in_later_unless_asked(rootfs, source):
    """The host's mounts are seen by nobody: no shared: or master: in what is bound."""
    script = "grep -E ' /(p|s|h) ' /proc/self/mountinfo | cut -d' ' -f5-"
    shown = run(
        rootfs,
        script,
        isolation=with_mounts(
            Bind(str(source), "/p"),
            Bind(str(source), "/s", propagation="rslave"),
            Bind(str(source), "/h", propagation="shared"),
        ),
    )
    private, *others = sorted(shown.splitlines(), key=lambda line: line.split()[0] != "/p")
    assert "master:" not in private
    assert "shared:" not in private
    assert any("shared:" in line for line in others if line.startswith("/h "))


def test_what_a_shared_mount_does_stays_in_the_namespace(rootfs, source):
    before = Path("/proc/self/mountinfo").read_text()
    process = runspec.Process(
        ("sh", "-c", "mount -t tmpfs x /h/sub && ls /h/sub"),
        PATH,
        capabilities=frozenset({"SYS_ADMIN"}),
    )
    isolation = with_mounts(Bind(str(source), "/h", propagation="rshared"))
    assert run(rootfs, "", process=process, isolation=isolation) == ""
    assert Path("/proc/self/mountinfo").read_text() == before
    assert os.listdir(source / "sub") == ["deep"]


def test_flags_of_a_mount(rootfs, source):
    (source / "run").write_text("#!/bin/sh\necho ran\n")
    (source / "run").chmod(0o755)
    flags = linux.MOUNT_ATTR_NOEXEC | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
    shown = run(
        rootfs,
        "grep ' /v ' /proc/self/mountinfo | cut -d' ' -f6; /v/run; echo $?; /w/run",
        isolation=with_mounts(Bind(str(source), "/v", attributes=flags), Bind(str(source), "/w")),
    )
    words, code, ran = shown.splitlines()
    assert {"rw", "nosuid", "nodev", "noexec"} <= set(words.split(","))
    assert (code, ran) == ("126", "ran")


@pytest.mark.parametrize(
    ("subpath", "content"),
    [("sub", "deep"), ("in", "f"), ("sub/deep/f", "/v"), ("sub/../sub", "deep")],
)
def test_a_part_of_a_volume(rootfs, source, subpath, content):
    isolation = with_mounts(Bind(str(source), "/v", subpath=subpath, read_only=True))
    assert run(rootfs, "ls /v; ! touch /v/x 2>/dev/null", isolation=isolation) == f"{content}\n"


@pytest.mark.parametrize("subpath", ["out", "up", "up/etc", "../x", "missing", "file/x"])
def test_a_part_that_leads_out_of_the_volume(rootfs, source, subpath):
    isolation = with_mounts(Bind(str(source), "/v", subpath=subpath))
    with pytest.raises(RootlessError, match="cannot be shown at /v"):
        run(rootfs, "ls /v", isolation=isolation)


def test_a_part_is_not_swapped_for_something_outside(rootfs, source, tmp_path):
    """Who shares the volume changes a directory for a link all the time: an error, or its own."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("secret")
    isolation = with_mounts(Bind(str(source), "/v", subpath="swapped"))
    process = runspec.Process(("sh", "-c", "[ ! -e /v/secret ] && touch /v/x"), PATH)

    def body() -> list[int]:
        statuses = []
        with Swapper(source, "swapped", victim):
            for _ in range(100):
                try:
                    statuses.append(start(rootfs, process, isolation)[1])
                except RootlessError:
                    continue
        return statuses

    assert set(child.in_child(body)) <= {0}
    assert os.listdir(victim) == ["secret"]


def test_all_of_it_is_given_to_the_container_s_user(rootfs, source, tmp_path):
    (tmp_path / "other").write_text("not given")
    (source / "other").symlink_to(tmp_path / "other")
    (source / "many").mkdir()
    for number in range(50):
        (source / f"many/{number}").write_text("")
    script = "stat -c '%u:%g %n' /v /v/file /v/sub/deep/f /v/many/49; stat -c '%u:%g' /v/other"
    process = runspec.Process(("sh", "-c", script), PATH, user="7:8")
    isolation = with_mounts(Bind(str(source), "/v", owner="7:8", read_only=True))
    try:
        assert run(rootfs, "", process=process, isolation=isolation).splitlines() == [
            *("7:8 /v", "7:8 /v/file", "7:8 /v/sub/deep/f", "7:8 /v/many/49", "7:8"),
        ]
    finally:
        child.remove_tree(source)
    assert (tmp_path / "other").stat().st_uid == os.getuid()


def test_giving_does_not_follow_what_is_swapped(rootfs, source, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("the host's")
    before = [(victim / name).stat() for name in (".", "file")]
    isolation = with_mounts(Bind(str(source), "/v", owner="7:8"))

    def body() -> None:
        with Swapper(source, "swapped", victim):
            for _ in range(100):
                try:
                    start(rootfs, runspec.Process(("true",), PATH), isolation)
                except RootlessError:
                    continue

    try:
        child.in_child(body)
    finally:
        child.remove_tree(source)
    after = [(victim / name).stat() for name in (".", "file")]
    assert [(one.st_uid, one.st_ctime_ns) for one in after] == [
        (one.st_uid, one.st_ctime_ns) for one in before
    ]


def test_what_is_changed_is_thrown_away(rootfs, source, tmp_path):
    scratch = Scratch(str(source), "/v/here", str(tmp_path / "c/scratch/0"))
    (tmp_path / "c/scratch").mkdir()
    script = "cd /v/here; echo more >> file; rm -r sub; touch new; cat file; ls"
    shown = run(rootfs, script, isolation=with_mounts(scratch))
    assert shown.split() == ["from", "the", "host", "more", "file", "in", "new", "out", "up"]
    assert (source / "file").read_text() == "from the host\n"
    assert sorted(os.listdir(source)) == ["file", "in", "out", "sub", "up"]


def test_a_file_cannot_be_changed_for_nothing(rootfs, source, tmp_path):
    scratch = Scratch(str(source / "file"), "/v", str(tmp_path / "c/scratch"))
    with pytest.raises(RootlessError):
        run(rootfs, "true", isolation=with_mounts(scratch))


def test_not_deep_only_the_source_is_read_only(rootfs, source):
    """What is mounted below it stays writable, or is left out."""

    def body() -> list[str]:
        linux.mount("tmpfs", str(source / "sub"), "tmpfs", 0, "")
        (source / "sub/t").write_text("")
        shown = []
        for bind in (
            Bind(str(source), "/v", read_only=True),
            Bind(str(source), "/v", read_only=True, deep=False),
            Bind(str(source), "/v", read_only=True, recursive=False),
        ):
            read_fd, write_fd = os.pipe()
            script = "touch /v/sub/x 2>/dev/null; echo $?; ls /v/sub; ! touch /v/y 2>/dev/null"
            process = runspec.Process(("sh", "-c", script), PATH)
            start(rootfs, process, with_mounts(bind), write_fd)
            rootfs.again()
            os.close(write_fd)
            with os.fdopen(read_fd) as pipe:
                shown.append(pipe.read())
        return shown

    assert [one.split() for one in child.in_child(body)] == [
        ["1", "t"],
        ["0", "t", "x"],
        ["1", "deep"],
    ]
