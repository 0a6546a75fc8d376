"""URLs: what they consist of, and that nothing in one can end a request line."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rootless.registry.url import Url, parse

BASE = parse("https://a.example:444/v2/b/c?x=y")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://A.Example", "https://a.example/"),
        ("HTTP://a:80/x", "http://a:80/x"),
        ("https://a?x", "https://a/?x"),
        ("https://a:/x", "https://a/x"),
        ("https://[::1]:5000/x", "https://[::1]:5000/x"),
        ("https://a/x y/ü?ä=%e4&50%#part", "https://a/x%20y/%C3%BC?%C3%A4=%e4&50%25"),
        ("https://a/b/../c/./d/..", "https://a/c/"),
        ("https://a/../../x", "https://a/x"),
        ("//other/x", "https://other/x"),
        ("/x?y=1", "https://a.example:444/x?y=1"),
        ("d", "https://a.example:444/v2/b/d"),
        ("../d", "https://a.example:444/v2/d"),
        ("?z", "https://a.example:444/v2/b/c?z"),
        ("", BASE.url),
        ("#part", BASE.url),
        ("d?u=https://b/", "https://a.example:444/v2/b/d?u=https://b/"),
        ("d/manifests/sha256:ab", "https://a.example:444/v2/b/d/manifests/sha256:ab"),
    ],
)
def test_what_a_text_stands_for(text, url):
    assert parse(text, BASE).url == url


@pytest.mark.parametrize(
    "text",
    [
        "https:a",
        "https://a:x/",
        "https://a:99999/",
        "https://a:-1/",
        "https://[::1/",
        "https://::1]/",
        "https://[::1]x/",
        "https://a b/",
        "https://a\r\nb/",
        "https://ü/",
        "https://a%2eb/",
    ],
)
def test_what_is_no_url(text):
    with pytest.raises(ValueError, match="a URL"):
        parse(text)


def test_a_relative_one_needs_a_base():
    with pytest.raises(ValueError, match="no scheme"):
        parse("/x")


def test_a_login_is_known_and_in_no_url_that_is_shown():
    url = parse("http://me:p%40ss@a:1/x")
    assert url.login == "me:p%40ss"
    assert url.url == "http://a:1/x"
    assert parse("http://a@b@c/").host == "c"


@given(st.text())
@example("/a\r\nHost: b")
def test_what_is_sent_is_one_word_and_means_the_same_again(text):
    try:
        url = parse(text, BASE)
    except ValueError:
        return
    assert url.target.isascii()
    assert url.target.isprintable()
    assert " " not in url.target
    assert url.path.startswith("/")
    if url.host:
        assert parse(url.url) == url.replace(login="")


def test_a_url_is_a_value():
    assert parse("http://a:1/b?c") == Url("http", "a", 1, "/b", "c")
