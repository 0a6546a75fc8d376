"""The projects under examples/ are the same images whether there are namespaces or not.

Layers with equal digests have equal trees: path, kind, mode, owner, content, attributes and times.
"""

from __future__ import annotations

import json

import pytest

from tests.conftest import Rootless
from tests.support import child, rungs
from tests.support.machine import PROJECT

EXAMPLES = PROJECT / "examples"
pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def stores(tmp_path, busybox_image):
    """Of an ordinary user, and of root in a plain container."""
    made = []
    for name, prefix in (("range", ()), ("root", rungs.ROOT)):
        made.append(Rootless(tmp_path / name))
        made[-1].prefix = prefix
        made[-1].ok("load", "-i", busybox_image.archive(tmp_path / f"{name}.tar"))
    yield made
    for one in made:
        child.remove_tree(one.root)


def layers(rootless, *argv):
    rootless.ok("build", "-q", "-t", "example", *argv)
    return json.loads(rootless.ok("inspect", "-f", "{{json .RootFS.Layers}}", "example"))


@pytest.mark.parametrize("name", ["hello", "static", "worker", "secret"])
def test_an_example_is_the_same_image(stores, tmp_path, name):
    token = tmp_path / "token.txt"
    token.write_text("correct-horse-battery-staple")
    found = [layers(one, "--secret", f"id=token,src={token}", EXAMPLES / name) for one in stores]
    assert found[0] == found[1]
    assert len(found[0]) > 1


@pytest.mark.parametrize("target", ["test", "api", "mailer"])
def test_services_are(stores, target):
    found = [layers(one, "--target", target, EXAMPLES / "services") for one in stores]
    assert found[0] == found[1]


@pytest.mark.needs("network", "mirror")
def test_what_a_compiler_of_apt_has_made_is(stores, tmp_path, debian_image):
    for number, one in enumerate(stores):
        one.ok("load", "-i", debian_image.archive(tmp_path / f"debian{number}.tar"))
    found = [layers(one, EXAMPLES / "cpp") for one in stores]
    assert found[0] == found[1]
