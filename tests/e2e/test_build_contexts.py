"""Contexts that are no directory: standard input, archives, the web, git; as docker reads them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import signal
import subprocess
import tarfile
import time

import pytest
import zstandard

from tests.support import flattened
from tests.support.hostile_registry import Answer
from tests.support.terminal import Terminal
from tests.support.website import Website, packed

pytestmark = pytest.mark.needs("userns", "overlay")

COPY_ALL = b"FROM scratch\nCOPY . /all/\n"
FILES = {
    "Dockerfile": COPY_ALL,
    ".dockerignore": b"*.log\n",
    "a.log": b"log",
    "b.txt": b"b",
    "sub/Dockerfile": b"FROM scratch\nCOPY b.txt /fromsub\n",
}
NAMES = {*FILES, "sub"}
PLAIN = packed(FILES, "w")
PACKERS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}
with_git = pytest.mark.needs("git")


@pytest.fixture
def server(tmp_path):
    with Website(tmp_path / "repositories") as running:
        yield running


@pytest.fixture
def attempt(rootless, tmp_path):
    """`attempt(*argv, stdin=bytes)` → how the build ended, as a CompletedProcess of text."""
    (tmp_path / "empty").mkdir()

    def run(*argv, stdin=b"", **options):
        command = rootless.command("build", "--progress", "plain", "-t", "test", *argv)
        options = {"cwd": tmp_path / "empty", "env": rootless.environment, **options}
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, **options)
        done.stderr = done.stderr.decode()
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def build(rootless, attempt, tmp_path):
    """`build(*argv, stdin=bytes)` → the image's files by path."""

    def run(*argv, **options):
        done = attempt(*argv, **options)
        assert done.returncode == 0, done.stderr
        assert os.listdir(rootless.root / "tmp") == []
        rootless.ok("save", "-o", tmp_path / "test.tar", "test")
        return flattened.read(tmp_path / "test.tar")[0]

    return run


def below(files, folder="all"):
    return {name.removeprefix(f"{folder}/") for name in files if name.startswith(f"{folder}/")}


@pytest.mark.parametrize("packer", PACKERS)
def test_an_archive_on_standard_input(build, packer):
    files = build("-", stdin=PACKERS[packer](PLAIN))
    assert below(files) == NAMES
    assert files["all/b.txt"][:2] == ("b", 0o640)


def test_another_dockerfile_in_it(build):
    assert set(build("-f", "sub/Dockerfile", "-", stdin=PLAIN)) == {"fromsub"}
    assert set(build("-f", "./sub/../sub/Dockerfile", "-", stdin=PLAIN)) == {"fromsub"}


def test_a_dockerfile_of_the_users_own(build, tmp_path):
    own = tmp_path / "own"
    own.write_text("FROM scratch\nCOPY b.txt /own\n")
    assert set(build("-f", own, "-", stdin=PLAIN)) == {"own"}


def test_a_file_to_leave_out_files_by(build, tmp_path):
    ignore = tmp_path / "ignore"
    ignore.write_text("sub\n*.txt\n")
    assert below(build("--ignorefile", ignore, "-", stdin=PLAIN)) == {
        "Dockerfile",
        ".dockerignore",
        "a.log",
    }


@pytest.mark.needs("subids")
def test_files_keep_their_owners(build):
    stdin = packed(FILES, uid=1234)
    files = build("-", stdin=stdin)
    assert (files["all/b.txt"].uid, files["all/b.txt"].gid) == (1234, 0)
    assert files["all"].uid == 0


@pytest.mark.needs("subids")
def test_another_owner_is_another_step(attempt):
    attempt("-", stdin=packed(FILES, uid=1))
    assert "CACHED" in attempt("-", stdin=packed(FILES, "w:xz", uid=1)).stderr
    assert "CACHED" not in attempt("-", stdin=packed(FILES, uid=2)).stderr


def test_an_archive_that_is_a_file(build, tmp_path):
    (tmp_path / "context.tgz").write_bytes(gzip.compress(PLAIN))
    assert below(build(tmp_path / "context.tgz")) == NAMES


def test_a_file_that_is_none(attempt, tmp_path):
    (tmp_path / "Dockerfile").write_bytes(COPY_ALL)
    done = attempt(tmp_path / "Dockerfile")
    assert done.returncode == 1
    assert "neither a directory nor an archive" in done.stderr
    assert f"-f {tmp_path}/Dockerfile DIRECTORY" in done.stderr


def test_a_dockerfile_on_standard_input(build, attempt):
    assert set(build("-", stdin=b"FROM scratch\nCOPY <<a /\nhi\na\n")) == {"a"}
    done = attempt("-f", "x", "-", stdin=COPY_ALL)
    assert done.returncode != 0
    assert "-f cannot be used when the context is a Dockerfile" in done.stderr
    done = attempt("-f", "-", "-", stdin=COPY_ALL)
    assert done.returncode != 0


