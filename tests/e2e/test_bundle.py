"""rootless.pyz: one file, a bare Python of the system, and nothing else of ours."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tests.support import child, machine

SYSTEM = "/usr/bin/python3"

pytestmark = pytest.mark.skipif(
    not os.path.exists(SYSTEM) or sys.implementation.name != "cpython",
    reason="it is run by the system's Python",
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "rootless.pyz"
    command = [sys.executable, machine.PROJECT / "scripts" / "bundle.py", out]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture
def bare(bundle, tmp_path):
    """Runs it with a home of its own and no other variable, by `python3 -I`: code, out, err."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

    def run(*argv, file=bundle, **more):
        command = [python(), "-I", file, *argv]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**environment, **more}
        )
        return done.returncode, done.stdout, done.stderr

    run.home = home
    yield run
    if machine.missing("userns") is None:
        child.remove_tree(home)


def python():
    """The system's, where it is of the version that the bundle was made with."""
    there = subprocess.run([SYSTEM, "-V"], capture_output=True, text=True, check=True).stdout
    if there.split()[1].rpartition(".")[0] != platform.python_version().rpartition(".")[0]:
        pytest.skip(f"{SYSTEM} is {there}")
    return SYSTEM


def works(answer):
    code, out, err = answer
    assert code == 0, err
    return out


def unpacked(folder: Path):
    return [path.name for path in folder.iterdir() if len(path.name) == 64]


@pytest.mark.needs("userns", "subids", "overlay", "busybox")
def test_images_build_and_run(bare, busybox_image, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo built > /said\n")
    works(bare("load", "-i", busybox_image.archive(tmp_path / "base.tar")))
    works(bare("build", "-q", "-t", "made", context))
    assert "made" in works(bare("images"))
    assert works(bare("run", "--rm", "--network", "none", "made", "cat", "/said")) == "built\n"
    works(bare("save", "-o", tmp_path / "made.tar", "made"))
    assert "Build an image" in works(bare("build", "--help"))


def test_every_compiled_part_is_in_it(bare):
    works(bare("--version"))
    cache = bare.home / ".cache" / "rootless"
    (name,) = unpacked(cache)
    code = (
        f"import sys; sys.path.insert(0, {str(cache / name)!r}); sys.dont_write_bytecode = True\n"
        "import zstandard, yaml, rich.progress, rich.table, click, pyroute2\n"
        "from isal import igzip; from zstandard import backend_c\n"
        "print(*{one.partition('.')[0] for one in sys.modules} & {'zstandard', 'isal'},"
        " zstandard.__file__, sep='\\n')"
    )
    done = subprocess.run([python(), "-I", "-c", code], capture_output=True, text=True, check=True)
    assert {"isal", "zstandard"} < set(done.stdout.split())
    assert str(cache / name) in done.stdout


def test_the_second_time_nothing_is_written(bare):
    works(bare("--version"))
    cache = bare.home / ".cache" / "rootless"
    assert cache.stat().st_mode & 0o777 == 0o700
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    works(bare("images"))
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before
    assert [path for path in before if path.suffix == ".pyc"]


def test_the_first_time_many_at_once_and_after_one_that_was_killed(bundle, bare):
    cache = bare.home / ".cache" / "rootless"
    (cache / "unfinished" / "rootless").mkdir(parents=True)
    (cache / "unfinished" / "rootless" / "__main__.py").write_text("half")
    cache.chmod(0o700)
    command = [python(), "-I", bundle, "--version"]
    environment = {"HOME": str(bare.home), "PATH": "/usr/bin:/bin"}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = [(*one.communicate(), one.returncode) for one in started]
    assert {end[2] for end in ends} == {0}, ends
    assert len({end[0] for end in ends}) == 1
    assert len(unpacked(cache)) == 1
    assert not (cache / "unfinished").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written(bare, tmp_path):
    bare.home.chmod(0o555)
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    assert "rootless version" in works(bare("--version", XDG_RUNTIME_DIR=str(runtime)))
    assert len(unpacked(runtime / "rootless-program")) == 1
    bare.home.chmod(0o755)


@pytest.mark.parametrize("how", ["writable", "link"])
def test_a_folder_that_is_not_ours_alone_is_not_used(bare, tmp_path, how):
    (bare.home / ".cache").mkdir()
    place, runtime = bare.home / ".cache" / "rootless", tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    if how == "writable":
        place.mkdir()
        place.chmod(0o777)
    else:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    works(bare("--version", XDG_RUNTIME_DIR=str(runtime)))
    assert not list(place.iterdir())
    assert len(unpacked(runtime / "rootless-program")) == 1


def changed(bundle, folder, name, change):
    """The same with one of its files changed."""
    out = folder / "changed.pyz"
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(out, "w") as new:
        for one in old.namelist():
            content = old.read(one)
            new.writestr(one, change(content) if one == name else content)
    return out


def test_what_is_damaged_is_not_started(bundle, bare, tmp_path):
    def damage(content):
        return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]

    file = changed(bundle, tmp_path, "tree.tar.gz", damage)
    code, out, err = bare("--version", file=file)
    assert (code, out) == (1, "")
    assert "is damaged" in err
    assert not unpacked(bare.home / ".cache" / "rootless")


def test_another_python_or_machine_is_said(bundle, bare, tmp_path):
    def made_for(old, new):
        return lambda content: content.replace(old.encode(), new.encode(), 1)

    mark = f'"cpython {platform.python_version().rpartition(".")[0]}"'
    file = changed(bundle, tmp_path, "__main__.py", made_for(mark, '"cpython 3.99"'))
    code, _, err = bare("--version", file=file)
    assert code == 1
    assert "was made for cpython 3.99" in err
    assert "there is no python3.99" in err
    file = changed(bundle, tmp_path, "__main__.py", made_for(f'"{platform.machine()}"', '"z80"'))
    code, _, err = bare("--version", file=file)
    assert code == 1
    assert "was made for z80" in err
    suffix = EXTENSION_SUFFIXES[0]
    musl = suffix.replace("gnu", "musl")
    file = changed(bundle, tmp_path, "__main__.py", made_for(f'"{suffix}"', f'"{musl}"'))
    code, out, err = bare("--version", file=file)
    assert (code, out) == (1, "")
    assert f"was made for a Python with *{musl}, this one has *{suffix}" in err


def test_where_it_cannot_be_written_is_said():
    command = [sys.executable, machine.PROJECT / "scripts" / "bundle.py", "/dev/null/x.pyz"]
    refused = subprocess.run(command, check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("error: /dev/null")
    assert "Traceback" not in refused.stderr
