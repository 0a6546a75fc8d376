"""docs/machines.md says what `doctor` says: each machine of it is made again, of namespaces."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tests.e2e.test_field import KERNEL, ROOT, SINCE, SSS, old_kernel
from tests.support import machine, plain
from tests.support.field import Machine

pytestmark = pytest.mark.needs("userns", "subids")

PAGE = machine.PROJECT / "docs" / "machines.md"
_BLOCK = re.compile(r"^## (\d+)\. (.*?)\n(?:.*?)```\n\$ (.*?)\n(.*?)```", re.M | re.S)
_ELSEWHERE = re.compile(r"✓ kernel:|. (?:route|cgroup|network):")
"""Lines that tell of where the tests run."""


def blocks() -> dict[str, tuple[str, str]]:
    """Each machine's number → its title, and what the page says that doctor prints."""
    return {number: (title, text) for number, title, _, text in _BLOCK.findall(PAGE.read_text())}


def paragraphs(text: str) -> list[str]:
    """A line of doctor's with its fix each; what differs from machine to machine is N, FS, HERE."""
    text = re.sub(r"\d+", "N", text)
    text = re.sub(r"/[\w./-]*/(?:rootless|store)\b", "HERE", text)
    text = re.sub(r"HERE on (?!overlay|ramfs)\w+", "HERE on FS", text)
    text = re.sub(r"(--add-subgids N-N) \S+", r"\1 USER", text)
    text = re.sub(r"which gives \S+ none", "which gives USER none", text)
    found = [one.rstrip() for one in re.split(r"\n(?! {4}fix)", text) if one]
    return [one for one in found if not _ELSEWHERE.match(one)]


def _denied(number: int, *calls: str) -> dict[str, int]:
    return dict.fromkeys(calls, number)


def _machines() -> dict[str, tuple[Machine, tuple[str, ...]]]:
    """By the page's numbers; what stands between that machine and the command."""
    apparmor = {KERNEL: {"apparmor_restrict_unprivileged_userns": "1"}}
    debian = {KERNEL: {"unprivileged_userns_clone": "0"}}
    return {
        "1": (Machine(), ()),
        "2": (Machine(ranges=""), ()),
        "3": (Machine(), ()),
        "4": (Machine(denied=_denied(errno.EPERM, "unshare"), shown=debian), ()),
        "5": (Machine(), plain.prefix(0)),
        "6": (Machine(), plain.prefix("none")),
        "7": (Machine(hidden=("/proc/interrupts",)), ()),
        "8": (Machine(), ()),
        "9": (Machine(denied=_denied(errno.EPERM, "mount", "chroot"), shown=apparmor), ()),
        "10": (Machine(namespaces=0), ()),
        "11": (Machine(), ()),
        "12": (Machine(shown={"/sys/fs": {"selinux/enforce": "1"}}), ()),
        "13": (Machine(denied=_denied(errno.ENOSYS, *SINCE)), ()),
        "14": (Machine(ranges="", files=SSS), ()),
        "15": (Machine(files={"/etc/passwd": ROOT}), ()),
    }


MACHINES = _machines()
ON_AN_OVERLAY = {"5", "6", "8"}


def test_every_machine_of_the_page_is_made():
    assert set(blocks()) == set(MACHINES)


@pytest.mark.parametrize("number", MACHINES)
def test_doctor_says_so(rootless, tmp_path, number):
    title, told = blocks()[number]
    there, between = MACHINES[number]
    if number in ON_AN_OVERLAY:
        there = _on_an_overlay(rootless, tmp_path, there)
    if number == "11":
        rootless.root.mkdir()
        there = there._replace(mounts=(("ramfs", str(rootless.root), 0, ""),))
    if number == "13":
        machine.require("gcc")
        old_kernel(rootless, tmp_path)
    if proot := machine.program("proot"):  # none of these machines has it
        there = there._replace(hidden=(*there.hidden, proot))
    rootless.prefix = (*there.prefix, *between)
    shown = paragraphs(rootless("doctor", cwd=machine.PROJECT).stdout)
    missing = [one for one in paragraphs(told) if one not in shown]
    assert missing == [], f"{title}:\n" + "\n".join(shown)
    failed = {one for one in shown if one.startswith(("✗", "-"))}
    assert failed <= set(paragraphs(told)), title


def _on_an_overlay(rootless, tmp_path: Path, there: Machine) -> Machine:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    rootless.root.mkdir()
    folders = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    return there._replace(mounts=(("overlay", str(rootless.root), 0, f"{folders},userxattr"),))
