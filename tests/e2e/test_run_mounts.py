"""`RUN --mount`: what a command sees, and that nothing of it is in the image.

What docker 28 does was looked up for each; where a test says "as in docker" it was this.
"""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.support import flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def build(rootless, busybox_image, tmp_path):
    """`build(dockerfile, *flags)` → what commands printed; the context is `build.context`."""
    rootless.load(busybox_image, tmp_path)
    context = tmp_path / "context"
    context.mkdir()

    def run(dockerfile, *flags, ok=True):
        (context / "Dockerfile").write_text(dockerfile)
        flags = ("--progress", "plain", "-t", "test", *flags, context)
        result = rootless("build", *flags)
        assert (result.exit == 0) == ok, result.stderr
        return result.stderr if not ok else printed(result.stderr)

    def image():
        archive = tmp_path / "test.tar"
        archive.unlink(missing_ok=True)
        rootless.ok("save", "-o", archive, "test")
        return flattened.read(archive)[0], flattened.layer_names(archive)

    run.context = context
    run.image = image
    return run


def printed(text: str) -> str:
    """What commands wrote: lines like `#2 0.123 words`."""
    lines = [line.split(" ", 2) for line in text.splitlines() if line.startswith("#")]
    said = [one[2] for one in lines if len(one) > 2 and one[1].replace(".", "").isdigit()]
    return "".join(f"{one}\n" for one in said)


def test_files_of_the_context(build):
    """Not what is ignored; owners are root's; read-only, and rw is thrown away."""
    (build.context / "d").mkdir()
    (build.context / "d/e").write_text("E\n")
    (build.context / "hidden").write_text("no\n")
    (build.context / ".dockerignore").write_text("hidden\n")
    said = build(
        "FROM busybox\nWORKDIR /w\nARG T=/t\n"
        "RUN --mount=target=all ls -A all | grep -v file; touch all/x || echo refused\n"
        "RUN --mount=source=d/e,target=$T/a/one cat /t/a/one && stat -c '%u:%g %a' /t/a/one\n"
        "RUN --mount=source=d,target=/rw,rw echo more >> /rw/e && touch /rw/new && cat /rw/*\n"
        "RUN --mount=source=d,target=/rw ls /rw && cat /rw/e\n"
    )
    assert said.split("\n") == [
        *(".dockerignore", "d", "touch: all/x: Read-only file system", "refused"),
        *("E", "0:0 644", "E", "more", "e", "E", ""),
    ]
    assert (build.context / "d/e").read_text() == "E\n"
    assert os.listdir(build.context / "d") == ["e"]
    files, layers = build.image()
    assert not {"t", "rw", "w/all"} & set(files)
    assert [set(names) - {".", "w", "t", "rw"} for names in layers[2:]] == [set()] * 4


def test_what_is_ignored_is_not_there_however_deep(build):
    for name in ("a/keep", "a/key.pem", "a/b/key.pem", "a/b/c/f", "n/x/y", "n/x/z"):
        (build.context / name).parent.mkdir(parents=True, exist_ok=True)
        (build.context / name).write_text(name)
    (build.context / "a/b").chmod(0o750)
    (build.context / ".dockerignore").write_text("**/*.pem\nn\n!n/x/y\nDockerfile\n.dockerignore\n")
    text = (
        "FROM busybox\nRUN --mount=target=/s cd /s && find . -type f | sort; stat -c %a a/b; "
        "cat a/key.pem a/b/key.pem 2>/dev/null; touch a/new 2>/dev/null || echo refused\n"
        "RUN --mount=target=/s,rw cd /s && rm a/keep && touch a/b/new && find . -type f | sort\n"
        "RUN --mount=source=a,target=/s cd /s && find . -type f | sort\n"
        "COPY . /copy\nRUN cd /copy && find . -type f | sort\n"
    )
    kept = ["./a/b/c/f", "./a/keep", "./n/x/y"]
    assert build(text).splitlines() == [
        *(*kept, "750", "refused", "./a/b/c/f", "./a/b/new", "./n/x/y", "./b/c/f", "./keep"),
        *kept,
    ]
    assert sorted(os.listdir(build.context / "a")) == ["b", "keep", "key.pem"]
    assert sorted(os.listdir(build.context / "a/b")) == ["c", "key.pem"]


