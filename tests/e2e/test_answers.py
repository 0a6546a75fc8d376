"""What is answered where docker answers shortly: the way out, and docker's exit code."""

from __future__ import annotations

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("answers")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    command.ok("run", "-d", "--network", "none", "--name", "web", "busybox", "sleep", "1000")
    yield command
    command("rm", "-af")
    child.remove_tree(folder / "store")


def test_exec_that_cannot_be_tried_or_executed(store):
    answer = store("exec", "-w", "rel", "web", "pwd")
    assert answer.exit == 128
    assert "Cwd must be an absolute path" in answer.stderr
    assert store("exec", "web", "/nosuch").exit == 127
    for words in (("web", "/nosuch"), ("-w", "rel", "web", "pwd"), ("-u", "nosuch", "web", "pwd")):
        answer = store("exec", "-d", *words)
        assert answer.exit == 1
        assert answer.stdout == ""
    assert "No such file or directory" in store("exec", "-d", "web", "/nosuch").stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("ps", "--nosuch"), None), (("run", "--nosuch", "busybox"), None),
        (("run", "--rmm", "busybox"), "--rm"), (("run", "--dettach", "busybox"), "--detach"),
        (("run", "--nme", "x"), "--name"), (("ps", "--al"), "--all"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_another_s_only_where_it_is_like_it(store, words, meant):
    answer = store(*words)
    assert answer.exit == 125
    assert f"unknown flag: {words[1]}" in answer.stderr
    assert ("did you mean" in answer.stderr) == bool(meant)
    if meant:
        assert f"did you mean {meant}?" in answer.stderr


def test_copying_between_containers_says_how_it_is_done(store, tmp_path):
    store.ok("create", "--network", "none", "--name", "other", "busybox", "true")
    answer = store("cp", "web:/bin", "other:/tmp")
    assert answer.exit == 1
    assert "copying between containers is not supported" in answer.stderr
    assert "rootless cp web:/bin - | rootless cp - other:/tmp" in answer.stderr


def test_a_bake_file_that_is_not_there(store, tmp_path):
    answer = store("bake", "-f", str(tmp_path / "nofile"))
    assert answer.exit == 1
    assert "there is no such file" in answer.stderr
    assert "-f names a bake file" in answer.stderr


def test_top_shows_all_of_a_container_whatever_ps_is_asked_for(store):
    store.ok("exec", "-d", "web", "sleep", "2000")
    for options in (("-o", "pid,args"), ("-eo", "pid,args"), ("aux",), ("-ef",)):
        lines = store.ok("top", "web", *options).splitlines()
        assert [line.split()[-1] for line in lines[1:]] == ["1000", "2000"], options
    assert "Couldn't find PID field" in store("top", "web", "-o", "user").stderr


BESIDE = "did you mean {0}/files.tar?"


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (("volume", "import", "data", "{0}/fles.tar"), "open {0}/fles.tar: no such file", BESIDE),
        (("volume", "import", "data", "{0}"), "read {0}: is a directory", "pack it first, tar -c"),
        (("copy", "docker-archive:{0}/fles.tar", "x"), "open {0}/fles.tar: no such file", BESIDE),
        (("copy", "oci:{0}/nosuch", "x"), "there is no folder {0}/nosuch", "rootless copy IMAGE"),
        (("copy", "busybox", "dir:{0}/files.tar"), "files.tar: File exists", "name a folder"),
        (("save", "-o", "{0}/files.tar/x", "busybox"), "Not a directory", "files.tar is a file"),
        (("import", ""), "the archive has no name", "name a tar archive, a URL"),
        (("unpause", "web"), "is not paused", "it runs: there is nothing to do"),
        (("unpause", "ended"), "is not paused", "start it with: rootless start ended"),
        (("port", "web", "80"), "no public port '80/tcp'", "rootless port web"),
        (("stop", ""), "container name cannot be empty", "rootless ps -a"),
        (("cp", "web:/bin/busybx", "-"), "Could not find the file", "did you mean /bin/busybox?"),
        (("cp", "{0}/fles.tar", "web:/"), "lstat {0}/fles.tar", BESIDE),
        (("cp", "web:/bin/sh", "{0}/no/x"), '"{0}/no" does not exist', "mkdir -p {0}/no"),
        (("pull", "http://127.0.0.1:1/x"), "is not an image reference", "a name is no URL"),
        (("network", "create", ""), "invalid network name ''", "begins with a letter or digit"),
        (
            ("network", "create", "--subnet=10.9.0.0/24", "--gateway=1.2.3.4", "n"),
            "no matching subnet for gateway 1.2.3.4",
            "choose an address of 10.9.0.0/24",
        ),
    ],
)
def test_what_a_newcomer_types_is_named_with_the_way_out(store, tmp_path, words, said, hint):
    (tmp_path / "files.tar").touch()
    store("volume", "create", "data")
    store("create", "--network=none", "--name=ended", "busybox", "true")
    answer = store(*(word.format(tmp_path) for word in words))
    assert answer.exit
    error, _, told = answer.stderr.partition("\n\nhint: ")
    assert said.format(tmp_path) in error
    assert hint.format(tmp_path) in told


@pytest.mark.parametrize(
    ("flags", "said", "hint"),
    [
        (("--mount", "type=image,dst=/x"), "Source must not", "type=image,src=IMAGE,dst=/x"),
        (("--mount", "type=bind,dst=/x"), "Source must not", "type=bind,src=DIR,dst=/x"),
        (("-v", "{0}/files.tar:/bin"), "cannot be shown at /bin", "a file where there is none"),
        (("-v", "{0}:/etc/hosts"), "cannot be shown at /etc/hosts", "a directory is shown where"),
        (("--env-file", "{0}/fles.tar"), "there is no such file", BESIDE),
        (("--device", "/dev/nosuch"), "/dev/nosuch cannot be shown", "ls /dev"),
        (("--env-file", ""), "'': there is no such file", ""),
        (("--stop-timeout", "x"), "--stop-timeout 'x' is not", "write --stop-timeout 10"),
        (("--mac-address", "x"), "x is not a valid mac address", "02:42"),
        (("-p", "22-20:80"), "the range '22-20' ends before it begins", "the forms are"),
        (("-v", "gone:/x"), "{0}/no cannot be shown at /x", "mkdir -p {0}/no"),
        (("--label", "=x"), "invalid label '=x'", "write NAME=VALUE"),
        (("--cap-add", "net_admn"), "no capability is called", "did you mean NET_ADMIN?"),
    ],
)
def test_a_wrong_flag_of_run_is_named_with_the_way_out(store, tmp_path, flags, said, hint):
    (tmp_path / "files.tar").touch()
    bind = ("-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}/no")
    store("volume", "rm", "-f", "gone")
    store("volume", "create", *bind, "gone")
    words = (word.format(tmp_path) for word in flags)
    answer = store("run", "--rm", "--network=none", *words, "busybox", "true")
    assert answer.exit == 125
    error, _, told = answer.stderr.partition("\n\nhint: ")
    assert said.format(tmp_path) in error
    assert hint.format(tmp_path) in told
