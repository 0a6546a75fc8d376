"""`rootless build` on real Dockerfiles: what ends up in the image, layer by layer."""

from __future__ import annotations

import os

import pytest

from tests.support import flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def build(rootless, busybox_image, tmp_path):
    """`build(dockerfile, files, *flags)` → the image's files and its config."""
    rootless.load(busybox_image, tmp_path)
    context = tmp_path / "context"
    context.mkdir()

    def run(dockerfile, files=None, *flags):
        for name, content in (files or {}).items():
            path = context / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (context / "Dockerfile").write_text(dockerfile)
        rootless.ok("build", "-q", "-t", "test", *flags, context)
        return saved(rootless, tmp_path)

    run.context = context
    return run


def saved(rootless, folder):
    archive = folder / "test.tar"
    archive.unlink(missing_ok=True)
    rootless.ok("save", "-o", archive, "test")
    return flattened.read(archive)


def test_a_command_changes_adds_and_deletes(build):
    files, config = build(
        "FROM busybox\nRUN echo hi > /new && echo x >> /etc/group && rm /bin/yes && rmdir /var\n"
    )
    assert files["new"].content == "hi\n"
    assert files["etc/group"].content.endswith("x\n")
    assert "bin/yes" not in files
    assert "var" not in files
    assert len(config["rootfs"]["diff_ids"]) == 2


def test_mount_points_of_the_sandbox_are_not_in_the_image(build, tmp_path):
    files, _ = build("FROM busybox\nRUN cat /etc/resolv.conf /proc/self/status > /dev/null\n")
    assert not {"proc", "dev", "sys", "etc/resolv.conf", "etc/hosts"} & set(files)
    assert flattened.layer_names(tmp_path / "test.tar")[1] in ([], ["."])


def test_two_steps_that_change_nothing(build):
    _, config = build("FROM busybox\nRUN true\nRUN true # again\nRUN echo > /x\n")
    layered = [one for one in config["history"] if not one.get("empty_layer")]
    assert len(layered) == len(config["rootfs"]["diff_ids"]) == 4


def test_the_environment_of_a_command(build):
    files, config = build(
        "FROM busybox\nARG A=1\nARG NO\nENV B=$A E='a b'\nWORKDIR /w\nUSER nobody\n"
        "RUN --network=none (umask; env | sort; id; pwd) > /tmp/out\n"
    )
    lines = files["tmp/out"].content.splitlines()
    assert lines[0] == "0022"
    assert {"A=1", "B=1", "E=a b", "HOME=/", "PWD=/w"} <= set(lines)
    assert not [line for line in lines if line.startswith("NO")]
    assert lines[-2:] == ["uid=65534(nobody) gid=65534(nobody) groups=65534(nobody)", "/w"]
    assert (files["tmp/out"].uid, files["tmp/out"].gid) == (65534, 65534)
    assert config["config"]["User"] == "nobody"


def test_heredocs(build):
    files, _ = build(
        "FROM busybox\nENV N=name\nRUN <<ONE cat > /one\na $N\nONE\n"
        "RUN <<EOF\necho two > /two\nread x < /two; echo $x$x > /three\nEOF\n"
        "RUN <<SCRIPT\n#!/bin/busybox sh\necho $0 > /script\nSCRIPT\n"
        "COPY <<four <<'five' /d/\n$N\nfour\n$N\nfive\n"
    )
    assert files["one"].content == "a name\n"
    assert files["three"].content == "twotwo\n"
    assert files["script"].content == "/dev/pipes/SCRIPT\n"
    assert (files["d/four"].content, files["d/five"].content) == ("name\n", "$N\n")
    assert files["d/four"].mode == 0o644


def test_files_arrive_as_roots_with_their_modes(build):
    build.context.joinpath("run.sh").write_text("x")
    build.context.joinpath("run.sh").chmod(0o4750)
    files, _ = build("FROM busybox\nCOPY . /src\nCOPY run.sh /\n", {"d/f": "f"})
    assert files["src/run.sh"][1:] == (0o4750, 0, 0)
    assert files["run.sh"] == files["src/run.sh"]
    assert files["src/d/f"].content == "f"
    assert files["src"][2:] == (0, 0)


def test_a_directory_gives_its_contents_into_what_is_there(build):
    files, _ = build(
        "FROM busybox\nRUN mkdir -m 700 /d /d/e && echo old > /d/e/old && echo old > /d/f\n"
        "COPY src /d\n",
        {"src/e/new": "new", "src/f": "new"},
    )
    assert {"d/e/old", "d/e/new"} <= set(files)
    assert files["d/f"].content == "new"
    assert files["d"].mode == 0o700
    assert files["d/e"].mode != 0o700


