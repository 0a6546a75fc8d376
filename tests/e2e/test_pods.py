"""Pods as podman's compose uses them: a name for a group of containers."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")
MAKE = ("pod", "create", "--infra=false", "--share=", "shop")


@pytest.fixture
def store(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    return rootless


def test_a_pod_groups_containers(store):
    pod = store.ok(*MAKE).strip()
    store.ok("pod", "exists", "shop")
    create = ("create", "--network", "none", "--pod", "shop")
    store.ok(*create, "--name", "base", "busybox", "sleep", "600")
    store.ok(*create, "--name", "web", "--requires", "base", "busybox", "sleep", "600")
    assert store.ok("pod", "ps", "--format", "{{.Name}} {{.Status}}") == "shop Exited\n"
    store.ok("start", "web")
    running = store.ok("ps", "--format", "{{.Names}}").split()
    assert sorted(running) == ["base", "web"], "what it requires is started, too"
    assert store.ok("pod", "ps", "--format", "{{.Name}} {{.Status}}") == "shop Running\n"
    refused = store("pod", "rm", "shop")
    assert refused.exit == 1
    assert "contains containers" in refused.stderr
    assert store.ok("pod", "rm", "-f", "shop").strip() == pod
    assert store.ok("ps", "-aq") == ""
    assert store("pod", "exists", "shop").exit == 1


def test_run_starts_what_it_requires(store):
    store.ok("create", "--network", "none", "--name", "base", "busybox", "sleep", "600")
    run = ("run", "--network", "none", "--requires", "base", "busybox")
    look = ("sh", "-c", "echo up")
    assert store.ok(*run, *look) == "up\n"
    assert store.ok("ps", "--format", "{{.Names}}") == "base\n"
    for verb in ("run", "create"):
        refused = store(verb, "--name", "web", "--requires", "base,bse", "busybox", "true")
        assert refused.exit == 125
        assert "No such container: bse" in refused.stderr
        assert "did you mean base?" in refused.stderr
    assert "web" not in store.ok("ps", "-a", "--format", "{{.Names}}")
    store.ok("rm", "-af")


def test_names_of_pods(store):
    store.ok(*MAKE)
    again = store(*MAKE)
    assert again.exit == 1
    assert 'name "shop" is in use' in again.stderr
    assert store("pod", "create", "--infra=false", "--share=", "../up").exit == 1
    assert store("pod", "create", "shared").exit == 1, "one that would share namespaces"
    assert store("run", "--rm", "--pod", "none", "busybox", "true").exit == 125
    assert store("pod", "rm", "none").exit == 1
    assert store("pod", "rm", "-f", "none").exit == 0
