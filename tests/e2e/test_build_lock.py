"""`build --lock`, `--locked` and `--verify`."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import threading

import pytest

from tests.support.website import Website

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

with_git = pytest.mark.needs("git")


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


@pytest.fixture
def build(rootless, busybox_image, tmp_path, context):
    rootless.load(busybox_image, tmp_path)

    def run(text, *flags, **options):
        (context / "Dockerfile").write_text(text)
        return rootless("build", "-q", *flags, context, **options)

    return run


def pins(context):
    return json.loads((context / "Dockerfile.lock").read_text())


def test_a_base_that_is_another_is_told_with_its_line(build, rootless, context, tmp_path):
    text = "# a comment\nFROM busybox AS a\nRUN true\nFROM scratch\nCOPY --from=a /bin /bin\n"
    assert build(text, "--lock").exit == 0
    (name,) = pins(context)["images"]
    old = pins(context)["images"][name]
    assert name.startswith("docker.io/library/busybox:latest linux/")
    assert build(text, "--locked").exit == 0
    rootless.ok("build", "-t", "busybox", "-", stdin="FROM busybox\nENV NEW=1\n")
    result = build(text, "--locked")
    assert result.exit == 1
    new = rootless.ok("images", "--digests", "--no-trunc", "busybox").split()
    assert f"Dockerfile:2: {name} was {old}, is sha256:" in result.stderr
    assert old not in new
    assert build(text, "--lock").exit == 0
    assert pins(context)["images"][name] != old
    assert build(text, "--locked").exit == 0


def test_what_is_not_in_the_lock_is_refused(build, context):
    assert build("FROM scratch\nENV A=b\n", "--lock").exit == 0
    result = build("FROM scratch\nCOPY --from=busybox /bin/sh /\n", "--locked")
    assert result.exit == 1
    assert "Dockerfile:2: docker.io/library/busybox:latest" in result.stderr
    assert "is not in the lock; it is sha256:" in result.stderr


@pytest.mark.needs("registry")
def test_a_base_is_pulled_by_the_digest_that_is_locked(
    build, rootless, registry, busybox_image, context, tmp_path
):
    name = registry.push(busybox_image, "locked/base:1")
    text = f"FROM {name}\nRUN true\n"
    assert build(text, "--lock", "--tls-verify=false").exit == 0
    old = next(iter(pins(context)["images"].values()))
    rootless.ok("build", "-t", name, "-", stdin=f"FROM {name}\nENV MOVED=1\n")
    rootless.ok("push", "--tls-verify=false", name)
    rootless.ok("rmi", "-f", name)
    assert build(text, "--locked", "--tls-verify=false", "-t", "made").exit == 0
    assert "MOVED" not in rootless.ok("inspect", "made")
    result = build(text, "--locked", "--pull", "--tls-verify=false")
    assert result.exit == 1
    assert f"was {old}, is sha256:" in result.stderr


def test_a_file_on_the_web(build, context, tmp_path):
    with Website(tmp_path / "repositories") as server:
        text = f"FROM scratch\nADD {server.url}/f.txt /\n"
        assert build(text, "--lock").exit == 0
        assert list(pins(context)["urls"]) == [f"{server.url}/f.txt"]
        assert build(text, "--locked").exit == 0
        changed = pins(context)
        changed["urls"] = dict.fromkeys(changed["urls"], "sha256:" + "0" * 64)
        (context / "Dockerfile.lock").write_text(json.dumps(changed))
        result = build(text, "--locked")
    assert result.exit == 1
    assert f"Dockerfile:2: {server.url}/f.txt was sha256:000" in result.stderr


def test_a_query_is_not_told(build, context, tmp_path):
    with Website(tmp_path / "repositories") as server:
        for path in ("/f.txt?token=secret", "/f.txt?token=hidden"):
            server.files[path] = server.files["/f.txt"]
        lines = "".join(f"ADD {server.url}/f.txt?token={one} /{one}\n" for one in ("$T", "hidden"))
        text = f"FROM scratch\nARG T\n{lines}"
        flags = ("--build-arg", "T=secret")
        assert build(text, "--lock", *flags).exit == 0
        assert len(pins(context)["urls"]) == 2
        assert all(name.startswith(f"{server.url}/f.txt (query ") for name in pins(context)["urls"])
        assert build(text, "--locked", *flags).exit == 0
        changed = pins(context)
        changed["urls"] = dict.fromkeys(changed["urls"], "sha256:" + "0" * 64)
        (context / "Dockerfile.lock").write_text(json.dumps(changed))
        result = build(text, "--locked", *flags)
    assert result.exit == 1
    assert f"Dockerfile:3: {server.url}/f.txt (query " in result.stderr
    assert "secret" not in result.stderr + (context / "Dockerfile.lock").read_text()


class _Counting(http.server.BaseHTTPRequestHandler):
    """Another file each time, as of a server that tells no ETag."""

    asked = 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % self.asked)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("flag", ["--lock", "--locked"])
def test_what_is_built_is_what_was_held_against_the_lock(build, context, flag):
    """Looked up once, fetched again for the build: a server may give another the second time."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Counting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        name = f"http://127.0.0.1:{server.server_port}/f"
        _Counting.asked = 0
        if flag == "--locked":
            one = hashlib.sha256(b"1").hexdigest()
            lock = {"version": 1, "images": {}, "git": {}, "urls": {name: f"sha256:{one}"}}
            (context / "Dockerfile.lock").write_text(json.dumps(lock))
        before = pins(context) if flag == "--locked" else None
        result = build(f"FROM scratch\nADD {name} /\n", flag)
        server.shutdown()
    assert result.exit == 1
    assert "when it was looked up, is sha256:" in result.stderr
    assert (context / "Dockerfile.lock").exists() == (flag == "--locked")
    assert before is None or pins(context) == before


