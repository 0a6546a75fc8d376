"""A store with one thing damaged: `system check` names it; --repair heals it or says what to do."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "registry", "skopeo")

WHOLE = "nothing in the store is damaged\n"
DAMAGES = ("flipped", "cut", "emptied", "removed")
RUN = ("run", "--rm", "--network", "none")


@pytest.fixture(scope="module")
def template(tmp_path_factory, registry, busybox_image):
    """A pulled image, one built on it, its cache and a container; all files are root's."""
    folder = tmp_path_factory.mktemp("repair")
    rootless = Rootless(folder / "store")
    pulled = registry.push(busybox_image, "repair:1")
    rootless.ok("pull", "-q", pulled)
    project = folder / "project"
    project.mkdir()
    (project / "f").write_text("f\n")
    (project / "Dockerfile").write_text(f"FROM {pulled}\nRUN echo 1 > /1\nCOPY f /f\n")
    rootless.ok("build", "-q", "-t", "made", project)
    rootless.ok("run", "--network", "none", "--name", "kept", "made", "sh", "-c", "echo 2 > /2")
    for path in rootless.root.glob("containers/*/work/work"):
        path.chmod(0o700)  # overlayfs leaves it closed, also to who copies
    yield rootless, pulled, project
    child.remove_tree(folder / "store")


@pytest.fixture
def box(template, rootless):
    """A copy of it that may be damaged."""
    subprocess.run(["cp", "-a", template[0].root, rootless.root], check=True)
    rootless.pulled, rootless.project = template[1:]
    return rootless


def inspect(box, name):
    return json.loads(box.ok("inspect", name))[0]


def files_of(box, what):
    """The paths of one kind of thing."""
    blobs = box.root / "blobs/sha256"
    if what.startswith(("pulled", "made")):
        name, part = what.split()
        found = inspect(box, box.pulled if name == "pulled" else "made")
        if part == "layer":
            (layer,) = json.loads((blobs / found["Descriptor"]["digest"][7:]).read_bytes())[
                "layers"
            ]
            return [blobs / layer["digest"][7:]]
        return [blobs / (found["Id"] if part == "config" else found["Descriptor"]["digest"])[7:]]
    paths = [path for path in box.root.glob(what) if path.is_file()]
    assert paths, what
    return paths


