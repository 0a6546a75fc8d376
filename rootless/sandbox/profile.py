"""Seccomp profiles of the user's own, in docker's JSON form, compiled to the kernel's program.

What libseccomp makes of such a profile: of the rules for a call, one without conditions decides
alone, else the first whose conditions all hold; else the default. Conditions compare all 64 bits.
Rules may ask for capabilities, for an architecture (the machine's), and for a kernel. Calls that
this program does not know are passed over, as by docker; x32 does not exist.

A profile may come from anywhere: its size, its rules and its program are bounded. Pure.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.errors import IntegrityError, UsageError
from rootless.record import Record
from rootless.sandbox import seccomp, syscalls
from rootless.sandbox.seccomp import instruction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.sandbox.seccomp import Code

LARGEST = 1 << 20  # bytes of a profile
_MOST_RULES = 20_000  # a rule for ten calls is ten
_MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_X32 = 0x40000000

_ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_NUMBER = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_EPERM, _LARGEST_ERRNO = 1, 4095
# os.uname().machine → docker's name in `includes.arches`, and libseccomp's of its two entries.
_ARCHES = {
    "x86_64": ("amd64", {"x86_64": "SCMP_ARCH_X86_64", "i386": "SCMP_ARCH_X86"}),
    "aarch64": ("arm64", {"aarch64": "SCMP_ARCH_AARCH64"}),
    "riscv64": ("riscv64", {"riscv64": "SCMP_ARCH_RISCV64"}),
}


class ProfileError(UsageError):
    """A profile that says something impossible."""


class _Test(Record):
    """One condition on argument `index`."""

    index: int
    operator: str
    value: int
    value_two: int


class _Rule(Record):
    """The verdict of a call when all tests hold."""

    verdict: int
    tests: tuple[_Test, ...]


def program(text: bytes, machine: str, capabilities: frozenset[str], release: str) -> bytes:
    """The filter that a profile makes for os.uname().machine, these capabilities ("CHOWN", …) and
    a kernel of this release ("6.1.0-28-amd64"). ProfileError names what is wrong with it.
    """
    if machine not in _ARCHES:
        raise ProfileError(f"seccomp profiles cannot be compiled for {machine} yet")
    told = _parsed(text)
    default = _verdict(told, "defaultAction", "defaultErrnoRet", "the default")
    rules = _rules(told, _Machine(machine, capabilities, release))
    verdicts = _Verdicts(default)
    code = {name: verdicts.of(found) for name, found in rules.items()}
    answer = seccomp.assemble(
        (audit, _search(syscalls.names(table), code, verdicts))
        for audit, table in seccomp.ENTRIES[machine]
        if _covers(told, machine, table)
    )
    if len(answer) // 8 > _MOST_INSTRUCTIONS:
        raise ProfileError(
            f"the profile makes a program of {len(answer) // 8} instructions; the kernel takes "
            f"{_MOST_INSTRUCTIONS}",
            hint="write fewer rules with conditions",
        )
    return answer


def _parsed(text: bytes) -> dict[str, Any]:
    if len(text) > LARGEST:
        raise ProfileError(f"the profile is larger than {LARGEST >> 20} MiB")
    try:
        told = leanjson.loads(text)
    except IntegrityError as error:
        raise ProfileError(f"the profile is no JSON: {error.message}") from None
    if not isinstance(told, dict):
        raise ProfileError("the profile is no JSON object")
    if told.get("architectures") and told.get("archMap"):
        raise ProfileError(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either"
        )
    if told.get("listenerPath"):
        raise ProfileError("the profile wants a listener, which nobody is here")
    return told


class _Machine(Record):
    """What rules may ask of the place they are for."""

    name: str
    capabilities: frozenset[str]
    release: str

    def suits(self, wanted: Any, unwanted: Any) -> bool:
        """Whether a rule that `includes` and `excludes` these counts here."""
        arch, held = _ARCHES[self.name][0], {f"CAP_{one}" for one in self.capabilities}
        arches, excluded = _words(wanted, "arches"), _words(unwanted, "arches")
        if (arches and arch not in arches) or arch in excluded:
            return False
        if not held.issuperset(_words(wanted, "caps")) or held & set(_words(unwanted, "caps")):
            return False
        oldest = wanted.get("minKernel") if isinstance(wanted, dict) else None
        return not oldest or _version(self.release) >= _version(str(oldest))


def _version(text: str) -> tuple[int, ...]:
    numbers = [part.partition("-")[0] for part in text.split(".")[:2]]
    return tuple(int(one) if one.isdecimal() and len(one) < 9 else 0 for one in numbers)


def _rules(told: dict[str, Any], machine: _Machine) -> dict[str, list[_Rule]]:
    """Call → its rules that hold here, in the profile's order."""
    found: dict[str, list[_Rule]] = {}
    count = 0
    for one in _objects(told.get("syscalls") or [], "syscalls"):
        names = _names(one)
        shown = ", ".join(names[:3])
        verdict = _verdict(one, "action", "errnoRet", shown)
        tests = tuple(_test(test, shown) for test in _objects(one.get("args") or [], shown))
        if not machine.suits(one.get("includes") or {}, one.get("excludes") or {}):
            continue
        count += len(names)
        if count > _MOST_RULES:
            raise ProfileError(f"the profile has more than {_MOST_RULES} rules")
        for name in names:
            found.setdefault(name, []).append(_Rule(verdict, tests))
    return found


def _names(rule: dict[str, Any]) -> list[str]:
    names = _words(rule, "names")
    if rule.get("name"):
        if names:
            raise ProfileError(
                "both 'name' and 'names' are specified in the seccomp profile, use either",
            )
        return [str(rule["name"])]
    return names


