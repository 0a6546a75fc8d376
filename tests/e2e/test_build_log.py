"""A context that the build itself writes to, as `rootless build . | tee build.log` does."""

from __future__ import annotations

import subprocess

import pytest

from tests.support import flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def context(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "src").write_text("src")
    return folder


def logged(rootless, context, *flags):
    """A build whose words go to a file of its own context; the file's lines."""
    argv = rootless.command("build", "--progress=plain", "-t", "test", *flags, context)
    with open(context / "build.log", "wb") as log:
        done = subprocess.run(
            argv, stdout=log, stderr=log, env=rootless.environment, timeout=120, check=False
        )
    said = (context / "build.log").read_text()
    assert done.returncode == 0, said
    return said


def image_log(rootless, tmp_path):
    rootless.ok("save", "-o", tmp_path / "saved.tar", "test")
    return flattened.read(tmp_path / "saved.tar")[0]["work/build.log"].content


@pytest.mark.parametrize(
    "text",
    [
        "FROM busybox\nRUN echo one\nCOPY . /work\nCOPY . /work\nRUN echo two\n",
        "FROM busybox AS a\nRUN echo one\nCOPY . /work\n"
        "FROM busybox AS b\nRUN echo two\n"
        "FROM a\nCOPY --from=b /bin/sh /sh\nCOPY . /work\n",
    ],
    ids=["one stage", "side by side"],
)
def test_what_was_read_is_in_the_image_and_one_line_warns(rootless, context, tmp_path, text):
    (context / "Dockerfile").write_text(text)
    said = logged(rootless, context, "--no-cache")
    kept = image_log(rootless, tmp_path)
    assert "echo one" in kept
    assert said.startswith(kept)
    warnings = [line for line in said.splitlines() if "changed while the build ran" in line]
    if "b\n" not in text:  # beside another stage the line may be written after the copy
        assert len(warnings) == 1
    for warning in warnings:
        assert "build.log" in warning
        assert ".dockerignore" in warning
    assert len(warnings) <= 1


def test_a_file_that_changed_is_not_recorded_under_what_it_was(rootless, context, tmp_path):
    """The second build meets the very content that the first one had hashed."""
    (context / "Dockerfile").write_text("FROM busybox\nCOPY . /work\n")
    logged(rootless, context)
    first = image_log(rootless, tmp_path)
    assert first  # the line that says the step has begun
    (context / "build.log").write_text("")  # what it held when its key was computed
    assert "CACHED" not in rootless("build", "--progress=plain", "-t", "test", context).stderr
    assert image_log(rootless, tmp_path) == ""
    (context / "build.log").write_text(first)
    assert "CACHED" in rootless("build", "--progress=plain", "-t", "test", context).stderr
    assert image_log(rootless, tmp_path) == first


def test_nothing_is_said_when_it_is_ignored(rootless, context):
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo one\nCOPY . /work\nRUN echo two\n")
    (context / ".dockerignore").write_text("build.log\n")
    assert "changed while" not in logged(rootless, context)
    assert "changed while" not in logged(rootless, context)
