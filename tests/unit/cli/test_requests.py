"""The curl lines of --explain: what they show, and what they must not."""

from __future__ import annotations

import io

from rootless.cli.requests import Script
from rootless.oci.digest import Digest
from rootless.registry.http import Exchange, Request
from rootless.registry.url import Url, parse

BLOB = Digest("sha256", "ab" * 32)
BASE = "https://registry.example/v2/"


def told(request, url=None, status=200, answer=None):
    out = io.StringIO()
    place = url or parse(request.place, parse(BASE))
    script = Script(out, "/my store", tls_verify=True)
    script(Exchange(request, place, status, answer or {}))
    return out.getvalue().splitlines()


def test_a_question_with_its_reason_and_answer():
    request = Request("HEAD", f"a/b/blobs/{BLOB}", why="is it there?")
    assert told(request, status=404) == [
        "# is it there?",
        f"curl -s -I {BASE}a/b/blobs/{BLOB}",
        "# → 404 Not Found",
        "",
    ]


def test_a_token_goes_into_a_variable_and_so_does_a_login():
    headers = {"Authorization": "Basic c2VjcmV0"}
    url = "https://auth.example/token?scope=x"
    _, line, *_ = told(Request("GET", url, headers, gives="TOKEN"))
    assert line.startswith(f"TOKEN=$(curl -s -u \"$LOGIN\" '{url}' | sed ")
    assert "c2VjcmV0" not in line


def test_an_identity_token_is_a_variable():
    body = b"grant_type=refresh_token&refresh_token=s3cret&scope=a+b"
    _, line, *_ = told(Request("POST", "https://auth.example/token", {}, body, gives="TOKEN"))
    assert '--data-urlencode refresh_token="$REFRESH_TOKEN"' in line
    assert "--data-urlencode 'scope=a b'" in line
    assert "s3cret" not in line


def test_where_a_redirect_leads_is_not_shown():
    """Such addresses have a signature that lets anybody in."""
    request = Request("GET", f"a/b/blobs/{BLOB}", why="it sends us there")
    _, line, *_ = told(request, parse("https://cdn.example/x?signature=s3cret"))
    assert line == "# GET https://cdn.example/…"


def test_an_upload_goes_on_at_a_variable_with_a_part_of_a_file():
    headers = {"Authorization": "Bearer t0ken", "Content-Range": "100-299", "Content-Length": "200"}
    url = "https://registry.example/v2/uploads/1?_state=s3cret"
    request = Request("PATCH", url, headers, iter(()), gives="UPLOAD", blob=BLOB)
    _, line, *_ = told(request, answer={"Location": "/v2/uploads/2"})
    name = BLOB.hex[:8]
    assert line.startswith(f"UPLOAD_{name}=https://registry.example$(curl -s -X PATCH ")
    assert f"-T <(tail -c +101 '/my store/blobs/sha256/{BLOB.hex}' | head -c 200)" in line
    assert f'"$UPLOAD_{name}"' in line
    assert "s3cret" not in line
    assert "t0ken" not in line


def test_an_upload_ends_with_its_digest():
    url = f"https://registry.example/v2/uploads/1?_state=s3cret&digest={BLOB}"
    _, line, *_ = told(Request("PUT", url, {}, blob=BLOB))
    assert line == f"curl -s -X PUT -d '' \"$UPLOAD_{BLOB.hex[:8]}&digest={BLOB}\""


def test_what_a_registry_says_is_made_safe_to_show():
    lines = told(Request("GET", "a"), answer={"Content-Type": "\x1b[31mred\nmore"})
    assert "\x1b" not in "".join(lines)
    assert len(lines) == 4


def test_a_manifest_is_shown_as_it_goes():
    request = Request("PUT", "a/manifests/1", {"Content-Type": "x/y"}, b'{"it\'s":1}')
    _, line, *_ = told(request)
    assert "-H 'Content-Type: x/y'" in line
    assert """--data-binary '{"it'"'"'s":1}'""" in line or "--data-binary $'" in line


def test_where_an_upload_goes_on_is_one_word():
    """The address is what the registry chose: a script that is pasted must not run it."""
    place = Url("https", "x$(id).example", path="/v2/uploads/1", query="_state=s")
    request = Request("PATCH", place.url, {}, iter(()), gives="UPLOAD", blob=BLOB)
    _, line, *_ = told(request, place, answer={"Location": "/v2/uploads/2"})
    start = "'https://x$(id).example'"
    assert line.startswith(f"UPLOAD_{BLOB.hex[:8]}={start}$(curl -s -X PATCH ")
