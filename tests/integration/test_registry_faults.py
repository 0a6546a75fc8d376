"""The registry client against registries that lie, break, stall and send elsewhere."""

from __future__ import annotations

import gc
import gzip
import json
import socket
import ssl
import subprocess
import threading
import time
import weakref
from base64 import b64encode
from urllib.parse import parse_qs, urlsplit

import pytest

from rootless.errors import IntegrityError
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.registry.certificates import Certificates
from rootless.registry.client import CHUNK, PROGRESS, Client
from rootless.registry.credentials import Credentials
from rootless.registry.errors import RegistryError
from rootless.registry.http import Access, Patience
from tests.support.hostile_registry import (
    MANIFEST,
    NOT_FOUND,
    Answer,
    HostileRegistry,
    digest,
    ranged,
    serving_parts,
)
from tests.support.tunnel import Tunnel

QUICK = Patience(connect=2, read=0.4, attempts=3, backoff=0.005, longest_wait=0.5)
CONTENT = bytes(range(256)) * 5000
BLOB = Descriptor("x", Digest.of(CONTENT), len(CONTENT))
MANIFEST_BYTES = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}).encode()
LOGIN = Credentials("me", "hunter2")


def client(registry, **options):
    credentials = options.pop("credentials", None)
    return Client(registry.address, credentials, Access(patience=QUICK, **options))


def honest(request):
    return serving_parts("a/b", {"1": MANIFEST_BYTES}, {digest(CONTENT): CONTENT})(request)


def is_blob(request):
    return "/blobs/" in request.path


def in_turn(*answers):
    """Blob requests get these answers one after the other, then the honest one."""
    left = list(answers)

    def respond(request):
        if is_blob(request) and left:
            answer = left.pop(0)
            return answer(request) if callable(answer) else answer
        return honest(request)

    return respond


def fetch(registry, offset=0, **options):
    return b"".join(client(registry, **options).blob("a/b", BLOB, offset))


def test_idle_connections_are_closed_as_soon_as_nobody_has_the_client():
    with HostileRegistry(honest) as registry:
        one = client(registry)
        one.manifest("a/b", "1")
        (pool,) = one._origins[0].session.transport._idle.values()
        connection = weakref.ref(pool[0])
        gc.disable()  # as it may be long before it looks for what is in a circle
        try:
            del pool, one
            assert connection() is None
        finally:
            gc.enable()


# --- broken transfers -----------------------------------------------------------------------


def test_manifest_and_blob():
    with HostileRegistry(honest) as registry:
        one = client(registry)
        assert one.manifest("a/b", "1") == (MANIFEST_BYTES, MANIFEST, Digest.of(MANIFEST_BYTES))
        assert b"".join(one.blob("a/b", BLOB)) == CONTENT
        assert b"".join(one.blob("a/b", BLOB, 1000)) == CONTENT[1000:]
        assert b"".join(one.blob("a/b", BLOB, len(CONTENT))) == b""


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(429, headers={"Retry-After": "0"}),
        Answer(500, b"oops"),
        Answer(503, b"<html>"),
        Answer(200, CONTENT, cut=0),
        Answer(200, CONTENT, cut=70_000, reset=True),
        Answer(200, CONTENT, cut=70_000),
        Answer(200, CONTENT, cut=70_000, length=-1),
        Answer(200, CONTENT, cut=70_000, stall=1),
    ],
)
def test_passing_trouble_is_survived(trouble):
    with HostileRegistry(in_turn(trouble, trouble)) as registry:
        assert fetch(registry) == CONTENT


def test_a_broken_transfer_is_resumed_not_repeated():
    half = len(CONTENT) // 2
    with HostileRegistry(in_turn(Answer(200, CONTENT, cut=half))) as registry:
        assert fetch(registry) == CONTENT
        resumed = registry.requests[-1].headers["Range"]
        assert 0 < int(resumed.removeprefix("bytes=").rstrip("-")) <= half


