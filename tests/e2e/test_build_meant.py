"""What a newcomer writes, and what is said to it; what docker builds without a word."""

from __future__ import annotations

import pytest

from tests.support import flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def build(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    context = tmp_path / "context"
    (context / "src").mkdir(parents=True)
    (context / "src" / "main.py").write_text("")
    (context / "crlf").write_bytes(b"#!/bin/sh\r\necho\r\n")
    (context / "crlf").chmod(0o755)
    (context / "plain").write_text("#!/bin/sh\n")
    (context / "plain").chmod(0o644)

    def run(text, *flags):
        (context / "Dockerfile").write_text(text)
        return rootless("build", "--progress=plain", "-t", "test", *flags, context)

    return run


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("COPY src/man.py /", "did you mean src/main.py?"),
        ("COPY scr /", "did you mean src?"),
        ("COPY ../other /", "build with the directory above as the context"),
        ("COPY --from=fisrt /bin/sh /", "did you mean the stage first?"),
        ("COPY --from=first /bin/ssh /", "did you mean bin/"),
        ("COPY crlf /\nRUN /crlf", "CRLF"),
        ("COPY plain /\nRUN /plain", "COPY --chmod=755"),
        ("RUN []", "RUN has no command"),
    ],
)
def test_each_mistake_names_its_cure(build, rootless, lines, words):
    rootless.environment["HTTPS_PROXY"] = "http://127.0.0.1:9"  # no registry is asked in earnest
    result = build(f"FROM busybox AS first\nFROM busybox\n{lines}\n")
    assert result.exit == 1
    assert words in result.stderr


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_without_a_context_nothing_runs_before_a_copy_is_refused(rootless, build, flags):
    text = "FROM busybox\nRUN echo ran\nCOPY <<E /here\nE\nCOPY plain /\n"
    result = rootless("build", "--no-cache", *flags, "-", stdin=text)
    assert result.exit == 1
    assert "Dockerfile:5: there is no build context to copy from" in result.stderr
    assert "-f - ." in result.stderr
    assert "ran" not in result.stderr.replace("RUN echo ran", "")
    assert rootless("build", "-q", "-", stdin=text.rpartition("COPY")[0]).exit == 0


@pytest.mark.parametrize("lines", ["FROM fisrt", "FROM scratch\nCOPY --from=Frist / /x"])
@pytest.mark.parametrize("flags", [(), ("--pull",), ("--dry-run",)])
def test_a_stage_written_badly_is_asked_of_no_registry(build, rootless, lines, flags):
    rootless.environment["HTTPS_PROXY"] = "http://127.0.0.1:9"
    result = build(f"FROM scratch AS first\n{lines}\n", *flags)
    assert result.exit == 1
    assert "did you mean the stage first? The image is written in full: docker.io/" in result.stderr
    assert "127.0.0.1" not in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "FROM busybox AS busybok\nFROM busybox\nCOPY --from=busybox /bin/sh /x\n",
        "FROM scratch AS busybok\nFROM docker.io/library/busybox\n",
        "FROM scratch AS fisrt\nFROM first\nFROM scratch\n",
    ],
    ids=["a local image", "in full", "in a stage nobody needs"],
)
def test_an_image_that_is_called_almost_as_a_stage(build, text):
    result = build(text)
    assert result.exit == 0, result.stderr


def test_a_target_written_badly(build):
    result = build("FROM scratch AS first\nFROM scratch\n", "--target", "frist")
    assert result.exit != 0
    assert "did you mean first?" in result.stderr


@pytest.mark.parametrize(
    ("platform", "words"),
    [
        ("nonsense", "is no operating system and no architecture"),
        ("linux/amd64,linux/arm64", "busybox:latest is for linux/"),
    ],
)
def test_platforms_that_cannot_be(build, platform, words):
    result = build("FROM busybox\n", "--platform", platform)
    assert result.exit != 0
    assert words in result.stderr


def test_flags_that_scripts_pass(build):
    flags = ("--rm", "--rm=false", "--force-rm", "--load", "--compress", "--provenance=false")
    result = build("FROM busybox\n", *flags, "--sbom=false", "--disable-content-trust")
    assert result.exit == 0, result.stderr
    assert build("FROM busybox\n", "--provenance=true").exit != 0


@pytest.mark.parametrize("line", ["RUN", "RUN <<EOF\nEOF"])
def test_an_empty_command_is_run(build, line):
    result = build(f"FROM busybox\n{line}\n")
    assert result.exit == 0, result.stderr


def test_links_that_lead_nowhere_are_given_their_target(build, rootless, tmp_path):
    result = build(
        "FROM busybox\nRUN ln -s /one /a && ln -s ../../two /b && ln -s three /c && ln -s d /d\n"
        "WORKDIR /a/sub\nWORKDIR /b\nCOPY src/main.py /c/\nCOPY src /c/deep\n"
    )
    assert result.exit == 0, result.stderr
    rootless.ok("save", "-o", tmp_path / "test.tar", "test")
    found = flattened.read(tmp_path / "test.tar")[0]
    assert {"one/sub", "two", "three/main.py", "three/deep/main.py"} <= set(found)
    assert found["a"].content == "-> /one"
    loop = build("FROM busybox\nRUN ln -s d /d\nWORKDIR /d\n")
    assert (loop.exit, "too many levels of symbolic links" in loop.stderr) == (1, True)
