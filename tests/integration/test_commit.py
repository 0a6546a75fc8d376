"""A container's changes as a layer: what is kept, who dies in the middle, who is paused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from rootless import linux, living
from rootless.archive import diff
from rootless.container import changes, commit, export, homes
from rootless.container.pause import Pause
from rootless.container.spec import Container, ContainerSpec, Mount
from rootless.container.state import ContainerState
from rootless.errors import NotFoundError, RootlessError
from rootless.image import archives
from rootless.oci.config import encode_run
from rootless.oci.reference import Reference
from rootless.store import Store, images, layers, removal
from rootless.store.check import check
from tests.integration.test_store_faults import die_at
from tests.support.child import in_child, remove_tree
from tests.support.images import layer, write_layout

pytestmark = [
    pytest.mark.needs("userns", "overlay"),
    pytest.mark.skipif(os.geteuid() == 0, reason="stores belong to ordinary users"),
]

LABEL = commit.Label("2020-01-02T03:04:05Z", "Ada", "by hand")


@pytest.fixture
def store(tmp_path):
    yield Store(str(tmp_path / "store"))
    remove_tree(tmp_path / "store")


@pytest.fixture
def archive(tmp_path):
    files = {
        "d/": b"",
        "d/f": b"x",
        "d/e/": b"",
        "d/e/g": b"y",
        "link": "d",
        "etc": "d",
        "srv/": b"",
    }
    return write_layout(tmp_path / "layout", "base:1", [layer(files)]).archive(
        tmp_path / "base.tar"
    )


def stopped(store, archive, **fields):
    """A container of the archive's image that has ended; its diff/ is empty."""
    with open(archive, "rb", buffering=0) as file:
        (image,) = archives.load(store, file.read)
    config = encode_run(image.config)
    spec = ContainerSpec(homes.new_id(), "web", "base:1", image.id, 1.5, config=config, **fields)
    home = homes.create(store, spec)
    state = ContainerState("exited", started=2, finished=2.5)
    home.tell(state)
    home.release()
    return Container(spec, state)


def make(store, container, names):
    """Empty files, and directories where a name ends in /, in the container's diff/."""
    for name in names:
        path = os.path.join(store.path("containers", container.id, "diff"), name)
        os.makedirs(
            path.rstrip("/") if name.endswith("/") else os.path.dirname(path), exist_ok=True
        )
        if not name.endswith("/"):
            open(path, "x").close()


def committed(store, container, *names, changing=False):
    copied = commit.copy(store, container, changing=changing)
    references = [Reference.parse(name) for name in names]
    return commit.commit(store, container, copied, LABEL, lambda config: config, references)


def entries(path):
    """Name → line of all in a layer's directory, by its tar and GNU tar."""
    read_fd, write_fd = os.pipe()
    argv = ["tar", "--numeric-owner", "-tvf", "-"]
    with subprocess.Popen(argv, stdin=read_fd, stdout=subprocess.PIPE, text=True) as lister:
        os.close(read_fd)
        diff.write(path, lambda chunk: os.write(write_fd, chunk))
        os.close(write_fd)
        return lister.communicate()[0].splitlines()


def top(store, image):
    return layers.find(store, image.config.diff_ids[-1])


def test_all_that_a_layer_keeps_and_nothing_else(store, archive):
    def body():
        container = stopped(store, archive)
        make(store, container, ["new/a", "d/", "opaque/", "dev-like"])
        folder = store.path("containers", container.id, "diff")
        os.link(f"{folder}/new/a", f"{folder}/new/b")
        os.chown(f"{folder}/new/a", 5, 6)
        os.chmod(f"{folder}/new/a", 0o4755)
        os.setxattr(f"{folder}/new/a", "user.kept", b"\0\xff")
        os.setxattr(f"{folder}/new", "user.overlay.origin", b"x")
        os.mknod(f"{folder}/d/f", 0o020000, 0)
        os.setxattr(f"{folder}/opaque", "user.overlay.opaque", b"y")
        os.setxattr(f"{folder}/dev-like", "user.rootless.node", b"c 1 3")
        os.mkfifo(f"{folder}/fifo")
        os.symlink("/etc/shadow", f"{folder}/link2")
        os.chdir(folder)
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("socket")
        before = sorted(os.listdir(folder))
        image = committed(store, container, "mine:1")
        found = top(store, image)
        assert sorted(os.listdir(folder)) == before, "the container keeps its own"
        assert layers.measure(found.path).diff_id == found.diff_id
        kept = f"{found.path}/new/a"
        assert os.getxattr(kept, "user.kept") == b"\0\xff"
        assert os.stat(kept).st_ino == os.stat(f"{found.path}/new/b").st_ino
        assert os.stat(kept).st_ino != os.stat(f"{folder}/new/a").st_ino
        assert os.listxattr(f"{found.path}/new") == []
        return [line[:25].split() + line.split()[5:] for line in entries(found.path)]

    lines = in_child(body)
    assert [" ".join([line[0], *line[2:]]) for line in lines] == [
        "drwxr-xr-x d/",
        "-rw------- d/.wh.f",
        "crw-r--r-- dev-like",
        "prw-r--r-- fifo",
        "lrwxrwxrwx link2 -> /etc/shadow",
        "drwxr-xr-x new/",
        "-rwsr-xr-x new/a",
        "hrwsr-xr-x new/b link to new/a",
        "drwxr-xr-x opaque/",
        "-rw------- opaque/.wh..wh..opq",
    ]


