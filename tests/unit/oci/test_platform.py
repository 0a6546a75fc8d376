from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import UsageError
from rootless.oci.platform import Platform


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("Linux/AMD64", "linux/amd64"),
        ("arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("arm", "linux/arm/v7"),
        ("armhf", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("i686", "linux/386"),
        ("windows/amd64", "windows/amd64"),
        ("riscv64", "linux/riscv64"),
        ("ppc64le", "linux/ppc64le"),
    ],
)
def test_words_are_normalised(text, normal):
    platform = Platform.parse(text)
    assert str(platform) == normal
    assert Platform.parse(normal) == platform


def test_linux_means_this_machine():
    assert Platform.parse("linux") == Platform.host() == Platform.parse(os.uname().machine)


@pytest.mark.parametrize("text", ["", "/", "linux/", "/amd64", "a/b/c/d", "linux/am d", "li.nux/x"])
def test_what_is_no_platform(text):
    with pytest.raises(UsageError, match="is not a platform") as caught:
        Platform.parse(text)
    assert "linux/arm64" in caught.value.hint


@given(st.text())
def test_any_text_is_a_stable_platform_or_a_usage_error(text):
    try:
        platform = Platform.parse(text)
    except UsageError:
        return
    assert Platform.parse(str(platform)) == platform
