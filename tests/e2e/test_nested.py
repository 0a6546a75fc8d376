"""rootless in containers: builds and runs, to the same layers as outside of them.

The outer ones are ours, or what docker and podman start, emulated: their capabilities, their
filters, and a /proc of which parts are hidden.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.conftest import Rootless
from tests.support import child, machine, plain

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

DOCKERFILE = """
FROM busybox
COPY --chown=5:6 Dockerfile /kept
RUN mkdir /a && echo hello > /a/f && chown 7:8 /a/f && chmod 4750 /a/f && ln /kept /a/kept
RUN rm /bin/vi && touch -d @1000 /a /a/f /bin
"""

WALK = """
python3 -m rootless load -qi /base.tar >/dev/null
python3 -m rootless build -q -t made /context >/dev/null
python3 -m rootless build -q -t made /context >/dev/null
python3 -m rootless inspect -f '{{json .RootFS.Layers}}' made
python3 -m rootless run --rm --network host made stat -c '%u %g %a' /a/f
ls /store/tmp
"""
"""The second build finds all in the cache."""

TMPFS = ("--tmpfs", "/store:mode=700,exec")
UNFILTERED = ("--security-opt", "seccomp=unconfined")

CONTAINERS = {
    "as it is": (),
    "on tmpfs": TMPFS,
    "without a filter": UNFILTERED,
    "without a filter, on tmpfs": (*UNFILTERED, *TMPFS),
    "privileged": ("--privileged",),
    "privileged, on tmpfs": ("--privileged", *TMPFS),
}


@pytest.fixture
def outer(tmp_path, busybox_image):
    one = Rootless(tmp_path / "store")
    one.ok("load", "-i", busybox_image.archive(tmp_path / "base.tar"))
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    os.utime(context / "Dockerfile", (1000, 1000))
    yield one
    child.remove_tree(one.root)


def _machine(folder) -> list[str]:
    """The flags that put this machine's programs, and this program, into a container."""
    interpreter = {sys.prefix, sys.base_prefix}
    ours = {"/usr", *interpreter, str(machine.PROJECT)}
    links = [path for path in ("/lib", "/lib64") if os.path.exists(path)]
    given = [f"{path}:{path}:ro" for path in sorted(ours) + links]
    given += [f"{folder}/context:/context:ro", f"{folder}/base.tar:/base.tar:ro"]
    path = f"{sys.prefix}/bin:/bin:/usr/bin"
    variables = [f"PATH={path}", f"PYTHONPATH={machine.PROJECT}", "ROOTLESS_ROOT=/store"]
    words = [word for volume in given for word in ("-v", volume)]
    return words + [word for variable in variables for word in ("-e", variable)]


@pytest.mark.parametrize("how", CONTAINERS)
def test_a_build_in_a_container_of_ours(outer, tmp_path, how):
    outer.ok("build", "-q", "-t", "made", tmp_path / "context")
    expected = outer.ok("inspect", "-f", "{{json .RootFS.Layers}}", "made")
    flags = ("--rm", "--network", "none", *_machine(tmp_path), *CONTAINERS[how])
    answer = outer.ok("run", *flags, "busybox", "sh", "-ec", WALK)
    assert answer == f"{expected}7 8 4750\n"


EMULATED = {
    "docker": ("0", "copies", "rung 3"),
    "docker, without a filter": ("unfiltered", "overlayfs", "rung 1"),
    "podman": ("podman", "overlayfs", "rung 1"),
}


@pytest.mark.parametrize("how", EMULATED)
def test_a_build_in_one_of_theirs(outer, tmp_path, how):
    """Whose images lie on a volume; the name of a machine is the outer one's where it must be."""
    who, storage, rung = EMULATED[how]
    outer.ok("build", "-q", "-t", "made", tmp_path / "context")
    expected = outer.ok("inspect", "-f", "{{json .RootFS.Layers}}", "made")
    inner = Rootless(tmp_path / "inner")
    inner.prefix = plain.prefix(who)
    inner.ok("load", "-qi", tmp_path / "base.tar")
    for _ in range(2):  # the second time all is in the cache
        inner.ok("build", "-q", "-t", "made", tmp_path / "context")
    assert inner.ok("inspect", "-f", "{{json .RootFS.Layers}}", "made") == expected
    run = ("run", "--rm", "--network", "host", "made", "sh", "-c")
    assert inner.ok(*run, "stat -c '%u %g %a' /a/f") == "7 8 4750\n"
    way = inner("doctor").stdout.splitlines()[-1]
    assert rung in way
    assert f"storage: {storage}" in way
    assert os.listdir(inner.root / "tmp") == []
    child.remove_tree(inner.root)


def test_the_machines_name_where_podman_forbids_to_give_one(outer, tmp_path):
    inner = Rootless(tmp_path / "inner")
    inner.prefix = plain.prefix("podman")
    inner.ok("load", "-qi", tmp_path / "base.tar")
    run = ("run", "--rm", "--network", "host", "--hostname", "ours", "busybox", "sh", "-c")
    assert inner.ok(*run, "hostname; cat /etc/hostname") == f"{os.uname().nodename}\nours\n"
    child.remove_tree(inner.root)


def test_networks_where_the_kernels_settings_are_read_only(outer, tmp_path):
    inner = Rootless(tmp_path / "inner")
    inner.prefix = plain.prefix("podman")
    inner.ok("load", "-qi", tmp_path / "base.tar")
    inner.ok("network", "create", "ours")
    refused = inner("run", "--rm", "--network", "ours", "busybox", "true")
    assert refused.exit == 125
    assert "networks need /proc/sys/net" in refused.stderr
    assert "Traceback" not in refused.stderr
    child.remove_tree(inner.root)
