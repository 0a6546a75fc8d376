"""`build` as a command: where the Dockerfile comes from, what is printed where, exit codes."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess

import pytest

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")


@pytest.fixture
def base(rootless, busybox_image, tmp_path):
    """The name of a busybox image in the store."""
    return rootless.load(busybox_image, tmp_path)


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "file").write_text("content\n")
    return folder


def environment_of(rootless, image):
    return json.loads(rootless.ok("inspect", "-f", "{{json .Config.Env}}", image))


def test_what_goes_where(rootless, base, context):
    (context / "Dockerfile").write_text(f"FROM {base}\nRUN echo said\n")
    built = rootless("build", "-t", "one", "-t", "two:2", context)
    assert (built.exit, built.stdout) == (0, "")
    assert "said" in built.stderr
    identity = rootless.ok("images", "-q", "--no-trunc", "two:2").strip()
    assert f"writing image {identity}" in built.stderr
    assert "naming to docker.io/library/one:latest" in built.stderr
    quiet = rootless("build", "-q", "--iidfile", context / "id", context)
    assert (quiet.stdout, quiet.stderr) == (f"{identity}\n", "")
    assert (context / "id").read_text() == identity


def test_a_dockerfile_from_standard_input(rootless, base, context):
    text = f"FROM {base}\nCOPY file /\nENV A=b\n"
    rootless.ok("build", "-t", "x", "-f", "-", context, stdin=text)
    assert "A=b" in environment_of(rootless, "x")
    without_context = rootless("build", "-", stdin=f"FROM {base}\nENV C=d\n")
    assert without_context.exit == 0


def test_build_arguments_from_the_environment(rootless, base, context):
    (context / "Dockerfile").write_text(f"FROM {base}\nARG GIVEN\nARG TYPED\nENV A=$GIVEN$TYPED\n")
    rootless.environment["GIVEN"] = "from-outside-"
    words = ["--build-arg", "GIVEN", "--build-arg=TYPED=typed", "--build-arg", "MISSING"]
    rootless.ok("build", "-t", "x", *words, context)
    assert "A=from-outside-typed" in environment_of(rootless, "x")


def test_dry_run_tells_and_does_nothing(rootless, base, context):
    (context / "Dockerfile").write_text(
        f"FROM {base} AS first\nWORKDIR /w\nRUN false\n"
        'FROM scratch\nCOPY --from=first /w /out/\nCMD ["x"]\n'
    )
    before = rootless.ok("images", "-q")
    said = rootless.ok("build", "--dry-run", "-t", "x", context)
    assert "stage first" in said
    assert "start '/bin/sh -c false' in a sandbox, as root in /w" in said
    assert "copy /w from stage first to /out/, as a layer" in said
    assert "from nothing (scratch)" in said
    assert rootless.ok("images", "-q") == before


def test_dry_run_lists_each_line_where_it_stands(rootless, base, context):
    before = rootless.ok("build", "-t", "before", "-", stdin=f"FROM {base}\nONBUILD RUN true\n")
    assert before == ""
    lines = ["ARG A=b", "RUN echo $A", "ENV C=d", "WORKDIR /w", 'CMD ["x"]', "COPY file /"]
    (context / "Dockerfile").write_text("\n".join(["FROM before", *lines]))
    said = rootless.ok("build", "--dry-run", context).splitlines()[1:]
    shown = [line.strip() for line in said if not line.startswith(" " * 6)]
    assert shown == ["ONBUILD RUN true", *lines]


def outlook(rootless, context, *flags):
    """What --dry-run says of each step: the first word, and the reason."""
    said = rootless.ok("build", "--dry-run", *flags, context).splitlines()
    found = {}
    for line in said:
        if line.startswith("  ") and line[2] != " ":
            step = line.strip()
        elif match := re.match(
            r" {6}(cached|not cached|not looked at)(?:, key \w+)?:? ?(.*)", line
        ):
            found[step] = (match[1], match[2])
    return found


def test_dry_run_knows_what_is_cached_and_why_not(rootless, base, context):
    copied = "COPY --from=tools /made /"
    (context / "Dockerfile").write_text(
        f"FROM {base} AS tools\nRUN echo 1 > /made\nFROM {base} AS unused\nRUN false\n"
        f"FROM {base}\nARG V=1\nRUN echo $V > /v\nCOPY file /\n{copied}\n"
    )
    (context / "file").write_text("one")
    first = outlook(rootless, context)
    rests = ("not cached", "it rests on a step that is carried out")
    assert first.keys() == {"RUN echo 1 > /made", "RUN echo $V > /v", "COPY file /", copied}
    assert first["RUN echo $V > /v"] == ("not cached", "it was never carried out before")
    assert first["COPY file /"] == first[copied] == rests
    rootless.ok("build", "-q", context)
    stored = sorted(path.name for path in (rootless.root / "cache" / "steps").iterdir())
    again = outlook(rootless, context)
    assert again.pop("RUN echo 1 > /made") == ("not looked at", "all that it leads to is cached")
    assert {verdict for verdict, _ in again.values()} == {"cached"}
    (context / "file").write_text("two")
    changed = outlook(rootless, context)
    assert changed["RUN echo $V > /v"][0] == changed["RUN echo 1 > /made"][0] == "cached"
    assert changed["COPY file /"] == ("not cached", "file changed")
    assert changed[copied] == rests
    argument = outlook(rootless, context, "--build-arg", "V=2")
    assert argument["RUN echo $V > /v"] == ("not cached", "V was '1', is '2'")
    fresh = outlook(rootless, context, "--no-cache")
    assert {reason for _, reason in fresh.values()} == {"--no-cache"}
    assert stored == sorted(path.name for path in (rootless.root / "cache" / "steps").iterdir())
    built = rootless("build", "--explain", "--progress=plain", context)
    assert "not cached, key" in built.stderr
    assert len(re.findall(r"^#\d+ CACHED$", built.stderr, re.MULTILINE)) == 2


def test_dry_run_shows_the_plan_and_what_cannot_begin(rootless, base, context):
    (context / "Dockerfile").write_text(f"FROM {base}\nRUN true\nCOPY flie /\n")
    (context / "file").write_text("one")
    result = rootless("build", "--dry-run", context)
    assert result.exit == 1
    assert "  RUN true\n" in result.stdout
    assert 'Dockerfile:3: "flie" not found' in result.stderr


@pytest.mark.parametrize("flag", ["--dry-run", "--explain", "--progress=plain"])
def test_nothing_of_a_dockerfile_or_image_commands_the_terminal(rootless, base, context, flag):
    evil = "\x1b]0;title\x07\x9b2J\u202e"
    text = f"FROM {base}\nWORKDIR /w{evil}\nUSER 7{evil}\nLABEL a='{evil}'\nONBUILD RUN x{evil}\n"
    rootless.ok("build", "-q", "-t", "evil", "-", stdin=text)
    lines = f"FROM evil AS a\nARG A={evil}\nCOPY file{evil} /{evil}\nRUN true {evil}\n"
    (context / "Dockerfile").write_text(lines)
    result = rootless("build", flag, context)
    for char in evil:
        assert char.isprintable() or char not in result.stdout + result.stderr
    assert "title" in result.stdout + result.stderr


def helper(folder, script):
    """A credential helper for docker.io, and a folder for PATH that holds it."""
    program = folder / "docker-credential-bad"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (folder / "config.json").write_text(json.dumps({"credHelpers": {"docker.io": "bad"}}))
    return folder


@pytest.mark.parametrize("script", ["echo asked >>{log}; exit 3", "echo asked >>{log}; sleep 600"])
def test_a_broken_credential_helper_matters_only_where_it_is_needed(
    rootless, base, context, tmp_path, script
):
    folder = tmp_path / "helper"
    folder.mkdir()
    log = folder / "log"
    rootless.environment["DOCKER_CONFIG"] = str(helper(folder, script.format(log=log)))
    rootless.environment["PATH"] = f"{folder}:{rootless.environment['PATH']}"
    (context / "Dockerfile").write_text(
        f"FROM none1 AS unused\nCOPY --from=none2 / /\nFROM {base} AS used\nRUN true\n"
        f"FROM {base}\nCOPY --from=used /bin/sh /x\nFROM none3\n"
    )
    rootless.ok("build", "--target=2", context)
    assert not log.exists()


@pytest.mark.parametrize("line", ["FROM none1", "FROM {base}\nCOPY --from=none2 / /"])
def test_a_credential_helper_is_asked_before_anything_is_done(
    rootless, base, context, tmp_path, line
):
    """As the user that called, whose keyring it opens."""
    folder = tmp_path / "helper"
    folder.mkdir()
    rootless.environment["DOCKER_CONFIG"] = str(helper(folder, f"id -u >>{folder}/log; exit 3"))
    rootless.environment["PATH"] = f"{folder}:{rootless.environment['PATH']}"
    text = f"FROM {base} AS used\nRUN true\n{line.format(base=base)}\nCOPY --from=used / /\n"
    (context / "Dockerfile").write_text(text)
    result = rootless("build", context)
    assert "docker-credential-bad" in result.stderr
    assert (folder / "log").read_text() == f"{os.getuid()}\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["build", "none"], 1, "the build context 'none' is not a directory"),
        (["build", "."], 1, "Dockerfile: there is no such file"),
        (["build", "-f", "none", "."], 1, "none: there is no such file"),
        (["build", "https://example.org/x.git#-x"], 1, "'-x' is not a git ref"),
        (["build", "--sign-by", "x", "."], 125, "does not support --sign-by yet"),
        (["build", "--network", "bridge", "."], 125, "it must be default or host or none"),
        (["build", "-t", "UPPER", "-f", "-", "."], 1, "the name must be in lower case"),
        (["build"], 1, "'rootless build' requires exactly 1 argument"),
    ],
)
def test_mistakes(rootless, tmp_path, words, code, message):
    result = rootless(*words, cwd=tmp_path)
    assert (result.exit, result.stdout) == (code, "")
    assert message in result.stderr
    assert "\nhint: " in result.stderr


def test_a_failing_step(rootless, base, context):
    (context / "Dockerfile").write_text(f"FROM {base}\nRUN echo before; exit 3\n")
    for words in ([], ["-q"], ["--progress=plain"]):
        failed = rootless("build", *words, context)
        assert failed.exit == 1
        assert "before" in failed.stderr
        assert "exit code: 3" in failed.stderr
        assert ">>> RUN echo before; exit 3" in failed.stderr


def test_a_live_build(rootless, base, context):
    text = "printf '\\033[2J'; echo said; sleep 0.3; echo more"
    (context / "Dockerfile").write_text(f"FROM {base}\nRUN {text}\n")
    first = on_terminal(rootless, "build", context)
    assert "» [2/2] RUN printf" in first
    assert "    said" in first
    assert "✓\x1b[0m [2/2] RUN printf" in first
    assert "\x1b[2J" not in first
    assert "cached" in on_terminal(rootless, "build", context)


def on_terminal(rootless, *argv):
    """What the command draws on a terminal of its own."""
    master, slave = pty.openpty()
    environment = {**rootless.environment, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(
        rootless.command(*argv), stdin=slave, stdout=slave, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        drawn = io.BytesIO()
        try:
            while chunk := os.read(master, 4096):
                drawn.write(chunk)
        except OSError:  # EIO: nobody has the other side open any more
            os.close(master)
    assert process.returncode == 0
    return drawn.getvalue().decode()
