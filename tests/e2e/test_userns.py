"""Containers with ids of their own: keep-id, auto, nomap and maps, as a user types them."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")
DOCKERFILE = """FROM busybox
RUN echo app:x:33:34::/home/app:/bin/sh >> /etc/passwd; mkdir -p /home/app /srv/data \
  && chown 33:34 /home/app && echo theirs > /home/app/file && chown 33:34 /home/app/file \
  && chmod 4711 /home/app/file && ln -s file /home/app/link && chown -h 33 /home/app/link \
  && ln /home/app/file /home/app/again && mkfifo /home/app/pipe
RUN rm /srv/data -r && mkdir /srv/data && touch /srv/data/new && rm /etc/group
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("ids")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    (folder / "c").mkdir()
    (folder / "c/Dockerfile").write_text(DOCKERFILE)
    command.ok("build", "-t", "app", folder / "c")
    yield command
    child.remove_tree(folder / "store")


def inside(store, *words: str, network: str = "none") -> str:
    *flags, script = words
    return store.ok("run", "--rm", "--network", network, *flags, "app", "sh", "-c", script)


LOOK = """cd /; find bin/busybox home srv etc -exec stat -c '%n %F %a %u:%g %h' {} + | sort
stat -c '%n %a %u:%g' / /etc /etc/hosts; ls /etc"""


@pytest.mark.parametrize(
    "mode", ["keep-id", "keep-id:uid=33,gid=34", "nomap", "auto", "auto:size=3000"]
)
def test_every_file_has_the_owner_that_the_image_says(store, mode):
    usual = inside(store, "-u", "0", LOOK)
    assert inside(store, "--userns", mode, "-u", "0", LOOK) == usual
    assert inside(store, "--userns", mode, "-u", "0", LOOK) == usual  # from the copies
    assert "home/app/file regular file 4711 33:34 2" in usual


def test_keep_id_lists_whoever_started_it(store):
    name = pwd.getpwuid(os.getuid()).pw_name
    uid, gid = os.getuid(), os.getgid()
    script = (
        "id -un; grep :$(id -u): /etc/passwd; tail -n 1 /etc/group 2>/dev/null; wc -l < /etc/passwd"
    )
    said = store.ok(
        "run", "--rm", "--network=none", "--userns=keep-id", "busybox", "sh", "-c", script
    )
    plain = store.ok("run", "--rm", "--network=none", "busybox", "sh", "-c", "wc -l < /etc/passwd")
    assert said.splitlines() == [
        name, f"{name}:*:{uid}:{gid}::/:/bin/sh", f"{name}:x:{gid}:{name}", str(int(plain) + 1),
    ]  # fmt: skip
    other = ("--userns=keep-id:uid=5000,gid=6000", "-w", "/tmp", "--read-only")
    script = "tail -n 1 /etc/passwd; tail -n 1 /etc/group; echo $HOME"
    said = store.ok("run", "--rm", "--network=none", *other, "busybox", "sh", "-c", script)
    assert said.splitlines() == [
        "5000:*:5000:6000:container user:/tmp:/bin/sh", "6000:x:6000:5000", "/tmp",
    ]  # fmt: skip


def test_keep_id_lists_nobody_twice_and_only_in_files(store, tmp_path):
    words = ("create", "--network=none", "--userns=keep-id", "--name", "again", "busybox")
    store.ok(*words, "sh", "-c", "grep -c :$(id -u): /etc/passwd")
    assert [store.ok("start", "-a", "again").strip() for _ in range(2)] == ["1", "1"]
    store.ok("rm", "again")
    for number, line in enumerate(("mkfifo /etc/passwd", "ln -s /bin/busybox /etc/passwd", "true")):
        odd = tmp_path / str(number)
        odd.mkdir()
        (odd / "Dockerfile").write_text(f"FROM busybox\nRUN rm /etc/passwd; busybox {line}\n")
        store.ok("build", "-t", f"odd{number}", odd)
        run = ("run", "--rm", "--network=none", "--userns=keep-id", f"odd{number}")
        ids = store.ok(*run, "grep", "Uid:", "/proc/self/status")  # no program that would read it
        assert ids.split()[1] == str(os.getuid())


