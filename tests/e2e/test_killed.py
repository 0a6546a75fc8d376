"""Each command killed at its n-th change of the disk: the store stays whole, and once more works.

A change is a rename, a link, a wait for the disk, a directory made, a file or directory removed.
Either the command's own process dies at its n-th, and takes its helpers along, or whichever of its
processes comes to an n-th first. Every time `system check` has nothing to say, every image that is
named is the right one, and the same command does the rest; a prune of everything leaves nothing.

Calls are taken one at a time, for the first to reach its n-th hides the others. Here some of them
are, and ever fewer n; scripts/killed takes all, which ROOTLESS_EVERY_KILL=1 asks for.
"""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess

import pytest

from rootless.store import Store, images
from rootless.store.check import check
from tests.support import child, flattened, rungs
from tests.support.hostile_registry import MANIFEST, HostileRegistry, serving
from tests.support.images import layer, write_layout
from tests.support.processes import some_seconds, wait_until, with_word

pytestmark = pytest.mark.needs("userns", "overlay", "strace", "unshare")

EVERY = bool(os.environ.get("ROOTLESS_EVERY_KILL"))
CALLS = (
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir"),
    *("mkdirat", "fsync", "fdatasync", "syncfs", "unlink", "unlinkat", "rmdir"),
)
WAYS = [("rename", False), ("fsync", False), ("unlink", False), ("rename", True)]
if EVERY:
    WAYS = [(call, follow) for call in CALLS for follow in (False, True)]
# A user's newuidmap is not set-uid under strace: root of a namespace needs none.
STRACE = ("unshare", "--map-root-user", "strace", "-qq")
DOCKERFILE = """\
FROM made:1 AS one
COPY a /copied/
WORKDIR /work
FROM made:2 AS two
COPY b /other/
FROM one
COPY --from=two /other /other
LABEL built=yes
"""


def contents(number):
    return {f"{number}/{name}": f"{name} of {number}" for name in "abc"}


def image_of(folder, tag):
    """An image of three layers, one of which all tags share."""
    tars = [layer({path: text.encode() for path, text in contents(one).items()})
            for one in ("shared", f"own{tag}", f"last{tag}")]  # fmt: skip
    return write_layout(folder / f"layout{tag}", f"docker.io/library/made:{tag}", tars)


def expected(tag):
    return {**contents("shared"), **contents(f"own{tag}"), **contents(f"last{tag}")}


BUILT = {**expected("1"), "copied/a": "a", "other/b": "b"}


class Box:
    """A store with made:1 and made:2 that can be had anew, and what is in the images."""

    def __init__(self, rootless, folder):
        self.rootless, self.folder = rootless, folder
        self.tracer = STRACE
        self.images = {}
        self.archives = {}
        for tag in ("1", "2", "3"):
            self.images[tag] = image_of(folder, tag)
            self.archives[tag] = self.images[tag].archive(folder / f"made{tag}.tar")
        for tag in ("1", "2"):
            rootless.ok("load", "-i", self.archives[tag])
        self.context = folder / "context"
        self.context.mkdir()
        (self.context / "a").write_text("a")
        (self.context / "b").write_text("b")
        (self.context / "Dockerfile").write_text(DOCKERFILE)
        self.kept = folder / "kept"

    def id(self, tag):
        """The id of made:TAG."""
        image = self.images[tag]
        return json.loads(image.blob(image.manifest_digest))["config"]["digest"]

    def keep(self):
        """Later stores begin with what is there now."""
        shutil.copytree(self.rootless.root, self.kept, symlinks=True)

    def restore(self):
        shutil.rmtree(self.rootless.root)
        shutil.copytree(self.kept, self.rootless.root, symlinks=True)

    def look(self):
        """Whether the store is whole, to its last byte, and which image each name stands for."""

        def body():
            store = Store(str(self.rootless.root))
            found = images.listing(store)
            return check(store), {
                name.familiar: str(one.id) for one in found for name in one.references
            }

        damage, named = child.in_child(body)
        assert damage == ()
        return named

    def empty(self):
        """After a prune of everything nothing is left."""
        self.rootless.ok("system", "prune", "-a", "-f")
        left = {name: os.listdir(self.rootless.root / name)
                for name in ("tmp", "layers", "containers", "leases", "blobs/sha256")}  # fmt: skip
        assert not any(left.values()), left


