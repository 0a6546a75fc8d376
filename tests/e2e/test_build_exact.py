"""The cache takes a step for another only where both make the same: each case was once wrong."""

from __future__ import annotations

import json

import pytest

from tests.support import flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def build(rootless, busybox_image, tmp_path):
    """`build(dockerfile, *flags)` → what each file of the image holds."""
    rootless.load(busybox_image, tmp_path)
    context = tmp_path / "context"
    context.mkdir()

    def run(text, *flags, name="test"):
        (context / "Dockerfile").write_text(text)
        rootless.ok("build", "-q", "-t", name, *flags, context)
        archive = tmp_path / "test.tar"
        archive.unlink(missing_ok=True)
        rootless.ok("save", "-o", archive, name)
        return {path: one.content for path, one in flattened.read(archive)[0].items()}

    run.context = context
    return run


def test_an_image_that_is_copied_from_counts_by_what_it_is(build):
    text = "FROM scratch AS a\nCOPY --from=src /w /w\nFROM busybox\nCOPY --from=a /w /w\n"
    for word in ("one", "two"):
        build(f"FROM busybox\nRUN echo {word} > /w\n", name="src")
        assert build(text)["w"] == f"{word}\n"


@pytest.mark.parametrize("flags", [("--no-cache",), ("--no-cache-filter", "a")])
def test_what_was_made_afresh_is_what_later_builds_use(build, flags):
    text = "FROM busybox AS a\nRUN cat /proc/uptime > /v\nFROM busybox\nCOPY --from=a /v /v\n"
    first = build(text)["v"]
    assert build(text)["v"] == first
    afresh = build(text, *flags)["v"]
    assert afresh != first
    assert build(text)["v"] == afresh


def test_which_mount_shows_what_counts(build):
    (build.context / "f").write_text("F")
    (build.context / "g").write_text("G")

    def shown(*sources):
        mounts = " ".join(
            f"--mount=type=bind,source={one},target=/m{at}" for at, one in enumerate(sources)
        )
        return build(f"FROM busybox\nRUN {mounts} cat /m0 /m1 /m2 > /out\n")["out"]

    assert [shown(*"ffg"), shown(*"fgg"), shown(*"gff"), shown(*"ggg")] == [
        "FFG",
        "FGG",
        "GFF",
        "GGG",
    ]


def test_a_mount_of_a_stage_is_not_one_of_the_context(build):
    (build.context / "f").write_text("context ")
    run = "RUN --mount=type=bind,{0}source=/f,target=/x --mount=type=bind,{1}source=/f,target=/y "
    made = build(
        "FROM busybox AS a\nRUN echo -n 'stage ' > /f\n"
        f"FROM busybox AS one\n{run.format('from=a,', '')}cat /x /y > /out\n"
        f"FROM busybox AS two\n{run.format('', 'from=a,')}cat /x /y > /out\n"
        "FROM busybox\nCOPY --from=one /out /one\nCOPY --from=two /out /two\n"
    )
    assert (made["one"], made["two"]) == ("stage context ", "context stage ")


def test_modes_of_memory_and_the_name_of_the_machine_count(build):
    run = "FROM busybox\nRUN --mount=type=tmpfs,target=/t,tmpfs-mode={} stat -c %a /t > /out\n"
    assert [build(run.format(mode))["out"] for mode in ("0700", "0755")] == ["700\n", "755\n"]
    text = "FROM busybox\nRUN hostname > /out\n"
    name = "--build-arg=BUILDKIT_SANDBOX_HOSTNAME="
    assert [build(text, f"{name}{one}")["out"] for one in "ab"] == ["a\n", "b\n"]


def test_a_shared_cache_with_an_epoch_has_the_steps(build, rootless, tmp_path):
    folder = tmp_path / "cache"
    flags = ("--source-date-epoch", "1900000000", "--cache-to", f"type=local,dest={folder}")
    build("FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2\n", *flags)
    index = json.loads((folder / "index.json").read_text())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads((folder / "blobs" / "sha256" / digest).read_text())
    assert len(manifest["layers"]) == 2


def test_an_inline_cache_does_not_make_two_builds_differ(build, rootless):
    flags = ("--no-cache", "--source-date-epoch", "1000000000", "--cache-to", "type=inline")
    text = "FROM busybox\nRUN echo 1 > /1\n"
    ids = []
    for _ in range(2):
        build(text, *flags)
        ids.append(rootless.ok("inspect", "-f", "{{.Id}}", "test"))
    assert ids[0] == ids[1]
    assert rootless("build", "-q", "--verify", *flags[1:], build.context).exit == 0


def test_a_shared_cache_that_lost_a_layer_is_told_and_not_needed(build, rootless, tmp_path):
    folder = tmp_path / "cache"
    text = "FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2\n"
    build(text, "--cache-to", f"type=local,dest={folder}")
    for blob in (folder / "blobs" / "sha256").iterdir():
        if b"ustar" in blob.read_bytes():
            blob.unlink()
    rootless.ok("rmi", "test")
    rootless.ok("builder", "prune", "-af")
    flags = ("--progress=plain", "-t", "test", "--cache-from", f"type=local,src={folder}")
    result = rootless("build", *flags, build.context)
    assert result.exit == 0, result.stderr
    assert result.stderr.count("warning: a shared cache is not used any more") == 1
    assert "CACHED" not in result.stderr


def test_a_list_of_platforms_is_copied_from_by_platform(build, rootless):
    (build.context / "f").write_text("F")
    text = "FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH\n"
    (build.context / "Dockerfile").write_text(text)
    both = "linux/amd64,linux/arm64"
    rootless.ok("build", "-q", "--platform", both, "-t", "multi", build.context)
    (build.context / "Dockerfile").write_text("FROM scratch\nCOPY --from=multi / /\n")
    rootless.ok("build", "-q", "--platform", "linux/arm64", "-t", "test", build.context)
    archive = build.context / "a.tar"
    rootless.ok("save", "-o", archive, "test")
    assert [name for name in flattened.read(archive)[0] if name != "."] == ["arm64"]
