"""The compiled filter, interpreted, beside Docker's profile evaluated from its JSON."""

from __future__ import annotations

import json
import struct
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from rootless.errors import RootlessError
from rootless.sandbox import caps, seccomp, syscalls, translated

CORPUS = Path(__file__).parents[2] / "corpus" / "seccomp"
AUDIT = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
MACHINE = {"x86_64": "x86_64", "i386": "x86_64", "aarch64": "aarch64", "riscv64": "riscv64"}
DOCKER_ARCH = {"x86_64": "amd64", "i386": "x86", "aarch64": "arm64", "riscv64": "riscv64"}
HEADERS = {"x86_64": "unistd_64.h", "i386": "unistd_32.h"}

# Where we differ from Docker: (table, call) → (ours, Docker's). Each with its reason.
DIFFERENCES = {
    # Newer than Docker's list: chattr as calls on a name; the kernel asks for the owner as before.
    **{(table, "file_getattr"): ("allow", "EPERM") for table in AUDIT},
    **{(table, "file_setattr"): ("allow", "EPERM") for table in AUDIT},
    # Newer than Docker's list; goes with open_tree, for SYS_ADMIN.
    **{(table, "open_tree_attr"): ("allow", "EPERM") for table in AUDIT},
    # Docker has it for 64-bit processes only; 32-bit ones switch CPUID and AMX with it, no more.
    ("i386", "arch_prctl"): ("allow", "EPERM"),
}


def run(program: bytes, arch: int, number: int, args: tuple[int, ...] = ()) -> str:
    """Interpret classic BPF over one struct seccomp_data, as the kernel's seccomp_run_filters."""
    packet = struct.pack("<IIQ6Q", number, arch, 0, *(args + (0,) * 6)[:6])
    accumulator, position = 0, 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("<HBBI", program, position * 8)
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", packet, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x05:
            position += value
        elif code == 0x15:
            position += if_true if accumulator == value else if_false
        elif code == 0x35:
            position += if_true if accumulator >= value else if_false
        elif code == 0x06:
            return {
                0x7FFF0000: "allow", 0x00050001: "EPERM", 0x00050026: "ENOSYS", 0x80000000: "kill",
            }[value]  # fmt: skip
        else:
            raise AssertionError(f"instruction {code:#x}")


@cache
def profile() -> dict:
    return json.loads((CORPUS / "default.json").read_text())


def docker(table: str, name: str, capabilities: frozenset[str], args: tuple[int, ...] = ()) -> str:
    """Docker's verdict, straight from the JSON: libseccomp's meaning of its rules."""
    arch, held = DOCKER_ARCH[table], {f"CAP_{capability}" for capability in capabilities}
    args = (args + (0,) * 6)[:6]
    for rule in profile()["syscalls"]:
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        if name not in rule["names"]:
            continue
        if includes.get("arches") and arch not in includes["arches"]:
            continue
        if not set(includes.get("caps", ())) <= held or set(excludes.get("caps", ())) & held:
            continue
        if arch in excludes.get("arches", ()):
            continue
        if all(matches(test, args) for test in rule.get("args") or ()):
            return {None: "allow", 38: "ENOSYS"}[rule.get("errnoRet")]
    return "EPERM"


def matches(test: dict, args: tuple[int, ...]) -> bool:
    actual, value = args[test["index"]], test["value"]
    return {
        "SCMP_CMP_EQ": actual == value,
        "SCMP_CMP_LT": actual < value,
        "SCMP_CMP_GT": actual > value,
        "SCMP_CMP_MASKED_EQ": actual & value == test.get("valueTwo", 0),
    }[test["op"]]


CAPABILITY_SETS = [frozenset(), caps.DEFAULT, caps.ALL, *(frozenset({one}) for one in caps.NAMES)]


def test_every_call_gets_dockers_verdict_or_a_stated_difference():
    found = {}
    for table, capabilities in product(AUDIT, CAPABILITY_SETS):
        program = seccomp.program(MACHINE[table], capabilities)
        for number, name in enumerate(syscalls.names(table)):
            verdicts = run(program, AUDIT[table], number), docker(table, name, capabilities)
            if name != "-" and verdicts[0] != verdicts[1]:
                found[table, name] = verdicts
    assert found == DIFFERENCES