@with_git
def test_a_repository_whose_branch_moves(build, context, tmp_path):
    with Website(tmp_path / "repositories") as server:
        repository = server.repositories.make("r.git")
        old = repository.commit({"f": "one\n"})
        text = f"FROM scratch\nADD {server.url}/git/r.git /src/\n"
        assert build(text, "--lock").exit == 0
        name = f"{server.url}/git/r.git"
        assert pins(context)["git"] == {name: old}
        assert build(text, "--locked").exit == 0
        new = repository.commit({"f": "two\n"})
        result = build(text, "--locked")
    assert result.exit == 1
    assert f"Dockerfile:2: {name} was {old}, is {new}" in result.stderr


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--lock", "--locked"), "cannot be used together"),
        (("--locked",), "build with --lock once"),
        (("--lock", "-f", "-"), "in no directory here"),
    ],
)
def test_flags_that_make_no_sense(build, flags, told):
    result = build("FROM scratch\nENV A=b\n", *flags, stdin="FROM scratch\nENV A=b\n")
    assert result.exit != 0
    assert told in result.stderr


def test_a_failed_build_writes_no_lock(build, context):
    assert build("FROM busybox\nRUN false\n", "--lock").exit == 1
    assert not (context / "Dockerfile.lock").exists()


@pytest.mark.parametrize("content", ["", "{", '{"version": 9}', '{"version": 1, "images": 1}'])
def test_a_damaged_lock_is_no_traceback(build, context, content):
    (context / "Dockerfile.lock").write_text(content)
    result = build("FROM scratch\nENV A=b\n", "--locked")
    assert result.exit != 0
    assert "Dockerfile.lock" in result.stderr
    assert "Traceback" not in result.stderr


def test_verify_shows_the_file_and_its_step(build):
    text = "FROM busybox\nRUN echo same > /same\nRUN head -c 8 /dev/urandom > /random\nENV A=b\n"
    result = build(text, "--verify")
    assert result.exit == 1
    (line,) = result.stdout.splitlines()[1:]
    assert "head -c 8 /dev/urandom > /random" in line
    assert ": /random: content: " in line


def test_verify_says_that_all_is_the_same(build, rootless):
    before = rootless.ok("images", "-aq")
    result = build("FROM busybox\nRUN echo same > /same; mkdir /d\nCMD sh\n", "--verify")
    assert (result.exit, "both builds give the same" in result.stderr) == (0, True)
    assert len(rootless.ok("images", "-aq").splitlines()) == len(before.splitlines()) + 1


def test_verify_says_when_only_times_differ(build, context):
    (context / "f").write_text("f")
    text = "FROM scratch\nCOPY f /\n"
    os.utime(context / "f", (1.4e9, 1.4e9))
    assert build(text).exit == 0
    os.utime(context / "f", (1.5e9, 1.5e9))
    result = build(text, "--verify")
    assert result.exit == 0
    assert "both builds give the same, but for times" in result.stderr


def test_verify_of_what_is_only_in_one(build):
    result = build("FROM busybox\nRUN mkdir /$(cat /proc/sys/kernel/random/uuid)\n", "--verify")
    assert result.exit == 1
    assert "only in the first build" in result.stdout
    assert "only in the second build" in result.stdout
