"""A sandbox in words, and as a shell script that starts the same container by hand.

Pure: strings from a Spec. Pasted into a terminal, the script's first line opens a shell in the
new namespaces and the others are typed into that shell.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.sandbox.spec import Spec

_WHY = {
    "mount": "its own mounts",
    "pid": "its own process numbers",
    "uts": "its own host name",
    "ipc": "its own shared memory and message queues",
    "cgroup": "its own view of the cgroup tree",
    "net": "its own network",
}


def explain(spec: Spec) -> Iterator[str]:
    """Lines for a person: what, the kernel's call, and the shell line that does the same."""
    enter, new = _enter_lines(spec), ", ".join(_WHY[name] for name in spec.namespaces)
    uids = "; ".join(
        f"{inside}-{inside + n - 1} = host {out}-{out + n - 1}"
        if n > 1
        else f"{inside} = host {out}"
        for inside, out, n in spec.ids.uids
    )
    yield f"1. become root of a user namespace of your own: uid {uids}"
    yield "   kernel: unshare(2) CLONE_NEWUSER, newuidmap(1), newgidmap(1)"
    yield f"2. give the container {new}"
    yield (
        f"   kernel: clone(2) {hex(spec.outer_flags)}, a supervisor whose end is the container's "
        f"end; clone(2) {hex(spec.inner_flags)}"
    )
    yield from (f"   $ {line}" for line in enter)
    for number, operation in enumerate(spec.operations, 3):
        yield f"{number}. {operation.describe()}"
        yield f"   kernel: {operation.call}"
        yield from (f"   $ {line}" for line in operation.shell())


def script(spec: Spec) -> Iterator[str]:
    """Only the shell lines, ready to be pasted."""
    yield from _enter_lines(spec)
    for operation in spec.operations:
        yield from operation.shell()


def _enter_lines(spec: Spec) -> tuple[str, ...]:
    maps = "--map-root-user --map-auto" if spec.ids.is_range else "--map-root-user"
    names = " ".join(f"--{name}" for name in spec.namespaces)
    # bash, for what is pasted waits in its line editor: a plain sh loses what a terminal's 4096
    # bytes of input cannot hold.
    return (f"unshare --user {maps} {names} --fork --kill-child bash --norc",)
