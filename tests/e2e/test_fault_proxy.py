"""docker's registry behind a line that fails: what comes is right, or nothing has its name."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.hostile_registry import Answer, HostileRegistry, before
from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns", "registry")
SIZE = 3 << 20


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    return write_layout(folder / "layout", "x:1", [layer({"big": os.urandom(SIZE)})])


@pytest.fixture
def served(registry, image):
    registry.push(image, "faults/app:1")
    return before(registry)


def is_big(answer):
    return len(answer.body) > SIZE // 2


def pull(rootless, proxy, **options):
    return rootless("pull", f"{proxy.address}/faults/app:1", **options)


def assert_whole(rootless, proxy, image):
    """What was pulled is what the registry has."""
    (found,) = json.loads(rootless.ok("inspect", f"{proxy.address}/faults/app:1"))
    name = f"{proxy.address}/faults/app"
    assert found["RepoDigests"] == [f"{name}@{image.manifest_digest}"]
    rootless.ok("system", "check")


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
@pytest.mark.parametrize(
    "fault",
    [
        lambda answer: Answer(429, b"", {"Retry-After": "1"}),
        lambda answer: Answer(500, b"oops"),
        lambda answer: Answer(503, b"<html>busy</html>", {"Content-Type": "text/html"}),
        lambda answer: answer._replace(cut=len(answer.body) // 3),
        lambda answer: answer._replace(cut=len(answer.body) // 2, reset=True),
        lambda answer: answer._replace(cut=len(answer.body) // 2, length=-1),
        lambda answer: Answer(raw=[b"HTTP/1.1 200 OK\r\nContent-Len"]),
        lambda answer: Answer(raw=[b""]),
    ],
    ids=["429", "500", "503", "truncated", "reset", "chunk", "half a header", "hangs up"],
)
def test_a_fault_that_passes(rootless, served, image, fault, kind):
    seen = {}

    def respond(request):
        answer = served(request)
        seen[request.path] = seen.get(request.path, 0) + 1
        return fault(answer) if f"/{kind}/" in request.path and seen[request.path] <= 2 else answer

    with HostileRegistry(respond) as proxy:
        done = pull(rootless, proxy)
        assert done.exit == 0, done.stderr
        assert max(seen.values()) >= 3
        assert_whole(rootless, proxy, image)


def wrong_start(answer):
    return answer._replace(headers={"Content-Range": f"bytes 0-{SIZE}/{SIZE}"})


def another_part(answer):
    return answer._replace(body=answer.body[1:] + b"x")


@pytest.mark.parametrize(
    ("odd", "is_right"), [(wrong_start, True), (another_part, False)], ids=["start", "part"]
)
def test_wrong_answers_to_a_range(rootless, served, image, odd, is_right):
    """One that says what it sends is asked anew; one that lies is found by the digest."""
    broken = []

    def respond(request):
        answer = served(request)
        if answer.status == 206:
            return odd(answer)
        if is_big(answer) and not broken:
            broken.append(request)
            return answer._replace(cut=SIZE // 2)
        return answer

    with HostileRegistry(respond) as proxy:
        done = pull(rootless, proxy)
        assert (done.exit == 0) == is_right, done.stderr
        if is_right:
            assert_whole(rootless, proxy, image)
        else:
            assert rootless.ok("images", "-q") == ""
            proxy.respond = served
            assert pull(rootless, proxy).exit == 0
            assert_whole(rootless, proxy, image)


@pytest.mark.parametrize("length", [-1, 1 << 40])
def test_a_blob_without_end(rootless, served, length):
    def respond(request):
        answer = served(request)
        if not is_big(answer):
            return answer
        return Answer(raw=endless(length))

    def endless(length):
        head = b"HTTP/1.1 200 OK\r\n"
        if length < 0:
            yield head + b"Transfer-Encoding: chunked\r\n\r\n"
            while True:
                yield b"10000\r\n" + bytes(0x10000) + b"\r\n"
        yield head + b"Content-Length: %d\r\n\r\n" % length
        while True:
            yield bytes(0x10000)

    with HostileRegistry(respond) as proxy:
        done = pull(rootless, proxy, timeout=120)
    assert done.exit == 1
    assert rootless.ok("images", "-q") == ""
