"""Makes a single file of the program and all that it needs: bundle.py OUT.pyz.

From the environment that runs this. The same environment and checkout give the same bytes. Written
beside OUT and renamed; a crash leaves that.
"""

from __future__ import annotations

import compileall
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_TIME = 1 << 30  # of each source, so that what is compiled of it counts wherever it is unpacked
_UNUSED = {"pygments", "markdown-it-py", "mdurl"}  # of rich: for source code and Markdown
_LEFT_OUT = re.compile(r"(^|/)(__pycache__|tests?|_cffi\.[^/]*)(/|$)|\.(pyi|h|c|pyx|pxd)$|^\.\.|^/")


def main(out: Path) -> None:
    """Write `out`, executable."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "tree")
        gather(tree)
        content = packed(tree)
    start = (_HERE / "bundle_start.py").read_text()
    for mark, value in (
        ("@DIGEST@", hashlib.sha256(content).hexdigest()),
        ("@PYTHON@", f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"),
        ("@MACHINE@", os.uname().machine),
        ("@SUFFIX@", EXTENSION_SUFFIXES[0]),
    ):
        start = start.replace(mark, value)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    with open(unfinished, "wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(zipfile.ZipInfo("__main__.py"), start)
            archive.writestr(zipfile.ZipInfo("tree.tar.gz"), content)
    unfinished.chmod(0o755)
    unfinished.rename(out)


def gather(tree: Path) -> None:
    """The program and what it needs, compiled."""
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_HERE.parent / "rootless", tree / "rootless", ignore=leave)
    for name in sorted(needed()):
        for source, file in files(metadata.distribution(name)):
            if _LEFT_OUT.search(file):
                continue
            target = tree / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    if strip := shutil.which("strip"):  # a wheel's library may be symbols of a debugger by half
        subprocess.run([strip, "--strip-debug", *tree.rglob("*.so")], check=True)
    for path in tree.rglob("*"):
        os.utime(path, (_TIME, _TIME))
    if not compileall.compile_dir(tree, quiet=2, stripdir=str(tree)):
        raise SystemExit("error: something cannot be compiled")


def files(one: metadata.Distribution) -> Iterator[tuple[Path, str]]:
    """Where each file of it is, and its name; python-prctl has no list of what was installed."""
    if one.read_text("RECORD"):
        yield from ((Path(str(file.locate())), str(file)) for file in one.files or ())
        return
    folder = Path(str(one.locate_file("")))
    for name in (one.read_text("top_level.txt") or "").split():
        for path in folder.glob(f"{name}.*"):
            yield path, path.name


def needed() -> set[str]:
    """The distributions that are dependencies of pyproject.toml, and theirs, as far as they are
    here: python-prctl may have had no compiler.
    """
    import tomllib

    project = tomllib.loads((_HERE.parent / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    waiting = [_name(line) for line in project["dependencies"]]
    while waiting:
        name = waiting.pop()
        if name in found | _UNUSED:
            continue
        try:
            required = metadata.requires(name)
        except metadata.PackageNotFoundError:
            print(f"note: without {name}, which is not installed", file=sys.stderr)
            continue
        found.add(name)
        waiting += [
            _name(line) for line in required or () if "extra ==" not in line and ";" not in line
        ]
    return found


def _name(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower()  # type: ignore[index]


def packed(tree: Path) -> bytes:
    """A tar of the tree, whose order, owners and times are always the same."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(tree.rglob("*")):
            archive.add(path, str(path.relative_to(tree)), recursive=False, filter=_plain)
    return gzip.compress(raw.getvalue(), 9, mtime=0)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = _TIME
    member.mode = 0o755 if member.isdir() or member.name.endswith(".so") else 0o644
    return member


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except OSError as error:
        sys.exit(f"error: {error.filename or sys.argv[1]}: {error.strerror}")