def test_a_file_that_changes_while_it_is_shown_lets_the_step_be_repeated(build, rootless):
    (build.context / "f").write_text("1\n")
    text = "FROM busybox\nRUN --mount=source=f,target=/f echo ready; sleep 3; cat /f\n"
    (build.context / "Dockerfile").write_text(text)
    command = rootless.command("build", "--progress=plain", build.context)
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=rootless.environment)
    assert running.stderr is not None
    while not running.stderr.readline().endswith(" ready\n"):
        assert running.poll() is None
    (build.context / "f").write_text("2\n")
    said = running.stderr.read()
    running.stderr.close()
    assert running.wait() == 0
    assert "/f of the context changed: this step will be repeated" in said
    for content in ("1\n", "2\n"):
        (build.context / "f").write_text(content)
        assert build(text) == f"ready\n{content}"
    assert build(text) == ""


def test_files_of_stages_and_images(build):
    (build.context / "x").write_text("")
    said = build(
        "FROM busybox AS s\n"
        "RUN mkdir -p /o/p && echo hi > /o/f && ln -s / /out && ln -s ../../o /up\n"
        "FROM busybox\n"
        "RUN --mount=from=s,source=/o,target=/o,rw cat /o/f && rm /o/f\n"
        "RUN --mount=from=s,source=o/f,target=/f cat /f; echo > /f || echo refused\n"
        "RUN --mount=from=s,source=/out,target=/v cat /v/o/f\n"
        "RUN --mount=from=s,source=/up,target=/v ls /v\n"
        "RUN --mount=from=busybox,source=/bin/busybox,target=/x/busybox "
        "/x/busybox echo from an image\n"
        "RUN --mount=from=scratch,target=/n,rw touch /n/a && ls /n\n"
    )
    assert said.split("\n") == [
        *("hi", "hi", "/bin/sh: can't create /f: Read-only file system", "refused", "hi"),
        *("f", "p", "from an image", "a", ""),
    ]
    assert "o/f" not in build.image()[0]


def test_the_step_is_repeated_when_what_is_shown_has_changed(build, rootless):
    (build.context / "f").write_text("1\n")
    text = "FROM busybox\nRUN --mount=source=f,target=/f cat /f > /copy\n"
    build(text)
    (build.context / "other").write_text("")
    assert "CACHED" in rootless("build", "--progress=plain", build.context).stderr
    (build.context / "f").write_text("2\n")
    build(text)
    assert build.image()[0]["copy"].content == "2\n"
    stages = "FROM busybox AS s\nRUN echo {} > /f; echo {} > /g\nFROM busybox\n"
    stages += "RUN --mount=from=s,source=/f,target=/f cat /f\n"
    assert build(stages.format(1, 1)) == "1\n"
    assert build(stages.format(1, 2)) == ""  # the file is the same
    assert build(stages.format(2, 2)) == "2\n"