def damage(path, how):
    if how == "removed":
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    mode = path.stat().st_mode
    path.chmod(0o600)
    if how == "flipped":
        content[len(content) // 2] ^= 0x20
    path.write_bytes(content if how == "flipped" else content[: 10 if how == "cut" else 0])
    path.chmod(mode)


def works(box):
    """What everybody does, after a repair."""
    assert box.ok(*RUN, box.pulled, "echo", "pulled") == "pulled\n"
    box.ok("build", "-q", "-t", "made", box.project)
    assert box.ok(*RUN, "made", "cat", "/1", "/f") == "1\nf\n"
    assert "made" in box.ok("images")
    box.ok("ps", "-a")
    box.ok("system", "df", "-v")
    box.ok("save", "-o", box.project / "saved.tar", box.pulled)
    box.ok("system", "prune", "-f")


def no_traceback(result):
    assert "Traceback" not in result.stderr, result.stderr
    assert result.exit in (0, 1), result


HEALED = [
    *(("index.json", how) for how in DAMAGES),
    *(("pulled layer", how) for how in DAMAGES),
    *(("layers/*/layer.json", how) for how in ("flipped", "removed")),
    *(("layers/*/diff/bin/busybox", how) for how in ("flipped", "removed")),
    *(("pulled manifest", how) for how in ("cut", "removed")),
    *(("pulled config", how) for how in ("flipped", "emptied")),
    *(("cache/*/*.json", how) for how in ("flipped", "cut")),
    *(("containers/*/state.json", how) for how in ("emptied", "removed")),
    *(("oci-layout", how) for how in ("cut", "removed")),
]
"""Every one of these was tried with every damage once."""


@pytest.mark.parametrize(("what", "how"), HEALED)
def test_what_can_be_had_again_is_healed(box, what, how):
    for path in files_of(box, what):
        damage(path, how)
    checked = box("system", "check", timeout=120)
    no_traceback(checked)
    if checked.exit == 0:  # a cache, or a state, that is not there is none; a flip in a free text
        assert checked.stdout == WHOLE
        assert how == "removed" or what.endswith(".json")
    else:
        assert checked.stdout != ""
        assert "rootless system check --repair" in checked.stderr
    repaired = box("system", "check", "--repair", "--tls-verify=false", timeout=120)
    assert repaired.exit == 0, repaired
    assert repaired.stdout.endswith(("everything is healed\n", WHOLE))
    assert box.ok("system", "check") == WHOLE
    if what == "index.json" and box(*RUN, "made", "true").exit:
        box.ok("pull", "-q", "--tls-verify=false", box.pulled)  # names may be lost with it
    works(box)


@pytest.mark.parametrize(
    ("what", "how"),
    [("made manifest", "cut"), ("made config", "removed"), ("layers/*/diff/1", "flipped")],
)
def test_what_was_built_here_is_named_and_so_is_the_way_out(box, what, how):
    for path in files_of(box, what):
        damage(path, how)
    repaired = box("system", "check", "--repair", "--tls-verify=false", timeout=120)
    assert repaired.exit == 1
    lines = [line for line in repaired.stdout.splitlines() if line.startswith("not healed: ")]
    assert any("made" in line for line in lines)
    assert all("rootless rm" in line for line in lines), "each says what to do"
    assert box("images").exit == 0
    box.ok("rm", "kept")
    box.ok("rmi", "-f", "made")
    works(box)
    assert box.ok("system", "check") == WHOLE


@pytest.mark.parametrize("how", DAMAGES)
def test_a_container_without_a_record_keeps_its_files(box, how):
    (path,) = files_of(box, "containers/*/container.json")
    damage(path, how)
    checked = box("system", "check")
    if checked.exit == 0:
        assert how == "flipped"  # a letter of its command, for example
        return
    assert f"the container {path.parent.name[:12]} is damaged: " in checked.stdout
    repaired = box.ok("system", "check", "--repair")
    assert f"moved to quarantine: containers/{path.parent.name}\n" in repaired
    (kept,) = box.root.glob("quarantine/*/containers/*/diff/2")
    assert kept.read_text() == "2\n"
    assert box.ok("ps", "-aq") == ""
    works(box)
    pruned = box.ok("system", "prune", "-af")
    assert "Deleted Quarantine:\nquarantine/" in pruned
    assert list(box.root.glob("quarantine/*")) == []


def test_without_its_registry_an_image_still_runs(box, template):
    """Only the packed form is lost: its files are not taken away for that."""
    index = box.root / "index.json"
    index.write_text(index.read_text().replace(box.pulled.partition("/")[0], "127.0.0.1:1"))
    blobs = (box.root / "blobs/sha256").iterdir()
    (blob,) = [path for path in blobs if path.stat().st_size > 500_000]
    damage(blob, "flipped")
    repaired = box("system", "check", "--repair", "--tls-verify=false", timeout=120)
    assert repaired.exit == 1
    assert "cannot be fetched: cannot connect to 127.0.0.1:1" in repaired.stdout
    assert "try again when its registry can be reached" in repaired.stdout
    assert box.ok(*RUN, "127.0.0.1:1/repair:1", "echo", "runs") == "runs\n"
    assert box.ok(*RUN, "made", "cat", "/1") == "1\n"


def test_a_damaged_running_container_is_left_alone(box):
    command = box.command("run", "--name", "lives", "--network", "none", "made", "sh", "-c",
                          "echo up; sleep 300")  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=box.environment) as running:
        assert running.stdout.readline() == b"up\n"
        (record,) = [
            path for path in box.root.glob("containers/*/container.json")
            if b'"lives"' in path.read_bytes()
        ]  # fmt: skip
        record.write_bytes(b"{")
        repaired = box("system", "check", "--repair")
        assert repaired.exit == 1
        short = record.parent.name[:12]
        assert f"end and remove it with: rootless rm -f {short}" in repaired.stdout
        assert running.poll() is None
        box.ok("rm", "-f", short)
        running.wait(120)
    assert box.ok("system", "check") == WHOLE


def test_quick_reads_no_files_of_layers_and_repairs_nothing(box):
    for path in files_of(box, "layers/*/diff/1"):
        damage(path, "flipped")
    assert box.ok("system", "check", "--quick") == WHOLE
    assert box("system", "check").exit == 1
    assert "leave one of them out" in box("system", "check", "--quick", "--repair").stderr


def test_two_repairs_at_once(box):
    damage(files_of(box, "pulled layer")[0], "flipped")
    damage(files_of(box, "layers/*/diff/bin/busybox")[0], "flipped")
    both = [
        subprocess.Popen(
            box.command("system", "check", "--repair", "--tls-verify=false"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=box.environment,
        )
        for _ in range(2)
    ]  # fmt: skip
    for one in both:
        _, complaints = one.communicate(timeout=120)
        assert b"Traceback" not in complaints, complaints
    box("system", "check", "--repair", "--tls-verify=false")
    assert box.ok("system", "check") == WHOLE
    works(box)
