"""--build-context: what Docker 28 makes of contexts with names, and what it refuses."""

from __future__ import annotations

import pytest

from tests.support import flattened
from tests.support.hostile_registry import Answer
from tests.support.website import TAR, Website

pytestmark = pytest.mark.needs("userns", "subids", "overlay")
with_git = pytest.mark.needs("git")

NAMED = {".dockerignore", "one", "sub", "sub/s"}


@pytest.fixture
def folder(tmp_path):
    """The main context, and beside it `n`."""
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a.txt").write_text("a\n")
    (tmp_path / "n" / "sub").mkdir(parents=True)
    for name, content in {"one": "1\n", "two.log": "2\n", "sub/s": "s\n"}.items():
        (tmp_path / "n" / name).write_text(content)
    (tmp_path / "n" / ".dockerignore").write_text("*.log\n")
    (tmp_path / "n" / "one").chmod(0o600)
    return tmp_path


@pytest.fixture
def attempt(rootless, folder):
    """`attempt(lines, *flags)` → how the build ended; N=… is short for --build-context."""

    def run(lines, *flags):
        (folder / "context" / "Dockerfile").write_text(lines)
        words = [("--build-context", one) if "=" in one else (one,) for one in flags]
        flat = [word for pair in words for word in pair]
        argv = ("build", "--progress", "plain", "-t", "test", *flat, folder / "context")
        result = rootless(*argv, cwd=folder)
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.fixture
def build(rootless, attempt, tmp_path):
    """`build(lines, *flags)` → the image's files by path."""

    def run(lines, *flags):
        result = attempt(lines, *flags)
        assert result.exit == 0, result.stderr
        rootless.ok("save", "-o", tmp_path / "test.tar", "test")
        return flattened.read(tmp_path / "test.tar")[0]

    return run


def below(files, folder="x"):
    return {name.removeprefix(f"{folder}/") for name in files if name.startswith(f"{folder}/")}


@pytest.mark.parametrize(
    ("lines", "flags", "expected"),
    [
        ("FROM scratch\nCOPY --from=n . /x/\n", ["n=n"], NAMED),
        ("FROM scratch\nCOPY --from=n *.log one /x/\n", ["n=n"], {"one"}),
        ("FROM scratch\nCOPY --from=n . /x/\n", ["n=context", "n=n"], NAMED),
        ("FROM scratch AS st\nCOPY a.txt /\nFROM scratch\nCOPY --from=st / /x/\n", ["st=n"], NAMED),
        (
            "FROM scratch AS st\nCOPY a.txt /\nFROM scratch\nCOPY --from=0 a.txt /x/\n",
            ["0=n"],
            {"a.txt"},
        ),
        ("FROM scratch\nCOPY a.txt /x/\n", ["context=n"], {"a.txt"}),
        ("FROM scratch\nCOPY a.txt /x/\n", ["scratch=n"], {"a.txt"}),
        ("FROM scratch\nCOPY a.txt /x/\n", ["unused=n"], {"a.txt"}),
        ("FROM n AS b\nFROM scratch\nCOPY --from=b / /x/\n", ["n=n"], NAMED),
        ("FROM scratch\nCOPY --from=n --exclude=sub / /x/\n", ["n=n"], NAMED - {"sub", "sub/s"}),
    ],
)
def test_a_directory(build, lines, flags, expected):
    assert below(build(lines, *flags)) == expected


@pytest.mark.parametrize(
    ("base", "flag"),
    [
        ("n", "n=n"),
        ("alpine", "alpine=n"),
        ("docker.io/library/alpine:latest", "alpine=n"),
        ("alpine:3.9", "alpine:3.9=n"),
        ("example.org/x/y", "example.org/x/y=n"),
    ],
)
def test_a_directory_as_a_base(build, base, flag):
    files = build(f"FROM {base}\nCOPY a.txt /\n", flag)
    assert set(files) == {*NAMED, "a.txt"}
    assert files["one"][:4] == ("1\n", 0o600, 0, 0)


def test_the_target_itself(build):
    files = build("FROM scratch AS st\nCOPY a.txt /\n", "st=n", "--target", "st")
    assert set(files) == NAMED


def test_its_config_is_empty_but_its_history_is_whole(build, rootless):
    build("FROM n\nENV A=b\n", "n=n")
    assert rootless.ok("inspect", "-f", "{{json .RootFS.Layers}}", "test").count("sha256:") == 1
    assert "load the context n" in rootless.ok("history", "--no-trunc", "test")


def test_an_unchanged_directory_runs_nothing(attempt, folder):
    lines = "FROM scratch\nCOPY --from=n one /x/\n"
    attempt(lines, "n=n")
    assert attempt(lines, "n=n").stderr.count("CACHED") == 2
    (folder / "n" / "two.log").write_text("ignored")
    assert attempt(lines, "n=n").stderr.count("CACHED") == 2
    (folder / "n" / "sub" / "s").write_text("another")
    said = attempt(lines, "n=n").stderr
    assert said.count("CACHED") == 1  # what is copied is the same
    (folder / "n" / "one").write_text("another")
    assert attempt(lines, "n=n").stderr.count("CACHED") == 0


def test_what_it_leaves_out_is_not_there(attempt):
    result = attempt("FROM scratch\nCOPY --from=n two.log /x/\n", "n=n")
    assert result.exit == 1
    assert '"two.log" not found' in result.stderr


