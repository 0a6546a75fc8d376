"""Seccomp profiles of the user's own: compiled, interpreted, and beside docker's own meaning."""

from __future__ import annotations

import json
import struct
from itertools import product
from pathlib import Path

import pytest

from rootless.sandbox import caps, profile, syscalls
from tests.unit.sandbox.test_seccomp import AUDIT, CAPABILITY_SETS

DOCKERS = Path(__file__).parents[2] / "corpus/seccomp/default.json"
ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


def compiled(told: object, capabilities=caps.DEFAULT, machine="x86_64", release="6.1.0") -> bytes:
    return profile.program(json.dumps(told).encode(), machine, capabilities, release)


def run(program: bytes, name: str, args: tuple[int, ...] = (), table: str = "x86_64") -> int:
    """What the kernel's interpreter returns for a call."""
    return run_number(program, syscalls.names(table).index(name), args, table)


def run_number(program: bytes, number: int, args: tuple[int, ...] = (), table="x86_64") -> int:
    packet = struct.pack("<IIQ6Q", number, AUDIT[table], 0, *(args + (0,) * 6)[:6])
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
        elif code in (0x15, 0x25, 0x35):
            met = {0x15: accumulator == value, 0x25: accumulator > value}
            position += if_true if met.get(code, accumulator >= value) else if_false
        else:
            assert code == 0x06
            return value


OK, EPERM, ENOSYS = 0x7FFF0000, 0x50001, 0x50026


def rule(*names: str, action: str = ERRNO, **more: object) -> dict[str, object]:
    return {"names": list(names), "action": action, **more}


def denying(*rules: dict[str, object]) -> dict[str, object]:
    return {"defaultAction": ALLOW, "syscalls": list(rules)}


def test_a_list_of_what_is_refused():
    program = compiled(denying(rule("mkdir", "nosuchcall", errnoRet=5), rule("chmod")))
    assert run(program, "mkdir") == 0x50005
    assert run(program, "chmod") == EPERM
    assert run(program, "open") == OK
    assert run_number(program, 9999) == OK
    assert run_number(program, 0x40000000 | 83) == ENOSYS  # mkdir of x32


def test_a_list_of_what_is_allowed():
    told = {"defaultAction": ERRNO, "defaultErrnoRet": 7, "syscalls": [rule("read", action=ALLOW)]}
    program = compiled(told)
    assert (run(program, "read"), run(program, "write")) == (OK, 0x50007)
    assert run_number(program, 9999) == ENOSYS


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("SCMP_ACT_KILL", 0),
        ("SCMP_ACT_KILL_PROCESS", 0x80000000),
        ("SCMP_ACT_TRAP", 0x30000),
        ("SCMP_ACT_LOG", 0x7FFC0000),
        ("SCMP_ACT_TRACE", 0x7FF00001),
    ],
)
def test_actions(action, value):
    assert run(compiled(denying(rule("mkdir", action=action))), "mkdir") == value


NUMBERS = [0, 1, 5, 6, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63, 2**64 - 1]