def _verdict(told: dict[str, Any], key: str, number_key: str, whose: str) -> int:
    """SECCOMP_RET_* of an action, with its number."""
    action = told.get(key)
    if not isinstance(action, str) or action not in _ACTIONS:
        known = ", ".join(_ACTIONS)
        raise ProfileError(
            f"{whose}: {action!r} is not an action of a seccomp profile"
            if action
            else f"{whose}: the seccomp profile has no {key}",
            hint=f"there are {known}",
        )
    number = told.get(number_key)
    if action not in _WITH_NUMBER:
        return _ACTIONS[action]
    number = _EPERM if number is None else number
    if type(number) is not int or not 0 <= number <= _LARGEST_ERRNO:
        raise ProfileError(f"{whose}: {number_key} {number!r} is not an error's number")
    return _ACTIONS[action] | number


def _test(told: dict[str, Any], whose: str) -> _Test:
    index, operator = told.get("index"), str(told.get("op")).removeprefix("SCMP_CMP_")
    if type(index) is not int or not 0 <= index <= 5:
        raise ProfileError(f"{whose}: there is no argument {index!r}: they are 0 to 5")
    if operator not in _OPERATORS:
        known = ", ".join(f"SCMP_CMP_{one}" for one in _OPERATORS)
        raise ProfileError(f"{whose}: {told.get('op')!r} compares nothing", hint=f"use {known}")
    values = [told.get("value", 0), told.get("valueTwo", 0)]
    if any(type(one) is not int or not 0 <= one < 1 << 64 for one in values):
        raise ProfileError(f"{whose}: an argument's value is a number of 64 bits: {values[0]!r}")
    return _Test(index, operator, *values)


class _Verdicts:
    """Rules → code; equal rules share one list, which makes equal neighbours one run."""

    def __init__(self, default: int) -> None:
        self.default = default
        self._made: dict[tuple[object, ...], Code] = {}

    def of(self, rules: list[_Rule]) -> Code:
        free = next((one for one in rules if not one.tests), None)
        if free:
            return self.always(free.verdict)
        key = tuple((one.verdict, one.tests) for one in rules)
        if key not in self._made:
            code = [number for one in rules for number in _if(one)]
            self._made[key] = [*code, *self.always(self.default)]
        return self._made[key]

    def always(self, verdict: int) -> Code:
        code = [instruction(seccomp.RETURN, verdict)]
        return self._made.setdefault((verdict,), code)


def _search(names: list[str], code: dict[str, Code], verdicts: _Verdicts) -> Code:
    """Calls that are newer than the table do not exist where others are refused with an error."""
    default = verdicts.always(verdicts.default)
    is_error = verdicts.default & 0xFFFF0000 == _ACTIONS["SCMP_ACT_ERRNO"]
    runs = seccomp.runs(names, code, default, seccomp.ENOSYS if is_error else default)
    return seccomp.search([*runs, (_X32, seccomp.ENOSYS)])


def _covers(told: dict[str, Any], machine: str, table: str) -> bool:
    """Whether a profile speaks of this entry of the kernel; the machine's own always counts."""
    own, entry = _ARCHES[machine][1][machine], _ARCHES[machine][1][table]
    if table == machine:
        return True
    if entry in _words(told, "architectures"):
        return True
    return any(
        one.get("architecture") == own and entry in _words(one, "subArchitectures")
        for one in _objects(told.get("archMap") or [], "archMap")
    )


def _if(rule: _Rule) -> Code:
    """Return the verdict if all tests hold, else go on behind."""
    code = [instruction(seccomp.RETURN, rule.verdict)]
    for test in reversed(rule.tests):
        code = [*_compare(test, len(code)), *code]
    return code


def _compare(test: _Test, rest: int) -> Code:
    """Go on where it holds, else jump over `rest` instructions behind."""
    equal, greater = seccomp.JUMP_EQUAL, seccomp.JUMP_GREATER
    low, high = (
        instruction(seccomp.LOAD, seccomp.ARGUMENTS + 8 * test.index + half) for half in (0, 4)
    )
    value = test.value_two if test.operator == "MASKED_EQ" else test.value
    below, above = value & 0xFFFFFFFF, value >> 32
    if test.operator == "MASKED_EQ":
        mask_low, mask_high = (
            instruction(seccomp.AND, half) for half in (test.value & 0xFFFFFFFF, test.value >> 32)
        )
        return [
            *(high, mask_high, instruction(equal, above, 0, 3 + rest)),
            *(low, mask_low, instruction(equal, below, 0, rest)),
        ]
    if test.operator == "EQ":
        last = instruction(equal, below, 0, rest)
        return [high, instruction(equal, above, 0, 2 + rest), low, last]
    if test.operator == "NE":
        return [high, instruction(equal, above, 0, 2), low, instruction(equal, below, rest, 0)]
    compare = seccomp.JUMP_GREATER_EQUAL if test.operator in ("GE", "LT") else greater
    if test.operator in ("GT", "GE"):
        over, same = instruction(greater, above, 3, 0), instruction(equal, above, 0, 2 + rest)
        return [high, over, same, low, instruction(compare, below, 0, rest)]
    over, same = instruction(greater, above, 3 + rest, 0), instruction(equal, above, 0, 2)
    return [high, over, same, low, instruction(compare, below, rest, 0)]


def _words(told: Any, key: str) -> list[str]:
    found = told.get(key) if isinstance(told, dict) else None
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ProfileError(f"{key} of a seccomp profile is a list of names")
    return found


def _objects(value: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ProfileError(f"{name}: not a list of objects in the seccomp profile")
    return value
