"""`rootless run` of an image of many layers, which is remembered in short the first time."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.support import images, machine

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

RUN = ("run", "--rm", "--network", "none")
SHOW = ("sh", "-c", 'readlink /0; readlink /29; echo "$WHO"; pwd')
SHOWN = "../0\n../29\nits own\n/tmp\n"


@pytest.fixture
def tall(rootless, tmp_path):
    """A store with an image of 31 layers, which has run once."""
    program = machine.static_busybox()
    assert program
    tools = {f"bin/{name}": "busybox" for name in ("sh", "readlink", "echo", "pwd")}
    system = images.layer({"bin/busybox": program.read_bytes(), **tools, "tmp/": b""})
    links = [images.layer({str(number): f"../{number}"}) for number in range(30)]
    settings = {"Env": ["PATH=/bin", "WHO=its own"], "WorkingDir": "/tmp"}
    image = images.write_layout(tmp_path / "tall", "tall:latest", [system, *links], settings)
    rootless.load(image, tmp_path)
    assert rootless.ok(*RUN, "tall", *SHOW) == SHOWN
    return rootless


def layer_folder(tall, number: int):
    (document,) = json.loads(tall.ok("inspect", "tall"))
    return tall.root / "layers" / document["RootFS"]["Layers"][number].partition(":")[2][:12]


def test_the_second_start_is_as_the_first(tall):
    assert len([*(tall.root / "cache" / "stacks").iterdir()]) == 1
    record = layer_folder(tall, 3) / "layer.json"
    record.rename(tall.root / "aside")  # which nobody reads: a start asks only what is there
    assert tall.ok(*RUN, "tall", *SHOW) == SHOWN
    (tall.root / "aside").rename(record)
    assert tall.ok(*RUN, "-e", "WHO=mine", "-w", "/", "tall", *SHOW) == SHOWN.replace(
        "its own\n/tmp", "mine\n/"
    )


def test_a_layer_that_has_gone_is_unpacked_again(tall):
    folder = layer_folder(tall, 1)
    shutil.rmtree(folder)
    assert tall.ok(*RUN, "tall", *SHOW) == SHOWN
    assert folder.is_dir()


def test_a_name_that_was_given_away_means_the_other(tall, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM tall\nENV WHO=another\n")
    tall.ok("build", "-q", "-t", "tall", tmp_path)
    for _ in range(2):
        assert "another" in tall.ok(*RUN, "tall", *SHOW)


def test_it_is_removed_as_others_are(tall):
    tall.ok("rmi", "tall")
    assert [*(tall.root / "cache" / "stacks").iterdir()] == []
    answer = tall(*RUN, "--pull", "never", "tall", *SHOW)
    assert answer.exit
    assert "No such image" in answer.stderr


def test_another_platform_is_not_this_one(tall):
    answer = tall(*RUN, "--pull", "never", "--platform", "linux/s390x", "tall", *SHOW)
    assert answer.exit
    assert "Traceback" not in answer.stderr
