"""ADD of files on the web and of git repositories: what Docker 28 puts where, and the cache."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time

import pytest

from tests.support import flattened
from tests.support.hostile_registry import Answer
from tests.support.repositories import TIME
from tests.support.website import HELLO, MODIFIED, SUM, Website

pytestmark = pytest.mark.needs("userns", "overlay")

with_git = pytest.mark.needs("git")


@pytest.fixture
def server(tmp_path):
    with Website(tmp_path / "repositories") as running:
        yield running


@pytest.fixture
def try_build(rootless, tmp_path, server):
    """`try_build(lines, *flags)` → how the build ended; B is the server's URL."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "local").write_text("local\n")

    def run(lines, *flags, **options):
        lines = lines.replace("B/", f"{server.url}/")
        (context / "Dockerfile").write_text(f"FROM scratch AS base\n{lines}\n")
        words = ("build", "--progress", "plain", "-t", "test", *flags, context)
        return rootless(*words, **options)

    run.context = context
    return run


@pytest.fixture
def build(rootless, try_build, tmp_path):
    """`build(lines)` → the image's files by path, and what the build said."""

    def run(lines, *flags):
        result = try_build(lines, *flags)
        assert result.exit == 0, result.stderr
        rootless.ok("save", "-o", tmp_path / "test.tar", "test")
        return flattened.read(tmp_path / "test.tar")[0], result.stderr

    return run


def times(rootless, tmp_path):
    """When the files of the newest layer changed, by path."""
    rootless.ok("save", "-o", tmp_path / "test.tar", "test")
    with tarfile.open(tmp_path / "test.tar") as outer:
        found: dict[str, int] = {}
        for name in outer.getnames():
            try:
                with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                    found |= {one.name: int(one.mtime) for one in layer.getmembers()}
            except (tarfile.ReadError, ValueError):
                continue
        return found


@pytest.mark.parametrize(
    ("line", "path", "content"),
    [
        ("ADD B/f.txt /", "f.txt", "hello\n"),
        ("ADD B/f.txt /x/y", "x/y", "hello\n"),
        ("ADD B/f.txt /x/y/", "x/y/f.txt", "hello\n"),
        ("WORKDIR /w\nADD B/f.txt .", "w/f.txt", "hello\n"),
        ("ADD B/n.txt?a=b/c /", "n.txt", "no headers\n"),
        ("ADD B/dir/ /x/", "x/dir", "index\n"),
        ("ADD B/r/thing.bin /x/", "x/thing.bin", "hello\n"),
        ("ADD B/cd /x/", "x/cd", "cd\n"),
        ("ADD --link B/f.txt /x/", "x/f.txt", "hello\n"),
        (f"ADD --checksum=sha256:{SUM} B/f.txt /x/", "x/f.txt", "hello\n"),
        (f"ARG S=sha256:{SUM}\nADD --checksum=$S B/f.txt /x/", "x/f.txt", "hello\n"),
        ("ARG N=f.txt\nADD B/$N /x/", "x/f.txt", "hello\n"),
        ("ADD --exclude=f.txt B/f.txt /x/", "x/f.txt", "hello\n"),
        ("ADD --keep-git-dir=true B/f.txt /x/", "x/f.txt", "hello\n"),
        ("ADD --unpack=true B/f.txt /x/", "x/f.txt", "hello\n"),
    ],
)
def test_a_file_from_the_web(build, line, path, content):
    files, _ = build(line)
    assert (files[path].content, files[path].mode & 0o7777) == (content, 0o600)
    assert (files[path].uid, files[path].gid) == (0, 0)


def test_its_time_is_the_servers(build, rootless, tmp_path):
    build("ADD B/f.txt B/n.txt /x/")
    found = times(rootless, tmp_path)
    assert (found["x/f.txt"], found["x/n.txt"]) == (MODIFIED, 0)


def test_it_is_not_unpacked_unless_that_is_said(build):
    files, _ = build("ADD B/t.tar.gz /x/\nADD --unpack=true B/t.tar.gz /y/\n")
    assert {"x/t.tar.gz", "y/a", "y/d/b"} <= set(files)
    assert files["x/t.tar.gz"].mode & 0o777 == 0o600
    assert files["y/a"].content == "a"
    assert files["y/a"].mode & 0o777 == 0o640


