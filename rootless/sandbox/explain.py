"""A sandbox in words, and as a shell script that starts the same container by hand.

Pure: strings from a Spec. The script's lines are read into variables first and run by a bash of
their own in the new namespaces: so they may be pasted into a terminal, which then is the command's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.sandbox.spec import Spec
    from rootless.userns import IdMap

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
    if not spec.joined:
        yield from _begin(spec)
    for number, operation in enumerate(spec.operations, 1 if spec.joined else 3):
        yield f"{number}. {operation.describe()}"
        yield f"   kernel: {operation.call}"
        if not spec.joined or number == 1:  # no shell goes on inside: what follows is ours alone
            yield from (f"   $ {line}" for line in operation.shell())


def _begin(spec: Spec) -> Iterator[str]:
    """The namespaces, which are new."""
    enter, new = _enter_lines(spec), ", ".join(_WHY[name] for name in spec.namespaces)
    yield f"1. become root of a user namespace of your own: uid {ranges(spec.ids, 'host')}"
    yield "   kernel: unshare(2) CLONE_NEWUSER, newuidmap(1), newgidmap(1)"
    yield f"2. give the container {new}"
    yield (
        f"   kernel: clone(2) {hex(spec.outer_flags)}, a supervisor whose end is the container's "
        f"end; clone(2) {hex(spec.inner_flags)}"
    )
    yield from (f"   $ {line}" for line in enter)
    for name, pid in spec.shares:
        yield f"   it has the {name} namespace of process {pid}, another container's: setns(2)"
    if spec.own_ids:
        yield f"   in a user namespace inside that one: uid {ranges(spec.own_ids, 'there')}"


def script(
    spec: Spec, netns: str = "", connect: tuple[str, ...] = (), *, stdin: bool = False
) -> Iterator[str]:
    """Only the shell lines, ready to be pasted. Without `stdin` the command gets no input.

    `connect` are the lines that make a connected network namespace and name it `netns`, for a shell
    that is root of the user namespace and in the host's network.
    """
    if spec.shares:
        yield "# There is no script: it needs the user namespace of the container that it joins."
        return
    if spec.own_ids:
        yield "# There is no script: what a container with ids of its own sees of the host is"
        yield "# opened outside and handed in by descriptors, and no tool of a shell does that."
        return
    yield from _variable("inside", _inside(spec))
    source = "" if stdin else " < /dev/null"
    if not connect:
        yield from _enter_lines(spec)[:-1]
        yield _enter_lines(spec)[-1] + source
        return
    yield from _variable("outside", _outside(spec, netns, connect))
    yield f"unshare {maps(spec.ids)} \\"
    yield f'--mount --pid --fork --kill-child --mount-proc bash -c "$outside"{source}'


def ranges(ids: IdMap, outside: str) -> str:
    """Which uids stand for which, in words; `outside` is how the outer ones are called."""
    return "; ".join(
        f"{inside}-{inside + n - 1} = {outside} {out}-{out + n - 1}"
        if n > 1
        else f"{inside} = {outside} {out}"
        for inside, out, n in ids.uids
    )


def maps(ids: IdMap) -> str:
    """The options of unshare(1) that make a user namespace like ours."""
    return "--user --map-root-user" + (" --map-auto" if ids.is_range else "")


def _inside(spec: Spec) -> Iterator[str]:
    """In the new namespaces. An init is the shell, which stays and waits for the command."""
    lines = [line for operation in spec.operations for line in operation.shell()]
    if not spec.init:
        yield from lines
        return
    last = max(number for number, line in enumerate(lines) if line.startswith("exec "))
    lines[last] = lines[last].removeprefix("exec ")
    yield from (*lines, "exit $?")


def _outside(spec: Spec, netns: str, connect: tuple[str, ...]) -> Iterator[str]:
    """Beside the container: what this starts ends with it. The network first, then who is in it."""
    names = " ".join(f"--{name}" for name in spec.namespaces if name != "net")
    yield from connect
    yield f"nsenter --net={netns} unshare {names} \\"
    yield '--fork --kill-child bash -c "$inside"'


def _variable(name: str, lines: Iterator[str]) -> Iterator[str]:
    """What is read by a here-document is taken as it is: no line of ours is END alone."""
    yield f"IFS= read -rd '' {name} << 'END'; export {name}"
    yield from lines
    yield "END"


def _enter_lines(spec: Spec) -> tuple[str, ...]:
    names = " ".join(f"--{name}" for name in spec.namespaces)
    return (
        f"unshare {maps(spec.ids)} \\",
        f'{names} --fork --kill-child bash -c "$inside"',
    )
