"""What an image, a caller or another user may try against a run: nothing comes in, or out."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys

import pytest

from tests.support import images, machine

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")

RUN = ("run", "--rm", "--network=none")


@pytest.fixture
def make(rootless, tmp_path):
    """`make(files, config…)` loads busybox and `files` as an image; its name."""

    def make(files: dict[str, bytes | str] | None = None, **config: object) -> str:
        program = machine.static_busybox().read_bytes()
        base = {"bin/": b"", "bin/busybox": program, "bin/sh": "busybox", "proc/": b""}
        layer = images.layer({**base, **(files or {})})
        image = images.write_layout(tmp_path / "image", "evil:1", [layer], config)
        return rootless.load(image, tmp_path)

    return make


@pytest.mark.parametrize("path", ["/link", "/script", "/script2", "link"])
def test_no_command_is_the_hosts_program(rootless, make, path):
    """CVE-2019-5736: executed, the interpreter that starts containers could be overwritten."""
    image = make(
        {
            "link": "/proc/self/exe",
            "bin/link": "/proc/self/exe",
            "script": b"#!/proc/self/exe\n",
            "script2": b"#! /script x\n",
        }
    )
    answer = rootless(*RUN, "--entrypoint", path, image, "--version")
    assert answer.exit == 126
    assert "Python" not in answer.stdout + answer.stderr


def test_the_callers_descriptors_stay_outside(rootless, make, tmp_path):
    image = make()
    (tmp_path / "secret").write_text("secret")
    secret = os.open(tmp_path / "secret", os.O_RDONLY)
    listing = "/bin/busybox ls -l /proc/self/fd /proc/1/fd; /bin/busybox cat /proc/1/environ"
    for init in ([], ["--init"]):
        answer = rootless(
            *RUN, *init, image, "/bin/busybox", "sh", "-c", listing,
            pass_fds=[secret], env={**rootless.environment, "CANARY": "sings"},
        )  # fmt: skip
        said = answer.stdout + answer.stderr
        assert "secret" not in said
        assert str(rootless.root) not in said
        assert "sings" not in said
    os.close(secret)


def test_the_callers_environment_stays_out_of_builds(rootless, make, tmp_path):
    image = make()
    (tmp_path / "Dockerfile").write_text(
        f'FROM {image}\nRUN ["/bin/busybox", "env"]\nRUN ["/bin/busybox", "sh", "-c", "exit 0"]\n'
    )
    canary = {**rootless.environment, "CANARY": "sings", "https_proxy": "http://me:pass@127.0.0.1"}
    answer = rootless("build", "--progress=plain", "-t", "x", tmp_path, env=canary)
    assert answer.exit == 0, answer.stderr
    said = answer.stderr + rootless.ok("inspect", "x") + rootless.ok("history", "--no-trunc", "x")
    assert "sings" not in said
    assert "me:pass" not in said


def test_setuid_programs_of_images_are_out_of_other_users_reach(rootless, tmp_path):
    program = machine.static_busybox().read_bytes()
    content = {"bin/": b"", "bin/su": program, "bin/busybox": program}
    layer = images.layer(content, mode=0o4755)
    image = rootless.load(images.write_layout(tmp_path / "image", "su:1", [layer]), tmp_path)
    for umask in (0o022, 0):
        was = os.umask(umask)
        try:
            shown = rootless.ok(*RUN, image, "/bin/busybox", "stat", "-c", "%a", "/bin/su")
        finally:
            os.umask(was)
        assert shown == "4755\n"
    assert stat.S_IMODE(os.stat(rootless.root).st_mode) == 0o700
    for folder in ("layers", "containers", "tmp"):
        assert stat.S_IMODE(os.stat(rootless.root / folder).st_mode) == 0o700


def test_programs_of_an_image_are_not_used_to_unpack(rootless, make, tmp_path):
    """CVE-2026-41567: a decompressor is looked up inside the image."""
    trap = b"#!/bin/sh\n>/marker\n"
    names = ("xz", "gzip", "zstd", "pigz", "unpigz", "bzip2", "tar")
    image = make({"usr/": b"", "usr/bin/": b"", **{f"usr/bin/{name}": trap for name in names}})
    (tmp_path / "context").mkdir()
    (tmp_path / "inner").write_text("inner")
    lines = [f"FROM {image}"]
    for letter, name in ("J", "t.tar.xz"), ("z", "t.tar.gz"), ("j", "t.tar.bz2"):
        subprocess.run(
            ["tar", f"-c{letter}f", tmp_path / "context" / name, "-C", tmp_path, "inner"],
            check=True,
        )
        lines.append(f"ADD {name} /from-{name}/")
    (tmp_path / "context" / "Dockerfile").write_text("\n".join(lines))
    rootless.ok("build", "-q", "-t", "x", tmp_path / "context")
    script = "cd /; /bin/busybox ls marker; /bin/busybox cat from-*/inner"
    assert rootless(*RUN, "x", "/bin/busybox", "sh", "-c", script).stdout == "inner" * 3


def test_a_bomb_takes_no_memory(rootless, tmp_path):
    """Zeros behind a tar's end are part of its diff_id: read in pieces, and so many at most."""
    import gzip
    import resource

    def import_zeros(megabytes):
        with gzip.open(tmp_path / "bomb.tar.gz", "wb", compresslevel=1) as bomb:
            for _ in range(megabytes):
                bomb.write(bytes(1 << 20))
        limit = 400 << 20
        return rootless(
            "import", tmp_path / "bomb.tar.gz", "bomb",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)), timeout=60,
        )  # fmt: skip

    answer = import_zeros(60)
    assert (answer.exit, answer.stderr) == (0, "")
    answer = import_zeros(600)
    assert answer.exit == 1
    assert "goes on for more than 64 MiB after its end" in answer.stderr


