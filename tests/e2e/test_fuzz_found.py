"""What docker does and random Dockerfiles found us not doing, each as small as it can be."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from tests.support import flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def build(rootless, busybox_image, tmp_path):
    """`build(dockerfile, prepare)` → files by path, config; `prepare` fills the context."""
    rootless.load(busybox_image, tmp_path)
    context = tmp_path / "context"
    (context / "d").mkdir(parents=True)
    (context / "d" / "f").write_text("f")
    (context / "d").chmod(0o2770)

    def run(*lines, refused=""):
        (context / "Dockerfile").write_text("\n".join(("FROM busybox", *lines)))
        if refused:
            result = rootless("build", "-q", "-t", "test", context)
            assert result.exit == 1
            assert refused in result.stderr
            return None
        rootless.ok("build", "-q", "-t", "test", context)
        rootless.ok("save", "-o", tmp_path / "saved.tar", "test")
        return flattened.read(tmp_path / "saved.tar")[0]

    run.context = context
    return run


def test_what_lies_in_a_setgid_directory(build):
    """Files have the group that COPY gives them; a directory made on the way has its parent's."""
    files = build(
        "RUN mkdir -m 2775 /shared && chown 0:50 /shared",
        "COPY d/f /shared/",
        "COPY d/f /shared/new/",
        "COPY --chown=7:8 d/f /shared/owned/",
        "WORKDIR /shared/work",
    )
    assert files["shared/f"][1:] == (files["shared/f"].mode, 0, 0)
    assert files["shared/new"][1:] == (0o2755, 0, 50)
    assert files["shared/owned"][1:] == (0o2755, 7, 8)
    assert files["shared/work"][1:] == (0o2755, 0, 50)


def test_a_number_for_user_is_the_group_of_a_new_working_directory(build):
    files = build("USER 4242", "WORKDIR /w", "USER nobody", "WORKDIR /n", "USER 3:4", "WORKDIR /g")
    owners = {name: files[name][2:] for name in ("w", "n", "g")}
    assert owners == {"w": (4242, 4242), "n": (65534, 65534), "g": (3, 4)}


def test_the_mode_of_a_new_destination(build):
    """Not its source's; an octal --chmod counts, a symbolic one is for what is copied."""
    files = build(
        "COPY d /new/plain",
        "COPY --chmod=711 d /octal/d",
        "COPY --chmod=u=rwX,go= d /symbolic/d",
    )
    modes = {name: files[name].mode for name in ("new", "new/plain", "octal", "octal/d")}
    assert modes == {"new": 0o755, "new/plain": 0o755, "octal": 0o711, "octal/d": 0o711}
    assert (files["symbolic"].mode, files["symbolic/d"].mode) == (0o755, 0o755)
    assert files["symbolic/d/f"].mode == 0o600


def test_hard_links_do_not_lead_from_source_to_source(rootless, build):
    os.link(build.context / "d" / "f", build.context / "other")
    build("COPY d other /to/", "RUN echo more >> /to/other")
    assert rootless.ok("run", "--rm", "test", "cat", "/to/f") == "f"


def test_a_wildcard_that_finds_a_link_to_nowhere(build):
    os.symlink("nowhere", build.context / "d" / "link")
    build("COPY d/* /to/", refused='"d/link" not found')


def test_a_wildcard_in_a_folder_that_is_not_there(build):
    build("COPY missing/* /to/", refused='"missing" not found')
    build("COPY --from=busybox /missing/* /to/", refused='"missing" not found')


def test_a_wildcard_follows_no_link_after_it(build):
    os.symlink("d", build.context / "e")
    assert "to/f" in build("COPY e/* /to/")
    (build.context / "d" / "sub").mkdir()
    (build.context / "d" / "sub" / "x").touch()
    os.symlink("sub", build.context / "d" / "link")
    (build.context / "d" / "link2").touch()
    assert [name for name in build("COPY d/*/x /to/") if name.startswith("to/")] == ["to/x"]