@pytest.mark.needs("subids")
def test_owner_and_mode(build):
    files, _ = build("ADD --chmod=755 --chown=5:6 B/f.txt /x/")
    assert files["x/f.txt"][1:] == (0o755, 5, 6)
    assert files["x"][2:] == (5, 6)


def test_beside_what_is_in_the_context(build):
    files, _ = build("ADD local B/f.txt <<h /x/\nhere\nh")
    assert {name for name in files if name.startswith("x/")} == {"x/local", "x/f.txt", "x/h"}


def test_without_a_context(rootless, server, tmp_path):
    rootless.ok("build", "-t", "test", "-", stdin=f"FROM scratch\nADD {server.url}/f.txt /\n")


def test_an_unchanged_file_is_not_fetched_again(build, server):
    build("ADD B/f.txt /x/")
    assert server.asked() == ["GET /f.txt"]
    _, said = build("ADD B/f.txt /x/")
    assert server.asked() == ["HEAD /f.txt"]
    assert "CACHED" in said
    server.files["/f.txt"] = Answer(200, b"new\n", {"ETag": '"v2"'})
    files, said = build("ADD B/f.txt /x/")
    assert "CACHED" not in said
    assert files["x/f.txt"].content == "new\n"
    assert server.asked() == ["HEAD /f.txt", "GET /f.txt"]


def test_another_step_with_an_unchanged_file(build, server):
    build("ADD B/f.txt /x/")
    server.asked()
    files, _ = build("ADD B/f.txt /y/")
    assert files["y/f.txt"].content == "hello\n"
    assert server.asked() == ["HEAD /f.txt", "GET /f.txt"]


def test_the_same_bytes_with_another_etag_are_a_hit(build, server):
    build("ADD B/f.txt /x/")
    server.files["/f.txt"] = server.files["/f.txt"]._replace(
        headers={**server.files["/f.txt"].headers, "ETag": '"v3"'}
    )
    assert "CACHED" in build("ADD B/f.txt /x/")[1]


def test_a_weak_etag_and_a_server_that_answers_no_head(build, server):
    server.files["/f.txt"] = Answer(200, HELLO, {"ETag": 'W/"w"'})
    build("ADD B/f.txt /x/")
    honest = server.respond

    def respond(request):
        return Answer(405) if request.method == "HEAD" else honest(request)

    server.respond = respond
    assert "CACHED" in build("ADD B/f.txt /x/")[1]


def test_without_an_etag_the_bytes_tell(build, server):
    build("ADD B/n.txt /x/")
    server.asked()
    assert "CACHED" in build("ADD B/n.txt /x/")[1]
    assert server.asked() == ["GET /n.txt"]
    server.files["/n.txt"] = Answer(200, b"other\n")
    assert build("ADD B/n.txt /x/")[0]["x/n.txt"].content == "other\n"


def test_a_checksum_is_asked_of_nobody(build, server):
    line = f"ADD --checksum=sha256:{SUM} B/f.txt /x/"
    build(line)
    server.asked()
    assert "CACHED" in build(line)[1]
    assert server.asked() == []


def test_a_server_that_lies_about_its_etag(build, try_build, server):
    build("ADD B/f.txt /x/")
    server.files["/f.txt"] = server.files["/f.txt"]._replace(body=b"evil\n")
    result = try_build("ADD B/f.txt /y/")
    assert result.exit == 1
    assert "changed while the build ran" in result.stderr


def test_two_stages_at_once(build, server):
    files, _ = build(
        "ADD B/f.txt /a\nFROM scratch AS two\nADD B/f.txt /b\nFROM scratch\n"
        "COPY --from=base /a /\nCOPY --from=two /b /\n"
    )
    assert set(files) == {"a", "b"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ADD B/nosuch /x/", "/nosuch is answered with: 404"),
        (f"ADD --checksum=sha256:{'0' * 64} B/f.txt /x/", f"has the checksum sha256:{SUM}, not"),
        ("ADD --checksum=5891 B/f.txt /x/", "5891"),
        (f"ADD --checksum=sha256:{SUM} B/f.txt B/n.txt /x/", "--checksum is of one source"),
        (f"ADD --checksum=sha256:{SUM} local /x/", "--checksum is for files from the web"),
        ("COPY B/f.txt /x/", "of COPY is not in the context"),
        ("COPY B/git/r.git /x/", "of COPY is not in the context"),
        ("ADD B/git/r.git#--upload-pack=x /x/", "'--upload-pack=x' is not a git ref"),
        ("ADD B/git/r.git?kep-git-dir=1 /x/", "did you mean keep-git-dir"),
        ("ADD ftp://127.0.0.1/x /x/", "not found"),
    ],
)
def test_what_cannot_be(try_build, line, words):
    result = try_build(line)
    assert result.exit == 1
    assert words in result.stderr
    assert ">>>" in result.stderr