def test_words_of_an_image_do_not_command_the_terminal(rootless, make):
    evil = "\x1b]0;owned\x07\x1b[2J\u009b31m"
    image = make(
        Cmd=["/bin/busybox", "true", evil], Labels={"a": evil}, Env=[f"E={evil}"], WorkingDir="/"
    )
    rootless.ok("run", "--network=none", "--name", "kept", image)
    for verb in (
        ("ps", "-a"), ("ps", "-a", "--format", "{{.Command}}"), ("history", image),
        ("inspect", image), ("inspect", "--format", "{{.Config.Cmd}}", image),
        ("images", "--format", "json"), (*RUN, "--explain", image),
        (*RUN, "--entrypoint", evil, image),
    ):  # fmt: skip
        answer = rootless(*verb)
        said = answer.stdout + answer.stderr
        assert not {"\x1b", "\x07", "\u009b"} & set(said), verb


@pytest.mark.needs("strace", "unshare")
def test_nothing_is_made_outside_the_store(rootless, make, tmp_path):
    """Names in a shared /tmp could be somebody's links: none is ever used."""
    image = make()
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "Dockerfile").write_text(f"FROM {image}\nCOPY Dockerfile /x\n")
    log = tmp_path / "log"
    environment = {**rootless.environment, "PYTHONDONTWRITEBYTECODE": "1"}
    for verb in ((*RUN, image, "/bin/busybox", "true"), ("build", "-q", tmp_path / "context")):
        trace = ["strace", "-f", "-qq", "-o", log, "-e", "trace=open,openat,mkdir,symlink,rename"]
        subprocess.run(
            ["unshare", "--map-root-user", *trace, *rootless.command(*verb)],
            env=environment, check=True, capture_output=True,
        )  # fmt: skip
        for line in log.read_text().splitlines():
            if '"/tmp' in line and ("O_CREAT" in line or "mkdir(" in line):
                assert str(rootless.root) in line, line


def test_a_python_of_the_users_own_is_not_overwritten(rootless, make, tmp_path):
    """With --init the host's program stays in the container as process 1."""
    image = make()
    python = tmp_path / "python3"
    shutil.copy(sys.executable, python)
    before = python.read_bytes()
    script = (
        "for f in /proc/[0-9]*/exe; do echo x >$f; done; /bin/busybox ls -l /proc/1/exe; echo done"
    )
    line = [
        python,
        *rootless.command(*RUN, "--init", image, "/bin/busybox", "sh", "-c", script)[1:],
    ]
    answer = subprocess.run(line, env=rootless.environment, capture_output=True, check=False)
    assert b"done" in answer.stdout, answer.stderr
    assert b"python" not in answer.stdout
    assert python.read_bytes() == before


_MAGIC = b"/proc/self/exe"
_LINES = {
    "plain": _MAGIC,
    "blanks": b" \t " + _MAGIC + b" \t ",
    "vertical tab": b"/x\v/.." + _MAGIC,
    "form feed": b"/x\f/.." + _MAGIC,
    "next line": b"/x\x85/.." + _MAGIC,
    "return": b"/x\r/.." + _MAGIC,
    "nul": _MAGIC + b"\0 x",
    "argument": _MAGIC + b" -Ic pass",
    "253 bytes": b"/" * (253 - len(_MAGIC)) + _MAGIC,
    "254 bytes": b"/" * (254 - len(_MAGIC)) + _MAGIC,
    "of process 1": b"/proc/1/exe",
    "of a thread": b"/proc/thread-self/exe",
    "another script": b"/plain",
    "a link": b"/link",
}


@pytest.mark.parametrize("init", [False, True])
def test_no_interpreter_line_leads_to_the_hosts_python(rootless, tmp_path, init):
    """Where that is the user's own (venv --copies, pyenv, uv), it could be rewritten for good."""
    python = tmp_path / "python3"
    shutil.copy(sys.executable, python)
    python.chmod(0o755)
    body = b"\nimport os; os.chmod('/proc/self/exe', 0o777); print('ow' + 'ned')\n"
    files = {name: b"#!" + line + body for name, line in _LINES.items()}
    folders = dict.fromkeys(("proc/", "bin/", "x\v/", "x\f/", "x\r/", "x\udc85/"), b"")
    program = machine.static_busybox().read_bytes()
    content = {**folders, "x": b"", "bin/busybox": program, "link": "/proc/self/exe", **files}
    # Executed, the host's program is in the hands of the image's dynamic linker.
    linker = re.search(rb"/lib[\w/.-]*/ld-[\w.-]+", python.read_bytes())
    if linker:
        content[linker[0].decode().lstrip("/")] = program
    layer = images.layer(content, mode=0o755)
    image = rootless.load(images.write_layout(tmp_path / "image", "evil:1", [layer]), tmp_path)
    before = (python.stat().st_mode, python.stat().st_ctime_ns, python.read_bytes())
    flags = ("--init",) if init else ()
    for name in _LINES:
        words = rootless.command(*RUN, *flags, "--entrypoint", f"/{name}", image)[1:]
        answer = subprocess.run(
            [python, *words],
            env=rootless.environment,
            capture_output=True,
            check=False,
            timeout=120,
        )
        said = (answer.stdout + answer.stderr).decode(errors="replace")
        assert answer.returncode in (126, 127), (name, said)
        assert "owned" not in said, name
        assert "Python" not in said, name
        assert "applet" not in said, name
    assert (python.stat().st_mode, python.stat().st_ctime_ns, python.read_bytes()) == before
