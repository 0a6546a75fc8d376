"""What a build costs a registry, as docs/fleet.md has it: requests and bytes, counted."""

from __future__ import annotations

import pytest

from tests.conftest import Rootless
from tests.support import fleet
from tests.support.child import remove_tree
from tests.support.counting import Counter

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "registry")

_SIZE = 4 << 20
_SMALL = 40_000  # bytes: manifests, configs, and the little layer that changed


@pytest.fixture
def scenes(registry, busybox_image, tmp_path):
    registry.push(busybox_image, "fleet/base")

    def at(name):
        return Rootless(tmp_path / f"store.{name}").ok

    with Counter(registry) as counter:
        yield [scene.cost for scene in fleet.scenes(counter, at, tmp_path, _SIZE)]
    for path in tmp_path.glob("store.*"):
        remove_tree(path)


def test_what_is_there_is_not_sent_again(scenes):
    cold, same, new, changed, after, pull, again, update = scenes
    assert _SIZE < cold.up < 2 * _SIZE  # two layers of that, as far as they can be compressed
    assert cold.requests <= 45
    assert same.requests <= 5 and same.up + same.down < _SMALL
    for one in (new, after):
        assert one.requests <= 18
        assert one.up == 0
        assert cold.up < one.down < cold.up + cold.down + _SMALL  # each layer once
    assert changed.up + changed.down < _SMALL
    assert pull.requests <= 8 and pull.up == 0
    assert again.requests <= 2 and again.up + again.down < _SMALL
    assert update.requests <= 5 and update.down < _SMALL