def test_a_wrong_checksum_leaves_nothing(try_build, rootless, server):
    for _ in range(2):
        result = try_build(f"ADD --checksum=sha256:{'0' * 64} B/f.txt /x/")
        assert result.exit == 1
    assert os.listdir(rootless.root / "tmp") == []
    assert try_build(f"ADD --checksum=sha256:{SUM} B/f.txt /x/").exit == 0


def test_a_file_that_ends_too_early(try_build, server):
    server.files["/f.txt"] = Answer(200, HELLO * 100, cut=50)
    result = try_build("ADD B/f.txt /x/")
    assert result.exit == 1
    assert "Traceback" not in result.stderr


def test_redirects_without_an_end(try_build, server):
    server.files["/r/thing.bin"] = Answer(302, b"", {"Location": "/r/thing.bin"})
    result = try_build("ADD B/r/thing.bin /x/")
    assert result.exit == 1
    assert "redirects more than 10 times" in result.stderr


def test_redirects_to_files_of_this_machine(try_build, server):
    server.files["/r/thing.bin"] = Answer(302, b"", {"Location": "file:///etc/passwd"})
    assert try_build("ADD B/r/thing.bin /x/").exit == 1


def test_killed_while_a_file_comes(try_build, rootless, server):
    """What was fetched is swept by whoever comes next."""

    def endless():
        yield b"HTTP/1.0 200 OK\r\n\r\n"
        while True:
            yield b"x" * 4096

    server.files["/f.txt"] = Answer(raw=endless())
    (try_build.context / "Dockerfile").write_text(f"FROM scratch\nADD {server.url}/f.txt /\n")
    process = subprocess.Popen(
        rootless.command("build", try_build.context),
        env=rootless.environment,
        stderr=subprocess.DEVNULL,
    )
    tmp = rootless.root / "tmp"
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp.glob("*/f.txt")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.files["/f.txt"] = Answer(200, HELLO)
    assert try_build("ADD B/f.txt /x/").exit == 0
    assert os.listdir(tmp) == []


@pytest.fixture
def repository(server):
    made = server.repositories.make("r.git")
    made.commit({"run.sh": "#!/bin/sh\n"}, 0o755)
    made.first = made.commit({"a": "1\n", "d/e/f": "f\n", "x.log": "log\n"})
    made.git("tag", "v1")
    made.git("tag", "-a", "-m", "two", "v2")
    (made.path / "link").symlink_to("d")
    made.second = made.commit({"a": "2\n"})
    return made


def below(files, folder="x"):
    return {name.removeprefix(f"{folder}/") for name in files if name.startswith(f"{folder}/")}


ALL = {"a", "d", "d/e", "d/e/f", "run.sh", "x.log"}


@with_git
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ADD B/git/r.git /x", ALL | {"link"}),
        ("ADD B/git/r.git#v1 /x/", ALL),
        ("ADD B/git/r.git#v1:d /x/", {"e", "e/f"}),
        ("ADD B/git/r.git?tag=v2&subdir=d/e /x/", {"f"}),
        ("ADD --exclude=d --exclude=*.log B/git/r.git#v1 /x/", {"a", "run.sh"}),
        ("ADD B/git/r.git#v1:d B/f.txt local /x/", {"e", "e/f", "f.txt", "local"}),
        ("ADD --unpack=true B/git/r.git#v1:d /x/", {"e", "e/f"}),
        ("ADD --link B/git/r.git#v1:d /x/", {"e", "e/f"}),
        ("ADD --keep-git-dir=true B/git/r.git#v1:d /x/", {"e", "e/f"}),
        ("ADD --checksum=FIRST B/git/r.git#v1:d /x/", {"e", "e/f"}),
        ("ADD --checksum=SHORT B/git/r.git#v2:d /x/", {"e", "e/f"}),
    ],
)
def test_a_repository(build, repository, line, expected):
    line = line.replace("FIRST", repository.first).replace("SHORT", repository.first[:9])
    files, _ = build(line)
    assert below(files) == expected
    if "run.sh" in expected:
        assert files["x/run.sh"].mode & 0o777 == 0o755


