"""Neither root nor namespaces, as in a pod of Kubernetes' restricted policy: all but commands."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import tarfile

import pytest

from tests.support import field, rungs
from tests.support.machine import PROJECT

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

DOCKERFILE = """
FROM {base} AS one
COPY Dockerfile /plain
COPY --chown=5:6 --chmod=000 Dockerfile /locked/file
COPY --chown=7 --chmod=4555 Dockerfile /locked/setuid
COPY --chown=1001:1001 tree /tree
ADD archive.tar.gz /unpacked
ADD --chown=11:12 archive.tar.gz /given
USER 5:6
WORKDIR /work/below
COPY --link --chmod=500 tree /linked
COPY <<end /written
some text
end
FROM {base}
COPY --from=one /locked /locked
COPY --from=one /unpacked /again
COPY --from=one --chown=3:4 /unpacked/dir /third
COPY --from=one --chmod=640 /locked/file /fourth
COPY archive.tar.gz /unpacked
WORKDIR /again/dir
"""


def archive() -> bytes:
    """What an ordinary user may neither own nor, with these modes, enter or read."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:

        def add(name, kind, mode, owner=(0, 0), content=b"", link=""):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.linkname = kind, mode, link
            entry.uid, entry.gid = owner
            entry.mtime, entry.size = 1_000_000_000, len(content)
            tar.addfile(entry, io.BytesIO(content))

        add("dir", tarfile.DIRTYPE, 0o555, (1, 2))
        add("dir/file", tarfile.REGTYPE, 0o000, (3, 4), b"a secret of the image's")
        add("dir/setuid", tarfile.REGTYPE, 0o6755, (0, 5), b"#!")
        add("dir/read", tarfile.REGTYPE, 0o444, content=b"r")
        add("dir/same", tarfile.LNKTYPE, 0o000, (3, 4), link="dir/file")
        add("dir/link", tarfile.SYMTYPE, 0o777, (6, 7), link="file")
        add("dir/pipe", tarfile.FIFOTYPE, 0o200, (8, 9))
        add("closed", tarfile.DIRTYPE, 0o000)
        add("closed/in", tarfile.REGTYPE, 0o600, (1001, 1001), b"x")
        add("sticky", tarfile.DIRTYPE, 0o1777)
        add("group", tarfile.DIRTYPE, 0o2070, (0, 50))
        add("group/file", tarfile.REGTYPE, 0o604, content=b"y")
        add("abs", tarfile.SYMTYPE, 0o777, link="/sticky")
        add("abs/through", tarfile.REGTYPE, 0o644, content=b"through a link")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path, busybox_image):
    context = tmp_path / "context"
    (context / "tree/inner").mkdir(parents=True)
    (context / "tree/inner/script").write_text("#!/bin/sh\n")
    (context / "tree/inner/script").chmod(0o755)
    (context / "tree/inner").chmod(0o555)
    os.symlink("inner/script", context / "tree/link")
    os.mkfifo(context / "tree/pipe", 0o640)
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=busybox_image.name))
    (context / "archive.tar.gz").write_bytes(archive())
    yield context
    (context / "tree/inner").chmod(0o755)


@pytest.fixture
def both(tmp_path, busybox_image):
    """A store of an ordinary user with namespaces, and one of a user without any."""
    with rungs.beside(tmp_path, busybox_image, "none", rungs.NONE) as made:
        yield made


def layers(rootless, name="t"):
    return rootless.ok("inspect", "-f", "{{json .RootFS.Layers}}", name)


@pytest.mark.parametrize("target", ["one", ""])
def test_the_image_is_the_same(both, folder, target):
    flags = ("--target", target) if target else ()
    for one in both:
        one.ok("build", "-t", "t", *flags, folder)
    assert layers(both[0]) == layers(both[1])


def test_its_files_are_the_same_as_one_archive(both, folder, tmp_path):
    outputs = []
    for number, one in enumerate(both):
        path = tmp_path / f"{number}.out"
        one.ok("build", "--output", f"type=tar,dest={path}", folder)
        outputs.append(path.read_bytes())
    assert outputs[0] == outputs[1]
    with tarfile.open(fileobj=io.BytesIO(outputs[1])) as tar:
        locked = tar.getmember("locked/file")
        assert (locked.mode, locked.uid, locked.gid) == (0, 5, 6)
        assert tar.getmember("again/dir").mode == 0o555
        assert tar.getmember("again/closed/in").uid == 1001


def test_the_second_time_everything_is_cached(both, folder):
    none = both[1]
    none.ok("build", "-t", "t", folder)
    first = none.ok("images", "-q", "t")
    again = none("build", "-t", "t", folder)
    assert again.stderr.count("CACHED") == 15
    assert none.ok("images", "-q", "t") == first
    assert os.listdir(none.root / "tmp") == []


