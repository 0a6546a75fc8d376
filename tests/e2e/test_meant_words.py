"""What a newcomer types and reads: docker's names, words, streams and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import pytest

from tests.support import flattened
from tests.support.hostile_registry import (
    MANIFEST,
    Answer,
    HostileRegistry,
    digest,
    serving,
    serving_parts,
)
from tests.support.images import layer, write_layout
from tests.support.terminal import Terminal

pytestmark = pytest.mark.needs("userns", "overlay")


@pytest.fixture
def image(tmp_path):
    layers = [layer({"f": b"x" * 3000, "g": os.urandom(200_000)})]
    return write_layout(tmp_path / "layout", "docker.io/library/made:1", layers)


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


# --- names and exit codes ------------------------------------------------------------------------


def test_load_says_the_names_in_the_archive(rootless, image, tmp_path):
    """Not all that the image has had before."""
    archive = image.archive(tmp_path / "made.tar")
    rootless.ok("load", "-i", archive)
    rootless.ok("tag", "made:1", "other:2")
    assert rootless.ok("load", "-i", archive) == "Loaded image: made:1\n"


@pytest.mark.parametrize("noun", ["image", "container", "system"])
def test_a_noun_has_help(rootless, noun):
    shown = rootless.ok(noun, "--help")
    assert shown.startswith(f"Usage: rootless {noun} ")
    assert "  prune " in shown


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("nosuch",), 1, "unknown command: rootless nosuch"),
        (("image", "nosuch"), 1, "unknown command: rootless image nosuch"),
        (("images", "--nosuch"), 125, "unknown flag: --nosuch"),
        (("images", "--digest"), 125, "did you mean --digests?"),
        (("inspect", "nosuch"), 1, "No such object: nosuch"),
        (("rmi", "nosuch"), 1, "No such image: nosuch:latest"),
        (("history", "nosuch"), 1, "No such image: nosuch:latest"),
        (("rm", "nosuch"), 1, "No such container: nosuch"),
    ],
)
def test_what_is_not_there_is_named_as_docker_does(rootless, words, exit_code, said):
    result = rootless(*words)
    assert (result.exit, said in result.stderr) == (exit_code, True), result.stderr


# --- builds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dockerfile", "Containerfile"])
def test_other_names_of_a_dockerfile(rootless, context, name):
    (context / name).write_text("FROM scratch\nCOPY . /\n")
    rootless.ok("build", "-q", context)


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        ("ARG VERSION\n", ("--build-arg", "VERSOIN=1"), "did you mean VERSION?"),
        ("CMD ['a', 'b']\n", (), "is no JSON array"),
    ],
)
def test_a_slip_in_a_dockerfile_is_a_warning_with_its_cure(rootless, context, text, flags, said):
    (context / "Dockerfile").write_text(f"FROM scratch\n{text}COPY Dockerfile /\n")
    result = rootless("build", *flags, context)
    assert (result.exit, said in result.stderr) == (0, True), result.stderr


@pytest.mark.needs("busybox", "subids")
def test_a_change_of_a_stage_that_is_not_copied_repeats_nothing(
    rootless, busybox_image, context, tmp_path
):
    rootless.load(busybox_image, tmp_path)
    for name in ("used", "other"):
        (context / name).write_text(name)
    (context / "Dockerfile").write_text(
        "FROM busybox AS builder\nCOPY . /src\nRUN mkdir /out && cp /src/used /out/\n"
        "FROM busybox\nCOPY --from=builder /out /out\nRUN cat /proc/sys/kernel/random/uuid >/when\n"
    )

    def when():
        rootless.ok("build", "-t", "test", context)
        return rootless.ok("run", "--rm", "--network=none", "test", "cat", "/when", "/out/used")

    first = when()
    (context / "other").write_text("changed")
    assert when() == first
    (context / "used").write_text("changed")
    assert when() != first


# --- pulls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", ["[]", "null"])
def test_an_image_without_layers_is_pulled_and_loaded(rootless, tmp_path, nothing):
    """As other tools write it: docker has null where Go has no list."""
    config = (
        f'{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":{nothing}}}}}'
    )
    one = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest(config.encode()),
    }
    one["size"] = len(config)
    start = f'{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{json.dumps(one)}'
    manifest = f'{start},"layers":{nothing}}}'
    parts = serving_parts("a/b", {"1": manifest.encode()}, {one["digest"]: config.encode()})
    with HostileRegistry(parts) as registry:
        name = f"{registry.address}/a/b:1"
        rootless.ok("pull", "-q", name)
    rootless.ok("build", "-t", "test", "-", stdin=f"FROM {name}\nCOPY <<E /f\nx\nE\n")
    rootless.ok("save", "-o", tmp_path / "test.tar", "test")
    assert flattened.read(tmp_path / "test.tar")[0]["f"].content == "x\n"


def test_piped_output_comes_in_the_order_it_happened(rootless, image):
    with HostileRegistry(serving(image, "a/b")) as registry:
        argv = rootless.command("pull", f"{registry.address}/a/b:1")
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
            env=rootless.environment,
        )  # fmt: skip
    words = ("Pulling from", "Pulling fs layer", "Pull complete", "Digest:", "Status:")
    places = [done.stdout.index(one) for one in words]
    assert places == sorted(places), done.stdout


def slowly(body):
    """An answer that takes a second, for the bars to be drawn meanwhile."""
    yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    for at in range(0, len(body), 10_000):
        yield body[at : at + 10_000]
        time.sleep(0.05)


def test_a_pull_on_a_terminal_shows_rate_and_total(rootless, image):
    honest = serving(image, "a/b")

    def respond(request):
        answer = honest(request)
        return Answer(raw=slowly(answer.body)) if "/blobs/" in request.path else answer

    with HostileRegistry(respond) as registry:
        argv = rootless.command("pull", f"{registry.address}/a/b:1")
        terminal = Terminal(argv, rootless.environment)
        try:
            said = terminal.expect("Status: ")
        finally:
            assert terminal.close() == 0
    assert re.search(r"[0-9.]+ ?[kM]?B/s", said), said
    assert re.search(r"[0-9.]+ ?k?B */ *[0-9.]+ ?kB", said), said


def test_a_web_page_is_called_so(rootless):
    page = Answer(200, b"<!DOCTYPE html><html>log in</html>", {"Content-Type": "text/html"})
    with HostileRegistry(lambda _: page) as registry:
        refused = rootless("pull", f"{registry.address}/a/b:1")
    assert (refused.exit, "web page" in refused.stderr) == (1, True), refused.stderr


def test_an_interrupted_pull_is_no_traceback(rootless, image):
    """While a blob stalls in its middle, and a worker waits for the rest."""
    honest = serving(image, "a/b")
    config = json.loads(image.blob(image.manifest_digest))["config"]["digest"]
    stalled = []

    def respond(request):
        answer = honest(request)
        if "/blobs/" not in request.path or request.path.endswith(config):
            return answer
        stalled.append(request)
        return answer._replace(cut=1000, stall=120)

    with HostileRegistry(respond) as registry:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        argv = rootless.command("pull", f"{registry.address}/a/b:1")
        running = subprocess.Popen(argv, env=rootless.environment, start_new_session=True, **pipes)
        while not stalled and running.poll() is None:
            time.sleep(0.02)
        time.sleep(1)  # the worker has begun to wait
        os.killpg(running.pid, signal.SIGINT)
        told = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "Traceback" not in "".join(told)