@pytest.mark.parametrize("operator", ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"])
@pytest.mark.parametrize("value", NUMBERS)
def test_comparisons_of_64_bits(operator, value):
    for two in (0, 1, value & 5, value):
        test = {"index": 3, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": two}
        program = compiled(denying(rule("mkdir", args=[test])))
        for actual in NUMBERS:
            meant = {
                "EQ": actual == value, "NE": actual != value, "LT": actual < value,
                "LE": actual <= value, "GT": actual > value, "GE": actual >= value,
                "MASKED_EQ": actual & value == two,
            }[operator]  # fmt: skip
            assert run(program, "mkdir", (9, 9, 9, actual)) == (EPERM if meant else OK)


def test_all_conditions_of_a_rule_hold_together_and_rules_one_by_one():
    def test(index: int, value: int) -> dict[str, object]:
        return {"index": index, "op": "SCMP_CMP_EQ", "value": value}

    program = compiled(
        denying(
            rule("mkdir", errnoRet=3, args=[test(0, 1), test(1, 2)]),
            rule("mkdir", errnoRet=4, args=[test(0, 1)]),
        )
    )
    assert run(program, "mkdir", (1, 2)) == 0x50003
    assert run(program, "mkdir", (1, 3)) == 0x50004
    assert run(program, "mkdir", (2, 2)) == OK


def test_a_rule_without_conditions_decides_alone():
    test = {"index": 0, "op": "SCMP_CMP_EQ", "value": 1}
    for order in (1, -1):
        rules = [rule("mkdir", errnoRet=3, args=[test]), rule("mkdir", errnoRet=4)][::order]
        assert run(compiled(denying(*rules)), "mkdir", (1,)) == 0x50004


@pytest.mark.parametrize(
    ("includes", "excludes", "applies"),
    [
        ({"caps": ["CAP_CHOWN"]}, {}, True),
        ({"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}, {}, False),
        ({}, {"caps": ["CAP_CHOWN"]}, False),
        ({"arches": ["amd64", "x32"]}, {}, True),
        ({"arches": ["arm64"]}, {}, False),
        ({}, {"arches": ["amd64"]}, False),
        ({"minKernel": "4.8"}, {}, True),
        ({"minKernel": "6.10"}, {}, False),
    ],
)
def test_rules_for_some_machines(includes, excludes, applies):
    program = compiled(denying(rule("mkdir", includes=includes, excludes=excludes)))
    assert run(program, "mkdir") == (EPERM if applies else OK)


def test_the_32_bit_entry_is_closed_unless_the_profile_names_it():
    told = denying(rule("mkdir"))
    assert run(compiled(told), "open", table="i386") == 0x80000000
    named = {**told, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]}
    assert run(compiled(named), "mkdir", table="i386") == EPERM
    assert run(compiled(named), "open", table="i386") == OK


def test_dockers_own_profile_compiles_to_what_it_says():
    """The oracle of test_seccomp reads the same JSON another way."""
    from tests.unit.sandbox.test_seccomp import docker

    names = {OK: "allow", EPERM: "EPERM", ENOSYS: "ENOSYS"}
    told = json.loads(DOCKERS.read_text())
    for table, capabilities in product(("x86_64", "aarch64", "riscv64"), CAPABILITY_SETS[:6]):
        program = compiled(told, capabilities, table)
        for name in syscalls.names(table):
            if name != "-":
                found = names[run(program, name, table=table)]
                assert found == docker(table, name, capabilities), (table, name)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"defaultAction": "SCMP_ACT_BOGUS"}, "the default: 'SCMP_ACT_BOGUS' is not an action"),
        ({}, "has no defaultAction"),
        (denying(rule("mkdir", action="ALLOW")), "mkdir: 'ALLOW' is not an action"),
        (denying(rule("mkdir", errnoRet=-1)), "mkdir: errnoRet -1 is not an error's number"),
        (denying(rule("mkdir", errnoRet=True)), "mkdir: errnoRet True"),
        (denying(rule("mkdir", name="x")), "both 'name' and 'names'"),
        (denying(rule("mkdir", args=[{"index": 7}])), "mkdir: there is no argument 7"),
        (denying(rule("mkdir", args=[{"index": 0, "op": "=="}])), "mkdir: '==' compares nothing"),
        (
            denying(rule("mkdir", args=[{"index": 0, "op": "SCMP_CMP_EQ", "value": 2**64}])),
            "mkdir: an argument's value",
        ),
        (denying(rule("mkdir", action="SCMP_ACT_NOTIFY")), "mkdir: 'SCMP_ACT_NOTIFY'"),
        ({"defaultAction": ALLOW, "syscalls": {}}, None),
        ({"defaultAction": ALLOW, "syscalls": {"a": 1}}, "not a list of objects"),
        ({"defaultAction": ALLOW, "syscalls": [{"names": 3, "action": ALLOW}]}, "list of names"),
        ({"defaultAction": ALLOW, "archMap": [{}], "architectures": ["x"]}, "both 'archit"),
        ([], "no JSON object"),
    ],
)
def test_what_a_profile_cannot_say(told, words):
    if words is None:
        compiled(told)
        return
    with pytest.raises(profile.ProfileError) as error:
        compiled(told)
    assert words in error.value.message


@pytest.mark.parametrize("text", [b"", b"{", b"\x00", b"[" * 100_000, b'{"a":' * 5000])
def test_what_is_no_json(text):
    with pytest.raises(profile.ProfileError):
        profile.program(text, "x86_64", caps.DEFAULT, "6.1")


def test_profiles_are_bounded():
    with pytest.raises(profile.ProfileError, match="larger than"):
        profile.program(b" " * (1 << 20) + b"{}", "x86_64", caps.DEFAULT, "6.1")
    with pytest.raises(profile.ProfileError, match="rules"):
        compiled(denying(*[rule(*["mkdir"] * 200)] * 101))
    tests = [{"index": 0, "op": "SCMP_CMP_EQ", "value": number} for number in range(1000)]
    with pytest.raises(profile.ProfileError, match="instructions; the kernel takes 4096"):
        compiled(denying(*(rule("mkdir", args=[test]) for test in tests)))


def test_a_jump_may_be_far():
    tests = [{"index": 0, "op": "SCMP_CMP_EQ", "value": number} for number in range(500)]
    program = compiled(denying(*(rule("mkdir", args=[test]) for test in tests)))
    assert run(program, "mkdir", (499,)) == EPERM
    assert run(program, "mkdir", (500,)) == OK
    assert run(program, "rmdir", (499,)) == OK
    assert run(program, "rename") == OK