def test_chown_of_an_archive(build):
    with tarfile.open(build.context / "a.tar", "w") as tar:
        for name, kind in (("x/f", tarfile.REGTYPE), ("l", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.uid = kind, "x", 5
            tar.addfile(member, io.BytesIO())
    files = build("ADD --chown=7:8 a.tar /to/")
    owners = {name: files[name][2:] for name in ("to", "to/x", "to/x/f", "to/l")}
    assert owners == {"to": (7, 8), "to/x": (0, 0), "to/x/f": (7, 8), "to/l": (7, 8)}


def test_what_an_archive_does_not_tell_of_in_a_setgid_directory(build):
    with tarfile.open(build.context / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("x/f"), io.BytesIO())
    files = build("RUN mkdir /s && chgrp 50 /s && chmod 2755 /s", "ADD a.tar /s/")
    assert files["s/x"][1:] == (0o755, 0, 50)


def test_chmod_says_nothing_of_an_archive(build):
    with tarfile.open(build.context / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("x/f"), io.BytesIO())
    files = build("ADD --chmod=600 a.tar /to/")
    assert {name: files[name][1] for name in ("to", "to/x", "to/x/f")} == {
        "to": 0o755, "to/x": 0o755, "to/x/f": 0o644,
    }  # fmt: skip


def test_an_archive_s_links_lead_into_the_folder_it_is_unpacked_to(build):
    """What it calls / is that folder; a folder that a link leads to is made."""
    with tarfile.open(build.context / "a.tar", "w") as tar:
        for name, target in (("out", "/d"), ("none", "not/yet"), ("both", "/../d")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
            tar.addfile(tarfile.TarInfo(f"{name}/in"), io.BytesIO())
        tar.addfile(tarfile.TarInfo("x/../over"), io.BytesIO())
    files = build("COPY d /d", "ADD a.tar /to/")
    inside = {"to/d/in", "to/not/yet/in", "to/over"}
    assert inside <= set(files)
    assert not {"d/in", "over"} & set(files)


@pytest.mark.parametrize("target", ["..", "../../etc", "x/../../to", "../to"])
def test_an_archive_s_links_may_not_climb_out(build, target):
    """Docker refuses them, also one that would come back in."""
    with tarfile.open(build.context / "a.tar", "w") as tar:
        member = tarfile.TarInfo("up")
        member.type, member.linkname = tarfile.SYMTYPE, target
        tar.addfile(member)
        tar.addfile(tarfile.TarInfo("up/in"), io.BytesIO())
    build("ADD a.tar /to/", refused="'up' leads out of the directory that is unpacked into")


def test_link_with_a_mode_leaves_folders_as_they_are(build):
    files = build(
        "RUN mkdir -m 2775 /e /f", "COPY --link d/f /e/", "COPY --link --chmod=600 d/f /f/"
    )
    assert (files["e"].mode, files["f"].mode) == (0o755, 0o2775)


def test_setuid_of_a_heredoc(build):
    files = build("COPY --chown=7:8 --chmod=4711 <<EOF /f", "text", "EOF")
    assert files["f"] == ("text\n", 0o4711, 7, 8)


def test_links_that_lead_nowhere_yet(build):
    """COPY and WORKDIR make what a dangling link names; a loop is refused."""
    files = build(
        "RUN ln -s /none/yet /a && ln -s none/there /b && ln -s /loop /loop",
        "COPY d/f /a/",
        "WORKDIR /b/in",
    )
    assert files["none/yet/f"].content == "f"
    assert files["none/there/in"].mode == 0o755
    build("RUN ln -s /loop /loop", "COPY d/f /loop/x/", refused="oo many levels")


def test_a_pipe_is_copied(rootless, build):
    build("RUN mkfifo -m 640 /p", "FROM busybox", "COPY --from=0 /p /q")
    assert rootless.ok("run", "--rm", "test", "stat", "-c", "%F %a", "/q") == "fifo 640\n"
    build("RUN mkfifo /p", "FROM busybox", "COPY --chmod=4711 --chown=3:4 --from=0 /p /q")
    told = rootless.ok("run", "--rm", "test", "stat", "-c", "%F %a %u:%g", "/q")
    assert told == "fifo 4711 3:4\n"


def test_scratch_has_a_working_directory(rootless, build):
    (build.context / "Dockerfile").write_text("FROM scratch\nCOPY d /")
    rootless.ok("build", "-q", "-t", "empty", build.context)
    told = rootless.ok("inspect", "--format", "{{.Config.WorkingDir}}", "empty")
    assert told == "/\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        *(
            ("$nothing", "/w"),
            ("/x/$nothing", "/x/"),
            ("y/", "/w/y"),
            ("/", "/"),
            ("/x/./", "/x/./"),
        ),
        *(("//x//y", "//x//y"), ("../../..", "/"), ("./y/../z/.", "/w/z")),
    ],
)
def test_working_directories_as_docker_keeps_them(rootless, build, words, found):
    build("WORKDIR /w", f"WORKDIR {words}", "RUN pwd > /seen")
    told = rootless.ok("inspect", "--format", "{{.Config.WorkingDir}}", "test")
    assert told == f"{found}\n"
    seen = rootless.ok("run", "--rm", "test", "cat", "/seen")
    assert seen.strip() == ("/" + os.path.normpath(found).lstrip("/"))