MOUNTED = ("/data/deep/er", "/d/e/here", "/link/through", "/srv/file", "/d/f", "/gone/../up")


def test_what_was_made_to_mount_on_is_no_change(store, archive):
    def body():
        container = stopped(store, archive, mounts=tuple(Mount("tmpfs", path) for path in MOUNTED))
        made = ["data/deep/er/", "d/e/here/", "d/through/", "srv/file", "up/", "d/hosts"]
        make(store, container, made)
        image = committed(store, container)
        assert image.config.diff_ids == _base(store), entries(top(store, image).path)
        make(store, container, ["data/mine", "srv/own/"])
        os.chmod(f"{store.path('containers', container.id, 'diff')}/d/e", 0o700)
        return [line.split()[-1] for line in entries(top(store, committed(store, container)).path)]

    assert in_child(body) == ["d/", "d/e/", "data/", "data/mine", "srv/", "srv/own/"]


def _base(store):
    return images.resolve(store, "base:1").config.diff_ids


@pytest.mark.parametrize(
    "change",
    [
        lambda path: Path(path, "data/deep/er").write_text("content"),
        lambda path: os.symlink("/etc", f"{path}/data/deep/er"),
        lambda path: os.mkfifo(f"{path}/data/deep/er"),
        lambda path: (os.mkdir(f"{path}/data/deep/er"), os.chmod(f"{path}/data/deep/er", 0o700)),
        lambda path: (os.mkdir(f"{path}/data/deep/er"), os.mkfifo(f"{path}/data/deep/er/f")),
    ],
    ids=["content", "link", "pipe", "mode", "filled"],
)
def test_what_is_more_than_a_place_to_mount_on_stays(store, archive, change):
    def body():
        container = stopped(store, archive, mounts=tuple(Mount("tmpfs", path) for path in MOUNTED))
        make(store, container, ["data/deep/"])
        change(store.path("containers", container.id, "diff"))
        found = entries(top(store, committed(store, container)).path)
        return [line.split()[5].rstrip("/") for line in found]

    assert in_child(body)[:3] == ["data", "data/deep", "data/deep/er"]


def test_nothing_changed_gives_no_layer_but_a_line_of_history(store, archive):
    def body():
        container = stopped(store, archive)
        image = committed(store, container, "mine:1")
        again = committed(store, container, "mine:2")
        assert image.id == again.id
        return image.config.diff_ids == _base(store), image.config.history[-1]

    same, line = in_child(body)
    assert same
    assert (line.empty_layer, line.author, line.comment) == (True, "Ada", "by hand")
    assert (line.created, line.created_by) == (LABEL.created, "/bin/sh")


def test_a_file_whose_name_means_a_whiteout_is_one(store, archive):
    def body():
        container = stopped(store, archive)
        make(store, container, ["d/.wh.x", "d/a"])
        found = entries(top(store, committed(store, container)).path)
        return [line.split()[-1] for line in found]

    assert in_child(body) == ["d/", "d/.wh.x", "d/a"]


def test_a_folder_whose_name_means_a_whiteout_is_refused_and_exported(store, archive):
    def body():
        container = stopped(store, archive)
        make(store, container, ["d/.wh.x/y"])
        with pytest.raises(RootlessError, match=r"cannot hold 'd/\.wh\.x'"):
            committed(store, container)
        assert os.listdir(store.path("tmp")) == []
        pieces = []
        export.export(store, container, pieces.append)
        return b"d/.wh.x/y\0" in b"".join(pieces)

    assert in_child(body)


def test_a_container_that_is_removed_meanwhile_gives_no_image(store, archive, monkeypatch):
    """Also where its files go so quietly that the copy only looks smaller."""

    def body():
        container = stopped(store, archive)
        make(store, container, ["one", "two"])
        write = diff.write

        def removing(*arguments, **options):
            homes.remove(store, container)
            os.makedirs(store.path("containers", container.id, "diff"))
            return write(*arguments, **options)

        monkeypatch.setattr(diff, "write", removing)
        with pytest.raises(NotFoundError, match=r"No such container: .* removed meanwhile"):
            committed(store, container)
        return os.listdir(store.path("tmp"))

    assert in_child(body) == []


