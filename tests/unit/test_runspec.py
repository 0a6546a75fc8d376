"""What a container is made of, and in which order."""

from __future__ import annotations

import pytest

from rootless import linux, runspec
from rootless.roots.overlay import Root
from rootless.sandbox import caps, explain
from rootless.sandbox.limits import Limit
from rootless.sandbox.operations.devices import Devices
from rootless.sandbox.operations.tree import Bind, Overlay, Protect, Tmpfs
from rootless.sandbox.operations.views import Cgroup, Mask, Proc, Sysctls, Sysfs
from rootless.sandbox.privileges import Become, Bound, Execute, Seccomp
from rootless.userns import IdMap

IDS = IdMap(((0, 1000, 1), (1, 100000, 65536)), ((0, 1000, 1), (1, 100000, 65536)))
ROOTFS = Root("/layers", ("b/diff", "a/diff"), "/c")
PROCESS = runspec.Process(("sh",), {"A": "b"}, "/w", "web", seccomp=bytes(8))
ALONE = runspec.Network(own=True)
FULL = runspec.Isolation(
    "host",
    runspec.Network(own=True, await_fd=9, provider="pasta"),
    mounts=(Bind("/s", "/d"), Tmpfs("/t")),
    terminal_fd=8,
    read_only=True,
    own_cgroup=True,
    init=True,
)


def names(spec):
    return [type(operation).__name__ for operation in spec.operations]


def container(process=PROCESS, isolation=FULL):
    return runspec.container(IDS, ROOTFS, process, isolation)


def test_everything_in_its_order():
    assert names(container(PROCESS.replace(no_new_privileges=True))) == [
        *("Overlay", "Proc", "Devices", "Sysfs", "Cgroup", "Sysctls", "Bind", "Tmpfs", "Terminal"),
        *("Mask", "Protect", "Directory", "Protect", "Loopback", "PivotRoot", "Hostname"),
        *("WorkingDirectory", "NoNewPrivileges", "Bound", "Seccomp", "Become", "Await", "Execute"),
    ]


def test_the_least_there_is():
    isolation = runspec.Isolation("h", runspec.Network(own=False))
    spec = container(PROCESS.replace(seccomp=b""), isolation)
    assert names(spec) == [
        *("Overlay", "Proc", "Devices", "Sysfs", "Mask", "Protect"),
        *("PivotRoot", "Hostname", "WorkingDirectory", "Bound", "Become", "Execute"),
    ]
    assert "net" not in spec.namespaces
    assert Sysfs(own_network=False) in spec.operations


def test_namespaces():
    spec = container()
    assert spec.namespaces == ("mount", "pid", "uts", "ipc", "cgroup", "net")
    assert spec.outer_flags == linux.CLONE_NEWPID | linux.CLONE_NEWNET
    assert spec.inner_flags == (
        linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
        | linux.CLONE_NEWCGROUP
    )  # fmt: skip
    assert spec.init


def test_what_reaches_the_operations():
    found = {type(operation): operation for operation in container().operations}
    lowers = ("b/diff", "a/diff")
    assert found[Overlay] == Overlay(
        "/layers", lowers, "/c/diff", "/c/work", "/c/target", volatile=True
    )
    assert found[Bound].keep == tuple(sorted(caps.DEFAULT)) == found[Become].keep
    assert found[Execute].user == found[Become].user == "web"
    assert (found[Execute].argv, found[Execute].working_dir) == (("sh",), "/w")
    assert found[Seccomp].program == bytes(8)
    assert found[Mask].paths == runspec.MASKED


def test_read_only_is_the_root_and_comes_after_all_mounts():
    spec = container()
    assert spec.operations[12] == Protect(("/",))
    assert Protect(("/",)) not in container(isolation=FULL.replace(read_only=False)).operations