def test_a_cache_is_kept_and_no_part_of_the_image(build, rootless):
    text = "FROM busybox\nRUN --mount=type=cache,target=/p/q/c echo {} >> /p/q/c/n; cat /p/q/c/n\n"
    assert build(text.format(1)) == "1\n"
    assert build(text.format(2)) == "1\n2\n"
    assert build(text.format(2)) == ""  # what a cache holds is not in the key
    assert set(build.image()[0]) & {"p", "p/q", "p/q/c"} == set()
    said = build(
        "FROM busybox\n"
        "RUN --mount=type=cache,id=k,target=/a touch /a/x\n"
        "RUN --mount=type=cache,id=k,target=/b ls /b; rm /b/x\n"
        "RUN --mount=type=cache,target=/a ls -A /a\n"
        "RUN --mount=type=cache,id=k,target=/a,ro touch /a/y || echo refused\n"
        "RUN --mount=type=cache,id=o,target=/a,uid=5,gid=6,mode=0711 stat -c '%u:%g %a' /a\n"
        "RUN --mount=type=cache,id=../../x,target=/a touch /a/kept; false || echo went on\n"
    )
    assert said == "x\ntouch: /a/y: Read-only file system\nrefused\n5:6 711\nwent on\n"
    kept = list(rootless.root.parent.rglob("kept"))
    assert [one.relative_to(rootless.root).parts[:2] for one in kept] == [("cache", "mounts")]
    assert (
        build(
            "FROM busybox\nRUN --mount=type=cache,id=../../x,target=/a ls /a\n",
            *("--build-arg", "BUILDKIT_CACHE_MOUNT_NS=other"),
        )
        == ""
    )
    assert build("FROM busybox\nRUN --mount=type=cache,id=../../x,target=/z ls /z\n") == "kept\n"


def test_a_cache_begins_with_the_files_of_a_stage(build):
    text = (
        "FROM busybox AS s\nRUN mkdir /o && echo hi > /o/f && chown 3:4 /o /o/f && chmod 750 /o\n"
        "FROM busybox\nRUN echo {} > /own\nRUN --mount=type=cache,from=s,source=/o,target=/c "
        "echo {}; stat -c '%u:%g %a' /c; stat -c %u /c/f; cat /c/*; echo more > /c/g\n"
        "RUN --mount=type=cache,target=/c ls /c\n"
    )
    assert build(text.format(1, 1)) == "1\n3:4 750\n3\nhi\n"
    assert build(text.format(2, 2)) == "2\n3:4 750\n3\nhi\nmore\n"


def test_what_a_failed_step_has_written_to_a_cache_stays(build):
    build("FROM busybox\nRUN --mount=type=cache,target=/c echo x > /c/x; exit 3\n", ok=False)
    assert build("FROM busybox\nRUN --mount=type=cache,target=/c cat /c/x\n") == "x\n"


def test_memory(build):
    said = build(
        "FROM busybox\nRUN mkdir -m 750 /old && touch /old/file\n"
        "RUN --mount=type=tmpfs,target=/t,size=1m stat -c %a /t; "
        "grep ' /t ' /proc/mounts | grep -o size=1024k; touch /t/x\n"
        "RUN --mount=type=tmpfs,target=/old stat -c %a /old; ls -A /old; touch /old/new\n"
        "RUN --mount=type=tmpfs,target=/t,ro touch /t/x || echo refused\n"
        "RUN --mount=type=tmpfs,target=/c/d --mount=type=cache,target=/c "
        "touch /c/x /c/d/y; ls /c /c/d\n"
    )
    assert said.split("\n") == [
        *("1777", "size=1024k", "750", "touch: /t/x: Read-only file system", "refused"),
        *("/c:", "d", "x", "", "/c/d:", "y", ""),
    ]
    files, _ = build.image()
    assert "old/file" in files
    assert not {"t", "c", "old/new"} & set(files)


def test_mount_points_that_the_command_used_are_its_own(build):
    """As in docker: what is empty goes, what holds something stays."""
    build(
        "FROM busybox\nRUN ln -s /real /link && mkdir /real\n"
        "RUN --mount=type=cache,target=/p/q/r touch /p/mine\n"
        "RUN --mount=type=cache,target=/link/in/here true\n"
        "RUN --mount=type=tmpfs,target=/gone/x cd /; umount /gone/x; true\n"
    )
    files, layers = build.image()
    assert {name for name in files if name.split("/")[0] in ("p", "real", "gone")} == {
        *("p", "p/mine", "real"),
    }
    assert "p/q" not in layers[2]


