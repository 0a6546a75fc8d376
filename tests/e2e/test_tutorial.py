"""docs/tutorial.md typed into one shell, line by line: it answers what the page shows."""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support import machine, one_id

pytestmark = pytest.mark.needs("userns", "overlay", "busybox", "unshare")
PAGE = machine.PROJECT / "docs" / "tutorial.md"
DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
STEP = re.compile(r"^((?:# )?)(\d+)\. ")
# What is another's on each machine and at each time.
VARYING = [
    (DIGEST, "DIGEST"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d|[A-Z][a-z]{2} +\d+ \d\d:\d\d"), "TIME"),
    (re.compile(r"(?:\d+|Less than a|About a) (?:second|minute)s? ago|DONE \d+\.\ds"), "WHEN"),
    (re.compile(r"(\s)(\S+) \2( +\d)"), r"\1ME ME\3"),
    (re.compile(r"uid 0 = host.*"), "IDS"),
    (re.compile(r" --map-auto"), ""),
    (re.compile(r"\(\d+ BPF instructions\)"), "(FILTER)"),
    (re.compile(r"\d\.\d+MB|^total \d+$"), "SIZE"),
    (re.compile(r" {2,}"), "  "),
]


class Typed(NamedTuple):
    """A command, and what the page shows below it."""

    command: str
    shown: list[str]


def is_whole(command: str) -> bool:
    """Whether a shell waits for no more lines."""
    asked = subprocess.run(["bash", "-nc", command], capture_output=True, check=False)
    return asked.returncode == 0 and b"here-document" not in asked.stderr


def typed() -> Iterator[Typed]:
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        lines = block.splitlines()
        while lines:
            command = lines.pop(0).removeprefix("$ ")
            while not is_whole(command):
                command += f"\n{lines.pop(0)}"
            shown = []
            while lines and not lines[0].startswith("$ "):
                shown.append(lines.pop(0))
            yield Typed(command, shown)


def steady(line: str) -> str:
    for pattern, instead in VARYING:
        line = pattern.sub(instead, line)
    return line.rstrip()


def compare(one: Typed, said: list[str]) -> None:
    """… on the page is any number of lines, and ends one that goes on."""
    wanted, found = [steady(line) for line in one.shown], [steady(line) for line in said]
    for line in filter(lambda line: line not in ("…", "# …"), wanted):
        told = "\n".join(difflib.unified_diff(wanted, found, "the page", "the command", n=1))
        assert line in found, f"{one.command}\n{told}"
        del found[: found.index(line) + 1]
    if not {"…", "# …"} & set(wanted):
        assert found == [], f"{one.command}: more than the page shows"


def a_step_more(shown: list[str]) -> list[str]:
    """With one id somebody answers for the kernel, from step 17 on: the page says so."""
    return [
        STEP.sub(lambda found: f"{found[1]}{int(found[2]) + (int(found[2]) > 16)}. ", line)
        for line in shown
    ]


class Shell:
    """One bash for the whole page, in which `rootless` is ours, on a store of its own."""

    def __init__(self, rootless, folder, prefix):
        folder.mkdir()
        self.bash = subprocess.Popen(
            [*prefix, "bash"], cwd=folder, env=rootless.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        words = f"{sys.executable} -m rootless --root {rootless.root}"
        assert self.type(f'rootless() {{ {words} "$@"; }}; umask 022') == []

    def type(self, command: str) -> list[str]:
        self.bash.stdin.write(f"{command}\necho; echo ended: $?\n")
        self.bash.stdin.flush()
        lines = []
        while not (line := self.bash.stdout.readline()).startswith("ended: "):
            assert line, f"the shell has ended at {command}"
            lines.append(line.rstrip("\n"))
        assert line == "ended: 0\n", (command, lines)
        return lines[:-1] if lines[-1] == "" else lines


@pytest.mark.parametrize("ids", [pytest.param("range", marks=pytest.mark.needs("subids")), "one"])
def test_the_page_as_it_is_typed(rootless, tmp_path, ids):
    prefix = ()
    if ids == "one":
        machine.require("setpriv")
        prefix = one_id.PREFIX
    shell = Shell(rootless, tmp_path / "page", prefix)
    digests: dict[str, str] = {}
    with shell.bash:
        for one in typed():
            command = DIGEST.sub(lambda found: digests.get(found[0], found[0]), one.command)
            if ids == "one":
                command = command.replace(" --map-auto", "")
            said = shell.type(command)
            compare(one if ids == "range" else one._replace(shown=a_step_more(one.shown)), said)
            pages = DIGEST.findall("\n".join(one.shown))
            digests.update(zip(pages, DIGEST.findall("\n".join(said)), strict=False))
        clean = re.search(r"`(chmod 700 [^`]*)`, and\s+`(rootless rmi [^`]*)`", PAGE.read_text())
        shell.type('eval "$(sed -n "s/^# To clean up afterwards: //p" by-hand)"')
        shell.type(f"{clean[1]}; {clean[2]}")
        shell.bash.stdin.close()
    assert list((tmp_path / "page").iterdir()) == []
    assert rootless.ok("images", "-aq") == ""