def test_every_file_of_the_store_can_be_removed_by_hand(both, folder):
    """Nobody is locked out of what is his own."""
    none = both[1]
    none.ok("build", "-t", "t", folder)
    for top, folders, files in os.walk(none.root / "layers"):
        for name in (*folders, *files):
            found = os.lstat(f"{top}/{name}")
            least = {stat.S_IFDIR: 0o700, stat.S_IFREG: 0o600}.get(stat.S_IFMT(found.st_mode), 0)
            assert found.st_mode & least == least
            assert found.st_uid == os.getuid()


def test_images_come_and_go(both, folder, registry, tmp_path):
    none, peer = both[1], both[0]
    none.ok("build", "-t", f"{registry.address}/t:1", folder)
    none.ok("push", "--tls-verify=false", f"{registry.address}/t:1")
    none.ok("save", "-o", tmp_path / "saved.tar", f"{registry.address}/t:1")
    none.ok("system", "check")
    none.ok("rmi", f"{registry.address}/t:1")
    none.ok("system", "prune", "-af")
    none.ok("load", "-i", tmp_path / "saved.tar")
    none.ok("tag", f"{registry.address}/t:1", "loaded")
    none.ok("pull", "--tls-verify=false", f"{registry.address}/t:1")
    peer.ok("pull", "--tls-verify=false", f"{registry.address}/t:1")
    assert layers(none, "loaded") == layers(peer, f"{registry.address}/t:1")
    run = ("run", "--rm", "--network=none", f"{registry.address}/t:1", "stat", "-c", "%a %u:%g")
    assert peer.ok(*run, "/again/dir", "/locked/setuid").splitlines() == ["555 1:2", "4555 7:7"]
    none.ok("copy", f"{registry.address}/t:1", f"oci:{tmp_path}/layout", "--src-tls-verify=false")


LACKS = (
    "commands of images cannot be run here: there are neither namespaces nor root (user namespaces "
    "are forbidden here: probably by the seccomp profile of a container), and no proot\n"
)
NO_PROOT = field.Machine(denied={"unshare": errno.EPERM}, hidden=(field.PROOT,))


@pytest.fixture
def helpless(both):
    """Nor a proot."""
    both[1].prefix = NO_PROOT.prefix
    return both[1]


@pytest.mark.parametrize(
    "lines",
    [
        "FROM {0}\nCOPY tree /t\nRUN true",
        "FROM {0} AS a\nCOPY tree /t\nFROM a\nCOPY tree /u\nRUN true",
        "FROM {0} AS a\nRUN true\nFROM {0}\nCOPY tree /t\nCOPY --from=a /bin /b",
    ],
)
def test_a_command_is_refused_before_anything_is_done(helpless, folder, busybox_image, lines):
    (folder / "Dockerfile").write_text(lines.format(busybox_image.name))
    answer = helpless("build", "--progress=plain", folder, cwd=PROJECT)
    assert answer.exit == 1
    assert LACKS in answer.stderr
    assert "hint: install the package proot" in answer.stderr
    assert "or: start the outer container with --security-opt seccomp=unconfined" in answer.stderr
    assert "COPY tree" not in answer.stderr.partition("error: ")[0]
    assert "RUN true" in answer.stderr


def test_what_needs_a_command_says_so(helpless):
    answer = helpless("run", "--rm", "busybox", "true", cwd=PROJECT)
    assert answer.exit == 125
    assert LACKS in answer.stderr
    answer = helpless("unshare", "true", cwd=PROJECT)
    assert answer.exit == 1
    assert "error: this needs a user namespace" in answer.stderr


def test_doctor_shows_the_way(helpless):
    answer = helpless("doctor", cwd=PROJECT)
    assert answer.exit == 1
    way = "way: rung 4, neither root nor namespaces; storage: copies (user namespaces are forbidden"
    assert way in answer.stdout
    assert "✓ store:" in answer.stdout
    assert "✗ commands:        none can be run, for there is no proot" in answer.stdout
    found = json.loads(helpless("doctor", "--json", cwd=PROJECT).stdout)["way"]
    assert (found["rung"], found["storage"]) == (4, "copies")


@pytest.mark.needs("unshare")
def test_doctor_speaks_of_pasta_only_where_it_could_be_used(both):
    """A machine without a default route."""
    told = []
    both[0].environment["ROOTLESS_RUNG"] = "one"  # the machine's root is not there to map more
    for one in both:
        one.prefix = ("unshare", "--user", "--map-current-user", "--net", *one.prefix)
        told.append(one("doctor", cwd=PROJECT).stdout)
    lacks = "- route:           this machine has no default route, so "
    assert f"{lacks}pasta cannot connect containers\n    fix: connect it, or use" in told[0]
    assert f"{lacks}containers reach nothing beyond it\n    fix: connect it\n" in told[1]
