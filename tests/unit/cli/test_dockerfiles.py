"""Where a build's Dockerfile and .dockerignore come from, and what is not read for one."""

from __future__ import annotations

import os
import socket

import pytest

from rootless.cli import dockerfiles
from rootless.errors import NotFoundError, RootlessError

SECRET = "-----BEGIN PRIVATE KEY-----"
PLACES = ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore"]


@pytest.fixture
def context(tmp_path, monkeypatch):
    folder = tmp_path / "context"
    folder.mkdir()
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.chdir(folder)
    return folder


def find(context, file=None):
    return dockerfiles.find(str(context), ".", file)


def refusal(context, file=None):
    """The error and its hint, as one text."""
    with pytest.raises(RootlessError) as caught:
        find(context, file)
    return f"{caught.value.message}\n{caught.value.hint}"


def link_out(path):
    os.symlink("../secret", path)


def absolute_link(path):
    os.symlink(path.parents[1] / "secret", path)


def link_into_a_link(path):
    os.symlink("..", path.parent / "up")
    os.symlink("up/secret", path)


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)


def endless(path):
    with open(path, "wb") as file:
        file.truncate(1 << 30)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (link_out, "a symbolic link that leads to nothing inside"),
        (absolute_link, "a symbolic link that leads to nothing inside"),
        (link_into_a_link, "a symbolic link that leads to nothing inside"),
        (lambda path: os.symlink("/dev/zero", path), "a symbolic link that leads to nothing"),
        (lambda path: os.symlink(path.name, path), "Too many levels of symbolic links"),
        (os.mkfifo, "is a pipe, not a regular file"),
        (os.mkdir, "is a directory, not a regular file"),
        (unix_socket, "is a socket, not a regular file"),
        (endless, "is larger than 16 MiB"),
    ],
)
def test_what_is_no_file_of_the_context_is_refused(context, place, make, words):
    (context / "Dockerfile").write_text("FROM scratch\n")
    (context / place).unlink(missing_ok=True)
    make(context / place)
    said = refusal(context)
    assert said.startswith(f"{place} ") or said.startswith(f"{place}:")
    assert words in said
    assert SECRET not in said


def test_what_f_names_elsewhere_is_the_users_word(context, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "real").write_text("FROM scratch\n")
    os.symlink("real", elsewhere / "app")
    (elsewhere / "app.dockerignore").write_text("a\n")
    (context / ".dockerignore").write_text("b\n")
    found = find(context, "../elsewhere/app")
    assert (found.name, found.content, found.ignore) == (
        "../elsewhere/app",
        b"FROM scratch\n",
        b"a\n",
    )
    assert find(context, str(elsewhere / "real")).ignore == b"b\n"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev"])
def test_a_device_is_not_read_even_when_f_names_it(context, device):
    assert refusal(context, device).startswith(f"{device} is a ")


def test_a_shells_pipe_is_read(context):
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"FROM scratch\n")
    os.close(write_fd)
    try:
        assert find(context, f"/dev/fd/{read_fd}").content == b"FROM scratch\n"
    finally:
        os.close(read_fd)


def test_links_inside_the_context_are_followed(context):
    (context / "build").mkdir()
    (context / "build" / "main").write_text("FROM scratch\n")
    os.symlink("/build/main", context / "Dockerfile")
    (context / "common").write_text("x\n")
    os.symlink("../common", context / "build" / "main.dockerignore")
    assert find(context).content == b"FROM scratch\n"
    assert find(context, "build/main").ignore == b"x\n"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["Dockerfile", "dockerfile", "Containerfile"], "Dockerfile"),
        (["dockerfile", "Containerfile"], "dockerfile"),
        (["Containerfile"], "Containerfile"),
    ],
)
def test_the_names_it_has_without_f(context, names, found):
    for name in names:
        (context / name).write_text(name)
    written = find(context)
    assert (written.name, written.content) == (found, found.encode())


def test_none_at_all(context):
    with pytest.raises(NotFoundError, match=r"^Dockerfile: there is no such file$") as caught:
        find(context)
    assert caught.value.hint == "name it with -f, or put a file called Dockerfile into the context"
    (context / "Dockefile").touch()
    assert refusal(context).endswith("did you mean -f Dockefile?")


def test_f_counts_from_the_working_directory_else_from_the_context(context, tmp_path, monkeypatch):
    (context / "sub").mkdir()
    (context / "sub" / "Dockerfile.app").write_text("FROM scratch\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile.app").write_text("FROM here\n")
    (context / "Dockerfile.app").write_text("FROM there\n")
    assert dockerfiles.find(str(context), "context", "Dockerfile.app").content == b"FROM here\n"
    found = dockerfiles.find(str(context), "context", "sub/Dockerfile.app")
    assert (found.name, found.content) == ("context/sub/Dockerfile.app", b"FROM scratch\n")
    with pytest.raises(NotFoundError) as caught:
        dockerfiles.find(str(context), "context", "context/sub/Dockerfile.ap")
    assert caught.value.hint == "did you mean -f context/sub/Dockerfile.app?"
