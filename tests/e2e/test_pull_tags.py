"""`pull --all-tags`: the list of tags, page by page, and every image on it."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.hostile_registry import INDEX, Answer, HostileRegistry, serving, serving_parts
from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns")


@pytest.fixture
def image(tmp_path):
    return write_layout(tmp_path / "layout", "x:1", [layer({"f": b"x"})])


def paged(honest, pages):
    """`pages` are lists of tags; each but the last leads to the next."""

    def respond(request):
        url = urlsplit(request.path)
        if not url.path.endswith("/tags/list"):
            return honest(request)
        number = int(parse_qs(url.query).get("page", ["0"])[0])
        host = ("", "https://127.0.0.1:1")[number % 2]  # as proxies and those behind them say it
        more = {"Link": f'<{host}{url.path}?page={number + 1}>; rel="next"'}
        body = json.dumps({"name": "a/b", "tags": pages[number]}).encode()
        return Answer(200, body, more if number + 1 < len(pages) else {})

    return respond


def tags_here(rootless):
    return rootless.ok("images", "--format", "{{.Tag}}").split()


@pytest.mark.needs("registry")
def test_every_tag_is_pulled(rootless, registry, image, tmp_path):
    other = write_layout(tmp_path / "other", "x:1", [layer({"g": b"x"})])
    for tag, one in (("1", image), ("2", other), ("latest", image)):
        registry.push(one, f"tags/app:{tag}")
    name = f"{registry.address}/tags/app"
    said = rootless.ok("pull", "-a", name)
    assert {line for line in said.splitlines() if "Pulling from" in line} == {
        f"{tag}: Pulling from tags/app" for tag in ("1", "2", "latest")
    }
    assert said.endswith(f"Status: Downloaded newer image for {name}\n{name}\n")
    assert sorted(tags_here(rootless)) == ["1", "2", "latest"]
    again = rootless.ok("pull", "--all-tags", name)
    assert again.endswith(f"Status: Image is up to date for {name}\n{name}\n")
    assert rootless.ok("pull", "-aq", name) == f"{name}\n"


def test_pages_are_followed_and_tags_count_once(rootless, image):
    honest = serving(image, "a/b", "1")

    def any_tag(request):
        path = request.path
        tagged = "/manifests/" in path and "sha256:" not in path
        return honest(request._replace(path="/v2/a/b/manifests/1") if tagged else request)

    with HostileRegistry(paged(any_tag, [["1", "2"], [], None, ["2", "v3.0_x"]])) as registry:
        rootless.ok("pull", "-a", f"{registry.address}/a/b")
        asked = [path for path in registry.paths() if "/tags/list" in path]
    assert asked == ["/v2/a/b/tags/list", *(f"/v2/a/b/tags/list?page={n}" for n in (1, 2, 3))]
    assert sorted(tags_here(rootless)) == ["1", "2", "v3.0_x"]


def test_what_is_for_other_machines_is_told_and_the_rest_is_pulled(rootless, image):
    entry = {"mediaType": INDEX, "digest": "sha256:" + "a" * 64, "size": 1}
    foreign = {"os": "windows", "architecture": "amd64"}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**entry, "platform": foreign}]}
    manifest = image.blob(image.manifest_digest)
    descriptors = [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]
    blobs = {one["digest"]: image.blob(one["digest"]) for one in descriptors}
    manifests = {"win": json.dumps(index).encode(), "1": manifest}
    honest = serving_parts("a/b", manifests, blobs)
    with HostileRegistry(paged(honest, [["win", "gone", "1"]])) as registry:
        done = rootless("pull", "-a", f"{registry.address}/a/b")
    assert done.exit == 1
    assert "win: " in done.stderr
    assert "gone: " in done.stderr
    assert tags_here(rootless) == ["1"]


@pytest.mark.parametrize("name", ["a/b:1", "a/b:latest", "a/b@sha256:" + "a" * 64])
def test_a_tag_and_all_tags_are_too_much(rootless, name):
    done = rootless("pull", "-a", f"127.0.0.1:1/{name}")
    assert done.exit == 1
    assert "tag can't be used with --all-tags/-a" in done.stderr


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, b'{"tags": null}'), "has no tags"),
        (Answer(200, b'{"tags": []}'), "has no tags"),
        (Answer(200, b"[]"), "what is no tag"),
        (Answer(200, b'{"tags": "1"}'), "what is no tag"),
        (Answer(200, b'{"tags": ["1", 2]}'), "what is no tag"),
        (Answer(200, b'{"tags": ["../x"]}'), "what is no tag"),
        (Answer(200, b'{"tags": ["a\\u001b[2J"]}'), "what is no tag"),
        (Answer(200, b"{"), "is damaged"),
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), "web page"),
        (Answer(200, b" " * (5 << 20)), "larger than 4 MiB"),
        (Answer(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}'), "was not found on"),
    ],
)
def test_what_is_no_list_of_tags(rootless, answer, words):
    def respond(request):
        return answer if "/tags/" in request.path else Answer(200, b"{}")

    with HostileRegistry(respond) as registry:
        done = rootless("pull", "-a", f"{registry.address}/a/b")
    assert done.exit == 1
    assert words in done.stderr
    assert tags_here(rootless) == []


@pytest.mark.parametrize("tags", ["none", "new ones"])
def test_a_list_without_end_is_left(rootless, tags):
    def respond(request):
        number = len(registry.requests)
        found = [f"{number}.{n}" for n in range(500)] if tags == "new ones" else []
        more = {"Link": '</v2/a/b/tags/list>; rel="next"'}
        return Answer(200, json.dumps({"tags": found}).encode(), more)

    with HostileRegistry(respond) as registry:
        done = rootless("pull", "-a", f"{registry.address}/a/b", timeout=120)
        assert len(registry.requests) <= 502
    assert done.exit == 1
    assert "does not end" in done.stderr


def test_a_next_page_elsewhere_is_not_asked_for(rootless, image):
    two = Answer(200, b'{"tags": ["2"]}')
    with HostileRegistry(lambda request: two, "127.0.0.2") as other:
        honest = serving(image, "a/b")

        def respond(request):
            if "/tags/" not in request.path:
                return honest(request)
            more = {"Link": f'<http://{other.address}/v2/a/b/tags/list>; rel="next"'}
            return Answer(200, b'{"tags": ["1"]}', more)

        with HostileRegistry(respond) as registry:
            done = rootless("pull", "-a", f"{registry.address}/a/b")
        assert (done.exit, other.requests) == (1, [])
        assert "on 127.0.0.2; refused" in done.stderr
