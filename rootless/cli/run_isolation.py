"""The flags that say how far a container is apart from the machine, and what it may.

Pure but for what they name: a profile is read, a device and a time zone must be there. Docker's
spellings, then podman's, and docker's words for wrong ones.
"""

from __future__ import annotations

import os
import sys

from rootless.container.confinement import ALL, CONTAINER, HOST, ZONES, Confinement
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.record import Record
from rootless.sandbox import caps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.sandbox.limits import Limit

UNCONFINED = "unconfined"
_TRUE, _FALSE = ("true", "1", "t", "T", "TRUE", "True"), ("false", "0", "f", "F", "FALSE", "False")
_SYSCTLS = (
    *("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall"),
    *("kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"),
)
_OPTIONS = "no-new-privileges, seccomp, apparmor, label, mask, unmask, systempaths"
_RULE = r"[abc] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}"
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")


class Security(Record):
    """What --security-opt asks for. `seccomp` is "" for our filter, UNCONFINED, or a profile."""

    no_new_privileges: bool = False
    seccomp: str = ""
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()
    writable_cgroup: bool = False


def security(texts: Sequence[str]) -> Security:
    """--security-opt, all of them; UsageError names the one that is wrong."""
    found: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=" if "=" in text else ":")
        if name == "no-new-privileges":
            found["no_new_privileges"] = not separator or _truth(value, text)
        elif not separator:
            raise UsageError(f'Invalid --security-opt: "{text}"', hint=f"there are {_OPTIONS}")
        elif name == "seccomp":
            found["seccomp"] = _profile(value)
        elif name == "writable-cgroups":
            found["writable_cgroup"] = _truth(value, text)
        elif name in ("mask", "unmask"):
            found[name] = (*found.get(name, ()), *_paths(value, text, name))
        elif (name, value) == ("systempaths", UNCONFINED):
            found["unmask"] = (ALL,)
        elif name in ("apparmor", "label"):
            _tell_of_others(name, value)
        else:
            raise UsageError(f'invalid --security-opt: "{text}"', hint=f"there are {_OPTIONS}")
    return Security(**found)


def _truth(value: str, text: str) -> bool:
    if value not in (*_TRUE, *_FALSE):
        raise UsageError(f'invalid --security-opt: "{text}"', hint="write true or false")
    return value in _TRUE


def _paths(value: str, text: str, name: str) -> list[str]:
    paths = value.split(":")
    if name == "unmask" and value == ALL:
        return [ALL]
    if not all(path.startswith("/") for path in paths):
        raise UsageError(f'invalid --security-opt: "{text}"', hint=f"write {name}=/PATH[:/PATH]")
    return paths


def _tell_of_others(name: str, value: str) -> None:
    if value not in (UNCONFINED, "disable", "nested"):
        what = {"apparmor": "AppArmor profiles", "label": "SELinux labels"}[name]
        print(
            f"note: {what} are the machine's root's to give: {name}={value} is not used",
            file=sys.stderr,
        )


def _tell_of_rules(rules: Sequence[str]) -> None:
    """--device-cgroup-rule, in docker's form: `TYPE MAJOR:MINOR ACCESS`. UsageError."""
    import re

    for rule in rules:
        if not re.fullmatch(_RULE, rule):
            raise UsageError(
                f'invalid argument "{rule}" for "--device-cgroup-rule" flag: '
                f"invalid device cgroup format '{rule}'",
                hint="write it as in 'c 189:* rmw'",
            )
    print(
        "note: device rules are the machine's root's to give: --device-cgroup-rule is not used; "
        "--device shows a device that you may open yourself",
        file=sys.stderr,
    )


def _profile(value: str) -> str:
    """The text of a seccomp profile, which is known to compile; RootlessError."""
    if value in ("builtin", "default"):
        return ""
    if value == UNCONFINED:
        return value
    from rootless.cli import files
    from rootless.sandbox import profile

    try:
        content = files.read(value)
    except RootlessError as error:
        raise type(error)(
            f"opening seccomp profile ({value}) failed: {error.message}", hint=error.hint
        ) from None
    try:
        profile.program(content, os.uname().machine, caps.DEFAULT, os.uname().release)
    except profile.ProfileError as error:
        raise UsageError(f"seccomp profile {value}: {error.message}", hint=error.hint) from None
    return content.decode(errors="surrogateescape")


def fill(
    _given: Settings, arguments: Arguments, spec: dict[str, Any], _changes: dict[str, Any]
) -> None:
    """As `run_flags` has it."""
    spec.update(fields(arguments, spec["network"]))


def fields(arguments: Arguments, network: str) -> dict[str, Any]:
    """Of ContainerSpec, what the flags say; `network` is the mode. UsageError or RootlessError.

    As docker has it, --privileged has all capabilities, whatever is dropped, and no filter unless
    one is asked for.
    """
    asked = security(arguments.security_opt)
    chosen = caps.chosen(arguments.cap_add, arguments.cap_drop)
    if arguments.device_cgroup_rule:
        _tell_of_rules(arguments.device_cgroup_rule)
    return {
        "capabilities": caps.ALL if arguments.privileged else chosen,
        "no_new_privileges": asked.no_new_privileges,
        "seccomp": asked.seccomp or (UNCONFINED if arguments.privileged else ""),
        "confinement": _confinement(arguments, asked, network),
    }