@pytest.mark.parametrize(
    "odd",
    [
        lambda _: Answer(200, CONTENT),
        lambda _: Answer(206, CONTENT[7:], {"Content-Range": f"bytes 7-{len(CONTENT) - 1}/*"}),
        lambda _: Answer(206, CONTENT, {}),
        lambda _: Answer(206, CONTENT, {"Content-Range": "lines 1-2/3"}),
    ],
)
def test_wrong_answers_to_range_start_again(odd):
    cut = Answer(200, CONTENT, cut=300_000)
    with HostileRegistry(in_turn(cut, odd)) as registry:
        assert fetch(registry) == CONTENT
    with HostileRegistry(in_turn(odd)) as registry:
        assert fetch(registry, 1000) == CONTENT[1000:]


def test_trouble_that_does_not_pass_is_told():
    with HostileRegistry(in_turn(*[Answer(500)] * 9)) as registry:
        with pytest.raises(RegistryError, match="failed with status 500") as caught:
            fetch(registry)
        assert caught.value.status == 500
        assert sum(map(is_blob, registry.requests)) == QUICK.attempts


def test_progress_counts_tries_anew():
    """A line that breaks every megabyte brings an image of any size, sooner or later."""
    content = bytes(range(256)) * (28 << 10)
    blob = Descriptor("x", Digest.of(content), len(content))

    def cutting(request):
        if not is_blob(request):
            return honest(request)
        return ranged(request, content)._replace(cut=PROGRESS + CHUNK)

    with HostileRegistry(cutting) as registry:
        assert b"".join(client(registry).blob("a/b", blob)) == content
        assert sum(map(is_blob, registry.requests)) > QUICK.attempts


def test_a_little_progress_does_not():
    cutting = [lambda request: ranged(request, CONTENT)._replace(cut=CHUNK)] * 9
    with (
        HostileRegistry(in_turn(*cutting)) as registry,
        pytest.raises(RegistryError, match=r"connection to .* broke"),
    ):
        fetch(registry)
    assert sum(map(is_blob, registry.requests)) == QUICK.attempts


def test_stalls_end():
    with (
        HostileRegistry(in_turn(*[Answer(200, CONTENT, cut=9, stall=2)] * 9)) as registry,
        pytest.raises(RegistryError, match=r"said nothing for 0\.4 s"),
    ):
        fetch(registry)


def test_rate_limit_with_a_long_wait_is_told_at_once():
    answer = Answer(
        429,
        b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\\u001b[31m down"}]}',
        {"Retry-After": "3600"},
    )
    with HostileRegistry(in_turn(answer, answer)) as registry:
        with pytest.raises(RegistryError, match=r"limits how often.*slow\?\[31m down") as caught:
            fetch(registry)
        assert caught.value.code == "TOOMANYREQUESTS"
        assert "log in" in caught.value.hint
        assert sum(map(is_blob, registry.requests)) == 1


# --- wrong bytes ----------------------------------------------------------------------------


@pytest.mark.parametrize("length", [None, -1])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (CONTENT + b"!", "longer|does not have the size"),
        (CONTENT[:-1], "shorter|does not have the size"),
        (b"", "shorter|does not have the size"),
    ],
)
def test_sizes_are_checked(body, words, length):
    with HostileRegistry(in_turn(*[Answer(200, body, length=length)] * 9)) as registry:
        received = bytearray()
        with pytest.raises(IntegrityError, match=words):
            for chunk in client(registry).blob("a/b", BLOB):
                received += chunk
        assert len(received) <= BLOB.size


def test_manifest_asked_by_digest_must_have_it():
    wrong = Digest.of(b"something else")
    with HostileRegistry(lambda _: Answer(200, MANIFEST_BYTES)) as registry:
        with pytest.raises(IntegrityError, match=f"not {wrong} as announced"):
            client(registry).manifest("a/b", wrong)
        sha512 = Digest.parse("sha512:" + "0" * 128)
        with pytest.raises(IntegrityError, match="as announced"):
            client(registry).manifest("a/b", sha512)