@pytest.fixture
def box(rootless, tmp_path):
    return Box(rootless, tmp_path)


def die(box, way, number, argv):
    """Whether the command, or one of its processes, was killed at its n-th such call."""
    call, follow = way
    trace = box.folder / "trace"
    inject = f"--inject={call}:signal=KILL:when={number}"
    followed = ("-f",) if follow else ()
    command = box.rootless.command(*argv)[len(box.rootless.prefix) :]
    done = subprocess.run(
        [*box.tracer, *followed, "-o", trace, f"--trace={call}", inject, *command],
        env=box.rootless.environment,
        stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    made = (line.partition("(")[0] for line in trace.read_text().splitlines() if "(" in line)
    is_killed = max(collections.Counter(made).values(), default=0) >= number
    assert is_killed or done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return is_killed


def numbers():
    """1, 2, 3, …; unless every one is asked for, ever fewer of them after the first five."""
    number = 1
    while True:
        yield number
        number += 1 if EVERY or number < 5 else number // 2


def at_each(box, way, argv, changes, undo=None):
    """Kill `argv` at each of its changes, and then let it do the rest.

    `changes` are the names that it makes, each with an id or "" for any, or takes away: None.
    `undo` takes back what it did, where a copy of the store from before would not do.
    """
    if not undo:
        box.keep()
    before = box.look()
    after = {name: one for name, one in {**before, **changes}.items() if one is not None}
    died = False
    for number in numbers():
        if not die(box, way, number, argv):
            break
        died = True
        found = box.look()
        for name in {*before, *after, *found}:
            one = found.get(name)
            assert one in (before.get(name), after.get(name)) or after.get(name) == "", name
        box.rootless.ok(*argv)
        found = box.look()
        assert {name: after[name] and one for name, one in found.items()} == after, number
        if undo:
            undo()
            continue
        if EVERY:
            box.empty()
        box.restore()
    assert died or way[0] != "rename", "it was never killed"


def way_id(way):
    return f"{way[0]}, {'any process' if way[1] else 'the command'}"


each = pytest.mark.parametrize("way", WAYS, ids=way_id)


@each
def test_load(box, way):
    words = ("load", "-q", "-i", box.archives["3"])
    at_each(box, way, words, {"made:3": box.id("3")})
    box.empty()


@each
def test_pull(box, way):
    with HostileRegistry(serving(box.images["3"], "a/made", "3")) as registry:
        name = f"{registry.address}/a/made:3"
        at_each(box, way, ("pull", "-q", name), {name: box.id("3")})
    box.empty()


@each
def test_build(box, way):
    words = ("build", "-q", "-t", "built:1", box.context)
    at_each(box, way, words, {"built:1": ""})
    box.rootless.ok("save", "-o", box.folder / "saved.tar", "built:1")
    found, _ = flattened.read(box.folder / "saved.tar")
    assert {path: one.content for path, one in found.items() if one.content is not None} == BUILT
    box.empty()


@each
def test_rmi(box, way):
    at_each(box, way, ("rmi", "-f", "made:1"), {"made:1": None})
    box.empty()


@each
def test_prune(box, way):
    """Of an image without a name, of a build's steps, and of a download that was broken off."""
    box.rootless.ok("build", "-q", "-t", "built:1", box.context)
    box.rootless.ok("rmi", "built:1")
    box.rootless.ok("load", "-i", box.archives["3"])
    box.rootless.ok("tag", "made:1", "made:3")
    (box.rootless.root / "tmp" / "half").write_text("a download")
    words = ("system", "prune", "-f")
    at_each(box, way, words, {})
    box.empty()


@each
@pytest.mark.needs("busybox")
def test_commit(box, busybox_image, way):
    """Of a container that has changed, made and removed a file."""
    box.rootless.load(busybox_image, box.folder)
    script = "echo new >/new; echo more >>/etc/group; rm /etc/passwd"
    box.rootless.ok("run", "--network=none", "--name=changed", "busybox", "sh", "-c", script)
    words = ("commit", "-m", "made", "changed", "committed:1")

    def undo():
        box.rootless.ok("rmi", "committed:1")

    at_each(box, way, words, {"committed:1": ""}, undo)
    box.rootless.ok("rm", "changed")
    script = "cat /new; tail -n 1 /etc/group; ls /etc"
    shown = box.rootless.ok("run", "--rm", "--network=none", "committed:1", "sh", "-c", script)
    assert shown.split() == ["new", "more", "group", "hostname", "hosts", "resolv.conf"]
    box.empty()


WAYS_OF_A_COPY = [(call, True) for call in (CALLS if EVERY else ("rename", "renameat2", "unlink"))]


@pytest.mark.parametrize("way", WAYS_OF_A_COPY, ids=way_id)
@pytest.mark.needs("busybox", "subids", "setpriv")
def test_a_start_where_nothing_can_be_mounted(box, busybox_image, way):
    """What the container wrote before is there at any moment; what it writes, wholly or not."""
    box.rootless.prefix = rungs.ROOT
    box.tracer = (*rungs.ROOT, "strace", "-qq")
    box.rootless.load(busybox_image, box.folder)
    script = "echo line >>/log; mkdir -p /a; mv /a /b; rm -r /b"
    box.rootless.ok("run", "--name=one", "busybox", "sh", "-c", script)

    def lines():
        assert "A /log\n" in box.rootless.ok("diff", "one")
        return box.rootless.ok("cp", "one:/log", "-").count("line")

    died, before = False, lines()
    for number in numbers():
        if not die(box, way, number, ("start", "-a", "one")):
            break
        died = True
        found = lines()
        assert found in (before, before + 1), number
        box.rootless.ok("start", "-a", "one")
        before = lines()
        assert before == found + 1
    assert died or way[0] != "renameat2", "it was never killed"


RESTARTS = [(call, False) for call in ("flock", "rename", "unlink")]
if EVERY:
    RESTARTS += [(call, False) for call in ("clone", "openat", "pidfd_send_signal", "write")]


@pytest.mark.parametrize("way", RESTARTS, ids=way_id)
@pytest.mark.needs("busybox", "subids", "setpriv")
def test_a_restart_where_nothing_can_be_mounted(box, busybox_image, way):
    """The container runs once, or not at all; the next restart is as good as any."""
    box.rootless.prefix = rungs.ROOT
    box.tracer = (*rungs.ROOT, "strace", "-qq")
    box.rootless.load(busybox_image, box.folder)
    seconds = some_seconds()
    script = f"echo line >>/log; exec sleep {seconds}"
    box.rootless.ok("run", "-d", "--name=one", "busybox", "sh", "-c", script)
    words, died = ("restart", "-t", "0", "one"), False

    def lines():
        return box.rootless.ok("cp", "one:/log", "-").count("line")

    wait_until(lambda: lines() == 1, "its first line")
    before = 1
    for number in numbers():
        if not die(box, way, number, words):
            break
        died = True
        found = with_word(seconds)
        assert len(found) <= 1, number
        box.rootless.ok(*words)
        wait_until(lambda: len(with_word(seconds)) == 1, "its command")
        assert with_word(seconds) != found
        assert before < lines() <= before + 2
        before = lines()
        assert box.rootless.ok("exec", "one", "echo", "on") == "on\n"
    assert died or way[0] != "flock", "it was never killed"
    box.rootless.ok("rm", "-f", "one")
    assert with_word(seconds) == []
    box.empty()


@each
@pytest.mark.needs("registry")
def test_push(box, registry, way):
    """Of an image that was built here: its layers are packed on the way."""
    repository = f"killed/{way[0]}-{way[1]}".lower()
    name = f"{registry.address}/{repository}:1"
    box.rootless.ok("build", "-q", "-t", name, box.context)
    at_each(box, way, ("push", "-q", name), {})
    accept = {"Accept": MANIFEST}
    status, _, body = registry.ask("GET", f"/v2/{repository}/manifests/1", headers=accept)
    assert status == 200
    for one in json.loads(body)["layers"]:
        assert registry.ask("HEAD", f"/v2/{repository}/blobs/{one['digest']}")[0] == 200
    box.empty()
