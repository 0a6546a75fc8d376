"""Image references against the rules of distribution's reference package."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import UsageError
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("docker.io/library/busybox", "docker.io/library/busybox:latest"),
        ("library/busybox", "docker.io/library/busybox:latest"),
        ("user/name", "docker.io/user/name:latest"),
        ("a/b/c", "docker.io/a/b/c:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        ("[2001:db8::1]/x", "[2001:db8::1]/x:latest"),
        ("host:80/x", "host:80/x:latest"),
        ("EXAMPLE/x", "EXAMPLE/x:latest"),
        ("Example.com/x", "Example.com/x:latest"),
        ("quay.io/a/b:v1.0_x-y", "quay.io/a/b:v1.0_x-y"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}"),
        ("a__b", "docker.io/library/a__b:latest"),
        ("a_b.c-d--e", "docker.io/library/a_b.c-d--e:latest"),
        ("a---b", "docker.io/library/a---b:latest"),
        ("x:UPPER", "docker.io/library/x:UPPER"),
        ("x:_", "docker.io/library/x:_"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128),
        ("q.io/" + "n" * 255, "q.io/" + "n" * 255 + ":latest"),
    ],
)
def test_a_name_is_filled_in(text, whole):
    assert str(Reference.parse(text)) == whole


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("docker.io/library/busybox", "busybox:latest"),
        ("docker.io/user/x:1", "user/x:1"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/library/x", "localhost:5000/library/x:latest"),
        (f"busybox@{DIGEST}", f"busybox@{DIGEST}"),
    ],
)
def test_the_familiar_form_is_dockers(text, familiar):
    reference = Reference.parse(text)
    assert reference.familiar == familiar
    assert Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "/",
        "/x",
        "x/",
        "a//b",
        ":tag",
        "x:",
        "x:a:b",
        "x: y",
        "x:-t",
        "x:.t",
        "x:" + "t" * 129,
        "Busybox",
        "docker.io/Busybox",
        "q.io/" + "n" * 256,
        *("a..b", "a___b", "a._b", "a_.b", "a-_b", "-a", "a-", ".a", "a.", "_a", "a_", "a/-b"),
        *("aé", "\uff41", "a b", "a\nb", "a\0b", "a%2fb", "a\\b", "../x", "a/../b", "./x"),
        *("host:/x", "host:port/x", "host:1:2/x", ":80/x", "-host.com/x", "host-.com/x"),
        *("a..b:5000/x", "./x", "../x", ".../x", "[::1/x", "::1]/x", "[]/x", "[::1]5000/x"),
        *("[x]/y", "host_name.com/x", "a@b.com/x", "http://host/x", "https://q.io/x"),
        "x@",
        "x@sha256",
        "x@sha256:abc",
        f"x@SHA256:{HEX}",
        f"x@sha256:{HEX.upper()}",
        f"x@md5:{HEX[:32]}",
        f"x@{DIGEST}@{DIGEST}",
        f"x@{DIGEST}:tag",
        f"x@sha256:../../{HEX[:58]}",
        "\udcff",
    ],
)
def test_what_is_no_reference(text):
    with pytest.raises(UsageError) as caught:
        Reference.parse(text)
    assert "is not an image reference" in caught.value.message
    assert len(caught.value.message) < 600
    assert caught.value.hint


def test_the_parts():
    reference = Reference.parse(f"localhost:5000/a/b:t@{DIGEST}")
    assert reference == Reference("localhost:5000", "a/b", "t", Digest("sha256", HEX))
    assert Reference.parse(f"a@{DIGEST}").tag is None


def _parsed(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except UsageError:
        return None


pieces = st.text(st.sampled_from(string.ascii_letters[:4] + "A0._-/:@[]é \0") | st.characters())


@given(pieces | st.lists(st.sampled_from(("a", "localhost", ":", "/", "@", DIGEST, "5", "."))))
def test_any_text_is_a_stable_reference_or_a_usage_error(words):
    reference = _parsed(words if isinstance(words, str) else "".join(words))
    if reference:
        assert Reference.parse(str(reference)) == reference
        assert Reference.parse(reference.familiar) == reference
        assert not {"", ".", ".."} & set(reference.repository.split("/"))
