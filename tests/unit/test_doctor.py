"""What `doctor` makes of what it found: pure."""

from __future__ import annotations

import pytest

from rootless.doctor import Check, places, way

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:40 / /home rw,nosuid - nfs4 server:/home rw,vers=4.2
41 22 0:41 / /home\\040two rw,noexec master:3 - xfs /dev/sdb rw
42 22 0:42 / /srv rw - ext4 /dev/sdc rw
43 42 0:43 / /srv rw,nodev - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "options"),
    [
        ("/", "ext4", ("rw", "relatime")),
        ("/home/ada/.local/share/rootless", "nfs4", ("rw", "nosuid")),
        ("/homework", "ext4", ("rw", "relatime")),
        ("/home two", "xfs", ("rw", "noexec")),
        ("/srv/x", "tmpfs", ("rw", "nodev")),
    ],
)
def test_the_mount_that_holds_a_path(monkeypatch, path, kind, options):
    monkeypatch.setattr(places, "_mounts", MOUNTS.splitlines)
    monkeypatch.setattr(places, "_existing", lambda path: path)
    found = places.place(path)
    assert (found.kind, found.options) == (kind, options)


def test_root_without_namespaces_builds_in_copies():
    names = ("user namespace", "ids", "copies", "store")
    checks = [Check(name, name != "user namespace", f"{name}: said") for name in names]
    found = way(checks)
    assert (found.rung, found.storage) == (3, "copies")
    assert found.reason == "user namespace: said"


def _checks(*failed: str) -> tuple[Check, ...]:
    names = ("user namespace", "ids", "overlayfs", "store")
    return tuple(Check(name, name not in failed, f"{name}: said") for name in names)


@pytest.mark.parametrize(
    ("failed", "rung", "storage"),
    [
        ((), 1, "overlayfs"),
        (("ids",), 2, "overlayfs"),
        (("store",), 1, "none"),
        (("user namespace", "ids", "store"), 4, "none"),
        (("user namespace",), 4, "copies"),
    ],
)
def test_the_way_that_the_checks_leave(failed, rung, storage):
    found = way(_checks(*failed))
    assert (found.rung, found.storage) == (rung, storage)
    assert "said" in found.reason