def hostile(name, kind=tarfile.REGTYPE, link=""):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in {"Dockerfile": COPY_ALL}.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, link
        tar.addfile(entry)
    return out.getvalue()


UNSOUND = {
    "climbs": hostile("../../escaped"),
    "climbs later": hostile("a/../../escaped"),
    "hard link out": hostile("hard", tarfile.LNKTYPE, "../../../etc/passwd"),
    "hard link to the root": hostile("hard", tarfile.LNKTYPE, "/etc/passwd"),
    "cut": gzip.compress(PLAIN)[:-20],
    "cut in a file": PLAIN[:530],
    "no tar in it": gzip.compress(COPY_ALL),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_an_archive_that_is_unsound(attempt, name, rootless, tmp_path):
    done = attempt("-", stdin=UNSOUND[name])
    assert done.returncode == 1, done.stderr
    assert os.listdir(rootless.root / "tmp") == []
    assert not list(tmp_path.rglob("escaped"))


def test_links_of_an_archive_end_inside_it(build, attempt, tmp_path):
    (tmp_path / "secret").write_text("secret")
    stdin = hostile("Dockerfile.x", tarfile.SYMTYPE, f"{tmp_path}/secret")
    done = attempt("-f", "Dockerfile.x", "-", stdin=stdin)
    assert done.returncode != 0
    assert "secret\n" not in done.stderr
    files = build("-", stdin=stdin)
    assert files["all/Dockerfile.x"].content == f"-> {tmp_path}/secret"


def test_an_archive_without_a_dockerfile(attempt):
    done = attempt("-", stdin=packed({"Dockefile": COPY_ALL}))
    assert done.returncode == 1
    assert "Dockerfile: there is no such file in standard input" in done.stderr
    assert "did you mean -f Dockefile?" in done.stderr
    done = attempt("-f", "../../x", "-", stdin=PLAIN)
    assert done.returncode == 1
    assert "there is no such file" in done.stderr


def test_nothing_on_standard_input(attempt):
    assert attempt("-").returncode == 1


def test_an_archive_on_the_web(build, server):
    server.files["/c"] = Answer(200, gzip.compress(PLAIN))
    assert below(build(f"{server.url}/c?token=x")) == NAMES
    assert set(build("-f", "sub/Dockerfile", f"{server.url}/c")) == {"fromsub"}


def test_a_dockerfile_on_the_web(build, server):
    server.files["/Dockerfile"] = Answer(200, COPY_ALL)
    files = build(f"{server.url}/Dockerfile")
    assert below(files) == {"context"}
    assert files["all/context"][:2] == (COPY_ALL.decode(), 0o600)


def test_a_dockerfile_on_the_web_for_a_directory(build, server, tmp_path):
    server.files["/Dockerfile"] = Answer(200, COPY_ALL)
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a").touch()
    (tmp_path / "context" / "b").touch()
    (tmp_path / "context" / ".dockerignore").write_text("b\n")
    files = build("-f", f"{server.url}/Dockerfile", tmp_path / "context")
    assert below(files) == {"a", ".dockerignore"}


def test_what_is_not_on_the_web(attempt, server):
    assert "is answered with: 404" in attempt(f"{server.url}/nosuch").stderr
    server.files["/cut"] = Answer(200, gzip.compress(os.urandom(4000)), cut=50)
    assert attempt(f"{server.url}/cut").returncode == 1
    assert attempt("file:///etc").returncode == 1


def test_a_text_without_an_end(attempt, server):
    def endless():
        yield b"HTTP/1.0 200 OK\r\n\r\n"
        while True:
            yield b"FROM x\n" * 512

    server.files["/Dockerfile"] = Answer(raw=endless())
    assert "is larger than 16 MiB" in attempt(f"{server.url}/Dockerfile").stderr


@pytest.fixture
def repository(server):
    made = server.repositories.make("r.git")
    made.first = made.commit(
        {
            "Dockerfile": "FROM scratch\nCOPY . /all/\n",
            ".dockerignore": "*.log\n",
            "x.log": "log\n",
            "d/Dockerfile": "FROM scratch\nCOPY . /sub/\n",
        }
    )
    made.git("tag", "v1")
    made.second = made.commit({"new": "2\n"})
    return made


OLD = {"Dockerfile", ".dockerignore", "x.log", "d", "d/Dockerfile"}


@with_git
@pytest.mark.parametrize(
    ("rest", "expected"),
    [("", OLD | {"new"}), ("#v1", OLD), ("?tag=v1", OLD), ("?branch=main", OLD | {"new"})],
)
def test_a_repository(build, server, repository, rest, expected):
    assert below(build(f"{server.url}/git/r.git{rest}")) == expected


@with_git
def test_a_folder_of_a_repository(build, server, repository):
    assert below(build(f"{server.url}/git/r.git#v1:d"), "sub") == {"Dockerfile"}
    assert below(build("-f", "d/Dockerfile", f"{server.url}/git/r.git#v1"), "sub") == OLD


@with_git
def test_the_repository_itself_is_kept(build, server, repository):
    keep = ("--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1")
    files = build(*keep, f"{server.url}/git/r.git#v1")
    assert files["all/.git/HEAD"].content.strip() == repository.first
    files = build(f"{server.url}/git/r.git?keep-git-dir&ref=v1")
    assert "all/.git/HEAD" in files


@with_git
def test_an_unchanged_repository_runs_nothing(attempt, server, repository):
    attempt(f"{server.url}/git/r.git")
    assert "CACHED" in attempt(f"{server.url}/git/r.git").stderr
    repository.commit({"new": "3\n"})
    assert "CACHED" not in attempt(f"{server.url}/git/r.git").stderr


@with_git
@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("#--upload-pack=touch marker", "is not a git ref"),
        ("#main:../../etc", "has no folder 'etc'"),
        ("#nosuch", "has no branch or tag 'nosuch'"),
        ("?foo=1", "'foo' is nothing that a git URL can ask for"),
        ("#v1:d/e", "has no folder"),
    ],
)
def test_a_repository_that_does_not_have_it(attempt, server, repository, rest, words, rootless):
    done = attempt(f"{server.url}/git/r.git{rest}")
    assert done.returncode != 0
    assert words in done.stderr
    if (rootless.root / "tmp").exists():
        assert os.listdir(rootless.root / "tmp") == []


