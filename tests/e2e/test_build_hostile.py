"""Images and contexts that point outside: everything ends inside the root it belongs to."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support import flattened
from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def victim(tmp_path):
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "file").write_text("secret")
    yield folder
    assert os.listdir(folder) == ["file"]
    assert (folder / "file").read_text() == "secret"


@pytest.fixture
def build(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    context = tmp_path / "context"
    context.mkdir()

    def run(dockerfile):
        (context / "Dockerfile").write_text(dockerfile)
        return rootless("build", "-q", "-t", "test", context)

    run.context = context
    return run


def files(rootless, folder):
    rootless.ok("save", "-o", folder / "test.tar", "test")
    return flattened.read(folder / "test.tar")[0]


def test_a_destination_that_is_a_link_out_of_the_root(build, rootless, victim, tmp_path):
    (build.context / "f").write_text("f")
    result = build(
        f"FROM busybox\nRUN mkdir -p {victim}2 && ln -s {victim}2 /out\n"
        "COPY f /out/\nCOPY f /out/deep/er/f\nWORKDIR /out/w\n"
    )
    assert result.exit == 0, result.stderr
    found = files(rootless, tmp_path)
    inside = f"{victim}2".lstrip("/")
    assert {f"{inside}/f", f"{inside}/deep/er/f", f"{inside}/w"} <= set(found)
    assert not os.path.exists(f"{victim}2")


def test_a_folder_that_meets_a_link_out_of_the_root_is_refused(build, victim):
    (build.context / "d" / "sub").mkdir(parents=True)
    (build.context / "d" / "sub" / "g").write_text("g")
    result = build(f"FROM busybox\nRUN mkdir /x && ln -s {victim} /x/sub\nCOPY d /x\n")
    assert result.exit == 1
    assert "COPY d /x" in result.stderr
    assert not (victim / "g").exists()


def test_a_file_name_that_is_a_link_out_of_the_root(build, rootless, victim, tmp_path):
    (build.context / "f").write_text("f")
    (build.context / "d").mkdir()
    (build.context / "d" / "link").write_text("new")
    result = build(
        f"FROM busybox\nRUN mkdir /d && ln -s {victim}/file /d/link && ln -s {victim}/file /link\n"
        "COPY d /d\nCOPY f /link\n"
    )
    found = files(rootless, tmp_path) if result.exit == 0 else {}
    assert found["d/link"].content == "new"
    assert found[f"{victim}/file".lstrip("/")].content == "f"


def test_sources_that_are_links_out_of_the_context(build, victim):
    os.symlink("/", build.context / "root")
    os.symlink(victim / "file", build.context / "file")
    for source in (f"root{victim}/file", "file", f"root/..{victim}/file", "../victim/file"):
        result = build(f"FROM busybox\nCOPY {source} /stolen\n")
        assert result.exit == 1
        assert "not found" in result.stderr


def test_sources_that_are_links_out_of_a_stage(build, rootless, victim, tmp_path):
    result = build(
        f"FROM busybox AS a\nRUN ln -s / /root/all && ln -s {victim} /v && mkdir -p {victim} && "
        f"echo inside > {victim}/file\n"
        f"FROM scratch\nCOPY --from=a /root/all{victim}/file /v/file /d/\n"
    )
    assert result.exit == 0, result.stderr
    assert files(rootless, tmp_path)["d/file"].content == "inside\n"


def test_special_files_in_a_context(build):
    """A pipe is made, never opened, wherever it is found, as docker has it."""
    os.mkfifo(build.context / "fifo")
    for copied, place in (("fifo", "/x"), (".", "/x/fifo")):
        result = build(f"FROM busybox\nCOPY {copied} /x\nRUN test -p {place}\n")
        assert result.exit == 0, result.stderr


@pytest.mark.parametrize("number", range(3, 12))
def test_a_working_directory_behind_a_descriptor(build, number):
    """CVE-2024-21626."""
    text = f"FROM busybox\nWORKDIR /proc/self/fd/{number}\nRUN ls ../../../../..{os.getcwd()}\n"
    assert build(text).exit == 1


def test_a_passwd_that_is_a_pipe(build):
    result = build(
        "FROM busybox\nRUN rm /etc/passwd && mkfifo /etc/passwd\n"
        "USER root\nRUN true\nUSER x\nRUN id\n"
    )
    assert "there is no user 'x'" in result.stderr


def test_a_base_whose_root_is_opaque_hides_what_is_below(build, rootless, tmp_path):
    contents = [{"old": b"1", "etc/": b""}, {".wh..wh..opq": b"", "new": b"2"}]
    rootless.load(
        write_layout(tmp_path / "cut", "cut:1", [layer(one) for one in contents]), tmp_path
    )
    result = build("FROM scratch\nCOPY --from=cut:1 / /all/\n")
    assert result.exit == 0, result.stderr
    assert set(files(rootless, tmp_path)) == {"all", "all/new"}


def test_a_sparse_archive_is_refused_not_copied(build):
    """What begins like a tar is one: it is not put into the image as it is when it goes wrong."""
    with open(build.context / "big", "wb") as file:
        file.truncate(1 << 40)
    argv = ["tar", "-C", build.context, "-S", "-cf", build.context / "s.tar", "big"]
    subprocess.run(argv, check=True)
    os.unlink(build.context / "big")
    result = build("FROM busybox\nADD s.tar /\n")
    assert result.exit == 1
    assert "sparse" in result.stderr