def _confinement(arguments: Arguments, asked: Security, network: str) -> Confinement:
    ipc = _ipc(arguments.ipc)
    given = Confinement(
        privileged=arguments.privileged,
        mask=asked.mask,
        unmask=asked.unmask,
        writable_cgroup=asked.writable_cgroup,
        sysctls=tuple(_sysctl(text, network, ipc) for text in arguments.sysctl),
        shm_size=_shm_size(arguments.shm_size),
        limits=tuple(_shown(limit(text)) for text in arguments.ulimit),
        oom_score=_oom_score(arguments.oom_score_adj),
        groups=_groups(arguments.group_add),
        umask=_umask(arguments.umask),
        pid=_pid(arguments.pid),
        ipc=ipc,
        uts=_uts(arguments),
        cgroup=_cgroup(arguments.cgroupns),
        devices=(*arguments.device, *_gpus(arguments.gpus)),
        zone=_zone(arguments.tz),
        own_hosts=not arguments.no_hosts,
        memory=arguments.read_only and arguments.read_only_tmpfs,
        **_ids(arguments),
    )
    _check_devices(given)
    if given.others and (given.userns or given.uid_map):
        raise UsageError("a namespace of another container cannot be shared with ids of its own")
    if arguments.no_hosts and arguments.add_host:
        raise UsageError("--no-hosts and --add-host cannot be set together")
    return given


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables about proxies, as --http-proxy hands them on."""
    names = (*_PROXIES, *(name.upper() for name in _PROXIES))
    return {name: environment[name] for name in names if environment.get(name)}


def limit(text: str) -> Limit:
    """`NAME=SOFT[:HARD]`; what this machine does not allow is lowered, and said."""
    from rootless.sandbox import limits

    wanted = limits.parse(text)
    possible = wanted.clamped()
    if possible != wanted:
        most = f"no more than {possible.hard}"
        print(f"warning: --ulimit {text}: an ordinary user may set {most} here", file=sys.stderr)
    return possible


def _shown(one: Limit) -> str:
    return f"{one.name}={one.soft}:{one.hard}"


def _sysctl(text: str, network: str, ipc: str) -> tuple[str, str]:
    """Those of docker's list: what belongs to a namespace that the container has."""
    name, equals, value = text.partition("=")
    of_ipc = name in _SYSCTLS or name.startswith("fs.mqueue.")
    plain = name.isascii() and name.replace(".", "a").replace("_", "a").replace("-", "a").isalnum()
    if not equals or not plain or ".." in name or not (of_ipc or name.startswith("net.")):
        raise UsageError(
            f'invalid argument "{text}" for "--sysctl" flag: sysctl \'{text}\' is not allowed',
            hint=f"a container has net.*, fs.mqueue.* and {', '.join(_SYSCTLS)} of its own",
        )
    if of_ipc and ipc == HOST:
        raise UsageError(f'sysctl "{name}" is not allowed in the hosts ipc namespace')
    if not of_ipc and network == HOST:
        raise UsageError(f'sysctl "{name}" not allowed in host network namespace')
    return name, value


def _shm_size(text: str | None) -> int:
    from rootless.build.plan.mounts import size_of

    if text is None:
        return 64 << 20
    size = 0 if text == "0" else size_of(text)
    if size is None or (not size and text != "0"):
        raise UsageError(
            f'invalid argument "{text}" for "--shm-size" flag: invalid size: \'{text}\'',
            hint="write it as in 64m or 1g",
        )
    return size or 64 << 20


