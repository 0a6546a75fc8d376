"""Can this machine run another processor's programs? Asked by trying, before anything is pulled.

The kernel hands such a program to an emulator that it was told of (binfmt_misc, kernel's
admin-guide/binfmt-misc.rst). The trial is a program of a few instructions that ends at once, in
memory only. An emulator that is not kept open by the kernel (flag F) is not found in a sandbox.
"""

from __future__ import annotations

import os

from rootless.dockerfile.instructions import Run
from rootless.oci.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.build.plan.stages import Plan

_KNOWN = "/proc/sys/fs/binfmt_misc"
_BASE = 0x10000
# architecture → ELF machine, 32 or 64 bits, byte order, and exit(0) in its instructions
_PROGRAMS = {
    "386": (3, 32, "little", "31db b801000000 cd80"),
    "amd64": (62, 64, "little", "31ff b83c000000 0f05"),
    "arm": (40, 32, "little", "0000a0e3 0170a0e3 000000ef"),
    "arm64": (183, 64, "little", "000080d2 a80b80d2 010000d4"),
    "ppc64le": (21, 64, "little", "00006038 01000038 02000044"),
    "riscv64": (243, 64, "little", "13050000 9308d005 73000000"),
    "s390x": (22, 64, "big", "a7290000 0a01"),
}
_FLAGS = {"arm": 0x05000000, "ppc64le": 2}


def check(plans: Iterable[Plan]) -> None:
    """RootlessError for a command of a stage whose platform cannot be run here."""
    tried: dict[Platform, str] = {}
    for plan in plans:
        for stage in plan.needed():
            run = next((one for one in stage.instructions if isinstance(one, Run)), None)
            if run is None or stage.platform.runs_on(Platform.host()):
                continue
            if stage.platform not in tried:
                tried[stage.platform] = _problem(stage.platform)
            if problem := tried[stage.platform]:
                raise plan.dockerfile.error(
                    f"RUN of {stage.platform} cannot be carried out here: {problem}",
                    run.location,
                    _hint(stage.platform),
                )


def _hint(platform: Platform) -> str:
    return (
        "install an emulator that the kernel is told of, once and as root: "
        "apt-get install qemu-user-static binfmt-support, "
        f"or: docker run --privileged --rm tonistiigi/binfmt --install {platform.architecture}; "
        "COPY and all that changes only the config need none"
    )


def _problem(platform: Platform) -> str:
    """Why programs of a platform do not run; empty when they do, or nobody knows."""
    if platform.os != "linux":
        return "this is Linux"
    known = _PROGRAMS.get(platform.architecture)
    if known is None:
        return ""
    if not _runs(known, _FLAGS.get(platform.architecture, 0)):
        return f"the kernel knows no emulator for {platform.architecture} (binfmt_misc)"
    machine = known[0].to_bytes(2, "little" if known[2] == "little" else "big")
    for entry in _entries():
        if entry.get("magic", "")[36:40] == machine.hex() and "F" not in entry.get("flags:", ""):
            return f"its emulator {entry.get('interpreter')} is registered without the flag F"
    return ""


def _runs(known: tuple[int, int, str, str], flags: int) -> bool:
    """Whether the program ends well."""
    fd = os.memfd_create("trial", 0)
    try:
        os.write(fd, _elf(*known, flags))
        path = f"/proc/self/fd/{fd}"
        null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        try:
            pid = os.posix_spawn(path, [path], {}, file_actions=null)
        except OSError:
            return False
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(fd)


def _elf(machine: int, bits: int, order: str, code: str, flags: int) -> bytes:
    """An executable of one loaded segment (elf(5))."""
    import struct

    sign = "<" if order == "little" else ">"
    body = bytes.fromhex(code)
    is_wide = bits == 64
    head, segment = (64, 56) if is_wide else (52, 32)
    entry, size = _BASE + head + segment, head + segment + len(body)
    ident = b"\x7fELF" + bytes((2 if is_wide else 1, 1 if sign == "<" else 2, 1)) + bytes(9)
    word = "Q" if is_wide else "I"
    header = struct.pack(
        f"{sign}HHI{word}{word}{word}IHHHHHH",
        2, machine, 1, entry, head, 0, flags, head, segment, 1, 0, 0, 0,
    )  # fmt: skip
    if is_wide:
        loaded = struct.pack(f"{sign}IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    else:
        loaded = struct.pack(f"{sign}IIIIIIII", 1, 0, _BASE, _BASE, size, size, 5, 0x10000)
    return ident + header + loaded + body


def _entries() -> Iterable[dict[str, str]]:
    """What the kernel was told, where one can see it; each a word and the rest of its line."""
    try:
        names = os.listdir(_KNOWN)
    except OSError:
        return
    for name in names:
        if name in ("register", "status"):
            continue
        try:
            with open(f"{_KNOWN}/{name}", "rb") as file:
                lines = file.read(4096).decode("ascii", "replace").splitlines()
        except OSError:
            continue
        if "enabled" in lines:
            yield dict(line.partition(" ")[::2] for line in lines)