def test_a_wildcard_in_a_folder_that_is_left_out(build):
    """Docker looks into the folder before the first wildcard, which was never sent."""
    (build.context / ".dockerignore").write_text("d\n")
    build("COPY d/* /to/", refused="excluded by .dockerignore")
    (build.context / ".dockerignore").write_text("d\n!d/f\n")
    assert build("COPY d/* /to/")["to/f"].content == "f"


def test_a_wildcard_below_a_folder_of_which_nothing_is_sent(build):
    """Docker sends what is named in the stages that are built: else the folder is not there."""
    (build.context / "top").touch()
    build("COPY d/*.txt /to/", refused='"d/*.txt" matches nothing')
    build("COPY ./d/x*/../[y] top /to/", refused="matches nothing")
    unneeded = ("COPY d /d", "FROM busybox", "COPY d/*.txt /to/")
    build(*unneeded, refused='"d/*.txt" matches nothing')
    assert "to/none" not in build("COPY none* /to/")
    os.symlink("d", build.context / "link")
    for other in ("d/f", "d", ".", "*", "link", "l*", "**/f"):
        assert "to" not in build("COPY d/*.txt /to/", f"COPY {other} /other/")


def test_a_wildcard_below_a_folder_of_a_stage(build):
    """A stage is there as a whole."""
    assert "to" not in build("COPY --from=busybox /etc/*.none /to/")


def test_what_a_line_that_takes_in_is_never_tried_on_stays_out(build):
    """`!d` comes after d/f, but nothing excludes d, and it does not match d/f."""
    (build.context / "d" / "g").touch()
    (build.context / ".dockerignore").write_text("d/f\n!d\n")
    assert {"x/d/f", "x/d/g"} & set(build("COPY . /x/")) == {"x/d/g"}
    (build.context / ".dockerignore").write_text("*\n!d\n")
    assert {"x/d/f", "x/d/g", "x/Dockerfile"} & set(build("COPY . /x/")) == {"x/d/f", "x/d/g"}


def test_arguments_of_a_stage_are_those_of_what_is_built_on_it(rootless, build):
    build(
        "FROM busybox AS a",
        "ARG A=one B=two",
        "ENV C=env",
        "FROM a AS b",
        "ARG B=own",
        "RUN echo $A $B $C > /seen",
        "FROM b AS c",
        "COPY --from=busybox /etc/passwd /$A$B",
        "FROM c",
        "RUN cat /seen && test -f /oneown && test $A = one",
    )
    assert rootless.ok("run", "--rm", "test", "cat", "/seen") == "one own env\n"