def test_a_container_waits_for_no_disk(store, archive, monkeypatch):
    """It may go on when its files are read, before they are safe."""

    def body():
        container = stopped(store, archive)
        make(store, container, ["one"])
        read_fd, write_fd = os.pipe()
        monkeypatch.setattr(linux, "syncfs", lambda _: os.read(read_fd, 1))
        told = []

        def go_on():
            told.append("read")
            os.write(write_fd, b"x")

        commit.copy(store, container, changing=False, when_read=go_on).discard()
        return told

    assert in_child(body) == ["read"]


def test_the_image_is_not_here_any_more(store, archive):
    def body():
        container = stopped(store, archive)
        removal.remove(store, ["base:1"], force=True)
        for work in (committed, changes.changes):
            with pytest.raises(RootlessError, match=r"the image .* of container .* is not here"):
                work(store, container)

    in_child(body)


def test_death_before_every_change_on_disk(store, archive):
    """The container keeps all it has, the store is whole, and the next commit does it."""

    def body():
        container = stopped(store, archive)
        make(store, container, ["new/a", "d/"])
        step, died = 0, True
        while died:
            step += 1
            died = _dies(store.root, container, step)
            again = Store(store.root)
            assert check(again) == ()
            image = committed(again, container, "mine:1")
            assert layers.measure(top(again, image).path).diff_id == image.config.diff_ids[-1]
            again.let_go()
            removal.remove(again, ["mine:1"])
            assert os.listdir(again.path("tmp")) == []
        return step

    assert in_child(body) > 10, "the steps were not intercepted"


def _dies(root, container, step):
    def body():
        die_at(step)
        try:
            committed(Store(root), container, "mine:1")
        except RootlessError as error:  # it was the worker that died
            assert "died" in str(error)
            raise SystemExit from None

    try:
        in_child(body, enter=False)
    except (AssertionError, SystemExit):
        return True
    return False


# a tree that changes while it is written


def test_a_changing_tree_is_written_as_it_is_met(tmp_path):
    for name in ("a-gone", "b-shrinks", "c-gone/f", "d-pipe", "e-stays"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 3000)
    (tmp_path / "tree" / "a").write_bytes(b"y" * (diff.tar.CHUNK * 2))
    pieces = []

    def put(chunk):
        if not pieces:
            tree = tmp_path / "tree"
            os.truncate(tree / "a", diff.tar.CHUNK)
            (tree / "a-gone").unlink()
            (tree / "b-shrinks").write_bytes(b"short")
            (tree / "c-gone/f").unlink()
            (tree / "c-gone").rmdir()
            (tree / "d-pipe").unlink()
            os.mkfifo(tree / "d-pipe")
        pieces.append(chunk)

    diff.write(str(tmp_path / "tree"), put, changing=True)
    (tmp_path / "t.tar").write_bytes(b"".join(pieces))
    with tarfile.open(tmp_path / "t.tar") as written:
        assert written.getnames()[1:] == ["a", "b-shrinks", "d-pipe", "e-stays"]
        content = written.extractfile("a").read()
    assert len(content) == 2 * diff.tar.CHUNK
    assert content.strip(b"\0") == b"y" * diff.tar.CHUNK
    (tmp_path / "tree" / "a").write_bytes(b"y" * (diff.tar.CHUNK * 2))
    with pytest.raises(RootlessError, match="'a' shrank"):
        diff.write(str(tmp_path / "tree"), lambda _: os.truncate(tmp_path / "tree/a", 10))


@pytest.mark.parametrize("write", [diff.write, diff.write_tree])
def test_a_directory_that_becomes_a_link_leads_nowhere(tmp_path, write):
    """Between listing and opening; the first file is long enough for the tar's first piece."""
    tree, host = tmp_path / "tree", tmp_path / "host"
    for top_one, content in ((tree, b"own"), (host, b"the host's secret")):
        (top_one / "a/d").mkdir(parents=True)
        (top_one / "a/d/id_rsa").write_bytes(content)
        (top_one / "a/id_rsa").write_bytes(content)
        (top_one / "a/link").symlink_to(content)
    (tree / "a/0").write_bytes(b"y" * (diff.tar.CHUNK * 2))
    (tree / "z").write_bytes(b"stays")
    (host / "a/d/more").write_bytes(b"")

    def written(*, changing):
        pieces = []

        def put(chunk):
            if not pieces:
                (tree / "a").rename(tmp_path / "moved")
                (tree / "a").symlink_to(host / "a")
            pieces.append(chunk)

        write(str(tree), put, changing=changing)
        return b"".join(pieces)

    found = written(changing=True)
    assert b"secret" not in found
    (tmp_path / "t.tar").write_bytes(found)
    with tarfile.open(tmp_path / "t.tar") as tar:
        names = tar.getnames()
        assert names[1:3] == ["a", "a/0"]
        assert names[-1] == "z"
    assert "a/d/id_rsa" not in names
    assert "a/d/more" not in names
    (tree / "a").unlink()
    (tmp_path / "moved").rename(tree / "a")
    with pytest.raises(RootlessError, match=r"symbolic links: a/d/id_rsa"):
        written(changing=False)