@pytest.mark.parametrize("said", ["sha256:" + "0" * 64, "sha256:../../x", "md5:00", "nonsense"])
def test_announced_digest_must_be_true(said):
    answer = Answer(200, MANIFEST_BYTES, {"Docker-Content-Digest": said})
    with (
        HostileRegistry(lambda _: answer) as registry,
        pytest.raises(IntegrityError, match="digest"),
    ):
        client(registry).manifest("a/b", "1")


@pytest.mark.parametrize("length", [None, -1])
def test_endless_manifests_are_not_read(length):
    with (
        HostileRegistry(lambda _: Answer(200, b" " * (9 << 20), length=length)) as registry,
        pytest.raises(IntegrityError, match="larger than 4 MiB"),
    ):
        client(registry).manifest("a/b", "1")


# --- answers without end --------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def endless(start, again, *, pause=0.0):
    """`start`, and then `again` for as long as the client listens."""
    yield start
    while True:
        yield again
        time.sleep(pause)


ENDLESS = {
    "100 continue": ((b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999), "headers without end"),
    "100 with headers": ((b"", b"HTTP/1.1 100 Continue\r\na: b\r\n\r\n" * 999), "headers"),
    "headers": ((OK, b"a: b\r\n" * 99), "headers without end"),
    "header": ((OK + b"a: ", b"b" * 9999), "headers without end"),
    "status": ((b"", b"HTTP/1.1 "), "headers without end"),
    "trailers": ((CHUNKED + b"1\r\nx\r\n0\r\n", b"a: b\r\n" * 999), "headers without end"),
    "chunk extensions": ((CHUNKED, b"1;" + b"x" * 9999 + b"\r\nx\r\n"), "headers without end"),
    "chunk size": ((CHUNKED, b"0" * 9999), "headers without end"),
    "chunks of nothing much": ((CHUNKED, b"1;xx\r\nx\r\n" * 99), "headers without end"),
    "slow headers": ((OK, b"a: b\r\n"), "sends too slowly: less than 9000 bytes a second"),
    "slow body": ((OK + b"\r\n", b"x"), "sends too slowly"),
    "slow chunks": ((CHUNKED, b"1\r\nx\r\n"), "sends too slowly"),
}


@pytest.mark.parametrize("what", ["manifest", "blob", "token"])
@pytest.mark.parametrize("case", ENDLESS)
def test_answers_without_end(case, what):
    pieces, words = ENDLESS[case]
    hold = 0.02 if "slow" in case else 0

    def respond(request):
        if request.path == "/v2/":
            return Answer(200)
        if what == "token" and "token" not in request.path:
            return Answer(401, headers={"WWW-Authenticate": 'Bearer realm="/token"'})
        return Answer(raw=endless(*pieces, pause=hold))

    patience = QUICK.replace(read=20.0, attempts=2)
    if "slow" in case:  # a busy machine is slow everywhere else
        patience = patience.replace(window=0.3, slowest=9000)
    huge = Descriptor("x", Digest.of(b""), 1 << 40)
    with HostileRegistry(respond) as registry:
        one = Client(registry.address, access=Access(patience=patience))
        with pytest.raises(RegistryError, match=words) as caught:
            in_time(
                lambda: list(one.blob("a/b", huge)) if what == "blob" else one.manifest("a/b", "1")
            )
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("size", [b"-5", b"-1", b"-ffffffffffffffff", b"nonsense", b""])
def test_chunks_of_impossible_sizes(size):
    body = CHUNKED + b"1\r\nx\r\n" + size + b"\r\n"
    answers = [lambda _: Answer(raw=endless(body, CONTENT))] * 9
    with (
        HostileRegistry(in_turn(*answers)) as registry,
        pytest.raises(RegistryError, match=r"connection to .* broke"),
    ):
        in_time(lambda: fetch(registry))


def test_a_manifest_has_its_time_in_all():
    """However well it keeps to the pace."""
    patience = QUICK.replace(answer=0.3, attempts=1)
    slow = Answer(raw=endless(OK + b"\r\n", b" " * 9000, pause=0.01))
    with (
        HostileRegistry(lambda r: Answer(200) if r.path == "/v2/" else slow) as registry,
        pytest.raises(RegistryError, match=r"takes longer than 0\.3 s"),
    ):
        in_time(
            lambda: Client(registry.address, access=Access(patience=patience)).manifest("a/b", "1")
        )