@with_git
def test_the_same_commit_is_a_hit(build, repository, server):
    line = "ADD B/git/r.git#main /x/"
    build(line, "--no-cache")
    server.asked()
    assert "CACHED" in build(line)[1]
    assert not any("POST" in one for one in server.asked()[2:])
    repository.commit({"a": "3\n"})
    files, said = build(line)
    assert "CACHED" not in said
    assert files["x/a"].content == "3\n"


@with_git
def test_layers_are_the_same_whenever_they_are_made(build, rootless, repository, tmp_path):
    found = set()
    for _ in range(2):
        build(f"ADD B/git/r.git#{repository.first} /", "--no-cache")
        found.add(rootless.ok("inspect", "-f", "{{json .RootFS.Layers}}", "test"))
    assert len(found) == 1
    assert times(rootless, tmp_path)["a"] == TIME


@with_git
def test_a_commit_that_is_named_is_asked_of_nobody(build, repository, server):
    line = f"ADD B/git/r.git#{repository.first}:d /x/"
    build(line)
    server.asked()
    assert "CACHED" in build(line)[1]
    assert server.asked() == []


@with_git
def test_the_repository_itself(build, repository):
    files, _ = build("ADD --keep-git-dir=true B/git/r.git#v1 /x/")
    assert files["x/.git/HEAD"].content.strip() == repository.first
    assert "CACHED" not in build("ADD --keep-git-dir=false B/git/r.git#v1 /x/")[1]


@with_git
def test_another_commit_than_the_checksum(try_build, repository):
    result = try_build(f"ADD --checksum={repository.second} B/git/r.git#v1 /x/")
    assert result.exit == 1
    assert f"is the commit {repository.first}, not {repository.second}" in result.stderr


@with_git
def test_onto_a_directory_that_is_there(build, repository):
    files, _ = build("WORKDIR /x\nADD --chmod=777 B/git/r.git#v1:d /x")
    assert files["x"].mode & 0o777 == 0o755
    assert files["x/e/f"].mode & 0o777 == 0o777


def test_without_git(try_build, rootless):
    (try_build.context / "bin").mkdir()
    path = try_build.context / "bin"
    for name in ("newuidmap", "newgidmap"):
        if where := shutil.which(name):
            (path / name).symlink_to(where)
    environment = {**rootless.environment, "PATH": str(path)}
    result = try_build("ADD B/git/r.git /x", env=environment)
    assert result.exit == 1
    assert "git is not installed" in result.stderr
    assert "apt install git" in result.stderr


