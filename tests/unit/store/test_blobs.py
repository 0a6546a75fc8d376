"""Blobs: whole under their name or not there; downloads that resume."""

from __future__ import annotations

import os
import threading

import pytest

from rootless.errors import IntegrityError, NotFoundError
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.store import blobs

CONTENT = b"0123456789" * 1000
EXPECTED = Descriptor("", Digest.of(CONTENT), len(CONTENT))


def unfinished(store):
    return os.listdir(store.path("tmp"))


def test_put_and_read(store):
    digest = blobs.put(store, b"hello")
    assert digest == Digest.of(b"hello")
    assert blobs.read(store, digest) == b"hello"
    assert unfinished(store) == []


def test_reading_a_missing_blob_names_it(store):
    with pytest.raises(NotFoundError, match=str(EXPECTED.digest)):
        blobs.read(store, EXPECTED.digest)


def test_reading_stops_at_the_limit(store):
    digest = blobs.put(store, CONTENT)
    with pytest.raises(IntegrityError, match="larger than 100 bytes"):
        blobs.read(store, digest, 100)


def test_writer_publishes_what_was_expected(store):
    with blobs.Writer(store, EXPECTED) as writer:
        writer.write(CONTENT[:10])
        assert not blobs.has(store, EXPECTED.digest)
        writer.write(memoryview(CONTENT)[10:])
        assert writer.publish() == EXPECTED.digest
    assert blobs.read(store, EXPECTED.digest) == CONTENT
    assert unfinished(store) == []


def test_writer_of_unknown_bytes_tells_their_digest(store):
    with blobs.Writer(store) as writer:
        writer.write(CONTENT)
        assert writer.publish() == EXPECTED.digest
    assert blobs.read(store, EXPECTED.digest) == CONTENT


def test_unknown_bytes_that_are_not_published_leave_nothing(store):
    with blobs.Writer(store) as writer:
        writer.write(CONTENT)
    assert unfinished(store) == []


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (CONTENT[:-1] + b"x", "other contents"),
        (CONTENT[:-1], "ends after 9999 of 10000 bytes"),
        (CONTENT + b"x", "larger than the 10000 bytes"),
    ],
)
def test_other_bytes_than_expected_are_never_published(store, sent, sentence):
    with pytest.raises(IntegrityError, match=sentence), blobs.Writer(store, EXPECTED) as writer:
        writer.write(sent)
        writer.publish()
    assert not blobs.has(store, EXPECTED.digest)


def test_interrupted_download_is_resumed(store):
    with pytest.raises(ConnectionError), blobs.Writer(store, EXPECTED) as writer:
        writer.write(CONTENT[:700])
        raise ConnectionError
    with blobs.Writer(store, EXPECTED) as writer:
        assert writer.size == 700
        writer.write(CONTENT[700:])
        writer.publish()
    assert blobs.read(store, EXPECTED.digest) == CONTENT


def test_a_file_longer_than_the_blob_is_not_resumed(store):
    """Its bytes would be in front of all that is written."""
    with blobs.Writer(store, EXPECTED) as writer:
        path = writer.path
    with open(path, "wb") as file:
        file.write(CONTENT + b"!")
    with blobs.Writer(store, EXPECTED) as writer:
        assert writer.size == 0
        assert os.path.getsize(path) == 0
        writer.write(CONTENT)
        writer.publish()
    assert blobs.read(store, EXPECTED.digest) == CONTENT


def test_wrong_bytes_are_not_resumed(store):
    with pytest.raises(IntegrityError), blobs.Writer(store, EXPECTED) as writer:
        writer.write(bytes(len(CONTENT)))
        writer.publish()
    with blobs.Writer(store, EXPECTED) as writer:
        assert writer.size == 0


def test_restart_forgets_what_was_written(store):
    with blobs.Writer(store, EXPECTED) as writer:
        writer.write(b"something else")
        writer.restart()
        writer.write(CONTENT)
        writer.publish()
    assert blobs.read(store, EXPECTED.digest) == CONTENT


def test_second_writer_waits_for_the_first_and_finds_the_blob(store):
    found = []

    def second():
        with blobs.Writer(store, EXPECTED) as writer:
            found.append(writer.present)

    with blobs.Writer(store, EXPECTED) as first:
        thread = threading.Thread(target=second)
        thread.start()
        first.write(CONTENT)
        assert not found
        first.publish()
    thread.join()
    assert found == [True]
    assert unfinished(store) == []


def test_sha512_blobs_have_a_folder_of_their_own(store):
    import hashlib

    digest = Digest("sha512", hashlib.sha512(CONTENT).hexdigest())
    with blobs.Writer(store, Descriptor("", digest, len(CONTENT))) as writer:
        writer.write(CONTENT)
        writer.publish()
    assert blobs.read(store, digest) == CONTENT
