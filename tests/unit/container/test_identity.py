"""Which ids of the user's stand for those of a container."""

from __future__ import annotations

import pytest

from rootless.container import identity
from rootless.container.confinement import Confinement
from rootless.container.overrides import Overrides
from rootless.container.spec import ContainerSpec
from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.store.owned import Owners, path
from rootless.userns import IdMap

IDS = IdMap(((0, 1001, 1), (1, 100000, 65536)), ((0, 1002, 1), (1, 100000, 65536)))
ONE = IdMap(((0, 1001, 1),), ((0, 1001, 1),))


def settled(ids=IDS, **given):
    digest = Digest("sha256", "0" * 64)
    spec = ContainerSpec(
        id="a", name="", image="i", image_id=digest, created=0, confinement=Confinement(**given)
    )
    return identity.settled(spec, ids).confinement


def whole(ranges) -> set[int]:
    """All outer ids; each once."""
    found = [one for _, outside, count in ranges for one in range(outside, outside + count)]
    assert len(found) == len(set(found))
    return set(found)


def test_keep_id_puts_the_user_where_they_are_outside():
    found = settled(userns="keep-id")
    assert found.uid_map == ((0, 1, 1001), (1001, 0, 1), (1002, 1002, 64535))
    assert found.gid_map == ((0, 1, 1002), (1002, 0, 1), (1003, 1003, 64534))
    assert whole(found.uid_map) == set(range(65537))


@pytest.mark.parametrize(("uid", "first"), [(0, (0, 0, 1)), (1, (0, 1, 1)), (65536, (0, 1, 65536))])
def test_keep_id_with_another_number(uid, first):
    found = settled(userns=f"keep-id:uid={uid},gid=7")
    assert found.uid_map[0] == first
    assert (uid, 0, 1) in found.uid_map
    assert whole(found.uid_map) == set(range(65537))


def test_a_number_beyond_all_others():
    found = settled(userns="keep-id:uid=900000")
    assert found.uid_map == ((0, 1, 65536), (900000, 0, 1))


def test_nomap_leaves_the_user_out():
    found = settled(userns="nomap")
    assert found.uid_map == found.gid_map == ((0, 1, 65536),)


def test_the_usual_has_no_map():
    assert settled().own_ids is None


@pytest.mark.parametrize("mode", ["keep-id", "auto", "nomap"])
def test_one_id_is_not_enough(mode):
    with pytest.raises(RootlessError, match="needs subordinate ids"):
        settled(ONE, userns=mode)


def test_ids_that_are_not_there():
    with pytest.raises(RootlessError, match="the container wants uid 70009 of yours"):
        settled(uid_map=((0, 70000, 10),), gid_map=((0, 1, 1),))


def test_who_the_command_is():
    keep = Confinement(userns="keep-id:uid=7")
    assert identity.as_user(Overrides(), keep, IDS).user == "7:1002"
    assert identity.as_user(Overrides(user="root"), keep, IDS).user == "root"
    assert identity.as_user(Overrides(), Confinement(userns="auto"), IDS).user is None


def test_owners_there_and_back():
    ids = IdMap(((0, 1, 5), (5, 0, 1)), ((0, 0, 3),))
    there, back = Owners(ids), Owners(ids, back=True)
    assert there(0, 2) == (1, 2)
    assert there(5, 0) == (0, 0)
    assert back(*there(4, 1)) == (4, 1)
    with pytest.raises(RootlessError, match="belongs to user 6, whom"):
        there(6, 0)
    with pytest.raises(RootlessError, match="belongs to group 3"):
        there(0, 3)
    assert path("/layers/a/diff", ids).startswith("/layers/a/owned-")
    assert path("/layers/a/diff", ids) != path("/layers/a/diff", IDS)
