"""Root in a container that allows no namespaces: the same Dockerfile, the same image."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child, machine, rungs
from tests.support.processes import wait_until

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "unshare", "setpriv")

DOCKERFILE = """
FROM {base} AS one
RUN mkdir /a && echo hello > /a/f && chown 7:8 /a/f && ln -s f /a/l && mkfifo /a/p
RUN rm -r /bin/vi /a/l && echo more >> /a/f && chmod 4755 /a/f; echo x > /dev/null
COPY --chown=12:13 --chmod=640 Dockerfile /copied/here
RUN --mount=type=cache,target=/cache echo cached >> /cache/log && cp /cache/log /copied/log
RUN --mount=type=secret,id=s,mode=0400 wc -c < /run/secrets/s > /size && test -s /etc/resolv.conf
RUN --mount=type=bind,target=/ctx --mount=type=tmpfs,target=/t cp /ctx/Dockerfile /t/x && mkdir /new
WORKDIR /new/below
USER 5:6
RUN id -u > /tmp/id
FROM {base}
COPY --from=one /a /b
COPY --from=one /copied /copied
RUN mv /b /moved; rm -rf /home; mkdir -p /home/again; (sleep 3600 &)
"""


@pytest.fixture
def folder(tmp_path, busybox_image):
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=busybox_image.name))
    (tmp_path / "secret").write_text("the secret")
    return context


@pytest.fixture
def both(tmp_path, busybox_image):
    """The same image in two stores, the second one of root without namespaces."""
    with rungs.beside(tmp_path, busybox_image, "root", rungs.ROOT) as made:
        yield made


ON_OVERLAY = """
import os, sys
from rootless import linux, userns
userns.enter()
folder = sys.argv[1]
for name in ("lower", "upper", "work", "over"):
    os.makedirs(f"{folder}/{name}", exist_ok=True)
options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work,userxattr"
linux.mount("overlay", f"{folder}/over", "overlay", 0, options)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def test_root_whose_images_lie_on_an_overlay_builds_in_copies(both, folder, tmp_path):
    """As in a container that podman has started rootless: there are namespaces, but no overlay."""
    there = Rootless(tmp_path / "outer/over/store")
    (tmp_path / "outer").mkdir()
    there.prefix = (sys.executable, "-c", ON_OVERLAY, str(tmp_path / "outer"))
    there.ok("load", "-i", tmp_path / "range.tar")
    for one in (both[0], there):
        build(one, folder)
    layers = [one.ok("inspect", "-f", "{{json .RootFS.Layers}}", "t") for one in (both[0], there)]
    assert layers[0] == layers[1]
    assert "storage: copies (" in there.ok("doctor")
    child.remove_tree(tmp_path / "outer")


def test_root_without_capabilities_is_none_also_where_images_lie_on_an_overlay(both, tmp_path):
    """`docker run --cap-drop ALL`: what starts no command works, and where proot is what does."""
    there = Rootless(tmp_path / "outer/over/store")
    (tmp_path / "outer").mkdir()
    on_overlay = (sys.executable, "-c", ON_OVERLAY, str(tmp_path / "outer"))
    there.prefix = (*on_overlay, *rungs.ROOT, "setpriv", "--bounding-set=-all")
    there.ok("load", "-qi", tmp_path / "range.tar")
    there.ok("build", "-t", "t", "-", stdin="FROM busybox\nCOPY <<end /f\ntext\nend\n")
    command = there("build", "-", stdin="FROM busybox\nRUN true\n")
    assert command.exit == (0 if machine.program("proot") else 1)
    assert "there are neither namespaces nor root" in command.stderr
    assert "rung 4" in there("doctor").stdout
    child.remove_tree(tmp_path / "outer")


def build(rootless, folder, *flags):
    secret = folder.parent / "secret"
    return rootless.ok("build", "-t", "t", "--secret", f"id=s,src={secret}", *flags, folder)


@pytest.mark.parametrize("target", ["one", ""])
def test_the_image_is_the_same(both, folder, target):
    flags = ("--target", target) if target else ()
    for one in both:
        build(one, folder, *flags)
    layers = [one.ok("inspect", "-f", "{{json .RootFS.Layers}}", "t") for one in both]
    assert layers[0] == layers[1]


