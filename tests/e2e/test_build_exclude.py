"""COPY and ADD --exclude, and ADD --unpack: what Docker 28 copies, path by path, is kept here."""

from __future__ import annotations

import io
import tarfile

import pytest

from tests.support import flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay")

FILES = {
    **{"a.txt": "a", "b.log": "b", "d/c.txt": "c", "d/e/l.log": "l", "d/f/k.txt": "k"},
    "d/s.log": "s",
}
ALL = {"a.txt", "b.log", "lnk", "t.tar"}
D = {"d", "d/c.txt", "d/e", "d/e/l.log", "d/f", "d/f/k.txt", "d/s.log"}


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "lnk").symlink_to("a.txt")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder / "d", "")
    (folder / "t.tar").write_bytes(packed.getvalue())
    return folder


@pytest.fixture
def copied(rootless, context, tmp_path):
    """`copied(lines)` → what lies below /x in the image, less the Dockerfile."""

    def run(lines):
        (context / "Dockerfile").write_text(f"FROM scratch AS base\n{lines}\n")
        rootless.ok("build", "-q", "-t", "test", context)
        rootless.ok("save", "-o", tmp_path / "test.tar", "test")
        files, _ = flattened.read(tmp_path / "test.tar")
        assert files["x"].mode & 0o777 == 0o755
        return {name.removeprefix("x/") for name in files if name.startswith("x/")} - {"Dockerfile"}

    return run


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY --exclude=*.log . /x/", (ALL | D) - {"b.log"}),
        ("COPY --exclude=**/*.log . /x/", (ALL | D) - {"b.log", "d/e/l.log", "d/s.log"}),
        ("COPY --exclude=b.log --exclude=d/f . /x/", (ALL | D) - {"b.log", "d/f", "d/f/k.txt"}),
        ("COPY --exclude=d --exclude=!d/c.txt . /x/", ALL | {"d", "d/c.txt"}),
        ("COPY --exclude=e --exclude=*.txt d /x/", {"f", "f/k.txt", "s.log"}),
        ("COPY --exclude=d/e d /x/", {"c.txt", "e", "e/l.log", "f", "f/k.txt", "s.log"}),
        ("COPY --exclude=a.txt a.txt /x/", {"a.txt"}),
        ("COPY --exclude=*.log *.* /x/", {"a.txt", "b.log", "t.tar"}),
        ("COPY --exclude=d/c.txt d/c.txt /x/", {"c.txt"}),
        ("COPY --exclude=*.log d/* /x/", {"c.txt", "k.txt", "s.log"}),
        ("COPY --exclude=e d/* /x/", {"c.txt", "k.txt", "l.log", "s.log"}),
        ("COPY --exclude=* . /x/", set()),
        ("COPY --exclude=** d /x/", set()),
        ("COPY --exclude=d/e/* . /x/", (ALL | D) - {"d/e/l.log"}),
        ("COPY --exclude=**/l.log . /x/", (ALL | D) - {"d/e/l.log"}),
        ("ARG P=d\nCOPY --exclude=$P . /x/", ALL | D),
        ("COPY --exclude=/d . /x/", ALL | D),
        ("COPY --exclude=lnk . /x/", (ALL | D) - {"lnk"}),
        ("COPY --exclude=lnk lnk /x/", {"lnk"}),
        ("COPY --exclude=h <<h a.txt /x/\nhey\nh", {"a.txt", "h"}),
        ("ADD --exclude=*.log t.tar /x/", {"c.txt", "e", "e/l.log", "f", "f/k.txt", "s.log"}),
        ("ADD --exclude=t.tar . /x/", (ALL | D) - {"t.tar"}),
        ("ADD --unpack=false t.tar /x/", {"t.tar"}),
        ("ADD --unpack=false t.tar a.txt /x/", {"a.txt", "t.tar"}),
        ("ADD --unpack=true a.txt /x/", {"a.txt"}),
        ("ADD --unpack t.tar /x", {"c.txt", "e", "e/l.log", "f", "f/k.txt", "s.log"}),
        (
            "COPY . /y/\nFROM scratch\nCOPY --from=base --exclude=**/*.log --exclude=d/f /y /x/",
            {"a.txt", "d", "d/c.txt", "d/e", "lnk", "t.tar"},
        ),
        (
            "COPY . /y/\nFROM scratch\nCOPY --from=base --exclude=*.log --exclude=f /y/d /x/",
            {"c.txt", "e", "e/l.log"},
        ),
    ],
)
def test_what_docker_leaves_out(copied, line, expected):
    assert copied(line) == expected


def test_a_file_that_is_left_out_does_not_count(rootless, context):
    def build(line):
        (context / "Dockerfile").write_text(f"FROM scratch\n{line}\n")
        return rootless("build", "--progress", "plain", "-f", context / "Dockerfile", context / "d")

    build("COPY --exclude=*.log . /x/")
    (context / "d/s.log").write_text("another")
    assert "CACHED" in build("COPY --exclude=*.log . /x/").stderr
    assert "CACHED" not in build("COPY --exclude=*.txt . /x/").stderr


def test_another_stage_is_looked_into_for_each_pattern(copied):
    line = "COPY . /y/\nFROM scratch\nCOPY --from=base --exclude={} /y/d /x/"
    assert "s.log" not in copied(line.format("*.log"))
    assert "s.log" in copied(line.format("*.txt"))


@pytest.mark.parametrize("pattern", ["[", "!"])
def test_what_is_no_pattern(rootless, context, pattern):
    (context / "Dockerfile").write_text(f"FROM scratch\nCOPY --exclude={pattern} . /\n")
    result = rootless("build", context)
    assert result.exit == 1
    assert "pattern" in result.stderr
    assert ">>>" in result.stderr