def test_a_directory_that_becomes_a_link_is_not_compared(store, archive, tmp_path, monkeypatch):
    (tmp_path / "host").mkdir()
    (tmp_path / "host/known").write_text("the host's")

    def body():
        container = stopped(store, archive)
        make(store, container, ["new/known", "z"])
        folder = store.path("containers", container.id, "diff")
        listdir = os.listdir

        def swapping(path):
            names = listdir(path)
            if "known" in names and not os.path.islink(f"{folder}/new"):
                os.rename(f"{folder}/new", f"{folder}/moved")
                os.symlink(tmp_path / "host", f"{folder}/new")
            return names

        monkeypatch.setattr(os, "listdir", swapping)
        return changes.changes(store, container)

    assert in_child(body) == [("A", b"/new"), ("A", b"/z")]


# pausing


TREE = """
import os, sys, time
def work():
    while True:
        os.write(1, b"x"); time.sleep(0.001)
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.setsid()  # as the container's process 1
        if os.fork() == 0: work()
        os.wait()
work()
"""


@pytest.fixture
def family(tmp_path):
    """A process and what it has forked, on a pipe; their numbers."""
    (tmp_path / "container.json").write_text("{}")
    argv = [sys.executable, "-c", TREE, "3"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True) as top_one:
        yield top_one
        for pid in (*states(top_one.pid), top_one.pid):
            os.kill(pid, signal.SIGKILL)


def states(pid):
    """State by number of all below `pid`."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = living.stat(int(name))
            except OSError:
                continue
            found[int(name)] = (int(fields[living.PARENT]), fields[living.STATE].decode())
    below = [pid]
    for one in below:
        below += [child for child, (parent, _) in found.items() if parent == one]
    return {one: found[one][1] for one in below[1:]}


def await_states(pid, wanted, count=6):
    until = time.monotonic() + 60
    while True:
        now = states(pid)
        if len(now) == count and all(state in wanted for state in now.values()):
            return now
        assert time.monotonic() < until, now
        time.sleep(0.01)


def test_all_below_stop_and_go_on_again(family, tmp_path):
    await_states(family.pid, "RSD")
    with subprocess.Popen(["sleep", "600"]) as bystander:
        pause = Pause(str(tmp_path), living.identify(family.pid))
        assert set(states(family.pid).values()) == {"T"}
        assert living.stat(bystander.pid)[living.STATE] == b"S"
        bystander.kill()
    assert living.stat(family.pid)[living.STATE] != b"T", "the supervisor is not the container's"
    pause.end()
    await_states(family.pid, "RSD")
    pause.end()


def test_what_somebody_else_has_stopped_stays_so(family, tmp_path):
    leaf = max(await_states(family.pid, "RSD"))
    os.kill(leaf, signal.SIGSTOP)
    Pause(str(tmp_path), living.identify(family.pid)).end()
    until = time.monotonic() + 60
    while sorted(states(family.pid).values()).count("T") != 1:
        assert time.monotonic() < until
    assert states(family.pid)[leaf] == "T"


def test_who_is_killed_leaves_nothing_stopped(family, tmp_path):
    await_states(family.pid, "RSD")
    supervisor = living.identify(family.pid)
    pid = os.fork()
    if pid == 0:
        try:
            Pause(str(tmp_path), supervisor)
            signal.pause()
        finally:
            os._exit(1)
    await_states(family.pid, "T")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    await_states(family.pid, "RSD")


def test_the_second_waits_for_the_first(family, tmp_path):
    await_states(family.pid, "RSD")
    first = Pause(str(tmp_path), living.identify(family.pid))
    pid = os.fork()
    if pid == 0:
        try:
            second = Pause(str(tmp_path), living.identify(family.pid))
            running = [one for one, state in states(family.pid).items() if state != "T"]
            second.end()
            os._exit(len(running))
        finally:
            os._exit(99)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    first.end()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    await_states(family.pid, "RSD")


def test_one_that_has_ended_is_no_trouble(tmp_path):
    (tmp_path / "container.json").write_text("{}")
    with subprocess.Popen(["sleep", "60"]) as one:
        gone = living.identify(one.pid)
        one.kill()
    Pause(str(tmp_path), gone).end()
