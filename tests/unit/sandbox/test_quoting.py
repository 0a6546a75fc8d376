"""Words for a shell: read back as they are, and harmless where they are shown."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.sandbox.quoting import quote

TEXT = st.text(
    st.characters(exclude_characters="\0", codec="utf-8")
    | st.sampled_from("'\\\"$`\x1b\n\t\x9b\u202e09\udc80\udcff")
)


@settings(max_examples=100)
@given(st.lists(TEXT, max_size=20))
def test_a_shell_reads_back_what_was_quoted(words):
    script = " ".join(["printf '%s\\0'", *map(quote, words)]) if words else ":"
    assert all(char.isprintable() for char in script)
    shell = ["bash", "--norc", "-c", script]
    answer = subprocess.run(shell, capture_output=True, check=True)
    assert answer.stdout == b"".join(os.fsencode(word) + b"\0" for word in words)


@pytest.mark.parametrize("word", ["a", "--net=none", "/x:/y"])
def test_what_is_harmless_stays_as_it_is(word):
    assert quote(word) == word