@pytest.mark.parametrize("own_network", [True, False])
def test_a_build_step(own_network):
    mounts = (Bind("/s", "/d"),)
    isolation = runspec.Isolation("box", runspec.Network(own=own_network), mounts)
    spec = runspec.build_step(IDS, ROOTFS, PROCESS, isolation)
    assert ("Loopback" in names(spec), "net" in spec.namespaces) == (own_network, own_network)
    order = names(spec)
    assert order[0] == "Overlay"
    assert order[-1] == "Execute"
    assert order.index("Bind") < order.index("Mask") < order.index("PivotRoot")
    assert order.index("PivotRoot") < order.index("Bound") < order.index("Become")


def test_a_step_without_bounds_and_one_with_limits():
    isolation = runspec.Isolation(
        "box", runspec.Network(own=False), masked=(), protected=(), shm_size=9
    )
    process = PROCESS.replace(limits=(Limit("nofile", 5, 6),))
    spec = runspec.build_step(IDS, ROOTFS, process, isolation)
    order = names(spec)
    assert not {"Mask", "Protect"} & set(order)
    assert order[-2:] == ["Limits", "Execute"]  # few open files are enough for the last
    assert next(one for one in spec.operations if isinstance(one, Devices)).shm_size == 9


def test_namespaces_of_the_host():
    shared = frozenset({"pid", "ipc", "uts", "cgroup"})
    spec = container(isolation=FULL.replace(shared=shared, network=runspec.Network(own=True)))
    assert spec.namespaces == ("mount", "net")
    assert spec.outer_flags == linux.CLONE_NEWNET
    assert spec.inner_flags == linux.CLONE_NEWNS
    assert "Hostname" not in names(spec)
    for view in (Proc(own=False), Devices(own_ipc=False), Cgroup(own=False)):
        assert view in spec.operations


def test_ids_of_its_own():
    spec = container().replace(own_ids=IdMap(((0, 1, 5),), ((0, 1, 5),)))
    assert spec.outer_flags == (linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNET)
    assert not spec.inner_flags & linux.CLONE_NEWUSER
    assert "   in a user namespace inside that one: uid 0-4 = there 1-5" in explain.explain(spec)


def test_a_privileged_container_sees_the_kernel():
    spec = container(
        PROCESS.replace(groups=("audio",), umask=0o77, oom_score=5),
        FULL.replace(
            masked=(),
            protected=("/proc/sys",),
            writable_kernel=True,
            writable_cgroup=True,
            sysctls=(("a", "1"),),
        ),
    )
    assert Sysfs(own_network=True, writable=True) in spec.operations
    assert Cgroup(writable=True) in spec.operations
    assert Protect(("/proc/sys",)) in spec.operations
    assert "Mask" not in names(spec)
    found = {type(operation): operation for operation in spec.operations}
    assert found[Sysctls].settings == (("net.ipv4.ip_unprivileged_port_start", "0"), ("a", "1"))
    assert found[Become].groups == ("audio",)
    assert found[Execute].umask == 0o77
    assert names(spec).index("OomScore") < names(spec).index("Become")


def test_the_plan_in_words_walks_the_same_list():
    spec = container()
    lines = list(explain.explain(spec))
    numbered = [line for line in lines if line[0].isdigit()]
    assert len(numbered) == len(spec.operations) + 2
    assert numbered[0].endswith("uid 0 = host 1000; 1-65536 = host 100000-165535")
    for operation in spec.operations:
        assert any(operation.describe() in line for line in numbered)
    script = list(explain.script(spec, stdin=True))
    end = script.index("END")
    inside = [line for one in spec.operations for line in one.shell()]
    begin = next(line for line in inside if line.startswith("exec "))
    inside[inside.index(begin)] = begin.removeprefix("exec ")
    assert script[1:end] == [*inside, "exit $?"]
    assert script[end + 1] == "unshare --user --map-root-user --map-auto \\"
    assert script[end + 2].startswith("--mount --pid")
    alone = spec.replace(ids=IdMap(((0, 5, 1),), ()))
    assert list(explain.script(alone))[end + 1] == "unshare --user --map-root-user \\"
