"""HTTP/1.1 as it is written and read, over a pair of sockets."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.registry import wire
from rootless.registry.tls import context
from rootless.registry.url import parse

URL = parse("http://a.test/x")
OK = b"HTTP/1.1 200 OK\r\n"


class Peer:
    """Answers with `script`, a request each, and keeps what it was asked."""

    def __init__(self, *script: bytes) -> None:
        self.asked: list[bytes] = []
        self.idle: list[wire.Connection] = []
        self._ours, self._theirs = socket.socketpair()
        self._script = script
        terms = wire.Terms(60, 0, 5, 5, lambda host: [host], wire.Ended())
        route = wire.Route(lambda url: context(verify=True))
        self.connection = wire.Connection(URL, route, terms)
        self.connection._socket = self._ours
        self._ours.settimeout(5)
        self._thread = threading.Thread(target=self._answer)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._theirs.close()
        self.connection.close()

    def _answer(self) -> None:
        for answer in self._script:
            self.asked.append(self._theirs.recv(1 << 16))
            self._theirs.sendall(answer)
        self._theirs.shutdown(socket.SHUT_WR)

    def ask(self, method="GET", body=None, **headers):
        return self.connection.exchange(method, URL, headers, body, self.idle.append)


def whole(answer, step=3):
    content = b""
    while piece := answer.read(step):
        content += piece
    answer.close()
    return content


def test_a_request_has_what_it_needs_and_no_more():
    with Peer(OK + b"Content-Length: 0\r\n\r\n", OK + b"Content-Length: 0\r\n\r\n") as peer:
        whole(peer.ask(Accept="a/b"))
        whole(peer.ask("POST", b"abc"))
    first = b"GET /x HTTP/1.1\r\nHost: a.test\r\nAccept: a/b\r\n\r\n"
    second = b"POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc"
    assert peer.asked == [first, second]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"Content-Length: 5\r\n\r\nhello", b"hello"),
        (b"Content-Length: 5, 5\r\n\r\nhello", b"hello"),
        (b"\r\nhello", b"hello"),
        (
            b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\na: b\r\n\r\n",
            b"hello",
        ),
        (b"Transfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"x"),
        (b"A: b\r\n  folded\r\nContent-Length: 1\r\n\r\nx", b"x"),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 100])
def test_bodies_however_they_are_framed(answer, body, step):
    with Peer(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + answer) as peer:
        assert whole(peer.ask(), step) == body


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1", "ends within the headers"),
        (b"hello\r\n\r\n", "does not answer in HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "does not answer in HTTP"),
        (b"HTTP/2 200\r\n\r\n", "does not answer in HTTP"),
        (OK + b"a: b\r\n", "ends within the headers"),
        (OK + b"what\r\n\r\n", "a header that is none"),
        (OK + b"Content-Length : 5\r\n\r\nhello", "a header that is none"),
        (OK + b"Content-Length: -1\r\n\r\n", "a length that is none"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "a length that is none"),
        (OK + b"Content-Length: \xb2\r\n\r\n", "a length that is none"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "an unknown way"),
        (OK + b"Content-Length: 9\r\n\r\nhello", "4 bytes too early"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", "a part of no size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1_0\r\n", "a part of no size"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", "longer than it says"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe", "3 bytes too early"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", "ends within the headers"),
    ],
)
def test_what_is_no_answer(answer, words):
    with Peer(answer) as peer, pytest.raises(wire.BrokenError, match=words):
        whole(peer.ask())
    assert peer.idle == []


def test_a_connection_serves_again_when_its_answer_was_read():
    kept, left = OK + b"Content-Length: 2\r\n\r\nab", OK + b"Connection: Close\r\n\r\n"
    with Peer(kept, left) as peer:
        assert whole(peer.ask()) == b"ab"
        assert peer.idle == [peer.connection]
        assert whole(peer.ask()) == b""
        assert peer.idle == [peer.connection]


def test_an_answer_that_was_not_read_ends_its_connection():
    with Peer(OK + b"Content-Length: 2\r\n\r\nab") as peer:
        answer = peer.ask()
        assert answer.read(1) == b"a"
        answer.close()
        assert peer.idle == []
        assert not peer.connection.is_open


def test_what_comes_behind_an_answer_is_no_other_answer():
    """A body that was longer than it said must not be read as what was asked for next."""
    evil = OK + b"Content-Length: 4\r\n\r\nevil"
    with Peer(OK + b"Content-Length: 0\r\n\r\n" + evil, OK + b"Content-Length: 1\r\n\r\nx") as peer:
        whole(peer.ask())
        assert whole(peer.ask()) == b"x"


def test_a_connection_on_which_something_waits_is_not_used_again():
    with Peer(OK + b"Content-Length: 0\r\n\r\n") as peer:
        whole(peer.ask())
        peer._thread.join()
        assert not peer.connection.is_open


def test_answers_without_a_body():
    with Peer(OK + b"Content-Length: 5\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n") as peer:
        head = peer.ask("HEAD")
        assert head.headers["content-LENGTH"] == "5"
        assert whole(head) == b""
        assert whole(peer.ask()) == b""


def test_fields_of_one_name_are_one():
    with Peer(OK + b"WWW-Authenticate: Basic\r\nwww-authenticate: Bearer x=y\r\n\r\n") as peer:
        headers = peer.ask().headers
        assert headers["WWW-Authenticate"] == "Basic, Bearer x=y"
        assert list(headers) == ["www-authenticate"]
        headers.discard("WWW-AUTHENTICATE")
        assert "WWW-Authenticate" not in headers
        assert headers.get("WWW-Authenticate") is None


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0", "ü"])
def test_a_field_cannot_begin_another(value):
    with Peer() as peer, pytest.raises(ValueError, match="cannot be sent") as caught:
        peer.ask(Authorization=f"secret{value}")
    assert str(caught.value) == "the header 'Authorization' has characters that cannot be sent"


def test_who_hangs_up_in_the_middle_of_a_body_may_have_said_why():
    def pieces():
        yield b"x"
        peer._thread.join()
        while True:  # until the other end is closed
            yield b"x" * (1 << 16)

    with Peer(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n") as peer:
        closing = threading.Thread(target=lambda: (peer._thread.join(), peer._theirs.close()))
        closing.start()
        assert peer.ask("PATCH", pieces()).status == 413
        closing.join()


def test_a_body_that_is_framed_twice_ends_its_connection():
    """What a proxy before us took for its end may be another place."""
    odd = b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    with Peer(OK + odd) as peer:
        assert whole(peer.ask()) == b"x"
        assert peer.idle == []


HEADINGS = (
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 ",
    b"",
)


@given(st.sampled_from(HEADINGS), st.binary(max_size=200))
@settings(deadline=None)
def test_whatever_comes_is_read_or_refused(heading, rest):
    with Peer(heading + rest) as peer:
        try:
            whole(peer.ask())
        except OSError:
            assert peer.idle == []