def test_links_in_it_end_inside_it(build, folder):
    (folder / "secret").write_text("secret")
    (folder / "n" / "out").symlink_to("../secret")
    files = build("FROM scratch\nCOPY --from=n / /x/\n", "n=n")
    assert files["x/out"].content == "-> ../secret"


def test_the_dry_run_says_it(attempt):
    said = attempt("FROM n\nCOPY a.txt /\n", "n=n", "--dry-run").stdout
    assert "the context n" in said


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("n=nosuch", "'nosuch', which is not a directory"),
        ("n=n/one", "'n/one', which is not a directory"),
        ("Nn=n", "the name must be in lower case"),
        ("n+n=n", "n+n"),
        ("=n", "is not NAME=WHAT"),
        ("n=", "is not NAME=WHAT"),
        ("n=docker-image://UPPER", "the name must be in lower case"),
        ("n=ftp://x/y", "which is not a directory"),
        ("n=http://127.0.0.1/r.git#-x", "'-x' is not a git ref"),
    ],
)
def test_what_cannot_be(attempt, flag, words):
    result = attempt("FROM scratch\nCOPY a.txt /x/\n", flag)
    assert result.exit == 1
    assert words in result.stderr


def test_a_name_without_what(rootless, folder):
    result = rootless("build", "--build-context", "n", folder / "context")
    assert "is not NAME=WHAT" in result.stderr


@with_git
def test_a_repository(build, attempt, tmp_path):
    with Website(tmp_path / "repositories") as server:
        made = server.repositories.make("r.git")
        made.commit({"d/e/f": "f\n", "top": "t\n"})
        flag = f"n={server.url}/git/r.git#main:d"
        assert below(build("FROM scratch\nCOPY --from=n . /x/\n", flag)) == {"e", "e/f"}
        assert set(build("FROM n\n", flag)) == {"e", "e/f"}
        server.asked()
        assert attempt("FROM scratch\nCOPY a.txt /\n", flag).exit == 0
        assert server.asked() == []  # nobody needs it


def test_files_on_the_web(build, tmp_path):
    with Website(tmp_path / "repositories") as server:
        lines = "FROM scratch\nCOPY --from=n . /x/\n"
        assert below(build(lines, f"n={server.url}/t.tar.gz")) == {"a", "d", "d/b"}
        assert below(build(lines, f"n={server.url}/f.txt")) == {"f.txt"}
        server.files["/f.txt"] = Answer(200, TAR)


@pytest.mark.needs("busybox")
def test_an_image_stands_for_another(build, rootless, busybox_image, tmp_path):
    name = rootless.load(busybox_image, tmp_path)
    assert "bin/busybox" in build("FROM n\nUSER 5\n", f"n=docker-image://{name}")
    lines = "FROM scratch\nCOPY --from=nosuch/one:2 /bin/busybox /x/\n"
    assert below(build(lines, f"nosuch/one:2=docker-image://{name}")) == {"busybox"}
    assert set(build("FROM n\nCOPY a.txt /\n", "n=docker-image://scratch")) == {"a.txt"}
    files = build("FROM scratch AS st\nCOPY a.txt /\nFROM st\n", f"st=docker-image://{name}")
    assert "bin/busybox" in files
    assert "a.txt" not in files


@pytest.mark.needs("busybox")
def test_an_image_of_a_layout(build, rootless, busybox_image, tmp_path):
    name = rootless.load(busybox_image, tmp_path)
    layout = tmp_path / "layout"
    rootless.ok("copy", name, f"oci:{layout}:one")
    digest = rootless.ok("copy", "--digestfile", tmp_path / "d", name, f"oci:{layout}:two").strip()
    rootless.ok("rmi", name)
    for place in (f"{layout}:one", f"{layout}@{digest}"):
        assert "bin/busybox" in build("FROM n\nRUN true\n", f"n=oci-layout://{place}")
        lines = "FROM scratch\nCOPY --from=n /bin/busybox /x/\n"
        assert below(build(lines, f"n=oci-layout://{place}")) == {"busybox"}


def test_a_layout_that_is_none(attempt, folder):
    result = attempt("FROM n\n", "n=oci-layout://n")
    assert result.exit == 1
    result = attempt("FROM scratch\nCOPY a.txt /\n", f"n=oci-layout://{folder}/nosuch:1")
    assert result.exit == 0  # nobody needs it


def test_stages_at_the_same_time(build):
    files = build(
        "FROM scratch AS a\nCOPY --from=n one /\nFROM scratch AS b\nCOPY --from=n sub /\n"
        "FROM scratch\nCOPY --from=a / /x/\nCOPY --from=b / /x/\n",
        "n=n",
    )
    assert below(files) == {"one", "s"}


def test_checks_and_targets_know_it(attempt):
    lines = "FROM alpine AS st\nCOPY a.txt /\n"
    assert attempt(lines, "alpine=n", "--check").exit == 0
    assert "st" in attempt(lines, "alpine=n", "--call", "outline").stdout


@pytest.mark.needs("busybox")
def test_mounted_for_a_command(build, rootless, busybox_image, tmp_path):
    base = rootless.load(busybox_image, tmp_path)
    lines = f"FROM {base}\nRUN --mount=type=bind,from=n,target=/m cp -r /m /x\n"
    assert below(build(lines, "n=n")) == NAMED
