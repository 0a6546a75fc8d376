"""What a layer keeps of extended attributes."""

from __future__ import annotations

import pytest

from rootless.archive import tar, xattrs

V2 = bytes((1, 0, 0, 2)) + bytes(range(16))
V3 = bytes((1, 0, 0, 3)) + bytes(range(16)) + b"\xe8\x03\0\0"


def test_portable():
    kept = {
        b"user.mine": b"1",
        b"system.posix_acl_access": b"2",
        b"security.capability": V2,
    }
    dropped = {
        b"user.overlay.opaque": b"y",
        b"user.overlay.overlay.opaque": b"y",
        b"trusted.overlay.redirect": b"/",
        b"trusted.other": b"",
        b"user.rootless.node": b"c 1 3",
        b"security.selinux": b"label",
        b"system.nfs4_acl": b"",
    }
    assert xattrs.portable(kept | dropped) == kept


@pytest.mark.parametrize(("stored", "portable"), [(V3, V2), (V2, V2), (b"odd", b"odd")])
def test_capabilities_lose_their_root_id(stored, portable):
    assert xattrs.portable({xattrs.CAPABILITY: stored}) == {xattrs.CAPABILITY: portable}


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (b"c 1 3", (tar.CHARACTER, (1, 3))),
        (b"b 8 0", (tar.BLOCK_DEVICE, (8, 0))),
        (b"c 1", None),
        (b"p 1 3", None),
        (b"c -1 3", None),
        (b"c 1 9999999999", None),
        (b"", None),
    ],
)
def test_device(value, meaning):
    assert xattrs.device({b"user.rootless.node": value}) == meaning
