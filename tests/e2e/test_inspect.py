"""`inspect` of images and containers: which is found, and what is said of the rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    """An image busybox, tagged exited too; containers exited, which wrote a file, and running."""
    folder = tmp_path_factory.mktemp("inspect")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    command.ok("tag", "busybox", "exited")
    run = ("run", "--network", "none")
    script = "echo 12345 > /file; exit 3"
    bound = ("-v", f"{folder}:/mnt:ro", "-h", "host", "-e", "A=b", "--read-only=false")
    assert command(*run, "--name", "exited", *bound, "busybox", "sh", "-c", script).exit == 3
    argv = command.command(*run, "--name", "running", "busybox", "sh", "-c", "echo x; sleep 600")
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, env=command.environment)
    assert running.stdout.readline() == b"x\n"
    yield command
    running.kill()
    running.communicate()
    child.remove_tree(folder / "store")


def _shown(store, *words):
    (value,) = json.loads(store.ok(*words))
    return value


def test_a_container_is_found_before_an_image(store):
    container = _shown(store, "inspect", "exited")
    assert (container["Name"], container["Config"]["Image"]) == ("/exited", "busybox")
    image = _shown(store, "inspect", "--type", "image", "exited")
    assert image["RepoTags"] == ["busybox:latest", "exited:latest"]
    assert _shown(store, "image", "inspect", "exited") == image
    assert _shown(store, "container", "inspect", "exited") == container
    assert _shown(store, "inspect", "--type=container", container["Id"][:7]) == container
    assert container["Image"] == image["Id"]


def test_what_a_container_is(store):
    value = _shown(store, "inspect", "exited")
    assert (value["State"]["Status"], value["State"]["ExitCode"]) == ("exited", 3)
    assert value["State"]["StartedAt"] < value["State"]["FinishedAt"]
    assert value["Config"]["Hostname"] == "host"
    assert "A=b" in value["Config"]["Env"]
    (mount,) = value["Mounts"]
    assert (mount["Destination"], mount["Mode"], mount["RW"]) == ("/mnt", "ro", False)
    assert os.path.isdir(value["GraphDriver"]["Data"]["UpperDir"])
    for path in value["GraphDriver"]["Data"]["LowerDir"].split(":"):
        assert os.path.isdir(path)
    running = _shown(store, "inspect", "running")
    assert running["State"]["Running"] is True
    assert os.path.exists(f"/proc/{running['State']['Pid']}")


def test_the_size_of_a_container(store):
    value = _shown(store, "inspect", "-s", "exited")
    image = _shown(store, "image", "inspect", "busybox")
    assert value["SizeRw"] == len("12345\n")
    assert value["SizeRootFs"] == len("12345\n") + image["Size"]
    assert "SizeRw" not in _shown(store, "inspect", "exited")
    of_both = store("inspect", "-s", "running", "busybox")
    assert (of_both.exit, of_both.stderr) == (0, "WARNING: --size ignored for image\n")
    assert ["SizeRw" in one for one in json.loads(of_both.stdout)] == [True, False]


def test_templates_of_both(store):
    form = "{{.Id}}"
    ids = store.ok("inspect", "-f", form, "exited", "busybox").split()
    assert len(ids[0]) == 64
    assert ids[1].startswith("sha256:")
    assert store.ok("inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", "exited") == (
        "".join(f"{line}\n" for line in _shown(store, "inspect", "exited")["Config"]["Env"]) + "\n"
    )
    assert store.ok("inspect", "-f", "{{if eq .State.ExitCode 3}}x{{end}}", "exited") == "x\n"
    assert store.ok("inspect", "-f", "{{.State.Health}}|{{.SizeRw}}", "exited") == "<nil>|<nil>\n"
    of_one = store("inspect", "-f", "{{.State.Status}}", "exited", "busybox")
    assert (of_one.exit, of_one.stdout) == (1, "exited\n")
    assert 'map has no entry for key "State"' in of_one.stderr


@pytest.mark.parametrize(
    ("words", "stdout", "said"),
    [
        (["inspect", "no1", "no2"], "[]\n", "error: No such object: no1\nNo such object: no2\n"),
        (["inspect", "-f", "{{.Id}}", "no1"], "\n", "No such object: no1"),
        (["inspect", "--format=json", "no1"], "[]\n", "No such object: no1"),
        (["inspect", "A B"], "[]\n", "No such object: A B"),
        (["inspect", ""], "[]\n", "name cannot be empty"),
        (["image", "inspect", "no1"], "[]\n", "No such image: no1:latest"),
        (["image", "inspect", "running"], "[]\n", "No such image: running:latest"),
        (["container", "inspect", "busybox"], "[]\n", "No such container: busybox"),
        (["inspect", "--type", "secret", "x"], "", 'unknown type: "secret"'),
    ],
)
def test_what_is_not_there(store, words, stdout, said):
    result = store(*words)
    assert (result.exit, result.stdout) == (1, stdout)
    assert said in result.stderr


def test_a_template_that_cannot_be_used(store):
    for form, why in (("{{nope}}", 'function "nope" not defined'), ("{{.Id", "unclosed action")):
        result = store("inspect", "-f", form, "busybox")
        assert (result.exit, result.stdout) == (64, "")
        assert why in result.stderr
    result = store("inspect", "-f", "{{.Nope}}", "busybox")
    assert (result.exit, result.stdout) == (1, "\n")
    assert 'map has no entry for key "Nope"' in result.stderr
    assert store("version", "-f", "{{nope}}").exit == 64
    assert store("images", "--format", "{{nope}}").exit == 1
    called = store("images", "--format", "{{.ID 1}}")
    assert (called.exit, called.stdout) == (1, "")
    assert "wrong number of args for ID: want 0 got 1" in called.stderr
    hostile = store("inspect", "-f", '{{range 100000}}{{printf "%100000d" 1}}{{end}}', "busybox")
    assert hostile.exit == 1
    assert "makes more than 8 MiB" in hostile.stderr


def _copied(store, folder):
    """A store that has only the records of the containers."""
    for path in store.root.glob("containers/*/*.json"):
        target = folder / "store" / path.relative_to(store.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder / "store"


def test_a_container_whose_image_is_gone(store, tmp_path):
    root = _copied(store, tmp_path)
    alone = Rootless(root)
    value = _shown(alone, "inspect", "exited")
    assert "LowerDir" not in value["GraphDriver"]["Data"]
    (record,) = root.glob(f"containers/{value['Id']}/container.json")
    record.write_text("{")
    damaged = alone("inspect", value["Id"][:9])
    assert (damaged.exit, damaged.stdout) == (1, "[]\n")
    assert "is damaged: container.json" in damaged.stderr
    record.unlink()
    os.mkfifo(record)
    assert "container.json is not a file" in alone("inspect", value["Id"][:9]).stderr


def test_a_record_of_an_older_version(store, tmp_path):
    root = _copied(store, tmp_path)
    for path in root.glob("containers/*/container.json"):
        record = json.loads(path.read_text())
        for key in ("config", "mounts"):
            record.pop(key, None)
        path.write_text(json.dumps(record))
    value = _shown(Rootless(root), "inspect", "exited")
    assert (value["Mounts"], value["Config"]["Env"]) == ([], [])


def test_a_list_of_containers_has_dockers_fields(store):
    listed = store.ok("ps", "-a", "--format", "json").splitlines()
    rows = {row["Names"]: row for row in map(json.loads, listed)}
    assert list(rows["exited"]) == sorted(
        [
            "Command",
            "CreatedAt",
            "ID",
            "Image",
            "Labels",
            "LocalVolumes",
            "Mounts",
            "Names",
            "Networks",
            "Ports",
            "RunningFor",
            "Size",
            "State",
            "Status",
        ]
    )
    image = _shown(store, "image", "inspect", "busybox")["Size"]
    assert rows["exited"]["Size"].startswith("6B (virtual ")
    assert image > 1000
    assert rows["exited"]["Mounts"].endswith("…")
    full = store.ok("ps", "-a", "--no-trunc", "--format", "{{.Mounts}}").split()
    assert full[0] == _shown(store, "inspect", "exited")["Mounts"][0]["Source"]
    table = store.ok("ps", "-as").splitlines()
    assert table[0].endswith("NAMES     SIZE")
    assert [line.split(" (virtual ")[0].split()[-1] for line in table[1:]] == ["0B", "6B"]
    labelled = store.ok("ps", "-a", "--format", 'table {{.Label "a"}}\\t{{.Names}}').splitlines()
    assert labelled == ["a         NAMES", "          running", "          exited"]


def test_a_list_of_images_has_dockers_fields(store):
    first, second = map(json.loads, store.ok("images", "--format", "json").splitlines())
    assert list(first) == sorted(
        [
            "Containers",
            "CreatedAt",
            "CreatedSince",
            "Digest",
            "ID",
            "Repository",
            "SharedSize",
            "Size",
            "Tag",
            "UniqueSize",
            "VirtualSize",
        ]
    )
    assert (first["Containers"], second["Containers"]) == ("2", "2")
    assert store.ok("images", "--format", "{{.SharedSize}}|{{.Containers}}", "exited") == "N/A|2\n"


def test_what_scripts_ask_docker_for(store):
    asked = "{{.Containers}} {{.ContainersRunning}} {{.Images}} {{.Swarm.LocalNodeState}}"
    assert store.ok("info", "-f", asked).split() == ["2", "1", "1", "inactive"]
    assert store.ok("info", "-f", "{{.Architecture}}").strip() == os.uname().machine
    version = store.ok("version", "-f", "{{.Client.Version}} {{.Server.Version}}").split()
    assert version[0] == version[1]
    missing = store("info", "-f", "{{.Nope}}")
    assert missing.exit == 1
    assert "fields are: ServerVersion, " in missing.stderr
