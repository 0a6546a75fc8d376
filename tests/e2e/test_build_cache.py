"""What a second build does again, and what it does not."""

from __future__ import annotations

import re
import subprocess
import time

import pytest

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

DOCKERFILE = """\
FROM busybox
ARG V=1
RUN echo $V > /v
COPY src /src
RUN cat /src/a > /copied
LABEL a=1
"""


@pytest.fixture
def project(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a").write_text("a")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


def cached(rootless, project, *flags):
    """Which steps were not carried out, by their numbers in the build without the FROMs."""
    result = rootless("build", "--progress=plain", "-t", "test", *flags, project)
    assert result.exit == 0, result.stderr
    titles = re.findall(r"^#(\d+) \[.*?\] (\w+)", result.stderr, re.MULTILINE)
    steps = sorted(int(number) for number, word in titles if word != "FROM")
    found = re.findall(r"^#(\d+) CACHED$", result.stderr, re.MULTILINE)
    return sorted(1 + steps.index(int(number)) for number in found)


def image_id(rootless):
    return rootless.ok("images", "-q", "--no-trunc", "test").strip()


def test_a_second_build_gives_the_same_image(rootless, project):
    assert cached(rootless, project) == []
    first = image_id(rootless)
    assert cached(rootless, project) == [1, 2, 3]
    assert image_id(rootless) == first


def test_a_source_change_repeats_what_follows(rootless, project):
    cached(rootless, project)
    (project / "src" / "a").write_text("b")
    assert cached(rootless, project) == [1]
    (project / "src" / "a").write_text("a")
    assert cached(rootless, project) == [1, 2, 3]


def test_a_touched_file_is_the_same_file(rootless, project):
    cached(rootless, project)
    (project / "src" / "a").touch()
    assert cached(rootless, project) == [1, 2, 3]


def test_an_argument_repeats_the_commands_after_it(rootless, project):
    cached(rootless, project)
    assert cached(rootless, project, "--build-arg", "V=2") == []
    assert cached(rootless, project) == [1, 2, 3]


def test_metadata_repeats_nothing(rootless, project):
    cached(rootless, project)
    first = image_id(rootless)
    (project / "Dockerfile").write_text(DOCKERFILE.replace("a=1", "a=2"))
    assert cached(rootless, project) == [1, 2, 3]
    assert image_id(rootless) != first


def test_no_cache_repeats_all_and_later_builds_use_that(rootless, project):
    cached(rootless, project)
    assert cached(rootless, project, "--no-cache") == []
    assert cached(rootless, project) == [1, 2, 3]


def test_a_copy_from_a_stage_follows_the_stage(rootless, project):
    text = (
        "FROM busybox AS build\nCOPY src /src\nRUN cp /src/a /out\n"
        "FROM busybox\nRUN true\nCOPY --from=build /out /out\n"
    )
    (project / "Dockerfile").write_text(text)
    cached(rootless, project)
    assert cached(rootless, project) == [1, 2, 3, 4]
    (project / "src" / "a").write_text("changed")
    assert cached(rootless, project) == [3]


UNRELATED = """\
FROM busybox AS build
COPY src /src
RUN mkdir /out && cp /src/a /out/a && cat /src/* > /unrelated
FROM busybox
RUN true
COPY --from=build /out /out
RUN cat /out/a > /used
FROM busybox AS linked
COPY --link --from=build /out/a /there/
RUN cat /there/a
FROM busybox
COPY --from=1 /used /
COPY --from=linked /there /
"""


def test_a_stage_built_anew_with_the_same_files_repeats_nothing_after_it(rootless, project):
    (project / "Dockerfile").write_text(UNRELATED)
    (project / "src" / "b").write_text("b")
    cached(rootless, project)
    assert len(cached(rootless, project)) == 9
    for jobs in ("1", "8"):
        (project / "src" / "b").write_text(f"changed {jobs}")
        assert len(cached(rootless, project, "--jobs", jobs)) == 7
        assert len(cached(rootless, project)) == 9
    (project / "src" / "a").write_text("now it matters")
    assert len(cached(rootless, project)) == 1


@pytest.mark.parametrize(
    "change",
    ["chmod 700 /out/a", "chown 5:6 /out/a", "rm /out/b && cp /out/a /out/b", "ln -snf x /out/l"],
)
def test_what_of_a_stages_files_counts(rootless, project, change):
    text = (
        "FROM busybox AS build\n"
        "RUN mkdir /out && echo a > /out/a && ln /out/a /out/b && ln -s a /out/l\n{}"
        "FROM busybox\nCOPY --from=build /out /out\nRUN ls /out\n"
    )
    (project / "Dockerfile").write_text(text.format(""))
    cached(rootless, project)
    (project / "Dockerfile").write_text(text.format("RUN touch /unrelated\n"))
    assert cached(rootless, project) == [1, 3, 4]
    (project / "Dockerfile").write_text(text.format(f"RUN {change}\n"))
    assert cached(rootless, project) == [1]


def test_a_failed_build_keeps_what_it_did(rootless, project):
    (project / "Dockerfile").write_text("FROM busybox\nRUN echo 1 > /1\nRUN false\n")
    assert rootless("build", project).exit == 1
    (project / "Dockerfile").write_text("FROM busybox\nRUN echo 1 > /1\nRUN true\n")
    assert cached(rootless, project) == [1]


def test_an_image_cannot_forge_the_cache(rootless, project, tmp_path):
    """CVE-2024-24557: a history that claims our steps were done is no proof of it."""
    cached(rootless, project)
    rootless.ok("save", "-o", tmp_path / "test.tar", "test")
    other = type(rootless)(tmp_path / "other")
    other.ok("load", "-i", tmp_path / "test.tar")
    other.ok("tag", "test", "busybox")
    assert cached(other, project) == []


def test_source_date_epoch_fixes_all_times(rootless, project):
    cached(rootless, project, "--build-arg", "SOURCE_DATE_EPOCH=1000000000")
    created = rootless.ok("inspect", "-f", "{{.Created}}", "test").strip()
    assert created == "2001-09-09T01:46:40Z"


def test_what_was_done_before_a_long_command_survives_its_killing(rootless, project):
    """`kill -9` while the second RUN runs: the first is in the cache already."""
    (project / "Dockerfile").write_text("FROM busybox\nRUN echo 1 > /1\nRUN sleep 60\n")
    argv = rootless.command("build", "--progress=plain", "-t", "test", project)
    build = subprocess.Popen(argv, env=rootless.environment, stderr=subprocess.DEVNULL)
    steps = rootless.root / "cache" / "steps"
    deadline = time.monotonic() + 60
    while not (steps.is_dir() and any(steps.iterdir())):
        assert time.monotonic() < deadline, "the first step was not recorded while the second ran"
        assert build.poll() is None
        time.sleep(0.05)
    build.kill()
    build.wait()
    (project / "Dockerfile").write_text("FROM busybox\nRUN echo 1 > /1\nRUN true\n")
    assert cached(rootless, project) == [1]


def test_the_same_file_copied_with_its_parents_and_without(rootless, project):
    """What is remembered of a stage's files is remembered for one way of naming them."""
    base = "FROM busybox AS a\nRUN mkdir /x /y; echo 1 >/x/f; echo 1 >/y/f\nFROM busybox\n"
    for copies in (
        "COPY --from=a /x/f /1/\nCOPY --from=a /y/f /2/\n",
        "COPY --parents --from=a /x/f /o/\nRUN test -f /o/x/f\n",
        "COPY --parents --from=a /y/f /o/\nRUN test -f /o/y/f\n",
    ):
        (project / "Dockerfile").write_text(base + copies)
        cached(rootless, project)
