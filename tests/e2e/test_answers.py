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