def test_a_mount_point_replaced_by_a_link_takes_nothing_outside(build, tmp_path):
    """CVE-2024-23652: what is taken away afterwards must not follow what the command has put."""
    victim = tmp_path / "victim"
    (victim / "b").mkdir(parents=True)
    build(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/a/b (umount /a/b && rm -rf /a "
        f"&& ln -s {victim} /a) 2>/dev/null; mv /a /z 2>/dev/null; ln -s {victim} /a; true\n"
    )
    assert (victim / "b").is_dir()


def test_a_target_behind_a_link_lies_inside(build, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    (tmp_path / "s").write_text("secret")
    said = build(
        f"FROM busybox\nRUN ln -s {victim} /l && ln -s {victim}/file /f && ln -s ../../etc /e\n"
        "RUN --mount=type=cache,target=/l/c --mount=type=tmpfs,target=/l/t,size=1k "
        "--mount=type=secret,id=s,target=/l/file --mount=type=secret,id=s,target=/f "
        "--mount=type=bind,source=Dockerfile,target=/e/bound "
        f"touch /l/c/x; cat /f; cat {victim}/file; ls /l /etc/bound\n",
        *("--secret", f"id=s,src={tmp_path}/s"),
    )
    assert said.split() == ["secretsecret/etc/bound", "/l:", "c", "file", "t"]
    assert os.listdir(victim) == ["file"]
    assert (victim / "file").read_text() == "mine"
    assert not {name for name in build.image()[0] if str(victim).lstrip("/") in name}


def test_a_source_in_the_context_never_leaves_it(build, tmp_path):
    """CVE-2024-1753."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("")
    (build.context / "out").symlink_to(outside)
    (build.context / "d").mkdir()
    (build.context / "in").symlink_to("d")
    said = build("FROM busybox\nRUN --mount=source=out,target=/m ls /m\n", ok=False)
    assert "out" in said
    assert "Dockerfile:2" in said
    build("FROM busybox\nRUN --mount=source=../../d,target=/m ls /m\n")
    build("FROM busybox\nRUN --mount=source=in,target=/m,rw touch /m/tmp\n")
    assert os.listdir(build.context / "d") == []
    assert os.listdir(outside) == ["secret"]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ("--mount=type=cache,target=/", 'invalid mount target "/"'),
        ("--mount=type=tmpfs,target=/proc/self", 'invalid mount target "/proc/self"'),
        ("--mount=bind-propagation=shared,target=/m", "bind-propagation"),
        ("--mount=from=$S,target=/m", "'from' doesn't support variable expansion"),
        ("--mount=from=late,target=/m", "is not an earlier stage"),
        ("--mount=source=nope,target=/m", "nope"),
        ("--mount=from=early,source=/nope,target=/m", '"/nope"'),
        ("--mount=type=tmpfs,target=/etc/passwd", "/etc/passwd"),
        ("--mount=source=Dockerfile,target=/etc", "/etc"),
        ("--mount=type=cache,target=/c,uid=4000000", "4000000"),
        ("--device=vendor.com/class=name", "device is not allowed"),
        ("--security=insecure", "security.insecure is not allowed"),
    ],
)
def test_what_cannot_be_mounted_is_said_with_its_line(build, flags, problem):
    said = build(
        f"FROM busybox AS early\nFROM busybox\nRUN {flags} echo ran\nFROM busybox AS late\n",
        *("--target", "1"),
        ok=False,
    )
    assert problem in said
    assert "Dockerfile:3" in said
    assert "\nran" not in said
    assert "Traceback" not in said


def test_heredocs_exec_forms_and_triggers_have_mounts_too(build):
    said = build(
        "FROM busybox AS z\nRUN echo zz > /zz\nFROM busybox AS b\n"
        "ONBUILD RUN --mount=from=z,source=/zz,target=/oz cat /oz\nFROM b\n"
        "RUN --mount=type=tmpfs,target=/t <<EOF\necho $(ls -A /t | wc -l)\nEOF\n"
        'RUN --mount=type=tmpfs,target=/t ["stat", "-c", "%a", "/t"]\n'
        "RUN --mount=type=tmpfs,target=/t <<EOF\n#!/bin/sh\necho script\nEOF\n"
    )
    assert said == "zz\n0\n1777\nscript\n"


@pytest.mark.parametrize("powers", [("--cap-add", "SYS_ADMIN"), ("--allow", "security.insecure")])
@pytest.mark.parametrize("source", ["src", "src/file", "."])
def test_no_power_makes_a_bind_writable(build, powers, source):
    """Who may mount can take the read-only away: then what is shown is no file of the user's."""
    (build.context / "src").mkdir()
    (build.context / "src" / "file").write_text("mine")
    insecure = "--security=insecure " if powers[0] == "--allow" else ""
    said = build(
        f"FROM busybox\nRUN {insecure}--mount=source={source},target=/m "
        "cat /m /m/file /m/src/file; mount -o remount,rw,bind /m; "
        "for one in /m /m/file /m/src/file; do echo pwn > $one; rm -f $one; done; true\n",
        *powers,
    )
    assert "mine" in said
    assert (build.context / "src" / "file").read_text() == "mine"


@pytest.fixture
def two(build, rootless, tmp_path):
    """`two(sharing)`: a build that is in a cache, and a second that begins then; `go()` lets the
    first end. Both as (process, lines).
    """
    (tmp_path / "go").mkdir()
    text = (
        "FROM busybox\nRUN --mount=type=cache,id=c,target=/c,sharing={0} touch /c/{1}; ls /c; "
        "echo {1} is in; while [ {1} = a ] && [ ! -e /go/now ]; do sleep .1; done; rm /c/{1}\n"
    )
    running = []

    def start(name, sharing):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(text.format(sharing, name))
        words = ("build", "--progress=plain", "-v", f"{tmp_path}/go:/go", folder)
        one = subprocess.Popen(
            rootless.command(*words), stderr=subprocess.PIPE, text=True, env=rootless.environment
        )
        running.append(one)
        return one

    def until(one, words):
        said = ""
        while not said.endswith(f"{words}\n"):
            line = one.stderr.readline()
            assert line, said
            said += line
        return said

    def both(sharing, expected):
        first = start("a", sharing)
        until(first, " a is in")
        second = start("b", sharing)
        said = until(second, expected)
        (tmp_path / "go/now").touch()
        said += second.communicate()[1]
        assert first.communicate()[1] is not None
        assert (first.returncode, second.returncode) == (0, 0), said
        return printed(said)

    yield both
    for one in running:
        one.kill()


def test_a_shared_cache_is_used_by_two_at_once(two):
    assert two("shared", " b is in") == "a\nb\nb is in\n"


def test_a_locked_cache_is_used_one_after_the_other(two):
    said = two("locked", " waiting for another build that uses the cache c")
    assert said == "waiting for another build that uses the cache c\nb\nb is in\n"


def test_a_private_cache_is_another_for_a_second_at_once(two):
    assert two("private", " b is in") == "b\nb is in\n"


def test_a_build_that_is_killed_leaves_its_cache_free(build, rootless):
    (build.context / "Dockerfile").write_text(
        "FROM busybox\nRUN --mount=type=cache,target=/c,sharing=locked touch /c/x; "
        "echo it runs; sleep 1000\n"
    )
    command = rootless.command("build", "--progress=plain", build.context)
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=rootless.environment)
    assert running.stderr is not None
    while not running.stderr.readline().endswith(" it runs\n"):
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.stderr.close()
    assert build("FROM busybox\nRUN --mount=type=cache,target=/c,sharing=locked ls /c\n") == "x\n"
    assert rootless("system", "check").exit == 0


def test_the_store_is_whole_and_can_be_read_with_caches_in_it(build, rootless):
    build("FROM busybox\nRUN --mount=type=cache,target=/c,mode=0700 mkdir -m 0 /c/closed\n")
    assert rootless("system", "check").exit == 0
    rootless.ok("system", "df", "-v")
    rootless.ok("system", "prune", "-af")