def test_only_waiting_counts_as_slowness():
    """A reader that is busy elsewhere does not make a sender slow."""
    content = CONTENT * 9
    blob = Descriptor("x", Digest.of(content), len(content))
    respond = serving_parts("a/b", {}, {digest(content): content})
    with HostileRegistry(respond) as registry:
        one = Client(
            registry.address, access=Access(patience=QUICK.replace(window=0.2, slowest=1 << 30))
        )
        received = 0
        for chunk in one.blob("a/b", blob):
            time.sleep(0.02)
            received += len(chunk)
        assert received == len(content)
        assert sum(map(is_blob, registry.requests)) == 1


def test_compressed_answers_are_not_undone():
    """Nobody asked for them, and a few bytes could become gigabytes."""
    packed = gzip.compress(MANIFEST_BYTES)
    answer = Answer(200, packed, {"Content-Encoding": "gzip"})
    with HostileRegistry(lambda _: answer) as registry:
        assert client(registry).manifest("a/b", "1")[0] == packed


def in_time(body, seconds=30):
    """What `body()` returns or raises, unless it hangs."""
    outcome = []

    def run():
        try:
            outcome.append((body(), None))
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, "it hangs"
    value, error = outcome[0]
    if error:
        raise error
    return value


# --- web pages ------------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html><title>Welcome to our hotel</title>"


@pytest.mark.parametrize("status", [200, 403, 404])
@pytest.mark.parametrize("headers", [{"Content-Type": "text/html; charset=utf-8"}, {}])
def test_a_web_page_is_no_manifest(status, headers):
    with (
        HostileRegistry(lambda _: Answer(status, PAGE, headers)) as registry,
        pytest.raises(RegistryError, match="web page when asked for a/b:1") as caught,
    ):
        client(registry).manifest("a/b", "1")
    assert "port" in caught.value.hint
    assert "login page" in caught.value.hint


def test_a_web_page_is_no_token():
    def respond(request):
        if request.path.startswith("/token"):
            return Answer(200, PAGE)
        return Answer(401, headers={"WWW-Authenticate": 'Bearer realm="/token"'})

    with (
        HostileRegistry(respond) as registry,
        pytest.raises(RegistryError, match="web page when asked for a token"),
    ):
        client(registry).manifest("a/b", "1")


def test_a_web_page_is_no_blob():
    page = Answer(200, PAGE, {"Content-Type": "text/html"})
    with (
        HostileRegistry(in_turn(*[page] * 9)) as registry,
        pytest.raises(RegistryError, match="web page when asked for a/b@sha256"),
    ):
        fetch(registry)


# --- elsewhere ------------------------------------------------------------------------------


def test_authorization_does_not_follow_a_redirect():
    with HostileRegistry(lambda r: ranged(r, CONTENT), "127.0.0.2") as other:
        elsewhere = Answer(307, headers={"Location": f"http://{other.address}/x?signature=s"})

        def respond(request):
            if not request.headers.get("Authorization"):
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
            return elsewhere if is_blob(request) else honest(request)

        with HostileRegistry(respond) as registry:
            assert fetch(registry, credentials=LOGIN) == CONTENT
        assert [request.headers.get("Authorization") for request in other.requests] == [None]


def test_authorization_does_not_follow_to_another_port():
    """Nor does it come back with a redirect that comes back."""
    with HostileRegistry(lambda _: back) as other:

        def respond(request):
            if is_blob(request) and "back" in request.path:
                return ranged(request, CONTENT)
            if not request.headers.get("Authorization"):
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
            if is_blob(request):
                return Answer(307, headers={"Location": f"http://{other.address}/x"})
            return honest(request)

        with HostileRegistry(respond) as registry:
            where = f"http://{registry.address}/blobs/back"
            back = Answer(307, headers={"Location": where})
            assert fetch(registry, credentials=LOGIN) == CONTENT
            assert registry.requests[-1].headers.get("Authorization") is None
        assert [request.headers.get("Authorization") for request in other.requests] == [None]


