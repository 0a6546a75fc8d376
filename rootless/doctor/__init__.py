"""What this machine allows, found by trying: `rootless doctor`, and the skips of the tests.

Each trial runs in a forked child (about 1 ms each), so that nothing of this process changes and
nothing is left behind. `way` says in words what follows: on which rung, with which storage.
"""

from __future__ import annotations

from rootless.doctor import connections, namespaces, places
from rootless.doctor.check import Check
from rootless.doctor.way import Way, way

__all__ = ["Check", "Way", "checks", "way"]


def checks(search_path: str, root: str | None = None) -> tuple[Check, ...]:
    """Every check, most basic first.

    `search_path` is the $PATH that programs are looked for on, `root` the store's folder: ""
    where there is no place for one, None where that is not asked.
    """
    entered = namespaces.user_namespace()
    copies = None if entered.ok else namespaces.copies()
    instead = (copies,) if copies and copies.ok else ()
    if instead:
        entered = entered.replace(required=False)
    commands = instead or (() if entered.ok else (namespaces.commands(),))
    copied = any(one.ok for one in commands)
    return (
        namespaces.kernel(),
        namespaces.user(),
        entered,
        namespaces.setuid(),
        namespaces.ids(),
        *(commands or _within()),
        *namespaces.selinux(),
        *places.temporary(),
        *(() if root is None else places.store(root, copies=copied)),
        connections.network(search_path) if entered.ok else connections.shared(),
        connections.route(is_shared=not entered.ok),
        connections.cgroup(),
    )


def _within() -> tuple[Check, ...]:
    """What is tried in a user namespace."""
    return (namespaces.overlayfs(), namespaces.proc())
