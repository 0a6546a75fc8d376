"""The projects under examples/ are the same images on every rung of the privilege ladder.

Layers with equal digests have equal trees: path, kind, mode, owner, content, attributes and times.
Where a package manager has been, trees are compared, and `CLOCK` says what it writes each time.
"""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import time

import pytest

from tests.conftest import Rootless
from tests.support import child, rungs, trees
from tests.support.machine import PROJECT

EXAMPLES = PROJECT / "examples"
pytestmark = [
    pytest.mark.needs("userns", "subids", "overlay", "busybox", "setpriv"),
    pytest.mark.timeout(1500),  # packages are installed three times
]

CLOCK = (
    "*.pyc",  # the time of its source
    "*/_prctl.*.so",  # the name of the folder in which pip had it compiled
    "*/python_prctl-*/RECORD",
    "/etc/shadow*",  # the day of a new user
    "/root/.npm/_cacache/index-v5/*",  # when something was fetched
    "/root/.npm/_update-notifier-last-checked",
    "/etc/ssl/private/*",  # a key of chance
    "/etc/ssl/certs/ssl-cert-snakeoil.pem",
    "/tmp/node-compile-cache/*",  # V8's, which is another each time
    "/var/cache/apt/*.bin",  # the times of its lists
    "/var/cache/ldconfig/aux-cache",  # inode numbers and times of libraries
    "/var/lib/postgresql/15/main/*",  # a cluster with a number of its own
    "/var/log/*.log",
    "/var/log/apt/*",
)
"""Files that package managers write with a clock: their contents are not compared."""
NAMES = ("/root/.npm/_logs/*", "/etc/ssl/certs/????????.0")
"""Here even the name is the time, or the key."""


class Stores:
    """A store on each rung, in which base images are loaded as they are asked for."""

    def __init__(self, folder) -> None:
        self._folder = folder
        self._loaded: set[str] = set()
        self.all = {name: Rootless(folder / name) for name in rungs.ALL}
        for name, prefix in rungs.ALL.items():
            self.all[name].prefix = prefix

    def load(self, *bases) -> None:
        for base in bases:
            if base.name not in self._loaded:
                archive = base.archive(self._folder / "base.tar")
                for one in self.all.values():
                    one.ok("load", "-q", "-i", archive)
                self._loaded.add(base.name)

    def layers(self, *argv, **options) -> dict[str, list[str]]:
        """Build it on each; the digests of its layers."""
        found = {}
        for name, one in self.all.items():
            one.ok("build", "-q", "-t", "example", *argv, **options)
            found[name] = json.loads(one.ok("inspect", "-f", "{{json .RootFS.Layers}}", "example"))
        return found

    def images(self, *argv, **options) -> dict[str, trees.Image]:
        """Build it on each; what is in it."""
        self.layers(*argv, **options)
        reader, found = trees.Reader(depth=6), {}
        for name, one in self.all.items():
            archive = self._folder / "example.tar"
            one.ok("save", "-o", archive, "example")
            image = reader.read(archive)
            found[name] = image._replace(tree=without_clock(image.tree))
            archive.unlink()
        return found


def without_clock(tree):
    """The lines of a tree, less times and the contents that `CLOCK` names.

    A file that was opened to be written, but was not, is part of a layer only where there is an
    overlay, which gives it a time.
    """
    found = {}
    for path, line in tree.items():
        told = re.sub(r" t=\d+", "", line)
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in CLOCK):
            told = re.sub(r"^(f \d+ \d+:\d+) \d+ \w+", r"\1", told)
        if not any(fnmatch.fnmatchcase(path, pattern) for pattern in NAMES):
            found[path] = told
    return found


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rungs")
    made = Stores(folder)
    yield made
    for one in made.all.values():
        child.remove_tree(one.root)


def same_layers(stores, *argv, **options):
    found = stores.layers(*argv, **options)
    assert len(found["range"]) > 1
    assert {name: one for name, one in found.items() if one != found["range"]} == {}


def same_trees(stores, *argv, **options):
    found = stores.images(*argv, **options)
    assert len(found["range"].tree) > 500
    for name, one in found.items():
        assert "\n".join([name, *trees.difference(found["range"], one)]) == name


@pytest.mark.parametrize("name", ["hello", "static", "worker", "secret"])
def test_what_a_shell_makes_is_the_same(stores, busybox_image, tmp_path, name):
    stores.load(busybox_image)
    token = tmp_path / "token.txt"
    token.write_text("correct-horse-battery-staple")
    same_layers(stores, "--secret", f"id=token,src={token}", EXAMPLES / name)


@pytest.mark.parametrize("target", ["test", "api", "mailer"])
def test_services_are(stores, busybox_image, target):
    stores.load(busybox_image)
    same_layers(stores, "--target", target, EXAMPLES / "services")


@pytest.mark.needs("network", "mirror")
def test_what_a_compiler_of_apt_has_made_is(stores, debian_image, busybox_image):
    stores.load(debian_image, busybox_image)
    same_layers(stores, EXAMPLES / "cpp")


@pytest.mark.needs("network", "pypi")
@pytest.mark.parametrize("name", ["python-app", "monorepo"])
def test_packages_of_pip_are(stores, python_image, name):
    stores.load(python_image)
    same_trees(stores, EXAMPLES / name)


@pytest.mark.needs("network", "mirror", "pypi", "npm")
def test_packages_of_npm_are(stores, node_image):
    stores.load(node_image)
    same_trees(stores, EXAMPLES / "node")


@pytest.mark.needs("network", "mirror", "ssh-agent", "patience")
def test_what_an_agent_signed_is(stores, debian_image, busybox_image, tmp_path):
    stores.load(debian_image, busybox_image)
    key, agent = tmp_path / "key", tmp_path / "agent"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL) as running:
        try:
            while not agent.exists():
                time.sleep(0.05)
            variables = {**stores.all["range"].environment, "SSH_AUTH_SOCK": str(agent)}
            subprocess.run(["ssh-add", "-q", key], env=variables, check=True)
            same_layers(stores, "--ssh", "default", EXAMPLES / "ssh", env=variables)
        finally:
            running.terminate()


@pytest.mark.needs("network", "mirror", "pypi", "patience")
@pytest.mark.parametrize("name", ["flask", "counter/store", "counter/web"])
def test_packages_of_apt_are(stores, debian_image, name):
    stores.load(debian_image)
    same_trees(stores, EXAMPLES / name)


@pytest.mark.needs("network", "mirror", "patience")
@pytest.mark.parametrize("target", ["front", "app", "cache", "db"])
def test_the_parts_of_a_board_are(stores, debian_image, target):
    stores.load(debian_image)
    same_trees(stores, "--target", target, EXAMPLES / "board")


@pytest.mark.needs("network", "mirror", "pypi", "npm", "patience")
def test_what_was_installed_beside_caches_is(stores, node_image):
    stores.load(node_image)
    same_trees(stores, EXAMPLES / "caches")


@pytest.mark.needs("network", "mirror", "pypi", "patience")
def test_the_builder_image_is(stores, debian_image):
    stores.load(debian_image)
    dockerfile = EXAMPLES / "builder-image" / "Dockerfile"
    same_trees(stores, "-f", dockerfile, PROJECT)
