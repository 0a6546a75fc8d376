"""`version`, `info` and `doctor`: this program and this machine."""

from __future__ import annotations

import os
import sys

from rootless import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.doctor import Check, Way


def version(_given: Settings, arguments: Arguments) -> int:
    """Print the version."""
    from rootless.oci.platform import Platform

    facts = {
        "Version": __version__,
        "Python": sys.version.split()[0],
        "Os": "linux",
        "Arch": Platform.host().architecture,
        "KernelVersion": os.uname().release,
    }
    if arguments.format:
        from rootless.cli import listing

        value = {"Client": {**facts, "Context": "default"}, "Server": facts}
        listing.show_value(value, arguments.format, "version")
    else:
        print("Client: rootless")
        for name, fact in facts.items():
            print(f" {name + ':':15} {fact}")
    return 0


def info(given: Settings, arguments: Arguments) -> int:
    """Print where things are and what this machine is."""
    facts = _facts(given)
    if arguments.format:
        from rootless.cli import listing

        listing.show_value({**facts, **_as_dockers(facts)}, arguments.format)
        return 0
    from rootless.cli import words

    for name, fact in facts.items():
        said = ", ".join(fact) if isinstance(fact, list) else str(fact)
        if name == "MemTotal":
            said = words.size(fact)
        print(f"{name + ':':17} {words.escape(said)}")
    return 0


def _facts(given: Settings) -> dict[str, Any]:
    from rootless import programs, userns
    from rootless.container import records
    from rootless.network import choice
    from rootless.store import Store, images

    store = Store(given.root)
    path = given.environment.get("PATH", "")
    network = [name for name in choice.PACKAGES if programs.find(name, path)]
    containers = records.listing(store)
    running = sum(one.is_running for one in containers)
    return {
        "ServerVersion": __version__,
        "DockerRootDir": given.root,
        "RuntimeDir": given.runtime_dir,
        "Containers": len(containers),
        "ContainersRunning": running,
        "ContainersStopped": len(containers) - running,
        "Images": len(images.listing(store, lambda *_: None)),
        "Driver": "overlay",
        "Networks": [*network, "host", "none"],
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
        "MappedIds": userns.available().size,
        "KernelVersion": os.uname().release,
        "OperatingSystem": _operating_system(),
        "OSType": "linux",
        "Architecture": os.uname().machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "Name": os.uname().nodename,
    }


def _as_dockers(facts: dict[str, Any]) -> dict[str, Any]:
    """What scripts ask docker for and has one answer here."""
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return {
        "ContainersPaused": 0,
        "CgroupDriver": "none",
        "CgroupVersion": "2" if unified else "1",
        "LoggingDriver": "none",
        "DefaultRuntime": "rootless",
        "Runtimes": {"rootless": {"path": "rootless"}},
        "DriverStatus": [],
        "IndexServerAddress": "https://index.docker.io/v1/",
        "Plugins": {"Volume": [], "Network": facts["Networks"], "Log": []},
        "Swarm": {"NodeID": "", "LocalNodeState": "inactive", "ControlAvailable": False},
        "Labels": [],
        "Warnings": [],
        **dict.fromkeys(("Debug", "ExperimentalBuild", "LiveRestoreEnabled"), False),
        "ClientInfo": {"Version": __version__, "Os": "linux", "Context": "default"},
    }


def _operating_system() -> str:
    """PRETTY_NAME of os-release(5)."""
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            lines = dict(line.rstrip("\n").partition("=")[::2] for line in file)
    except OSError:
        return "Linux"
    return lines.get("PRETTY_NAME", "Linux").strip("\"'")


def doctor(given: Settings, arguments: Arguments) -> int:
    """Print what this machine allows, and the fix for what it does not; 1 if that is too little."""
    if arguments.apparmor:
        print(_PROFILE.format(python=os.path.realpath(sys.executable)), end="")
        return 0
    from rootless import doctor as machine

    checks = machine.checks(given.environment.get("PATH", ""), given.root)
    missing = [check.name for check in checks if check.required and not check.ok]
    chosen = machine.way(checks)
    if arguments.json:
        import json

        found = [_fields(check) for check in checks]
        print(json.dumps({"ok": not missing, "way": _values(chosen), "checks": found}, indent=4))
    else:
        _show(given, checks)
        print(f"\n{_verdict(missing)}\n{_way(chosen)}")
    return 1 if missing else 0


_PROFILE = """\
abi <abi/4.0>,
include <tunables/global>

profile rootless {python} flags=(unconfined) {{
  userns,
}}
"""
"""Lets this Python, and so every program in it, make user namespaces: AppArmor 4, Ubuntu 23.10."""


def _values(chosen: Way) -> dict[str, Any]:
    return {name: getattr(chosen, name) for name in ("rung", "name", "storage", "reason")}


def _fields(check: Check) -> dict[str, Any]:
    """A line as JSON; `fix` is null where there is nothing to mend."""
    fix = None if check.ok else check.hint
    values = {name: getattr(check, name) for name in ("name", "ok", "required", "detail")}
    return {**values, "fix": fix}


def _show(given: Settings, checks: tuple[Check, ...]) -> None:
    from rootless.cli import words

    colour = words.colours(sys.stdout, given.environment)
    for check in checks:
        print(_line(check, colour=colour))
        if not check.ok and check.hint:
            print(f"    {words.paint('fix:', '1;36', colour)} {words.escape(check.hint)}")


def _verdict(missing: list[str]) -> str:
    if missing:
        return f"rootless cannot do all its work here: see {', '.join(missing)}"
    return "rootless can build and run containers here"


def _way(chosen: Way) -> str:
    from rootless.cli import words

    told = f"way: rung {chosen.rung}, {chosen.name}; storage: {chosen.storage} ({chosen.reason})"
    return words.escape(told)


def _line(check: Check, *, colour: bool) -> str:
    from rootless.cli import words

    if check.ok:
        mark = words.paint("✓", "32", colour)
    else:
        mark = words.paint("✗", "31", colour) if check.required else words.paint("-", "33", colour)
    return f"{mark} {check.name + ':':16} {words.escape(check.detail)}"
