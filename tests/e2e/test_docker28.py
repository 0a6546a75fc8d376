"""Dockerfiles of one behaviour each, built as Docker 28 built them: the same files and config.

tests/support/caselist.py says how tests/corpus/docker28 is written; scripts/docker28 asked docker.
"""

from __future__ import annotations

import pytest

from tests.support import caselist, child, verdicts
from tests.support.forked import Forked
from tests.support.verdicts import Builder

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

ON_PURPOSE = {
    "ignore/containerignore-is-not-known": "podman knows it",
    "modes/chown-negative": "docker takes it for the unknown user -1, and unknown users for root",
    "modes/chown-two-colons": "docker takes it for an unknown group, and those for root's",
    "mounts/bind-selinux-letters": "podman takes them",
    "mounts/from-a-stage-by-number": "docker has numbers for COPY --from only; podman takes them",
    "parents/context-whole": "docker copies nothing",
    "stages/target-a-stage-by-number": "docker has numbers for COPY --from only; podman takes them",
}
"""Cases in which we differ, and why."""

_AT_ONCE = 20
BATCHES = {
    f"{name}-{number // _AT_ONCE}": caselist.read(name)[number : number + _AT_ONCE]
    for name in caselist.names()
    for number in range(0, len(caselist.read(name)), _AT_ONCE)
}


@pytest.fixture(scope="session")
def builder(tmp_path_factory):
    """One store for all that this process builds."""
    folder = tmp_path_factory.mktemp("docker28")
    rootless = Forked(folder / "store")
    yield Builder(rootless, folder / "work")
    rootless.close()
    child.remove_tree(folder)


@pytest.mark.parametrize("batch", BATCHES)
def test_builds_are_as_docker_s(batch, builder):
    answers = caselist.answers(batch.rpartition("-")[0])
    ours = builder.all_of(BATCHES[batch])
    wrong = []
    for case in BATCHES[batch]:
        found = verdicts.differences(
            answers[case.key], ours[case.name], builder.base, drops_copies=True
        )
        if found and case.name not in ON_PURPOSE:
            wrong.append("\n".join([f"== {case.name}", case.dockerfile, *found, ""]))
        if case.name in ON_PURPOSE and not found:
            wrong.append(f"no difference: {case.name} is no exception any more\n")
    assert not wrong, "\n".join(wrong)