def test_the_second_time_everything_is_cached(both, folder):
    root = both[1]
    build(root, folder)
    first = root.ok("images", "-q", "t")
    again = root("build", "-t", "t", "--secret", f"id=s,src={folder.parent / 'secret'}", folder)
    assert again.stderr.count("CACHED") == 11
    assert root.ok("images", "-q", "t") == first


DEEP = """
set -e; long=$(printf %0250d 1); path=.
for n in $(seq 12); do path=$path/$long; done
mkdir -p /t/a/$path /t/b/$path; mv /t/b /t/a/$path/; chmod 0 /t/a/$long
"""


def test_what_a_step_nests_deeply_where_nothing_stays_goes(both, folder):
    """Deeper than any path may be long."""
    (folder / "deep.sh").write_text(DEEP)
    line = "RUN --mount=type=tmpfs,target=/t --mount=target=/c sh /c/deep.sh && touch /a"
    (folder / "Dockerfile").write_text(f"FROM busybox\n{line}\n")
    for one in both:
        build(one, folder)
    layers = [one.ok("inspect", "-f", "{{json .RootFS.Layers}}", "t") for one in both]
    assert layers[0] == layers[1]
    assert os.listdir(both[1].root / "tmp") == []


def test_a_device_of_an_archive_goes_along(both, folder):
    """From stage to stage, and into what a command has changed; nobody may make one here."""
    with tarfile.open(folder / "dev.tar", "w") as archive:
        for name, kind, numbers in (("c", tarfile.CHRTYPE, (1, 3)), ("b", tarfile.BLKTYPE, (7, 0))):
            device = tarfile.TarInfo(f"d/{name}")
            device.type, device.mode, device.uid = kind, 0o640, 5
            device.devmajor, device.devminor = numbers
            archive.addfile(device)
    (folder / "Dockerfile").write_text("""FROM busybox AS one
ADD dev.tar /
RUN chown 7 /d/b
FROM busybox
COPY --from=one /d /e
COPY --from=one /d/c /single
""")
    for one in both:
        build(one, folder)
    layers = [one.ok("inspect", "-f", "{{json .RootFS.Layers}}", "t") for one in both]
    assert layers[0] == layers[1]
    both[1].ok("build", "-o", f"type=tar,dest={folder.parent}/all.tar", folder)
    with tarfile.open(folder.parent / "all.tar") as archive:
        found = {
            one.name: (one.type, one.devmajor, one.devminor, one.mode, one.uid)
            for one in archive.getmembers()
            if one.ischr() or one.isblk()
        }
    character = (tarfile.CHRTYPE, 1, 3, 0o640, 5)
    block = (tarfile.BLKTYPE, 7, 0, 0o640, 7)
    assert found == {"e/c": character, "e/b": block, "single": character}


def test_nothing_is_left_behind(both, folder):
    root = both[1]
    build(root, folder)
    assert os.listdir(root.root / "tmp") == []


def _content(path: str) -> bytes:
    try:
        return b"" if os.path.islink(path) else Path(path).read_bytes()
    except FileNotFoundError:  # it goes just now
        return b""


def secrets_in(store: Path) -> list[str]:
    """Files that hold it; walked so that what goes meanwhile is passed over."""

    def body():
        paths = [f"{top}/{name}" for top, _, names in os.walk(store) for name in names]
        files = [path for path in paths if os.path.isfile(path)]
        return [path for path in files if b"the secret" in _content(path)]

    return child.in_child(body)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda one: one.name)
def test_a_secret_goes_with_the_builder_however_that_ends(both, folder, number):
    """Also when the command has moved it."""
    root = both[1]
    line = "RUN --mount=type=secret,id=s mv /run /away; echo it has begun; sleep 3600"
    (folder / "Dockerfile").write_text(f"FROM busybox\n{line}\n")
    secret = f"id=s,src={folder.parent / 'secret'}"
    with subprocess.Popen(
        root.command("build", "--progress=plain", "--secret", secret, folder),
        stderr=subprocess.PIPE,
        env=root.environment,
        text=True,
        start_new_session=True,
    ) as building:
        assert building.stderr
        while not building.stderr.readline().endswith(" it has begun\n"):
            assert building.poll() is None
        try:
            assert secrets_in(root.root) != []
            building.send_signal(number)
            wait_until(lambda: not secrets_in(root.root), "the end of the secret")
        finally:
            building.kill()