def test_keep_id_is_whoever_started_it(store, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    script = "id -u; id -g; stat -c %u:%g /m/file; echo y > /m/new; touch /no 2>/dev/null; id -G"
    text = inside(store, "--userns=keep-id", "-v", f"{tmp_path}/mine:/m", script).split()
    uid, gid = str(os.getuid()), str(os.getgid())
    assert text == [uid, gid, f"{uid}:{gid}", gid]
    assert (tmp_path / "mine/new").stat().st_uid == os.getuid()
    as_app = ("--userns=keep-id:uid=33,gid=34", "-v", f"{tmp_path}/mine:/m")
    assert inside(store, *as_app, "id -u; stat -c %u:%g /m/file /home/app; echo $HOME").split() == [
        "33", "33:34", "33:34", "/home/app",
    ]  # fmt: skip
    assert inside(store, *as_app, "-u", "app", "id -u; cat /m/file") == "33\nx"
    root = inside(store, "--userns=keep-id", "-v", f"{tmp_path}/mine:/m", "-u", "0", "touch /m/r")
    assert root == ""
    assert (tmp_path / "mine/r").stat().st_uid != os.getuid()  # root inside is somebody else
    child.remove_tree(tmp_path / "mine")


def test_root_inside_has_its_powers(store):
    script = """touch /a && chown 5:6 /a && chmod 4755 /a && stat -c '%u:%g %a' /a
    echo 1 > /proc/sys/net/ipv4/ip_forward 2>/dev/null || echo closed
    hostname; grep -c . /proc/self/uid_map; su app -c 'id -u'"""
    lines = inside(store, "--userns=keep-id", "-u", "0", "-h", "box", script).split("\n")
    assert lines[:3] == ["5:6 4755", "closed", "box"]
    assert lines[4] == "33"


def test_nobody_inside_is_the_user_with_nomap(store, tmp_path):
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0o644)
    tmp_path.chmod(0o755)
    flags = ("--userns=nomap", "-v", f"{tmp_path}:/m")
    assert inside(store, *flags, "id -u; stat -c %u /m/f; cat /m/f") == "0\n65534\nx"
    assert inside(store, *flags, "echo y 2>/dev/null > /m/f || echo closed") == "closed\n"


def test_two_automatic_ones_share_no_id(store):
    """At once: each is a slice of its own, and the next gets what one gives back."""
    names = [f"slice{number}" for number in range(4)]
    flags = ("--userns=auto", "--network", "none")

    def create(name: str) -> None:
        store.ok("create", "--name", name, *flags, "app", "sh", "-c", "cat /proc/self/uid_map")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, names))
    try:
        slices = [store.ok("start", "-a", name).split() for name in names]
        starts = sorted(int(outside) for _, outside, _ in slices)
        assert starts == [1, 1025, 2049, 3073]
        assert {(inside, count) for inside, _, count in slices} == {("0", "1024")}
        (gone,) = (name for name, one in zip(names, slices, strict=True) if one[1] == "1025")
        store.ok("rm", gone)
        assert (
            inside(store, "--userns=auto:size=1000", "cat /proc/self/uid_map").split()[1] == "1025"
        )
        kept = next(name for name in names if name != gone)
        assert store.ok("start", "-a", kept).split() == slices[names.index(kept)]
    finally:
        store("rm", "-f", *names)


def test_files_that_belong_to_nobody_there(store):
    done = store("run", "--rm", "--network", "none", "--userns=auto:size=20", "app", "true")
    assert done.exit == 125
    assert "a file belongs to user 33, whom the container's ids do not have" in done.stderr
    assert os.listdir(store.root / "containers") == []
    assert os.listdir(store.root / "tmp") == []


def test_maps_of_the_users(store):
    flags = ("--uidmap", "0:5:40", "--uidmap", "40:0:1", "--uidmap", "41:100:60000")
    text = inside(store, *flags, "cat /proc/self/uid_map; stat -c %u /home/app")
    assert [line.split() for line in text.splitlines()[:3]] == [
        ["0", "5", "40"], ["40", "0", "1"], ["41", "100", "60000"],
    ]  # fmt: skip
    assert text.splitlines()[3] == "33"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--userns=keepid", "--userns: invalid USER mode: keepid"),
        ("--userns=keep-id:uid=x", "invalid USER mode"),
        ("--userns=keep-id:gid", "invalid USER mode"),
        ("--userns=auto:size=0", "invalid USER mode"),
        ("--userns=auto:size=99999999", "invalid USER mode"),
        ("--userns=auto:size=9999999", "the container wants uid 9999999 of yours"),
        ("--userns=nomap:x=1", "invalid USER mode"),
        ("--uidmap=0:0:1 --userns=auto", "cannot be set together"),
        ("--uidmap=0", "is no map of ids"),
        ("--uidmap=0:@1:1", "is no map of ids"),
        ("--uidmap=0:0:0", "maps an id twice, or none"),
        ("--uidmap=0:0:5 --uidmap=4:9:1", "maps an id twice"),
        ("--uidmap=0:0:5 --uidmap=9:4:1", "maps an id twice"),
        ("--uidmap=0:900000:5", "the container wants uid 900004 of yours"),
    ],
)
def test_wrong_ones_are_named(store, flags, words):
    done = store("run", "--rm", "--network", "none", *flags.split(), "app", "true")
    assert (done.exit, words in done.stderr) == (125, True), done.stderr
    assert os.listdir(store.root / "containers") == []


