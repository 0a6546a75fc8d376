"""The command line without its start-up: a process that has its modules forks for each command.

For tests of many commands that are about what they do, not how they begin. Each is a process of its
own still, with its own directory, output and exit code; the one that forks has a single thread.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import rootless
from tests.conftest import Result, Rootless
from tests.support import machine

_SERVE = "from tests.support import forked; forked.serve()"


class Forked(Rootless):
    """As `Rootless`, for `cwd` alone of its options; to be closed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        pipe = subprocess.PIPE
        argv = [sys.executable, "-c", _SERVE]
        self._server = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, env=self.environment, cwd=machine.PROJECT
        )

    def __call__(self, *argv: str | Path, stdin: str = "", **options: Any) -> Result:
        assert not stdin
        order = {
            "argv": ["--root", str(self.root), *map(str, argv)],
            "cwd": str(options.get("cwd", ".")),
        }
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, "the process that forks has ended"
        return Result(*json.loads(answer))

    def close(self) -> None:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()


def serve() -> None:
    """Carry out what standard input says, a line each."""
    for module in pkgutil.walk_packages(rootless.__path__, "rootless."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    answers = os.dup(1)
    orders = os.dup(0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    with open(orders, "rb") as lines:
        for line in lines:
            order = json.loads(line)
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
                pid = os.fork()
                if pid == 0:
                    _carry_out(order, (lines.fileno(), answers), out.fileno(), error.fileno())
                _, status = os.waitpid(pid, 0)
                texts = [_content(file) for file in (out, error)]
            code = os.waitstatus_to_exitcode(status)
            os.write(answers, json.dumps([code, *texts]).encode() + b"\n")


def _carry_out(order: dict[str, Any], ours: tuple[int, ...], out: int, error: int) -> None:
    from rootless.cli import main

    os.dup2(out, 1)
    os.dup2(error, 2)
    for fd in ours:
        os.close(fd)
    os.chdir(order["cwd"])
    code = 1
    try:
        code = main.main(order["argv"])
    except BaseException:  # noqa: BLE001  as the interpreter does it
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _content(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode(errors="backslashreplace"))