@pytest.mark.parametrize(
    ("flag", "line", "lacks"),
    [
        ("--allow=security.insecure", "RUN --security=insecure true", "this needs CAP_SYS_ADMIN"),
        ("--pull=false", "RUN --network=none true", "this needs a network of its own"),
        ("--device=/dev/zero", "RUN true", "the device /dev/zero cannot be given"),
    ],
)
def test_what_cannot_be_had_is_named(both, folder, flag, line, lacks):
    (folder / "Dockerfile").write_text(f"FROM busybox\n{line}\n")
    answer = both[1]("build", flag, folder)
    assert answer.exit == 1
    (error,) = (one for one in answer.stderr.splitlines() if one.startswith("error: "))
    assert lacks in error


def test_a_step_that_fails_is_told_what_it_may_have_looked_for(both, folder):
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo x > /dev/stdout\n")
    both[0].ok("build", folder)
    answer = both[1]("build", folder)
    assert answer.exit == 1
    assert "there is no /proc/self here, so no /dev/stdin, /dev/stdout" in answer.stderr
    (folder / "Dockerfile").write_text("FROM busybox\nRUN false\n")
    assert "/proc/self" not in both[0]("build", folder).stderr


@pytest.mark.parametrize("command", ["mount -t tmpfs x /mnt", "mknod /x c 1 3", "hostname x"])
def test_a_command_that_is_refused_something_hears_what_is_not_here(both, folder, command):
    (folder / "Dockerfile").write_text(f"FROM busybox\nRUN {command}\n")
    plain, root = (one("build", folder) for one in both)
    assert root.exit == 1
    assert "can mount nothing here, nor make namespaces or devices" in root.stderr
    assert "can mount nothing" not in plain.stderr


def test_one_that_fails_for_another_reason_does_not(both, folder):
    (folder / "Dockerfile").write_text("FROM busybox\nRUN cat /nothing\n")
    answer = both[1]("build", folder)
    assert answer.exit == 1
    assert "can mount nothing" not in answer.stderr


@pytest.mark.parametrize("who", ["builder", "step"])
def test_nothing_of_a_step_lives_on_when_it_is_killed(both, folder, who):
    """Neither what it has started, in whatever session, nor its secret. No other file goes."""
    root = both[1]
    number = f"8765{os.getpid()}"
    begins = f"(sleep {number} &); (setsid sleep {number} &); mv /run /away; echo it has begun"
    line = f"RUN --mount=type=secret,id=s {begins}; exec sleep {number}0"
    (folder / "Dockerfile").write_text(f"FROM busybox\n{line}\n")
    outside = folder.parent / "outside"
    outside.write_text("stays")
    before = sorted(os.listdir("/etc"))
    secret = f"id=s,src={folder.parent / 'secret'}"
    with subprocess.Popen(
        root.command("build", "--progress=plain", "--secret", secret, folder),
        stderr=subprocess.PIPE,
        env=root.environment,
        text=True,
        start_new_session=True,
    ) as building:
        assert building.stderr
        while not building.stderr.readline().endswith(" it has begun\n"):
            assert building.poll() is None
        try:
            wait_until(lambda: len(running(number)) == 3, "all three processes")
            if who == "builder":
                building.kill()
            else:
                os.kill(running(f"{number}0")[0], signal.SIGKILL)
            wait_until(lambda: not running(number), "the end of all processes")
            wait_until(lambda: not secrets_in(root.root), "the end of the secret")
        finally:
            building.kill()
    assert outside.read_text() == "stays"
    assert sorted(os.listdir("/etc")) == before
    root.ok("build", "-q", "-f", "-", folder, stdin="FROM busybox\nRUN ! [ -e /away ]\n")
    assert os.listdir(root.root / "tmp") == []


def running(number: str) -> list[int]:
    """Processes that sleep for so many seconds; or for more, beginning with the same digits."""
    look = ["pgrep", "-f", f"^sleep {number}"]
    found = subprocess.run(look, capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]