def test_what_is_made_of_it_has_the_owners_that_were_seen(store, tmp_path):
    script = "touch /made && chown 7:8 /made; rm /home/app/again; chown 0 /home/app/file"
    for mode in ("keep-id", "auto"):
        store.ok("create", "--name", "source", "--network", "none", f"--userns={mode}", "-u", "0",
                 "app", "sh", "-c", script)  # fmt: skip
        store.ok("start", "-a", "source")
        listed = ["C /etc", "C /etc/passwd"] if mode == "keep-id" else []
        assert store.ok("diff", "source").splitlines() == [
            *listed, "C /home", "C /home/app", "D /home/app/again", "C /home/app/file", "A /made",
        ]  # fmt: skip
        store.ok("commit", "source", "made")
        look = "stat -c '%n %u:%g' /made /home/app /home/app/file /bin/busybox"
        shown = store.ok("run", "--rm", "--network", "none", "made", "sh", "-c", look)
        assert shown.splitlines() == [
            "/made 7:8", "/home/app 33:34", "/home/app/file 0:34", "/bin/busybox 0:0",
        ]  # fmt: skip
        store.ok("export", "-o", tmp_path / "all.tar", "source")
        with tarfile.open(tmp_path / "all.tar") as archive:
            owners = {one.name: (one.uid, one.gid) for one in archive}
        assert owners["made"] == (7, 8)
        assert owners["home/app"] == (33, 34)
        assert owners["bin/busybox"] == (0, 0)
        store.ok("rm", "source")
        (tmp_path / "all.tar").unlink()


def test_inspect_and_the_store_know_of_it(store):
    store.ok("create", "--name", "told", "--userns=keep-id", "app", "true")
    try:
        told = json.loads(store.ok("inspect", "told"))[0]
        assert told["HostConfig"]["UsernsMode"] == "keep-id"
        assert told["Config"]["User"] == f"{os.getuid()}:{os.getgid()}"
    finally:
        store.ok("rm", "told")
    assert store("system", "check").exit == 0


def test_a_copy_goes_with_its_layer(store, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo once > /once\n")
    store.ok("build", "-t", "once", tmp_path)
    before = set(os.listdir(store.root / "layers"))
    store.ok("run", "--rm", "--network", "none", "--userns=keep-id", "once", "cat", "/once")
    copied = [
        name for name in before
        if any(one.startswith("owned-") for one in os.listdir(store.root / "layers" / name))
    ]  # fmt: skip
    assert copied
    store.ok("rmi", "once")
    store.ok("builder", "prune", "-af")
    assert len(os.listdir(store.root / "layers")) < len(before)


def test_two_copy_one_layer_at_once(store):
    words = (
        "run",
        "--rm",
        "--network",
        "none",
        "--userns=keep-id:uid=77,gid=77",
        "app",
        "id",
        "-u",
    )
    running = [
        subprocess.Popen(
            store.command(*words),
            env=store.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    assert [one.communicate(timeout=120)[0] for one in running] == [b"77\n"] * 4


def test_a_dry_run_says_why_there_is_no_script(store):
    printed = store.ok("run", "--dry-run", "--network", "none", "--userns=keep-id", "app", "true")
    assert "in a user namespace inside that one: uid 0-" in printed
    assert "# There is no script" in printed


@pytest.mark.needs("pasta")
def test_with_a_network(store):
    text = inside(
        store, "--userns=auto", "id -u; ip -o addr | grep -v ' lo ' | wc -l", network="pasta"
    )
    uid, addresses = text.split()
    assert uid == "0"
    assert int(addresses) > 0


@pytest.mark.parametrize("mode", ["keep-id", "auto"])
def test_a_volume_has_the_owners_of_the_image(store, tmp_path, mode):
    flags = (f"--userns={mode}", "-u", "0", "-v", "data:/home/app")
    script = "stat -c '%n %u:%g' /home/app /home/app/file; touch /home/app/more"
    expected = "/home/app 33:34\n/home/app/file 33:34\n"
    try:
        assert inside(store, *flags, script) == expected
    finally:
        store.ok("volume", "rm", "data")


def test_words_of_volumes(store, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    look = "stat -c %u:%g /m/file; echo y 2>/dev/null >> /m/file; cat /m/file"
    given = (f"{tmp_path}/mine:/m:U", "-u", "app")
    assert inside(store, "--userns=keep-id", "-v", *given, look) == "33:34\nxy\n"
    assert (tmp_path / "mine/file").stat().st_uid != os.getuid()
    thrown = (f"{tmp_path}/mine:/m:O", "-u", "0")
    assert inside(store, "--userns=auto", "-v", *thrown, "touch /m/new; ls /m") == "file\nnew\n"
    assert os.listdir(tmp_path / "mine") == ["file"]
    read = (f"{tmp_path}/mine:/m:ro", "-u", "0")
    assert inside(store, "--userns=keep-id", "-v", *read, "touch /m/x 2>&1; true").endswith(
        "Read-only file system\n"
    )
    child.remove_tree(tmp_path / "mine")