@with_git
@pytest.mark.parametrize(
    ("line", "context", "flags", "asked"),
    [
        ("ADD git@e.org:x /x/", ".", (), ""),
        ("ADD git@e.org:x /x/", ".", ("--ssh", "other"), ""),
        ("ADD git@e.org:x /x/", ".", ("--ssh", "default"), "own"),
        ("ADD git@e.org:x /x/", ".", ("--ssh", "default=SOCKET"), "given"),
        ("COPY . /", "git@e.org:x", (), "own"),
        ("COPY . /", "git@e.org:x", ("--ssh", "default=SOCKET"), "given"),
    ],
)
def test_whose_agent_ssh_asks(try_build, rootless, tmp_path, line, context, flags, asked):
    """A Dockerfile may name any host: it uses no key that was not given to the build."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f'#!/bin/sh\necho "$SSH_AUTH_SOCK" >>{tmp_path}/log\nexit 255\n')
    (folder / "ssh").chmod(0o755)
    environment = {**rootless.environment, "PATH": f"{folder}:{os.environ['PATH']}"}
    environment["SSH_AUTH_SOCK"] = str(tmp_path / "own")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        one.bind(str(tmp_path / "own"))
        two.bind(str(tmp_path / "given"))
        words = [word.replace("SOCKET", str(tmp_path / "given")) for word in flags]
        if context == ".":
            result = try_build(line, *words, env=environment)
        else:
            result = rootless("build", *words, context, env=environment)
    assert result.exit == 1
    assert "cannot be fetched" in result.stderr
    said = (tmp_path / "log").read_text().split("\n")[0]
    assert said == (str(tmp_path / asked) if asked else "")


@with_git
@pytest.mark.needs("ssh-agent")
def test_a_key_file_is_offered_to_a_git_server(try_build, rootless, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f"#!/bin/sh\nssh-add -l >{tmp_path}/log 2>&1\nexit 255\n")
    (folder / "ssh").chmod(0o755)
    key = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mine", "-f", key], check=True
    )
    environment = {**rootless.environment, "PATH": f"{folder}:{os.environ['PATH']}"}
    result = try_build("ADD git@e.org:x /x/", "--ssh", f"default={key}", env=environment)
    assert "cannot be fetched" in result.stderr
    assert " mine (ED25519)" in (tmp_path / "log").read_text()


def test_a_file_that_wants_a_login(try_build, server, tmp_path):
    honest = server.respond

    def respond(request):
        if request.headers.get("Authorization") != "Bearer abc":
            return Answer(401)
        return honest(request)

    server.respond = respond
    (tmp_path / "token").write_text("abc")
    (tmp_path / "header").write_text("Bearer abc\n")
    assert "is answered with: 401" in try_build("ADD B/f.txt /x/").stderr
    for name, file in (("TOKEN", "token"), ("HEADER", "header")):
        secret = f"id=HTTP_AUTH_{name}_127.0.0.1,src={tmp_path / file}"
        assert try_build("ADD B/f.txt /x/", "--no-cache", "--secret", secret).exit == 0
    other = f"id=HTTP_AUTH_TOKEN_e.com,src={tmp_path / 'token'}"
    assert try_build("ADD B/n.txt /x/", "--secret", other).exit == 1


def test_a_login_does_not_follow_a_redirect(try_build, server, tmp_path):
    with Website(tmp_path / "elsewhere") as other:
        place = other.url.replace("127.0.0.1", "localhost")
        server.files["/r/thing.bin"] = Answer(302, b"", {"Location": f"{place}/f.txt"})
        (tmp_path / "token").write_text("abc")
        secret = f"id=HTTP_AUTH_TOKEN_127.0.0.1,src={tmp_path / 'token'}"
        result = try_build("ADD B/r/thing.bin /x/", "--secret", secret)
        assert result.exit == 0, result.stderr
        assert all("Authorization" not in one.headers for one in other.requests)
        assert other.requests


@with_git
def test_tags_come_along_with_the_repository(build, repository):
    files, _ = build("ADD --keep-git-dir=true B/git/r.git#v1 /x/")
    tags = {name for name in files if name.startswith("x/.git/refs/tags/")}
    packed = files.get("x/.git/packed-refs")
    assert tags == {"x/.git/refs/tags/v1", "x/.git/refs/tags/v2"} or packed is not None
    assert "x/.git/refs/remotes/origin/HEAD" not in files


def test_a_trigger_of_the_base(build, rootless, tmp_path):
    build("ONBUILD ADD --chmod=755 B/f.txt /x/")
    rootless.ok("tag", "test", "base:1")
    rootless.ok("build", "-t", "test", "-", stdin="FROM base:1\n")
    rootless.ok("save", "-o", tmp_path / "test.tar", "test")
    files = flattened.read(tmp_path / "test.tar")[0]
    assert files["x/f.txt"][:2] == ("hello\n", 0o755)


def test_two_builds_at_once(try_build, rootless, server):
    text = f"FROM scratch\nADD {server.url}/f.txt {server.url}/n.txt /x/\n"
    (try_build.context / "Dockerfile").write_text(text)
    command = rootless.command("build", "-q", try_build.context)
    options = {"env": rootless.environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [subprocess.Popen(command, **options) for _ in range(3)]
    ends = [(*one.communicate(), one.returncode) for one in running]
    assert [code for *_, code in ends] == [0, 0, 0], ends
    assert os.listdir(rootless.root / "tmp") == []