@pytest.mark.parametrize("challenge", ['Basic realm="r"', 'Bearer realm="http://THIEF/token"'])
def test_nobody_else_may_ask_for_the_login(challenge):
    with HostileRegistry(honest) as thief:

        def asking(_):
            asked = challenge.replace("THIEF", thief.address)
            return Answer(401, headers={"WWW-Authenticate": asked})

        with HostileRegistry(asking) as other:

            def respond(request):
                if is_blob(request):
                    return Answer(307, headers={"Location": f"http://{other.address}/x"})
                return honest(request)

            with HostileRegistry(respond) as registry:
                with pytest.raises(RegistryError, match="does not let this login"):
                    fetch(registry, credentials=LOGIN)
                asked = [*registry.requests, *other.requests]
                assert not [one for one in asked if one.headers.get("Authorization")]
        assert thief.requests == []


def test_a_name_is_resolved_once_and_connected_to_where_it_was(monkeypatch):
    """The second time it would be an address which was never looked at."""
    with HostileRegistry(lambda r: ranged(r, CONTENT), "127.0.0.2") as other:
        port = int(other.address.rpartition(":")[2])
        elsewhere = Answer(307, headers={"Location": f"http://cdn.test:{port}/x"})
        asked = names(monkeypatch, {"cdn.test": ["127.0.0.2", "169.254.169.254"]})
        with HostileRegistry(in_turn(elsewhere)) as registry:
            assert fetch(registry) == CONTENT
        assert asked == ["cdn.test"]
        assert other.requests[0].headers["Host"] == f"cdn.test:{port}"


def test_a_name_of_a_forbidden_address_is_not_connected_to(monkeypatch):
    asked = names(monkeypatch, {"cdn.test": ["169.254.169.254", "127.0.0.2"]})
    elsewhere = Answer(307, headers={"Location": "http://cdn.test/"})
    with (
        HostileRegistry(in_turn(elsewhere)) as registry,
        pytest.raises(RegistryError, match=r"leads to 169\.254\.169\.254.*refused"),
    ):
        fetch(registry)
    assert asked == ["cdn.test"]


def names(monkeypatch, addresses):
    """Let names resolve to the given addresses, one time after the other; those asked for."""
    asked = []
    real = socket.getaddrinfo

    def lookup(host, *arguments, **options):
        host = host.decode() if isinstance(host, bytes) else host
        if host not in addresses:
            return real(host, *arguments, **options)
        asked.append(host)
        return real(addresses[host][asked.count(host) - 1], *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


def test_authorization_stays_on_the_host():
    def respond(request):
        if is_blob(request):
            return Answer(302, headers={"Location": "/elsewhere"})
        if not request.headers.get("Authorization"):
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return Answer(200, CONTENT) if request.path == "/elsewhere" else honest(request)

    with HostileRegistry(respond) as registry:
        one = client(registry, credentials=LOGIN)
        one.manifest("a/b", "1")
        assert b"".join(one.blob("a/b", BLOB)) == CONTENT


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("file:///etc/passwd", "not http or https"),
        ("ftp://127.0.0.1/", "not http or https"),
        ("http://169.254.169.254/latest/meta-data/", "refused"),
        ("http://me:pw@127.0.0.1/", "user name"),
        ("http://[", "not a URL"),
        ("/again", "redirects more than 10 times"),
    ],
)
def test_places_nobody_should_be_sent_to(location, words):
    def respond(request):
        if request.path == "/v2/":
            return Answer(200)
        return Answer(302, headers={"Location": location})

    with HostileRegistry(respond) as registry:
        with pytest.raises(RegistryError, match=words):
            fetch(registry)
        assert len(registry.requests) <= 12


# --- logins ---------------------------------------------------------------------------------


