"""Jobs as the client's own models read them."""

from __future__ import annotations

import pytest

from rootless.fleet import Job
from rootless.fleet.kubernetes import manifest

client = pytest.importorskip("kubernetes.client")

JOB = Job("my_App", ("--tag", "a b", "."), context="registry.example/all@sha256:abc")


def read(value):
    """As the client reads what a cluster answers; how that is called changed with its versions."""
    if hasattr(client.V1Job, "from_dict"):
        return client.V1Job.from_dict(value)
    return client.ApiClient()._ApiClient__deserialize(value, "V1Job")


@pytest.mark.parametrize(
    "options",
    [
        {"image": "registry.example/rootless"},
        {"image": "x", "secret": "logins", "cpu": "2", "memory": "4Gi"},
    ],
)
def test_the_models_know_every_key(options):
    written = manifest(JOB, "0a1b2c3d", options)
    assert client.ApiClient().sanitize_for_serialization(read(written)) == written


def test_a_job_runs_once_and_asks_for_no_privileges():
    job = read(manifest(JOB, "0a1b2c3d", {"image": "x", "secret": "logins", "memory": "4Gi"}))
    assert job.metadata.name == "my-app-0a1b2c3d"
    assert job.spec.backoff_limit == 0
    pod = job.spec.template.spec
    assert pod.restart_policy == "Never"
    (container,) = pod.containers
    assert container.security_context.allow_privilege_escalation is False
    assert container.command[-3:] == ["--tag", "a b", "."]
    assert container.resources.limits == container.resources.requests == {"memory": "4Gi"}
    assert pod.volumes[0].secret.secret_name == container.volume_mounts[0].name == "logins"