def test_what_a_link_leads_to_stays_out_under_its_own_name(build):
    os.symlink("d/f", build.context / "link")
    os.symlink("d", build.context / "folder")
    (build.context / ".dockerignore").write_text("d/f\n")
    build("COPY link /to/", refused='"link" is excluded by .dockerignore')
    (build.context / "d" / "g").touch()
    assert {"to/f", "to/g"} & set(build("COPY folder /to/")) == {"to/g"}
    assert {"to/f", "to/g"} & set(build("COPY folder/* /to/")) == {"to/g"}
    (build.context / ".dockerignore").write_text("folder\n")
    build("COPY folder /to/", refused='"folder" is excluded by .dockerignore')


def test_from_means_a_stage_by_its_small_letters(build):
    build("FROM busybox AS Ab", "FROM Ab", refused="the stage is called ab")
    build("FROM busybox AS Ab", "FROM ab", "COPY --from=AB /etc/passwd /p")


def test_a_command_without_a_word_is_an_empty_one_of_the_shell(rootless, build):
    shown = "{{json .Config.Entrypoint}} {{json .Config.Cmd}}"
    empty = '["/bin/sh","-c",""]'
    build("ENTRYPOINT x", "CMD")
    told = rootless.ok("inspect", "--format", shown, "test")
    assert told.replace(", ", ",") == f'["/bin/sh","-c","x"] {empty}\n'
    build("ENTRYPOINT")
    assert rootless.ok("inspect", "--format", shown, "test").replace(", ", ",").startswith(empty)


def test_the_last_name_of_an_archive_s_hard_link_says_what_it_is(build):
    with tarfile.open(build.context / "a.tar", "w") as tar:
        for name, kind, mode, uid in (
            *(("one", tarfile.REGTYPE, 0o600, 5), ("hard", tarfile.LNKTYPE, 0o4644, 7)),
            *(("soft", tarfile.SYMTYPE, 0o777, 5), ("again", tarfile.LNKTYPE, 0o640, 9)),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid = kind, mode, uid
            member.linkname = {"again": "soft"}.get(name, "one")
            tar.addfile(member)
    files = build("ADD a.tar /to/")
    found = {name: files[f"to/{name}"][1:] for name in ("one", "hard", "soft", "again")}
    assert found["one"] == found["hard"] == (0o4644, 7, 0)
    assert found["soft"][1:] == found["again"][1:] == (9, 0)


def test_chmod_is_not_for_a_folder_on_the_way_that_is_there(build):
    """With --parents, and from the second time on."""
    (build.context / "d" / "s").mkdir(mode=0o750)
    (build.context / "d" / "s" / "h").write_text("h")
    files = build(
        "COPY --chmod=711 --parents d/f d/s/h /one/",
        "COPY --chmod=711 --parents d/s d/s /two/",
        "COPY --chmod=711 --chown=7:8 --parents d/s/h d/s/h /three/",
        "COPY --chmod=711 d d /four/d/",
    )
    modes = {
        name: one.mode for name, one in files.items() if name[:3] in ("one", "two", "thr", "fou")
    }
    assert modes == {
        **{"one": 0o711, "one/d": 0o2770, "one/d/f": 0o711, "one/d/s": 0o711, "one/d/s/h": 0o711},
        **{"two": 0o711, "two/d": 0o2770, "two/d/s": 0o711, "two/d/s/h": 0o711},
        **{"three": 0o711, "three/d": 0o2770, "three/d/s": 0o2750, "three/d/s/h": 0o711},
        **{
            "four": 0o711,
            "four/d": 0o711,
            "four/d/f": 0o711,
            "four/d/s": 0o711,
            "four/d/s/h": 0o711,
        },
    }
    assert files["three/d"][2:] == files["three/d/s"][2:] == (7, 8)