class TokenRegistry:
    """Hands out tokens t1, t2, … at `realm`, each good for `uses` requests."""

    def __init__(self, realm="/token", *, uses=99, login=None):
        self.realm, self.uses, self.login = realm, uses, login
        self.tokens = {}
        self.asked = []
        self.lock = threading.Lock()

    def __call__(self, request):
        url = urlsplit(request.path)
        if url.path == "/token":
            return self.token(request, parse_qs(url.query))
        with self.lock:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if self.tokens.get(token, 0) <= 0:
                wanted = f'Bearer realm="{self.realm}",service="s",scope="repository:a/b:pull"'
                return Answer(401, b"{}", {"WWW-Authenticate": wanted})
            self.tokens[token] -= 1
        return honest(request)

    def token(self, request, query):
        self.asked.append((request, query))
        if self.login and request.headers.get("Authorization") != self.login:
            return Answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}')
        token = f"t{len(self.tokens) + 1}"
        self.tokens[token] = self.uses
        return Answer(200, json.dumps({"token": token, "expires_in": 60}).encode())


def served_by(rules):
    registry = HostileRegistry(rules)
    rules.realm = f"http://{registry.address}/token"
    return registry


def test_anonymous_token():
    rules = TokenRegistry()
    with served_by(rules) as registry:
        one = client(registry)
        one.manifest("a/b", "1")
        assert b"".join(one.blob("a/b", BLOB)) == CONTENT
    ((request, query),) = rules.asked
    assert query == {"scope": ["repository:a/b:pull"], "service": ["s"]}
    assert "Authorization" not in request.headers


def test_a_token_is_there_before_the_first_thing_is_asked_for():
    with served_by(TokenRegistry()) as registry:
        client(registry).manifest("a/b", "1")
        asked = [urlsplit(path).path for path in registry.paths()]
    assert asked == ["/v2/", "/token", "/v2/a/b/manifests/1"]


def test_tokens_that_expire_are_renewed_in_the_middle():
    rules = TokenRegistry(uses=1)
    with served_by(rules) as registry:
        one = client(registry)
        for _ in range(3):
            one.manifest("a/b", "1")
    assert len(rules.asked) == 3


