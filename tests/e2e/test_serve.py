"""`registry serve`: other tools pull what is here, and push where they may."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "skopeo")


@contextmanager
def serving(rootless, *flags):
    """The address of a server of this store."""
    argv = rootless.command("registry", "serve", "--listen", "127.0.0.1:0", *flags)
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=rootless.environment
    )
    try:
        line = process.stdout.readline()
        yield re.search(r"http://(\S+) ", line).group(1)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "Traceback" not in err


def ask(address, method, path, body=b"", **headers):
    connection = http.client.HTTPConnection(address, timeout=120)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def skopeo(*argv):
    done = subprocess.run(
        ["skopeo", *argv], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def built(rootless, busybox_image, tmp_path):
    """A store with busybox and an image built on it, whose layer is no blob."""
    rootless.load(busybox_image, tmp_path)
    rootless.ok("build", "-q", "-t", "app:1", "-", stdin="FROM busybox\nRUN echo one > /f\n")
    rootless.ok("tag", "app:1", "app:2")
    return rootless


def test_skopeo_and_another_store_pull_what_was_built(built, tmp_path):
    other = Rootless(tmp_path / "other")
    with serving(built) as address:
        name = f"{address}/app:1"
        skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/l:x")
        assert other.ok("pull", "-q", name) == f"{name}\n"
        assert other.ok("run", "--rm", "--network", "none", name, "cat", "/f") == "one\n"
        listed = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{address}/app"))
        assert listed["Tags"] == ["1", "2"]
        mine = json.loads(built.ok("inspect", "app:1"))[0]
    assert skopeo("inspect", "--config", "--raw", f"oci:{tmp_path}/l:x")
    assert json.loads(other.ok("inspect", name))[0]["Id"] == mine["Id"]
    child.remove_tree(tmp_path / "other")


@pytest.mark.needs("podman")
def test_podman_pulls_and_pushes(built, tmp_path):
    short = tempfile.mkdtemp()  # podman's runroot may not be longer than 50 characters
    roots = ["--root", tmp_path / "podman", "--runroot", short]
    podman = ["podman", *roots, "--storage-driver", "vfs"]
    with serving(built, "--writable") as address:
        for words in (
            ["pull", "-q", "--tls-verify=false", f"{address}/app:1"],
            ["tag", f"{address}/app:1", f"{address}/back:1"],
            ["push", "-q", "--tls-verify=false", f"{address}/back:1"],
        ):
            done = subprocess.run(
                [*podman, *words], capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, done.stderr
    assert built.ok("run", "--rm", "--network", "none", "back:1", "cat", "/f") == "one\n"
    child.remove_tree(tmp_path / "podman")
    child.remove_tree(Path(short))


def test_names_as_people_write_them(built):
    with serving(built) as address:
        answers = {
            name: ask(address, "GET", f"/v2/{name}/manifests/latest")[2]
            for name in ("busybox", "library/busybox", "docker.io/library/busybox")
        }
        assert len(set(answers.values())) == 1
        _, _, catalog = ask(address, "GET", "/v2/_catalog")
        assert json.loads(catalog) == {"repositories": ["app", "busybox"]}
        status, headers, first = ask(address, "GET", "/v2/app/tags/list?n=1")
        assert (status, json.loads(first)["tags"]) == (200, ["1"])
        following = re.search("<(.*)>", headers["Link"]).group(1)
        assert json.loads(ask(address, "GET", following)[2])["tags"] == ["2"]


def test_a_layer_that_is_no_blob_is_sent_whole_and_from_an_offset(built):
    with serving(built) as address:
        manifest = json.loads(ask(address, "GET", "/v2/app/manifests/1")[2])
        last = manifest["layers"][-1]
        path = f"/v2/app/blobs/{last['digest']}"
        status, headers, whole = ask(address, "GET", path)
        assert (status, len(whole)) == (200, last["size"])
        assert f"sha256:{hashlib.sha256(whole).hexdigest()}" == last["digest"]
        assert ask(address, "HEAD", path)[1]["Content-Length"] == headers["Content-Length"]
        status, headers, rest = ask(address, "GET", path, Range="bytes=700-")
        assert (status, rest) == (206, whole[700:])
        assert headers["Content-Range"] == f"bytes 700-{len(whole) - 1}/{len(whole)}"
        assert ask(address, "GET", path, Range=f"bytes={len(whole)}-")[0] == 416


def test_what_is_tagged_while_it_serves_is_there_at_once(built):
    with serving(built) as address:
        assert ask(address, "GET", "/v2/app/manifests/new")[0] == 404
        built.ok("tag", "app:1", "app:new")
        assert ask(address, "GET", "/v2/app/manifests/new")[0] == 200
        built.ok("rmi", "app:new")
        assert ask(address, "GET", "/v2/app/manifests/new")[0] == 404


def test_what_was_served_is_not_kept_for_ever(built):
    with serving(built) as address:
        manifest = json.loads(ask(address, "GET", "/v2/app/manifests/1")[2])
        digest = manifest["layers"][-1]["digest"]
        assert ask(address, "GET", f"/v2/app/blobs/{digest}")[0] == 200
        built.ok("rmi", "app:1", "app:2")
        built.ok("system", "prune", "-af")
        folder = built.root / "layers" / digest.partition(":")[2][:12]
        assert not folder.exists()
        assert ask(address, "GET", f"/v2/app/blobs/{digest}")[0] == 404


def test_nothing_is_given_out_by_its_digest_alone(built):
    """A blob of one repository is not another's, and what has no name is nobody's."""
    with serving(built) as address:
        manifest = json.loads(ask(address, "GET", "/v2/app/manifests/1")[2])
        digest = manifest["layers"][-1]["digest"]
        assert ask(address, "GET", f"/v2/app/blobs/{digest}")[0] == 200
        assert ask(address, "GET", f"/v2/busybox/blobs/{digest}")[0] == 404
        assert ask(address, "GET", f"/v2/../../etc/passwd/blobs/{digest}")[0] == 404


def test_it_is_read_only_unless_told(built):
    with serving(built) as address:
        assert ask(address, "POST", "/v2/app/blobs/uploads/")[0] == 405
        assert ask(address, "PUT", "/v2/app/manifests/3", b"{}")[0] == 405
        assert ask(address, "DELETE", "/v2/app/manifests/1")[0] == 405
    assert "app:3" not in built.ok("images", "--format", "{{.Repository}}:{{.Tag}}")


def test_a_web_page_neither_reads_nor_writes(built):
    with serving(built, "--writable") as address:
        refused = ask(address, "POST", "/v2/app/blobs/uploads/", Origin="http://evil.example")
        assert refused[0] == 403
        assert ask(address, "GET", "/v2/app/manifests/1", Host="evil.example")[0] == 403


def test_a_body_that_nobody_reads_is_no_further_request(built):
    """A web page sends what it likes as a body, and its origin only with what it asks itself."""
    with serving(built, "--writable") as address:
        manifest = ask(address, "GET", "/v2/app/manifests/1")[2]
        head = "PUT /v2/app/manifests/evil HTTP/1.1\r\nHost: localhost\r\n"
        inner = f"{head}Content-Length: {len(manifest)}\r\n\r\n".encode() + manifest
        for outer in ("POST /v2/", "PUT /v2/", "GET /v2/", "GET /v2/app/tags/list", "POST /x"):
            host, port = address.split(":")
            request = f"{outer} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://evil.example\r\n"
            with socket.create_connection((host, int(port)), timeout=120) as raw:
                raw.sendall(f"{request}Content-Length: {len(inner)}\r\n\r\n".encode() + inner)
                answer = b""
                with suppress(ConnectionResetError):
                    while piece := raw.recv(1 << 16):
                        answer += piece
            assert answer.count(b"HTTP/1.1 ") <= 1, answer
        assert ask(address, "GET", "/v2/app/manifests/evil")[0] == 404


def test_an_answer_that_fails_in_its_middle_ends_there(built):
    """Not with another answer inside of it."""
    with serving(built) as address:
        manifest = json.loads(ask(address, "GET", "/v2/app/manifests/1")[2])
        last = manifest["layers"][-1]
        folder = built.root / "layers" / last["digest"].partition(":")[2][:12]
        child.in_child(lambda: (folder / "diff" / "f").write_bytes(b"changed, and longer"))
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=120) as raw:
            path = f"/v2/app/blobs/{last['digest']}"
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = b""
            while piece := raw.recv(1 << 16):
                answer += piece
        assert answer.count(b"HTTP/1.1 ") == 1


def test_a_manifest_that_lies_about_a_size_is_refused(built):
    with serving(built, "--writable") as address:
        _, headers, content = ask(address, "GET", "/v2/app/manifests/1")
        manifest = json.loads(content)
        manifest["layers"][-1]["size"] += 1
        kind = {"Content_Type": headers["Content-Type"]}
        lie = ask(address, "PUT", "/v2/app/manifests/3", json.dumps(manifest).encode(), **kind)
        assert lie[0] == 400
        assert ask(address, "PUT", "/v2/app/manifests/3", content, **kind)[0] == 201


def test_a_push_brings_each_blob_itself(built):
    """What the store has under another name cannot be claimed by a manifest."""
    with serving(built, "--writable") as address:
        _, headers, manifest = ask(address, "GET", "/v2/app/manifests/1")
        media_type = headers["Content-Type"]
        claimed = ask(address, "PUT", "/v2/thief/manifests/1", manifest, Content_Type=media_type)
        assert claimed[0] == 400
        assert b"MANIFEST_INVALID" in claimed[2]
        _, headers, _ = ask(address, "POST", "/v2/thief/blobs/uploads/")
        wrong = ask(address, "PUT", f"{headers['Location']}?digest=sha256:{'0' * 64}", b"x")
        assert (wrong[0], json.loads(wrong[2])["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    assert "thief" not in built.ok("images")


def test_what_was_mounted_or_brought_is_there_before_a_manifest_is(built):
    """docker asks again for what it has just mounted."""
    with serving(built, "--writable") as address:
        manifest = json.loads(ask(address, "GET", "/v2/app/manifests/1")[2])
        digest = manifest["layers"][-1]["digest"]
        path = f"/v2/new/blobs/uploads/?mount={digest}&from="
        assert ask(address, "POST", f"{path}nothing")[0] == 202
        assert ask(address, "HEAD", f"/v2/new/blobs/{digest}")[0] == 404
        assert ask(address, "POST", f"{path}app")[0] == 201
        status, headers, _ = ask(address, "HEAD", f"/v2/new/blobs/{digest}")
        assert (status, headers["Content-Length"]) == (200, str(manifest["layers"][-1]["size"]))
        mine = f"sha256:{hashlib.sha256(b'mine').hexdigest()}"
        assert ask(address, "POST", f"/v2/new/blobs/uploads/?digest={mine}", b"mine")[0] == 201
        assert ask(address, "GET", f"/v2/new/blobs/{mine}")[2] == b"mine"


def test_skopeo_pushes_an_index_and_it_comes_back_the_same(rootless, tmp_path):
    for number, architecture in enumerate(("amd64", "s390x")):
        image = write_layout(
            tmp_path / architecture, "x:1", [layer({"f": bytes([number])})],
            architecture=architecture,
        )  # fmt: skip
        rootless.ok("load", "-i", image.archive(tmp_path / "x.tar"))
        rootless.ok("tag", "x:1", f"x:{architecture}")
    with serving(rootless, "--writable") as address:
        entries = []
        for architecture in ("amd64", "s390x"):
            _, headers, content = ask(address, "GET", f"/v2/x/manifests/{architecture}")
            entries.append({
                "mediaType": headers["Content-Type"], "size": len(content),
                "digest": headers["Docker-Content-Digest"],
                "platform": {"os": "linux", "architecture": architecture},
            })  # fmt: skip
        media_type = "application/vnd.oci.image.index.v1+json"
        index = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
        content = json.dumps(index).encode()
        put = ask(address, "PUT", "/v2/x/manifests/all", content, Content_Type=media_type)
        assert put[0] == 201
        copy = ["copy", "-q", "--all", "--src-tls-verify=false"]
        skopeo(*copy, f"docker://{address}/x:all", f"oci:{tmp_path}/all:x")
        skopeo(*copy, "--dest-tls-verify=false", f"oci:{tmp_path}/all:x", f"docker://{address}/y:1")
        assert ask(address, "GET", "/v2/y/manifests/1")[2] == content


def test_odd_requests_end_in_an_answer(built):
    with serving(built, "--writable") as address:
        for path in ("/", "/v2/x", "/v2/app/nothing/x", "/v2//manifests/1", "/v2/A/manifests/1"):
            assert ask(address, "GET", path)[0] == 404, path
        assert ask(address, "GET", "/v2/app/tags/list?n=-1")[0] == 400
        assert ask(address, "GET", "/v2/_catalog", Host="[bad")[0] == 400
        _, headers, _ = ask(address, "POST", "/v2/app/blobs/uploads/")
        place = headers["Location"]
        host, port = address.split(":")
        for length in ("-1", "9" * 30, "x"):
            with socket.create_connection((host, int(port)), timeout=120) as raw:
                request = f"PATCH {place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}"
                raw.sendall(f"{request}\r\n\r\n".encode())
                raw.shutdown(socket.SHUT_WR)
                answer = raw.recv(100)
            assert answer == b"" or b" 400 " in answer, length
        chunked = {"Transfer_Encoding": "chunked"}
        assert ask(address, "PATCH", place, b"3\r\nabc\r\n0\r\n\r\n", **chunked)[0] == 202
        digest = hashlib.sha256(b"abcd").hexdigest()
        assert ask(address, "PUT", f"{place}?digest=sha256:{digest}", b"d")[0] == 201


def test_a_port_that_is_taken(built):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = built("registry", "serve", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert said.exit == 1
    assert "Address already in use" in said.stderr
    assert "--listen" in said.stderr


def test_digests_by_sha512_are_taken_and_given(rootless):
    """Blobs, and a manifest that is brought by its digest."""
    layer, config = b"not unpacked by anybody", b"{}"

    def sha512(content):
        return f"sha512:{hashlib.sha512(content).hexdigest()}"

    with serving(rootless, "--writable") as address:
        for content in (layer, config):
            wrong = sha512(content + b"x")
            place = f"/v2/a/blobs/uploads/?digest={wrong}"
            assert ask(address, "POST", place, content)[0] == 400
            place = f"/v2/a/blobs/uploads/?digest={sha512(content)}"
            assert ask(address, "POST", place, content)[0] == 201
            status, headers, body = ask(address, "GET", f"/v2/a/blobs/{sha512(content)}")
            assert (status, body) == (200, content)
            assert headers["Docker-Content-Digest"] == sha512(content)
        status, headers, _ = ask(address, "POST", "/v2/a/blobs/uploads/")
        place = headers["Location"]
        assert ask(address, "PATCH", place, b"in two ")[0] == 202
        closing = f"{place}?digest={sha512(b'in two pieces')}"
        assert ask(address, "PUT", closing, b"pieces")[0] == 201

        def described(content, kind):
            return {"mediaType": kind, "digest": sha512(content), "size": len(content)}

        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": described(config, "application/vnd.oci.image.config.v1+json"),
                "layers": [described(layer, "application/vnd.oci.image.layer.v1.tar")],
            }
        ).encode()
        put = f"/v2/a/manifests/{sha512(manifest)}"
        status, headers, _ = ask(address, "PUT", put, manifest, Content_Type=kind)
        assert (status, headers["Docker-Content-Digest"]) == (201, sha512(manifest))
        assert ask(address, "PUT", put, manifest + b" ", Content_Type=kind)[0] == 400
