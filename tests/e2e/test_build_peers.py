"""The same Dockerfile built by buildah: the files must come out the same.

Left out is where buildah differs from BuildKit, which we follow: it drops setuid bits, gives a new
destination directory mode 0755 instead of its source's, and leaves mount points in the image.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support import flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "buildah")

MOUNT_POINTS = {
    *("dev", "proc", "sys", "run", "run/.containerenv"),
    *("etc/hostname", "etc/hosts", "etc/resolv.conf"),
}
DOCKERFILE = """\
FROM busybox
RUN mkdir -p /old/dir && echo old > /old/file && ln -s /old /link && ln -s file /old/alias
COPY tree /old
COPY tree/ /new/
COPY tree/a.txt /plain
COPY tree/*.txt /globbed/
COPY tree/a.txt /link/through
COPY --chown=5:6 tree/sub /owned
COPY --chmod=640 tree/a.txt /guarded
COPY --chown=nobody tree/a.txt /named
ADD archive.tar.gz /unpacked/
WORKDIR /work/dir
COPY tree/a.txt relative
RUN rm -r /new/sub && echo x > /old/file
"""


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    (folder / "tree" / "sub").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "sub/c", "file"):
        (folder / "tree" / name).write_text(name)
    (folder / "tree" / "sub" / "c").chmod(0o755)
    (folder / "tree" / "sub").chmod(0o755)
    os.symlink("../a.txt", folder / "tree" / "sub" / "link")
    subprocess.run(["tar", "-C", folder, "-czf", folder / "archive.tar.gz", "tree"], check=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


def test_files_owners_and_modes(rootless, busybox_image, tmp_path, context):
    rootless.load(busybox_image, tmp_path)
    rootless.ok("build", "-q", "-t", "test", context)
    rootless.ok("save", "-o", tmp_path / "ours.tar", "test")
    ours, _ = flattened.read(tmp_path / "ours.tar")
    theirs = by_buildah(busybox_image, tmp_path, context)
    theirs = {name: theirs[name] for name in theirs if name not in MOUNT_POINTS}
    assert {name: file for name, file in ours.items() if name != "."} == theirs


def by_buildah(base, folder, context):
    roots = ["--root", folder / "buildah", "--runroot", folder / "run", "--storage-driver", "vfs"]
    archive = folder / "theirs.tar"

    def buildah(*argv):
        done = subprocess.run(["buildah", *roots, *argv], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()

    try:
        buildah("pull", f"oci-archive:{base.archive(folder / 'base.tar')}")
        buildah("bud", "--isolation", "chroot", "-t", "test", context)
        buildah("push", "test", f"docker-archive:{archive}")
    finally:
        subprocess.run(["buildah", "unshare", "rm", "-rf", folder / "buildah"], check=False)
    return flattened.read(archive)[0]
