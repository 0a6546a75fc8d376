"""`import`: from files, pipes and URLs; what is odd, empty, broken or without an end."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import signal
import subprocess
import time

import pytest
import zstandard

from tests.support import child, flattened
from tests.support.hostile_registry import Answer, HostileRegistry, ranged
from tests.support.images import layer

pytestmark = pytest.mark.needs("userns")

TAR = layer({"etc/": b"", "etc/motd": b"welcome\n", "big": os.urandom(3 << 20)})
ETAG = {"ETag": '"v1"'}


@pytest.fixture
def server():
    """`server(answer)` → its URL; `answer(request)` gives what is sent."""
    running = []

    def serve(respond):
        one = HostileRegistry(respond)
        one.__enter__()
        running.append(one)
        return f"http://{one.address}/root.tar"

    yield serve
    for one in running:
        one.__exit__()


def comment(rootless, name):
    return rootless.ok("inspect", "-f", "{{.Comment}}", name).strip()


def tree(rootless, name, tmp_path):
    rootless.ok("save", "-o", tmp_path / "saved.tar", name)
    return flattened.read(tmp_path / "saved.tar")[0]


def test_from_a_url(rootless, server, tmp_path):
    url = server(lambda _: Answer(200, TAR))
    result = rootless("import", "-c", 'CMD ["x"]', f"{url}?token=secret", "base:1")
    assert result.exit == 0
    assert result.stdout == rootless.ok("images", "-q", "--no-trunc", "base:1")
    assert result.stderr == f"Downloading from {url}\n"
    assert comment(rootless, "base:1") == f"Imported from {url}"
    (tmp_path / "root.tar").write_bytes(TAR)
    rootless.ok("import", tmp_path / "root.tar", "base:2")
    assert tree(rootless, "base:1", tmp_path) == tree(rootless, "base:2", tmp_path)
    assert comment(rootless, "base:2") == "Imported from root.tar"


COMPRESSED = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_in_whatever_way(rootless, server, tmp_path, kind):
    packed = COMPRESSED[kind](TAR)
    rootless.ok("import", server(lambda _: Answer(200, packed, length=-1)), "base:1")
    (tmp_path / "root").write_bytes(packed)
    with open(tmp_path / "root", "rb") as file:
        argv = rootless.command("import", "-m", "by hand", "-", "base:2")
        subprocess.run(argv, stdin=file, env=rootless.environment, check=True, capture_output=True)
    assert tree(rootless, "base:1", tmp_path)["etc/motd"].content == "welcome\n"
    assert tree(rootless, "base:1", tmp_path) == tree(rootless, "base:2", tmp_path)
    assert comment(rootless, "base:2") == "by hand"


def breaking(content, headers=ETAG, cut=1 << 20, reset=False):
    """The first three answers end after `cut` bytes; how many of them arrive, a reset decides."""
    left = [3]

    def respond(request):
        answer = ranged(request, content)
        answer = answer._replace(headers={**answer.headers, **headers})
        left[0] -= 1
        breaks = left[0] >= 0 and len(answer.body) > cut
        return answer._replace(cut=cut, reset=reset) if breaks else answer

    return respond


@pytest.mark.parametrize("reset", [False, True])
def test_a_transfer_that_breaks_is_taken_up_again(rootless, tmp_path, reset):
    with HostileRegistry(breaking(TAR, reset=reset)) as registry:
        rootless.ok("import", f"http://{registry.address}/root.tar", "base:1")
        asked = [one.headers.get("Range") for one in registry.requests]
        assert asked[0] is None
        assert len(asked) >= 3
        for request in registry.requests:
            assert bool(request.headers.get("Range")) == (request.headers.get("If-Range") == '"v1"')
        assert reset or asked[1:] == [f"bytes={number << 20}-" for number in (1, 2, 3)]
    (tmp_path / "root.tar").write_bytes(TAR)
    rootless.ok("import", tmp_path / "root.tar", "base:2")
    assert tree(rootless, "base:1", tmp_path) == tree(rootless, "base:2", tmp_path)


def another_meanwhile(request):
    if request.headers.get("Range"):
        return Answer(200, TAR, {"ETag": '"v2"'})
    return Answer(200, TAR, ETAG, cut=1 << 20)


def another_place(request):
    if request.headers.get("Range"):
        return Answer(206, TAR, {**ETAG, "Content-Range": f"bytes 0-{len(TAR) - 1}/{len(TAR)}"})
    return Answer(200, TAR, ETAG, cut=1 << 20)


FAULTS = {
    "not found": (lambda _: Answer(404, b"<html>"), "is answered with: 404"),
    "broken, no validator": (breaking(TAR, {}), "the connection to 127.0.0.1"),
    "weak validator": (breaking(TAR, {"ETag": 'W/"v1"'}), "the connection to 127.0.0.1"),
    "another file meanwhile": (another_meanwhile, "has another file there now"),
    "another place": (another_place, "goes on at another place"),
    "chunks cut short": (lambda _: Answer(200, TAR, length=-1, cut=1 << 20), "the connection to"),
    "no tar": (lambda _: Answer(200, b"<html>" * 1000), "is this a tar archive?"),
    "a loop": (lambda _: Answer(302, b"", {"Location": "/again"}), "redirects more than 10 times"),
    "to a file": (lambda _: Answer(302, b"", {"Location": "file:///etc/passwd"}), "not http or"),
    "to metadata": (
        lambda _: Answer(302, b"", {"Location": "http://169.254.169.254/latest"}),
        "leads to 169.254.169.254",
    ),
    "endless headers": (
        lambda _: Answer(raw=[b"HTTP/1.1 200 OK\r\n", *([b"X: " + b"x" * 60000 + b"\r\n"] * 99)]),
        "",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_goes_wrong_is_told_and_leaves_nothing(rootless, server, kind):
    respond, told = FAULTS[kind]
    result = rootless("import", server(respond), "base:1", timeout=120)
    assert (result.exit, result.stdout) == (1, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert rootless.ok("images", "-aq") == ""
    assert list_of(rootless, "tmp") == []
    assert list_of(rootless, "layers") == []


def list_of(rootless, folder):
    try:
        return os.listdir(rootless.root / folder)
    except FileNotFoundError:
        return []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:1/x", "cannot connect to 127.0.0.1"),
        ("ftp://example.org/x", "is not an http or https URL"),
        ("http://ada:secret@127.0.0.1/x", "is given with a login"),
        ("https://", "is not an http or https URL"),
        ("http://[::1/x", "is not a"),
    ],
)
def test_urls_that_cannot_be(rootless, url, told):
    result = rootless("import", url, timeout=120)
    assert result.exit in (1, 125)
    assert told in result.stderr
    assert "secret" not in result.stderr


def test_a_hint_names_no_flag_that_import_has_not(rootless, server):
    url = server(lambda _: Answer(200, TAR)).replace("http:", "https:")
    result = rootless("import", url, timeout=120)
    assert result.exit == 1
    assert "does not speak https" in result.stderr
    assert "--tls-verify" not in result.stderr
    assert "curl URL | rootless import -" in result.stderr


def test_an_honest_redirect_and_a_proxy(rootless, server):
    target = server(lambda _: Answer(200, TAR))
    first = server(lambda _: Answer(302, b"", {"Location": target}))
    rootless.ok("import", first, "base:1")
    with HostileRegistry(lambda _: Answer(200, TAR)) as proxy:
        environment = {**rootless.environment, "http_proxy": f"http://{proxy.address}"}
        rootless.ok("import", "http://far.example.org/root.tar", "base:2", env=environment)
        assert proxy.paths() == ["http://far.example.org/root.tar"]


def test_platforms(rootless, tmp_path):
    (tmp_path / "root.tar").write_bytes(TAR)
    rootless.ok("import", "--platform", "linux/arm/v7", tmp_path / "root.tar", "base:1")
    shown = rootless.ok("inspect", "-f", "{{.Os}}/{{.Architecture}}/{{.Variant}}", "base:1")
    assert shown == "linux/arm/v7\n"
    for wrong in ("bogus", "linux/arm64,linux/amd64"):
        assert rootless("import", "--platform", wrong, tmp_path / "root.tar").exit == 1


# inputs that are no archive


def test_nothing_is_an_image_of_nothing_as_in_docker(rootless, tmp_path):
    (tmp_path / "empty").touch()
    for source in ("/dev/null", tmp_path / "empty", "-"):
        number = rootless.ok("import", source).strip()
        layers = json.loads(rootless.ok("inspect", "-f", "{{json .RootFS.Layers}}", number))
        assert len(layers) == 1


def test_zeros_without_end_are_no_archive(rootless):
    result = rootless("import", "/dev/zero", timeout=120)
    assert (result.exit, result.stdout) == (1, "")
    assert "MiB after its end" in result.stderr
    zeros = subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE)
    argv = rootless.command("import", "-")
    piped = subprocess.run(
        argv, stdin=zeros.stdout, env=rootless.environment, capture_output=True, check=False
    )
    zeros.kill()
    zeros.communicate()
    assert (piped.returncode, b"MiB after its end" in piped.stderr) == (1, True)
    assert list_of(rootless, "tmp") == []


@pytest.mark.parametrize("source", ["/dev/urandom", "/etc/passwd"])
def test_what_is_something_else(rootless, source):
    result = rootless("import", source, timeout=120)
    assert (result.exit, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr


def test_from_a_pipe_by_name(rootless, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    argv = rootless.command("import", tmp_path / "pipe", "base:1")
    with subprocess.Popen(argv, env=rootless.environment, stdout=subprocess.PIPE) as importing:
        (tmp_path / "pipe").write_bytes(TAR)
        importing.communicate()
    assert importing.returncode == 0
    assert tree(rootless, "base:1", tmp_path)["etc/motd"].content == "welcome\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_leaves_nothing(rootless, server, number):
    """Also while nobody sends anything."""
    url = server(lambda _: Answer(200, TAR, cut=1 << 20, stall=30.0))
    pipe = subprocess.PIPE
    argv = rootless.command("import", url)
    with subprocess.Popen(argv, env=rootless.environment, stdout=pipe, stderr=pipe) as importing:
        assert importing.stderr.readline().startswith(b"Downloading from")
        until = time.monotonic() + 60
        while not list_of(rootless, "tmp"):
            assert time.monotonic() < until
        importing.send_signal(number)
        _, stderr = importing.communicate(timeout=120)
    assert importing.returncode == (130 if number == signal.SIGINT else -9)
    assert b"Traceback" not in stderr
    rootless.ok("import", "/dev/null")
    assert list_of(rootless, "tmp") == []
    assert len(list_of(rootless, "layers")) == 1
    child.remove_tree(rootless.root)