@pytest.mark.parametrize(
    "place",
    [
        "ssh://-oProxyCommand=touch${IFS}marker/x",
        "git@-oProxyCommand:x",
        "ext::sh -c touch% marker",
    ],
)
def test_places_that_are_commands(attempt, place, tmp_path):
    assert attempt(place).returncode != 0
    assert not list(tmp_path.rglob("marker"))


def test_killed_while_a_context_comes(rootless, server, attempt):
    def endless():
        yield b"HTTP/1.0 200 OK\r\n\r\n" + packed({"big": bytes(1 << 20)}, "w")[:-1024]
        while True:
            yield packed({"big": bytes(1 << 20)}, "w")[:-10240]

    server.files["/c"] = Answer(raw=endless())
    process = subprocess.Popen(
        rootless.command("build", f"{server.url}/c"),
        env=rootless.environment,
        stderr=subprocess.DEVNULL,
    )
    tmp = rootless.root / "tmp"
    deadline = time.monotonic() + 60
    while not list(tmp.glob("*/tree/big")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert attempt("-", stdin=PLAIN).returncode == 0
    assert os.listdir(tmp) == []


def test_podmans_names(build, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    (context / "Containerfile").write_bytes(COPY_ALL)
    (context / ".containerignore").write_text("secret\n")
    (context / "secret").touch()
    assert below(build(context)) == {"Containerfile", ".containerignore"}
    (context / ".dockerignore").write_text(".containerignore\n")
    assert below(build(context)) == {"Containerfile", ".dockerignore", "secret"}
    (context / "other").write_text("FROM scratch\nCOPY Containerfile /other\n")
    assert set(build("-f", "other", context)) == {"other"}


def test_all_of_no_context_is_nothing(build, attempt):
    """As in docker; but a file that is named is missed, with the way out."""
    assert set(build("-", stdin=b"FROM scratch\nCOPY . /x/\nCOPY * /y/\n")) == {"x"}
    done = attempt("-", stdin=b"FROM scratch\nCOPY a /\n")
    assert done.returncode == 1
    assert "there is no build context to copy from" in done.stderr


@with_git
def test_a_repository_that_wants_a_login(attempt, server, repository, tmp_path):
    honest = server.respond
    basic = "basic eC1hY2Nlc3MtdG9rZW46c2VjcmV0"  # x-access-token:secret

    def respond(request):
        if request.headers.get("Authorization") not in (basic, "Basic bWU6dG9v"):
            return Answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
        return honest(request)

    server.respond = respond
    url = f"{server.url}/git/r.git"
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "header").write_text("Basic bWU6dG9v\n")
    assert "cannot be fetched" in attempt(url).stderr
    for name, file in (
        ("GIT_AUTH_TOKEN", "token"),
        (f"GIT_AUTH_TOKEN.{server.address}", "token"),
        ("GIT_AUTH_HEADER", "header"),
    ):
        done = attempt("--secret", f"id={name},src={tmp_path / file}", "--no-cache", url)
        assert done.returncode == 0, done.stderr
    done = attempt("--secret", f"id=GIT_AUTH_TOKEN.e.com,src={tmp_path / 'token'}", url)
    assert "cannot be fetched" in done.stderr
    assert "secret" not in done.stderr


def fetches(server):
    """How often git has asked for objects since the last time, and for anything at all."""
    asked = list(server.requests)
    server.requests.clear()
    return sum(b"command=fetch" in one.body for one in asked), len(asked)


@with_git
def test_a_commit_comes_once(attempt, build, server, repository, rootless):
    url = f"{server.url}/git/r.git"
    files = build(url)
    assert fetches(server)[0] == 1
    assert build(url) == files
    assert fetches(server) == (0, 2), "only which commit it is"
    assert below(build(f"{url}#main:d"), "sub") == {"Dockerfile"}
    assert fetches(server)[0] == 0, "a folder of the same commit"
    build(f"{url}#{repository.second}")
    assert fetches(server) == (0, 0), "a commit's whole name is that of one thing"
    filters = ("--filter", "type=source.git.checkout")
    (line,) = rootless.ok("builder", "du", *filters, "--format", "json").splitlines()
    kept = json.loads(line)
    assert kept["Description"] == f"git repository {url}#{repository.second}"
    repository.commit({"new": "3\n"})
    assert build(url)["all/new"][0] == "3\n"
    assert fetches(server)[0] == 1
    rootless.ok("builder", "prune", "-af")
    assert os.listdir(rootless.root / "cache" / "sources") == []
    assert build(f"{url}#v1").keys() == files.keys() - {"all/new"}
    assert os.listdir(rootless.root / "tmp") == []


@with_git
def test_an_add_and_a_context_have_one_commit(attempt, build, server, repository):
    url = f"{server.url}/git/r.git"
    build(url)
    fetches(server)
    files = build("-", stdin=f"FROM scratch\nADD {url} /all/\n".encode())
    assert below(files) == {".dockerignore", "Dockerfile", "d", "d/Dockerfile", "new", "x.log"}
    assert fetches(server)[0] == 0


@with_git
def test_two_that_want_a_commit_at_once(rootless, server, repository):
    command = rootless.command("build", "-q", f"{server.url}/git/r.git")
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, env=rootless.environment, stdout=pipe) for _ in range(2)]
    ids = {one.communicate()[0] for one in both}
    assert [one.returncode for one in both] == [0, 0]
    assert len(ids) == 1
    assert len(os.listdir(rootless.root / "cache" / "sources")) == 1