def _oom_score(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 6:
        raise UsageError(
            f'invalid argument "{text}" for "--oom-score-adj" flag: not a whole number'
        )
    score = int(text)
    if not -1000 <= score <= 1000:
        raise UsageError(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        least = int(file.read())
    if score < least:
        print(
            f"warning: --oom-score-adj {score}: an ordinary user cannot go below {least} here",
            file=sys.stderr,
        )
    return max(score, least)


def _groups(names: tuple[str, ...]) -> tuple[str, ...]:
    from rootless.sandbox.privileges import KEEP_GROUPS

    if KEEP_GROUPS[0] in names and len(names) > 1:
        raise UsageError(
            "the '--group-add keep-groups' option is not allowed with any other --group-add options"
        )
    if "" in names:
        raise UsageError("--group-add is given no group")
    return names


def _umask(text: str | None) -> int:
    if text is None:
        return 0o022
    if not text or set(text) - set("01234567") or len(text) > 5 or int(text, 8) > 0o777:
        raise UsageError(f"invalid umask {text}", hint="write it in octal digits, as 0022")
    return int(text, 8)


def _pid(mode: str | None) -> str:
    return _mode("--pid", "invalid PID mode", mode, (HOST, CONTAINER))


def _ipc(mode: str | None) -> str:
    return _mode("--ipc", f"invalid IPC mode: {mode}", mode, (HOST, "none", "shareable", CONTAINER))


def _cgroup(mode: str | None) -> str:
    return _mode("--cgroupns", "invalid CGROUP mode", mode, (HOST,))


def _uts(arguments: Arguments) -> str:
    mode = _mode("--uts", "invalid UTS mode", arguments.uts, (HOST,))
    if mode == HOST and arguments.hostname:
        raise UsageError("conflicting options: hostname and the UTS mode")
    return mode


def _mode(flag: str, wrong: str, mode: str | None, known: tuple[str, ...]) -> str:
    """The namespace's mode: "" for one of its own, which podman calls private."""
    if mode is None or mode in ("", "private"):
        return ""
    if CONTAINER in known and mode.startswith(CONTAINER) and mode != CONTAINER:
        return mode
    if mode == CONTAINER or mode not in known:
        words = (f"{one}NAME" if one == CONTAINER else one for one in ("private", *known))
        raise UsageError(f"{flag}: {wrong}", hint=f"it may be {', '.join(words)}")
    return mode


def _gpus(text: str | None) -> list[str]:
    """docker's --gpus: all, a number, or fields: count=, device=, and others of no use here."""
    if not text:
        return []
    from rootless.dockerfile import flags
    from rootless.sandbox import hardware

    count, names = "all", []
    for field in flags.fields(text):
        key, equals, value = field.partition("=")
        if not equals or key == "count":
            count = value if equals else key
        elif key == "device":
            names = value.split(",")
        elif key not in ("driver", "capabilities", "options"):
            raise UsageError(
                f'invalid argument "{text}" for "--gpus" flag: unexpected key \'{key}\'',
                hint="write all, a number, or device=NAME",
            )
    if count not in ("all", "-1") and not (count.isdecimal() and len(count) < 4):
        raise UsageError(
            f'invalid argument "{text}" for "--gpus" flag: invalid count ({count}): '
            'value must be either "all" or an integer'
        )
    return hardware.gpus(int(count) if count.isdecimal() else None, names)


def _ids(arguments: Arguments) -> dict[str, Any]:
    """--userns, --uidmap and --gidmap; of the last two one stands for both."""
    uids, gids = arguments.uidmap or arguments.gidmap, arguments.gidmap or arguments.uidmap
    if not uids:
        return {"userns": _userns(arguments.userns or "")}
    if arguments.userns:
        raise UsageError("--userns and --uidmap or --gidmap cannot be set together")
    return {"uid_map": _id_map("--uidmap", uids), "gid_map": _id_map("--gidmap", gids)}


def _userns(text: str) -> str:
    """Docker's host and podman's keep-id, auto and nomap; "" is the user's namespace as it is."""
    mode, colon, rest = text.partition(":")
    known = {"keep-id": ("uid", "gid"), "auto": ("size",), "nomap": (), "host": ()}
    if mode in ("", "host") and not colon:
        return ""
    fields = [field.partition("=") for field in rest.split(",")] if colon else []
    if mode not in known or not all(
        key in known[mode] and number.isascii() and number.isdecimal() and len(number) < 8
        for key, _, number in fields
    ):
        raise UsageError(
            f"--userns: invalid USER mode: {text}",
            hint="it may be host, keep-id[:uid=UID,gid=GID], auto[:size=SIZE] or nomap",
        )
    if any(int(number) == 0 for key, _, number in fields if key == "size"):
        raise UsageError(f"--userns: invalid USER mode: {text}", hint="a size is at least 1")
    return text


def _id_map(flag: str, texts: tuple[str, ...]) -> tuple[tuple[int, int, int], ...]:
    """CONTAINER:OURS[:COUNT] each, OURS counting from 0, which is the user."""
    found: list[tuple[int, int, int]] = []
    for text in texts:
        words = text.split(":")
        if not 2 <= len(words) <= 3 or not all(
            word.isascii() and word.isdecimal() and len(word) < 10 for word in words
        ):
            raise UsageError(
                f"{flag} {text!r} is no map of ids",
                hint="write CONTAINER-ID:ID[:COUNT]; the ids outside count from 0, which is you",
            )
        inside, outside, count = (int(word) for word in (*words, "1")[:3])
        overlap = any(
            (inside < one + many and one < inside + count)
            or (outside < other + many and other < outside + count)
            for one, other, many in found
        )
        if not count or overlap:
            raise UsageError(f"{flag} {text!r} maps an id twice, or none")
        found.append((inside, outside, count))
    return tuple(found)


def _check_devices(given: Confinement) -> None:
    """Wrong ones are told before anything is made."""
    if given.devices:
        from rootless.sandbox import hardware

        for text in given.devices:
            hardware.of_flag(text)


def _zone(name: str | None) -> str:
    """A file below ZONES, or the machine's own; NotFoundError."""
    if not name:
        return ""
    path = "/etc/localtime" if name == "local" else os.path.join(ZONES, name)
    inside = os.path.normpath(path).startswith(f"{ZONES}/") or name == "local"
    if not inside or not os.path.isfile(path):
        raise NotFoundError(
            f"there is no time zone {name}", hint=f"they are below {ZONES}, as in Europe/Vienna"
        )
    return path if name == "local" else name
