"""What the courses have people type, word for word, with `rootless` where they say `docker`."""

from __future__ import annotations

import os

import pytest

from tests.support.hub import Hub

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "registry")


@pytest.fixture(scope="module")
def hub(tmp_path_factory, busybox_image):
    """The Hub, with images under the names that the courses use."""
    with Hub(tmp_path_factory.mktemp("hub"), {"library/ubuntu:20.04": busybox_image}) as running:
        yield running


@pytest.fixture
def online(rootless, hub):
    """The command line where the Docker Hub can be reached."""
    rootless.environment = {**os.environ, **rootless.environment, **hub.environment}
    return rootless


def test_an_official_image_comes_from_the_hub_by_its_short_name(online):
    said = online("pull", "ubuntu:20.04")
    assert said.exit == 0, said.stderr
    assert "Status: Downloaded newer image for ubuntu:20.04" in said.stdout
    assert said.stdout.endswith("docker.io/library/ubuntu:20.04\n")
    assert online.ok("run", "--rm", "--network", "none", "ubuntu:20.04", "echo", "hi") == "hi\n"