def test_chown_and_chmod(build):
    files, _ = build(
        "FROM busybox\nCOPY --chown=nobody a /n\nCOPY --chown=5 a /new/five\n"
        "COPY --chown=5:nobody --chmod=u=rw,go= a /mixed\nCOPY --chmod=711 d /d\n",
        {"a": "a", "d/x": "x"},
    )
    assert files["n"][2:] == (65534, 65534)
    assert files["new/five"][2:] == (5, 5)
    assert files["new"][2:] == (5, 5)
    assert files["mixed"][1:] == (0o600, 5, 65534)
    assert (files["d/x"].mode, files["d"].mode) == (0o711, 0o711)


def test_workdir_belongs_to_the_user(build):
    files, config = build("FROM busybox\nUSER nobody\nWORKDIR /a/b\nWORKDIR c\n")
    assert [files[path][1:] for path in ("a", "a/b", "a/b/c")] == [(0o755, 65534, 65534)] * 3
    assert config["config"]["WorkingDir"] == "/a/b/c"


def test_stages(build):
    files, config = build(
        "FROM busybox AS unused\nRUN false\n"
        "FROM busybox AS build\nRUN mkdir /out && echo made > /out/f && chown 7:8 /out/f\n"
        "FROM build AS more\nRUN echo more > /out/g\n"
        "FROM scratch\nCOPY --from=build /out/f /f\nCOPY --from=more /out /all\nENV A=1\n"
    )
    assert files["f"].content == "made\n"
    assert files["f"][2:] == (7, 8)
    assert files["all/g"].content == "more\n"
    assert set(files) - {"."} == {"f", "all", "all/f", "all/g"}
    assert len(config["rootfs"]["diff_ids"]) == 2


def test_copy_from_an_image(build):
    files, _ = build("FROM scratch\nCOPY --from=busybox /etc/passwd /bin/sh /d/\n")
    assert files["d/passwd"].content.startswith("root:x:0:0")
    assert set(files) - {"."} == {"d", "d/passwd", "d/sh"}


def test_link_sees_nothing_of_what_is_below(build):
    files, _ = build(
        "FROM busybox\nRUN ln -s /etc /link && echo old > /etc/old\nCOPY --link a /link/a\n",
        {"a": "a"},
    )
    assert files["link/a"].content == "a"
    assert "etc/a" not in files


def test_parents(build):
    files, _ = build(
        "FROM busybox\nCOPY --parents a/b/c.txt x/./y/z /d/\n", {"a/b/c.txt": "c", "x/y/z": "z"}
    )
    assert files["d/a/b/c.txt"].content == "c"
    assert files["d/y/z"].content == "z"


def test_add_unpacks_what_is_an_archive(build, tmp_path):
    import tarfile

    source = tmp_path / "source"
    source.mkdir()
    (source / "inner").write_text("inner")
    for name, mode in (("a.bin", "w:gz"), ("b.tar", "w"), ("c", "w:xz")):
        with tarfile.open(build.context / name, mode) as tar:
            tar.add(source / "inner", f"{name}-inner")
    files, _ = build(
        "FROM busybox\nADD a.bin b.tar c plain.tar.gz /d/\nCOPY a.bin /kept\n",
        {"plain.tar.gz": "not an archive"},
    )
    names = {"d/a.bin-inner", "d/b.tar-inner", "d/c-inner", "d/plain.tar.gz", "kept"}
    assert names <= set(files)
    assert files["d/c-inner"].content == "inner"
    assert "d/a.bin" not in files


def test_dockerignore(build):
    files, _ = build(
        "FROM scratch\nCOPY . /\n",
        {".dockerignore": "*\n!keep\nkeep/secret\n", "keep/a": "a", "keep/secret": "s", "b": "b"},
    )
    assert set(files) - {"."} == {"keep", "keep/a"}


def test_links_and_hard_links_of_a_context(build):
    build.context.joinpath("one").write_text("one")
    os.link(build.context / "one", build.context / "two")
    os.symlink("/etc/passwd", build.context / "link")
    files, _ = build("FROM busybox\nCOPY . /d\nRUN stat -c %h /d/one > /count\n")
    assert files["d/link"].content == "-> /etc/passwd"
    assert files["count"].content == "2\n"


def test_onbuild(build, rootless):
    build.context.mkdir(exist_ok=True)
    (build.context / "base").write_text("FROM busybox\nONBUILD COPY f /f\nONBUILD RUN cp /f /g\n")
    rootless.ok("build", "-q", "-t", "parent", "-f", build.context / "base", build.context)
    files, config = build("FROM parent\nENV A=1\n", {"f": "f"})
    assert files["g"].content == "f"
    assert "OnBuild" not in config["config"]


def test_history_and_labels(build):
    _, config = build("FROM busybox\nLABEL a=b\nRUN true\n")
    texts = [one["created_by"] for one in config["history"]]
    assert texts[-2:] == ["LABEL a=b", "RUN /bin/sh -c true # buildkit"]
    assert config["config"]["Labels"] == {"a": "b"}