def test_an_archive_with_an_etag_comes_once(build, server, rootless):
    server.files["/c"] = Answer(200, gzip.compress(PLAIN), {"ETag": '"one"'})
    files = build(f"{server.url}/c")
    assert server.asked() == ["GET /c"]
    assert build(f"{server.url}/c") == files
    assert server.asked() == ["HEAD /c"]
    other = packed({"Dockerfile": COPY_ALL, "other": b"o"}, "w")
    server.files["/c"] = Answer(200, other, {"ETag": '"two"'})
    assert below(build(f"{server.url}/c")) == {"Dockerfile", "other"}
    assert server.asked() == ["HEAD /c", "GET /c"]
    assert len(os.listdir(rootless.root / "cache" / "sources")) == 1, "the older one is gone"
    (kept,) = (rootless.root / "cache" / "sources").iterdir()
    (kept / "source.json").write_text("{")
    assert below(build(f"{server.url}/c")) == {"Dockerfile", "other"}
    assert server.asked() == ["GET /c"]


def test_what_nobody_has_used_for_a_week_goes(build, server, rootless):
    server.files["/c"] = Answer(200, PLAIN, {"ETag": '"one"'})
    server.files["/d"] = Answer(200, PLAIN, {"ETag": '"two"'})
    build(f"{server.url}/c")
    (kept,) = (rootless.root / "cache" / "sources").iterdir()
    week = time.time() - 8 * 86_400
    os.utime(kept / "source.json", (week, week))
    build(f"{server.url}/d")
    assert not kept.exists()


@with_git
def test_a_terminal_is_shown_how_much_has_come(rootless, server, repository):
    server.files["/c"] = Answer(200, gzip.compress(PLAIN), {})
    for place, shown in (("/c", "B of "), ("/git/r.git", "objects: 100%")):
        command = rootless.command("build", f"{server.url}{place}")
        terminal = Terminal(command, rootless.environment)
        said = terminal.expect(f"\x1b[Kfetching the context {server.url}{place}\r\n")
        assert shown in said
        assert terminal.close() == 0


@with_git
def test_what_is_fetched_is_said(attempt, server, repository):
    url = f"{server.url}/git/r.git"
    assert f"fetching the context {url}\n" in attempt(url).stderr
    assert "fetching" not in attempt("-q", url).stderr