@pytest.mark.parametrize("table", AUDIT)
@pytest.mark.parametrize(
    ("name", "argument", "values"),
    [
        ("personality", 0, [0, 8, 0x20000, 0x20008, 0xFFFFFFFF, 1, 0x0040000, 0x20009]),
        ("socket", 0, [0, 1, 2, 10, 16, 37, 38, 39, 40, 41, 44, 2**31]),
        ("clone", 0, [0x11, 0x3D0F00, *(1 << bit for bit in range(32)), 0x10000011]),
    ],
)
def test_arguments_decide_as_in_dockers_profile(table, name, argument, values):
    number = syscalls.names(table).index(name)
    program = seccomp.program(MACHINE[table], caps.DEFAULT)
    for value in values:
        args = (0,) * argument + (value,)
        verdict = run(program, AUDIT[table], number, args)
        assert verdict == docker(table, name, caps.DEFAULT, args), hex(value)


@pytest.mark.parametrize("high", [0, 1 << 32, 0xFFFFFFFF << 32])
@pytest.mark.parametrize("table", AUDIT)
def test_typing_into_a_terminal_is_refused_whatever_the_upper_half_says(table, high):
    number = syscalls.names(table).index("ioctl")
    program = seccomp.program(MACHINE[table], caps.ALL)
    for request, verdict in ((0x5412, "EPERM"), (0x541C, "EPERM"), (0x5413, "allow")):
        assert run(program, AUDIT[table], number, (0, request | high)) == verdict


def test_new_namespaces_stay_refused_whatever_the_upper_half_says():
    number = syscalls.names("x86_64").index("clone")
    program = seccomp.program("x86_64", caps.DEFAULT)
    assert run(program, AUDIT["x86_64"], number, (0x10000011 | 1 << 63,)) == "EPERM"


@pytest.mark.parametrize(("arch", "table"), [(0xC000003E, "x86_64"), (0x40000003, "i386")])
def test_what_proot_does_not_translate_does_not_exist(arch, table):
    """Else a newer C library would look at this machine's own files."""
    found = translated.program("x86_64")
    names = syscalls.names(table)
    for name in ("statx", "openat2", "execveat", "faccessat2", "fchmodat2", "renameat2", "clone3"):
        assert run(found, arch, names.index(name)) == "ENOSYS"
    for name in ("stat", "openat", "execve", "renameat", "clone", "close_range", "futex_waitv"):
        assert run(found, arch, names.index(name)) == "allow"
    assert run(found, arch, len(names) + 1) == "ENOSYS"
    assert run(found, arch, 0x40000000) == "ENOSYS"


def test_x32_and_calls_of_a_newer_kernel_do_not_exist():
    program = seccomp.program("x86_64", caps.ALL)
    for table in ("x86_64", "i386"):
        for number in (len(syscalls.names(table)), 1000, 0x40000000, 0x40000001, 0xFFFFFFFF):
            assert run(program, AUDIT[table], number) == "ENOSYS"


def test_another_architecture_is_killed():
    assert run(seccomp.program("x86_64", caps.ALL), AUDIT["aarch64"], 0) == "kill"
    assert run(seccomp.program("aarch64", caps.ALL), AUDIT["x86_64"], 0) == "kill"


def test_a_machine_without_a_table_is_an_error():
    with pytest.raises(RootlessError, match="no seccomp profile for s390x"):
        seccomp.program("s390x", caps.DEFAULT)


def test_every_name_in_the_policy_is_a_call_of_some_architecture():
    known = {name for table in AUDIT for name in syscalls.names(table)}
    policy = " ".join([*seccomp.ALLOWED.values(), *seccomp.WITH_CAPABILITY.values()]).split()
    assert {*policy, *seccomp.CONDITIONS} - known == set()


def test_no_call_is_allowed_twice():
    policy = " ".join(seccomp.ALLOWED.values()).split()
    assert len(policy) == len(set(policy))
    assert not set(policy) & seccomp.CONDITIONS.keys()


@pytest.mark.parametrize("table", HEADERS)
def test_numbers_are_those_of_the_kernel_headers(table):
    path = Path("/usr/include/x86_64-linux-gnu/asm") / HEADERS[table]
    if not path.exists():
        pytest.skip(f"no kernel headers for x86 here ({path})")
    names = syscalls.names(table)
    for line in path.read_text().splitlines():
        match line.split():
            case ["#define", name, number] if name.startswith("__NR_") and int(number) < len(names):
                assert names[int(number)] == name.removeprefix("__NR_")
