from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import IntegrityError
from rootless.oci.digest import Digest

HEX = hashlib.sha256(b"abc").hexdigest()


def test_of_content():
    digest = Digest.of(b"abc")
    assert str(digest) == f"sha256:{HEX}"
    assert digest.short == HEX[:12]
    assert Digest.parse(str(digest)) == digest


def test_sha512():
    text = "sha512:" + hashlib.sha512(b"").hexdigest()
    assert str(Digest.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "sha256", "sha256:", HEX, f":{HEX}", f"md5:{HEX[:32]}", f"sha512:{HEX}"),
        *(f"sha256:{HEX[:-1]}", f"sha256:{HEX}0", f"sha256:{HEX.upper()}", f"SHA256:{HEX}"),
        *(f"sha256:../{HEX[3:]}", f"sha256:{'/' * 64}", f"sha256:{HEX}\n", f" sha256:{HEX}"),
        *(f"sha256:{HEX[:-1]}\u0660", f"../sha256:{HEX}", f"sha256+b64:{HEX}"),
        "sha256:" + "a" * 10**6,
        *(None, 5, b"sha256:" + HEX.encode(), ["sha256", HEX], {}),
    ],
)
def test_what_is_no_digest(text):
    with pytest.raises(IntegrityError, match="is not a digest") as caught:
        Digest.parse(text)
    assert len(caught.value.message) < 300


@given(st.text() | st.binary() | st.none() | st.integers())
def test_anything_else_is_an_integrity_error(text):
    with pytest.raises(IntegrityError):
        Digest.parse(text)
