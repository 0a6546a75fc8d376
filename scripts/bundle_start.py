"""`__main__` of rootless.pyz: unpacks what the file holds, once, and starts it from there.

Shared libraries cannot be loaded out of an archive. They and all else lie in a folder of the user's
own (0700), named after the sha256 of the contents, which is checked when they are unpacked. Who
comes while another unpacks waits for a lock; what was killed meanwhile is thrown away by the next.
"""

from __future__ import annotations

import _imp
import os
import sys

DIGEST, PYTHON, MACHINE, SUFFIX = "@DIGEST@", "@PYTHON@", "@MACHINE@", "@SUFFIX@"
_TREE = "tree.tar.gz"
_NOEXEC = 8  # ST_NOEXEC of statvfs(3): libraries cannot be loaded there


def main() -> None:
    """Never returns."""
    _check()
    sys.path.insert(0, _unpacked())
    try:
        from rootless.__main__ import main as command
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    command()


def _check() -> None:
    """Go on with the Python that it was made for, if that is here."""
    here = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
    if os.uname().machine != MACHINE:
        _end(f"this file was made for {MACHINE}, this machine is {os.uname().machine}")
    if here == PYTHON:
        suffix = _imp.extension_suffixes()[0]
        if suffix != SUFFIX:  # Alpine's C library is another: musl
            _end(f"this file was made for a Python with *{SUFFIX}, this one has *{suffix}")
        return
    name = "python" + PYTHON.partition(" ")[2]
    for folder in os.environ.get("PATH", "/usr/bin").split(":"):
        if os.access(f"{folder}/{name}", os.X_OK):
            os.execv(f"{folder}/{name}", [name, *sys.orig_argv[1:]])
    _end(f"this file was made for {PYTHON}, this is {here}, and there is no {name}")


def _unpacked() -> str:
    """The folder that holds the program, in the first place that can have one."""
    problems = []
    for place in _places():
        try:
            return _within(place)
        except OSError as error:
            problems.append(f"{place}: {error.strerror or error}")
    _end("there is no place to unpack this file to:\n  " + "\n  ".join(problems))
    raise AssertionError


def _places() -> list[str]:
    home, own = os.environ.get("HOME", ""), f"rootless-{os.getuid()}"
    cache = os.environ.get("XDG_CACHE_HOME") or (home and f"{home}/.cache")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = (cache and f"{cache}/rootless", runtime and f"{runtime}/rootless-program")
    return [place for place in (*places, f"/var/tmp/{own}", f"/tmp/{own}") if place]


def _within(place: str) -> str:
    target = f"{place}/{DIGEST}"
    os.makedirs(os.path.dirname(place), exist_ok=True)
    try:
        os.mkdir(place, 0o700)
    except FileExistsError:
        pass
    _insist_on_own(place)
    if os.statvfs(place).f_flag & _NOEXEC:
        raise OSError("it is mounted noexec")
    if not os.path.isdir(target):
        _unpack(place, target)
    return target


def _insist_on_own(place: str) -> None:
    """Nobody else may have put a program there for us: /tmp is everybody's."""
    status = os.lstat(place)
    if status.st_mode & 0o170000 != 0o040000 or status.st_uid != os.getuid():
        raise OSError("it is not a folder of this user's")
    if status.st_mode & 0o022:
        raise OSError("others may write to it")


def _unpack(place: str, target: str) -> None:
    import fcntl
    import shutil

    with open(f"{place}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel frees it with us
        if os.path.isdir(target):
            return
        unfinished = f"{place}/unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        os.mkdir(unfinished, 0o700)
        _extract(unfinished)
        os.rename(unfinished, target)


def _extract(folder: str) -> None:
    """What is compiled counts by the time of its source, which stays as it was."""
    import hashlib
    import io
    import tarfile
    import zipfile

    with zipfile.ZipFile(os.path.dirname(os.path.abspath(__file__))) as outer:
        content = outer.read(_TREE)
    if hashlib.sha256(content).hexdigest() != DIGEST:
        _end(f"{sys.argv[0]} is damaged: its sha256 is another")
    with tarfile.open(fileobj=io.BytesIO(content)) as tree:
        tree.extractall(folder)  # our own archive, whose digest this file has


def _end(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
