"""A layer that exists already is made again while steps read it: nothing of it may vanish."""

from __future__ import annotations

import subprocess

import pytest

from tests.support import flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

# Each command is still at work when the layer below it has been packed and found to exist.
COMMANDS = """\
COPY data /data
RUN sleep 0.7; cp -r /data /copied
RUN sleep 0.3; cat /copied/* > /joined
"""
NAMES = [f"file{number}" for number in range(40)]
EXPECTED = {
    **{f"data/{name}": f"content of {name}\n" for name in NAMES},
    **{f"copied/{name}": f"content of {name}\n" for name in NAMES},
    "joined": "".join(f"content of {name}\n" for name in sorted(NAMES)),
}


@pytest.fixture
def project(rootless, busybox_image, tmp_path):
    """A context whose COPY makes the same layer every time."""
    rootless.load(busybox_image, tmp_path)
    data = tmp_path / "project" / "data"
    data.mkdir(parents=True)
    for name in NAMES:
        (data / name).write_text(f"content of {name}\n")
    return data.parent


def written(rootless, image, tmp_path, *folders):
    """The files of the image in the folders that the Dockerfiles here write to."""
    rootless.ok("save", "-o", tmp_path / f"{image}.tar", image)
    files, _ = flattened.read(tmp_path / f"{image}.tar")
    return {
        name: file.content
        for name, file in files.items()
        if file.content is not None and name.split("/")[0] in folders
    }


def test_twice_without_the_cache(rootless, project, tmp_path):
    (project / "Dockerfile").write_text(f"FROM busybox\n{COMMANDS}")
    for number in range(2):
        rootless.ok("build", "--no-cache", "-t", f"test{number}", project)
        found = written(rootless, f"test{number}", tmp_path, "data", "copied", "joined")
        assert found == EXPECTED
    assert list((rootless.root / "tmp").iterdir()) == []


def test_two_builds_at_once(rootless, project, tmp_path):
    (project / "Dockerfile").write_text(f"FROM busybox\n{COMMANDS}")
    for _ in range(2):
        builds = [
            subprocess.Popen(
                rootless.command("build", "--no-cache", "-t", f"test{number}", project),
                env=rootless.environment,
                stderr=subprocess.PIPE,
            )
            for number in range(2)
        ]
        for build in builds:
            _, errors = build.communicate(timeout=120)
            assert build.returncode == 0, errors.decode()
    for number in range(2):
        found = written(rootless, f"test{number}", tmp_path, "data", "copied", "joined")
        assert found == EXPECTED
    assert list((rootless.root / "tmp").iterdir()) == []


def test_equal_stages_side_by_side(rootless, project, tmp_path):
    stages = "".join(f"FROM busybox AS s{number}\n{COMMANDS}" for number in range(3))
    copies = "".join(f"COPY --from=s{number} /joined /out/{number}\n" for number in range(3))
    (project / "Dockerfile").write_text(f"{stages}FROM scratch\n{copies}")
    for _ in range(2):
        rootless.ok("build", "--no-cache", "-t", "test", project)
        found = written(rootless, "test", tmp_path, "out")
        assert found == {f"out/{number}": EXPECTED["joined"] for number in range(3)}
    assert list((rootless.root / "tmp").iterdir()) == []


def test_stages_that_go_on_from_one_made_again(rootless, project, tmp_path):
    """The children inherit a stack whose layers were all found to exist."""
    (project / "Dockerfile").write_text(
        f"FROM busybox AS base\n{COMMANDS}"
        "FROM base AS a\nRUN sleep 0.5; cat /data/* > /a\n"
        "FROM base AS b\nRUN sleep 0.5; cat /copied/* > /b\n"
        "FROM scratch\nCOPY --from=a /a /out/a\nCOPY --from=b /b /out/b\n"
    )
    for _ in range(2):
        rootless.ok("build", "--no-cache", "-t", "test", project)
        found = written(rootless, "test", tmp_path, "out")
        assert found == {"out/a": EXPECTED["joined"], "out/b": EXPECTED["joined"]}
    assert list((rootless.root / "tmp").iterdir()) == []
