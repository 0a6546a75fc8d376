"""The processes of a running container, found in /proc from outside.

Anybody may read of others' processes who they are and what they use; which namespaces they are in
is told to their owner only. Parents come before their children.
"""

from __future__ import annotations

import os

from rootless import living

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

USER_TIME, SYSTEM_TIME, CHILDREN_USER_TIME, CHILDREN_SYSTEM_TIME = 11, 12, 13, 14
THREADS, RESIDENT = 17, 21  # of `stat`, counted as in `living`
_ENDED = (b"Z", b"X")


def find(supervisor: int) -> dict[int, list[bytes]]:
    """All processes of the container and their `stat`: what descends from its process 1, and what
    has entered its pid namespace from outside. That is never our own, which is everybody's. Who is
    in the supervisor's session serves the container, but is none of it.
    """
    found = {pid: fields for pid in _pids() if (fields := stat(pid))}
    children: dict[int, list[int]] = {}
    for pid, fields in found.items():
        children.setdefault(int(fields[living.PARENT]), []).append(pid)
    below = _descendants([supervisor], children)[1:]
    inside = [pid for pid in below if found[pid][living.SESSION] != b"%d" % supervisor]
    namespaces = {_namespace(pid) for pid in inside} - {"", _namespace(os.getpid())}
    others = [pid for pid in found.keys() - set(inside) if _namespace(pid) in namespaces]
    inside += [pid for pid in _descendants(others, children) if pid not in inside]
    return {pid: found[pid] for pid in inside if found[pid][living.STATE] not in _ENDED}


def first(supervisor: int) -> int:
    """The container's process 1, also where a guardian stands between; 0 when it has ended."""
    pid = living.first_child(supervisor)
    fields = stat(pid)
    is_guardian = bool(fields) and fields[living.SESSION] == b"%d" % supervisor
    return (is_guardian and living.first_child(pid)) or pid


def stat(pid: int) -> list[bytes]:
    """The fields of `living.stat`; none when there is no such process."""
    try:
        fields = living.stat(pid)
    except OSError:
        return []
    return fields if len(fields) > RESIDENT else []


def _descendants(first: Iterable[int], children: dict[int, list[int]]) -> list[int]:
    """`first` and all below them, parents first."""
    found = list(dict.fromkeys(first))
    for pid in found:
        found += [child for child in children.get(pid, ()) if child not in found]
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _namespace(pid: int) -> str:
    """Its pid namespace; "" where that is not ours to know."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
