"""`--mount type=image`: another image's files in a container, as of docker 28 and podman 5.8."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")
RUN = ("run", "--rm", "--network=none")
OTHER = """FROM busybox
RUN mkdir -p /data/deep && echo one >/data/deep/f \
 && ln -s /etc/passwd /data/out && ln -s ../../etc /data/up && rm /etc/group
FROM scratch
COPY --from=0 --chown=5:6 /data /data
COPY --from=0 /etc/passwd /top
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("mounted")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    command.ok("build", "-q", "-t", "other:1", "-", stdin=OTHER)
    command.ok("build", "-q", "-t", "nothing", "-", stdin="FROM scratch\nENV a=b\n")
    yield command
    command("rm", "-af")
    child.remove_tree(folder / "store")


def mounted(*words: str) -> tuple[str, str]:
    return "--mount", ",".join(("type=image,source=other:1,target=/x", *words))


def test_its_files_are_there_to_be_read(store):
    script = "cd /x && stat -c '%u:%g %a %n' data && cat data/deep/f && ls && touch /x/new"
    answer = store(*RUN, *mounted(), "busybox", "sh", "-c", script)
    assert answer.stdout == "5:6 755 data\none\ndata\ntop\n"
    assert (answer.exit, "Read-only file system" in answer.stderr) == (1, True)
    script = "touch /x/new"
    assert store(*RUN, *mounted("readonly=false"), "busybox", "sh", "-c", script).exit == 1


def test_podmans_rw_throws_away_what_is_written(store):
    flags = ("--network=none", "--name", "writes", *mounted("rw=true"))
    script = "ls /x; rm /x/top; echo two >/x/data/deep/f; cat /x/data/deep/f"
    assert store.ok("run", *flags, "busybox", "sh", "-c", script) == "data\ntop\ntwo\n"
    assert store.ok("start", "-a", "writes") == "data\ntop\ntwo\n"
    store.ok("rm", "writes")
    assert store.ok(*RUN, *mounted(), "busybox", "cat", "/x/data/deep/f") == "one\n"


def test_a_part_of_it(store):
    part = mounted("image-subpath=data/deep")
    assert store.ok(*RUN, *part, "busybox", "ls", "/x") == "f\n"
    assert store.ok(*RUN, *mounted("image-subpath=data/deep/f"), "busybox", "cat", "/x") == "one\n"
    for path, words in (
        ("nosuch", "No such file or directory"),
        ("data/out", "its path leads out of the image"),
        ("data/up/passwd", "its path leads out of the image"),
        ("../top", "subpath must be a relative path"),
        ("/top", "subpath must be a relative path"),
    ):
        refused = store(*RUN, *mounted(f"image-subpath={path}"), "busybox", "cat", "/x")
        assert (refused.exit, refused.stdout) == (125, ""), path
        assert words in refused.stderr


@pytest.mark.parametrize(
    "flags", [(), ("--userns=auto",), ("--read-only", "--user", "5:6")], ids=str
)
def test_whoever_runs_it(store, flags):
    script = "stat -c %u:%g /x/data; cat /x/data/deep/f"
    assert store.ok(*RUN, *flags, *mounted(), "busybox", "sh", "-c", script) == "5:6\none\n"


def test_files_are_copied_out_of_it(store, tmp_path):
    """Of one that runs and one that does not."""
    store.ok("run", "-d", "--network=none", "--name", "has", *mounted(), "busybox", "sleep", "600")
    for name in ("running", "stopped"):
        store.ok("cp", "has:/x/data/deep/f", tmp_path / name)
        assert (tmp_path / name).read_text() == "one\n"
        assert store("cp", tmp_path / name, "has:/x/data/").exit == 1
        store.ok("stop", "-t", "0", "has")
    store.ok("rm", "has")


def test_an_image_without_files(store):
    flags = ("--mount", "type=image,src=nothing,dst=/new/x")
    assert store.ok(*RUN, *flags, "busybox", "ls", "-A", "/new/x") == ""


def test_the_container_keeps_it(store):
    store.ok(
        "run", "-d", "--network=none", "--name", "holds", *mounted(), "busybox", "sleep", "600"
    )
    refused = store("rmi", "other:1")
    assert refused.exit == 1
    assert "is using its referenced image" in refused.stderr
    number = store.ok("images", "-q", "other:1").strip()
    store.ok("tag", "busybox", "other:1")  # its name is another's now
    try:
        store.ok("system", "prune", "-af")
        assert store.ok("exec", "holds", "cat", "/x/data/deep/f") == "one\n"
        store.ok("restart", "-t", "0", "holds")
        assert store.ok("exec", "holds", "cat", "/x/data/deep/f") == "one\n"
        [told] = json.loads(store.ok("inspect", "-f", "{{json .Mounts}}", "holds"))
        assert (told["Type"], told["Name"], told["RW"]) == ("image", "other:1", False)
        asked = store.ok("inspect", "-f", "{{json .HostConfig.Mounts}}", "holds")
        assert json.loads(asked) == [{"Type": "image", "Source": "other:1", "Target": "/x"}]
        assert store.ok("ps", "--format", "{{.Mounts}}") == "other:1\n"
        others = (*RUN, "--volumes-from", "holds", "busybox")
        assert store.ok(*others, "cat", "/x/data/deep/f") == "one\n"
    finally:
        store.ok("rm", "-f", "holds")
        store.ok("tag", number, "other:1")


@pytest.mark.needs("registry", "skopeo")
def test_what_is_not_here_is_pulled(store, registry, busybox_image):
    name = registry.push(busybox_image, "mounts/there:1")
    flags = ("--mount", f"type=image,source={name},target=/x")
    refused = store(*RUN, "--pull=never", *flags, "busybox", "true")
    assert (refused.exit, f"No such image: {name}" in refused.stderr) == (125, True)
    pulled = store(*RUN, "--tls-verify=false", *flags, "busybox", "ls", "/x/bin/busybox")
    assert (pulled.exit, pulled.stdout) == (0, "/x/bin/busybox\n")
    assert f"Unable to find image '{name}' locally" in pulled.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("type=image,target=/x", "field Source must not be empty"),
        ("type=image,source=other:1", "target is required"),
        ("type=image,source=other:1,target=/x,volume-nocopy", "cannot mix 'volume-*' options"),
        ("type=volume,source=other,target=/x,image-subpath=a", "cannot mix 'image-*' options"),
        ("type=image,source=Bad:,target=/x", "Bad:"),
        ("type=image,source=other:1,target=/proc/x", "inside /proc"),
    ],
)
def test_wrong_ones(store, words, said):
    refused = store(*RUN, "--pull=never", "--mount", words, "busybox", "true")
    assert refused.exit == 125
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_explained_and_by_hand(store):
    told = store(*RUN, "--explain", *mounted(), "busybox", "true").stderr
    assert "show the image other:1 at /x: read-only" in told
    script = store.ok(*RUN, "--dry-run", *mounted(), "busybox", "cat", "/x/data/deep/f")
    done = subprocess.run(
        ["bash"], input=script.encode(), env=store.environment, capture_output=True, check=True
    )
    assert done.stdout == b"one\n"