def test_threads_share_one_token():
    rules = TokenRegistry()
    with served_by(rules) as registry:
        one = client(registry)
        threads = [threading.Thread(target=one.manifest, args=("a/b", "1")) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(rules.asked) == 1


def test_login_goes_to_the_token_server():
    rules = TokenRegistry(login="Basic " + b64encode(b"me:hunter2").decode())
    with served_by(rules) as registry:
        client(registry, credentials=LOGIN).manifest("a/b", "1")
        with pytest.raises(RegistryError, match=r"not found on .*, or is private") as caught:
            client(registry).manifest("a/b", "1")
        assert "login" in caught.value.hint
        with pytest.raises(RegistryError, match="does not let this login"):
            client(registry, credentials=Credentials("me", "wrong")).manifest("a/b", "1")


def test_identity_token_is_exchanged_by_post():
    rules = TokenRegistry()
    with served_by(rules) as registry:
        client(registry, credentials=Credentials("", "", "refresh")).manifest("a/b", "1")
    ((request, _),) = rules.asked
    assert request.method == "POST"
    form = parse_qs(request.body.decode())
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["refresh"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_password_is_not_sent_to_a_realm_of_another_host_or_port(host):
    with HostileRegistry(honest, host) as thief:
        with (
            HostileRegistry(TokenRegistry(f"http://{thief.address}/token")) as registry,
            pytest.raises(RegistryError, match="another server"),
        ):
            client(registry, credentials=LOGIN).manifest("a/b", "1")
        assert thief.requests == []


@pytest.mark.parametrize("realm", ["", "file:///etc/passwd", "http://169.254.169.254/token"])
def test_realms_nobody_should_ask(realm):
    with HostileRegistry(TokenRegistry(realm)) as registry, pytest.raises(RegistryError):
        client(registry, credentials=LOGIN).manifest("a/b", "1")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 3}', b'{"token": "a\\nb"}'])
def test_bad_tokens(body):
    def respond(request):
        if request.path.startswith("/token"):
            return Answer(200, body)
        wanted = f'Bearer realm="http://{registry.address}/token"'
        return Answer(401, headers={"WWW-Authenticate": wanted})

    with HostileRegistry(respond) as registry, pytest.raises(RegistryError, match="sent no token"):
        client(registry).manifest("a/b", "1")


def test_secrets_are_in_no_error():
    def respond(request):
        if not request.headers.get("Authorization"):
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return Answer(403, b'{"errors":[{"code":"DENIED","message":"requested access"}]}')

    with (
        HostileRegistry(respond) as registry,
        pytest.raises(RegistryError, match="does not let this login") as caught,
    ):
        client(registry, credentials=LOGIN).manifest("a/b", "1")
    shown = repr(caught.value) + str(vars(caught.value))
    assert "hunter2" not in shown
    assert b64encode(b"me:hunter2").decode() not in shown


# --- what is not there ----------------------------------------------------------------------


def test_unknown_tag():
    with (
        HostileRegistry(lambda r: Answer(200) if r.path == "/v2/" else NOT_FOUND) as registry,
        pytest.raises(RegistryError, match="has no a/b:2") as caught,
    ):
        client(registry).manifest("a/b", "2")
    assert (caught.value.status, caught.value.code) == (404, "MANIFEST_UNKNOWN")


def test_nothing_listens():
    with HostileRegistry(honest) as registry:
        pass
    with pytest.raises(RegistryError, match="Connection refused"):
        client(registry).manifest("a/b", "1")


def test_unresolvable_name():
    with pytest.raises(RegistryError, match=r"name registry\.invalid cannot be resolved"):
        Client("registry.invalid", access=Access(patience=QUICK)).manifest("a/b", "1")


def test_proxy_gets_the_requests_and_its_failure_is_named():
    def respond(request):
        assert request.path.startswith("http://registry.invalid/v2/")
        return honest(request._replace(path=request.path.removeprefix("http://registry.invalid")))

    with HostileRegistry(respond) as proxy:
        proxies = {"http": f"http://user:pw@{proxy.address}", "https": "http://[::1]:1"}
        one = Client(
            "registry.invalid", access=Access(tls_verify=False, proxies=proxies, patience=QUICK)
        )
        assert one.manifest("a/b", "1")[0] == MANIFEST_BYTES
        assert proxy.requests[0].headers["Proxy-Authorization"].startswith("Basic ")
    with pytest.raises(RegistryError, match="through the proxy"):
        Client("registry.invalid", access=Access(proxies=proxies, patience=QUICK)).manifest(
            "a/b", "1"
        )


# --- TLS ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", folder / "key", "-out", folder / "cert", "-days", "2"),
            *("-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1,DNS:registry.test"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def tls(certificate):
    with behind_tls(certificate / "cert", certificate / "key") as registry:
        yield registry


def behind_tls(cert, key):
    registry = HostileRegistry(honest)
    encrypt(registry, cert, key)
    return registry


def encrypt(server, cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)


EXPIRING = """
[ca]
default_ca = own
[own]
database = {0}/index
serial = {0}/serial
new_certs_dir = {0}
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = IP:127.0.0.1
"""


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def test_an_expired_certificate_is_refused(certificate, tmp_path, monkeypatch):
    (tmp_path / "index").touch()
    (tmp_path / "serial").write_text("01\n")
    (tmp_path / "config").write_text(EXPIRING.format(tmp_path))
    key, request, cert = certificate / "key", tmp_path / "request", tmp_path / "cert"
    openssl("req", "-new", "-key", key, "-subj", "/CN=x", "-out", request)
    dates = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
    made = ("-keyfile", key, "-in", request, "-out", cert, *dates)
    openssl("ca", "-batch", "-selfsign", "-notext", "-config", tmp_path / "config", *made)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with (
        behind_tls(cert, key) as registry,
        pytest.raises(RegistryError, match=r"certificate of .* cannot be trusted.*expired"),
    ):
        client(registry).manifest("a/b", "1")
    assert registry.requests == []


def test_an_untrusted_certificate_is_refused(tls):
    with pytest.raises(RegistryError, match=r"certificate of .* cannot be trusted.*self-signed"):
        client(tls).manifest("a/b", "1")
    assert tls.requests == []


def test_certificates_do_not_matter_when_asked(tls):
    assert client(tls, tls_verify=False).manifest("a/b", "1")[0] == MANIFEST_BYTES


def test_a_certificate_authority_of_the_user(tls, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    assert client(tls).manifest("a/b", "1")[0] == MANIFEST_BYTES


def test_the_certificate_is_for_the_name_not_for_the_address(tls, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    names(monkeypatch, {"registry.test": ["127.0.0.1"] * 9, "other.test": ["127.0.0.1"] * 9})
    port = tls.address.rpartition(":")[2]
    one = Client(f"registry.test:{port}", access=Access(patience=QUICK))
    assert one.manifest("a/b", "1")[0] == MANIFEST_BYTES
    with pytest.raises(RegistryError, match=r"certificate of other\.test"):
        Client(f"other.test:{port}", access=Access(patience=QUICK)).manifest("a/b", "1")


def test_certificates_for_a_registry_are_not_for_where_it_leads(tls, certificate):
    """Neither to trust another server by, nor to be known there."""
    authority = Certificates((str(certificate / "cert"),))
    with behind_tls(certificate / "cert", certificate / "key") as other:
        away = Answer(307, headers={"Location": f"https://{other.address}/x"})
        tls.respond = lambda request: away if is_blob(request) else honest(request)
        with pytest.raises(RegistryError, match=rf"certificate of {other.address} cannot be"):
            fetch(tls, certificates=authority)
        assert other.requests == []
        tls.respond = honest
        assert fetch(tls, certificates=authority) == CONTENT


def through(proxy, scheme, registry):
    """A client of an https registry by a name that only the proxy knows."""
    port = registry.address.rpartition(":")[2]
    proxies = {"https": f"{scheme}://me:p%40ss@{proxy.address}"}
    access = Access(proxies=proxies, patience=QUICK)
    return Client(f"registry.test:{port}", access=access)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_tunnel_through_a_proxy(scheme, tls, certificate, monkeypatch):
    """To an https proxy it is TLS within TLS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    with Tunnel(tls.address) as proxy:
        if scheme == "https":
            encrypt(proxy, certificate / "cert", certificate / "key")
        one = through(proxy, scheme, tls)
        assert one.manifest("a/b", "1")[0] == MANIFEST_BYTES
        assert b"".join(one.blob("a/b", BLOB)) == CONTENT
        one.close()
    (lines,) = proxy.asked
    port = tls.address.rpartition(":")[2]
    assert lines[0] == f"CONNECT registry.test:{port} HTTP/1.1"
    assert f"Proxy-Authorization: Basic {b64encode(b'me:p@ss').decode()}" in lines
    assert all("Proxy-Authorization" not in request.headers for request in tls.requests)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_registry_behind_a_proxy_shows_its_own_certificate(
    scheme, tls, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert"))
    with Tunnel(tls.address) as proxy:
        if scheme == "https":
            encrypt(proxy, certificate / "cert", certificate / "key")
        proxies = {"https": f"{scheme}://{proxy.address}"}
        one = Client("other.test", access=Access(proxies=proxies, patience=QUICK))
        with pytest.raises(RegistryError, match=r"certificate of other\.test"):
            one.manifest("a/b", "1")
        one.close()


def test_a_proxy_that_lets_nobody_through(tls):
    no = b"HTTP/1.1 407 Show yourself\r\nContent-Length: 0\r\n\r\n"
    with Tunnel(tls.address, no) as proxy:
        one = through(proxy, "http", tls)
        with pytest.raises(RegistryError, match="through the proxy"):
            one.manifest("a/b", "1")


def test_https_only_leads_to_https(tls):
    with HostileRegistry(lambda r: ranged(r, CONTENT), "127.0.0.2") as plain:
        down = Answer(307, headers={"Location": f"http://{plain.address}/x"})
        tls.respond = lambda request: down if is_blob(request) else honest(request)
        with pytest.raises(RegistryError, match="from https to plain http"):
            fetch(tls, tls_verify=False)
        assert plain.requests == []
