"""A small blob that has other bytes than it should: how much of it is read."""

from __future__ import annotations

import pytest

from rootless.errors import IntegrityError
from rootless.oci import media_types
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.registry.http import Access, Patience
from rootless.registry.push import Uploads
from rootless.registry.session import Session
from tests.support.taking import Taking

PATIENCE = Patience(connect=2, read=5, attempts=1, backoff=0.01, longest_wait=0.5)


@pytest.mark.parametrize(("size", "read"), [(9, 9), (10, 10), (25, 30), (30, 30)])
def test_no_more_of_a_blob_is_read_than_it_may_have(size, read):
    taken = 0

    def pieces(offset):
        nonlocal taken
        for _ in range(1000):
            taken += 10
            yield b"0123456789"

    blob = Descriptor(media_types.OCI_LAYER, Digest.of(b"0123456789"), size)
    with Taking() as registry:
        uploads = Uploads(Session(registry.address, None, Access(patience=PATIENCE)), "a/b")
        with pytest.raises(IntegrityError, match=f"does not have {size} bytes"):
            uploads.put(blob, pieces, print)
        assert registry.asked("PUT") == []
    assert taken <= read + 10


def test_a_blob_of_the_right_size_is_taken():
    content = b"0123456789" * 3
    blob = Descriptor(media_types.OCI_LAYER, Digest.of(content), len(content))
    with Taking() as registry:
        uploads = Uploads(Session(registry.address, None, Access(patience=PATIENCE)), "a/b")
        uploads.put(blob, lambda _: iter((content[:7], content[7:], b"")), print)
        assert registry.blobs["a/b", str(blob.digest)] == content
